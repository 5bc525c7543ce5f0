package plan

import (
	"io"
	"slices"

	"allocsync/ipam"
)

// Why something is done or held on the way back: package sync/reserve plans it
// with this package's planner, the arrows reversed. There a row is a reservation
// that a source holds, and a claim is what a row of NetBox asks for.
const (
	AskedFor       Reason = "asked for in NetBox"
	AskedOtherwise Reason = "asked for otherwise in NetBox"
	AskedElsewhere Reason = "asked for at another address in NetBox"
	NotAskedFor    Reason = "no longer asked for in NetBox"

	Taken       Reason = "taken at the source by somebody else"
	Impossible  Reason = "the source cannot hold it"
	InUse       Reason = "in use at the source"
	TriedBefore Reason = "refused before, and nothing has changed since"
	Releasing   Reason = "its reservation is being released"
	NoLedger    Reason = "what was reserved before is not known"
)

// Withhold returns p with those changes held for which why gives a reason, ""
// for none, and a note. p itself stays as it is.
func (p Plan) Withhold(why func(Change) (Reason, string)) Plan {
	out := Plan{Held: slices.Clone(p.Held), Sources: slices.Clone(p.Sources), Reservations: p.Reservations}
	at := map[string]*Summary{}
	for i := range out.Sources {
		at[out.Sources[i].Owner] = &out.Sources[i]
	}
	for _, c := range p.Changes {
		reason, note := why(c)
		if reason == "" {
			out.Changes = append(out.Changes, c)
			continue
		}
		out.Held = append(out.Held, Held{Reason: reason, Change: c, Row: c.Before, Note: note})
		if s := at[c.Owner]; s != nil {
			s.withhold(c)
		}
	}
	slices.SortFunc(out.Held, Held.Compare)
	return out
}

func (s *Summary) withhold(c Change) {
	s.Held++
	switch c.Action {
	case Create:
		s.Create--
	case Update:
		s.Update--
		if c.marks() {
			s.Marked--
		}
	case Delete:
		s.Delete--
	}
}

// digestBack adds the way back to what a person approves, where there is any.
func (p Plan) digestBack(w io.Writer) {
	if p.Reservations == nil || len(p.Reservations.Changes) == 0 {
		return
	}
	_, _ = io.WriteString(w, "reservations\n") // a hash takes everything
	for _, c := range p.Reservations.Changes {
		c.digest(w)
	}
}

// Reservations lists what may be reserved, changed and released at the sources,
// in the order of the plan.
func (a Approved) Reservations() []Change {
	if a.plan.Reservations == nil {
		return nil
	}
	return a.plan.Reservations.Changes
}

// FillIn adds what reservations that were made have to say: changes that fill
// empty fields of the rows that asked for them. Whatever else is among filled,
// and rows that the plan changes already, are left out.
func (a Approved) FillIn(filled []Change) Approved {
	changed := map[int]bool{}
	for _, c := range a.plan.Changes {
		if c.Action != Create {
			changed[c.Before.ID] = changed[c.Before.ID] || c.Before.Place.Kind == ipam.Address
		}
	}
	changes := slices.Clone(a.plan.Changes)
	for _, c := range filled {
		if c.fillsIn() && !changed[c.Before.ID] {
			changes = append(changes, c)
		}
	}
	slices.SortFunc(changes, Change.Compare)
	a.plan.Changes = changes
	return a
}

// Filled is the change that fills in what is empty in a person's row that asked
// owner for a reservation: by whom it is used, of what type, and the MAC. made
// says so; everything else of the row stays the person's.
func Filled(owner string, row ipam.Stored, made ipam.Attrs) Change {
	want := fillIn(row, ipam.Record{Attrs: made})
	return Change{Action: Update, Reason: Reserved, Owner: owner, Before: row, After: want}
}

// fillsIn reports whether c is nothing but what Filled makes, and something.
func (c Change) fillsIn() bool {
	if c.Action != Update || c.Reason != Reserved || c.Before.Owner != "" || c.Before.ReserveAt != c.Owner {
		return false
	}
	fields := c.Edit().Fields()
	for _, f := range fields {
		if f.Old != "" || !slices.Contains([]string{ipam.UsedByField, ipam.TypeField, ipam.MACField}, f.Name) {
			return false
		}
	}
	return len(fields) > 0
}
