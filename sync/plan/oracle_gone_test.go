package plan_test

import (
	"slices"

	"allocsync/ipam"
	"allocsync/sync/plan"
)

// unclaimed settles a row at a place that nobody claims.
func (o *oracle) unclaimed(r ipam.Stored) {
	s, ok := o.source(r.Owner)
	v := verdict{action: plan.Delete, reason: plan.NowGone, owner: r.Owner, before: r, way: r}
	age := o.in.Now.Unix() - r.Attrs.GoneUnix
	switch {
	case r.Owner == "":
	case !ok:
		o.hold(plan.UnknownOwner, v)
	case !o.complete(r.Owner):
		o.hold(plan.Incomplete, v)
	case !s.Gone.Deprecate:
		o.do(v)
	case r.Attrs.GoneUnix == 0:
		v.action, v.after = plan.Update, r.Record
		v.after.Attrs.Status, v.after.Attrs.GoneUnix = "deprecated", o.in.Now.Unix()
		o.do(v)
	case age >= int64(s.Gone.After.Seconds()):
		v.reason = plan.GoneLong
		o.do(v)
	default: // waiting is a verdict only until policy: renumbering comes first
		v.action, v.reason = 0, "waiting"
		o.do(v)
	}
}

// pairOne turns one create and one row that goes into one update: the first
// create in the order of places that has a partner gets the first one.
func (o *oracle) pairOne(same func(c, d verdict) bool, reason plan.Reason) bool {
	create, leave := -1, -1
	for i, c := range o.said {
		if c.action != plan.Create || c.held != "" || create >= 0 && c.after.Place.Compare(o.said[create].after.Place) > 0 {
			continue
		}
		partner := -1
		for j, d := range o.said {
			if !same(c, d) || partner >= 0 && before(o.said[partner].before, d.before) {
				continue
			}
			partner = j
		}
		if partner >= 0 {
			create, leave = i, partner
		}
	}
	if create < 0 {
		return false
	}
	c, d := o.said[create], o.said[leave]
	o.said = slices.DeleteFunc(o.said, func(v verdict) bool { return v == c || v == d })
	o.do(verdict{action: plan.Update, reason: reason, owner: c.owner, before: d.before, after: back(c.after, d.before)})
	return true
}

func leaves(d verdict) bool {
	return d.held == "" && (d.reason == plan.NowGone || d.reason == plan.GoneLong || d.reason == "waiting")
}

// moves says whether d is the row of c's address in another VRF.
func moves(c, d verdict) bool {
	a, b := c.after, d.before.Record
	return leaves(d) && a.Owner == b.Owner && a.Attrs.UsedBy == b.Attrs.UsedBy &&
		a.Place.Kind == b.Place.Kind && a.Place.Prefix == b.Place.Prefix
}

// renumbers says whether d is the row that c's user leaves.
func renumbers(c, d verdict) bool {
	a, b := c.after, d.before.Record
	return leaves(d) && a.Owner == b.Owner && a.Attrs.UsedBy == b.Attrs.UsedBy && a.Attrs.MAC == b.Attrs.MAC && a.Attrs.Type == b.Attrs.Type &&
		a.Place.VRF == b.Place.VRF && a.Place.Kind == b.Place.Kind &&
		a.Place.Prefix.Addr().Is4() == b.Place.Prefix.Addr().Is4()
}

func before(r, s ipam.Stored) bool {
	if c := r.Place.Compare(s.Place); c != 0 {
		return c < 0
	}
	return r.ID < s.ID
}

// policy holds what a source may not do, and counts the rows that wait.
func (o *oracle) policy() {
	var kept []verdict
	for _, v := range o.said {
		s, _ := o.source(v.owner)
		may := map[plan.Action]bool{plan.Create: s.Allow.Create, plan.Update: s.Allow.Update, plan.Delete: s.Allow.Delete}[v.action]
		switch {
		case v.reason == "waiting":
			o.rest[v.owner].waiting++
			continue
		case v.held == "":
			v.way = ipam.Stored{}
			if v.action == plan.Update && v.after.Attrs.GoneUnix != 0 && v.before.Attrs.GoneUnix == 0 {
				may = may && s.Allow.Delete
			}
			if !may {
				v.held, v.way = plan.NotAllowed, v.before
			}
		}
		kept = append(kept, v)
	}
	o.said = kept
}
