package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"allocsync/ipam"
	"allocsync/mapping"
	"allocsync/report"
	"allocsync/sync/worker"
)

// allocationFlags are the flags of `allocsync allocations`.
type allocationFlags struct {
	only        []string
	projects    []string
	allProjects bool
	summary     bool
	explain     string
	format      string
}

func (p *program) allocationsCommand() *cobra.Command {
	var f allocationFlags
	cmd := &cobra.Command{
		Use:     "allocations",
		Aliases: []string{"list-allocations"},
		Short:   "List what the sources hand out",
		Long: `allocations lists every address that the sources hand out, as one table, or with
--summary counts them by source, type and network, with what is used and free.
NetBox is not asked.

--explain ADDRESS shows what each rule of the configuration says to that address,
and the row that comes of it.

Exit codes: 0 listed, 1 failed, 4 a source did not answer in full.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.allocations(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&f.only, "source", nil, "list this source only (may be repeated)")
	flags.StringSliceVar(&f.projects, "project", nil, "list this project only (may be repeated)")
	flags.BoolVar(&f.allProjects, "all-projects", false, "list all projects that the sources are configured to read (the default)")
	flags.BoolVar(&f.summary, "summary", false, "count by source, type and network, with used and free")
	flags.StringVar(&f.explain, "explain", "", "show what every rule says to this address")
	flags.StringVar(&f.format, "format", report.FormatTable, "format: "+strings.Join(report.AllocationFormats(), ", "))
	cmd.MarkFlagsMutuallyExclusive("project", "all-projects")
	cmd.MarkFlagsMutuallyExclusive("summary", "explain")
	p.completeSources(cmd)
	return cmd
}

func (p *program) allocations(ctx context.Context, f allocationFlags) error {
	if !slices.Contains(report.AllocationFormats(), f.format) {
		return fmt.Errorf("--format %q: want one of %s", f.format, strings.Join(report.AllocationFormats(), ", "))
	}
	s, err := p.load(p.configPath, nil) // NetBox is not asked
	if err != nil {
		return err
	}
	// What is listed says it all; what is not is said below.
	readings, err := s.pass(f.only, nil).Read(ctx)
	if err != nil {
		return err
	}
	if f.explain != "" {
		return p.explain(s, readings, f.explain)
	}
	var list []report.Allocation
	for _, r := range readings {
		for _, a := range listed(r) {
			if len(f.projects) == 0 || slices.Contains(f.projects, a.Project) {
				list = append(list, a)
			}
		}
	}
	if f.summary {
		err = report.Summary(p.stdout, f.format, report.UsageOf(list), p.presentation())
	} else {
		err = report.Allocations(p.stdout, f.format, list, p.presentation())
	}
	if err != nil {
		return err
	}
	return p.unlisted(readings)
}

// unlisted says what is not in the list because it could not be read.
func (p *program) unlisted(readings []worker.Reading) error {
	missing, failed := false, 0
	for _, r := range readings {
		for _, text := range r.Missing() {
			missing = true
			fmt.Fprintf(p.stderr, "allocsync: not listed: source %s: %s\n", r.Source.Name, report.Printable(text))
		}
		if r.Err != nil {
			failed++
		}
	}
	switch {
	case failed > 0 && failed == len(readings):
		return exit{exitFailed}
	case missing:
		return exit{exitPartly}
	}
	return nil
}

// explain shows what the rules say to every allocation of one address.
func (p *program) explain(s *setting, readings []worker.Reading, text string) error {
	wanted, err := ipam.ParsePrefix(text)
	if err != nil {
		return fmt.Errorf("--explain: %w", err)
	}
	found := false
	for _, r := range readings {
		in := mapping.Input{Owner: r.Source.Owner, Source: r.Source.Name, Allocations: r.Snapshot.Allocations}
		for _, a := range r.Snapshot.Allocations {
			if !same(a, wanted) {
				continue
			}
			if found {
				fmt.Fprintln(p.stdout)
			}
			found = true
			if err := report.Explain(p.stdout, s.mapping.Explain(in, a), p.presentation()); err != nil {
				return err
			}
		}
	}
	if err := p.unlisted(readings); err != nil {
		return err
	}
	if !found {
		return errors.New("--explain " + text + ": no source hands out that address; see: allocsync allocations")
	}
	return nil
}

// same reports whether a is about the address or prefix that was asked for.
func same(a ipam.Allocation, wanted netip.Prefix) bool {
	if a.Kind == ipam.Prefix {
		return a.Prefix == wanted
	}
	return a.Prefix.Addr() == wanted.Addr()
}
