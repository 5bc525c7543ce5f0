package libvirt

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/sources"
)

// mustText reads a document of testdata/xml.
func mustText(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "xml", name+".xml"))
	require.NoError(t, err)
	return string(text)
}

func mustDomain(t testing.TB, text string) domain {
	t.Helper()
	d, err := parseDomain(text)
	require.NoError(t, err)
	return d
}

func mustNetwork(t testing.TB, text string) network {
	t.Helper()
	n, err := parseNetwork(text)
	require.NoError(t, err)
	return n
}

// mustAllocate checks what every list of facts has to be.
func mustAllocate(t testing.TB, c choices, hosts ...host) ([]ipam.Allocation, []sources.Missing) {
	t.Helper()
	facts, missing := allocations(hosts, c)
	for i, a := range facts {
		require.NoError(t, a.Check())
		if i > 0 {
			require.Negative(t, facts[i-1].Compare(a), "%v is listed twice or out of order", a)
		}
	}
	for _, m := range missing {
		require.NotEmpty(t, m.Part)
		require.Error(t, m.Err)
	}
	return facts, missing
}

// lines writes facts for people, one in a line, without what is empty.
func lines(facts []ipam.Allocation) []string {
	list := []string{}
	for _, a := range facts {
		line := fmt.Sprintf("%s %s %s %s", a.Kind, a.Prefix, a.Type, a.UsedBy)
		add := func(key, value string) {
			if value != "" {
				line += " " + key + "=" + value
			}
		}
		add("net", a.Network)
		add("project", a.Project)
		add("name", a.Name)
		add("mac", string(a.MAC))
		if a.Inside.IsValid() {
			add("inside", a.Inside.String())
		}
		if a.NAT {
			line += " nat"
		}
		if a.Dynamic {
			line += " dynamic"
		}
		list = append(list, line)
	}
	return list
}

// told writes what is missing as reports do.
func told(missing []sources.Missing) []string {
	list := []string{}
	for _, m := range missing {
		list = append(list, m.Part+": "+m.Err.Error())
	}
	return list
}

// Identities of the domains and networks that tests write themselves.
const (
	uuidA = "aaaaaaaa-0000-4000-8000-000000000001"
	uuidB = "bbbbbbbb-0000-4000-8000-000000000002"
	uuidN = "cccccccc-0000-4000-8000-000000000003"
	portA = "a0a0a0a0-b1b1-4000-8000-00000000000a"
	portB = "b0b0b0b0-b1b1-4000-8000-00000000000b"
	macA  = "52:54:00:00:00:0a"
	macB  = "52:54:00:00:00:0b"
)

// domainText writes a domain of that UUID, with what is in its metadata and in
// its devices.
func domainText(uuid, name, metadata, devices string) string {
	return fmt.Sprintf("<domain type='kvm'><name>%s</name><uuid>%s</uuid><metadata>%s</metadata><devices>%s</devices></domain>", name, uuid, metadata, devices)
}

// novaText writes Nova's metadata with these elements in it.
func novaText(inside string) string {
	return `<nova:instance xmlns:nova="` + nova11 + `"><nova:name>shown</nova:name>` +
		`<nova:owner><nova:project uuid="p1">shop</nova:project></nova:owner>` + inside + `</nova:instance>`
}

// portText writes a list of one port with these elements in it.
func portText(uuid, ips string) string {
	return `<nova:ports><nova:port uuid="` + uuid + `">` + ips + `</nova:port></nova:ports>`
}

func ipText(kind, address string) string {
	version := "4"
	if strings.Contains(address, ":") {
		version = "6"
	}
	return fmt.Sprintf(`<nova:ip type="%s" address="%s" ipVersion="%s"/>`, kind, address, version)
}

// nicText writes a NIC on a libvirt network.
func nicText(mac, network, inside string) string {
	return fmt.Sprintf("<interface type='network'><mac address='%s'/><source network='%s'/>%s</interface>", mac, network, inside)
}

// networkText writes a network "lan" with these elements in its subnet
// 10.0.0.1/24.
func networkText(hosts string) string {
	return "<network><name>lan</name><uuid>" + uuidN + "</uuid><bridge name='virbr5'/><ip address='10.0.0.1' prefix='24'><dhcp>" + hosts + "</dhcp></ip></network>"
}
