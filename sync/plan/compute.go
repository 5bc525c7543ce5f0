package plan

import (
	"cmp"
	"slices"

	"allocsync/ipam"
)

// Compute returns the plan for one pass by the truth table of the package
// comment. It is total: there is no input for which it fails. Its cost grows
// with the number of claims and rows, not with their product.
func Compute(in Input) Plan {
	p := newPlanner(in)
	p.walk()
	p.settleGone()
	return p.plan()
}

// planner holds one computation. It refers to claims and rows by their index,
// because a claim or a row is several hundred bytes and most are in step.
type planner struct {
	in     Input
	source map[string]int // owner to index in in.Sources

	summary []Summary
	changes []Change
	held    []Held

	created []int32 // claims that want a new row
	gone    []int32 // rows that nobody claims, of sources that answered in full

	users map[string]map[ipam.UsedBy]bool // by owner, of those that were asked about; see states
}

func newPlanner(in Input) *planner {
	p := &planner{
		in:      in,
		source:  make(map[string]int, len(in.Sources)),
		summary: make([]Summary, len(in.Sources)),
	}
	for i, s := range in.Sources {
		p.source[s.Owner] = i
		p.summary[i] = Summary{Owner: s.Owner, Missing: slices.Clone(s.Missing)}
	}
	for i := range in.Claims {
		if s := p.summaryOf(in.Claims[i].Owner); s != nil {
			s.Claims++
		}
	}
	return p
}

// summaryOf returns nil for an owner that is not configured.
func (p *planner) summaryOf(owner string) *Summary {
	if i, ok := p.source[owner]; ok {
		return &p.summary[i]
	}
	return nil
}

// complete reports whether owner is configured and answered in full.
func (p *planner) complete(owner string) bool {
	i, ok := p.source[owner]
	return ok && p.in.Sources[i].Complete()
}

// walk goes through claims and rows side by side, place by place.
func (p *planner) walk() {
	claims := order(len(p.in.Claims), func(a, b int32) int {
		c, d := &p.in.Claims[a], &p.in.Claims[b]
		if places := c.Place.Compare(d.Place); places != 0 {
			return places
		}
		return c.Compare(*d)
	})
	rows := p.rows()
	for len(claims) > 0 || len(rows) > 0 {
		var at ipam.Place
		switch {
		case len(claims) == 0:
			at = p.in.Current[rows[0]].Place
		case len(rows) == 0:
			at = p.in.Claims[claims[0]].Place
		default:
			at = p.in.Claims[claims[0]].Place
			if q := p.in.Current[rows[0]].Place; q.Compare(at) < 0 {
				at = q
			}
		}
		c, r := 0, 0
		for c < len(claims) && p.in.Claims[claims[c]].Place == at {
			c++
		}
		for r < len(rows) && p.in.Current[rows[r]].Place == at {
			r++
		}
		p.decide(claims[:c], rows[:r])
		claims, rows = claims[c:], rows[r:]
	}
}

// rows returns the rows by place and ID, and counts them. A row that was read
// twice, because the reads that make up Current overlap or a page shifted, is
// one row: as a second row of its place it would be deleted.
func (p *planner) rows() []int32 {
	rows := order(len(p.in.Current), func(a, b int32) int {
		r, s := &p.in.Current[a], &p.in.Current[b]
		if c := cmp.Or(r.Place.Compare(s.Place), cmp.Compare(r.ID, s.ID)); c != 0 {
			return c
		}
		return cmp.Or( // the newest first
			s.LastUpdated.Compare(r.LastUpdated),
			r.Record.Compare(s.Record),
			cmp.Compare(r.ReserveAt, s.ReserveAt),
		)
	})
	rows = slices.CompactFunc(rows, func(a, b int32) bool {
		r, s := &p.in.Current[a], &p.in.Current[b]
		return r.ID == s.ID && r.Place == s.Place
	})
	for _, i := range rows {
		if s := p.summaryOf(p.in.Current[i].Owner); s != nil {
			s.Rows++
		}
	}
	return rows
}

