package worker

import (
	"net/netip"
	"slices"

	"allocsync/ipam"
	"allocsync/netbox"
	"allocsync/sync/plan"
)

// ownPlace is a place as one source sees it.
type ownPlace struct {
	owner string
	place ipam.Place
}

// unpoint takes the inside address from claims whose user is not going to have
// it in NetBox: another has, and to write nothing there would be planned anew in
// every pass. A row that names an inside address already keeps its claim's: when
// it is written, the look-up clears what is another's.
func unpoint(claims []ipam.Claim, current []ipam.Stored, answers []plan.Source) {
	at := map[ownPlace]*standing{}
	for i := range claims {
		if c := &claims[i]; c.Attrs.Inside.IsValid() {
			at[insideOf(c)] = &standing{}
		}
	}
	if len(at) == 0 {
		return
	}
	for i := range claims {
		c := &claims[i]
		if s := at[ownPlace{c.Owner, c.Place}]; s != nil {
			s.claims = append(s.claims, c)
		}
	}
	rows := map[ipam.Place][]ipam.Stored{}
	for key := range at {
		rows[key.place] = nil
	}
	pointing := map[ownPlace]bool{}
	for i := range current {
		row := &current[i]
		if _, wanted := rows[row.Place]; wanted {
			rows[row.Place] = append(rows[row.Place], *row)
		}
		if row.Attrs.Inside.IsValid() {
			pointing[ownPlace{row.Owner, row.Place}] = true
		}
	}
	for i := range claims {
		c := &claims[i]
		if !c.Attrs.Inside.IsValid() || pointing[ownPlace{c.Owner, c.Place}] {
			continue
		}
		key := insideOf(c)
		s := *at[key]
		s.rows = rows[key.place]
		if !s.goesTo(c, answers) {
			c.Attrs.Inside, c.Attrs.InsideVRF = netip.Addr{}, ""
		}
	}
}

func insideOf(c *ipam.Claim) ownPlace {
	return ownPlace{c.Owner, ipam.PlaceOf(c.Attrs.InsideVRF, ipam.Address, ipam.HostPrefix(c.Attrs.Inside))}
}

// standing is what stands at a place and who of one source claims it.
type standing struct {
	claims []*ipam.Claim // in the order of Compare
	rows   []ipam.Stored // whoever owns them
}

// goesTo reports whether a row that c may name stands at the place, or will after
// this pass. In doubt it does not: the next pass knows.
func (s standing) goesTo(c *ipam.Claim, answers []plan.Source) bool {
	user := c.Attrs.UsedBy
	own := slices.DeleteFunc(slices.Clone(s.rows), func(r ipam.Stored) bool { return r.Owner != c.Owner })
	if len(own) == 0 && len(s.rows) > 0 {
		return netbox.InsideRow(s.rows, c.Owner, user) != 0
	}
	if s.strongest(own) != user {
		return false
	}
	complete := slices.ContainsFunc(answers, func(a plan.Source) bool { return a.Owner == c.Owner && a.Complete() })
	return len(own) == 0 || complete || netbox.InsideRow(own, c.Owner, user) != 0
}

// strongest is the user to whom the planner gives the place.
func (s standing) strongest(own []ipam.Stored) ipam.UsedBy {
	if len(s.claims) == 0 {
		return ""
	}
	for _, c := range s.claims {
		if c.Rank == s.claims[0].Rank && slices.ContainsFunc(own, func(r ipam.Stored) bool { return r.Attrs.UsedBy == c.Attrs.UsedBy }) {
			return c.Attrs.UsedBy
		}
	}
	return s.claims[0].Attrs.UsedBy
}
