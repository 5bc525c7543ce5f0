package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"allocsync/sync/apply"
	"allocsync/sync/plan"
)

// Report is everything that a person wants to know of one pass.
type Report struct {
	Installation string
	NetBox       NetBox
	Started      time.Time // shown in UTC
	Took         time.Duration
	DryRun       bool

	Plan   plan.Plan
	Digest string   // what `allocsync sync --approve` takes
	Only   []string // names of the sources that the pass was restricted to

	// Exceeded are the sources whose changes were not carried out, or would
	// not be, because they go over a limit.
	Exceeded []Exceeded

	// Result is what became of the plan. It is nil in a dry run, and where
	// nothing was carried out. Its outcomes stand in the order of the plan;
	// changes of the plan that have no outcome were not approved.
	Result *apply.Result

	Unreachable []Problem // sources that did not answer at all
	Problems    []Problem // allocations that could not be mapped, and the like

	Usage    Usage    // zero where it is not wanted
	Requests Requests // zero where nobody counted
}

// NetBox is the server that a pass worked on.
type NetBox struct {
	URL     string // without any secret; reports link rows to it
	Version string
}

// Exceeded is a source whose changes need a person.
type Exceeded struct {
	Owner string
	Text  string // with the numbers: "would delete 40 of 120 rows (33 %), the limit is 30 %"
}

// Problem is something that went wrong on the way to a plan.
type Problem struct {
	Owner string // "" where no source is to blame
	Text  string // what, and what to do about it
}

// Requests counts what a pass asked of NetBox.
type Requests struct {
	Sent    int // HTTP requests
	Read    int // rows
	Written int // rows
}

// Options are choices of presentation. The zero value gives everything,
// without colours, for a terminal of DefaultWidth columns.
type Options struct {
	Color bool // Table: ANSI colours; never the only sign of anything
	Width int  // Table: columns of the terminal; 0 means DefaultWidth

	// Limit is how long Markdown may become, in bytes; 0 means no limit.
	// CommentLimit is what GitHub takes as one comment.
	Limit int
}

// DefaultWidth is how wide tables are where nobody knows the terminal.
const DefaultWidth = 120

// CommentLimit is how long a comment on GitHub may be (it counts characters,
// of which there are never more than bytes); other trackers take more.
const CommentLimit = 65536

// Names of formats, as --format takes them.
const (
	FormatTable    = "table"
	FormatJSON     = "json"
	FormatMarkdown = "markdown"
	FormatHTML     = "html"
	FormatCSV      = "csv"
)

// Formats lists the formats of Write, the default first.
func Formats() []string {
	return []string{FormatTable, FormatJSON, FormatMarkdown, FormatHTML}
}

// Write renders r in one of Formats.
func Write(w io.Writer, format string, r Report, o Options) error {
	switch format {
	case FormatTable:
		return Table(w, r, o)
	case FormatJSON:
		return JSON(w, r)
	case FormatMarkdown:
		return Markdown(w, r, o)
	case FormatHTML:
		return HTML(w, r)
	}
	return unknownFormat(format, Formats())
}

func unknownFormat(format string, known []string) error {
	last := len(known) - 1
	return fmt.Errorf("format %q: want %s or %s", format, strings.Join(slices.Clone(known[:last]), ", "), known[last])
}
