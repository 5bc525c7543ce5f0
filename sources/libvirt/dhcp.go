package libvirt

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"allocsync/ipam"
	"allocsync/sources"
)

// part is an <ip> of a network with what its DHCP server does.
type part struct {
	subnet netip.Prefix // the zero Prefix where it makes no sense
	ranges []addressRange
	hosts  []staticHost // those without an address too
}

// serves reports whether there is a DHCP server on the subnet.
func (p part) serves() bool { return len(p.ranges)+len(p.hosts) > 0 }

// addressRange is a <range> that DHCP hands addresses out from.
type addressRange struct{ first, last netip.Addr } // the zero Addr where it makes no sense

func rangeOf(e element) addressRange {
	first, err := ipam.ParseAddr(short(e.attribute("start")))
	last, err2 := ipam.ParseAddr(short(e.attribute("end")))
	if err != nil || err2 != nil || first.Is4() != last.Is4() {
		return addressRange{}
	}
	return addressRange{first, last}
}

// may reports whether the range may hold an address: one that makes no sense
// may hold any.
func (r addressRange) may(addr netip.Addr) bool {
	if !r.first.IsValid() {
		return true
	}
	return addr.Is4() == r.first.Is4() && r.first.Compare(addr) <= 0 && addr.Compare(r.last) <= 0
}

func (r addressRange) String() string {
	if !r.first.IsValid() {
		return "a range that makes no sense"
	}
	return fmt.Sprintf("the dynamic range %s to %s", r.first, r.last)
}

// refuse says why a source cannot hold something, or let it go, as things are.
func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", sources.ErrRefused, fmt.Sprintf(format, args...))
}

// unknown says that what was read is too little to tell.
func unknown(format string, args ...any) error {
	return fmt.Errorf("%w: %s", sources.ErrUnreachable, fmt.Sprintf(format, args...))
}

// entry is the place of a client's address in a network's definition.
type entry struct {
	index int         // of the <ip>, as virNetworkUpdate counts them
	part  part        // that <ip>
	host  *staticHost // what stands there already; nil for nothing
}

// entryFor finds the place for a client's address, or says why the network
// cannot hold it for that client. libvirt itself checks almost nothing: it takes
// addresses outside of the subnet, and in the dynamic range, and its own.
func (n network) entryFor(c client) (entry, error) {
	at := slices.IndexFunc(n.parts, func(p part) bool { return p.subnet.IsValid() && p.subnet.Contains(c.addr) })
	if at < 0 {
		return entry{}, refuse("the network has no subnet with this address, it has %s", cmp.Or(join(n.masked()), "none"))
	}
	e := entry{index: at, part: n.parts[at]}
	for _, check := range []func(client, int) error{n.checkAddress, n.checkServer, n.checkClient} {
		if err := check(c, at); err != nil {
			return entry{}, err
		}
	}
	for _, h := range e.part.hosts {
		switch mine := c.owns(h); {
		case mine && h.addr == c.addr:
			e.host = &h
		case h.addr == c.addr:
			return entry{}, refuse("it is reserved for %s", h.whose())
		case mine && !h.addr.IsValid():
			return entry{}, refuse("%s has an entry without an address on this network: take it out (virsh net-update … delete ip-dhcp-host)", h.whose())
		case mine:
			return entry{}, refuse("%s has %s on this network already, and libvirt keeps one for each: release that one first", h.whose(), h.addr)
		}
	}
	return e, nil
}

// without is the network without what it holds for a client at an address.
func (n network) without(c client) network {
	n.parts = slices.Clone(n.parts)
	for i := range n.parts {
		n.parts[i].hosts = slices.DeleteFunc(slices.Clone(n.parts[i].hosts), func(h staticHost) bool { return h.addr == c.addr && c.owns(h) })
	}
	return n
}

func (n network) masked() []netip.Prefix {
	list := make([]netip.Prefix, 0, len(n.subnets))
	for _, s := range n.subnets {
		list = append(list, s.Masked())
	}
	return list
}

// checkAddress refuses addresses that are no client's.
func (n network) checkAddress(c client, at int) error {
	p := n.parts[at]
	if slices.ContainsFunc(n.subnets, func(own netip.Prefix) bool { return own.Addr() == c.addr }) {
		return refuse("it is the host's own address on this network")
	}
	if p.subnet.Bits() < c.addr.BitLen()-1 {
		switch {
		case c.addr == p.subnet.Masked().Addr():
			return refuse("it is the address of the subnet %s itself", p.subnet.Masked())
		case c.addr.Is4() && c.addr == ipam.LastAddr(p.subnet): // IPv6 has no broadcast
			return refuse("it is the broadcast address of %s", p.subnet.Masked())
		}
	}
	for _, r := range p.ranges {
		if r.may(c.addr) {
			return refuse("it is inside %s, from which DHCP hands addresses out: choose one outside of it, or make the range shorter", r)
		}
	}
	return nil
}

