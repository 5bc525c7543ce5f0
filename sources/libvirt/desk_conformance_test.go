package libvirt_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	libvirtd "allocsync/fixtures/libvirt"
	"allocsync/ipam"
	"allocsync/sources/sourcetest"
)

// Identities of the world in which the suite reserves.
const (
	lanUUID   = "cccccccc-0000-4000-8000-000000000003"
	webUUID   = "aaaaaaaa-0000-4000-8000-000000000001"
	webMAC    = "52:54:00:00:00:0a"
	strangeIP = "10.0.0.99"
	thief     = "52:54:00:ff:00:01"
	thiefID   = "0:3:0:1:ff"
)

// lanXML is a network with a dynamic range and a static host of each family.
const lanXML = `<network>
  <name>lan</name>
  <uuid>` + lanUUID + `</uuid>
  <bridge name='virbr5' stp='on' delay='0'/>
  <ip address='10.0.0.1' prefix='24'>
    <dhcp>
      <range start='10.0.0.200' end='10.0.0.220'/>
      <host mac='52:54:00:00:00:99' name='printer' ip='` + strangeIP + `'/>
    </dhcp>
  </ip>
  <ip family='ipv6' address='2001:db8:5::1' prefix='64'>
    <dhcp>
      <host id='0:3:0:1:99' ip='2001:db8:5::99'/>
    </dhcp>
  </ip>
</network>`

// lanWorld is a host with that network and two domains, the first with one NIC
// on it, the second with two.
func lanWorld(network libvirtd.Network) libvirtd.World {
	network.XML = lanXML
	nic := func(mac string) string {
		return "<interface type='network'><mac address='" + mac + "'/><source network='lan' bridge='virbr5'/></interface>"
	}
	domain := func(uuid, name, devices string) string {
		return fmt.Sprintf("<domain type='kvm'><name>%s</name><uuid>%s</uuid><devices>%s</devices></domain>", name, uuid, devices)
	}
	return libvirtd.World{
		Hostname: "kvm1", Networks: []libvirtd.Network{network},
		Domains: []libvirtd.Domain{
			{Active: true, XML: domain(webUUID, "web-1", nic(webMAC))},
			{XML: domain("bbbbbbbb-0000-4000-8000-000000000002", "db-1", nic("52:54:00:00:00:0b")+nic("52:54:00:00:00:0c"))},
		},
	}
}

func TestDesks(t *testing.T) {
	running := libvirtd.Network{Active: true}
	for _, test := range []struct {
		name    string
		network libvirtd.Network
		swapped bool
		free    string
		room    sourcetest.Room
	}{
		{"a MAC of nobody", running, false, "10.0.0.20", sourcetest.Room{MAC: "52:54:00:00:00:20", Name: "nas"}},
		{"a domain by its URI", running, false, "10.0.0.20", sourcetest.Room{For: "/domains/" + webUUID + "?mac=" + webMAC}},
		{"a domain by its name", running, false, "10.0.0.20", sourcetest.Room{For: "web-1", Name: "two words"}},
		{"a domain by its UUID", running, false, "10.0.0.20", sourcetest.Room{For: webUUID, Name: "web-1.example"}},
		{"one NIC of a domain", running, false, "10.0.0.20", sourcetest.Room{For: "db-1", MAC: "52:54:00:00:00:0c"}},
		{"a MAC of a domain", running, false, "10.0.0.20", sourcetest.Room{MAC: webMAC, Name: `"><x a='`}},
		{"a reservation's own URI", running, false, "10.0.0.20", sourcetest.Room{For: "/networks/" + lanUUID + "?mac=52:54:00:00:00:20"}},
		{"a network that does not run", libvirtd.Network{}, false, "10.0.0.20", sourcetest.Room{MAC: "52:54:00:00:00:20"}},
		{"a network that is not kept", libvirtd.Network{Active: true, Transient: true}, false, "10.0.0.20", sourcetest.Room{MAC: "52:54:00:00:00:20"}},
		{"a client of DHCPv6", running, false, "2001:db8:5::20", sourcetest.Room{For: "/networks/" + lanUUID + "?client=0:3:0:1:20"}},
		{"a client of DHCPv6 by name", running, false, "2001:db8:5::20", sourcetest.Room{For: "/networks/" + lanUUID + "?name=nas6"}},
		{"a daemon with swapped arguments", running, true, "10.0.0.20", sourcetest.Room{MAC: "52:54:00:00:00:20"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			sourcetest.RunDesks(t, sourcetest.Desks{Open: func(tb testing.TB) sourcetest.Room {
				w := lanWorld(test.network)
				w.SwappedUpdate = test.swapped
				return newRoom(tb, w, test.free, test.room)
			}})
		})
	}
}

// newRoom serves a world in which the suite reserves an address.
func newRoom(tb testing.TB, w libvirtd.World, free string, r sourcetest.Room) sourcetest.Room {
	tb.Helper()
	var server *libvirtd.Server
	r.Source = mustOpen(tb, []libvirtd.World{w}, func(s *libvirtd.Server) { server = s })
	r.Network, r.Free = "/networks/"+lanUUID, netip.MustParseAddr(free)
	r.Taken, r.Outside = netip.MustParseAddr(strangeIP), netip.MustParseAddr("10.9.0.20")
	if r.Free.Is6() {
		r.Taken, r.Outside = netip.MustParseAddr("2001:db8:5::99"), netip.MustParseAddr("2001:db8:6::20")
	}
	r.Requests = func() int { return len(server.Record().Calls) }
	r.Steal = func(tb testing.TB, held ipam.Reservation) {
		tb.Helper()
		server.Update(func(w *libvirtd.World) {
			n := w.Network("lan")
			n.XML, n.Inactive = stolen(tb, n.XML, held), ""
		})
	}
	tb.Cleanup(func() { // the reading never could have written
		for _, c := range server.Record().Writes() {
			require.Equal(tb, libvirtd.NetworkUpdate, c.Procedure)
			require.False(tb, server.Record().Connections[c.Connection].ReadOnly)
		}
	})
	return r
}

// stolen gives the entry of a held address to another client.
func stolen(tb testing.TB, text string, held ipam.Reservation) string {
	tb.Helper()
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.Contains(line, "ip='"+held.Addr.String()+"'") {
			client := "mac='" + thief + "'"
			if held.Addr.Is6() {
				client = "id='" + thiefID + "'"
			}
			lines[i] = "      <host " + client + " ip='" + held.Addr.String() + "'/>"
			return strings.Join(lines, "\n")
		}
	}
	require.Fail(tb, "it is not held", "%v in %s", held, text)
	return ""
}
