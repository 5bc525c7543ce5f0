package mapping

import (
	"net/netip"

	"allocsync/ipam"
)

// insideKey is what a floating address and the address behind it have in
// common: the port, and the address that the first names.
type insideKey struct {
	owner  string
	usedBy ipam.UsedBy
	inside netip.Addr
}

// setInsides gives every claim that names an inside address the VRF in which
// that is claimed, for the same user of the same source. Where it is not claimed
// at all, because a rule leaves it out, the claim names none: a row that points
// to nothing would be refused.
//
// A claim that has an inside address itself is none: NetBox has to hold what is
// inside before what is outside. Among is sorted; of several VRFs the first
// counts.
func setInsides(claims, among []ipam.Claim) {
	var vrfs map[insideKey]*string // nil where no claim needs one: nearly always
	for i := range claims {
		if claims[i].Attrs.Inside.IsValid() {
			if vrfs == nil {
				vrfs = map[insideKey]*string{}
			}
			vrfs[keyOf(&claims[i], claims[i].Attrs.Inside)] = nil
		}
	}
	if vrfs == nil {
		return
	}
	for i := range among {
		c := &among[i]
		if c.Place.Kind != ipam.Address || c.Attrs.Inside.IsValid() {
			continue
		}
		key := keyOf(c, c.Place.Prefix.Addr())
		if table, wanted := vrfs[key]; wanted && table == nil {
			vrfs[key] = &c.Place.VRF
		}
	}
	for i := range claims {
		c := &claims[i]
		if !c.Attrs.Inside.IsValid() {
			continue
		}
		if table := vrfs[keyOf(c, c.Attrs.Inside)]; table != nil {
			c.Attrs.InsideVRF = *table
			continue
		}
		c.Attrs.Inside = netip.Addr{}
	}
}

func keyOf(c *ipam.Claim, inside netip.Addr) insideKey {
	return insideKey{owner: c.Owner, usedBy: c.Attrs.UsedBy, inside: inside}
}
