package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// How much of each list the first page shows; the rest is on pages of its own.
const (
	shownSources  = 100
	shownReasons  = 3
	shownNotes    = 40
	shownHeld     = 50
	shownChanges  = 50
	shownFields   = 12
	shownPending  = 10
	shownOwners   = 20 // of a pending plan or a pass
	shownLines    = 40 // of a pending plan
	shownPasses   = 12
	shownNetworks = 15
	shownTypes    = 12
)

// overview is the first page.
type overview struct {
	frame
	Headline, State, Verdict string
	Said                     string // what an approval led to
	Notes                    []note
	NotesMore                int
	Sources                  []sourceRow
	SourcesMore              int
	Pending                  []pendingBlock
	PendingMore              int
	Held                     []heldGroup
	HeldCount, HeldMore      int
	Changes                  []changeRow
	ChangesCount             int
	ChangesMore              int
	PlanAt                   time.Time
	Passes                   []passRow
	PassesMore               int
	Types                    []typeRow
	TypesMore                int
	Networks                 []networkRow
	NetworksMore             int
}

// note is something that a person should know before reading on.
type note struct {
	Owner, Title, Text, Advice string
	Target, TargetName         string // where there is more about it
	Severe                     bool
}

// sourceRow is a source and what of it is shown.
type sourceRow struct {
	Source
	Shown []string // reasons
	More  int
}

func newOverview(f frame, v View) overview {
	o := overview{frame: f, PlanAt: v.Plan.At, HeldCount: len(v.Plan.Held), ChangesCount: len(v.Plan.Changes)}
	o.Headline, o.State = headline(v)
	o.Title = o.Headline
	o.Verdict = verdict(v)
	o.Notes, o.NotesMore = head(notes(v), shownNotes)

	var sources []Source
	sources, o.SourcesMore = head(v.Sources, shownSources)
	for _, s := range sources {
		row := sourceRow{Source: s}
		row.Shown, row.More = head(s.Reasons, shownReasons)
		o.Sources = append(o.Sources, row)
	}
	var pending []Pending
	pending, o.PendingMore = head(v.Pending, shownPending)
	for i, p := range pending {
		o.Pending = append(o.Pending, f.pending(p, i+1, shownLines))
	}
	var held []Held
	held, o.HeldMore = head(v.Plan.Held, shownHeld)
	o.Held = f.held(held)
	var changes []Change
	changes, o.ChangesMore = head(v.Plan.Changes, shownChanges)
	o.Changes = f.changes(changes)
	var passes []Pass
	passes, o.PassesMore = head(v.Passes, shownPasses)
	o.Passes = passRows(passes)

	types := typeRows(v.Types)
	networks, more := head(networkOrder(v.Networks), shownNetworks)
	o.Networks, o.NetworksMore = networkRows(networks, types), more
	o.Types, o.TypesMore = head(types, shownTypes)
	return o
}

// head is the beginning of a list, and how much more there is.
func head[T any](list []T, limit int) ([]T, int) {
	if len(list) <= limit {
		return list, 0
	}
	return list[:limit], len(list) - limit
}

// count says of how many sources something is true.
func (v View) count(is func(Source) bool) int {
	n := 0
	for _, s := range v.Sources {
		if is(s) {
			n++
		}
	}
	return n
}

// unread reports that nothing was read since the installation began.
func (v View) unread() bool {
	return len(v.Passes) == 0 && v.count(func(s Source) bool { return s.Answer != "" }) == 0
}

// failed is the last pass, if that failed.
func (v View) failed() (Pass, bool) {
	if len(v.Passes) == 0 || v.Passes[0].Outcome != OutcomeFailed {
		return Pass{}, false
	}
	return v.Passes[0], true
}

// late is how long a pass that is due may take to begin.
const late = 2 * time.Minute

func (v View) overdue() bool { return !v.Running && !v.Next.IsZero() && v.Now.Sub(v.Next) > late }

// headline says in a few words how things stand, and its class: bad where a
// person has to act, held where one should look, good, or calm.
func headline(v View) (text, state string) {
	none := v.count(func(s Source) bool { return s.Answer == AnswerNone })
	part := v.count(func(s Source) bool { return s.Answer == AnswerIncomplete })
	_, failed := v.failed()
	switch {
	case len(v.Pending) > 0:
		return "Needs a person", "bad"
	case none == 1:
		return "A source does not answer", "bad"
	case none > 1:
		return number(none) + " sources do not answer", "bad"
	case failed:
		return "The last pass failed", "bad"
	case v.overdue():
		return "A pass is overdue", "bad"
	case len(v.Plan.Changes) > 0:
		return counted(len(v.Plan.Changes), "change") + " not done", "held"
	case v.unread():
		return "Nothing read yet", "calm"
	case part == 1:
		return "A source answers in part", "held"
	case part > 1:
		return number(part) + " sources answer in part", "held"
	case len(v.Plan.Held) > 0:
		return "In step, " + number(len(v.Plan.Held)) + " held", "held"
	}
	return "In step", "good"
}

