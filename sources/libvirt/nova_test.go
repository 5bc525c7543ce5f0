package libvirt

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The example of the specification: two ports make six allocations.
func TestTwoPorts(t *testing.T) {
	facts, missing := mustAllocate(t, choices{}, host{label: "kvm1", domains: []listed{{mustDomain(t, mustText(t, "nova-two-ports")), true}}})
	require.Empty(t, missing)
	const (
		first  = " /servers/0f7e5cd7-6d2b-4a3e-9d0a-1c5e4f3b2a05?port=567a4527-b0e4-4d0a-bcc2-71fda37897f7 project=sample-project name=sample-instance-name"
		second = " /servers/0f7e5cd7-6d2b-4a3e-9d0a-1c5e4f3b2a05?port=a3ca97e2-0cf9-4159-9bfc-afd55bc13ead project=sample-project name=sample-instance-name"
	)
	require.Equal(t, []string{
		"address 1.2.3.4/32 floating" + second + " inside=10.0.0.1",
		"address 10.0.0.1/32 fixed" + second + " mac=fa:16:3e:aa:00:02",
		"address 11.22.33.44/32 floating" + first + " inside=192.168.1.1",
		"address 192.168.1.1/32 fixed" + first + " mac=fa:16:3e:aa:00:01",
		"address fdf8:f53b:82e4::52/128 fixed" + second + " mac=fa:16:3e:aa:00:02",
		"address fe80::f95c:b030:7094/128 fixed" + first + " mac=fa:16:3e:aa:00:01",
	}, lines(facts))
}

func TestComputeNode(t *testing.T) {
	facts, missing := mustAllocate(t, choices{projectID: true, requirePorts: true}, host{label: "kvm1", domains: []listed{{mustDomain(t, mustText(t, "nova-compute")), true}}})
	require.Empty(t, missing)
	const (
		first  = " /servers/9a4c7f1e-52d8-4e0b-8f36-b1d7c0e2a41c?port=5b0d1a8c-3c7f-4f0e-9a51-2a6f8d9b7c01 project=4f1c8a7e2d6b4c0f9e3a5b7d1c2e4f60 name=db-1"
		second = " /servers/9a4c7f1e-52d8-4e0b-8f36-b1d7c0e2a41c?port=c2e9f4d3-8a16-4b7e-b0c4-6d1e3f5a9b02 project=4f1c8a7e2d6b4c0f9e3a5b7d1c2e4f60 name=db-1"
	)
	require.Equal(t, []string{
		"address 10.20.0.15/32 fixed" + first + " mac=fa:16:3e:5b:0d:1a",
		"address 10.30.0.15/32 fixed" + second + " mac=fa:16:3e:c2:e9:f4",
		"address 203.0.113.15/32 floating" + first + " inside=10.20.0.15",
		"address 2001:db8:20::15/128 fixed" + first + " mac=fa:16:3e:5b:0d:1a",
	}, lines(facts))
}

