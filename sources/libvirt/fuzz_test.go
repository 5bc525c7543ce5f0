package libvirt

import (
	"encoding/xml"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
)

// addSeeds adds the documents of testdata/xml and what else is at hand.
func addSeeds(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "xml", "*.xml"))
	require.NoError(f, err)
	require.NotEmpty(f, files)
	for _, name := range files {
		text, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(string(text))
	}
	port := portText(portA, ipText("fixed", "10.0.0.5")+ipText("floating", "203.0.113.5"))
	for _, text := range []string{
		domainText(uuidA, "a", novaText(port), nicText(macA, "lan", "<ip address='10.0.0.9' prefix='24'/><target dev='tapa0a0a0a0-b1'/>")),
		domainText(uuidA, "a", strings.ReplaceAll(novaText(port), nova11, nova10)+novaText(""), ""),
		domainText(uuidA, "a<![CDATA[<b>]]>", `<instance xmlns="`+nova11+`"><!-- c --><name>&#65;</name><ports><port uuid="`+portA+`"><ip address='x'/></port></ports></instance>`, "<interface type='user'/>"),
		domainText(uuidA, "a", `<i:instance xmlns:i="`+novaSpaces+`3"/>`, "<interface><mac address='x'/><ip address='::ffff:10.0.0.1' family='ipv4' prefix='0'/></interface>"),
		networkText("<host mac='" + macA + "' ip='10.0.0.5'/><host id='1' name='n' ip='fd00::5'/><host ip='10.0.0.7'/>"),
		"<network><uuid>" + uuidN + "</uuid><forward/><ip address='224.0.0.1'/><ip address='10.0.0.1' netmask='255.0.255.0'/><ip address='10.0.0.1'/></network>",
		"<domain>" + strings.Repeat("<a>", 70),
		"<domain/>\n<domain/>", "<a:b:c/>", "<domain xmlns='x'/>", "<!DOCTYPE a [<!ENTITY b 'c'>]><domain>&b;</domain>", "",
	} {
		f.Add(text)
	}
}

// bounded checks that faults are for people, however long the document.
func bounded(t *testing.T, faults ...error) {
	for _, fault := range faults {
		require.NotEmpty(t, fault.Error())
		require.Less(t, len(strings.ReplaceAll(fault.Error(), "\ufffd", "")), 4096)
	}
}

// FuzzDomain: any text is a domain or an error, and what comes of a domain is
// fit to be handed out.
func FuzzDomain(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDomain(text)
		if err != nil {
			require.Equal(t, domain{}, d)
			bounded(t, err)
			return
		}
		require.True(t, isUUID(d.uuid))
		facts, missing := mustAllocate(t, choices{requirePorts: true}, host{label: "kvm1", name: "kvm1", domains: []listed{{d, true}}})
		for _, m := range missing {
			bounded(t, m.Err)
		}
		stated, found := 0, map[string]bool{}
		for _, a := range facts {
			require.Equal(t, ipam.Address, a.Kind)
			found[a.Prefix.Addr().String()] = true
		}
		for _, n := range d.nics {
			for _, address := range n.addresses {
				stated++
				require.True(t, found[address.Addr().String()], "%s is lost", address)
			}
		}
		if d.instance != nil {
			for _, p := range d.instance.ports {
				for _, a := range p.addresses {
					stated++
					require.True(t, found[a.addr.String()], "%s is lost", a.addr)
				}
			}
		}
		require.LessOrEqual(t, len(facts), stated)
	})
}

// FuzzNetwork: any text is a network or an error, and what comes of a network
// is fit to be handed out.
func FuzzNetwork(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseNetwork(text)
		if err != nil {
			require.Equal(t, network{}, n)
			bounded(t, err)
			return
		}
		bounded(t, n.faults...)
		facts, missing := mustAllocate(t, choices{}, host{label: "kvm1", networks: []networkState{{n, []lease{{address: "10.0.0.77", mac: macA}}}}})
		found := map[string]bool{"10.0.0.77": true}
		for _, a := range facts {
			found[a.Prefix.Addr().String()] = true
		}
		for _, h := range n.hosts {
			require.True(t, found[h.addr.String()] || len(missing) > 0, "%s is lost", h.addr)
		}
		for _, s := range n.subnets {
			require.True(t, found[s.Addr().String()], "%s is lost", s)
		}
	})
}

