package mapping_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/mapping"
)

// slowMask finds the mask of an address by looking at every prefix.
func slowMask(addr netip.Addr, table string, own int, prefixes []ipam.Place) int {
	best := -1
	for _, p := range prefixes {
		if p.Kind == ipam.Prefix && p.VRF == table && p.Prefix.Bits() > 0 && p.Prefix.Contains(addr) {
			best = max(best, p.Prefix.Bits())
		}
	}
	switch {
	case best > 0:
		return best
	case own > 0:
		return own
	}
	return addr.BitLen()
}

// Map against the slow, obvious way on random worlds.
func TestMaskOracle(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	tables := map[string]string{"s0": "red", "s1": "red", "s2": ""}
	m := mustCompile(t,
		mapping.Rule{Match: mapping.Match{Source: []string{"s0", "s1"}}, Set: mapping.Set{VRF: ptr("red")}},
		mapping.Rule{Match: mapping.Match{UsedBy: []string{"/u4"}}, Set: mapping.Set{Skip: ptr(true)}},
	)
	byPrefix, byItself := 0, 0
	for range 500 {
		inputs, known := newWorld(r)
		for i := range known {
			known[i].VRF = pick(r, "", "red")
		}
		places := known
		for _, in := range inputs {
			for _, a := range in.Allocations {
				if a.UsedBy != "/u4" && a.Check() == nil {
					places = append(places, ipam.PlaceOf(tables[in.Source], a.Kind, a.Prefix))
				}
			}
		}
		want := map[ipam.Claim]bool{}
		for _, in := range inputs {
			for _, a := range in.Allocations {
				if a.UsedBy == "/u4" || a.Check() != nil || a.Kind != ipam.Address {
					continue
				}
				mask := slowMask(a.Prefix.Addr(), tables[in.Source], a.Prefix.Bits(), places)
				if mask == a.Prefix.Bits() || mask == a.Prefix.Addr().BitLen() {
					byItself++
				} else {
					byPrefix++
				}
				want[ipam.Claim{Record: ipam.Record{Owner: in.Owner, Place: ipam.PlaceOf(tables[in.Source], a.Kind, a.Prefix), Attrs: ipam.Attrs{UsedBy: a.UsedBy, Mask: mask}}}] = true
			}
		}
		got, users := map[ipam.Claim]bool{}, map[ipam.Claim]bool{}
		for _, c := range m.Map(inputs, known).Claims {
			if c.Place.Kind == ipam.Address {
				got[ipam.Claim{Record: ipam.Record{Owner: c.Owner, Place: c.Place, Attrs: ipam.Attrs{UsedBy: c.Attrs.UsedBy, Mask: c.Attrs.Mask}}}] = true
			}
		}
		for c := range got {
			require.True(t, want[c], "%+v", c)
			c.Attrs.Mask = 0
			users[c] = true
		}
		for c := range want { // a user that states several masks has one of them
			c.Attrs.Mask = 0
			require.True(t, users[c], "%+v", c)
		}
	}
	require.Greater(t, byPrefix, 500)
	require.Greater(t, byItself, 500)
}

func TestMask(t *testing.T) {
	one := func(known []ipam.Place, list ...ipam.Allocation) int {
		got := mustCompile(t).Map([]mapping.Input{input("lab", list...)}, known).Claims
		return got[len(got)-1].Attrs.Mask
	}
	place := func(vrf, cidr string) ipam.Place {
		return ipam.PlaceOf(vrf, ipam.Prefix, netip.MustParsePrefix(cidr))
	}
	host := address("/u", "10.1.2.9/32", "instance")
	require.Equal(t, 32, one(nil, host), "nothing holds it")
	require.Equal(t, 22, one(nil, address("/u", "10.1.2.9/22", "instance")), "its own length")
	require.Equal(t, 24, one([]ipam.Place{place("", "10.0.0.0/8"), place("", "10.1.2.0/24")}, host), "the smallest")
	require.Equal(t, 8, one([]ipam.Place{place("red", "10.1.2.0/24"), place("", "10.0.0.0/8")}, host), "of its own VRF")
	require.Equal(t, 31, one([]ipam.Place{place("", "10.1.2.8/31")}, host))
	require.Equal(t, 32, one([]ipam.Place{place("", "10.1.2.9/32"), place("", "10.1.2.0/24")}, host))
	require.Equal(t, 32, one([]ipam.Place{place("", "0.0.0.0/0")}, host), "NetBox takes no /0")
	require.Equal(t, 128, one(nil, address("/u", "fd00::9/0", "instance")), "NetBox takes no /0")
	require.Equal(t, 24, one([]ipam.Place{place("", "10.1.2.0/24"), {Kind: ipam.Address, Prefix: netip.MustParsePrefix("10.1.2.9/32")}, {Kind: ipam.Prefix}}, host), "what is no prefix is none")
	require.Equal(t, 64, one(nil, prefix("/n", "fd00::/64", "network"), address("/u", "fd00::9/128", "instance")))
	require.Equal(t, 28, one(nil, prefix("/n", "10.1.2.0/28", "network"), address("/u", "10.1.2.9/24", "instance")), "a known prefix counts for more than what the source wrote")
}
