package report

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"

	"allocsync/sync/plan"
)

// Table writes r for a terminal of o.Width columns: what needs a person first,
// then what is held, then every change by source. Foreign text is broken to
// fit, never cut off, and holds nothing that a terminal would obey (see
// plain). On a terminal too narrow for columns, rows stand below each other.
func Table(w io.Writer, r Report, o Options) error {
	t := newTerminal(w, o)
	v := newView(r)
	t.heading(v)
	t.notes(v)
	t.sources(v)
	t.held(v)
	t.reservations(v.Back)
	for _, s := range v.Shares {
		t.changes(v, s)
	}
	if !r.Usage.Empty() {
		t.usage(r.Usage)
	}
	t.footing(v)
	return t.out.Flush()
}

// terminal writes text of a given width. Write errors surface at the final
// Flush, as bufio keeps the first.
type terminal struct {
	out   *bufio.Writer
	width int
	paint painter
}

func newTerminal(w io.Writer, o Options) terminal {
	width := o.Width
	if width <= 0 {
		width = DefaultWidth
	}
	return terminal{out: bufio.NewWriterSize(w, 1<<16), width: width, paint: painter{o.Color}}
}

// line writes text, broken to fit behind an indent.
func (t terminal) line(indent int, c color, text string) {
	for _, l := range wrap(text, max(t.width-indent, narrowest)) {
		t.out.WriteString(strings.Repeat(" ", indent) + t.paint.text(c, l) + "\n")
	}
}

func (t terminal) gap() { t.out.WriteByte('\n') }

func (t terminal) grid(heads []column, rules bool, rows iter.Seq[cells]) {
	grid{out: t.out, width: t.width, rules: rules, paint: t.paint}.draw(heads, rows)
}

func (t terminal) heading(v *view) {
	title := "Reconciliation report"
	if v.Installation != "" {
		title += " of " + plain(v.Installation)
	}
	t.line(0, bold, title+": "+v.headline())
	t.line(0, none, v.verdict()+" ("+v.mode()+")")
	if v.NetBox != (NetBox{}) {
		t.line(0, faint, strings.TrimSpace("NetBox "+plain(v.NetBox.Version))+" at "+shown(v.NetBox.URL))
	}
	if text := v.circumstances(); text != "" {
		t.line(0, faint, text)
	}
}

// circumstances says when the pass was and what it cost, in one line.
func (v *view) circumstances() string {
	var parts []string
	if m := moment(v.Started); m != "" {
		parts = append(parts, "started "+m)
	}
	if v.Took > 0 {
		parts = append(parts, "took "+took(v.Took))
	}
	if v.Requests != (Requests{}) {
		parts = append(parts, v.Requests.String())
	}
	return strings.Join(parts, ", ")
}

// String says how much was asked of NetBox.
func (q Requests) String() string {
	return fmt.Sprintf("%s requests, %s read, %s written", number(q.Sent), rows(q.Read), rows(q.Written))
}

func (t terminal) notes(v *view) {
	notes := v.notes()
	if len(notes) > 0 {
		t.gap()
		t.line(0, bold, "ATTENTION")
	}
	for _, n := range notes {
		c, sign := yellow, "- "
		if n.Severe {
			c, sign = red, "! "
		}
		title := n.Title
		if n.Owner != "" {
			title = plain(n.Owner) + ": " + title
		}
		t.line(0, c, sign+title)
		t.line(2, none, plain(n.Text))
		if n.Advice != "" {
			t.line(2, none, n.Advice)
		}
	}
	if command := v.approval(); command != "" && len(v.Exceeded) > 0 {
		t.gap()
		t.approval(v, command)
	}
}

func (t terminal) approval(v *view, command string) {
	t.line(0, none, v.approvalText())
	t.out.WriteString("  " + t.paint.text(bold, command) + "\n") // never broken: it is to be copied
}

func (t terminal) sources(v *view) {
	if len(v.Shares) == 0 {
		return
	}
	t.gap()
	t.line(0, bold, "SOURCES")
	heads := titles("SOURCE", "ANSWER", "ROWS", "IN STEP", "CREATE", "UPDATE", "DELETE", "HELD", "WAITING")
	t.grid(heads, false, func(yield func(cells) bool) {
		line := func(name, answer string, s plan.Summary) bool {
			waiting := "" // leaves the column out where nothing waits
			if v.Total.Waiting > 0 {
				waiting = number(s.Waiting)
			}
			return yield(cells{text: []string{name, answer, number(s.Rows), number(s.InStep), number(s.Create),
				number(s.Update), number(s.Delete), number(s.Held), waiting}})
		}
		for _, s := range v.Shares {
			if !line(plain(s.Owner), s.answer(), s.Summary) {
				return
			}
		}
		if len(v.Shares) > 1 {
			line("all", "", v.Total.Summary)
		}
	})
}

// titles makes columns of headings; what is special about a column follows
// from its heading.
func titles(names ...string) []column {
	heads := make([]column, len(names))
	for i, name := range names {
		heads[i] = column{title: name}
		switch strings.ToUpper(name) {
		case "ADDRESS", "PREFIX":
			heads[i].keep = 36 // at 120 columns the longest address with its length
		case "USED BY", "HARDWARE ADDRESS", "FOR":
			heads[i].keep = 20
		case "IN THE WAY", "NOTE":
			heads[i].optional = true
		case "ROWS", "IN STEP", "CREATE", "UPDATE", "DELETE", "HELD", "WAITING", "PREFIXES", "IPV4", "IPV6", "USED", "FREE", "CAPACITY", "ROW", "ASKED FOR", "OURS", "RESERVE", "CHANGE", "RELEASE":
			heads[i].right = true
		}
		heads[i].optional = heads[i].optional || name == "WAITING"
	}
	return heads
}