// The shape of a domain to encoding/xml, to compare with. A field without a
// namespace takes any, so that the names are looked at once more.
type (
	slowText struct {
		XMLName xml.Name
		ID      string `xml:"uuid,attr"`
		Text    string `xml:",chardata"`
	}
	slowPort struct {
		XMLName xml.Name
		ID      string `xml:"uuid,attr"`
		IPs     []struct {
			XMLName xml.Name
			Kind    string `xml:"type,attr"`
			Address string `xml:"address,attr"`
			Version string `xml:"ipVersion,attr"`
		} `xml:"ip"`
	}
	slowInstance struct {
		XMLName xml.Name
		Names   []slowText `xml:"name"`
		Owners  []struct {
			XMLName  xml.Name
			Projects []slowText `xml:"project"`
		} `xml:"owner"`
		Ports []struct {
			XMLName xml.Name
			Ports   []slowPort `xml:"port"`
		} `xml:"ports"`
	}
	slowDomain struct {
		XMLName  xml.Name
		Names    []slowText `xml:"name"`
		IDs      []slowText `xml:"uuid"`
		Metadata []struct {
			XMLName   xml.Name
			Instances []slowInstance `xml:"instance"`
		} `xml:"metadata"`
	}
)

// instance reads Nova's element the slow way, with what cannot be used left
// out, and without faults.
func (s slowInstance) instance() *instance {
	i := &instance{space: s.XMLName.Space}
	for _, n := range s.Names {
		if isNova(n.XMLName.Space) {
			i.name = strings.TrimSpace(n.Text)
		}
	}
	for _, o := range s.Owners {
		for _, p := range o.Projects {
			if isNova(o.XMLName.Space) && isNova(p.XMLName.Space) {
				i.project, i.projectID = strings.TrimSpace(p.Text), p.ID
			}
		}
	}
	for _, list := range s.Ports {
		if !isNova(list.XMLName.Space) {
			continue
		}
		i.listed = true
		for _, p := range list.Ports {
			if !isNova(p.XMLName.Space) || !isUUID(p.ID) {
				continue
			}
			one := port{uuid: p.ID}
			for _, a := range p.IPs {
				addr, err := ipam.ParseAddr(a.Address)
				version := map[bool]string{true: "4", false: "6"}[addr.Is4()]
				switch {
				case !isNova(a.XMLName.Space):
				case err == nil && strings.TrimSpace(a.Kind) != "" && (a.Version == "" || a.Version == version):
					one.addresses = append(one.addresses, portAddress{a.Kind, addr})
				default:
					one.faulty = true
				}
			}
			_ = i.addPort(one) // so many ports no fuzzer writes
		}
	}
	return i
}

// FuzzNova: the walk over a document reads Nova's part as encoding/xml does by
// unmarshalling all of it.
func FuzzNova(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, text string) { compareWithUnmarshal(t, text) })
}

