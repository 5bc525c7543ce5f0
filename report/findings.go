package report

import (
	"io"

	"allocsync/mapping"
)

// Finding is one thing that `allocsync check` examined.
type Finding struct {
	Section string // "NetBox", "source prod/lxd"
	OK      bool
	Text    string // what was found
	Fix     string // for a bad one: what to do about it
}

// Findings writes what was examined, in the order given, with a heading where
// the section changes, and how many need something done.
func Findings(w io.Writer, in []Finding, o Options) error {
	t := newTerminal(w, o)
	section := ""
	bad := 0
	for i, f := range in {
		if f.Section != section || i == 0 {
			if i > 0 {
				t.gap()
			}
			t.line(0, bold, plain(f.Section))
			section = f.Section
		}
		if f.OK {
			t.item("ok   ", green, f.Text)
			continue
		}
		bad++
		t.item("FAIL ", red, f.Text)
		if f.Fix != "" {
			t.item("fix: ", none, f.Fix)
		}
	}
	t.gap()
	switch {
	case len(in) == 0:
		t.line(0, bold, "Nothing was examined.")
	case bad == 0:
		t.line(0, bold, "All "+number(len(in))+" checks passed.")
	default:
		t.line(0, bold, number(bad)+" of "+number(len(in))+" checks failed.")
	}
	return t.out.Flush()
}

// item writes foreign text behind a mark, its further lines below its first.
func (t terminal) item(mark string, c color, text string) {
	const indent = 2
	for i, l := range wrap(plain(text), max(t.width-indent-len(mark), narrowest)) {
		if i > 0 {
			mark = "     "
		}
		t.out.WriteString("  " + t.paint.text(c, mark) + l + "\n")
	}
}

// Explain writes how the rules came to what they make of one allocation: each
// rule with the conditions that failed or the values it sets, and the outcome.
func Explain(w io.Writer, e mapping.Explanation, o Options) error {
	t := newTerminal(w, o)
	a := e.Allocation
	t.line(0, bold, plain(a.Kind.String()+" "+a.Prefix.String()+" of "+e.Owner))
	t.line(2, none, plain("type "+a.Type+", used by "+string(a.UsedBy)))
	for _, r := range e.Rules {
		t.gap()
		if !r.Matched() {
			t.line(0, faint, plain(r.Rule)+": does not match")
			for _, c := range r.Failed {
				t.line(2, none, c.Key+" is "+quoted(c.Actual)+", wanted "+plain(c.Wants))
			}
			continue
		}
		t.line(0, green, plain(r.Rule)+": matches")
		for _, s := range r.Set {
			text := s.Key + ": " + quoted(s.Value)
			c := none
			if s.Void != "" {
				text += " (" + plain(s.Void) + ")"
				c = faint
			}
			t.line(2, c, text)
		}
	}
	t.gap()
	t.outcome(e)
	return t.out.Flush()
}

func (t terminal) outcome(e mapping.Explanation) {
	switch {
	case e.Problem != "":
		t.line(0, red, "Cannot be in NetBox: "+plain(e.Problem))
	case e.SkippedBy != "":
		t.line(0, yellow, "Skipped by "+plain(e.SkippedBy))
	default:
		t.line(0, bold, "Claims "+where(e.Claim.Record)+" with rank "+number(int(e.Claim.Rank)))
		for _, f := range claimed(e.Claim) {
			t.line(2, none, f.Name+": "+plain(f.New))
		}
	}
}

// quoted makes an empty value visible.
func quoted(s string) string {
	if s == "" {
		return `""`
	}
	return plain(s)
}
