package mapping_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/mapping"
)

func ptr[T any](v T) *T { return &v }

func mustCompile(t testing.TB, rules ...mapping.Rule) *mapping.Mapping {
	t.Helper()
	m, err := mapping.Compile(rules)
	require.NoError(t, err)
	return m
}

func address(usedBy, cidr, typ string) ipam.Allocation {
	return ipam.Allocation{UsedBy: ipam.UsedBy(usedBy), Kind: ipam.Address, Prefix: netip.MustParsePrefix(cidr), Type: typ}
}

func prefix(usedBy, cidr, typ string) ipam.Allocation {
	return ipam.Allocation{UsedBy: ipam.UsedBy(usedBy), Kind: ipam.Prefix, Prefix: netip.MustParsePrefix(cidr), Type: typ}
}

func input(source string, allocations ...ipam.Allocation) mapping.Input {
	return mapping.Input{Owner: "dc1/" + source, Source: source, Allocations: allocations}
}

func pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

// newWorld makes sources with networks that overlap and nest, and addresses in
// and out of them; many allocations are alike in part.
func newWorld(r *rand.Rand) (inputs []mapping.Input, known []ipam.Place) {
	base := func() netip.Addr {
		if r.IntN(3) == 0 {
			a := netip.MustParseAddr("fd00::").As16()
			a[7], a[15] = byte(r.IntN(3)), byte(r.IntN(4))
			return netip.AddrFrom16(a)
		}
		return netip.AddrFrom4([4]byte{10, byte(r.IntN(2)), byte(r.IntN(3)), byte(r.IntN(6))})
	}
	length := func(a netip.Addr) int {
		if a.Is4() {
			return pick(r, 0, 8, 15, 16, 23, 24, 29, 31, 32)
		}
		return pick(r, 0, 8, 48, 63, 64, 127, 128)
	}
	for s := range 1 + r.IntN(3) {
		in := input(fmt.Sprintf("s%d", s))
		for range r.IntN(40) {
			addr := base()
			a := ipam.Allocation{
				UsedBy: ipam.UsedBy(fmt.Sprintf("/u%d", r.IntN(5))), Kind: pick(r, ipam.Address, ipam.Address, ipam.Prefix),
				Prefix:  netip.PrefixFrom(addr, length(addr)),
				Type:    pick(r, "network", "instance", "network-forward", "network-load-balancer", "reservation"),
				Network: pick(r, "", "n1", "n2"), Project: pick(r, "", "web"), Name: pick(r, "", "vm-1"),
				NAT: pick(r, true, false), Dynamic: pick(r, true, false, false),
			}
			if a.Kind == ipam.Prefix {
				a.Prefix = a.Prefix.Masked()
			}
			if r.IntN(50) == 0 {
				a.Type = "" // an impossible fact: becomes a problem
			}
			in.Allocations = append(in.Allocations, a)
		}
		inputs = append(inputs, in)
	}
	for range r.IntN(4) {
		addr := base()
		known = append(known, ipam.PlaceOf(pick(r, "", "s0-nat"), ipam.Prefix, netip.PrefixFrom(addr, length(addr))))
	}
	return inputs, known
}

// worldRules use every condition and every key.
func worldRules() []mapping.Rule {
	return []mapping.Rule{
		{Name: "nat", Match: mapping.Match{NAT: ptr(true)}, Set: mapping.Set{VRF: ptr("{source}-nat"), Tags: []string{"nat"}}},
		{Name: "by network", Match: mapping.Match{Network: []string{"n?"}, Dynamic: ptr(false)}, Set: mapping.Set{VRF: ptr("{network}"), Tenant: ptr("{project}")}},
		{Name: "empty", Match: mapping.Match{CIDR: []string{"10.1.2.0/30"}}, Set: mapping.Set{VRF: ptr("{project}")}},
		{Name: "leases", Match: mapping.Match{Dynamic: ptr(true)}, Set: mapping.Set{Status: ptr("dhcp"), Tags: []string{"lease"}}},
		{Name: "forwards", Match: mapping.Match{Type: []string{"network-*"}, Kind: []string{"address"}}, Set: mapping.Set{Role: ptr("vip")}},
		{Name: "drop", Match: mapping.Match{Source: []string{"s1"}, UsedBy: []string{"/u3"}}, Set: mapping.Set{Skip: ptr(true)}},
		{Name: "names", Match: mapping.Match{Name: []string{"vm*"}, Project: []string{"", "web"}},
			Set: mapping.Set{Skip: ptr(false), DNSName: ptr("{name}.{project}.example.org"), Description: ptr("{type} {address} {mac} {used_by}")}},
	}
}
