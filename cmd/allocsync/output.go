package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"allocsync/report"
)

// output says where a report goes and in what format.
type output struct {
	format string
	path   string
}

func (o *output) flags(flags *pflag.FlagSet) {
	flags.StringVar(&o.format, "format", "", "format of the report: "+strings.Join(report.Formats(), ", ")+" (default: by the name of --output, else table)")
	flags.StringVarP(&o.path, "output", "o", "", "write the report to this file instead of standard output")
}

// check settles the format and tries the file's folder, so that what is wrong
// is found before any work is done: a pass whose report cannot be written has
// changed NetBox all the same.
func (o *output) check() error {
	if o.format == "" {
		o.format = formatOf(o.path)
	}
	if !slices.Contains(report.Formats(), o.format) {
		return fmt.Errorf("--format %q: want one of %s", o.format, strings.Join(report.Formats(), ", "))
	}
	if o.path == "" {
		return nil
	}
	if target, err := filepath.EvalSymlinks(o.path); err == nil {
		o.path = target // the file, not the link to it, is what is replaced
	}
	switch stat, err := os.Stat(o.path); {
	case err == nil && stat.IsDir():
		return fmt.Errorf("--output: %s is a folder", o.path)
	case err == nil && !stat.Mode().IsRegular():
		return nil // a device or a pipe is written to, never replaced
	}
	f, err := os.CreateTemp(filepath.Dir(o.path), "."+filepath.Base(o.path)+"-*")
	if err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	_ = f.Close() // nothing was written to it
	return os.Remove(f.Name())
}

// kept reports whether the report is of a format that is filed and looked at
// later.
func (o output) kept() bool { return o.format == report.FormatHTML || o.format == report.FormatJSON }

func formatOf(path string) string {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".html", ".htm":
		return report.FormatHTML
	case ".json":
		return report.FormatJSON
	case ".md", ".markdown":
		return report.FormatMarkdown
	}
	return report.FormatTable
}

// write renders r to where o says.
func (p *program) write(o output, r report.Report) error {
	if o.path == "" {
		return report.Write(p.stdout, o.format, r, p.presentation())
	}
	var b bytes.Buffer
	if err := report.Write(&b, o.format, r, report.Options{}); err != nil {
		return err
	}
	if err := replaceFile(o.path, b.Bytes()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	fmt.Fprintf(p.stderr, "Report written to %s\n", o.path)
	return nil
}

// presentation suits standard output: its colours and its width.
func (p *program) presentation() report.Options {
	o := report.Options{Color: p.colours(p.stdout)}
	if f, ok := p.stdout.(*os.File); ok && terminal(f) {
		o.Width = terminalWidth(f)
	}
	return o
}

// replaceFile writes the whole file or leaves the old one as it was.
func replaceFile(path string, content []byte) error {
	if stat, err := os.Stat(path); err == nil && !stat.Mode().IsRegular() {
		return os.WriteFile(path, content, 0o644) // /dev/null, /dev/stdout, a pipe
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(f.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error is the one that matters
	}
	return err
}
