package libvirt

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A KVM host without a cloud, whole.
func TestPlainHost(t *testing.T) {
	facts, missing := mustAllocate(t, choices{requirePorts: true}, host{
		label: "kvm1", name: "kvm1.example",
		domains: []listed{{mustDomain(t, mustText(t, "plain-web")), true}},
		networks: []networkState{
			{network: mustNetwork(t, mustText(t, "network-lab"))},
			{network: mustNetwork(t, mustText(t, "network-default")), leases: []lease{
				{address: "192.168.122.10", mac: "52:54:00:10:00:01", clientID: "01:52:54:00:10:00:01", hostname: "web"},
				{address: "192.168.122.150", mac: "52:54:00:10:00:01", hostname: "web"},
				{address: "192.168.122.151", mac: "52:54:00:77:00:77", hostname: "laptop"},
				{address: "192.168.122.20", mac: "52:54:00:99:00:99", hostname: "printer-1"},
				{address: "192.168.122.21", mac: "52:54:00:88:00:88", hostname: "by-name"},
				{address: "2001:db8:122::10", mac: "52:54:00:10:00:01", clientID: "00:03:00:01:52:54:00:10:00:01"},
				{address: "2001:db8:122::1f0", mac: "52:54:00:10:00:01", clientID: "00:01:00:01:aa:bb"},
				{address: "2001:db8:122::1f1", clientID: "00:01:00:01:2b:cc", hostname: "guest"},
				{address: "2001:db8:122::1f2", hostname: "only name&"},
			}},
		},
	})
	require.Empty(t, missing)
	const (
		web  = "domain /domains/3b1f0a6e-7c25-4d4e-a0f9-5d6c7b8a9e01?mac="
		nat  = "/networks/6f0d2c1b-9a8e-4b7d-8c6f-5e4d3c2b1a01"
		lab  = "network /networks/6f0d2c1b-9a8e-4b7d-8c6f-5e4d3c2b1a02 net=lab project=kvm1.example name=lab"
		here = " net=default project=kvm1.example"
		webN = "52:54:00:10:00:01" + here + " name=web mac=52:54:00:10:00:01"
		webL = "52:54:00:10:00:02 net=lab project=kvm1.example name=web mac=52:54:00:10:00:02"
	)
	require.Equal(t, []string{
		"prefix 10.50.0.0/24 " + lab,
		"prefix 192.168.122.0/24 network " + nat + here + " name=default nat",
		"prefix 2001:db8:50::/64 " + lab,
		"prefix 2001:db8:122::/64 network " + nat + here + " name=default",
		"address 10.50.0.1/24 " + lab,
		"address 10.50.0.9/24 " + web + webL,
		"address 192.168.122.1/24 network " + nat + here + " name=default nat",
		"address 192.168.122.10/32 " + web + webN + " nat",
		"address 192.168.122.20/32 reservation " + nat + "?mac=52:54:00:99:00:99" + here + " name=printer mac=52:54:00:99:00:99 nat",
		"address 192.168.122.21/32 reservation " + nat + "?name=by-name" + here + " name=by-name nat",
		"address 192.168.122.150/32 " + web + webN + " nat dynamic",
		"address 192.168.122.151/32 lease " + nat + "?mac=52:54:00:77:00:77" + here + " name=laptop mac=52:54:00:77:00:77 nat dynamic",
		"address 2001:db8:50::1/64 " + lab,
		"address 2001:db8:50::9/128 " + web + webL,
		"address 2001:db8:122::1/64 network " + nat + here + " name=default",
		"address 2001:db8:122::10/128 reservation " + nat + "?client=00%3A03%3A00%3A01%3A52%3A54%3A00%3A10%3A00%3A01" + here + " name=web6",
		"address 2001:db8:122::20/128 reservation " + nat + "?name=nas6" + here + " name=nas6",
		"address 2001:db8:122::1f0/128 " + web + webN + " dynamic",
		"address 2001:db8:122::1f1/128 lease " + nat + "?client=00%3A01%3A00%3A01%3A2b%3Acc" + here + " name=guest dynamic",
		"address 2001:db8:122::1f2/128 lease " + nat + "?name=only+name%26" + here + " name=only name& dynamic",
	}, lines(facts))
}

// lan is a host with a network that has a static host for macA and leases.
func lan(t testing.TB, leases []lease, domains ...listed) host {
	return host{label: "kvm1", name: "kvm1", domains: domains, networks: []networkState{{
		network: mustNetwork(t, networkText("<host mac='"+macA+"' name='h' ip='10.0.0.5'/>")), leases: leases,
	}}}
}

