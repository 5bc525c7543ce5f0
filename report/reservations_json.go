package report

import (
	"allocsync/sync/plan"
)

// DocumentReservations is the way back: what rows with reserve_at ask the
// sources to hold. Sources are those that are asked or hold something of ours;
// the lists are in the order of the plan.
type DocumentReservations struct {
	Totals  DocumentReservationTotals   `json:"totals"`
	Sources []DocumentReservationSource `json:"sources"`
	Held    []DocumentReservationHeld   `json:"held"`
	Changes []DocumentReservation       `json:"changes"`
}

// DocumentReservationCounts counts reservations, as they were before anything
// was done.
type DocumentReservationCounts struct {
	Asked   int `json:"asked"`   // rows that ask
	Ours    int `json:"ours"`    // reserved from here
	InStep  int `json:"in_step"` // rows whose reservation is held, by whomever it was made
	Reserve int `json:"reserve"`
	Change  int `json:"change"`
	Release int `json:"release"`
	Held    int `json:"held"`
}

// DocumentReservationTotals adds up the sources, and counts changes by their
// status.
type DocumentReservationTotals struct {
	DocumentReservationCounts
	Done        int `json:"done"`
	Refused     int `json:"refused"`
	Failed      int `json:"failed"`
	Skipped     int `json:"skipped"`
	NotApproved int `json:"not_approved"`
}

// DocumentReservationSource is one source's share.
type DocumentReservationSource struct {
	Owner string `json:"owner"`
	DocumentReservationCounts
}

// DocumentReservation is a change at a source. For is the URI of a node or
// instance, or else a MAC, a name, or "nobody in particular". Was, WasFor and
// WasMAC are what it is before a change, "" otherwise. ID is the number of the row that asks, as far as
// it is known: 0 before it was reserved. Status is as in DocumentChange; Detail
// is the source's words.
type DocumentReservation struct {
	Action  string `json:"action"` // reserve, change, release
	Reason  string `json:"reason"`
	Owner   string `json:"owner"` // the source
	Address string `json:"address"`
	VRF     string `json:"vrf"` // table of NetBox in which the address stands
	For     string `json:"for"`
	MAC     string `json:"mac"`
	Was     string `json:"was"`
	WasFor  string `json:"was_for"`
	WasMAC  string `json:"was_mac"`
	ID      int    `json:"id"`
	Status  string `json:"status"`
	Detail  string `json:"detail"`
}

// DocumentReservationHeld is a change at a source that was not planned, why, and
// what to do about it.
type DocumentReservationHeld struct {
	Reason string              `json:"reason"`
	Note   string              `json:"note"`
	Advice string              `json:"advice"`
	Change DocumentReservation `json:"change"` // its status is held
}

func (v *view) documentReservations(o *object) {
	t := v.Total
	o.value("totals", DocumentReservationTotals{
		DocumentReservationCounts: documentReservationCounts(t.Summary),
		Done:                      t.count("done"), Refused: t.count("refused"), Failed: t.count("failed"), Skipped: t.count("skipped"), NotApproved: t.NotApproved,
	})
	o.list("sources", documents(v.Shares, func(s *share) any {
		return DocumentReservationSource{Owner: s.Owner, DocumentReservationCounts: documentReservationCounts(s.Summary)}
	}))
	o.list("held", documents(v.Plan.Held, func(h plan.Held) any { return documentReservationHeld(h) }))
	o.list("changes", documents(entries(v.Report), func(e entry) any { return documentReservation(e) }))
}

func documentReservationCounts(s plan.Summary) DocumentReservationCounts {
	return DocumentReservationCounts{Asked: s.Claims, Ours: s.Rows, InStep: s.InStep, Reserve: s.Create, Change: s.Update, Release: s.Delete, Held: s.Held}
}

func documentReservation(e entry) DocumentReservation {
	r := e.Record()
	d := DocumentReservation{
		Action: deed(e.Action), Reason: string(e.Reason), Owner: e.Owner, Address: r.CIDR().String(), VRF: r.Place.VRF,
		For: string(r.Attrs.UsedBy), MAC: string(r.Attrs.MAC), ID: e.ID(), Status: e.Status, Detail: e.Detail(),
	}
	if e.Action == plan.Update {
		before := e.Before.Record
		d.Was, d.WasFor, d.WasMAC = before.CIDR().String(), string(before.Attrs.UsedBy), string(before.Attrs.MAC)
	}
	return d
}

func documentReservationHeld(h plan.Held) DocumentReservationHeld {
	return DocumentReservationHeld{
		Reason: string(h.Reason), Note: h.Note, Advice: reservationAdvice(h.Reason, h.Change.Owner),
		Change: documentReservation(entry{Change: &h.Change, Status: "held"}),
	}
}

// UndoneReservations lists the changes at the sources that were not carried out,
// as Undone does for those in NetBox.
func UndoneReservations(r Report, max int) (list []DocumentReservation, more int) {
	v := wayBack(r)
	if v == nil {
		return nil, 0
	}
	for _, e := range entries(v.Report) {
		switch {
		case e.Status == "done":
		case len(list) < max:
			list = append(list, documentReservation(e))
		default:
			more++
		}
	}
	return list, more
}

// HeldReservations lists what was not planned at the sources and why, as Held
// does for NetBox.
func HeldReservations(r Report, max int) (list []DocumentReservationHeld, more int) {
	v := wayBack(r)
	if v == nil {
		return nil, 0
	}
	for _, h := range v.Plan.Held {
		if len(list) == max {
			return list, len(v.Plan.Held) - max
		}
		list = append(list, documentReservationHeld(h))
	}
	return list, 0
}
