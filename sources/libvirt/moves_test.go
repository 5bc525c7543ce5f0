package libvirt_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	libvirtd "allocsync/fixtures/libvirt"
	"allocsync/ipam"
	"allocsync/sources"
	"allocsync/sources/libvirt"
)

// server is a domain of Nova's with one port and its fixed address.
func server(n int) libvirtd.Domain {
	id := fmt.Sprintf("00000000-0000-4000-8000-%012d", n)
	return libvirtd.Domain{Active: true, XML: fmt.Sprintf(`<domain><name>instance-%08x</name><uuid>%s</uuid><metadata>
<nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1"><nova:name>vm-%d</nova:name><nova:ports>
<nova:port uuid="%s"><nova:ip type="fixed" address="10.0.%d.%d" ipVersion="4"/></nova:port></nova:ports></nova:instance></metadata></domain>`,
		n, id, n, id, n/250, n%250+1)}
}

func servers(first, last int) []libvirtd.Domain {
	var list []libvirtd.Domain
	for n := first; n <= last; n++ {
		list = append(list, server(n))
	}
	return list
}

// addressesOf lists the addresses that a complete snapshot has, sorted.
func addressesOf(tb testing.TB, s sources.Snapshot) []string {
	tb.Helper()
	require.Empty(tb, s.Missing)
	var list []string
	for _, a := range s.Allocations {
		list = append(list, a.Prefix.Addr().String())
	}
	return list
}

func mustSnapshot(tb testing.TB, source sources.Source) sources.Snapshot {
	tb.Helper()
	s, err := source.Snapshot(tb.Context())
	require.NoError(tb, err)
	return s
}

// hosts are two daemons of one source.
type hosts struct{ a, b *libvirtd.Server }

func newHosts(tb testing.TB, a, b []libvirtd.Domain) (hosts, sources.Source) {
	tb.Helper()
	var list []*libvirtd.Server
	source := mustOpen(tb, []libvirtd.World{{Hostname: "a", Domains: a}, {Hostname: "b", Domains: b}}, func(s *libvirtd.Server) {
		list = append(list, s)
	}, func(o *libvirt.Options) { o.CallTimeout, o.Timeout = 2*time.Second, 20*time.Second })
	return hosts{list[0], list[1]}, source
}

// move takes a domain from one host to another as libvirt does: for a moment
// it is on both.
func move(from, to *libvirtd.Server, name string) {
	var d libvirtd.Domain
	from.Update(func(w *libvirtd.World) { d = *w.Domain(name) })
	to.Update(func(w *libvirtd.World) { w.Domains = append(w.Domains, d) })
	from.Update(func(w *libvirtd.World) {
		w.Domains = slices.DeleteFunc(w.Domains, func(d libvirtd.Domain) bool { return d.Name == name })
	})
}

// The whole of b is read before a is listed, and meanwhile a domain goes from
// a to b: neither list had it.
func TestMoveBetweenTheLists(t *testing.T) {
	h, source := newHosts(t, servers(1, 5), servers(6, 9))
	read := make(chan struct{}) // closed when b has been read
	h.b.SetFaults(libvirtd.Faults{Answer: func(c libvirtd.Call) libvirtd.Behaviour {
		if c.Procedure == libvirtd.ConnectListAllNetworks {
			move(h.a, h.b, "instance-00000003")
			close(read)
		}
		return libvirtd.Behaviour{}
	}})
	h.a.SetFaults(libvirtd.Faults{Answer: func(c libvirtd.Call) libvirtd.Behaviour {
		if c.Procedure == libvirtd.ConnectListAllDomains && c.Nth == 0 {
			<-read
		}
		return libvirtd.Behaviour{}
	}})
	require.Len(t, addressesOf(t, mustSnapshot(t, source)), 9)
	require.Equal(t, 2, h.a.Record().Count(libvirtd.ConnectListAllDomains))
	require.Equal(t, 2, h.b.Record().Count(libvirtd.ConnectListAllDomains))
	require.Equal(t, 4, h.a.Record().Count(libvirtd.DomainGetXML))
	require.Equal(t, 5, h.b.Record().Count(libvirtd.DomainGetXML))
}

