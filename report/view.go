package report

import (
	"cmp"
	"maps"
	"slices"

	"allocsync/ipam"
	"allocsync/sync/apply"
	"allocsync/sync/plan"
)

// view is a Report sorted by source: what every format starts from.
type view struct {
	Report
	Shares []*share  // in the order of the configuration, then any others
	Other  []Problem // that no source is to blame for
	Total  totals

	Back     *view // the way back, with those sources that it is about; nil where no source holds addresses
	reversed bool  // this is one
}

// share is one source's part of a report.
type share struct {
	plan.Summary
	Configured  bool // Summary counts; false for an owner known only by its rows
	Over        []string
	Unreachable []string
	Problems    []string
	Held        []*plan.Held // by reason, then in the order of the plan
	Changes     []entry      // in the order of the plan: by action
}

// entry is a change and what became of it.
type entry struct {
	*plan.Change
	Outcome *apply.Outcome // nil where there is none
	Status  string         // "planned", an apply.Status, or "not approved"
}

// Status of an entry that has no outcome.
const (
	planned     = "planned"
	notApproved = "not approved"
)

// totals adds up the shares. By is how many changes of each action have each
// status.
type totals struct {
	plan.Summary
	By          map[plan.Action]map[string]int
	NotApproved int
}

func newView(r Report) *view {
	v := sorted(r)
	v.Back = wayBack(r)
	return v
}

// sorted sorts a report by source.
func sorted(r Report) *view {
	v := &view{Report: r}
	v.Started = r.Started.UTC()
	shares := v.open()
	at := func(owner string) *share {
		s := shares[owner]
		if s == nil {
			s = &share{Summary: plan.Summary{Owner: owner}}
			shares[owner] = s
		}
		return s
	}
	for _, e := range r.Exceeded {
		s := at(e.Owner)
		s.Over = append(s.Over, e.Text)
	}
	for _, p := range r.Unreachable {
		s := at(p.Owner)
		s.Unreachable = append(s.Unreachable, p.Text)
	}
	for _, p := range r.Problems {
		if p.Owner == "" {
			v.Other = append(v.Other, p)
			continue
		}
		s := at(p.Owner)
		s.Problems = append(s.Problems, p.Text)
	}
	for i := range r.Plan.Held {
		h := &r.Plan.Held[i]
		s := at(h.Change.Owner)
		s.Held = append(s.Held, h)
	}
	for _, e := range entries(r) {
		s := at(e.Owner)
		s.Changes = append(s.Changes, e)
	}
	v.close(shares)
	return v
}

// open makes a share for each source of the plan, in its order.
func (v *view) open() map[string]*share {
	shares := make(map[string]*share, len(v.Plan.Sources))
	for _, s := range v.Plan.Sources {
		if shares[s.Owner] == nil {
			shares[s.Owner] = &share{Summary: s, Configured: true}
			v.Shares = append(v.Shares, shares[s.Owner])
		}
	}
	return shares
}

// close puts owners that are no source of the plan behind the others, orders
// what is held, and adds everything up.
func (v *view) close(shares map[string]*share) {
	for _, owner := range slices.Sorted(maps.Keys(shares)) {
		if s := shares[owner]; !s.Configured {
			s.Summary.Held = len(s.Held)
			for _, e := range s.Changes {
				s.tally(e.Action)
			}
			v.Shares = append(v.Shares, s)
		}
	}
	v.Total.By = map[plan.Action]map[string]int{plan.Create: {}, plan.Update: {}, plan.Delete: {}}
	for _, s := range v.Shares {
		slices.SortStableFunc(s.Held, func(a, b *plan.Held) int {
			return cmp.Or(cmp.Compare(urgency(a.Reason), urgency(b.Reason)), cmp.Compare(a.Reason, b.Reason))
		})
		v.Total.add(s)
	}
}

func (s *share) tally(a plan.Action) {
	switch a {
	case plan.Create:
		s.Create++
	case plan.Update:
		s.Update++
	case plan.Delete:
		s.Delete++
	}
}

func (t *totals) add(s *share) {
	t.Claims += s.Claims
	t.Rows += s.Rows
	t.InStep += s.InStep
	t.Waiting += s.Waiting
	t.Create += s.Create
	t.Update += s.Update
	t.Delete += s.Delete
	t.Held += s.Summary.Held
	t.Marked += s.Marked
	for _, e := range s.Changes {
		if t.By[e.Action] == nil {
			t.By[e.Action] = map[string]int{}
		}
		t.By[e.Action][e.Status]++
		if e.Status == notApproved {
			t.NotApproved++
		}
	}
}