// ofLAN leaves out the network's own two facts.
func ofLAN(t testing.TB, h host) []string {
	facts, missing := mustAllocate(t, choices{}, h)
	require.Empty(t, missing)
	return lines(facts)[2:]
}

// A static host and a lease belong to the NIC on the same network.
func TestTenant(t *testing.T) {
	leases := []lease{{address: "10.0.0.5", mac: macA}, {address: "10.0.0.77", mac: strings.ToUpper(macA), hostname: "x"}}
	const (
		atA   = "domain /domains/" + uuidA + "?mac=" + macA + " net=lan project=kvm1 name=a mac=" + macA
		none5 = "address 10.0.0.5/32 reservation /networks/" + uuidN + "?mac=" + macA + " net=lan project=kvm1 name=h mac=" + macA
		none7 = "address 10.0.0.77/32 lease /networks/" + uuidN + "?mac=" + macA + " net=lan project=kvm1 name=x mac=" + macA + " dynamic"
	)
	tenant := []string{"address 10.0.0.5/32 " + atA, "address 10.0.0.77/32 " + atA + " dynamic"}
	nobody := []string{none5, none7}
	bridge := func(b string) string {
		return "<interface type='bridge'><mac address='" + macA + "'/><source bridge='" + b + "'/></interface>"
	}
	domain := func(uuid string, active bool, devices string) listed {
		return listed{mustDomain(t, domainText(uuid, "a", "", devices)), active}
	}
	for name, c := range map[string]struct {
		domains []listed
		want    []string
	}{
		"by the network":          {[]listed{domain(uuidA, true, nicText(macA, "lan", ""))}, tenant},
		"by the bridge":           {[]listed{domain(uuidA, false, bridge("virbr5"))}, tenant},
		"of another network":      {[]listed{domain(uuidA, true, nicText(macA, "wan", ""))}, nobody},
		"of another bridge":       {[]listed{domain(uuidA, true, bridge("virbr6"))}, nobody},
		"of no source":            {[]listed{domain(uuidA, true, "<interface type='user'><mac address='"+macA+"'/></interface>")}, nobody},
		"another MAC":             {[]listed{domain(uuidA, true, nicText(macB, "lan", ""))}, nobody},
		"two, one runs":           {[]listed{domain(uuidB, false, nicText(macA, "lan", "")), domain(uuidA, true, nicText(macA, "lan", ""))}, tenant},
		"two run":                 {[]listed{domain(uuidA, true, nicText(macA, "lan", "")), domain(uuidB, true, nicText(macA, "lan", ""))}, nobody},
		"two of three run":        {[]listed{domain(uuidA, true, nicText(macA, "lan", "")), domain(uuidB, true, nicText(macA, "lan", "")), domain(uuidN, false, nicText(macA, "lan", ""))}, nobody},
		"none of two runs":        {[]listed{domain(uuidA, false, nicText(macA, "lan", "")), domain(uuidB, false, nicText(macA, "lan", ""))}, nobody},
		"two NICs of one domain":  {[]listed{domain(uuidA, false, nicText(macA, "lan", "")+bridge("virbr5"))}, tenant},
		"the other one elsewhere": {[]listed{domain(uuidA, false, nicText(macA, "lan", "")), domain(uuidB, true, nicText(macA, "wan", ""))}, tenant},
	} {
		require.Equal(t, c.want, ofLAN(t, lan(t, leases, c.domains...)), name)
	}
}

// While a domain of the host could not be read, a MAC of no domain may be its.
func TestPartialHost(t *testing.T) {
	leases := []lease{{address: "10.0.0.77", mac: macB}, {address: "10.0.0.78", clientID: "ff:1"}, {address: "10.0.0.5", mac: macA}}
	one := listed{mustDomain(t, domainText(uuidA, "a", "", nicText(macA, "lan", ""))), true}
	want := []string{
		"address 10.0.0.5/32 domain /domains/" + uuidA + "?mac=" + macA + " net=lan project=kvm1 name=a mac=" + macA,
		"address 10.0.0.78/32 lease /networks/" + uuidN + "?client=ff%3A1 net=lan project=kvm1 dynamic",
	}
	h := lan(t, leases, one)
	require.Len(t, ofLAN(t, h), 3)
	h.partial = true
	require.Equal(t, want, ofLAN(t, h))

	h = lan(t, leases, one, listed{mustDomain(t, domainText(uuidB, "b", "", nicText("xx", "lan", ""))), true})
	facts, missing := mustAllocate(t, choices{}, h)
	require.Equal(t, want, lines(facts)[2:])
	require.Equal(t, []string{`domain b on kvm1: interface 1 (xx): hardware address "xx": want octets such as 00:16:3e:04:f0:95`}, told(missing))

	h.domains, h.partial = nil, true
	require.Equal(t, want[1:], ofLAN(t, h))
}

