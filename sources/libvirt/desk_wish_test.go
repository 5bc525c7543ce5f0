package libvirt_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	libvirtd "allocsync/fixtures/libvirt"
	"allocsync/ipam"
	"allocsync/sources"
	"allocsync/sources/libvirt"
)

// mixedHost is a host with all sorts of networks, and domains of its own and of
// Nova's.
func mixedHost() libvirtd.World {
	const nova = `<metadata><nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1"><nova:name>shop</nova:name><nova:ports>` +
		`<nova:port uuid="567a4527-b000-4000-8000-000000000001"><nova:ip type="fixed" address="10.0.0.40" ipVersion="4"/></nova:port></nova:ports></nova:instance></metadata>`
	w := lanWorld(libvirtd.Network{Active: true, Leases: []libvirtd.Lease{
		{Interface: "virbr5", MAC: "52:54:00:00:00:77", Address: "10.0.0.77", Prefix: 24, Hostname: "phone"},
		{Interface: "virbr5", MAC: "06-02:52:54:00:00:ab", Address: "10.0.0.78", Prefix: 24},
		{Interface: "virbr5", MAC: webMAC, Address: "10.0.0.30", Prefix: 24},
	}})
	w.Networks[0].XML = strings.Replace(w.Networks[0].XML, "<host mac='52:54:00:00:00:99'", "<host mac='"+webMAC+"' name='web-1' ip='10.0.0.30'/>\n<host name='by-name' ip='10.0.0.31'/>\n<host mac='fa:16:3e:00:00:01' ip='10.0.0.40'/>\n<host mac='52:54:00:00:00:99'", 1)
	nic := func(mac, network, inside string) string {
		return fmt.Sprintf("<interface type='network'><mac address='%s'/><source network='%s'/>%s</interface>", mac, network, inside)
	}
	domain := func(n int, name, rest string) libvirtd.Domain {
		return libvirtd.Domain{XML: fmt.Sprintf("<domain><name>%s</name><uuid>dddddddd-0000-4000-8000-%012x</uuid>%s</domain>", name, n, rest)}
	}
	w.Domains = append(w.Domains,
		domain(1, "instance-1", nova+"<devices>"+nic("fa:16:3e:00:00:01", "lan", "<target dev='tap567a4527-b0'/>")+nic("fa:16:3e:00:00:02", "elsewhere", "")+"</devices>"),
		domain(2, "static", "<devices>"+nic("52:54:00:00:00:50", "lan", "<ip address='10.0.0.50' prefix='24'/>")+"</devices>"),
		domain(3, "twin-1", "<devices>"+nic("52:54:00:00:00:60", "lan", "")+"</devices>"),
		domain(4, "twin-2", "<devices>"+nic("52:54:00:00:00:60", "lan", "")+"</devices>"),
		domain(5, "apart", "<devices>"+nic("52:54:00:00:00:61", "elsewhere", "")+"</devices>"),
	)
	w.Networks = append(w.Networks,
		libvirtd.Network{XML: `<network><name>stock</name><uuid>eeeeeeee-0000-4000-8000-000000000001</uuid><ip address='192.168.122.1' netmask='255.255.255.0'><dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip></network>`},
		libvirtd.Network{XML: `<network><name>two</name><uuid>eeeeeeee-0000-4000-8000-000000000002</uuid><ip address='10.2.0.1' prefix='24'/><ip address='10.3.0.1' prefix='24'><dhcp><host mac='52:54:00:00:00:33' ip='10.3.0.3'/></dhcp></ip><ip family='ipv6' address='2001:db8:2::1' prefix='64'/></network>`},
		libvirtd.Network{XML: `<network><name>point</name><uuid>eeeeeeee-0000-4000-8000-000000000003</uuid><ip address='10.4.0.0' prefix='31'/></network>`},
		libvirtd.Network{XML: `<network><name>over-a</name><uuid>eeeeeeee-0000-4000-8000-000000000004</uuid><ip address='10.5.0.1' prefix='24'/></network>`},
		libvirtd.Network{XML: `<network><name>over-b</name><uuid>eeeeeeee-0000-4000-8000-000000000005</uuid><ip address='10.5.0.129' prefix='25'/></network>`},
		libvirtd.Network{XML: `<network><name>bridge</name><uuid>eeeeeeee-0000-4000-8000-000000000006</uuid><forward mode='bridge'/><bridge name='br0'/></network>`},
		libvirtd.Network{XML: `<network><name>odd</name><uuid>eeeeeeee-0000-4000-8000-000000000007</uuid><ip address='10.6.0.1' prefix='24'><dhcp><range start='x' end='y'/></dhcp></ip></network>`},
	)
	return w
}

