package libvirt

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseNetwork(t *testing.T) {
	addr := netip.MustParseAddr
	hosts := []staticHost{
		{addr: addr("192.168.122.10"), mac: "52:54:00:10:00:01", name: "web"},
		{addr: addr("192.168.122.20"), mac: "52:54:00:99:00:99", name: "printer"},
		{addr: addr("192.168.122.21"), name: "by-name"},
		{addr: addr("2001:db8:122::10"), clientID: "00:03:00:01:52:54:00:10:00:01", name: "web6"},
		{addr: addr("2001:db8:122::20"), name: "nas6"},
	}
	require.Equal(t, network{
		uuid: "6f0d2c1b-9a8e-4b7d-8c6f-5e4d3c2b1a01", name: "default", bridge: "virbr0", nat4: true,
		subnets: []netip.Prefix{netip.MustParsePrefix("192.168.122.1/24"), netip.MustParsePrefix("2001:db8:122::1/64")},
		hosts:   hosts,
		parts: []part{
			{netip.MustParsePrefix("192.168.122.1/24"), []addressRange{{addr("192.168.122.2"), addr("192.168.122.254")}}, hosts[:3]},
			{netip.MustParsePrefix("2001:db8:122::1/64"), []addressRange{{addr("2001:db8:122::100"), addr("2001:db8:122::1ff")}}, hosts[3:]},
		},
	}, mustNetwork(t, mustText(t, "network-default")))
	require.Equal(t, network{
		uuid: "6f0d2c1b-9a8e-4b7d-8c6f-5e4d3c2b1a02", name: "lab", bridge: "virbr1",
		subnets: []netip.Prefix{netip.MustParsePrefix("10.50.0.1/24"), netip.MustParsePrefix("2001:db8:50::1/64")},
		parts:   []part{{subnet: netip.MustParsePrefix("10.50.0.1/24")}, {subnet: netip.MustParsePrefix("2001:db8:50::1/64")}},
	}, mustNetwork(t, mustText(t, "network-lab")))
}

func TestParseNetworkRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"<domain/>":                "read network XML: element <domain> instead of <network>: " + errRoot.Error(),
		"<network><uuid>1</uuid>":  "read network XML: XML syntax error on line 1: unexpected EOF",
		"<network/>":               `read network XML: uuid "": want 36 hexadecimal digits and dashes`,
		networkText("") + "<more>": "read network XML: " + errTail.Error(),
	} {
		n, err := parseNetwork(text)
		require.EqualError(t, err, want, text)
		require.Equal(t, network{}, n)
	}
}

// Lengths as libvirt takes them: written, of the netmask, of the class.
func TestSubnetLength(t *testing.T) {
	for attributes, want := range map[string]string{
		"address='192.168.122.1' netmask='255.255.255.0'":              "192.168.122.1/24",
		"address='10.0.0.1' prefix='22'":                               "10.0.0.1/22",
		"address='10.0.0.1' prefix='22' netmask='255.0.0.0'":           "10.0.0.1/22",
		"address='10.0.0.1' prefix='0' netmask='255.240.0.0'":          "10.0.0.1/12",
		"address='10.0.0.1' netmask='255.255.255.255'":                 "10.0.0.1/32",
		"address='10.0.0.1' netmask='0.0.0.0'":                         "10.0.0.1/0",
		"address='10.0.0.1'":                                           "10.0.0.1/8",
		"address='127.0.0.1'":                                          "127.0.0.1/8",
		"address='128.0.0.1'":                                          "128.0.0.1/16",
		"address='172.20.1.1'":                                         "172.20.1.1/16",
		"address='191.255.0.1' family='ipv4'":                          "191.255.0.1/16",
		"address='192.0.2.1'":                                          "192.0.2.1/24",
		"address='223.0.0.1' prefix='0'":                               "223.0.0.1/24",
		"family='ipv6' address='2001:db8::1'":                          "2001:db8::1/64",
		"family='ipv6' address='2001:DB8::1' prefix='48'":              "2001:db8::1/48",
		"address='224.0.0.1'":                                          "address 224.0.0.1: no length is written, and its class has none",
		"":                                                             `address "": want a form such as 10.1.2.3 or fd00::1`,
		"address='10.0.0.1/24'":                                        `address "10.0.0.1/24": want a form such as 10.1.2.3 or fd00::1`,
		"address='fe80::1%br0'":                                        `address "fe80::1%br0": want a form such as 10.1.2.3 or fd00::1`,
		"address='10.0.0.1' prefix='33'":                               `address 10.0.0.1: prefix "33": want a length of at most 32`,
		"address='10.0.0.1' prefix='300'":                              `address 10.0.0.1: prefix "300": want a length of at most 32`,
		"address='10.0.0.1' family='ipv6'":                             `address 10.0.0.1: family "ipv6" contradicts it`,
		"address='10.0.0.1' netmask='255.0.255.0'":                     `address 10.0.0.1: netmask "255.0.255.0": want a form such as 255.255.255.0, for IPv4 only`,
		"address='10.0.0.1' netmask='0.0.0.1'":                         `address 10.0.0.1: netmask "0.0.0.1": want a form such as 255.255.255.0, for IPv4 only`,
		"address='10.0.0.1' netmask='24'":                              `address 10.0.0.1: netmask "24": want a form such as 255.255.255.0, for IPv4 only`,
		"address='fd00::1' netmask='255.255.0.0'":                      `address fd00::1: netmask "255.255.0.0": want a form such as 255.255.255.0, for IPv4 only`,
		"address='10.0.0.1' netmask='ffff::'":                          `address 10.0.0.1: netmask "ffff::": want a form such as 255.255.255.0, for IPv4 only`,
		"address='10.0.0.1' xmlns:x='urn:x' x:prefix='30' prefix='29'": "10.0.0.1/29",
	} {
		n := mustNetwork(t, "<network><uuid>"+uuidN+"</uuid><ip "+attributes+"><dhcp><host name='h' ip='10.9.9.9'/></dhcp></ip></network>")
		require.Len(t, n.hosts, 1, attributes) // whatever is around it
		if len(n.subnets) == 1 {
			require.Equal(t, want, n.subnets[0].String(), attributes)
			require.Empty(t, n.faults)
			continue
		}
		require.EqualError(t, errors.Join(n.faults...), want, attributes)
	}
}