// A domain is listed on a, and has gone to b when its XML is asked for.
func TestMoveBetweenListAndXML(t *testing.T) {
	h, source := newHosts(t, servers(1, 5), servers(6, 9))
	h.a.SetFaults(libvirtd.Faults{Answer: func(c libvirtd.Call) libvirtd.Behaviour {
		if c.Procedure == libvirtd.DomainGetXML && c.Nth == 0 {
			for { // b has been read
				if r := h.b.Record(); r.Count(libvirtd.ConnectListAllNetworks) > 0 {
					break
				}
				time.Sleep(time.Millisecond)
			}
			for n := 1; n <= 5; n++ {
				move(h.a, h.b, fmt.Sprintf("instance-%08x", n))
			}
		}
		return libvirtd.Behaviour{}
	}})
	require.Len(t, addressesOf(t, mustSnapshot(t, source)), 9)
}

// A domain is undefined when its XML is asked for, and defined again when the
// domains are listed once more: that is what a hard reboot looks like.
func TestDefinedAgain(t *testing.T) {
	var daemon *libvirtd.Server
	source := mustOpen(t, []libvirtd.World{{Domains: servers(1, 3)}}, func(s *libvirtd.Server) {
		daemon = s
		s.SetFaults(libvirtd.Faults{Answer: func(c libvirtd.Call) libvirtd.Behaviour {
			switch {
			case c.Procedure == libvirtd.DomainGetXML && c.Nth == 0:
				s.Update(func(w *libvirtd.World) { w.Domains = w.Domains[:2] })
			case c.Procedure == libvirtd.ConnectListAllDomains && c.Nth == 1:
				s.Update(func(w *libvirtd.World) { w.Domains = append(w.Domains, server(3)) })
			}
			return libvirtd.Behaviour{}
		}})
	})
	require.Equal(t, []string{"10.0.0.2", "10.0.0.3", "10.0.0.4"}, addressesOf(t, mustSnapshot(t, source)))
	require.Equal(t, 2, daemon.Record().Count(libvirtd.ConnectListAllDomains))
}

// A domain that was listed and is nowhere when it is to be read may be about to
// be defined again, as in a hard reboot: it is missing this once.
func TestGoneMeanwhile(t *testing.T) {
	source := mustOpen(t, []libvirtd.World{{Domains: servers(1, 3)}}, func(s *libvirtd.Server) {
		s.SetFaults(libvirtd.Faults{Answer: func(c libvirtd.Call) libvirtd.Behaviour {
			if c.Procedure == libvirtd.DomainGetXML && c.Nth == 0 {
				s.Update(func(w *libvirtd.World) { w.Domains = w.Domains[:2] })
			}
			return libvirtd.Behaviour{}
		}})
	})
	s := mustSnapshot(t, source)
	require.Len(t, s.Allocations, 2)
	require.Len(t, s.Missing, 1)
	require.Equal(t, "domain instance-00000003 on localhost", s.Missing[0].Part)
	require.Equal(t, []string{"10.0.0.2", "10.0.0.3"}, addressesOf(t, mustSnapshot(t, source)), "the next pass knows that it is deleted")
}

// Its lease is not given to the network meanwhile.
func TestLeaseOfDomainGoneMeanwhile(t *testing.T) {
	lan := libvirtd.Network{
		Active: true, XML: "<network><name>lan</name><uuid>cccccccc-0000-4000-8000-000000000003</uuid></network>",
		Leases: []libvirtd.Lease{{Address: "10.0.0.77", MAC: "52:54:00:00:00:07", Prefix: 24}},
	}
	vm := libvirtd.Domain{Active: true, XML: `<domain><name>vm</name><uuid>00000000-0000-4000-8000-000000000001</uuid><devices>
<interface type='network'><mac address='52:54:00:00:00:07'/><source network='lan'/></interface></devices></domain>`}
	source := mustOpen(t, []libvirtd.World{{Networks: []libvirtd.Network{lan}, Domains: []libvirtd.Domain{vm}}}, func(s *libvirtd.Server) {
		s.SetFaults(libvirtd.Faults{Answer: func(c libvirtd.Call) libvirtd.Behaviour {
			if c.Procedure == libvirtd.DomainGetXML && c.Nth == 1 {
				s.Update(func(w *libvirtd.World) { w.Domains = nil })
			}
			return libvirtd.Behaviour{}
		}})
	})
	first, second := mustSnapshot(t, source), mustSnapshot(t, source)
	require.Len(t, first.Allocations, 1)
	require.Contains(t, string(first.Allocations[0].UsedBy), "/domains/")
	require.Empty(t, second.Allocations)
	require.Len(t, second.Missing, 1)
}

