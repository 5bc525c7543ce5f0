package report

import (
	"slices"

	"allocsync/ipam"
	"allocsync/sync/apply"
	"allocsync/sync/plan"
)

// Texts of the part of a report about the way back.
const (
	reservationsTitle = "Reservations: NetBox to the sources"
	reservationsLead  = "What rows with reserve_at ask the sources to hold. Ours is what was reserved from here; what others reserved is never released."
	noReservations    = "Reservations: none are asked for, and none are held for NetBox."

	unaskedAdvice = "If NetBox should still ask for reservations there, look at the field reserve_at of its rows, and at what the token may see."
)

// wayBack is the view of the way back: the sources that are asked for
// reservations or hold some of ours. It is nil where there is no way back.
//
// What stands as a row in that plan is a reservation at a source, numbered by
// the planner's caller: such numbers look like those of rows in NetBox, so they
// are taken out here, before anything can show them.
func wayBack(r Report) *view {
	if r.Plan.Reservations == nil {
		return nil
	}
	back := Report{DryRun: r.DryRun, Exceeded: r.Exceeded, Plan: plan.Plan{Sources: r.Plan.Reservations.Sources}}
	for _, c := range r.Plan.Reservations.Changes {
		back.Plan.Changes = append(back.Plan.Changes, unnumbered(c))
	}
	for _, h := range r.Plan.Reservations.Held {
		back.Plan.Held = append(back.Plan.Held, plan.Held{Reason: h.Reason, Change: unnumbered(h.Change), Note: h.Note})
	}
	if r.Result != nil {
		back.Result = &apply.Result{}
		for _, o := range r.Result.Reservations {
			o.Change = unnumbered(o.Change)
			back.Result.Outcomes = append(back.Result.Outcomes, o)
		}
	}
	v := sorted(back)
	v.reversed = true
	v.Shares = slices.DeleteFunc(v.Shares, func(s *share) bool {
		return s.Claims+s.Rows+s.Summary.Held+len(s.Held)+len(s.Changes) == 0
	})
	return v
}

func unnumbered(c plan.Change) plan.Change {
	c.Before.ID = 0
	return c
}

// deed is what is done to a row, or to a reservation: "create", "reserve".
func (v *view) deed(a plan.Action) string {
	if v.reversed {
		return deed(a)
	}
	return a.String()
}

// deed is what is done to a reservation: "reserve", "change" or "release".
func deed(a plan.Action) string {
	switch a {
	case plan.Create:
		return "reserve"
	case plan.Update:
		return "change"
	case plan.Delete:
		return "release"
	}
	return a.String()
}

// Deed is what is done to a reservation, and what was: "reserve" and "reserved".
func Deed(a plan.Action) (do, done string) { return deed(a), deed(a) + "d" }

// also is a sentence more about a source, where it has to do with the way back.
func (v *view) also(owner, text string) string {
	if v == nil || v.share(owner) == nil {
		return ""
	}
	return " " + text
}

// unasked reports whether nobody asks a source any more for what it holds.
func (v *view) unasked(owner string) bool {
	if v == nil {
		return false
	}
	s := v.share(owner)
	return s != nil && s.Claims == 0 && s.Delete > 0
}

// share is that of an owner, nil for none.
func (v *view) share(owner string) *share {
	for _, s := range v.Shares {
		if s.Owner == owner {
			return s
		}
	}
	return nil
}

// forWhom is for whom an address is reserved: the node, instance or name, and
// the MAC where that is not the same.
func forWhom(r ipam.Record) string {
	text := plain(string(r.Attrs.UsedBy))
	if r.Attrs.MAC != "" && string(r.Attrs.MAC) != string(r.Attrs.UsedBy) {
		text += ", " + plain(string(r.Attrs.MAC))
	}
	return text
}

// was is what a reservation that is changed was before: the address, and for
// whom where that is another; "" for what is not changed.
func was(c *plan.Change) string {
	if c.Action != plan.Update {
		return ""
	}
	text := where(c.Before.Record)
	if before := forWhom(c.Before.Record); before != forWhom(c.After) {
		text += " for " + before
	}
	return text
}

// wish says what of a reservation is held: "change, asked for at another address
// in NetBox, from 10.0.0.5/24".
func wish(h *plan.Held) string {
	text := deed(h.Change.Action) + ", " + plain(string(h.Change.Reason))
	if before := was(&h.Change); before != "" {
		text += ", from " + before
	}
	return text
}

// Lines lists what a plan would do, a line for each change: reservations first,
// since there are few of them and the sources are written first. It stops after
// max; more says how many others there are. The texts are foreign.
func Lines(p plan.Plan, max int) (lines []string, more int) {
	var back []plan.Change
	if p.Reservations != nil {
		back = p.Reservations.Changes
	}
	for _, c := range back[:min(len(back), max)] {
		lines = append(lines, reservationLine(c))
	}
	for _, c := range p.Changes[:min(len(p.Changes), max-len(lines))] {
		lines = append(lines, c.String())
	}
	return lines, len(back) + len(p.Changes) - len(lines)
}

// reservationLine is "reserve 10.0.0.5/24 for /1.0/instances/u1 at dc1/lab:
// asked for in NetBox".
func reservationLine(c plan.Change) string {
	text := deed(c.Action) + " " + where(c.Record()) + " for " + forWhom(c.Record()) + " at " + plain(c.Owner)
	if before := was(&c); before != "" {
		text += ", from " + before
	}
	return text + ": " + plain(string(c.Reason))
}

// reservationAdvice is what a person can do about a reservation that is held,
// "" for a reason that is not known here. The owner is given as the format
// writes it.
func reservationAdvice(r plan.Reason, owner string) string {
	switch r {
	case plan.Taken:
		return "Somebody else has this address at the source, and what others reserved is never released from here. Ask for another address, or have that one freed at the source."
	case plan.Impossible:
		return "Change what the row in NetBox asks for (address, VRF, hwaddr, used_by, or another reserve_at), or put the source right. Clear reserve_at if the address is not to be reserved."
	case plan.TriedBefore:
		return "It is tried again when the row in NetBox has changed, or what the source says of the address or of its user. To try at once, save the row in NetBox."
	case plan.InUse:
		return "It is released once nobody uses it any more: stop its user, or give that another address. To keep it, ask for it again in NetBox."
	case plan.NoLedger:
		return "Nothing is reserved or released as long as it is not known what was reserved from here. That stands in the state folder: it has to be named and kept, and while serve uses it, serve makes the reservations."
	case plan.Incomplete:
		return "Nothing is released, and no network is taken to be gone, before the source answers in full. Make the missing part readable: the next complete answer decides."
	case plan.NotAllowed:
		return "The policy of " + owner + " keeps this from being done. Allow it in the configuration, or do it by hand at the source."
	case plan.OtherOwner:
		return "The row is kept by another source than the one that it asks. Let its reserve_at name the source that keeps it, or clear reserve_at."
	case plan.Contested:
		return "Several rows in NetBox ask for one address. Clear the reserve_at of all but one."
	}
	return ""
}
