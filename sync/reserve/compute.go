package reserve

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"allocsync/ipam"
	"allocsync/sources"
	"allocsync/sync/plan"
)

// Compute plans the way back by the truth table of the package comment. It is
// total and asks nobody but the sources' Consider.
func Compute(in Input) Proposal {
	c := &computation{
		Proposal: Proposal{
			now: in.Now, wishes: map[key]wish{}, held: map[int]ipam.Reservation{}, sites: map[string]*site{},
			asks: map[int]string{}, blocked: map[int]blocked{},
		},
		notes: map[int]Note{}, extra: map[string]*plan.Summary{},
	}
	for _, n := range in.Ledger.Notes {
		c.notes[n.Row] = n
	}
	for _, s := range in.Sources {
		c.extra[s.Owner] = &plan.Summary{}
		c.sites[s.Owner] = newSite(s, in)
		c.source(c.sites[s.Owner])
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
	for _, rows := range s.places() {
		decides := s.decides(rows)
		for i, row := range rows {
			c.extra[s.Owner].Claims++
			c.asks[row.ID] = s.Owner
			switch {
			case !s.may(row):
				c.hold(s, row, plan.OtherOwner, row.Owner)
			case i != decides:
				c.hold(s, row, plan.Contested, fmt.Sprintf("row #%d asks for the same address, and has it", rows[decides].ID))
			default:
				c.row(s, row)
			}
		}
	}
	for i, h := range s.Held {
		vrf, bits := s.tableOf(h)
		c.holdings = append(c.holdings, Holding{Reservation: h, Owner: s.Owner, VRF: vrf, Mask: bits, Ours: s.ours(h)})
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

// hold puts a row aside. What is held at its address is none of its business.
func (c *computation) hold(s *site, row ipam.Stored, reason plan.Reason, note string) {
	change := plan.Change{Action: plan.Create, Reason: plan.AskedFor, Owner: s.Owner, After: s.record(row.Place.VRF, s.wishOf(row))}
	c.aside = append(c.aside, plan.Held{Reason: reason, Change: change, Note: note})
	c.blocked[row.ID] = blocked{reason: reason, note: note}
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
	vrf, _ := s.tableOf(h)
	c.current = append(c.current, ipam.Stored{ID: id, Record: s.record(vrf, h)})
}

// row decides what becomes of the row that asks for an address. Where it cannot
// be met, what is held there stays.
func (c *computation) row(s *site, row ipam.Stored) {
	asked := s.wishOf(row)
	hold := func(reason plan.Reason, note string) {
		s.asked[asked.Addr] = true
		c.hold(s, row, reason, note)
	}
	if s.Closed != "" {
		hold(plan.Impossible, s.Closed)
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
	at := s.at[spotOf(asked)]
	meets := func(i int) bool { return Meets(s.Held[i], asked) }
	met := slices.IndexFunc(at, func(i int) bool { return meets(i) && s.ours(s.Held[i]) })
	if met < 0 {
		met = slices.IndexFunc(at, meets)
	}
	if met >= 0 {
		c.meet(s, at[met])
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
		hold(impossible(err), err.Error())
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
		hold(impossible(err), err.Error()) // and what is held stays
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
	if n, ok := c.notes[row.ID]; ok && c.same(n, w.tried) {
		hold(plan.TriedBefore, n.Text)
		c.blocked[row.ID] = blocked{plan.TriedBefore, n.Text, n.Tried}
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
	if e := s.known[spotOf(s.Held[i])]; !e.Made || e.Wish.Ref != s.Held[i].Ref {
		e.Made, e.Wish = true, s.Held[i] // a crash came before this could be noted
		c.Adopt = append(c.Adopt, e)
	}
	c.extra[s.Owner].Claims-- // the planner counts it
	c.own(s, s.Held[i])
	c.claims = append(c.claims, ipam.Claim{Record: c.current[len(c.current)-1].Record})
}

// impossible is the reason for which a desk's error holds a row.
func impossible(err error) plan.Reason {
	if errors.Is(err, sources.ErrUnreachable) {
		return plan.Incomplete // it is not known
	}
	return plan.Impossible
}

// same reports whether what was refused is what would be tried now. Rights that
// were given since cannot be seen: what was denied is tried again in the next
// hour.
func (c *computation) same(n Note, tried string) bool {
	return n.Tried == tried || n.Tried == denied(tried, c.now)
}

func denied(tried string, now time.Time) string {
	return tried + now.UTC().Format("@2006-01-02T15")
}

// withheld says which changes are not to be made now.
func (c *computation) withheld(change plan.Change) (plan.Reason, string) {
	if change.Action == plan.Create {
		return "", ""
	}
	h := c.held[change.Before.ID] // an update gives another address up
	if h.InUse != "" {
		return plan.InUse, h.InUse
	}
	if n, ok := c.notes[-change.Before.ID]; ok && c.same(n, c.release(change)) {
		return plan.TriedBefore, n.Text
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
	for _, h := range c.Plan.Held {
		if w, ok := c.wishes[key{h.Change.Owner, h.Change.After.Place}]; ok && h.Change.Action != plan.Delete {
			c.blocked[w.row.ID] = blocked{reason: h.Reason, note: h.Note}
		}
	}
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
