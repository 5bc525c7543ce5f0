package plan

import (
	"cmp"
	"slices"

	"allocsync/ipam"
)

// settleGone pairs new claims with rows whose user is gone, and then creates
// and removes what is left over.
func (p *planner) settleGone() {
	p.pair(compareUser, Renumbered)
	p.pair(compareAddress, Moved)
	for _, c := range p.created {
		p.changes = append(p.changes, p.creation(c))
	}
	for _, r := range p.gone {
		p.remove(p.in.Current[r])
	}
}

// pair makes one update of each claim and row that compare equal, several in
// the order of their places, and leaves the others in created and gone.
func (p *planner) pair(compare func(r, s *ipam.Record) int, reason Reason) {
	created, gone := p.created, p.gone
	slices.SortFunc(created, func(a, b int32) int {
		r, s := &p.in.Claims[a].Record, &p.in.Claims[b].Record
		return cmp.Or(compare(r, s), r.Place.Compare(s.Place))
	})
	slices.SortFunc(gone, func(a, b int32) int {
		r, s := &p.in.Current[a], &p.in.Current[b]
		return cmp.Or(compare(&r.Record, &s.Record), r.Place.Compare(s.Place), cmp.Compare(r.ID, s.ID))
	})
	var left, rest []int32
	for len(created) > 0 && len(gone) > 0 {
		claim, row := &p.in.Claims[created[0]], &p.in.Current[gone[0]]
		switch c := compare(&claim.Record, &row.Record); {
		case c < 0:
			left, created = append(left, created[0]), created[1:]
		case c > 0:
			rest, gone = append(rest, gone[0]), gone[1:]
		default:
			p.update(claim.Owner, reason, *row, claim.Record)
			created, gone = created[1:], gone[1:]
		}
	}
	p.created, p.gone = append(left, created...), append(rest, gone...)
}

// compareUser orders by what has to be the same for a row to be renumbered
// instead of deleted and created: owner, user, type, VRF, kind, family and MAC.
// The type keeps the fixed and the floating address of one port of a cloud
// apart, neither of which has to have a MAC.
func compareUser(r, s *ipam.Record) int {
	return cmp.Or(
		cmp.Compare(r.Owner, s.Owner),
		cmp.Compare(r.Attrs.UsedBy, s.Attrs.UsedBy),
		cmp.Compare(r.Attrs.Type, s.Attrs.Type),
		cmp.Compare(r.Place.VRF, s.Place.VRF),
		cmp.Compare(r.Place.Kind, s.Place.Kind),
		cmp.Compare(r.Place.Prefix.Addr().BitLen(), s.Place.Prefix.Addr().BitLen()),
		cmp.Compare(r.Attrs.MAC, s.Attrs.MAC),
	)
}

// compareAddress orders by what has to be the same for a row to move to another
// VRF, because a rule or a person changed it: owner, user, kind and address. It
// may have another type by now: one user has an address once.
func compareAddress(r, s *ipam.Record) int {
	return cmp.Or(
		cmp.Compare(r.Owner, s.Owner),
		cmp.Compare(r.Attrs.UsedBy, s.Attrs.UsedBy),
		cmp.Compare(r.Place.Kind, s.Place.Kind),
		ipam.ComparePrefix(r.Place.Prefix, s.Place.Prefix),
	)
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