// compareWithUnmarshal reads a document both ways. It reports whether it was a
// domain with Nova's metadata.
func compareWithUnmarshal(t *testing.T, text string) bool {
	if strings.Contains(text, ":uuid") || strings.Contains(text, ":type") || strings.Contains(text, ":address") || strings.Contains(text, ":ipVersion") {
		return false // attributes of a namespace: encoding/xml takes them too
	}
	d, err := parseDomain(text)
	var slow slowDomain
	decoder := xml.NewDecoder(strings.NewReader(text))
	slowErr := decoder.Decode(&slow)
	if err != nil {
		// Refused is no more than what has to be.
		if slowErr == nil && slow.XMLName == (xml.Name{Local: "domain"}) && len(slow.IDs) == 1 && slow.IDs[0].XMLName.Space == "" && isUUID(strings.TrimSpace(slow.IDs[0].Text)) {
			_, next := decoder.Token()
			require.True(t, errors.Is(err, errDepth) || errors.Is(err, errTail) || !errors.Is(next, io.EOF), "%v", err)
		}
		return false
	}
	require.NoError(t, slowErr)
	var want *instance
	for _, m := range slow.Metadata {
		for _, s := range m.Instances {
			if m.XMLName.Space == "" && isNova(s.XMLName.Space) {
				if i := s.instance(); i.over(want) {
					want = i
				}
			}
		}
	}
	if d.instance != nil {
		d.instance.faults = nil
	}
	require.Equal(t, want, d.instance, text)
	var name string
	for _, n := range slow.Names {
		if n.XMLName.Space == "" {
			name = strings.TrimSpace(n.Text)
		}
	}
	require.Equal(t, name, d.name, text)
	return d.instance != nil && len(d.instance.ports) > 0
}

// TestUnmarshalAgrees compares documents that are mostly well-formed and mostly
// Nova's, which the fuzzer seldom writes.
func TestUnmarshalAgrees(t *testing.T) {
	with := 0
	for seed := range uint64(2000) {
		w := &scribble{Rand: rand.New(rand.NewPCG(seed, 0))}
		w.WriteString("<domain><uuid>" + uuidA + "</uuid>")
		for range 1 + w.IntN(3) {
			w.element("metadata", func() {
				for range 1 + w.IntN(2) {
					w.element("instance", func() {
						w.element("name", nil)
						w.element("owner", func() { w.element("project", nil) })
						for range w.IntN(3) {
							w.element("ports", func() {
								for range w.IntN(3) {
									w.element("port", func() { w.element("ip", nil); w.element("ip", nil) })
								}
							})
						}
					})
				}
			})
		}
		w.WriteString("</domain>")
		if compareWithUnmarshal(t, w.String()) {
			with++
		}
	}
	require.Greater(t, with, 100)
}

// scribble writes XML in all the ways in which it can be written.
type scribble struct {
	*rand.Rand
	strings.Builder
	depth int
}

func (w *scribble) one(of ...string) string { return of[w.IntN(len(of))] }

// element writes an element, now and then another in its place or around it.
func (w *scribble) element(name string, inside func()) {
	if w.depth++; w.IntN(12) == 0 && w.depth < 40 {
		name = w.one("instance", "ports", "port", "ip", "name", "project", "metadata", "x")
	}
	tag := name
	declared := ""
	switch {
	case name == "instance" || w.IntN(15) == 0:
		space := w.one(nova11, nova11, nova11, nova10, novaSpaces+"2.0", "urn:x")
		declared = " " + w.one("xmlns", "xmlns:nova", "xmlns:nova", "xmlns:a") + "=" + w.quoted(space)
		fallthrough
	case name != "metadata" || w.IntN(10) == 0:
		tag = w.one("nova:", "nova:", "nova:", "", "a:") + name
	}
	w.WriteString("<" + tag + declared)
	for _, attribute := range []string{"uuid=" + w.quoted(w.one(portA, portB, uuidA, "x")), "type=" + w.quoted(w.one("fixed", "floating", "f&amp;x")),
		"address=" + w.quoted(w.one("10.0.0.1", "10.0.0.&#50;", "fd00::1", "?")), "ipVersion=" + w.quoted(w.one("4", "6", ""))} {
		if w.IntN(8) > 0 {
			w.WriteString(w.one(" ", "\n\t") + attribute)
		}
	}
	w.WriteString(">")
	for range w.IntN(3) {
		w.WriteString(w.one(" ", "\n", "text", "<!-- <nova:name>no</nova:name> -->", "<![CDATA[<&]]>", "&lt;&#x41;", "<?pi <x ?>", "<x a='>'/>", "<name/>", ""))
	}
	if inside != nil {
		inside()
	}
	w.depth--
	w.WriteString("</" + tag + w.one("", " ") + ">")
}

func (w *scribble) quoted(value string) string {
	quote := w.one(`"`, "'")
	return quote + value + quote
}