// verdict is the page in one sentence.
func verdict(v View) string {
	if v.unread() {
		if v.Running {
			return "The first pass is running."
		}
		return "The first pass has not begun."
	}
	allocations, rows := 0, 0
	for _, s := range v.Sources {
		allocations += s.Allocations
		rows += s.Rows
	}
	parts := []string{
		counted(len(v.Sources), "source"), counted(allocations, "allocation"), counted(rows, "row") + " owned in NetBox",
		number(len(v.Plan.Held)) + " held", number(len(v.Plan.Changes)) + " not done",
	}
	if n := len(v.Pending); n > 0 {
		parts = append(parts, counted(n, "plan")+" waiting for approval")
	}
	return strings.Join(parts, ", ")
}

// notes lists what needs somebody, the most urgent first.
func notes(v View) []note {
	var list []note
	for i, p := range v.Pending {
		n := note{Title: "over its limits", Severe: true, Target: fmt.Sprintf("#pending-%d", i+1), TargetName: "See the plan",
			Advice: "None of these changes is made before a person approves the plan."}
		if i >= shownPending {
			n.Target = "/plans/" + p.Digest
		}
		for _, o := range p.Owners {
			if o.Limit != "" {
				n.Owner, n.Text = cmp.Or(n.Owner, o.Owner), cmp.Or(n.Text, o.Limit)
			}
		}
		list = append(list, n)
	}
	for _, s := range v.Sources {
		if s.Answer == AnswerNone {
			list = append(list, note{Owner: cmp.Or(s.Owner, s.Name), Title: "did not answer", Text: first(s.Reasons), Severe: true,
				Advice: "Nothing of this source is created, updated or deleted until it answers." + s.also("Nothing is reserved there, and nothing released.")})
		}
	}
	if p, failed := v.failed(); failed {
		list = append(list, note{Title: "The last pass failed", Text: p.Error, Severe: true, Advice: "The next pass takes it up again.",
			Target: fmt.Sprintf("/passes/%d", p.ID), TargetName: "See the pass"})
	}
	if v.overdue() {
		list = append(list, note{Title: "A pass is overdue", Text: "It was due at " + v.Next.UTC().Format("2006-01-02 15:04:05") + " UTC.", Severe: true,
			Advice: "Look at the log of the worker: it may hang."})
	}
	for _, s := range v.Sources {
		if s.Answer == AnswerIncomplete {
			list = append(list, note{Owner: cmp.Or(s.Owner, s.Name), Title: "incomplete", Text: "Missing: " + first(s.Reasons),
				Advice: "Nothing of this source is deleted until it answers in full." + s.also("Nothing is released there.")})
		}
	}
	for _, s := range v.Sources {
		if s.WatchBroken {
			list = append(list, note{Owner: cmp.Or(s.Owner, s.Name), Title: "tells of no changes", Text: s.Watch,
				Advice: "Changes are seen by the next pass on schedule."})
		}
	}
	for _, text := range v.Notices {
		list = append(list, note{Title: "Notice", Text: text})
	}
	return list
}

// also is a sentence more about a source that holds addresses for NetBox.
func (s Source) also(text string) string {
	if !s.Reserves {
		return ""
	}
	return " " + text
}

// first is the first of some reasons, and how many more there are.
func first(reasons []string) string {
	switch len(reasons) {
	case 0:
		return "No reason is known."
	case 1:
		return reasons[0]
	}
	return reasons[0] + " (and " + number(len(reasons)-1) + " more)"
}

// sum adds up what a pass did to all of its sources.
func (p Pass) sum() PassSource {
	var t PassSource
	for _, s := range p.Sources {
		t.Allocations += s.Allocations
		t.Rows += s.Rows
		t.InStep += s.InStep
		t.Created += s.Created
		t.Updated += s.Updated
		t.Deleted += s.Deleted
		t.Held += s.Held
		t.Failed += s.Failed
		t.Reserved += s.Reserved
		t.Released += s.Released
	}
	return t
}

// passRow is a pass in one line.
type passRow struct {
	Pass
	Sum PassSource
}

func passRows(passes []Pass) []passRow {
	rows := make([]passRow, len(passes))
	for i, p := range passes {
		rows[i] = passRow{Pass: p, Sum: p.sum()}
	}
	return rows
}

// AskedText names what was asked, bounded.
func (p passRow) AskedText() string {
	names, more := head(p.Asked, shownOwners)
	text := strings.Join(slices.Clone(names), ", ")
	if more > 0 {
		text += " and " + number(more) + " more"
	}
	return cmp.Or(text, "all sources")
}

// MissingShown are the parts that a source did not list, bounded.
func (s PassSource) MissingShown() []string {
	list, more := head(s.Missing, shownOwners)
	if more > 0 {
		list = append(slices.Clone(list), "and "+number(more)+" more")
	}
	return list
}