func network(n int) ipam.UsedBy {
	return ipam.UsedBy(fmt.Sprintf("/networks/eeeeeeee-0000-4000-8000-%012x", n))
}

// TestDeskConsiders tells for each wish what becomes of it, or why it cannot be
// met. What does not need the reading, Reserve refuses likewise.
func TestDeskConsiders(t *testing.T) {
	const nobody = "52:54:00:00:00:20"
	source, servers := lanHosts(t, []libvirtd.World{mixedHost()})
	server := servers[0]
	survey := mustSurvey(t, source)
	require.Empty(t, survey.Missing)
	for _, test := range []struct {
		wish ipam.Reservation // without Addr
		addr string
		want string // "MAC For Name", or the end of a refusal
	}{
		{ipam.Reservation{MAC: nobody, Name: "nas"}, "10.0.0.20", nobody + "  nas"},
		{ipam.Reservation{MAC: nobody, Network: lan, Name: "the office's printer"}, "10.0.0.20", nobody + "  "},
		{ipam.Reservation{MAC: nobody, Name: "x\nmalice"}, "10.0.0.20", nobody + "  "},
		{ipam.Reservation{MAC: nobody, Name: "ignore"}, "10.0.0.20", nobody + "  "},
		{ipam.Reservation{MAC: nobody, Name: "Printer"}, "10.0.0.20", nobody + "  "}, // another's
		{ipam.Reservation{MAC: webMAC, Name: "other"}, "10.0.0.30", webMAC + " /domains/" + webUUID + "?mac=" + webMAC + " web-1"},
		{ipam.Reservation{For: "/domains/" + webUUID}, "10.0.0.30", webMAC + " /domains/" + webUUID + "?mac=" + webMAC + " web-1"},
		{ipam.Reservation{For: "static"}, "10.0.0.50", "52:54:00:00:00:50 /domains/dddddddd-0000-4000-8000-000000000002?mac=52:54:00:00:00:50 "},
		{ipam.Reservation{For: lan + "?name=by-name"}, "10.0.0.31", " /networks/" + lanUUID + "?name=by-name by-name"},
		{ipam.Reservation{For: lan + "?client=0:3:0:1:99"}, "2001:db8:5::99", " /networks/" + lanUUID + "?client=0%3A3%3A0%3A1%3A99 "},
		{ipam.Reservation{MAC: "52:54:00:00:00:77"}, "10.0.0.77", "52:54:00:00:00:77  "}, // its own lease
		{ipam.Reservation{MAC: nobody}, "10.3.0.20", nobody + "  "},
		{ipam.Reservation{MAC: nobody}, "10.4.0.1", nobody + "  "},
		{ipam.Reservation{MAC: nobody, For: network(1) + "?mac=" + webMAC}, "10.0.0.20", nobody + "  "}, // filled in, for one of before
		{ipam.Reservation{MAC: nobody, For: lan + "?mac=" + webMAC}, "10.0.0.20", nobody + "  "},
		{ipam.Reservation{MAC: nobody, Ref: lan + "?mac=52:54:00:00:00:99"}, "10.0.0.99", nobody + "  "}, // that one is given up
		{ipam.Reservation{MAC: nobody, Ref: lan + "?mac=52:54:00:00:00:98"}, "10.0.0.99", "it is reserved for 52:54:00:00:00:99 (printer)"},

		{ipam.Reservation{}, "10.0.0.20", "it is for nobody, and libvirt cannot keep an address out of use, only serve one to a MAC: name a MAC (hwaddr) or a domain (used_by)"},
		{ipam.Reservation{MAC: nobody}, "10.0.0.1", "it is the host's own address on this network"},
		{ipam.Reservation{MAC: nobody}, "10.0.0.0", "it is the address of the subnet 10.0.0.0/24 itself"},
		{ipam.Reservation{MAC: nobody}, "10.0.0.255", "it is the broadcast address of 10.0.0.0/24"},
		{ipam.Reservation{For: lan + "?name=x"}, "2001:db8:5::", "it is the address of the subnet 2001:db8:5::/64 itself"},
		{ipam.Reservation{MAC: nobody}, "10.0.0.200", "it is inside the dynamic range 10.0.0.200 to 10.0.0.220, from which DHCP hands addresses out: choose one outside of it, or make the range shorter"},
		{ipam.Reservation{MAC: nobody}, "10.0.0.220", "it is inside the dynamic range 10.0.0.200 to 10.0.0.220, from which DHCP hands addresses out: choose one outside of it, or make the range shorter"},
		{ipam.Reservation{MAC: nobody}, "192.168.122.9", "it is inside the dynamic range 192.168.122.2 to 192.168.122.254, from which DHCP hands addresses out: choose one outside of it, or make the range shorter"},
		{ipam.Reservation{MAC: nobody}, "10.6.0.9", "it is inside a range that makes no sense, from which DHCP hands addresses out: choose one outside of it, or make the range shorter"},
		{ipam.Reservation{MAC: nobody, Network: lan}, "10.9.0.9", "the network has no subnet with this address, it has 10.0.0.0/24, 2001:db8:5::/64"},
		{ipam.Reservation{MAC: nobody, Network: network(6)}, "10.9.0.9", "the network has no subnet with this address, it has none"},
		{ipam.Reservation{MAC: nobody}, "10.0.0.99", "it is reserved for 52:54:00:00:00:99 (printer)"},
		{ipam.Reservation{MAC: nobody}, "10.0.0.31", "it is reserved for by-name"},
		{ipam.Reservation{MAC: webMAC}, "10.0.0.20", webMAC + " (web-1) has 10.0.0.30 on this network already, and libvirt keeps one for each: release that one first"},
		{ipam.Reservation{MAC: nobody}, "10.0.0.77", "it is leased to 52:54:00:00:00:77: wait for that lease to end"},
		{ipam.Reservation{MAC: nobody}, "10.0.0.78", "it is leased to 06-02:52:54:00:00:ab: wait for that lease to end"},
		{ipam.Reservation{MAC: nobody}, "10.0.0.50", "domain static is configured with it"},
		{ipam.Reservation{MAC: nobody}, "10.2.0.20", "the network serves DHCP on 10.3.0.0/24 only: libvirt serves one IPv4 subnet of a network"},
		{ipam.Reservation{For: network(2) + "?name=x"}, "2001:db8:2::20", "the network serves no DHCPv6 on 2001:db8:2::/64, and begins to only when it starts: give this <ip> a <dhcp> with a range or host (virsh net-edit), and start the network anew"},
		{ipam.Reservation{MAC: nobody}, "2001:db8:5::20", "libvirt knows no client of DHCPv6 by its MAC, but by its DUID or the name that it gives: ask for it with used_by /networks/" + lanUUID + "?client=DUID or ?name=NAME"},
		{ipam.Reservation{For: lan + "?client=0:3:0:1:20"}, "10.0.0.20", "libvirt knows clients of DHCP by MAC or name, and by DUID only with IPv6"},

		{ipam.Reservation{MAC: nobody}, "10.5.0.130", "several networks have this address, name one of them: network over-a of localhost (" + string(network(4)) + "), network over-b of localhost (" + string(network(5)) + ")"},
		{ipam.Reservation{MAC: nobody}, "10.77.0.20", "no network of libvirt's has this address"},
		{ipam.Reservation{MAC: nobody, Network: network(99)}, "10.0.0.20", "no host has this network"},
		{ipam.Reservation{MAC: nobody, Network: "lan"}, "10.0.0.20", "that is none of libvirt's networks, which are written /networks/UUID"},

		{ipam.Reservation{For: "nobody"}, "10.0.0.20", `localhost has no domain "nobody"`},
		{ipam.Reservation{For: "/domains/" + webUUID + "?mac=" + nobody}, "10.0.0.20", "domain web-1 has no interface " + nobody + " on this network"},
		{ipam.Reservation{For: "web-1", MAC: nobody}, "10.0.0.20", "domain web-1 has no interface " + nobody + " on this network"},
		{ipam.Reservation{For: "/domains/" + webUUID + "?mac=" + webMAC, MAC: nobody}, "10.0.0.20", "its MAC is " + nobody + ", and it is for /domains/" + webUUID + "?mac=" + webMAC},
		{ipam.Reservation{For: "db-1"}, "10.0.0.20", "domain db-1 has several interfaces on this network, name the MAC of one: [52:54:00:00:00:0b 52:54:00:00:00:0c]"},
		{ipam.Reservation{For: "apart"}, "10.0.0.20", "domain apart has no interface on this network"},
		{ipam.Reservation{For: "twin-1"}, "10.0.0.20", "52:54:00:00:00:60 is the MAC of several domains on this network: give each its own"},
		{ipam.Reservation{For: "/1.0/instances/u1"}, "10.0.0.20", `"/1.0/instances/u1" is none of libvirt's: want /domains/UUID?mac=MAC, a domain's UUID or its name`},
		{ipam.Reservation{For: network(1) + "?mac=" + nobody}, "10.0.0.20", "it is for a client of " + string(network(1)) + ", which is another network"},
		{ipam.Reservation{For: lan}, "10.0.0.20", `"/networks/` + lanUUID + `" names no client by mac, client or name`},
		{ipam.Reservation{For: lan + "?mac=x"}, "10.0.0.20", "it is for /networks/" + lanUUID + "?mac=x, which names no MAC"},
		{ipam.Reservation{For: lan + "?client=1", MAC: nobody}, "10.0.0.20", "its MAC is " + nobody + ", and it is for /networks/" + lanUUID + "?client=1"},
		{ipam.Reservation{For: lan + "?client=%0A"}, "10.0.0.20", "\"\uFFFD\" is no DUID, which is octets with colons: 0:1:0:1:2a"},
		{ipam.Reservation{For: lan + "?name=two+words"}, "10.0.0.20", `"/networks/` + lanUUID + `?name=two+words" names no client by mac, client or name`},

		{ipam.Reservation{For: "/servers/x?port=y"}, "10.0.0.20", novas},
		{ipam.Reservation{For: "instance-1"}, "10.0.0.20", novas},
		{ipam.Reservation{MAC: "fa:16:3e:00:00:01"}, "10.0.0.20", novas},
		{ipam.Reservation{MAC: "fa:16:3e:00:00:02"}, "10.0.0.20", novas},
	} {
		test.wish.Addr, test.wish.Mark = netip.MustParseAddr(test.addr), "main/kvm"
		label := fmt.Sprintf("%+v", test.wish)
		got, err := survey.Desk.Consider(test.wish)
		if err == nil {
			require.Equal(t, test.want, fmt.Sprintf("%s %s %s", got.MAC, got.For, got.Name), label)
			require.Equal(t, test.wish.Mark, got.Mark)
			require.NotEmpty(t, got.Network, label)
			again, err := survey.Desk.Consider(got)
			require.NoError(t, err, label)
			require.Equal(t, got, again)
			continue
		}
		require.ErrorIs(t, err, sources.ErrRefused, label)
		require.Equal(t, test.want, strings.SplitN(err.Error(), "the source refuses: ", 2)[1], label)
		_, err = survey.Desk.Reserve(t.Context(), test.wish)
		require.ErrorIs(t, err, sources.ErrRefused, label)
	}
	require.Empty(t, server.Record().Writes())
	for _, w := range []ipam.Reservation{{}, {Network: lan, MAC: nobody}, {MAC: nobody}} {
		_, err := survey.Desk.Consider(w)
		require.ErrorIs(t, err, sources.ErrNoChoice)
		_, err = survey.Desk.Reserve(t.Context(), w)
		require.ErrorIs(t, err, sources.ErrNoChoice)
	}
}

