package libvirt

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseDomain(t *testing.T) {
	d := mustDomain(t, mustText(t, "plain-web"))
	require.Equal(t, domain{
		uuid: "3b1f0a6e-7c25-4d4e-a0f9-5d6c7b8a9e01", name: "web",
		nics: []nic{
			{mac: "52:54:00:10:00:01", kind: "network", network: "default", bridge: "virbr0", target: "vnet0"},
			{mac: "52:54:00:10:00:02", kind: "bridge", bridge: "virbr1", target: "vnet1",
				addresses: []netip.Prefix{netip.MustParsePrefix("10.50.0.9/24"), netip.MustParsePrefix("2001:db8:50::9/128")}},
			{mac: "52:54:00:10:00:03", kind: "user"},
		},
	}, d)

	d = mustDomain(t, mustText(t, "nova-compute"))
	require.Empty(t, d.faults)
	require.Len(t, d.nics, 2)
	require.Equal(t, nic{mac: "fa:16:3e:c2:e9:f4", kind: "bridge", bridge: "br-int", target: "tapc2e9f4d3-8a", interfaceID: "c2e9f4d3-8a16-4b7e-b0c4-6d1e3f5a9b02"}, d.nics[1])
	require.Equal(t, "shop & web", d.instance.project)
}

func TestParseDomainRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
		is         error
	}{
		"a snapshot":   {"<domainsnapshot><domain><uuid>" + uuidA + "</uuid></domain></domainsnapshot>", "read domain XML: element <domainsnapshot> instead of <domain>: " + errRoot.Error(), errRoot},
		"no uuid":      {"<domain><name>x</name></domain>", `read domain XML: uuid "": want 36 hexadecimal digits and dashes`, nil},
		"another uuid": {"<domain><uuid>17</uuid></domain>", `read domain XML: uuid "17": want 36 hexadecimal digits and dashes`, nil},
		"uuid inside":  {"<domain><os><uuid>" + uuidA + "</uuid></os></domain>", `read domain XML: uuid "": want 36 hexadecimal digits and dashes`, nil},
		"cut off":      {strings.TrimSuffix(domainText(uuidA, "a", "", ""), "</domain>"), "read domain XML: XML syntax error on line 1: unexpected EOF", nil},
		"too deep":     {"<domain><uuid>" + uuidA + "</uuid>" + strings.Repeat("<a>", 64), "read domain XML: " + errDepth.Error(), errDepth},
	} {
		d, err := parseDomain(c.text)
		require.EqualError(t, err, c.want, name)
		require.True(t, c.is == nil || errors.Is(err, c.is), name)
		require.Equal(t, domain{}, d, name)
	}
}

// Elements of the same name somewhere else are something else.
func TestElsewhere(t *testing.T) {
	const stray = "<interface type='network'><mac address='52:54:00:00:00:99'/><ip address='10.0.0.99'/></interface>"
	for name, text := range map[string]string{
		"beside the devices":    "<domain><uuid>" + uuidA + "</uuid>" + stray + "</domain>",
		"in another device":     domainText(uuidA, "a", "", "<hostdev>"+stray+"</hostdev>"),
		"in the metadata":       domainText(uuidA, "a", "<devices>"+stray+"</devices>", ""),
		"of a namespace":        domainText(uuidA, "a", "", "<q:interface xmlns:q='urn:q'><mac address='52:54:00:00:00:99'/><ip address='10.0.0.99'/></q:interface>"),
		"in a comment":          domainText(uuidA, "a", "", "<!--"+stray+"-->"),
		"in CDATA":              domainText(uuidA, "a", "", "<description><![CDATA["+stray+"]]></description>"),
		"devices of a domain":   domainText(uuidA, "a", "", "<domain><devices>"+stray+"</devices></domain>"),
		"devices of namespaces": "<domain><uuid>" + uuidA + "</uuid><q:devices xmlns:q='urn:q'>" + stray + "</q:devices></domain>",
	} {
		d := mustDomain(t, text)
		require.Empty(t, d.nics, name)
		require.Empty(t, d.faults, name)
	}
	// The host's end of a NIC, a backend's address, a parameter elsewhere.
	d := mustDomain(t, domainText(uuidA, "a", "", "<interface type='ethernet'><mac address='"+macA+"'/><source><ip address='10.0.0.98'/><mac address='"+macB+"'/></source>"+
		"<parameters interfaceid='"+portA+"'/><q:ip xmlns:q='urn:q' address='10.0.0.97'/><virtualport><q:parameters xmlns:q='urn:q' interfaceid='"+portA+"'/></virtualport></interface>"))
	require.Equal(t, []nic{{mac: macA, kind: "ethernet"}}, d.nics)
}

