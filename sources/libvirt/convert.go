package libvirt

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"allocsync/ipam"
	"allocsync/sources"
)

// The types of allocation of a host itself. Those of Nova's ports are Nova's
// own words.
const (
	typeNetwork     = "network"
	typeDomain      = "domain"
	typeReservation = "reservation"
	typeLease       = "lease"
)

// maxFaults is how many faults of one domain or network are told one by one.
const maxFaults = 20

// choices are the options that facts depend on.
type choices struct {
	projectID    bool // a project is named by its UUID
	requirePorts bool // metadata without a list of ports is a gap
}

// allocations makes facts of what was read on all hosts: sorted, each once,
// each passing Check. Missing names what made no sense, in the order of the
// hosts and by name.
//
// Only the order of the hosts matters, and only for a domain that several have.
func allocations(hosts []host, c choices) ([]ipam.Allocation, []sources.Missing) {
	all := statement(hosts, c)
	return all.allocations, all.missing
}

// stated is what a set of hosts says.
type stated struct {
	allocations []ipam.Allocation
	held        []ipam.Reservation // sorted, each passing Check
	missing     []sources.Missing
}

// statement makes allocations, and the reservations among them.
func statement(hosts []host, c choices) stated {
	b := book{choices: c, chosen: choose(hosts), places: map[place]ipam.Allocation{}}
	var missing []sources.Missing
	for on, h := range hosts {
		s := newSite(h)
		for _, d := range s.domains {
			if c := b.chosen[d.uuid]; c.on == on {
				b.addDomain(s, c)
			} else {
				b.addCopy(s, d, c)
			}
		}
		for _, n := range s.networks {
			b.addNetwork(s, n)
		}
		slices.SortFunc(b.missing, compareMissing)
		missing = append(missing, slices.CompactFunc(b.missing, func(x, y sources.Missing) bool { return compareMissing(x, y) == 0 })...)
		b.missing = nil
	}
	for _, a := range b.places {
		b.facts = append(b.facts, a)
	}
	slices.SortFunc(b.facts, ipam.Allocation.Compare)
	slices.SortFunc(b.held, ipam.Reservation.Compare)
	return stated{slices.Compact(b.facts), slices.Compact(b.held), missing}
}

func compareMissing(a, b sources.Missing) int {
	return cmp.Or(strings.Compare(a.Part, b.Part), strings.Compare(a.Err.Error(), b.Err.Error()))
}

// book collects facts, and what is missing of the host that is being added.
type book struct {
	choices
	chosen  map[string]copyOf
	facts   []ipam.Allocation
	places  map[place]ipam.Allocation
	held    []ipam.Reservation
	missing []sources.Missing
}

// place is where a user may have an address for several reasons at once: its
// configuration, a static host, a lease.
type place struct {
	user             ipam.UsedBy
	addr             netip.Addr
	project, network string
}

// addDomain adds the facts of a domain.
func (b *book) addDomain(s site, c copyOf) {
	part := "domain " + c.title() + " on " + s.label
	b.addFaults(part, c.faults)
	if i := c.instance; i != nil {
		if !i.listed && b.requirePorts {
			b.addFaults(part, []error{errNoPorts})
		}
		for _, p := range i.ports {
			b.addPort(part, c, p)
		}
	}
	for _, n := range c.nics {
		if s.hidden(n) {
			continue
		}
		for _, address := range n.addresses {
			fact := ipam.Allocation{Prefix: address, Network: s.networkOf(n), NAT: s.hides(n, address.Addr())}
			if fact, known := b.tenantFact(s, c, n, fact); !known {
				b.addAddress(part, fact)
			}
		}
	}
}

// addCopy adds no facts, but what there is to say of a copy that does not count.
// Two that run, or two that do not, and have different addresses: one was left
// behind when the domain moved, and which one cannot be told. And where a NIC
// of it makes no sense, whose leases are on its host cannot.
func (b *book) addCopy(s site, d listed, counts copyOf) {
	part := "domain " + d.title() + " on " + s.label
	if d.blurred {
		b.addFaults(part, d.faults)
	}
	if d.active == counts.active && !slices.Equal(d.claims(), counts.claims()) {
		b.addFaults(part, []error{fmt.Errorf("it is defined on %s too, with other addresses, and neither or both run: undefine the one that was left behind", counts.host.label)})
	}
}