const novas = "it is for a server of Nova's, whose addresses Neutron gives out: reserve it there, as a port with a fixed IP"

// TestDeskHeld: every static host, whoever made it, as Snapshot names it.
func TestDeskHeld(t *testing.T) {
	source, _ := lanHosts(t, []libvirtd.World{mixedHost()})
	survey := mustSurvey(t, source)
	var list []string
	for _, h := range survey.Held {
		require.NoError(t, h.Check())
		require.True(t, h.Unmarkable)
		require.Empty(t, h.Mark)
		list = append(list, strings.ReplaceAll(fmt.Sprintf("%s mac=%s for=%s name=%s ref=%s type=%s: %s", h.Addr, h.MAC, h.For, h.Name, h.Ref, h.Type, h.InUse), lanUUID, "LAN"))
	}
	const web, server = "/domains/" + webUUID + "?mac=" + webMAC, "/servers/dddddddd-0000-4000-8000-000000000001?port=567a4527-b000-4000-8000-000000000001"
	require.Equal(t, []string{
		"10.0.0.30 mac=" + webMAC + " for=" + web + " name=web-1 ref=" + web + " type=domain: leased to " + webMAC,
		"10.0.0.31 mac= for=/networks/LAN?name=by-name name=by-name ref=/networks/LAN?name=by-name type=reservation: ",
		"10.0.0.40 mac=fa:16:3e:00:00:01 for=" + server + " name= ref=" + server + " type=fixed: ",
		"10.0.0.99 mac=52:54:00:00:00:99 for= name=printer ref=/networks/LAN?mac=52:54:00:00:00:99 type=reservation: ",
		"2001:db8:5::99 mac= for=/networks/LAN?client=0%3A3%3A0%3A1%3A99 name= ref=/networks/LAN?client=0%3A3%3A0%3A1%3A99 type=reservation: ",
		"10.3.0.3 mac=52:54:00:00:00:33 for= name= ref=" + string(network(2)) + "?mac=52:54:00:00:00:33 type=reservation: ",
	}, list)
	for _, h := range survey.Held {
		found := false
		for _, a := range survey.Allocations {
			found = found || a.Kind == ipam.Address && a.UsedBy == h.Ref && a.Type == h.Type && a.Prefix.Addr() == h.Addr
		}
		require.True(t, found, "%+v", h)
	}
}

