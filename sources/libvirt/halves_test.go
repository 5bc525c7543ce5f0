package libvirt

import (
	"fmt"
	"net/netip"
	"strings"
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

// Two copies of a domain with other addresses, neither or both running: one was
// left behind, and nothing says which.
func TestCopiesThatDisagree(t *testing.T) {
	old := novaText(portText(portA, ipText("fixed", "10.0.0.5")))
	now := novaText(portText(portA, ipText("fixed", "10.0.0.5")) + portText(portB, ipText("fixed", "10.0.1.5")))
	for _, c := range []struct {
		a, b           bool
		text           string
		facts, missing int
	}{
		{false, true, now, 2, 0}, {true, false, now, 1, 0}, {false, false, now, 1, 1}, {true, true, now, 1, 1}, {false, false, old, 1, 0},
	} {
		facts, missing := mustAllocate(t, choices{},
			host{label: "a", name: "a", domains: []listed{{mustDomain(t, domainText(uuidA, "i1", old, "")), c.a}}},
			host{label: "b", name: "b", domains: []listed{{mustDomain(t, domainText(uuidA, "i1", c.text, "")), c.b}}})
		require.Len(t, facts, c.facts)
		require.Len(t, missing, c.missing)
	}
}

// What a copy that does not count hides of its host's leases is told.
func TestCopyWithBrokenNIC(t *testing.T) {
	broken := mustDomain(t, domainText(uuidA, "vm", "", `<interface type='network'><mac address='zz'/><source network='lan'/></interface>`))
	good := mustDomain(t, domainText(uuidA, "vm", "", nicText(macA, "lan", "")))
	facts, missing := mustAllocate(t, choices{},
		host{label: "a", name: "a", domains: []listed{{good, true}}},
		lan(t, []lease{{address: "10.0.0.77", mac: macB}}, listed{broken, false}))
	require.NotContains(t, lines(facts), "10.0.0.77")
	require.NotEmpty(t, missing)
}

// An address that makes no sense may be what is behind the floating one.
func TestInsideOfPortWithFaults(t *testing.T) {
	d := mustDomain(t, domainText(uuidA, "vm", novaText(portText(portA,
		ipText("fixed", "10.0.0.5")+`<nova:ip type="fixed" address="10.0.0.300" ipVersion="4"/>`+ipText("floating", "203.0.113.5"))), ""))
	facts, missing := mustAllocate(t, choices{}, host{label: "a", name: "a", domains: []listed{{d, true}}})
	require.Len(t, missing, 1)
	require.Len(t, facts, 2)
	for _, f := range facts {
		require.False(t, f.Inside.IsValid())
	}
}

// A host that lists more than there can be is not worked on for hours.
func TestTooManyParts(t *testing.T) {
	ports := func(n int) string {
		text := ""
		for i := range n {
			text += portText(fmt.Sprintf("%08x-0000-4000-8000-000000000000", i), ipText("fixed", fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)))
		}
		return text
	}
	_, err := parseDomain(domainText(uuidA, "vm", novaText(ports(maxParts)), strings.Repeat("<interface/>", maxParts)))
	require.NoError(t, err)
	_, err = parseDomain(domainText(uuidA, "vm", novaText(ports(maxParts+1)), ""))
	require.ErrorContains(t, err, "more than 1024 ports")
	_, err = parseDomain(domainText(uuidA, "vm", "", strings.Repeat("<interface/>", maxParts+1)))
	require.ErrorContains(t, err, "more than 1024 interfaces")
	_, err = parseDomain(domainText(uuidA, "vm", novaText(portText(portA, strings.Repeat(ipText("fixed", "10.0.0.1"), maxAddresses+1))), ""))
	require.ErrorContains(t, err, "more than 1024 addresses")
}
