package reserve

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"allocsync/ipam"
	"allocsync/sync/plan"
)

// Compute plans the way back by the truth table of the package comment. It is
// total and asks nobody but the sources' Consider.
func Compute(in Input) Proposal {
	c := &computation{Proposal: Proposal{wishes: map[key]wish{}, held: map[int]ipam.Reservation{}}, notes: map[int]Note{}, extra: map[string]*plan.Summary{}}
	for _, n := range in.Ledger.Notes {
		c.notes[n.Row] = n
	}
	for _, s := range in.Sources {
		c.extra[s.Owner] = &plan.Summary{}
		c.source(newSite(s, in))
		// Each by itself: what one source holds, no other can take over.
		one := plan.Compute(plan.Input{
			Sources: []plan.Source{{Owner: s.Owner, Missing: s.Missing, Allow: s.Allow}}, Claims: c.claims, Current: c.current,
		})
		c.Plan.Changes = append(c.Plan.Changes, one.Changes...)
		c.Plan.Held = append(c.Plan.Held, one.Held...)
		c.Plan.Sources = append(c.Plan.Sources, one.Sources...)
		c.claims, c.current = nil, nil
	}
	slices.SortFunc(c.Plan.Changes, plan.Change.Compare)
	c.name()
	c.Plan = c.Plan.Withhold(c.withheld)
	c.count()
	return c.Proposal
}

// computation is one Compute.
type computation struct {
	Proposal
	claims  []ipam.Claim  // of the source that is dealt with
	current []ipam.Stored // likewise
	aside   []plan.Held   // what the planner does not get to see
	extra   map[string]*plan.Summary
	notes   map[int]Note
}

// source goes through what is asked of one source, and then through what it
// holds of ours that nobody asks for.
func (c *computation) source(s *site) {
	for _, row := range s.rows {
		c.extra[s.Owner].Claims++
		c.row(s, row)
	}
	for i, h := range s.Held {
		c.holdings = append(c.holdings, Holding{Reservation: h, Owner: s.Owner, VRF: s.tableOf(h), Ours: s.ours(h)})
		if !s.ours(h) || s.met[i] {
			continue
		}
		if s.asked[h.Addr] {
			c.extra[s.Owner].Rows++ // the row that asks is held, and so is this
			continue
		}
		c.own(s, h)
	}
	if s.Closed == "" && len(s.Missing) == 0 {
		c.Forget = append(c.Forget, s.forgotten()...)
	}
}

// own adds a reservation of ours to what there is. Its ID is made of what it is:
// a digest that was approved must not change because of others.
func (c *computation) own(s *site, h ipam.Reservation) {
	sum := fnv.New32a()
	fmt.Fprintf(sum, "%s %s %s", s.Owner, h.Network, h.Addr)
	id := int(sum.Sum32() >> 1)
	for _, taken := c.held[id]; taken || id == 0; _, taken = c.held[id] {
		id++
	}
	c.held[id] = h
	c.current = append(c.current, ipam.Stored{ID: id, Record: s.record(s.tableOf(h), h)})
}

// row decides what becomes of one row that asks.
func (c *computation) row(s *site, row ipam.Stored) {
	asked := s.wishOf(row)
	change := plan.Change{Action: plan.Create, Reason: plan.AskedFor, Owner: s.Owner, After: s.record(row.Place.VRF, asked)}
	c.wishes[key{s.Owner, change.After.Place}] = wish{Reservation: asked, row: row}
	hold := func(reason plan.Reason, note string) {
		s.asked[asked.Addr] = true
		c.aside = append(c.aside, plan.Held{Reason: reason, Change: change, Note: note})
	}
	if s.Closed != "" {
		hold(plan.Impossible, s.Closed)
		return
	}
	if row.Owner != "" && row.Owner != s.Owner {
		hold(plan.OtherOwner, row.Owner)
		return
	}
	network, why := s.networkOf(row)
	switch {
	case why != "" && len(s.Missing) > 0:
		hold(plan.Incomplete, strings.Join(s.Missing, "; "))
		return
	case why != "":
		hold(plan.Impossible, why)
		return
	}
	asked.Network = network
	c.place(s, row, asked, hold)
}

// place decides on a row of which it is known at which network it asks.
func (c *computation) place(s *site, row ipam.Stored, asked ipam.Reservation, hold func(plan.Reason, string)) {
	at := s.heldAt(asked)
	if i := slices.IndexFunc(at, func(i int) bool { return s.meets(s.Held[i], asked) }); i >= 0 {
		c.meet(s, at[i])
		return
	}
	ours := slices.IndexFunc(at, func(i int) bool { return s.ours(s.Held[i]) })
	if ours >= 0 {
		c.replace(s, row, asked, at[ours], hold)
		return
	}
	if len(at) > 0 {
		hold(plan.Taken, "held for "+whom(s.Held[at[0]]))
		return
	}
	asked.Ref = s.moving(asked)
	completed, err := s.Consider(asked)
	if err != nil {
		hold(plan.Impossible, err.Error())
		return
	}
	c.want(s, row, asked, completed, hold)
}

