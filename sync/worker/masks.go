package worker

import (
	"allocsync/ipam"
	"allocsync/sync/plan"
)

// keepMasks leaves addresses the length that their rows have where a source did
// not answer in full, or was not asked: the prefix that gave it may be one that
// only that source states. A longer one is taken all the same, since the
// smallest prefix that holds an address counts, however many there are.
func keepMasks(claims []ipam.Claim, current []ipam.Stored, sources []plan.Source) {
	partial := false
	for _, s := range sources {
		partial = partial || !s.Complete()
	}
	if !partial {
		return
	}
	masks := make(map[ownPlace]int, len(current))
	for i := range current {
		if r := &current[i]; r.Place.Kind == ipam.Address && r.Owner != "" {
			masks[ownPlace{r.Owner, r.Place}] = r.Attrs.Mask
		}
	}
	for i := range claims {
		c := &claims[i]
		has, stored := masks[ownPlace{c.Owner, c.Place}]
		if !stored || c.Place.Kind != ipam.Address {
			continue
		}
		if alone := c.Place.Prefix.Addr().BitLen(); c.Attrs.Mask < has || c.Attrs.Mask == alone {
			c.Attrs.Mask = has
		}
	}
}