// claims lists the addresses that a domain says it has, sorted.
func (d domain) claims() []string {
	var list []string
	if d.instance != nil {
		for _, p := range d.instance.ports {
			for _, a := range p.addresses {
				list = append(list, p.uuid+" "+a.kind+" "+a.addr.String())
			}
		}
	}
	for _, n := range d.nics {
		for _, a := range n.addresses {
			list = append(list, string(n.mac)+" "+a.String())
		}
	}
	slices.Sort(list)
	return list
}

// errNoPorts is why metadata without a list of ports is a gap, where the
// options say so.
var errNoPorts = errors.New("its Nova metadata lists no ports, which Nova before Wallaby (23.0.0) does not write: " +
	"a hard reboot under a newer Nova writes them; with require_ports: false such a server is taken to have no addresses")

// title names a domain as its operator looks for it.
func (d domain) title() string {
	title := short(cmp.Or(d.name, d.uuid))
	if d.instance != nil && d.instance.name != "" {
		title += " (" + short(d.instance.name) + ")"
	}
	return title
}

// addPort adds the addresses that Nova lists for a port.
func (b *book) addPort(part string, c copyOf, p port) {
	plug, _ := c.nicOf(p)
	for _, a := range p.addresses {
		fact := ipam.Allocation{
			UsedBy:  serverURI(c.uuid, p.uuid),
			Kind:    ipam.Address,
			Prefix:  ipam.HostPrefix(a.addr),
			Type:    a.kind,
			Project: c.instance.projectName(b.projectID),
			Name:    c.displayName(),
			MAC:     plug.mac,
		}
		if a.kind == typeFloating { // on the router, not on the NIC
			fact.MAC, fact.Inside = "", p.inside(a.addr)
		}
		if b.check(part, fact) {
			b.facts = append(b.facts, fact)
		}
	}
}

// tenantFact says whose an address of a domain's NIC at a site is. One that the
// metadata of the NIC's port lists is known already: a fact of Nova's.
func (b *book) tenantFact(s site, c copyOf, n nic, fact ipam.Allocation) (_ ipam.Allocation, known bool) {
	fact.UsedBy, fact.Type, fact.MAC = domainURI(c.uuid, n.mac), typeDomain, n.mac
	fact.Project, fact.Name = s.project(), c.displayName()
	if c.instance != nil {
		fact.Project = c.instance.projectName(b.projectID)
	}
	if p, ok := c.instance.portOf(n); ok {
		fact.UsedBy = serverURI(c.uuid, p.uuid)
		if kind, ok := p.states(fact.Prefix.Addr()); ok {
			fact.Type = kind
			return fact, true
		}
	}
	return fact, false
}

// addNetwork adds the facts of a network: itself, its static hosts, its leases.
func (b *book) addNetwork(s site, n networkState) {
	part := "network " + short(cmp.Or(n.name, n.uuid)) + " on " + s.label
	b.addFaults(part, n.faults)
	for _, subnet := range n.subnets {
		fact := ipam.Allocation{
			UsedBy:  networkURI(n.uuid),
			Kind:    ipam.Address,
			Prefix:  subnet,
			Type:    typeNetwork,
			Network: n.name,
			Project: s.project(),
			Name:    n.name,
			NAT:     n.hides(subnet.Addr()),
		}
		whole := fact
		whole.Kind, whole.Prefix = ipam.Prefix, subnet.Masked()
		if b.check(part, fact) {
			b.facts = append(b.facts, fact, whole)
		}
	}
	clients, faults := n.clients()
	lessees := firstAt(clients)
	static := map[netip.Addr][]staticHost{}
	for _, h := range n.hosts {
		c := client{addr: h.addr, mac: h.mac, clientID: h.clientID, name: h.name}
		b.addClient(part, s, n.network, c)
		b.hold(s, n.network, c, lessees[c.addr])
		static[h.addr] = append(static[h.addr], h)
	}
	for _, c := range clients {
		if !slices.ContainsFunc(static[c.addr], c.is) {
			b.addClient(part, s, n.network, c)
		}
	}
	b.addFaults(part, faults)
}

// client is who has an address from a DHCP server.
type client struct {
	addr           netip.Addr
	mac            ipam.MAC
	clientID, name string
	hardware       string // what stands in place of a MAC, and is none
	dynamic        bool
}

