package maas

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"allocsync/ipam"
	"allocsync/sources"
)

// The types of allocation.
const (
	typeNetwork     = "network" // a subnet, and its gateway
	typeMachine     = "machine"
	typeDevice      = "device"
	typeController  = "controller"
	typeReservation = "reservation" // of a user, or a reserved IP
	typeLease       = "lease"       // of a host that MAAS does not know
	typeBMC         = "bmc"
	typeOther       = "address" // of nobody that MAAS names
)

func (n node) typ() string {
	switch n.Kind {
	case machineNode:
		return typeMachine
	case deviceNode:
		return typeDevice
	}
	return typeController
}

// network is a subnet with what is known of it.
type network struct {
	subnet
	uri               ipam.UsedBy
	prefix            netip.Prefix
	gateway           netip.Addr // the zero Addr for none
	dynamic, reserved []extent
	unread            error // why its addresses are not known; nil where they are
}

// extent is a range of addresses.
type extent struct{ first, last netip.Addr }

func (e extent) holds(a netip.Addr) bool {
	return e.first.BitLen() == a.BitLen() && e.first.Compare(a) <= 0 && a.Compare(e.last) <= 0
}

func (e extent) String() string { return e.first.String() + " to " + e.last.String() }

func parseExtent(first, last string) (e extent, err error) {
	if e.first, err = ipam.ParseAddr(first); err != nil {
		return e, err
	}
	if e.last, err = ipam.ParseAddr(last); err != nil {
		return e, err
	}
	if e.first.BitLen() != e.last.BitLen() || e.last.Less(e.first) {
		return e, fmt.Errorf("the range %s ends before it begins", e)
	}
	return e, nil
}

// project is the space of the subnet: see docs/decisions/0060.
func (n *network) project() string {
	if n.Space == undefinedSpace {
		return ""
	}
	return n.Space
}

// book is what a reading means: facts and reservations, and what a Desk has to
// know besides. Once made it is not changed.
type book struct {
	user     whoami
	hasIPs   bool
	networks map[int]*network // by ID
	nodes    map[string]*node // by system ID
	rows     map[netip.Addr][]address

	facts   []ipam.Allocation
	held    []ipam.Reservation
	missing []sources.Missing

	rangesErr, reservedErr error
	hidden                 map[string]bool // names of nodes that have addresses and are in no list
}

// book makes facts of what was read: sorted, each once, each passing Check. The
// order of what was read means nothing.
func (r *region) book() *book {
	b := &book{
		user: r.user, hasIPs: r.hasIPs, networks: map[int]*network{}, nodes: map[string]*node{}, rows: map[netip.Addr][]address{},
		rangesErr: r.rangesErr, reservedErr: r.reservedErr, hidden: map[string]bool{},
	}
	for _, n := range r.nodes {
		b.nodes[n.SystemID] = &n
	}
	for _, s := range r.subnets {
		if !r.gone[s.ID] {
			b.note(fmt.Sprintf("subnet %d (%s)", s.ID, line(s.Name)), b.addNetwork(s, r.unread[s.ID]))
		}
	}
	for _, one := range r.ranges {
		if !r.gone[int(one.Subnet)] {
			b.note(fmt.Sprintf("IP range %d", one.ID), b.addRange(one))
		}
	}
	for id, list := range r.addresses {
		for _, a := range list {
			if n := b.networks[id]; n != nil { // what is wrong with it has been told
				b.note(fmt.Sprintf("address %s of subnet %s", line(a.IP), line(n.Name)), b.addAddress(n, a))
			}
		}
	}
	for _, one := range r.reserved {
		if !r.gone[int(one.Subnet)] {
			b.note(fmt.Sprintf("reserved IP %d (%s)", one.ID, line(one.IP)), b.addReserved(one))
		}
	}
	b.finish(r)
	return b
}

// note keeps what is wrong with a part: one bad row must not hide the others,
// and must not be taken to be gone.
func (b *book) note(part string, err error) {
	if err != nil {
		b.missing = append(b.missing, sources.Missing{Part: part, Err: err})
	}
}

// finish puts everything into the order that is promised.
func (b *book) finish(r *region) {
	b.addGateways()
	for id, err := range r.unread {
		if n := b.networks[id]; n != nil {
			b.note("addresses of subnet "+line(n.Name), err)
		}
	}
	b.note("reserved IPs", r.reservedErr)
	b.note("IP ranges", r.rangesErr)
	if names := slices.Sorted(maps.Keys(b.hidden)); len(names) > 0 {
		b.note("nodes", hiddenError{names: names, user: b.user})
	}
	slices.SortFunc(b.missing, func(x, y sources.Missing) int {
		return cmp.Or(strings.Compare(x.Part, y.Part), strings.Compare(x.Err.Error(), y.Err.Error()))
	})
	slices.SortFunc(b.facts, ipam.Allocation.Compare)
	b.facts = slices.Compact(b.facts)
	for _, rows := range b.rows {
		slices.SortFunc(rows, address.compare)
	}
	for i := range b.held {
		b.held[i].InUse = b.inUse(b.held[i])
	}
	slices.SortFunc(b.held, ipam.Reservation.Compare)
	b.held = slices.Compact(b.held)
}

