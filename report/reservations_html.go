package report

import (
	"allocsync/sync/apply"
	"allocsync/sync/plan"
)

// webReservations is the way back as the template shows it.
type webReservations struct {
	Title, Lead string
	Lines       []webReservationLine // none where there is nothing to show
	Blocks      []webReservationBlock
}

// webReservationLine is the counts of one source, or of all.
type webReservationLine struct {
	Name string
	plan.Summary
}

// webReservationBlock is what is held and done at one source.
type webReservationBlock struct {
	Name    string
	Reasons []heldBatch
	Batches []reservationBatch
}

// reservationBatch is changes of one action and reason.
type reservationBatch struct {
	changeBatch
	Deed string // "would reserve"
}

// webReservations is nil where there is no way back.
func (v *view) webReservations() *webReservations {
	switch {
	case v == nil:
		return nil
	case len(v.Shares) == 0:
		return &webReservations{Title: reservationsTitle, Lead: noReservations}
	}
	w := &webReservations{Title: reservationsTitle, Lead: reservationsLead}
	for name, s := range v.shareLines(plain) {
		w.Lines = append(w.Lines, webReservationLine{name, s})
	}
	for _, s := range v.Shares {
		b := webReservationBlock{Name: plain(s.Owner)}
		for _, list := range s.reasons() {
			b.Reasons = append(b.Reasons, heldBatch{
				Reason: list[0].Reason, Advice: reservationAdvice(list[0].Reason, b.Name), Rows: list, Open: len(list) <= openRows,
			})
		}
		for _, list := range s.batches() {
			b.Batches = append(b.Batches, v.reservationBatch(s, list))
		}
		w.Blocks = append(w.Blocks, b)
	}
	return w
}

func (v *view) reservationBatch(s *share, list []entry) reservationBatch {
	action := list[0].Action
	b := reservationBatch{Deed: deed(action), changeBatch: changeBatch{
		Action: action.String(), Sign: sign(action.String()), Title: plain(string(list[0].Reason)), Last: "Result",
		Update: action == plan.Update, Waits: v.waits(s), Rows: list, Open: len(list) <= openRows,
	}}
	if v.DryRun {
		b.Deed, b.Last = "would "+b.Deed, ""
	}
	return b
}

// reservationChips are the counts of the way back that are not zero.
func (v *view) reservationChips() []chip {
	if v == nil {
		return nil
	}
	t := v.Total
	all := []chip{
		{Class: "create", Sign: "+", Name: "reserve", Count: t.Create},
		{Class: "update", Sign: "±", Name: "change", Count: t.Update},
		{Class: "delete", Sign: "−", Name: "release", Count: t.Delete},
		{Class: "held", Sign: "‖", Name: "reservations held", Count: t.Held},
	}
	for _, status := range append([]string{apply.Done.String()}, unfinished()...) {
		all = append(all, chip{Class: class(status), Sign: sign(status), Name: "reservations " + status, Count: t.count(status)})
	}
	var list []chip
	for _, c := range all {
		if c.Target = "reservations"; c.Count > 0 {
			list = append(list, c)
		}
	}
	return list
}