// client reads a lease. What a guest says of itself makes no fault, or any
// guest could keep the source from being read in full: dnsmasq writes a
// hardware address that is not Ethernet's as 06-02:52:54:00:00:ab, and a guest
// may say that its is not (seen with libvirt 9.0.0).
func (l lease) client() (client, error) {
	c := client{clientID: l.clientID, name: l.hostname, dynamic: true}
	var err error
	if c.addr, err = ipam.ParseAddr(short(l.address)); err != nil {
		return client{}, fmt.Errorf("lease: %w", err)
	}
	if c.mac, err = ipam.ParseMAC(l.mac); err != nil {
		c.hardware = short(l.mac)
	}
	return c, nil
}

// is reports whether a lease is what a static host made of it: the same
// address for the same client. The lease adds nothing then. A static host of
// IPv6 has no MAC, while its lease may show one.
func (c client) is(h staticHost) bool {
	switch {
	case c.addr != h.addr:
		return false
	case h.mac != "":
		return h.mac == c.mac
	case h.clientID != "":
		return strings.EqualFold(h.clientID, c.clientID)
	}
	return h.name == c.name
}

// addClient adds an address that a DHCP server keeps for a client or gave to
// it.
func (b *book) addClient(part string, s site, n network, c client) {
	if fact, known, ok := b.clientFact(s, n, c); ok && !known {
		b.addAddress(part, fact)
	}
}

// clientFact says whose the address of a DHCP server's client is: that of the
// NIC of a domain by its MAC, else it is the network's. Whose it is cannot be
// told while a domain is missing, which is not ok: under the network's name it
// would be taken from the domain until that can be read again.
func (b *book) clientFact(s site, n network, c client) (fact ipam.Allocation, known, ok bool) {
	fact = ipam.Allocation{
		Kind:    ipam.Address,
		Prefix:  ipam.HostPrefix(c.addr),
		Network: n.name,
		NAT:     n.hides(c.addr),
		Dynamic: c.dynamic,
	}
	if c.mac != "" {
		if o, ok := s.seats[seat{n.name, c.mac}]; ok {
			fact, known = b.tenantFact(s, b.chosen[o.uuid], o.nic, fact)
			return fact, known, true
		}
		if s.blurred {
			return ipam.Allocation{}, false, false
		}
	}
	fact.UsedBy = c.uri(n.uuid)
	fact.Type, fact.MAC, fact.Project, fact.Name = typeReservation, c.mac, s.project(), c.name
	if c.dynamic {
		fact.Type = typeLease
	}
	return fact, false, true
}

// addAddress adds an address that its user may have for other reasons too. It
// is one fact then: what is configured before what is leased, with the length
// that somebody wrote.
func (b *book) addAddress(part string, fact ipam.Allocation) {
	fact.Kind = ipam.Address
	if !b.check(part, fact) {
		return
	}
	at := place{fact.UsedBy, fact.Prefix.Addr(), fact.Project, fact.Network}
	known, ok := b.places[at]
	if !ok {
		b.places[at] = fact
		return
	}
	bits := min(known.Prefix.Bits(), fact.Prefix.Bits())
	known.Prefix = netip.PrefixFrom(at.addr, bits)
	fact.Prefix = known.Prefix
	if known.Dynamic == fact.Dynamic && fact.Compare(known) < 0 || known.Dynamic && !fact.Dynamic {
		known = fact
	}
	b.places[at] = known
}

// check keeps what no source may hand out, and says so.
func (b *book) check(part string, fact ipam.Allocation) bool {
	if err := fact.Check(); err != nil {
		b.addFaults(part, []error{fmt.Errorf("address %s: %w", fact.Prefix, err)})
		return false
	}
	return true
}

// addFaults notes what makes no sense in a part, so much of it as a person
// reads. The order in which it was found means nothing.
func (b *book) addFaults(part string, faults []error) {
	if extra := len(faults) - maxFaults; extra > 0 {
		faults = slices.SortedFunc(slices.Values(faults), func(x, y error) int { return strings.Compare(x.Error(), y.Error()) })
		faults = append(faults[:maxFaults], fmt.Errorf("and %d more such faults", extra))
	}
	for _, fault := range faults {
		b.missing = append(b.missing, sources.Missing{Part: part, Err: fault})
	}
}

// hides reports whether the network that a NIC is on translates an address.
func (s site) hides(n nic, addr netip.Addr) bool {
	name := s.networkOf(n)
	for _, state := range s.networks {
		if state.name == name {
			return state.hides(addr)
		}
	}
	return false
}
