package mapping

import (
	"net/netip"

	"github.com/gaissmai/bart"

	"allocsync/ipam"
)

// setMasks gives every address among claims the length of the smallest prefix
// that holds it in its VRF: of the claims themselves and of known. What none
// holds keeps the length that it has.
func setMasks(claims []ipam.Claim, known []ipam.Place) {
	tables := map[string]*bart.Lite{} // by VRF
	insert := func(p ipam.Place) {
		if p.Kind != ipam.Prefix || !p.Prefix.IsValid() || p.Prefix.Bits() == 0 {
			return
		}
		t := tables[p.VRF]
		if t == nil {
			t = new(bart.Lite)
			tables[p.VRF] = t
		}
		t.Insert(p.Prefix)
	}
	for i := range claims {
		insert(claims[i].Place)
	}
	for _, p := range known {
		insert(p)
	}
	for i := range claims {
		c := &claims[i]
		if c.Place.Kind != ipam.Address {
			continue
		}
		if t := tables[c.Place.VRF]; t != nil {
			if p, ok := t.LookupPrefixLPM(c.Place.Prefix); ok {
				c.Attrs.Mask = p.Bits()
				continue
			}
		}
		c.Attrs.Mask = ownMask(c.Place.Prefix.Addr(), c.Attrs.Mask)
	}
}

// ownMask is the length that the source wrote, and the host's where that is
// the default route's, which NetBox does not take.
func ownMask(addr netip.Addr, bits int) int {
	if bits == 0 {
		return addr.BitLen()
	}
	return bits
}
