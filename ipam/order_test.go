package ipam_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
)

// Few different values, so that random values are often equal in part.
func pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

func randomPrefix(r *rand.Rand) netip.Prefix {
	return netip.MustParsePrefix(pick(r, "10.0.0.0/8", "10.0.0.0/24", "10.0.0.1/32", "10.0.0.1/24", "fd00::/64", "fd00::1/128", "::/0"))
}

func randomAddr(r *rand.Rand) netip.Addr {
	return pick(r, netip.Addr{}, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1"))
}

func randomAllocation(r *rand.Rand) ipam.Allocation {
	return ipam.Allocation{
		UsedBy:  pick[ipam.UsedBy](r, "/a", "/b"),
		Kind:    pick(r, ipam.Prefix, ipam.Address),
		Prefix:  randomPrefix(r),
		Type:    pick(r, "network", "instance"),
		Network: pick(r, "", "n1"), Project: pick(r, "", "p1"), Name: pick(r, "", "x"),
		MAC: pick[ipam.MAC](r, "", "00:16:3e:00:00:01"),
		NAT: pick(r, true, false), Dynamic: pick(r, true, false),
		Inside: randomAddr(r), NextHop: randomAddr(r),
	}
}

func randomPlace(r *rand.Rand) ipam.Place {
	return ipam.PlaceOf(pick(r, "", "red"), pick(r, ipam.Prefix, ipam.Address), randomPrefix(r))
}

func randomAttrs(r *rand.Rand) ipam.Attrs {
	return ipam.Attrs{
		Mask: pick(r, 0, 24), UsedBy: pick[ipam.UsedBy](r, "/a", "/b"), Type: pick(r, "network", "instance"),
		MAC: pick[ipam.MAC](r, "", "00:16:3e:00:00:01"), Status: pick(r, "", "active"), Role: pick(r, "", "vip"),
		Tenant: pick(r, "", "t"), DNSName: pick(r, "", "d"), Description: pick(r, "", "x"),
		Tags: pick[ipam.Tags](r, "", "a", "a,b"), Inside: randomAddr(r), InsideVRF: pick(r, "", "red"), GoneUnix: pick[int64](r, 0, 7),
	}
}

func randomClaim(r *rand.Rand) ipam.Claim {
	return ipam.Claim{
		Record: ipam.Record{Owner: pick(r, "", "dc1/a", "dc1/b"), Place: randomPlace(r), Attrs: randomAttrs(r)},
		Rank:   pick[uint8](r, 0, 3),
	}
}

// requireTotalOrder checks on random values that compare is antisymmetric and
// transitive, and that it is 0 for equal values and no others.
func requireTotalOrder[T comparable](t *testing.T, random func(*rand.Rand) T, compare func(a, b T) int) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	vary := func(a T) T { // often equal, often different in little
		if r.IntN(4) == 0 {
			return a
		}
		return random(r)
	}
	for range 20_000 {
		a := random(r)
		b, c := vary(a), vary(a)
		ab, bc := compare(a, b), compare(b, c)
		require.Zero(t, compare(a, a), "%+v", a)
		require.Equal(t, sign(ab), -sign(compare(b, a)), "%+v\n%+v", a, b)
		require.Equal(t, a == b, ab == 0, "%+v\n%+v", a, b)
		if ab <= 0 && bc <= 0 {
			require.LessOrEqual(t, compare(a, c), 0, "%+v\n%+v\n%+v", a, b, c)
		}
	}
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

func TestCompareIsTotal(t *testing.T) {
	t.Run("prefix", func(t *testing.T) { requireTotalOrder(t, randomPrefix, ipam.ComparePrefix) })
	t.Run("allocation", func(t *testing.T) { requireTotalOrder(t, randomAllocation, ipam.Allocation.Compare) })
	t.Run("place", func(t *testing.T) { requireTotalOrder(t, randomPlace, ipam.Place.Compare) })
	t.Run("attrs", func(t *testing.T) { requireTotalOrder(t, randomAttrs, ipam.Attrs.Compare) })
	t.Run("record", func(t *testing.T) {
		requireTotalOrder(t, func(r *rand.Rand) ipam.Record { return randomClaim(r).Record }, ipam.Record.Compare)
	})
	t.Run("claim", func(t *testing.T) { requireTotalOrder(t, randomClaim, ipam.Claim.Compare) })
}

// Values that differ in one field only, each field in turn: random values
// seldom do, and a field forgotten by Compare would merge two claims.
func TestCompareSeesEveryField(t *testing.T) {
	base := ipam.Allocation{UsedBy: "/a", Kind: ipam.Address, Prefix: netip.MustParsePrefix("10.0.0.1/24"), Type: "instance"}
	for name, change := range map[string]func(*ipam.Allocation){
		"UsedBy":  func(a *ipam.Allocation) { a.UsedBy = "/b" },
		"Kind":    func(a *ipam.Allocation) { a.Kind = ipam.Prefix },
		"address": func(a *ipam.Allocation) { a.Prefix = netip.MustParsePrefix("10.0.0.2/24") },
		"length":  func(a *ipam.Allocation) { a.Prefix = netip.MustParsePrefix("10.0.0.1/25") },
		"Type":    func(a *ipam.Allocation) { a.Type = "network" },
		"Network": func(a *ipam.Allocation) { a.Network = "n" },
		"Project": func(a *ipam.Allocation) { a.Project = "p" },
		"Name":    func(a *ipam.Allocation) { a.Name = "x" },
		"MAC":     func(a *ipam.Allocation) { a.MAC = "00:16:3e:00:00:01" },
		"NAT":     func(a *ipam.Allocation) { a.NAT = true },
		"Dynamic": func(a *ipam.Allocation) { a.Dynamic = true },
		"Inside":  func(a *ipam.Allocation) { a.Inside = netip.MustParseAddr("10.0.0.9") },
		"NextHop": func(a *ipam.Allocation) { a.NextHop = netip.MustParseAddr("10.0.0.9") },
	} {
		other := base
		change(&other)
		require.NotZero(t, base.Compare(other), name)
		require.Equal(t, sign(base.Compare(other)), -sign(other.Compare(base)), name)
	}
}

func TestPrefixesSortByFamilyAddressLength(t *testing.T) {
	sorted := []string{"0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/24", "10.0.0.1/8", "192.0.2.0/24", "::/0", "fd00::/8", "fd00::/64", "fd00::1/8"}
	for i := range sorted {
		for j := range sorted {
			got := ipam.ComparePrefix(netip.MustParsePrefix(sorted[i]), netip.MustParsePrefix(sorted[j]))
			require.Equal(t, sign(i-j), sign(got), "%s %s", sorted[i], sorted[j])
		}
	}
}