// order returns 0..n-1 sorted by compare.
func order(n int, compare func(a, b int32) int) []int32 {
	index := make([]int32, n)
	for i := range index {
		index[i] = int32(i)
	}
	slices.SortFunc(index, compare) // what compares as 0 is equal: no order to keep
	return index
}

// update plans what makes row equal to want, or counts it as in step.
func (p *planner) update(owner string, reason Reason, row ipam.Stored, want ipam.Record) {
	if row.Attrs.GoneUnix != 0 && want.Attrs.GoneUnix == 0 {
		// The mark took the row's status away; give it back, unless a rule
		// says what it is or a person has set another since.
		if want.Attrs.Status == "" && row.Attrs.Status == deprecated {
			want.Attrs.Status = active
		}
		if reason == Changed {
			reason = Revived
		}
	}
	edit := ipam.Edit{Before: row, After: want}
	if edit.InStep() {
		p.summaryOf(owner).InStep++
		return
	}
	p.changes = append(p.changes, Change{Action: Update, Reason: reason, Owner: owner, Before: row, After: want})
}

// NetBox's values of status that the planner itself sets.
const (
	active     = "active"
	deprecated = "deprecated"
)

func (p *planner) hold(reason Reason, change Change, row ipam.Stored, note string) {
	p.held = append(p.held, Held{Reason: reason, Change: change, Row: row, Note: note})
}

// plan applies the policy, counts, and puts everything into its order.
func (p *planner) plan() Plan {
	p.changes = slices.DeleteFunc(p.changes, func(c Change) bool {
		i := p.source[c.Owner]
		forbidden := p.in.Sources[i].Allow.forbids(c)
		if forbidden == 0 {
			return false
		}
		p.hold(NotAllowed, c, c.Before, "policy of "+c.Owner+" does not allow "+forbidden.String())
		return true
	})
	for _, c := range p.changes {
		s := p.summaryOf(c.Owner)
		switch c.Action {
		case Create:
			s.Create++
		case Update:
			s.Update++
			if c.marks() {
				s.Marked++
			}
		case Delete:
			s.Delete++
		}
	}
	for _, h := range p.held {
		if s := p.summaryOf(h.Change.Owner); s != nil {
			s.Held++
		}
	}
	slices.SortFunc(p.changes, Change.Compare)
	slices.SortFunc(p.held, Held.Compare)
	return Plan{Changes: p.changes, Held: p.held, Sources: p.summary}
}

// forbids returns the action that keeps c from being done, 0 where it may be. A
// mark is the first half of a delete, so it takes both.
func (a Allow) forbids(c Change) Action {
	switch {
	case c.Action == Create && !a.Create:
		return Create
	case c.Action == Update && !a.Update:
		return Update
	case (c.Action == Delete || c.marks()) && !a.Delete:
		return Delete
	}
	return 0
}

// marks reports whether the change marks a row as gone.
func (c Change) marks() bool {
	return c.Action == Update && c.After.Attrs.GoneUnix != 0 && c.Before.Attrs.GoneUnix == 0
}

// Record is what the change is about: the row as wanted, or for a Delete the
// row as it was.
func (c Change) Record() ipam.Record {
	if c.Action == Delete {
		return c.Before.Record
	}
	return c.After
}

// Compare orders changes by action, then by their record, then by ID.
func (c Change) Compare(d Change) int {
	return cmp.Or(
		cmp.Compare(c.Action, d.Action),
		c.Record().Compare(d.Record()),
		cmp.Compare(c.Before.ID, d.Before.ID),
	)
}

// Compare orders by the change held, then by reason and the row in the way.
func (h Held) Compare(k Held) int {
	return cmp.Or(
		h.Change.Record().Place.Compare(k.Change.Record().Place),
		h.Change.Compare(k.Change),
		cmp.Compare(h.Reason, k.Reason),
		cmp.Compare(h.Row.ID, k.Row.ID),
		cmp.Compare(h.Note, k.Note),
	)
}