// One user has an address once, however many reasons there are.
func TestOneFact(t *testing.T) {
	nova := novaText("<nova:ports><nova:port uuid='" + portA + "'>" + ipText("fixed", "10.0.0.5") + "</nova:port></nova:ports>")
	plug := nicText(macA, "lan", "<target dev='tapa0a0a0a0-b1'/><ip address='10.0.0.5' prefix='24'/><ip address='10.0.0.6' prefix='24'/>")
	leases := []lease{{address: "10.0.0.5", mac: macA, hostname: "z"}, {address: "10.0.0.6", mac: macA}, {address: "10.0.0.7", mac: macA}}
	const (
		server = " /servers/" + uuidA + "?port=" + portA
		who    = " project=shop name=shown mac=" + macA
	)
	require.Equal(t, []string{
		"address 10.0.0.5/32 fixed" + server + who,
		"address 10.0.0.6/24 domain" + server + " net=lan" + who,
		"address 10.0.0.7/32 domain" + server + " net=lan" + who + " dynamic",
	}, ofLAN(t, lan(t, leases, listed{domain: mustDomain(t, domainText(uuidA, "a", nova, plug))})), "a port")

	const plain = " domain /domains/" + uuidA + "?mac=" + macA + " net=lan"
	require.Equal(t, []string{
		"address 10.0.0.5/24" + plain + " project=kvm1 name=a mac=" + macA,
		"address 10.0.0.6/24" + plain + " project=kvm1 name=a mac=" + macA,
		"address 10.0.0.7/32" + plain + " project=kvm1 name=a mac=" + macA + " dynamic",
	}, ofLAN(t, lan(t, leases, listed{domain: mustDomain(t, domainText(uuidA, "a", "", plug))})), "no port")

	other := strings.ReplaceAll(nova, portA, portB)
	require.Equal(t, []string{
		"address 10.0.0.5/24" + plain + who,
		"address 10.0.0.5/32 fixed /servers/" + uuidA + "?port=" + portB + " project=shop name=shown",
		"address 10.0.0.6/24" + plain + who,
		"address 10.0.0.7/32" + plain + who + " dynamic",
	}, ofLAN(t, lan(t, leases, listed{domain: mustDomain(t, domainText(uuidA, "a", other, plug))})), "another port")

	const nobody = "/networks/" + uuidN + "?mac=" + macA + " net=lan project=kvm1"
	require.Equal(t, []string{
		"address 10.0.0.5/32 reservation " + nobody + " name=h mac=" + macA,
		"address 10.0.0.5/32 lease /networks/" + uuidN + "?mac=" + macB + " net=lan project=kvm1 mac=" + macB + " dynamic",
		"address 10.0.0.6/32 lease " + nobody + " mac=" + macA + " dynamic",
		"address 10.0.0.7/32 lease " + nobody + " name=a mac=" + macA + " dynamic",
	}, ofLAN(t, lan(t, []lease{leases[0], leases[1], {address: "10.0.0.5", mac: macB}, {address: "10.0.0.7", mac: macA, hostname: "b"}, {address: "10.0.0.7", mac: macA, hostname: "a"}})), "no domain")
}

// A lease that a static host without MAC made is that static host's.
func TestStaticHostWithoutMAC(t *testing.T) {
	n := mustNetwork(t, networkText("<host id='00:03:AA' name='six' ip='fd00::6'/><host name='seven' ip='fd00::7'/>"))
	for _, l := range []lease{
		{address: "fd00::6", mac: macA, clientID: "00:03:aa", hostname: "other"},
		{address: "fd00::7", mac: macA, clientID: "00:03:bb", hostname: "seven"},
	} {
		facts, _ := mustAllocate(t, choices{}, host{label: "kvm1", networks: []networkState{{n, []lease{l}}}})
		require.Len(t, facts, 4, l)
		l.address = "fd00::8"
		facts, _ = mustAllocate(t, choices{}, host{label: "kvm1", networks: []networkState{{n, []lease{l}}}})
		require.Len(t, facts, 5, l)
		l = lease{"fd00::6", macB, "00:03:cc", "six"}
		facts, _ = mustAllocate(t, choices{}, host{label: "kvm1", networks: []networkState{{n, []lease{l}}}})
		require.Len(t, facts, 5, l)
	}
}