// Whatever the prefix, the namespace tells.
func TestNamespaces(t *testing.T) {
	const body = `name>n1</?name><?owner><?project uuid="p1">shop</?project></?owner><?ports><?port uuid="` + portA + `"><?ip type="fixed" address="10.0.0.5" ipVersion="4"/></?port></?ports></?instance>`
	write := func(start, prefix string) string { return start + strings.ReplaceAll("<?"+body, "?", prefix) }
	want := []string{"address 10.0.0.5/32 fixed /servers/" + uuidA + "?port=" + portA + " project=shop name=n1"}
	for name, c := range map[string]struct {
		metadata string
		listed   bool
		none     bool
	}{
		"as Nova writes it":      {metadata: write(`<nova:instance xmlns:nova="`+nova11+`">`, "nova:")},
		"as libvirt keeps it":    {metadata: write(`<nova:instance xmlns:nova="`+nova11+`" xmlns:instance="`+nova11+`">`, "nova:")},
		"key instance":           {metadata: write(`<instance:instance xmlns:instance="`+nova11+`">`, "instance:")},
		"two prefixes for one":   {metadata: write(`<a:instance xmlns:a="`+nova11+`" xmlns:b='`+nova11+`'>`, "b:")},
		"default namespace":      {metadata: write(`<instance xmlns="`+nova11+`">`, "")},
		"1.0":                    {metadata: write(`<x:instance xmlns:x="`+nova10+`">`, "x:")},
		"children of 1.0 in 1.1": {metadata: write(`<a:instance xmlns:a="`+nova11+`" xmlns:b="`+nova10+`">`, "b:")},
		"no namespace":           {metadata: write(`<instance>`, ""), none: true},
		"another's":              {metadata: write(`<nova:instance xmlns:nova="http://example.com/nova/1.1">`, "nova:"), none: true},
		"undeclared prefix":      {metadata: write(`<nova:instance>`, "nova:"), none: true},
		"another element":        {metadata: strings.ReplaceAll(write(`<n:instance xmlns:n="`+nova11+`">`, "n:"), "instance", "server"), none: true},
		"one level too deep":     {metadata: "<x>" + write(`<n:instance xmlns:n="`+nova11+`">`, "n:") + "</x>", none: true},
	} {
		t.Run(name, func(t *testing.T) {
			metadata := c.metadata
			if strings.Contains(metadata, "<a:instance") { // closed by the prefix that opened it
				metadata = strings.Replace(metadata, "</b:instance>", "</a:instance>", 1)
			}
			facts, missing := mustAllocate(t, choices{}, host{label: "kvm1", domains: []listed{{domain: mustDomain(t, domainText(uuidA, "i1", metadata, ""))}}})
			require.Empty(t, missing)
			if c.none {
				require.Empty(t, facts)
				return
			}
			require.Equal(t, want, lines(facts))
		})
	}
}

// Ports that stand somewhere else are no ports.
func TestPortsElsewhere(t *testing.T) {
	ports := strings.ReplaceAll(portText(portA, ipText("fixed", "10.0.0.5")), "nova:ports>", `nova:ports xmlns:nova="`+nova11+`">`)
	ports = strings.Replace(ports, `</nova:ports xmlns:nova="`+nova11+`">`, "</nova:ports>", 1)
	for name, text := range map[string]string{
		"beside the instance": domainText(uuidA, "i1", ports+novaText(""), ""),
		"beside the metadata": "<domain><uuid>" + uuidA + "</uuid>" + ports + "</domain>",
		"deeper":              domainText(uuidA, "i1", novaText("<nova:owner>"+ports+"</nova:owner>"), ""),
		"no port":             domainText(uuidA, "i1", novaText("<nova:ports><nova:ip type='fixed' address='10.0.0.5'/></nova:ports>"), ""),
	} {
		facts, missing := mustAllocate(t, choices{}, host{domains: []listed{{domain: mustDomain(t, text)}}})
		require.Empty(t, facts, name)
		require.Empty(t, missing, name)
	}
}

// Of two versions at once, the one that lists ports is read, else the newer.
func TestTwoVersions(t *testing.T) {
	write := func(space, name, ports string) string {
		return `<i xmlns="` + space + `"><name>` + name + `</name>` + ports + `</i>`
	}
	const ports = `<ports><port uuid="` + portA + `"/></ports>`
	for name, c := range map[string]struct{ metadata, want string }{
		"both without":  {write(nova11, "new", "") + write(nova10, "old", ""), "new"},
		"both with":     {write(nova10, "old", ports) + write(nova11, "new", ports), "new"},
		"new with":      {write(nova11, "new", "<ports/>") + write(nova10, "old", ""), "new"},
		"old with":      {write(nova11, "new", "") + write(nova10, "old", "<ports/>"), "old"},
		"old with last": {write(nova10, "old", ports) + write(nova11, "new", ""), "old"},
	} {
		metadata := strings.NewReplacer("<i ", "<instance ", "</i>", "</instance>").Replace(c.metadata)
		d := mustDomain(t, domainText(uuidA, "i1", metadata, ""))
		require.Equal(t, c.want, d.instance.name, name)
		require.Empty(t, d.faults, name)
	}
}

