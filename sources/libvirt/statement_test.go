package libvirt

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// crowded is a host with n domains that run, n static hosts, one for each of
// them, and n leases: every second one of a static host, the others of clients
// that nobody knows.
func crowded(tb testing.TB, n int) host {
	h := host{label: "kvm1", name: "kvm1.example"}
	lan := mustNetwork(tb, "<network><name>lan</name><uuid>"+uuidN+"</uuid><bridge name='virbr5'/><ip address='10.0.0.1' prefix='16'/></network>")
	state := networkState{network: lan}
	for i := range n {
		mac, addr := fmt.Sprintf("52:54:00:00:%02x:%02x", i/256, i%256), fmt.Sprintf("10.0.%d.%d", 1+i/250, i%250+1)
		uuid := fmt.Sprintf("dddddddd-0000-4000-8000-%012x", i)
		h.domains = append(h.domains, listed{mustDomain(tb, domainText(uuid, fmt.Sprintf("vm%d", i), "", nicText(mac, "lan", ""))), true})
		static := mustNetwork(tb, networkText("<host mac='"+mac+"' ip='"+addr+"'/>"))
		state.hosts = append(state.hosts, static.hosts...)
		if i%2 == 1 {
			mac, addr = fmt.Sprintf("52:54:00:ff:%02x:%02x", i/256, i%256), fmt.Sprintf("10.0.%d.%d", 101+i/250, i%250+1)
		}
		state.leases = append(state.leases, lease{address: addr, mac: mac})
	}
	h.networks = []networkState{state}
	return h
}

// BenchmarkStatement makes facts and reservations of what was read: the part of
// a reading that is done here and not at the host.
func BenchmarkStatement(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			hosts := []host{crowded(b, n)}
			b.ReportAllocs()
			for b.Loop() {
				all := statement(hosts, choices{})
				require.Len(b, all.held, n)
				require.Len(b, all.allocations, 2+n+n/2)
			}
		})
	}
}

// TestHeldInUse: who uses a static host's address, as the reservations of a
// Survey say it.
func TestHeldInUse(t *testing.T) {
	named := func(uuid, name string, active bool, macs ...string) listed {
		nics := ""
		for _, mac := range macs {
			nics += nicText(mac, "lan", "")
		}
		return listed{mustDomain(t, domainText(uuid, name, "", nics)), active}
	}
	const other = "52:54:00:00:00:ee"
	for _, test := range []struct {
		want    string
		leases  []lease
		domains []listed
	}{
		{"", nil, nil},
		{"", []lease{{address: "10.0.0.6", mac: macA}}, nil}, // it has another address by now
		{"leased to " + macA, []lease{{address: "10.0.0.5", mac: macA}}, nil},
		{"leased to " + other, []lease{{address: "10.0.0.5", mac: other}}, nil},
		{"leased to " + other, []lease{{address: "10.0.0.6", mac: macB}, {address: "10.0.0.5", mac: other}, {address: "10.0.0.5", mac: macA}}, nil},
		{"leased to " + macA, []lease{{address: "no address", mac: other}, {address: "10.0.0.5", mac: macA}}, nil},
		{"leased to guest", []lease{{address: "10.0.0.5", hostname: "guest"}}, nil},
		{"domain vm runs", nil, []listed{named(uuidB, "more", true, macB), named(uuidA, "vm", true, other, macA)}},
		{"leased to " + macA, []lease{{address: "10.0.0.5", mac: macA}}, []listed{named(uuidA, "vm", true, macA)}},
		{"", nil, []listed{named(uuidA, "vm", false, macA)}},
		{"domain vm runs", nil, []listed{named(uuidB, "original", false, macA), named(uuidA, "vm", true, macA)}},
		{"", nil, []listed{named(uuidB, "one", true, macA), named(uuidA, "two", true, macA)}}, // it cannot be told which
	} {
		all := statement([]host{lan(t, test.leases, test.domains...)}, choices{})
		require.Len(t, all.held, 1)
		require.Equal(t, test.want, all.held[0].InUse)
	}
}

// TestFirstAt: what is found of all leases at once is what leasedTo finds.
func TestFirstAt(t *testing.T) {
	found, twice := 0, 0
	for seed := range uint64(200) {
		d := drawing{rand.New(rand.NewPCG(seed, 0)), map[string]bool{}}
		var n networkState
		for range 20 {
			n.leases = append(n.leases, lease{d.address(), d.mac(), "", ""})
		}
		n.leases[d.IntN(20)].address = "none"
		clients, faults := n.clients()
		require.Len(t, faults, 1)
		first := firstAt(clients)
		twice += len(clients) - len(first)
		for address := range d.addresses {
			addr := netip.MustParseAddr(address)
			require.Equal(t, n.leasedTo(addr), first[addr])
			if first[addr] != nil {
				found++
			}
		}
		nobody := netip.MustParseAddr("192.0.2.1")
		require.Nil(t, n.leasedTo(nobody))
		require.Nil(t, first[nobody])
	}
	require.Positive(t, found)
	require.Positive(t, twice, "the drawing has lost that case")
}
