package plan_test

import (
	"fmt"
	"slices"
	"strings"

	"allocsync/ipam"
	"allocsync/sync/plan"
)

// oracle is a second planner, written from the truth table and nothing else:
// it walks over everything again for every question, and shares no code with
// the real one. On every world the two have to say the same.
type oracle struct {
	in   plan.Input
	said []verdict
	rest map[string]*counted
}

// counted is, for one source, what is in no change and not held.
type counted struct{ inStep, waiting int }

// verdict is one change, or where held is set one thing held.
type verdict struct {
	held   plan.Reason
	action plan.Action
	reason plan.Reason
	owner  string
	before ipam.Stored
	after  ipam.Record
	way    ipam.Stored // the row in the way of what is held
}

func (v verdict) String() string {
	s := fmt.Sprintf("%s %s [%s] row %v -> %v %s %s", v.action, v.owner, v.reason, keyOf(v.before), v.after.Place, v.after.Attrs.UsedBy, v.after.Attrs.MAC)
	if v.held != "" {
		return fmt.Sprintf("hold (%s) row %v: %s", v.held, keyOf(v.way), s)
	}
	for _, f := range v.fields() {
		s += fmt.Sprintf("; %s %q -> %q", f.Name, f.Old, f.New)
	}
	return s
}

func (v verdict) fields() []ipam.Field {
	if v.action == plan.Delete {
		return nil
	}
	return ipam.Edit{Before: v.before, After: v.after}.Fields()
}

// verdictsOf is what the real planner said, in the oracle's words.
func verdictsOf(p plan.Plan) []string {
	var said []string
	for _, c := range p.Changes {
		said = append(said, verdict{"", c.Action, c.Reason, c.Owner, c.Before, c.After, ipam.Stored{}}.String())
	}
	for _, h := range p.Held {
		c := h.Change
		said = append(said, verdict{h.Reason, c.Action, c.Reason, c.Owner, c.Before, c.After, h.Row}.String())
	}
	slices.Sort(said)
	return said
}

// ask runs the oracle.
func ask(in plan.Input) (said []string, byOwner map[string]*counted) {
	in.Current = readOnce(in.Current)
	o := &oracle{in: in, rest: map[string]*counted{}}
	for _, s := range in.Sources {
		o.rest[s.Owner] = &counted{}
	}
	var places []ipam.Place
	for _, c := range in.Claims {
		places = append(places, c.Place)
	}
	for _, s := range in.Current {
		places = append(places, s.Place)
	}
	for i, p := range places {
		if !slices.Contains(places[:i], p) {
			o.place(p)
		}
	}
	for o.pairOne(renumbers, plan.Renumbered) {
	}
	for o.pairOne(moves, plan.Moved) {
	}
	o.policy()
	for _, v := range o.said {
		said = append(said, v.String())
	}
	slices.Sort(said)
	return said, o.rest
}

func (o *oracle) source(owner string) (plan.Source, bool) {
	for _, s := range o.in.Sources {
		if s.Owner == owner {
			return s, true
		}
	}
	return plan.Source{}, false
}

func (o *oracle) configured(owner string) bool { _, ok := o.source(owner); return ok }

func (o *oracle) complete(owner string) bool {
	s, ok := o.source(owner)
	return ok && len(s.Missing) == 0
}

func (o *oracle) do(v verdict)                    { o.said = append(o.said, v) }
func (o *oracle) hold(why plan.Reason, v verdict) { v.held = why; o.said = append(o.said, v) }

func wish(c ipam.Claim) verdict {
	return verdict{action: plan.Create, reason: plan.New, owner: c.Owner, after: c.Record}
}

