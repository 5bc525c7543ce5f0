package mapping_test

import (
	"fmt"
	"net/netip"
	"testing"

	"allocsync/ipam"
	"allocsync/mapping"
)

// newFleet makes n allocations in networks of 250 addresses.
func newFleet(n int) []ipam.Allocation {
	list := make([]ipam.Allocation, 0, n)
	for i := 0; len(list) < n; i++ {
		network, host := i/250, i%250
		addr := netip.AddrFrom4([4]byte{10, byte(network >> 8), byte(network), byte(host + 1)})
		a := ipam.Allocation{
			UsedBy: ipam.UsedBy(fmt.Sprintf("/1.0/instances/vm-%06d?project=web", i)), Kind: ipam.Address, Prefix: ipam.HostPrefix(addr),
			Type: "instance", Network: fmt.Sprintf("net%d", network), Project: "web", Name: fmt.Sprintf("vm-%06d", i),
			MAC: "00:16:3e:00:00:01", NAT: network%2 == 0,
		}
		if host == 0 {
			p := a
			p.Kind, p.Prefix, p.Type = ipam.Prefix, netip.PrefixFrom(addr, 24).Masked(), "network"
			list = append(list, p)
		}
		list = append(list, a)
	}
	return list
}

func fleetRules(names bool) []mapping.Rule {
	rules := []mapping.Rule{
		{Set: mapping.Set{Status: ptr("active"), Tenant: ptr("team"), Tags: []string{"lxd"}}},
		{Match: mapping.Match{NAT: ptr(true)}, Set: mapping.Set{VRF: ptr("inside")}},
		{Match: mapping.Match{Network: []string{"net1*"}}, Set: mapping.Set{Tags: []string{"net1"}}},
		{Match: mapping.Match{Type: []string{"network-forward"}}, Set: mapping.Set{Role: ptr("vip")}},
		{Match: mapping.Match{CIDR: []string{"10.0.0.0/9", "192.0.2.0/24"}}, Set: mapping.Set{Tags: []string{"low"}}},
		{Match: mapping.Match{Kind: []string{"prefix"}}, Set: mapping.Set{Status: ptr("container")}},
		{Match: mapping.Match{Project: []string{"web", "db"}}, Set: mapping.Set{Tenant: ptr("web")}},
		{Match: mapping.Match{Name: []string{"*-9999??"}}, Set: mapping.Set{Skip: ptr(true)}},
		{Match: mapping.Match{Dynamic: ptr(true)}, Set: mapping.Set{Status: ptr("dhcp")}},
	}
	last := mapping.Rule{Set: mapping.Set{Description: ptr("kept by allocsync")}}
	if names {
		last = mapping.Rule{Set: mapping.Set{DNSName: ptr("{name}.{project}.example.org"), Description: ptr("{type} {name}")}}
	}
	return append(rules, last)
}

func BenchmarkMap(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		for _, names := range []bool{false, true} {
			b.Run(fmt.Sprintf("allocations=%d/rules=10/templates=%t", n, names), func(b *testing.B) {
				m := mustCompile(b, fleetRules(names)...)
				in := []mapping.Input{{Owner: "dc1/lab", Source: "lab", Allocations: newFleet(n)}}
				b.ReportAllocs()
				for b.Loop() {
					m.Map(in, nil)
				}
			})
		}
	}
}