// hiddenError says that nodes have addresses and are in no list.
type hiddenError struct {
	names []string
	user  whoami
}

func (e hiddenError) Error() string {
	const few = 5
	names := strings.Join(e.names[:min(len(e.names), few)], ", ")
	if more := len(e.names) - few; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	if e.user.Admin {
		return fmt.Sprintf("%v: %s have addresses and are not in the list of nodes; they were made or deleted meanwhile: read again", sources.ErrUnreachable, names)
	}
	return fmt.Sprintf("%v: %s have addresses and are hidden from the user %s; use the API key of an administrator", sources.ErrDenied, names, line(e.user.Name))
}

func (e hiddenError) Unwrap() error {
	if e.user.Admin {
		return sources.ErrUnreachable
	}
	return sources.ErrDenied
}

// state keeps a fact that is possible.
func (b *book) state(a ipam.Allocation) error {
	if err := a.Check(); err != nil {
		return err
	}
	b.facts = append(b.facts, a)
	return nil
}

func (b *book) addNetwork(s subnet, unread error) error {
	prefix, err := ipam.ParsePrefix(s.CIDR)
	if err != nil {
		return err
	}
	n := &network{subnet: s, uri: s.subnetURI(), prefix: prefix.Masked(), unread: unread}
	if s.Gateway != "" {
		if n.gateway, err = ipam.ParseAddr(s.Gateway); err != nil {
			return fmt.Errorf("gateway: %w", err)
		}
	}
	if err := b.state(ipam.Allocation{UsedBy: n.uri, Kind: ipam.Prefix, Prefix: n.prefix, Type: typeNetwork, Network: s.Name, Project: n.project(), Name: s.Name}); err != nil {
		return err
	}
	b.networks[s.ID] = n
	return nil
}

// addGateways states the gateways, but of those that a node has, whose the
// address then is. It says nothing of networks that could not be read.
func (b *book) addGateways() {
	for _, n := range b.networks {
		if n.unread != nil || !n.gateway.IsValid() || !n.prefix.Contains(n.gateway) ||
			slices.ContainsFunc(b.rows[n.gateway], func(a address) bool { return !a.leased() }) {
			continue
		}
		a := ipam.Allocation{UsedBy: n.uri, Kind: ipam.Address, Prefix: netip.PrefixFrom(n.gateway, n.prefix.Bits()), Type: typeNetwork, Network: n.Name, Project: n.project(), Name: n.Name}
		b.note("gateway of subnet "+line(n.Name), b.state(a))
	}
}

func (b *book) addRange(one ipRange) error {
	n := b.networks[int(one.Subnet)]
	if n == nil {
		return fmt.Errorf("its subnet %d is not in the list of subnets; read again", one.Subnet)
	}
	e, err := parseExtent(one.First, one.Last)
	switch {
	case err != nil:
		return err
	case one.Type == rangeDynamic:
		n.dynamic = append(n.dynamic, e)
	case one.Type == rangeReserved:
		n.reserved = append(n.reserved, e)
	default:
		return fmt.Errorf("is of type %q, want %s or %s", one.Type, rangeDynamic, rangeReserved)
	}
	return nil
}

// addAddress states what one row of a subnet's addresses says.
func (b *book) addAddress(n *network, a address) error {
	addr, err := ipam.ParseAddr(a.IP)
	switch {
	case err != nil:
		return err
	case a.Alloc == nil:
		return errors.New("has no alloc_type")
	case !n.prefix.Contains(addr):
		return fmt.Errorf("is not in %s", n.prefix)
	}
	b.rows[addr] = append(b.rows[addr], a)
	fact := ipam.Allocation{UsedBy: addressURI(addr), Kind: ipam.Address, Prefix: ipam.HostPrefix(addr), Network: n.Name, Project: n.project(), Dynamic: a.leased()}
	switch {
	case *a.Alloc == allocReserved:
		return b.addUserReservation(n, a, fact)
	case a.Node != nil:
		return b.addNodeAddress(n, a, fact)
	case a.leased():
		// Seen on the network, or leased. Nothing but the place tells the two apart.
		if !n.served(addr) {
			return nil
		}
		fact.Type = typeLease
	case len(a.BMCs) > 0:
		fact.Type, fact.Name = typeBMC, a.bmcOf()
	default:
		fact.Type = typeOther
	}
	return b.state(fact)
}

// served reports whether MAAS's DHCP server hands out an address to whoever
// asks.
func (n *network) served(addr netip.Addr) bool {
	return n.VLAN.served() && slices.ContainsFunc(n.dynamic, func(e extent) bool { return e.holds(addr) })
}

// bmcOf names the node whose BMC has the address, if there is only one.
func (a address) bmcOf() string {
	var names []string
	for _, bmc := range a.BMCs {
		for _, n := range bmc.Nodes {
			names = append(names, n.Hostname)
		}
	}
	if slices.Sort(names); len(slices.Compact(names)) == 1 {
		return names[0]
	}
	return ""
}