// So may a network that is gone when its XML is asked for.
func TestNetworkGoneMeanwhile(t *testing.T) {
	lan := libvirtd.Network{Active: true, XML: "<network><name>lan</name><uuid>cccccccc-0000-4000-8000-000000000003</uuid><ip address='10.0.0.1' prefix='24'/></network>"}
	for _, p := range []libvirtd.Procedure{libvirtd.NetworkGetXML, libvirtd.NetworkGetLeases} {
		source := mustOpen(t, []libvirtd.World{{Networks: []libvirtd.Network{lan}}}, func(s *libvirtd.Server) {
			s.SetFaults(libvirtd.Faults{Answer: func(c libvirtd.Call) libvirtd.Behaviour {
				if c.Procedure == p {
					s.Update(func(w *libvirtd.World) { w.Networks = nil })
				}
				return libvirtd.Behaviour{}
			}})
		})
		require.Len(t, mustSnapshot(t, source).Missing, 1)
		require.Empty(t, addressesOf(t, mustSnapshot(t, source)))
	}
}

// Hosts that never answer take the time of all; what was read of the others
// until then stands.
func TestTimeIsOver(t *testing.T) {
	var worlds []libvirtd.World
	for i := range 6 {
		worlds = append(worlds, libvirtd.World{Hostname: fmt.Sprint("h", i), Domains: servers(10*i+1, 10*i+5)})
	}
	n := 0
	source := mustOpen(t, worlds, func(s *libvirtd.Server) {
		if n++; n > 2 {
			s.SetFaults(libvirtd.Faults{Answer: func(libvirtd.Call) libvirtd.Behaviour { return libvirtd.Behaviour{Fault: libvirtd.Hanging} }})
		}
	}, func(o *libvirt.Options) {
		o.HostsAtOnce, o.CallTimeout, o.Timeout = 1, 400*time.Millisecond, 1500*time.Millisecond
	})
	s := mustSnapshot(t, source)
	require.Len(t, s.Allocations, 10)
	require.Len(t, s.Missing, 5, "four hosts, and what may have moved")
}

// Two URIs that lead to one host, by a mistake in the DNS say, leave another
// host unread.
func TestTwoHostsOfOneName(t *testing.T) {
	worlds := []libvirtd.World{{Hostname: "kvm1", Domains: servers(1, 2)}, {Hostname: "kvm1", Domains: servers(1, 2)}}
	source := mustOpen(t, worlds, nil)
	s := mustSnapshot(t, source)
	require.Len(t, s.Allocations, 2)
	require.Len(t, s.Missing, 1)
	require.ErrorContains(t, s.Missing[0].Err, `it says that its name is "kvm1", as localhost /`)
	require.Contains(t, findings(t, source), "FAIL host localhost /")
}

// Half of all domains change hosts while both are read, again and again: every
// one is in every snapshot, once.
func TestMovesAllTheTime(t *testing.T) {
	h, source := newHosts(t, servers(1, 40), servers(41, 60))
	for _, s := range []*libvirtd.Server{h.a, h.b} {
		s.SetFaults(libvirtd.Faults{Answer: func(c libvirtd.Call) libvirtd.Behaviour {
			return libvirtd.Behaviour{Delay: time.Duration(c.N%7) * 100 * time.Microsecond}
		}})
	}
	from, to := h.a, h.b
	for range 12 {
		moved := make(chan struct{})
		go func() {
			defer close(moved)
			for n := 1; n <= 40; n++ {
				move(from, to, fmt.Sprintf("instance-%08x", n))
				time.Sleep(100 * time.Microsecond)
			}
		}()
		require.Len(t, addressesOf(t, mustSnapshot(t, source)), 60)
		<-moved
		from, to = to, from
	}
}