// place settles everything at one place.
func (o *oracle) place(p ipam.Place) {
	var rows []ipam.Stored
	for _, s := range o.in.Current {
		if s.Place == p {
			rows = append(rows, s)
		}
	}
	slices.SortFunc(rows, func(a, b ipam.Stored) int { return a.ID - b.ID })
	for _, c := range o.in.Claims {
		if c.Place == p && !o.configured(c.Owner) {
			o.hold(plan.UnknownOwner, wish(c))
		}
	}
	var holders, others []ipam.Claim // one for each source, in the order of the configuration
	for _, s := range o.in.Sources {
		c, ok := o.best(s.Owner, p, rows)
		switch {
		case !ok:
		case slices.ContainsFunc(rows, func(r ipam.Stored) bool { return r.Owner == s.Owner || reserves(r, s.Owner) }):
			holders = append(holders, c)
		default:
			others = append(others, c)
		}
	}
	var used []ipam.Stored
	switch {
	case len(holders) > 0:
		for _, c := range holders {
			used = append(used, o.incumbent(c, rows))
		}
	case len(others) > 0:
		used = append(used, o.newcomer(others[0], rows))
		others = others[1:]
	default:
		for _, r := range rows {
			o.unclaimed(r)
		}
		return
	}
	for _, c := range others {
		o.hold(plan.Contested, wish(c))
	}
	for _, r := range rows {
		if !slices.Contains(used, r) {
			o.second(r)
		}
	}
}

func reserves(r ipam.Stored, owner string) bool { return r.Owner == "" && r.ReserveAt == owner }

// best says which of a source's claims is the one that counts at p, and holds
// the others.
func (o *oracle) best(owner string, p ipam.Place, rows []ipam.Stored) (best ipam.Claim, ok bool) {
	var claims []ipam.Claim
	for _, c := range o.in.Claims {
		if c.Place == p && c.Owner == owner {
			claims = append(claims, c)
		}
	}
	first := 0
	for i, c := range claims {
		if beats(c, claims[first], rows) {
			first = i
		}
	}
	for i, c := range claims {
		if i != first {
			o.hold(plan.Contested, wish(c))
		}
	}
	if len(claims) == 0 {
		return ipam.Claim{}, false
	}
	return claims[first], true
}

func beats(c, d ipam.Claim, rows []ipam.Stored) bool {
	if c.Rank != d.Rank {
		return c.Rank < d.Rank
	}
	named := func(c ipam.Claim) bool {
		return slices.ContainsFunc(rows, func(r ipam.Stored) bool { return r.Owner == c.Owner && r.Attrs.UsedBy == c.Attrs.UsedBy })
	}
	if named(c) != named(d) {
		return named(c)
	}
	return c.Compare(d) < 0
}

// incumbent settles a claim whose source has a row at the place, and returns
// the row that is its.
func (o *oracle) incumbent(c ipam.Claim, rows []ipam.Stored) ipam.Stored {
	choices := []func(r ipam.Stored) bool{
		func(r ipam.Stored) bool { return r.Owner == c.Owner && r.Attrs.UsedBy == c.Attrs.UsedBy },
		func(r ipam.Stored) bool { return r.Owner == c.Owner },
	}
	for _, choice := range choices {
		if i := slices.IndexFunc(rows, choice); i >= 0 {
			if o.mayBeAway(c, rows[i]) {
				o.hold(plan.Incomplete, verdict{action: plan.Update, reason: plan.Changed, owner: c.Owner, before: rows[i], after: c.Record, way: rows[i]})
			} else {
				o.keep(c, rows[i])
			}
			return rows[i]
		}
	}
	i := slices.IndexFunc(rows, func(r ipam.Stored) bool { return reserves(r, c.Owner) })
	o.reserved(c, rows[i])
	return rows[i]
}

// mayBeAway reports whether the user that a row names, and the claim does not,
// may be part of what the source could not read.
func (o *oracle) mayBeAway(c ipam.Claim, r ipam.Stored) bool {
	if o.complete(c.Owner) || r.Attrs.UsedBy == "" || r.Attrs.UsedBy == c.Attrs.UsedBy {
		return false
	}
	for _, other := range o.in.Claims {
		if other.Owner == c.Owner && other.Attrs.UsedBy == r.Attrs.UsedBy {
			return false
		}
	}
	return true
}

