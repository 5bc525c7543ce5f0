package plan

import (
	"cmp"
	"slices"

	"allocsync/ipam"
)

// settleGone pairs new claims with rows whose user is gone, and then creates
// and removes what is left over.
func (p *planner) settleGone() {
	slices.SortFunc(p.created, func(a, b int32) int {
		return compareIdentity(&p.in.Claims[a].Record, &p.in.Claims[b].Record)
	})
	slices.SortFunc(p.gone, func(a, b int32) int {
		r, s := &p.in.Current[a], &p.in.Current[b]
		return cmp.Or(compareIdentity(&r.Record, &s.Record), cmp.Compare(r.ID, s.ID))
	})
	created, gone := p.created, p.gone
	for len(created) > 0 && len(gone) > 0 {
		claim, row := &p.in.Claims[created[0]], &p.in.Current[gone[0]]
		switch c := compareUser(&claim.Record, &row.Record); {
		case c < 0:
			p.changes = append(p.changes, p.creation(created[0]))
			created = created[1:]
		case c > 0:
			p.remove(*row)
			gone = gone[1:]
		default:
			p.update(claim.Owner, Renumbered, *row, claim.Record)
			created, gone = created[1:], gone[1:]
		}
	}
	for _, c := range created {
		p.changes = append(p.changes, p.creation(c))
	}
	for _, r := range gone {
		p.remove(p.in.Current[r])
	}
}

// compareUser orders by what has to be the same for a row to be renumbered
// instead of deleted and created: owner, user, VRF, kind, family and MAC.
func compareUser(r, s *ipam.Record) int {
	return cmp.Or(
		cmp.Compare(r.Owner, s.Owner),
		cmp.Compare(r.Attrs.UsedBy, s.Attrs.UsedBy),
		cmp.Compare(r.Place.VRF, s.Place.VRF),
		cmp.Compare(r.Place.Kind, s.Place.Kind),
		cmp.Compare(r.Place.Prefix.Addr().BitLen(), s.Place.Prefix.Addr().BitLen()),
		cmp.Compare(r.Attrs.MAC, s.Attrs.MAC),
	)
}

// compareIdentity orders by user and then place, so that several addresses of
// one user are paired in the order of the addresses.
func compareIdentity(r, s *ipam.Record) int {
	return cmp.Or(compareUser(r, s), r.Place.Compare(s.Place))
}

// remove deletes, marks or waits, as the source's Gone says.
func (p *planner) remove(row ipam.Stored) {
	source := p.in.Sources[p.source[row.Owner]]
	since := row.Attrs.GoneUnix
	removal := Change{Action: Delete, Reason: NowGone, Owner: row.Owner, Before: row}
	switch {
	case !source.Gone.Deprecate:
		p.changes = append(p.changes, removal)
	case since == 0:
		p.changes = append(p.changes, Change{
			Action: Update, Reason: NowGone, Owner: row.Owner, Before: row,
			After: marked(row, p.in.Now.Unix()),
		})
	case p.in.Now.Unix()-since >= int64(source.Gone.After.Seconds()):
		removal.Reason = GoneLong
		p.changes = append(p.changes, removal)
	default:
		p.summaryOf(row.Owner).Waiting++
	}
}

// marked is the row with its status and gone_since set, all else as it is.
func marked(row ipam.Stored, unix int64) ipam.Record {
	a := row.Attrs
	return ipam.Record{Owner: row.Owner, Place: row.Place, Attrs: ipam.Attrs{
		Mask: a.Mask, UsedBy: a.UsedBy, Type: a.Type, MAC: a.MAC,
		Status: deprecated, GoneUnix: unix,
	}}
}