// TestDeskInUse: a domain that runs uses what is reserved for it.
func TestDeskInUse(t *testing.T) {
	source, server := lanHost(t)
	survey := mustSurvey(t, source)
	want := wish(20)
	want.MAC = webMAC
	held, err := survey.Desk.Reserve(t.Context(), want)
	require.NoError(t, err)
	require.Equal(t, "domain web-1 runs", held.InUse)
	server.Update(func(w *libvirtd.World) { w.Domain("web-1").Active = false })
	held.InUse = ""
	require.Contains(t, mustSurvey(t, source).Held, held)
}

// TestDeskTwoHosts: networks of one UUID cannot be told apart, and what may be
// on a host that is away is not refused for good.
func TestDeskTwoHosts(t *testing.T) {
	worlds := []libvirtd.World{lanWorld(libvirtd.Network{Active: true}), lanWorld(libvirtd.Network{Active: true})}
	worlds[1].Hostname = "kvm2"
	source, servers := lanHosts(t, worlds)
	survey := mustSurvey(t, source)
	for _, w := range []ipam.Reservation{wish(20), {Addr: wish(20).Addr, MAC: wish(20).MAC}} {
		_, err := survey.Desk.Consider(w)
		require.ErrorIs(t, err, sources.ErrRefused)
		require.Contains(t, err.Error(), map[bool]string{
			true: "several networks have this address", false: "have one UUID, as hosts have that are copies of one image; define the network anew on the copies (virsh net-undefine, net-define)",
		}[w.Network == ""])
		_, err = survey.Desk.Reserve(t.Context(), w)
		require.ErrorIs(t, err, sources.ErrRefused)
	}
	require.Len(t, survey.Held, 2, "what is the same twice is listed once")
	require.ErrorIs(t, survey.Desk.Release(t.Context(), survey.Held[0]), sources.ErrRefused)

	const other = "cccccccc-0000-4000-8000-00000000000f"
	servers[1].Update(func(w *libvirtd.World) {
		w.Networks[0].XML = strings.NewReplacer(lanUUID, other, "10.0.0.", "10.8.0.", "db8:5", "db8:8").Replace(w.Networks[0].XML)
		w.Networks[0].UUID = other
	})
	survey = mustSurvey(t, source)
	there := wish(20)
	there.Network, there.Addr = "", netip.MustParseAddr("10.8.0.20")
	held, err := survey.Desk.Reserve(t.Context(), there)
	require.NoError(t, err)
	require.Equal(t, ipam.UsedBy("/networks/"+other), held.Network)
	require.Empty(t, servers[0].Record().Writes())
	require.Len(t, servers[1].Record().Writes(), 1)

	servers[1].Close()
	survey = mustSurvey(t, source)
	require.Len(t, survey.Missing, 1)
	_, err = survey.Desk.Consider(wish(20))
	require.NoError(t, err)
	for _, w := range []ipam.Reservation{there, {Network: "/networks/" + other, Addr: there.Addr, MAC: there.MAC}} {
		_, err = survey.Desk.Consider(w)
		require.ErrorIs(t, err, sources.ErrUnreachable)
		require.NotErrorIs(t, err, sources.ErrRefused)
		require.ErrorContains(t, err, "be read: host localhost ")
	}
	require.ErrorIs(t, survey.Desk.Release(t.Context(), held), sources.ErrUnreachable)
}

