package report

import (
	"fmt"
	"strings"

	"allocsync/sync/plan"
)

// reservations shows the way back on a terminal; v is nil where there is none.
func (t terminal) reservations(v *view) {
	if v == nil {
		return
	}
	t.gap()
	if len(v.Shares) == 0 {
		t.line(0, none, noReservations)
		return
	}
	t.line(0, bold, strings.ToUpper(reservationsTitle))
	t.line(0, none, reservationsLead)
	t.grid(titles("SOURCE", "ASKED FOR", "OURS", "IN STEP", "RESERVE", "CHANGE", "RELEASE", "HELD"), false, func(yield func(cells) bool) {
		for name, s := range v.shareLines(plain) {
			if !yield(cells{text: append([]string{name}, reservationCounts(s)...)}) {
				return
			}
		}
	})
	for _, s := range v.Shares {
		for _, group := range s.reasons() {
			t.heldReservations(plain(s.Owner), group)
		}
	}
	for _, s := range v.Shares {
		for _, list := range s.batches() {
			t.reservationChanges(v, s, list)
		}
	}
}

// shareLines are the names and counts of the sources, and of all of them where
// there are several. Foreign is how the format writes foreign text.
func (v *view) shareLines(foreign func(string) string) func(yield func(string, plan.Summary) bool) {
	return func(yield func(string, plan.Summary) bool) {
		for _, s := range v.Shares {
			if !yield(foreign(s.Owner), s.Summary) {
				return
			}
		}
		if len(v.Shares) > 1 {
			yield("all", v.Total.Summary)
		}
	}
}

func reservationCounts(s plan.Summary) []string {
	return []string{number(s.Claims), number(s.Rows), number(s.InStep), number(s.Create), number(s.Update), number(s.Delete), number(s.Held)}
}

func (t terminal) heldReservations(owner string, group []*plan.Held) {
	reason := group[0].Reason
	t.gap()
	t.line(0, magenta, fmt.Sprintf("%s: held, %s (%s)", owner, plain(string(reason)), number(len(group))))
	if text := reservationAdvice(reason, owner); text != "" {
		t.line(2, none, text)
	}
	t.grid(titles("ADDRESS", "FOR", "WANTED", "NOTE"), false, func(yield func(cells) bool) {
		for _, h := range group {
			r := h.Change.Record()
			if !yield(cells{color: magenta, text: []string{where(r), forWhom(r), wish(h), plain(h.Note)}}) {
				return
			}
		}
	})
}

// reservationHeads are the columns of changes of one action.
func (v *view) reservationHeads(a plan.Action) []string {
	heads := []string{"Address", "For"}
	if a == plan.Update {
		heads = append(heads, "Was")
	}
	if !v.DryRun {
		heads = append(heads, "Result")
	}
	return heads
}

// reservationCells are the cells under them.
func (v *view) reservationCells(e entry) []string {
	r := e.Record()
	list := []string{where(r), forWhom(r)}
	if e.Action == plan.Update {
		list = append(list, was(e.Change))
	}
	if !v.DryRun {
		list = append(list, e.result())
	}
	return list
}

func (t terminal) reservationChanges(v *view, s *share, list []entry) {
	action := list[0].Action
	t.gap()
	t.line(0, tint(action), v.changesTitle(s, plain(s.Owner), plain(string(list[0].Reason)), list))
	heads := v.reservationHeads(action)
	for i := range heads {
		heads[i] = strings.ToUpper(heads[i])
	}
	t.grid(titles(heads...), false, func(yield func(cells) bool) {
		for _, e := range list {
			if !yield(cells{text: v.reservationCells(e), color: tint(action)}) {
				return
			}
		}
	})
}

// reservations writes the way back; v is nil where there is none.
func (m *markdown) reservations(v *view) {
	switch {
	case v == nil:
		return
	case len(v.Shares) == 0:
		m.text("%s\n\n", noReservations)
		return
	}
	m.text("## %s\n\n%s\n\n", reservationsTitle, strings.ReplaceAll(reservationsLead, "reserve_at", "`reserve_at`"))
	m.table("Source", "#Asked for", "#Ours", "#In step", "#Reserve", "#Change", "#Release", "#Held")
	for name, s := range v.shareLines(code) {
		if name == "all" { // foreign text would stand in a code span
			name = "**all**"
		}
		m.row(append([]string{name}, reservationCounts(s)...)...)
	}
	m.text("\n")
	for _, s := range v.Shares {
		for _, group := range s.reasons() {
			m.heldReservations(code(s.Owner), group)
		}
	}
	for _, s := range v.Shares {
		for _, list := range s.batches() {
			m.text("### %s\n\n", v.changesTitle(s, code(s.Owner), words(string(list[0].Reason)), list))
			m.table(v.reservationHeads(list[0].Action)...)
			for _, e := range list {
				cells := v.reservationCells(e)
				for i := range cells {
					cells[i] = code(cells[i])
				}
				m.row(cells...)
			}
			m.text("\n")
		}
	}
}

func (m *markdown) heldReservations(owner string, group []*plan.Held) {
	reason := group[0].Reason
	m.text("### %s: held, %s (%s)\n\n", owner, words(string(reason)), number(len(group)))
	if text := reservationAdvice(reason, owner); text != "" {
		m.text("%s\n\n", text)
	}
	m.table("Address", "For", "Wanted", "Note")
	for _, h := range group {
		r := h.Change.Record()
		m.row(code(where(r)), code(forWhom(r)), code(wish(h)), code(h.Note))
	}
	m.text("\n")
}