func TestForward(t *testing.T) {
	for text, want := range map[string][2]bool{
		"":                                     {false, false},
		"<forward/>":                           {true, false},
		"<forward mode='nat'/>":                {true, false},
		"<forward mode='nat'><nat/></forward>": {true, false},
		"<forward mode='nat'><nat ipv6='no'/></forward>":                             {true, false},
		"<forward mode='nat' dev='eth0'><nat ipv6='yes'><port/></nat></forward>":     {true, true},
		"<forward mode='nat'><x><nat ipv6='yes'/></x></forward>":                     {true, false},
		"<forward mode='route'/>":                                                    {false, false},
		"<forward mode='route'><nat ipv6='yes'/></forward>":                          {false, false},
		"<forward mode='open'/>":                                                     {false, false},
		"<forward mode='bridge'/>":                                                   {false, false},
		"<x><forward mode='nat'/></x><q:forward xmlns:q='urn:q' mode='nat'/>":        {false, false},
		"<portgroup name='a'><bandwidth/></portgroup><forward mode='nat'></forward>": {true, false},
	} {
		n := mustNetwork(t, "<network><uuid>"+uuidN+"</uuid>"+text+"</network>")
		require.Equal(t, want, [2]bool{n.hides(netip.MustParseAddr("10.0.0.1")), n.hides(netip.MustParseAddr("fd00::1"))}, text)
	}
}

func TestStaticHosts(t *testing.T) {
	for text, want := range map[string]string{
		"<host mac='x' ip='10.0.0.5'/>":            `static DHCP host 10.0.0.5: hardware address "x": want octets such as 00:16:3e:04:f0:95`,
		"<host mac='" + macA + "' ip='10.0.0'/>":   `static DHCP host 10.0.0: address "10.0.0": want a form such as 10.1.2.3 or fd00::1`,
		"<host ip='10.0.0.5'/>":                    "static DHCP host 10.0.0.5: no MAC, client id or name says whose it is",
		"<host mac='" + macA + "' name='a'/>":      "",
		"<range start='10.0.0.5' end='10.0.0.9'/>": "",
		"<x><host name='a' ip='10.0.0.5'/></x>":    "",
	} {
		n := mustNetwork(t, networkText(text))
		require.Empty(t, n.hosts, text)
		if want == "" {
			require.Empty(t, n.faults, text)
			continue
		}
		require.EqualError(t, errors.Join(n.faults...), want, text)
	}
	n := mustNetwork(t, networkText("<host mac='52-54-00-00-00-0A' ip='10.0.0.5'><lease expiry='0'/></host>"))
	require.Equal(t, []staticHost{{addr: netip.MustParseAddr("10.0.0.5"), mac: macA}}, n.hosts)
}