func TestLeaseFaults(t *testing.T) {
	h := host{label: "kvm1", networks: []networkState{{mustNetwork(t, networkText("<host ip='10.0.0.9'/>")), []lease{
		{address: "10.0.0", mac: macA}, {address: "10.0.0.7", clientID: strings.Repeat("9", 9000)},
	}}}}
	facts, missing := mustAllocate(t, choices{}, h)
	require.Len(t, facts, 2)
	require.Equal(t, []string{
		"network lan on kvm1: address 10.0.0.7/32: used_by is 9054 bytes long, more than the 8192 that are kept",
		`network lan on kvm1: lease: address "10.0.0": want a form such as 10.1.2.3 or fd00::1`,
		"network lan on kvm1: static DHCP host 10.0.0.9: no MAC, client id or name says whose it is",
	}, told(missing))
}

// A guest says of itself what it likes, and must not keep the source from being
// read in full by it.
func TestLeaseOfStrangeClient(t *testing.T) {
	facts, missing := mustAllocate(t, choices{}, lan(t, []lease{
		{address: "10.0.0.5", mac: "06-02:52:54:00:00:ab", clientID: "ff:01", hostname: "odd"}, {address: "10.0.0.6"},
	}))
	require.Empty(t, missing)
	const network = "/networks/cccccccc-0000-4000-8000-000000000003"
	require.Contains(t, lines(facts), "address 10.0.0.5/32 lease "+network+"?mac=06-02%3A52%3A54%3A00%3A00%3Aab net=lan project=kvm1 name=odd dynamic")
	require.Contains(t, lines(facts), "address 10.0.0.6/32 lease "+network+"?address=10.0.0.6 net=lan project=kvm1 dynamic")
}

// A domain that two hosts have is one domain: the copy that runs, then the
// first.
func TestMigration(t *testing.T) {
	written := func(address string) domain {
		return mustDomain(t, domainText(uuidA, "i1", novaText(portText(portA, ipText("fixed", address))), nicText(macA, "lan", "<ip address='10.9.9.9'/>")))
	}
	plain := func(address string) domain {
		return mustDomain(t, domainText(uuidB, "p", "", nicText(macB, "lan", "<ip address='"+address+"'/>")))
	}
	for name, c := range map[string]struct {
		first, second bool
		want          string
		missing       int
	}{
		"both run":        {true, true, "1", 2},
		"the first runs":  {true, false, "1", 0},
		"the second runs": {false, true, "2", 0},
		"none runs":       {false, false, "1", 2},
	} {
		facts, missing := mustAllocate(t, choices{},
			host{label: "kvm1", name: "h1", domains: []listed{{written("10.0.0.1"), c.first}, {plain("10.5.0.1"), c.first}}},
			host{label: "kvm2", name: "h2", domains: []listed{{plain("10.5.0.2"), c.second}, {written("10.0.0.2"), c.second}}})
		require.Len(t, missing, c.missing, name)
		require.Equal(t, []string{
			"address 10.0.0." + c.want + "/32 fixed /servers/" + uuidA + "?port=" + portA + " project=shop name=shown",
			"address 10.5.0." + c.want + "/32 domain /domains/" + uuidB + "?mac=" + macB + " net=lan project=h" + c.want + " name=p mac=" + macB,
			"address 10.9.9.9/32 domain /domains/" + uuidA + "?mac=" + macA + " net=lan project=shop name=shown mac=" + macA,
		}, lines(facts), name)
	}

	// What the other copy's host still leases to it is the domain's too.
	facts, _ := mustAllocate(t, choices{},
		lan(t, []lease{{address: "10.0.0.50", mac: macA}}, listed{written("10.0.0.1"), false}),
		host{label: "kvm2", name: "kvm2", domains: []listed{{written("10.0.0.50"), true}}})
	require.Contains(t, lines(facts), "address 10.0.0.50/32 domain /domains/"+uuidA+"?mac="+macA+" net=lan project=shop name=shown mac="+macA+" dynamic")

	// On the other host's network of that name it is another fact, of that host.
	nat := strings.Replace(networkText(""), "<bridge", "<forward/><bridge", 1)
	left := lan(t, []lease{{address: "10.9.9.9", mac: macB}}, listed{plain("10.9.9.9"), false})
	runs := host{label: "kvm2", name: "kvm2", networks: []networkState{{network: mustNetwork(t, nat)}},
		domains: []listed{{mustDomain(t, domainText(uuidB, "p", "", nicText(macB, "lan", "<ip address='10.9.9.9' prefix='24'/>"))), true}}}
	for _, order := range [][]host{{left, runs}, {runs, left}} {
		facts, _ = mustAllocate(t, choices{}, order...)
		want := []string{
			"address 10.9.9.9/24 domain /domains/" + uuidB + "?mac=" + macB + " net=lan project=kvm2 name=p mac=" + macB + " nat",
			"address 10.9.9.9/32 domain /domains/" + uuidB + "?mac=" + macB + " net=lan project=kvm1 name=p mac=" + macB + " dynamic",
		}
		require.Equal(t, want, slices.DeleteFunc(lines(facts), func(line string) bool { return !strings.Contains(line, "10.9.9.9") }))
	}

	// Faults of a copy that does not count are of no consequence.
	bad := mustDomain(t, domainText(uuidA, "i1", novaText(portText("x", "")), ""))
	_, missing := mustAllocate(t, choices{}, host{label: "kvm1", domains: []listed{{bad, false}}}, host{label: "kvm2", domains: []listed{{written("10.0.0.2"), true}}})
	require.Empty(t, missing)
	_, missing = mustAllocate(t, choices{}, host{label: "kvm1", domains: []listed{{written("10.0.0.2"), false}}}, host{label: "kvm2", domains: []listed{{bad, true}}})
	require.Equal(t, []string{`domain i1 (shown) on kvm2: Nova port "x", which holds no address: want a uuid of 36 hexadecimal digits and dashes`}, told(missing))
}

