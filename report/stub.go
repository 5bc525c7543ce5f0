package report

import (
	"errors"
	"io"
)

var errSoon = errors.New("this format is still being written")

// Table writes r for a terminal.
func Table(w io.Writer, r Report, o Options) error { return errSoon }

// JSON writes r for programs.
func JSON(w io.Writer, r Report) error { return errSoon }

// Markdown writes r for a ticket or a pull request.
func Markdown(w io.Writer, r Report, o Options) error { return errSoon }

// HTML writes r as one file.
func HTML(w io.Writer, r Report) error { return errSoon }

// UsageOf counts allocations.
func UsageOf(in []Allocation) Usage { return Usage{} }

// Allocations writes a list of allocations in one of AllocationFormats.
func Allocations(w io.Writer, format string, in []Allocation, o Options) error { return errSoon }

// Summary writes what UsageOf counted in one of AllocationFormats.
func Summary(w io.Writer, format string, u Usage, o Options) error { return errSoon }

// AllocationFormats lists the formats of Allocations and Summary, the default first.
func AllocationFormats() []string {
	return []string{FormatTable, FormatCSV, FormatJSON, FormatMarkdown}
}

// Finding is one thing that `allocsync check` examined.
type Finding struct {
	Section string // "NetBox", "source prod/lxd"
	OK      bool
	Text    string // what was found
	Fix     string // for a bad one: what to do about it
}

// Findings writes what was examined, section by section.
func Findings(w io.Writer, in []Finding, o Options) error { return errSoon }