// planned is how many changes there are to make.
func (t totals) planned() int { return t.Create + t.Update + t.Delete }

// of is how many of one action there are to make.
func (t totals) of(a plan.Action) int {
	return map[plan.Action]int{plan.Create: t.Create, plan.Update: t.Update, plan.Delete: t.Delete}[a]
}

// count is how many changes have a status, whatever the action.
func (t totals) count(status string) int {
	n := 0
	for _, by := range t.By {
		n += by[status]
	}
	return n
}

// entries are the changes of the plan and what became of them.
func entries(r Report) []entry {
	var outcomes []apply.Outcome
	if r.Result != nil {
		outcomes = r.Result.Outcomes
	}
	if r.DryRun {
		return paired(r.Plan.Changes, outcomes, planned)
	}
	return paired(r.Plan.Changes, outcomes, notApproved)
}

// paired pairs changes with their outcomes. Both stand in the order of the
// plan, and what was not approved has no outcome: its status is open. An
// outcome that belongs to no change is listed all the same: nothing that was
// done is left out. Such are rows in which a reservation was filled in, and they
// may stand between the others.
func paired(changes []plan.Change, outcomes []apply.Outcome, open string) []entry {
	list := make([]entry, 0, max(len(changes), len(outcomes)))
	next := 0
	for i := range changes {
		e := entry{Change: &changes[i], Status: open}
		if next < len(outcomes) && outcomes[next].Change == *e.Change {
			e.settle(&outcomes[next])
			next++
		}
		list = append(list, e)
	}
	if next == len(outcomes) {
		return list
	}
	waiting := map[plan.Change][]int{} // entries without an outcome, by what they are about
	for i, e := range list {
		if e.Outcome == nil {
			waiting[*e.Change] = append(waiting[*e.Change], i)
		}
	}
	for i := next; i < len(outcomes); i++ {
		o := &outcomes[i]
		if at := waiting[o.Change]; len(at) > 0 {
			list[at[0]].settle(o)
			waiting[o.Change] = at[1:]
			continue
		}
		e := entry{Change: &o.Change}
		e.settle(o)
		list = append(list, e)
	}
	return list
}

func (e *entry) settle(o *apply.Outcome) {
	e.Outcome, e.Status = o, o.Status.String()
}

// ID is the row's number in NetBox, 0 where there is none yet.
func (e entry) ID() int {
	if e.Outcome != nil && e.Outcome.ID != 0 {
		return e.Outcome.ID
	}
	return e.Before.ID
}

// Detail is NetBox's words, or why a row was kept.
func (e entry) Detail() string {
	if e.Outcome == nil {
		return ""
	}
	return e.Outcome.Detail
}

// batches splits the changes by action and reason, in this order.
func (s *share) batches() [][]entry {
	sorted := slices.Clone(s.Changes)
	slices.SortStableFunc(sorted, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.Action, b.Action), cmp.Compare(usual(a.Reason), usual(b.Reason)), cmp.Compare(a.Reason, b.Reason))
	})
	return runs(sorted, func(a, b entry) bool { return a.Action == b.Action && a.Reason == b.Reason })
}

// reasons splits what is held by reason, the most urgent first.
func (s *share) reasons() [][]*plan.Held {
	return runs(s.Held, func(a, b *plan.Held) bool { return a.Reason == b.Reason })
}

// runs splits a list wherever neighbours are not alike.
func runs[T any](list []T, alike func(a, b T) bool) [][]T {
	var split [][]T
	for len(list) > 0 {
		n := 1
		for n < len(list) && alike(list[n], list[0]) {
			n++
		}
		split = append(split, list[:n])
		list = list[n:]
	}
	return split
}

// fields lists what a change makes of a row: for a Create what it sets, for a
// Delete what is lost, both without the place, which reports show beside it.
func fields(c *plan.Change) []ipam.Field {
	if c.Action != plan.Delete {
		return c.Fields()
	}
	gone := *c
	gone.Action, gone.After = plan.Create, c.Before.Record
	lost := gone.Fields()
	for i, f := range lost {
		lost[i].Old, lost[i].New = f.New, ""
	}
	return lost
}

// extra is fields without those that reports show in columns of their own.
func extra(c *plan.Change) []ipam.Field {
	list := fields(c)
	if c.Action == plan.Update {
		return list
	}
	return slices.DeleteFunc(list, func(f ipam.Field) bool {
		return f.Name == ipam.UsedByField || f.Name == ipam.OwnerField
	})
}

// claimed lists what a claim sets, whatever NetBox holds.
func claimed(c ipam.Claim) []ipam.Field {
	return plan.Change{Action: plan.Create, After: c.Record}.Fields()
}