// replace decides on a row that may ask for another user than the one for whom
// its address is held. Who it is only the source can tell: used_by may name a
// reservation that is gone.
func (c *computation) replace(s *site, row ipam.Stored, asked ipam.Reservation, i int, hold func(plan.Reason, string)) {
	h := s.Held[i]
	asked.Ref = h.Ref
	completed, err := s.Consider(asked)
	switch {
	case err != nil:
		hold(plan.Impossible, err.Error()) // and what is held stays
	case completed.MAC == h.MAC && completed.For == h.For:
		c.meet(s, i)
	default:
		if c.want(s, row, asked, completed, hold) {
			s.met[i] = true
			c.own(s, h)
		}
	}
}

// want claims what a row asks for, unless that was refused before.
func (c *computation) want(s *site, row ipam.Stored, asked, completed ipam.Reservation, hold func(plan.Reason, string)) bool {
	completed.Addr, completed.Network, completed.Mark, completed.Ref = asked.Addr, asked.Network, s.Owner, ""
	w := wish{Reservation: completed, row: row, tried: s.fingerprint(row, completed)}
	if n, ok := c.notes[row.ID]; ok && n.Tried == w.tried {
		hold(plan.TriedBefore, n.Text)
		return false
	}
	record := s.record(row.Place.VRF, completed)
	c.wishes[key{s.Owner, record.Place}] = w
	c.extra[s.Owner].Claims-- // the planner counts it
	c.claims = append(c.claims, ipam.Claim{Record: record})
	return true
}

// meet counts a row whose reservation is held already.
func (c *computation) meet(s *site, i int) {
	if s.met[i] || !s.ours(s.Held[i]) {
		c.extra[s.Owner].InStep++
		s.met[i] = true
		return
	}
	s.met[i] = true
	if e, _ := s.entryOf(s.Held[i].Network, s.Held[i].Addr); !e.Made || e.Wish.Ref != s.Held[i].Ref {
		e.Made, e.Wish = true, s.Held[i] // a crash came before this could be noted
		c.Adopt = append(c.Adopt, e)
	}
	c.extra[s.Owner].Claims-- // the planner counts it
	c.own(s, s.Held[i])
	c.claims = append(c.claims, ipam.Claim{Record: c.current[len(c.current)-1].Record})
}

// withheld says which changes are not to be made now.
func (c *computation) withheld(change plan.Change) (plan.Reason, string) {
	if change.Action != plan.Create { // an update gives another address up
		if h := c.held[change.Before.ID]; h.InUse != "" {
			return plan.InUse, h.InUse
		}
	}
	return "", ""
}

// name gives the planner's reasons the words of this direction.
func (c *computation) name() {
	words := map[plan.Reason]plan.Reason{
		plan.New: plan.AskedFor, plan.Changed: plan.AskedOtherwise,
		plan.Renumbered: plan.AskedElsewhere, plan.Moved: plan.AskedElsewhere,
		plan.NowGone: plan.NotAskedFor,
	}
	for i := range c.Plan.Changes {
		c.reword(&c.Plan.Changes[i], words)
	}
	for i := range c.Plan.Held {
		c.reword(&c.Plan.Held[i].Change, words)
	}
}

func (c *computation) reword(change *plan.Change, words map[plan.Reason]plan.Reason) {
	if word, ok := words[change.Reason]; ok {
		change.Reason = word
	}
}

// count adds what the planner did not see.
func (c *computation) count() {
	for i := range c.Plan.Sources {
		s, more := &c.Plan.Sources[i], c.extra[c.Plan.Sources[i].Owner]
		s.InStep += more.InStep
		s.Rows += more.Rows
		s.Claims += more.Claims
		for _, h := range c.aside {
			if h.Change.Owner == s.Owner {
				s.Held++
			}
		}
	}
	c.Plan.Held = append(c.Plan.Held, c.aside...)
	slices.SortFunc(c.Plan.Held, plan.Held.Compare)
}

// whom says for whom a reservation is held.
func whom(h ipam.Reservation) string {
	switch {
	case h.For != "":
		return string(h.For)
	case h.MAC != "":
		return string(h.MAC)
	case h.Name != "":
		return h.Name
	}
	return string(h.Ref)
}