// A domain that was read twice on one host is listed once, and so are its
// faults.
func TestListedTwice(t *testing.T) {
	one := mustDomain(t, domainText(uuidA, "i1", novaText("<nova:ports><nova:port uuid='x'/><nova:port uuid='"+portA+"'>"+ipText("fixed", "10.0.0.1")+"</nova:port></nova:ports>"), ""))
	facts, missing := mustAllocate(t, choices{}, host{label: "kvm1", domains: []listed{{one, true}, {one, true}}})
	require.Len(t, facts, 1)
	require.Len(t, missing, 1)
}

// Hosts that were made from one image have networks of one UUID.
func TestClonedNetworks(t *testing.T) {
	n := []networkState{{mustNetwork(t, networkText("")), []lease{{address: "10.0.0.5", mac: macA}}}}
	facts, _ := mustAllocate(t, choices{}, host{label: "kvm1", name: "a", networks: n}, host{label: "kvm2", networks: n})
	require.Len(t, facts, 6)
	require.Equal(t, "a", facts[0].Project)
	require.Equal(t, "kvm2", facts[1].Project)
}

// A bridge of the administrator's may belong to several networks.
func TestBridges(t *testing.T) {
	write := func(name, bridge, ip string) networkState {
		return networkState{network: mustNetwork(t, "<network><name>"+name+"</name><uuid>"+uuidN+"</uuid><bridge name='"+bridge+"'/>"+ip+"</network>")}
	}
	const ip = "<ip address='10.0.0.1'/>"
	for name, c := range map[string]struct {
		networks []networkState
		want     string
	}{
		"one":                    {[]networkState{write("a", "br0", "")}, "a"},
		"two":                    {[]networkState{write("a", "br0", ""), write("b", "br0", "")}, ""},
		"one with addresses":     {[]networkState{write("a", "br0", ""), write("b", "br0", ip)}, "b"},
		"two with, one without":  {[]networkState{write("a", "br0", ip), write("b", "br0", ip), write("c", "br0", "")}, ""},
		"another's":              {[]networkState{write("a", "br1", ip)}, ""},
		"a network of no bridge": {[]networkState{write("a", "", ip)}, ""},
	} {
		s := newSite(host{networks: c.networks})
		require.Equal(t, c.want, s.networkOf(nic{bridge: "br0"}), name)
		require.Empty(t, s.networkOf(nic{}), name)
		require.Equal(t, "named", s.networkOf(nic{network: "named", bridge: "br0"}), name)
	}
}

// So many faults as a person reads are told, in an order that means nothing.
func TestManyFaults(t *testing.T) {
	var ports []string
	for i := range 50 {
		ports = append(ports, fmt.Sprintf("<nova:port uuid='p%02d'/>", i))
	}
	told := func(ports []string) []string {
		_, missing := mustAllocate(t, choices{}, host{label: "kvm1", domains: []listed{{domain: mustDomain(t, domainText(uuidA, "i1", novaText("<nova:ports>"+strings.Join(ports, "")+"</nova:ports>"), ""))}}})
		return told(missing)
	}
	first := told(ports)
	require.Len(t, first, maxFaults+1)
	require.Contains(t, first, "domain i1 (shown) on kvm1: and 30 more such faults")
	for i := range 25 {
		ports[i], ports[49-i] = ports[49-i], ports[i]
	}
	require.Equal(t, first, told(ports))
}