// While a domain is on both hosts the one that runs counts, whichever is named
// first.
func TestOnBothHosts(t *testing.T) {
	stale := server(1)
	stale.Active = false
	moved := server(1)
	moved.XML = strings.Replace(moved.XML, "10.0.0.2", "10.0.9.9", 1)
	_, source := newHosts(t, []libvirtd.Domain{stale}, []libvirtd.Domain{moved})
	require.Equal(t, []string{"10.0.9.9"}, addressesOf(t, mustSnapshot(t, source)))
	_, source = newHosts(t, []libvirtd.Domain{moved}, []libvirtd.Domain{stale})
	require.Equal(t, []string{"10.0.9.9"}, addressesOf(t, mustSnapshot(t, source)))
}

// One host that cannot be read: the other's are listed, and it is named.
func TestOneHostAway(t *testing.T) {
	h, source := newHosts(t, servers(1, 3), servers(4, 6))
	h.b.SetFaults(libvirtd.Faults{Accept: func(int) bool { return true }})
	s := mustSnapshot(t, source)
	require.Len(t, s.Allocations, 3)
	require.Len(t, s.Missing, 1)
	require.Contains(t, s.Missing[0].Part, "host localhost /")
	require.ErrorIs(t, s.Missing[0].Err, sources.ErrUnreachable)

	h.a.SetFaults(libvirtd.Faults{Accept: func(int) bool { return true }})
	_, err := source.Snapshot(t.Context())
	require.ErrorIs(t, err, sources.ErrUnreachable)
	require.ErrorContains(t, err, "none of the 2 hosts can be read: ")
}

// A host that is lost when the domains are listed once more is missing, and so
// is all that was read there.
func TestHostLostAtTheEnd(t *testing.T) {
	h, source := newHosts(t, servers(1, 3), servers(4, 6))
	h.b.SetFaults(libvirtd.Faults{Answer: func(c libvirtd.Call) libvirtd.Behaviour {
		if c.Procedure == libvirtd.ConnectListAllDomains && c.Nth == 1 {
			return libvirtd.Behaviour{Fault: libvirtd.Dropped}
		}
		return libvirtd.Behaviour{}
	}})
	s := mustSnapshot(t, source)
	require.Len(t, s.Missing, 1)
	require.ErrorContains(t, s.Missing[0].Err, "list domains once more")
	require.True(t, slices.IsSortedFunc(s.Allocations, ipam.Allocation.Compare))
	require.Len(t, s.Allocations, 3)
}

// One host, no hurry: one list, one XML for each domain, never more than 64
// calls at once, on one connection that may only read.
func TestCallsCounted(t *testing.T) {
	var daemon *libvirtd.Server
	source := mustOpen(t, []libvirtd.World{{Domains: servers(1, 300)}}, func(s *libvirtd.Server) {
		daemon = s
		s.SetFaults(libvirtd.Faults{Answer: func(libvirtd.Call) libvirtd.Behaviour { return libvirtd.Behaviour{Delay: 2 * time.Millisecond} }})
	})
	require.Len(t, addressesOf(t, mustSnapshot(t, source)), 300)
	r := daemon.Record()
	require.Equal(t, 1, r.Count(libvirtd.ConnectListAllDomains))
	require.Equal(t, 300, r.Count(libvirtd.DomainGetXML))
	require.Len(t, r.Calls, 305, "authentication, open, name, domains, networks, and the XML")
	require.Len(t, r.Connections, 1)
	require.LessOrEqual(t, r.MaxInFlight, 64)
	require.Greater(t, r.MaxInFlight, 32, "calls wait for each other")
	require.Empty(t, r.Writes())
}