// TestDeskPartly: whose a MAC is cannot be told where a domain could not be
// read.
func TestDeskPartly(t *testing.T) {
	source, server := lanHost(t)
	server.SetFaults(libvirtd.Faults{Answer: func(c libvirtd.Call) libvirtd.Behaviour {
		if c.Procedure == libvirtd.DomainGetXML && c.Name == "db-1" {
			return libvirtd.Behaviour{Fault: libvirtd.Failing, Error: libvirtd.Error{Code: libvirtd.CodeInternal, Text: "no"}}
		}
		return libvirtd.Behaviour{}
	}})
	survey := mustSurvey(t, source)
	require.Len(t, survey.Missing, 1)
	require.Len(t, survey.Held, 1, "the one with a client ID: the other may be db-1's")
	_, err := survey.Desk.Consider(wish(20))
	require.ErrorIs(t, err, sources.ErrUnreachable)
	require.ErrorContains(t, err, "whose 52:54:00:ee:00:14 is cannot be told, as some domains of localhost could not be read")
	_, err = survey.Desk.Consider(ipam.Reservation{Addr: wish(20).Addr, Network: lan, For: "db-1"})
	require.ErrorIs(t, err, sources.ErrUnreachable)
	_, err = survey.Desk.Consider(ipam.Reservation{Addr: wish(20).Addr, Network: lan, For: "web-1"})
	require.NoError(t, err)
}