func TestInterfaceFaults(t *testing.T) {
	const ip = "<ip address='10.0.0.5' prefix='24'/>"
	for name, c := range map[string]struct {
		device, want string
		blurred      bool
		kept         int
	}{
		"bad MAC":           {"<interface><mac address='xx'/>" + ip + "</interface>", "interface 1 (xx): hardware address \"xx\": want octets such as 00:16:3e:04:f0:95\ninterface 1 (xx): addresses 10.0.0.5/24 have no user without it", true, 0},
		"bad MAC, no IP":    {"<interface><mac address='xx'/></interface>", `interface 1 (xx): hardware address "xx": want octets such as 00:16:3e:04:f0:95`, true, 0},
		"no MAC":            {"<interface>" + ip + "</interface>", "interface 1: no hardware address\ninterface 1: addresses 10.0.0.5/24 have no user without it", false, 0},
		"no MAC, no IP":     {"<interface/>", "", false, 0},
		"bad address":       {"<interface><mac address='" + macA + "'/><ip address='10.0.0'/>" + ip + "</interface>", "interface 1 (" + macA + `): address "10.0.0": want a form such as 10.1.2.3 or fd00::1`, false, 1},
		"family":            {"<interface><mac address='" + macA + "'/><ip address='10.0.0.1' family='ipv6'/>" + ip + "</interface>", "interface 1 (" + macA + `): address 10.0.0.1: family "ipv6" contradicts it`, false, 1},
		"family 4":          {"<interface><mac address='" + macA + "'/><ip address='fd00::1' family='ipv4'/>" + ip + "</interface>", "interface 1 (" + macA + `): address fd00::1: family "ipv4" contradicts it`, false, 1},
		"prefix":            {"<interface><mac address='" + macA + "'/><ip address='10.0.0.1' prefix='33'/>" + ip + "</interface>", "interface 1 (" + macA + `): address 10.0.0.1: prefix "33": want a length of at most 32`, false, 1},
		"prefix of words":   {"<interface><mac address='" + macA + "'/><ip address='fd00::1' prefix='-1'/>" + ip + "</interface>", "interface 1 (" + macA + `): address fd00::1: prefix "-1": want a length of at most 128`, false, 1},
		"prefix 0 is none":  {"<interface><mac address='" + macA + "'/><ip address='fd00::1' prefix='0'/>" + ip + "</interface>", "", false, 2},
		"slirp has no fact": {"<interface type='user'><ip address='x'/>" + ip + "</interface>", "", false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := mustDomain(t, domainText(uuidA, "a", "", c.device))
			text := ""
			if err := errors.Join(d.faults...); err != nil {
				text = err.Error()
			}
			require.Equal(t, c.want, text)
			require.Equal(t, c.blurred, d.blurred)
			require.Len(t, d.nics, 1)
			require.Len(t, d.nics[0].addresses, c.kept)
		})
	}
	require.Equal(t, 128, mustDomain(t, domainText(uuidA, "a", "", "<interface><mac address='"+macA+"'/><ip address='fd00::1' prefix='0'/></interface>")).nics[0].addresses[0].Bits())
}

// A fault quotes so much of a hostile document as a person reads.
func TestFaultsAreShort(t *testing.T) {
	long := strings.Repeat("9", 1<<20)
	d := mustDomain(t, domainText(uuidA, "a", `<n:instance xmlns:n="`+novaSpaces+long+`"/>`+novaText("<nova:ports><nova:port uuid='"+long+"'/><nova:port uuid='"+portA+"'><nova:ip type='fixed' address='"+long+"'/><nova:ip address='10.0.0.1' ipVersion='"+long+"'/></nova:port></nova:ports>"),
		"<interface><mac address='"+long+"'/><ip address='"+long+"'/><ip address='10.0.0.1' prefix='"+long+"'/><ip address='10.0.0.1' family='"+long+"'/></interface>"))
	require.Len(t, d.faults, 8)
	for _, fault := range d.faults {
		require.Less(t, len(fault.Error()), 1000)
	}
	_, err := parseDomain("<domain><a></" + long + "></domain>")
	require.Less(t, len(err.Error()), 1000)
	_, err = parseDomain("<domain><uuid>" + long + "</uuid></domain>")
	require.Less(t, len(err.Error()), 1000)
	_, err = parseDomain("<" + long + "a/>")
	require.Less(t, len(err.Error()), 1000)
}

func benchmark(b *testing.B, name string) {
	text := mustText(b, name)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseDomain(text); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParseDomain: 48 µs and 485 allocations for a domain of 2 KiB, 190
// µs and 2,000 for one of 8 KiB (AMD EPYC), nearly all of it in the decoder.
func BenchmarkParseDomain(b *testing.B) {
	b.Run("2KiB", func(b *testing.B) { benchmark(b, "nova-two-ports") })
	b.Run("8KiB", func(b *testing.B) { benchmark(b, "nova-compute") })
}
