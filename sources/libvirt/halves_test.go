package libvirt

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
)

// natted is a host whose domain has a static address on a network with NAT.
func natted() host {
	d := domain{
		uuid: "00000000-0000-4000-8000-000000000001", name: "box",
		nics: []nic{{mac: "52:54:00:00:00:01", kind: "bridge", bridge: "virbr0", addresses: []netip.Prefix{netip.MustParsePrefix("192.168.122.9/24")}}},
	}
	n := network{uuid: "00000000-0000-4000-8000-0000000000aa", name: "default", bridge: "virbr0", nat4: true}
	n.subnets = []netip.Prefix{netip.MustParsePrefix("192.168.122.1/24")}
	return host{label: "a", name: "a", domains: []listed{{domain: d, active: true}}, networks: []networkState{{network: n}}}
}

// Without its network it is not known whether an address is behind NAT, and a
// rule may ask: it is not a fact then.
func TestAddressOnNetworkThatIsMissing(t *testing.T) {
	h := natted()
	whole, _ := allocations([]host{h}, choices{})
	require.Len(t, whole, 3)

	h.networks, h.unknownNetworks = nil, true
	part, _ := allocations([]host{h}, choices{})
	require.Empty(t, part)

	h.unknownNetworks = false // there are none, or they are not to be read
	bare, _ := allocations([]host{h}, choices{})
	require.Len(t, bare, 1)
	require.False(t, bare[0].NAT)
}

// The project of what a network hands out is the network's host, wherever the
// domain runs: it does not change when that host cannot be read.
func TestProjectOfLease(t *testing.T) {
	b := natted()
	b.label, b.name, b.domains[0].active = "b", "b", false
	b.domains[0].nics[0].addresses = nil
	b.networks[0].leases = []lease{{address: "192.168.122.77", mac: "52:54:00:00:00:01"}}
	a := host{label: "a", name: "a", domains: []listed{{domain: b.domains[0].domain, active: true}}}
	of := func(list []ipam.Allocation) ipam.Allocation {
		require.Len(t, list, 3)
		return list[2]
	}
	both, _ := allocations([]host{a, b}, choices{})
	alone, _ := allocations([]host{b}, choices{})
	require.Equal(t, "b", of(both).Project)
	require.Equal(t, of(alone), of(both))
}