// newcomer settles a claim whose source has no row at the place, and returns
// the row that it takes over or runs into, if any.
func (o *oracle) newcomer(c ipam.Claim, rows []ipam.Stored) ipam.Stored {
	choices := []func(r ipam.Stored) bool{
		func(r ipam.Stored) bool { return o.complete(r.Owner) && r.Attrs.UsedBy == c.Attrs.UsedBy },
		func(r ipam.Stored) bool { return o.complete(r.Owner) },
	}
	for _, choice := range choices {
		if i := slices.IndexFunc(rows, choice); i >= 0 {
			o.keep(c, rows[i])
			return rows[i]
		}
	}
	v := wish(c)
	for _, r := range rows {
		if r.Owner == "" {
			v.way = r
			o.hold(plan.Unmanaged, v)
			return r
		}
	}
	for _, r := range rows {
		v.way = r
		o.hold(plan.OtherOwner, v)
		return r
	}
	o.do(v)
	return ipam.Stored{}
}

// second settles a row at a claimed place that is no claim's.
func (o *oracle) second(r ipam.Stored) {
	claims := func(c ipam.Claim) bool { return c.Owner == r.Owner && c.Place == r.Place }
	if o.configured(r.Owner) && !slices.ContainsFunc(o.in.Claims, claims) {
		o.unclaimed(r)
		return
	}
	v := verdict{action: plan.Delete, reason: plan.Duplicate, owner: r.Owner, before: r, way: r}
	switch {
	case !o.configured(r.Owner):
	case o.complete(r.Owner):
		o.do(v)
	default:
		o.hold(plan.Incomplete, v)
	}
}

// keep brings a row in line with a claim.
func (o *oracle) keep(c ipam.Claim, r ipam.Stored) {
	v := verdict{action: plan.Update, reason: plan.Changed, owner: c.Owner, before: r, after: back(c.Record, r)}
	switch {
	case r.Owner != c.Owner:
		v.reason = plan.Handover
	case r.Attrs.GoneUnix != 0:
		v.reason = plan.Revived
	}
	if len(v.fields()) == 0 {
		o.rest[c.Owner].inStep++
		return
	}
	o.do(v)
}

// back is want, with a row that was marked as gone made active again.
func back(want ipam.Record, r ipam.Stored) ipam.Record {
	if r.Attrs.GoneUnix != 0 && want.Attrs.Status == "" && r.Attrs.Status == "deprecated" {
		want.Attrs.Status = "active"
	}
	return want
}

func (o *oracle) reserved(c ipam.Claim, r ipam.Stored) {
	want := r.Record
	want.Attrs = ipam.Attrs{Mask: r.Attrs.Mask, GoneUnix: r.Attrs.GoneUnix, UsedBy: r.Attrs.UsedBy, Type: r.Attrs.Type, MAC: r.Attrs.MAC}
	if want.Attrs.UsedBy == "" {
		want.Attrs.UsedBy = c.Attrs.UsedBy
	}
	if want.Attrs.Type == "" {
		want.Attrs.Type = c.Attrs.Type
	}
	if want.Attrs.MAC == "" {
		want.Attrs.MAC = c.Attrs.MAC
	}
	v := verdict{action: plan.Update, reason: plan.Reserved, owner: c.Owner, before: r, after: want}
	if len(v.fields()) == 0 {
		o.rest[c.Owner].inStep++
		return
	}
	o.do(v)
}

// diff shows two sorted lists line by line, as - and +.
func diff(want, have []string) string {
	var b strings.Builder
	for _, s := range want {
		if !slices.Contains(have, s) {
			b.WriteString("- " + s + "\n")
		}
	}
	for _, s := range have {
		if !slices.Contains(want, s) {
			b.WriteString("+ " + s + "\n")
		}
	}
	return b.String()
}