// checkServer refuses what the network's DHCP server would never serve. Of
// IPv4 libvirt serves one subnet of a network, and does not start a network with
// entries in two (networkValidate, src/network/bridge_driver.c). IPv6 it begins
// to serve only when the network starts: networkUpdate looks at IPv4 alone.
func (n network) checkServer(c client, at int) error {
	if c.addr.Is6() {
		if !n.parts[at].serves() {
			return refuse("the network serves no DHCPv6 on %s, and begins to only when it starts: give this <ip> a <dhcp> with a range or host (virsh net-edit), and start the network anew", n.parts[at].subnet.Masked())
		}
		return nil
	}
	for i, p := range n.parts {
		if i != at && p.subnet.Addr().Is4() && p.serves() {
			return refuse("the network serves DHCP on %s only: libvirt serves one IPv4 subnet of a network", p.subnet.Masked())
		}
	}
	return nil
}

// checkClient refuses clients that libvirt's DHCP server cannot tell from
// others (virNetworkDHCPHostDefParseXML, src/conf/network_conf.c).
func (n network) checkClient(c client, _ int) error {
	switch {
	case c.addr.Is6() && c.mac != "":
		return refuse("libvirt knows no client of DHCPv6 by its MAC, but by its DUID or the name that it gives: ask for it with used_by %s?client=DUID or ?name=NAME", networkURI(n.uuid))
	case c.addr.Is4() && c.clientID != "":
		return refuse("libvirt knows clients of DHCP by MAC or name, and by DUID only with IPv6")
	}
	return nil
}

// owns reports whether a static host is of this client.
func (c client) owns(h staticHost) bool {
	switch {
	case c.mac != "":
		return h.mac == c.mac
	case c.clientID != "":
		return strings.EqualFold(h.clientID, c.clientID)
	}
	return h.mac == "" && h.clientID == "" && strings.EqualFold(h.name, c.name)
}

// whose names who a static host is for.
func (h staticHost) whose() string {
	who := cmp.Or(string(h.mac), short(h.clientID))
	switch {
	case who == "":
		return short(h.name)
	case h.name != "":
		return who + " (" + short(h.name) + ")"
	}
	return who
}

// whose names a client.
func (c client) whose() string {
	return cmp.Or(string(c.mac), short(c.hardware), short(c.clientID), short(c.name), "an unnamed client")
}

// leasedTo finds who leases an address, nil for nobody.
func (n networkState) leasedTo(addr netip.Addr) *client {
	for _, l := range n.leases {
		if c, err := l.client(); err == nil && c.addr == addr {
			return &c
		}
	}
	return nil
}

// clients reads the leases; faults says which of them make no sense.
func (n networkState) clients() (list []client, faults []error) {
	for _, l := range n.leases {
		c, err := l.client()
		if err != nil {
			faults = append(faults, err)
			continue
		}
		list = append(list, c)
	}
	return list, faults
}

// firstAt finds who leases each address: leasedTo for all of them at once, which
// would read every lease for every one.
func firstAt(clients []client) map[netip.Addr]*client {
	first := make(map[netip.Addr]*client, len(clients))
	for i, c := range clients {
		if first[c.addr] == nil {
			first[c.addr] = &clients[i]
		}
	}
	return first
}

// checkLease refuses an address that another client leases now.
func (n networkState) checkLease(c client) error {
	l := n.leasedTo(c.addr)
	if l == nil || l.is(staticHost{addr: c.addr, mac: c.mac, clientID: c.clientID, name: c.name}) {
		return nil
	}
	return refuse("it is leased to %s: wait for that lease to end", l.whose())
}

// clientName is a host name as the DHCP server may be told it. libvirt writes it
// into dnsmasq's files as it is, line breaks, commas and all (seen with 9.0.0).
var clientName = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)

// maxName is how long a host name may be (RFC 1035).
const maxName = 253

// isClientName reports whether a text may be told the DHCP server as a name.
// Two words mean something else to dnsmasq (dhcp-host in its manual).
func isClientName(text string) bool {
	return len(text) <= maxName && clientName.MatchString(text) && !strings.EqualFold(text, "ignore") && !strings.EqualFold(text, "infinite")
}

// nameFor returns the name under which the entry of a client is made: the one
// that is wished for, unless it is no host name or another has it. libvirt takes
// each name once in a subnet.
func (p part) nameFor(c client, wished string) string {
	if c.mac == "" && c.clientID == "" {
		return c.name // that is who it is
	}
	taken := slices.ContainsFunc(p.hosts, func(h staticHost) bool { return strings.EqualFold(h.name, wished) && !c.owns(h) })
	if taken || !isClientName(wished) {
		return ""
	}
	return wished
}

// duid is the form in which libvirt takes a DHCPv6 client's ID.
var duid = regexp.MustCompile(`^[0-9A-Fa-f]{1,2}(:[0-9A-Fa-f]{1,2}){1,129}$`)

// hostXML is the <host> of a client.
func hostXML(c client, name string) string {
	var b strings.Builder
	b.WriteString("<host")
	for _, a := range [][2]string{{"mac", string(c.mac)}, {"id", c.clientID}, {"name", name}, {"ip", c.addr.String()}} {
		if a[1] == "" {
			continue
		}
		b.WriteString(" " + a[0] + `="`)
		_ = xml.EscapeText(&b, []byte(a[1])) // a Builder takes everything
		b.WriteString(`"`)
	}
	b.WriteString("/>")
	return b.String()
}