func (t terminal) held(v *view) {
	if v.Total.Held == 0 {
		return
	}
	t.gap()
	t.line(0, bold, "HELD: "+number(v.Total.Held)+" not planned, each for a reason")
	for _, s := range v.Shares {
		for _, group := range s.reasons() {
			reason := group[0].Reason
			t.gap()
			t.line(0, magenta, fmt.Sprintf("%s: %s (%s)", plain(s.Owner), plain(string(reason)), number(len(group))))
			if text := advice(reason, plain(s.Owner)); text != "" {
				t.line(2, none, text)
			}
			t.grid(titles("ADDRESS", "USED BY", "WANTED", "IN THE WAY", "NOTE"), false, func(yield func(cells) bool) {
				for _, h := range group {
					r := h.Change.Record()
					if !yield(cells{color: magenta, text: []string{where(r), plain(string(r.Attrs.UsedBy)), wanted(h), inTheWay(h), plain(h.Note)}}) {
						return
					}
				}
			})
		}
	}
}

// wanted says what would have been done, and to which fields.
func wanted(h *plan.Held) string {
	text := h.Change.Action.String() + ", " + plain(string(h.Change.Reason))
	if h.Change.Action != plan.Update {
		if list := listed(extra(&h.Change)); list != "" {
			text += ": " + list
		}
		return text
	}
	sep := ": "
	for _, f := range extra(&h.Change) {
		text += sep + f.Name + " " + shown(f.Old) + " → " + shown(f.New)
		sep = ", "
	}
	return text
}

// inTheWay describes the row for which something is held.
func inTheWay(h *plan.Held) string {
	row := h.Row
	if row.ID == 0 {
		return ""
	}
	text := "#" + strconv.Itoa(row.ID)
	if row.ID == h.Change.Before.ID {
		return text // it is the row that the line is about
	}
	lost := plan.Change{Action: plan.Delete, Before: row}
	if list := listed(fields(&lost)); list != "" {
		text += ": " + list
	}
	return text
}

func (t terminal) changes(v *view, s *share) {
	for _, list := range s.batches() {
		action := list[0].Action
		heads, lines := titles("ADDRESS", "USED BY", "SETS"), oneLine
		switch action {
		case plan.Update:
			heads, lines = titles("ADDRESS", "USED BY", "FIELD", "OLD", "NEW"), fieldLines
		case plan.Delete:
			heads = titles("ADDRESS", "USED BY", "WAS")
		}
		result := "RESULT"
		if v.DryRun {
			result = "ROW"
		}
		if !v.DryRun || action != plan.Create {
			heads = append(heads, titles(result)...)
		}
		t.gap()
		t.line(0, tint(action), v.changesTitle(s, plain(s.Owner), plain(string(list[0].Reason)), list))
		t.grid(heads, false, func(yield func(cells) bool) {
			for _, e := range list {
				last := e.result()
				if v.DryRun {
					last = "#" + strconv.Itoa(e.ID())
				}
				if !lines(e, last, len(heads), yield) {
					return
				}
			}
		})
	}
}

// changesTitle heads changes of one source, action and reason; name and reason
// are given as the format writes them.
func (v *view) changesTitle(s *share, name, reason string, list []entry) string {
	action := v.deed(list[0].Action)
	if v.DryRun {
		action = "would " + action
	}
	title := name + ": " + action + " " + number(len(list)) + ", " + reason
	if v.waits(s) {
		title += " (not before a person approves)"
	}
	return title
}

// waits reports whether the source's changes wait for a person.
func (v *view) waits(s *share) bool {
	return len(s.Over) > 0 && slices.ContainsFunc(s.Changes, func(e entry) bool { return e.Outcome == nil })
}

// oneLine writes a create or a delete: what it sets, or what is lost.
func oneLine(e entry, last string, width int, yield func(cells) bool) bool {
	r := e.Record()
	text := []string{where(r), plain(string(r.Attrs.UsedBy)), listed(extra(e.Change)), last}
	return yield(cells{text: text[:width], color: tint(e.Action)})
}

// fieldLines writes an update: a line for each field that differs, old and new
// side by side.
func fieldLines(e entry, last string, _ int, yield func(cells) bool) bool {
	r := e.Record()
	for i, f := range fields(e.Change) {
		text := []string{"", "", f.Name, shown(f.Old), shown(f.New), ""}
		if i == 0 {
			text[0], text[1], text[5] = where(r), plain(string(r.Attrs.UsedBy)), last
		}
		if !yield(cells{text: text, more: i > 0, color: yellow}) {
			return false
		}
	}
	return true
}

func tint(a plan.Action) color {
	switch a {
	case plan.Create:
		return green
	case plan.Update:
		return yellow
	}
	return red
}

func (t terminal) footing(v *view) {
	t.gap()
	t.line(0, bold, v.headline()+": "+v.verdict())
	if command := v.approval(); command != "" {
		t.approval(v, command)
	}
}