// TestDeskWithoutNetworks: nothing is reserved on networks that are not read.
func TestDeskWithoutNetworks(t *testing.T) {
	source, _ := lanHost(t, func(o *libvirt.Options) { o.Networks = false })
	survey := mustSurvey(t, source)
	require.Empty(t, survey.Held)
	_, err := survey.Desk.Consider(wish(20))
	require.ErrorIs(t, err, sources.ErrRefused)
	require.ErrorContains(t, err, "set networks: true for this source")
}

// TestDeskChanges: what changed since the Survey is seen before anything is
// written.
func TestDeskChanges(t *testing.T) {
	source, server := lanHost(t)
	survey := mustSurvey(t, source)
	for change, want := range map[string]string{
		"<host mac='52:54:00:00:00:98' ip='10.0.0.20'/>":          "it is reserved for 52:54:00:00:00:98",
		"<host mac='52:54:00:ee:00:14' name='x' ip='10.0.0.21'/>": "52:54:00:ee:00:14 (x) has 10.0.0.21 on this network already",
		"<range start='10.0.0.10' end='10.0.0.30'/>":              "it is inside the dynamic range 10.0.0.10 to 10.0.0.30",
		"<host mac='52:54:00:ee:00:14' name='x'/>":                "52:54:00:ee:00:14 (x) has an entry without an address on this network",
		"</dhcp></ip><ip address='10.0.0.20' prefix='30'><dhcp>":  "it is the host's own address on this network",
	} {
		server.Update(func(w *libvirtd.World) {
			w.Networks[0].XML = strings.Replace(lanXML, "<range", change+"<range", 1)
			w.Networks[0].Inactive = lanXML
		})
		_, err := survey.Desk.Reserve(t.Context(), wish(20))
		require.ErrorIs(t, err, sources.ErrRefused, change)
		require.ErrorContains(t, err, want)
	}
	server.Update(func(w *libvirtd.World) {
		w.Networks[0].XML, w.Networks[0].Inactive = lanXML, strings.Replace(lanXML, "<range start='10.0.0.200'", "<range start='10.0.0.2'", 1)
	})
	_, err := survey.Desk.Reserve(t.Context(), wish(20))
	require.ErrorContains(t, err, "it is inside the dynamic range 10.0.0.2 to 10.0.0.220", "so it is when the network is started again")
	server.Update(func(w *libvirtd.World) {
		w.Networks[0].XML, w.Networks[0].Inactive = lanXML, strings.Replace(lanXML, "  <ip address='10.0.0.1'", "  <ip address='10.1.0.1' prefix='24'/>\n  <ip address='10.0.0.1'", 1)
	})
	_, err = survey.Desk.Reserve(t.Context(), wish(20))
	require.ErrorIs(t, err, sources.ErrRefused)
	require.ErrorContains(t, err, "in different order")
	server.Update(func(w *libvirtd.World) {
		w.Networks[0].XML, w.Networks[0].Inactive = lanXML, ""
		w.Networks = w.Networks[:0]
	})
	_, err = survey.Desk.Reserve(t.Context(), wish(20))
	require.ErrorIs(t, err, sources.ErrRefused)
	require.ErrorContains(t, err, "the network is gone")
	require.Empty(t, server.Record().Writes())
}
