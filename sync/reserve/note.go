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
	for row, b := range p.blocked {
		switch b.reason {
		case plan.TriedBefore:
			now[row] = Note{Owner: p.asks[row], Row: row, Text: b.note, Tried: b.tried}
		case plan.Incomplete, plan.NoLedger, plan.NotAllowed: // passes by itself, or is known
		default:
			now[row] = Note{Owner: p.asks[row], Row: row, Text: clipped(b.String())}
		}
	}
	for _, o := range outcomes {
		if o.Status != apply.Refused {
			continue
		}
		n := Note{Owner: o.Change.Owner, Text: clipped(o.Detail)}
		if w, ok := p.wishes[key{o.Change.Owner, o.Change.After.Place}]; ok && o.Change.Action != plan.Delete {
			n.Row, n.Tried = w.row.ID, w.tried
		} else { // there is no row to tell it
			n.Row, n.Tried, n.Told = -o.Change.Before.ID, p.release(o.Change), true
		}
		if o.Denied {
			n.Tried = denied(n.Tried, p.now)
		}
		now[n.Row] = n
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

// over reports whether what was noted counts no longer: the row asks and is met,
// or asks no longer; the reservation is not to be released any more. Of sources
// that were not asked nothing is known.
func (p Proposal) over(n Note) bool {
	if n.Row < 0 {
		release := func(c plan.Change) bool { return c.Action == plan.Delete && c.Before.ID == -n.Row }
		if slices.ContainsFunc(p.Plan.Changes, release) || slices.ContainsFunc(p.Plan.Held, func(h plan.Held) bool { return release(h.Change) }) {
			return false
		}
	} else if _, asks := p.asks[n.Row]; asks {
		_, held := p.blocked[n.Row]
		return !held
	}
	return slices.ContainsFunc(p.Plan.Sources, func(s plan.Summary) bool { return s.Owner == n.Owner })
}

// Why says why a row that asks is held; false where it is not.
func (p Proposal) Why(row int) (string, bool) {
	b, held := p.blocked[row]
	return b.String(), held
}

// release is the fingerprint of the release that a change is, or begins with:
// see Note.Tried.
func (p Proposal) release(c plan.Change) string {
	h, ok := p.held[c.Before.ID]
	if !ok {
		return ""
	}
	return p.sites[c.Owner].fingerprint(ipam.Stored{}, h)
}

// String is the reason and what there is to say of it.
func (b blocked) String() string { return strings.TrimSuffix(string(b.reason)+": "+b.note, ": ") }

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