// What makes no sense is told with the domain's name, and the rest of the
// domain stands.
func TestNovaFaults(t *testing.T) {
	const good = `<nova:port uuid="` + portB + `"><nova:ip type="fixed" address="10.0.0.9" ipVersion="4"/></nova:port>`
	const part = "domain i1 (shown) on kvm1: "
	for name, c := range map[string]struct{ ports, want string }{
		"no uuid":        {`<nova:port>` + ipText("fixed", "fd00::5") + ipText("fixed", "10.0.0.5") + `</nova:port>`, `Nova port "", which holds 10.0.0.5, fd00::5: want a uuid of 36 hexadecimal digits and dashes`},
		"no uuid, empty": {`<nova:port/>`, `Nova port "", which holds no address: want a uuid of 36 hexadecimal digits and dashes`},
		"short uuid":     {`<nova:port uuid="567a4527">` + ipText("fixed", "10.0.0.5") + `</nova:port>`, `Nova port "567a4527", which holds 10.0.0.5: want a uuid of 36 hexadecimal digits and dashes`},
		"odd uuid":       {`<nova:port uuid="` + strings.Replace(portA, "a", "?", 1) + `"/>`, `Nova port "?0a0a0a0-b1b1-4000-8000-00000000000a", which holds no address: want a uuid of 36 hexadecimal digits and dashes`},
		"no address":     {`<nova:port uuid="` + portA + `"><nova:ip type="fixed" address="" ipVersion="4"/></nova:port>`, `Nova port ` + portA + `: address "": want a form such as 10.1.2.3 or fd00::1`},
		"bad address":    {`<nova:port uuid="` + portA + `">` + ipText("fixed", "10.0.0.256") + `</nova:port>`, `Nova port ` + portA + `: address "10.0.0.256": want a form such as 10.1.2.3 or fd00::1`},
		"with a length":  {`<nova:port uuid="` + portA + `">` + ipText("fixed", "10.0.0.5/24") + `</nova:port>`, `Nova port ` + portA + `: address "10.0.0.5/24": want a form such as 10.1.2.3 or fd00::1`},
		"version":        {`<nova:port uuid="` + portA + `"><nova:ip type="fixed" address="10.0.0.5" ipVersion="6"/></nova:port>`, `Nova port ` + portA + `: address 10.0.0.5: ipVersion "6" contradicts it`},
		"version 4":      {`<nova:port uuid="` + portA + `"><nova:ip type="fixed" address="fd00::5" ipVersion="4"/></nova:port>`, `Nova port ` + portA + `: address fd00::5: ipVersion "4" contradicts it`},
		"no type":        {`<nova:port uuid="` + portA + `"><nova:ip address="10.0.0.5" ipVersion="4"/></nova:port>`, `Nova port ` + portA + `: address 10.0.0.5: no type, want fixed or floating`},
		"two faults": {
			`<nova:port uuid="` + portA + `"><nova:ip address="10.0.0.5"/><nova:ip type="fixed" address="x"/></nova:port>`,
			`Nova port ` + portA + `: address "x": want a form such as 10.1.2.3 or fd00::1` + "\n" + part + `Nova port ` + portA + `: address 10.0.0.5: no type, want fixed or floating`,
		},
		"ports of another version": {
			`</nova:ports><new:ports xmlns:new="` + novaSpaces + `2.0"/><nova:ports>`,
			`metadata of a Nova version that is not known: namespace "http://openstack.org/xmlns/libvirt/nova/2.0"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			text := domainText(uuidA, "i1", novaText("<nova:ports>"+c.ports+good+"</nova:ports>"), "")
			facts, missing := mustAllocate(t, choices{}, host{label: "kvm1", domains: []listed{{domain: mustDomain(t, text)}}})
			require.Equal(t, part+c.want, strings.Join(told(missing), "\n"))
			require.Equal(t, []string{"address 10.0.0.9/32 fixed /servers/" + uuidA + "?port=" + portB + " project=shop name=shown"}, lines(facts))
		})
	}
}

func TestUnknownVersion(t *testing.T) {
	unknown := strings.ReplaceAll(novaText(portText(portA, ipText("fixed", "10.0.0.5"))), nova11, novaSpaces+"9.9")
	h := host{label: "kvm1", domains: []listed{{domain: mustDomain(t, domainText(uuidA, "i1", unknown, nicText(macA, "lan", "<ip address='10.0.0.7'/>")))}}}
	facts, missing := mustAllocate(t, choices{}, h)
	require.Equal(t, []string{`domain i1 on kvm1: metadata of a Nova version that is not known: namespace "http://openstack.org/xmlns/libvirt/nova/9.9"`}, told(missing))
	require.Equal(t, []string{"address 10.0.0.7/32 domain /domains/" + uuidA + "?mac=" + macA + " net=lan project=kvm1 name=i1 mac=" + macA}, lines(facts))

	h.domains[0].domain = mustDomain(t, domainText(uuidA, "i1", unknown+novaText(portText(portB, ipText("fixed", "10.0.0.9"))), ""))
	facts, missing = mustAllocate(t, choices{}, h)
	require.Len(t, missing, 1)
	require.Len(t, facts, 1)

	h.domains[0].domain = mustDomain(t, domainText(uuidA, "i1", novaText("")+novaText(""), ""))
	_, missing = mustAllocate(t, choices{}, h)
	require.Equal(t, []string{"domain i1 (shown) on kvm1: metadata of Nova stands twice"}, told(missing))
}

// Metadata without a list of ports is not metadata with an empty one.
func TestPortsNotListed(t *testing.T) {
	for name, c := range map[string]struct {
		metadata string
		missing  bool
	}{
		"none listed":  {novaText("<nova:ports/>"), false},
		"empty port":   {novaText(portText(portA, "")), false},
		"no list":      {novaText(""), true},
		"not Nova's":   {"<x/>", false},
		"old, no list": {strings.ReplaceAll(novaText(""), nova11, nova10), true},
	} {
		h := host{label: "kvm1", domains: []listed{{domain: mustDomain(t, domainText(uuidA, "i1", c.metadata, ""))}}}
		facts, missing := mustAllocate(t, choices{}, h)
		require.Empty(t, facts, name)
		require.Empty(t, missing, name)

		facts, missing = mustAllocate(t, choices{requirePorts: true}, h)
		require.Empty(t, facts, name)
		if c.missing {
			require.Equal(t, []string{"domain i1 (shown) on kvm1: its Nova metadata lists no ports, which Nova before Wallaby (23.0.0) does not write: " +
				"a hard reboot under a newer Nova writes them; with require_ports: false such a server is taken to have no addresses"}, told(missing), name)
		} else {
			require.Empty(t, missing, name)
		}
	}
}

// The port's NIC is found by what Open vSwitch knows, then by the tap's name.
func TestJoin(t *testing.T) {
	virtual := func(id string) string {
		return "<virtualport type='openvswitch'><parameters interfaceid='" + id + "'/></virtualport>"
	}
	tap := func(name string) string { return "<target dev='" + name + "'/>" }
	for name, c := range map[string]struct{ first, second, want string }{
		"interface id":            {virtual(portB), virtual(portA), macB},
		"interface id, any case":  {"", virtual(strings.ToUpper(portA)), macB},
		"tap":                     {tap("vnet0"), tap("tapa0a0a0a0-b1"), macB},
		"vhost-user":              {tap("vnet0"), tap("vhua0a0a0a0-b1"), macB},
		"another prefix":          {tap("vnet0"), tap("qvoa0a0a0a0-b1"), ""},
		"interface id before tap": {tap("tapa0a0a0a0-b1"), virtual(portA), macB},
		"another's tap":           {virtual(portB) + tap("tapa0a0a0a0-b1"), "", ""},
		"a longer name":           {tap("tapa0a0a0a0-b1b"), tap("tapa0a0a0a0-b"), ""},
		"none":                    {"", "", ""},
	} {
		text := domainText(uuidA, "i1", novaText("<nova:ports>"+
			`<nova:port uuid="`+portA+`">`+ipText("fixed", "10.0.0.5")+`</nova:port><nova:port uuid="`+portB+`"/></nova:ports>`),
			nicText(macA, "lan", c.first)+nicText(macB, "lan", c.second))
		facts, _ := mustAllocate(t, choices{}, host{domains: []listed{{domain: mustDomain(t, text)}}})
		require.Len(t, facts, 1, name)
		require.Equal(t, c.want, string(facts[0].MAC), name)
		if c.want == macB { // and the other way round
			d := mustDomain(t, text)
			p, ok := d.instance.portOf(d.nics[1])
			require.True(t, ok, name)
			require.Equal(t, portA, p.uuid, name)
		}
	}
}

// Two ports whose taps would have one name have no NIC by that name.
func TestJoinAmbiguous(t *testing.T) {
	text := func(second string) string {
		return domainText(uuidA, "i1", novaText("<nova:ports><nova:port uuid='"+portA+"'>"+ipText("fixed", "10.0.0.5")+"</nova:port><nova:port uuid='"+second+"'/></nova:ports>"),
			nicText(macA, "lan", "<target dev='tapa0a0a0a0-b1'/>"))
	}
	for second, want := range map[string]string{portB: macA, portA[:35] + "f": ""} {
		facts, _ := mustAllocate(t, choices{}, host{domains: []listed{{domain: mustDomain(t, text(second))}}})
		require.Equal(t, want, string(facts[0].MAC))
	}
}

// What is behind a floating address is known only where one fixed address of
// the family can be.
func TestInside(t *testing.T) {
	for name, c := range map[string]struct{ ips, floating, want string }{
		"one":             {ipText("fixed", "10.0.0.5"), "203.0.113.5", "10.0.0.5"},
		"the family":      {ipText("fixed", "fd00::5") + ipText("fixed", "10.0.0.5"), "203.0.113.5", "10.0.0.5"},
		"the other":       {ipText("fixed", "fd00::5") + ipText("fixed", "10.0.0.5"), "2001:db8::5", "fd00::5"},
		"none":            {"", "203.0.113.5", ""},
		"not of it":       {ipText("fixed", "fd00::5"), "203.0.113.5", ""},
		"two":             {ipText("fixed", "10.0.0.5") + ipText("fixed", "10.0.0.6"), "203.0.113.5", ""},
		"one, twice":      {ipText("fixed", "10.0.0.5") + ipText("fixed", "10.0.0.5"), "203.0.113.5", "10.0.0.5"},
		"two, in two":     {ipText("fixed", "10.0.0.5") + `</nova:port><nova:port uuid="` + portA + `">` + ipText("fixed", "10.0.0.6"), "203.0.113.5", ""},
		"another port's":  {`</nova:port><nova:port uuid="` + portB + `">` + ipText("fixed", "10.0.0.6") + `</nova:port><nova:port uuid="` + portA + `">`, "203.0.113.5", ""},
		"a floating one":  {ipText("floating", "203.0.113.6"), "203.0.113.5", ""},
		"an unknown type": {ipText("vip", "10.0.0.6"), "203.0.113.5", ""},
	} {
		text := domainText(uuidA, "i1", novaText(portText(portA, c.ips+ipText("floating", c.floating))), nicText(macA, "lan", "<target dev='tapa0a0a0a0-b1'/>"))
		facts, missing := mustAllocate(t, choices{}, host{domains: []listed{{domain: mustDomain(t, text)}}})
		require.Empty(t, missing, name)
		for _, a := range facts {
			if a.Prefix.Addr().String() != c.floating {
				continue
			}
			require.Empty(t, a.MAC, name)
			inside := ""
			if a.Inside.IsValid() {
				inside = a.Inside.String()
			}
			require.Equal(t, c.want, inside, name)
		}
	}
}

// Types, projects and names as Nova writes them, or what comes closest.
func TestWords(t *testing.T) {
	ports := portText(portA, `<nova:ip type="vip" address="10.0.0.5"/>`)
	project := func(p string) string { return "<nova:owner>" + p + "</nova:owner>" }
	for name, c := range map[string]struct{ inside, byName, byID, title string }{
		"both":       {`<nova:name> a &lt;b&gt;<!-- c --> </nova:name>` + project(`<nova:user uuid="u">x</nova:user><nova:project uuid="id1">one</nova:project>`), "one", "id1", "a <b>"},
		"no name":    {project(`<nova:project uuid="id1"/>`), "id1", "id1", "i1"},
		"no id":      {`<nova:name><![CDATA[x&y]]></nova:name>` + project(`<nova:project>one</nova:project>`), "one", "one", "x&y"},
		"no project": {`<nova:name/>`, "", "", "i1"},
	} {
		d := mustDomain(t, domainText(uuidA, "i1", `<nova:instance xmlns:nova="`+nova11+`">`+c.inside+ports+`</nova:instance>`, ""))
		for byID, want := range map[bool]string{false: c.byName, true: c.byID} {
			facts, missing := mustAllocate(t, choices{projectID: byID}, host{label: "kvm1", name: "kvm1.example", domains: []listed{{domain: d}}})
			require.Empty(t, missing, name)
			require.Len(t, facts, 1, name)
			require.Equal(t, want, facts[0].Project, name)
			require.Equal(t, c.title, facts[0].Name, name)
			require.Equal(t, "vip", facts[0].Type, name)
		}
	}
}
