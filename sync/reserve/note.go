package reserve

import (
	"cmp"
	"slices"
	"strings"

	"allocsync/ipam"
	"allocsync/sync/apply"
	"allocsync/sync/plan"
)

// maxText is how long the Text of a note may be, in bytes: a ledger that cuts it
// off would find it changed in each pass.
const maxText = 2000

func clipped(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "…"
}

// Notes says what has to be noted of the rows that ask, after a run: what keeps
// a reservation from being made that is not known yet, and with an empty Text
// what no longer does. A Note whose Told is not set is to be told to people. They
// are ordered by row.
func Notes(p Proposal, outcomes []apply.Outcome, book Book) []Note {
	now := map[int]Note{}
	for _, h := range p.Plan.Held {
		w, ok := p.wishes[key{h.Change.Owner, h.Change.Record().Place}]
		if !ok || h.Change.Action != plan.Create {
			continue
		}
		switch h.Reason {
		case plan.TriedBefore:
			now[w.row.ID] = Note{Owner: h.Change.Owner, Row: w.row.ID, Text: h.Note, Tried: w.tried}
		case plan.Incomplete, plan.NoLedger, plan.NotAllowed, plan.AskedOtherwise: // passes by itself, or is known
		default:
			now[w.row.ID] = Note{Owner: h.Change.Owner, Row: w.row.ID, Text: clipped(string(h.Reason) + ": " + h.Note)}
		}
	}
	for _, o := range outcomes {
		w, ok := p.wishes[key{o.Change.Owner, o.Change.After.Place}]
		if ok && o.Status == apply.Refused && o.Change.Action != plan.Delete {
			now[w.row.ID] = Note{Owner: o.Change.Owner, Row: w.row.ID, Text: clipped(o.Detail), Tried: w.tried}
		}
	}
	return differences(p, now, book.Notes)
}

// differences compares what is to be noted with what is.
func differences(p Proposal, now map[int]Note, before []Note) []Note {
	var list []Note
	known := map[int]bool{}
	for _, old := range before {
		known[old.Row] = true
		n, still := now[old.Row]
		switch {
		case still && n.Text == old.Text:
			n.Told = old.Told
			if n.Tried == "" {
				n.Tried = old.Tried
			}
			if n != old || !n.Told {
				list = append(list, n)
			}
		case still:
			list = append(list, n)
		case p.over(old):
			list = append(list, Note{Owner: old.Owner, Row: old.Row})
		}
	}
	for _, n := range now {
		if !known[n.Row] {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b Note) int { return cmp.Compare(a.Row, b.Row) })
	return list
}

// over reports whether a row that something was noted of has nothing against it
// any more: it asks and is met, or asks no longer. Of sources that were not
// asked nothing is known.
func (p Proposal) over(n Note) bool {
	for _, w := range p.wishes {
		if w.row.ID == n.Row {
			return !slices.ContainsFunc(p.Plan.Held, func(h plan.Held) bool {
				return h.Change.Record().Place == w.row.Place && h.Change.Action == plan.Create
			})
		}
	}
	return slices.ContainsFunc(p.Plan.Sources, func(s plan.Summary) bool { return s.Owner == n.Owner })
}

// RowOf returns the row of NetBox because of which a change is made or held, as
// far as there is one.
func (p Proposal) RowOf(c plan.Change) (ipam.Stored, bool) {
	w, ok := p.wishes[key{c.Owner, c.Record().Place}]
	return w.row, ok
}

// Released lists the reservations that changes give up, with their owners:
// allocations of them are about to go.
func (p Proposal) Released(changes []plan.Change) map[string][]ipam.Reservation {
	out := map[string][]ipam.Reservation{}
	for _, c := range changes {
		if c.Action == plan.Create {
			continue
		}
		if h, ok := p.held[c.Before.ID]; ok {
			out[c.Owner] = append(out[c.Owner], h)
		}
	}
	return out
}
