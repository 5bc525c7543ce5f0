package maas

import (
	"fmt"
	"net/netip"
	"slices"

	"allocsync/ipam"
)

// keep states a fact and the reservation that it is.
func (b *book) keep(fact ipam.Allocation, h ipam.Reservation) error {
	h.Ref, h.Type, h.Addr = fact.UsedBy, fact.Type, fact.Prefix.Addr()
	if err := h.Check(); err != nil {
		return err
	}
	if err := b.state(fact); err != nil {
		return err
	}
	b.held = append(b.held, h)
	return nil
}

// addUserReservation states an address that MAAS keeps out of use for a user.
func (b *book) addUserReservation(n *network, a address, fact ipam.Allocation) error {
	fact.Type, fact.Name = typeReservation, line(a.User)
	if len(a.DNS) > 0 {
		fact.Name = line(a.DNS[0].Name)
	}
	h := userReservation(n, fact.Name)
	h.Unmarkable = a.User == b.user.Name // MAAS itself says of another user's whose it is
	return b.keep(fact, h)
}

func userReservation(n *network, name string) ipam.Reservation {
	return ipam.Reservation{Network: n.uri, Name: name, Unmarkable: true}
}

// addNodeAddress states an address of a machine, device or controller. A static
// link of a machine or device is a reservation.
func (b *book) addNodeAddress(n *network, a address, fact ipam.Allocation) error {
	owner := b.nodes[a.Node.SystemID]
	if owner == nil {
		// Its MAC and its URI are not known, so that there is no saying who it is.
		b.hidden[fmt.Sprintf("%s (%s)", line(a.Node.Hostname), line(a.Node.SystemID))] = true
		return nil
	}
	i := owner.nicOf(fact.Prefix.Addr(), a.Node.Via)
	if i >= 0 {
		mac, err := ipam.ParseMAC(owner.Interfaces[i].MAC)
		if err != nil {
			return err
		}
		fact.MAC = mac
	}
	fact.UsedBy, fact.Type, fact.Name = owner.nodeURI(), owner.typ(), line(owner.Hostname)
	if *a.Alloc != allocSticky || owner.typ() == typeController {
		return b.state(fact)
	}
	return b.keep(fact, staticLink(n, owner, fact.MAC))
}

// staticLink is the reservation that a static link is: one for the node, or for
// the MAC if the device is there for nothing else.
func staticLink(n *network, owner *node, mac ipam.MAC) ipam.Reservation {
	h := ipam.Reservation{Network: n.uri, MAC: mac, For: owner.nodeURI(), Name: line(owner.Hostname), Unmarkable: true}
	if mark := owner.mark(); mark != "" {
		h.For, h.Mark, h.Unmarkable = "", mark, false
	}
	return h
}

// mark is whose reservation a device is; "" of all other nodes.
func (n node) mark() string {
	if n.Kind != deviceNode {
		return ""
	}
	_, mark := readMark(n.Description)
	return mark
}

// nicOf finds the interface that has an address, by its links, else by what it
// got by DHCP, else by its name. It returns -1 where none does.
func (n node) nicOf(addr netip.Addr, via string) int {
	has := func(of func(nic) []link) int {
		return slices.IndexFunc(n.Interfaces, func(i nic) bool {
			return slices.ContainsFunc(of(i), func(l link) bool { return l.is(addr) })
		})
	}
	if i := has(func(i nic) []link { return i.Links }); i >= 0 {
		return i
	}
	if i := has(func(i nic) []link { return i.Discovered }); i >= 0 {
		return i
	}
	return slices.IndexFunc(n.Interfaces, func(i nic) bool { return i.Name == via && via != "" })
}

// is reports whether a link has an address.
func (l link) is(addr netip.Addr) bool {
	has, err := ipam.ParseAddr(l.IP)
	return err == nil && has == addr
}

// addReserved states a reserved IP.
func (b *book) addReserved(r reservedIP) error {
	h, err := b.reservation(r)
	if err != nil {
		return err
	}
	n := b.networks[int(r.Subnet)]
	return b.keep(ipam.Allocation{
		UsedBy: h.Ref, Kind: ipam.Address, Prefix: ipam.HostPrefix(h.Addr), Type: h.Type,
		Network: n.Name, Project: n.project(), Name: h.Name, MAC: h.MAC,
	}, h)
}

// reservation is a reserved IP as Held lists it, but for InUse.
func (b *book) reservation(r reservedIP) (ipam.Reservation, error) {
	n := b.networks[int(r.Subnet)]
	if n == nil {
		return ipam.Reservation{}, fmt.Errorf("its subnet %d is not in the list of subnets; read again", r.Subnet)
	}
	addr, err := ipam.ParseAddr(r.IP)
	if err != nil {
		return ipam.Reservation{}, err
	}
	mac, err := ipam.ParseMAC(r.MAC)
	if err != nil {
		return ipam.Reservation{}, err
	}
	name, mark := readMark(r.Comment)
	return ipam.Reservation{Network: n.uri, Addr: addr, MAC: mac, Name: name, Ref: r.reservedURI(), Type: typeReservation, Mark: mark}, nil
}

// inUse says who uses an address that is reserved, as far as MAAS knows: who has
// it by DHCP or automatically, or a machine that MAAS would not change.
func (b *book) inUse(h ipam.Reservation) string {
	for _, a := range b.rows[h.Addr] {
		switch {
		case a.leased() && a.Node != nil:
			return "leased to " + line(a.Node.Hostname)
		case a.leased():
			return "leased to a host that MAAS does not know"
		case a.Node == nil:
		case b.nodes[a.Node.SystemID] != nil && !b.nodes[a.Node.SystemID].changeable():
			return line(a.Node.Hostname) + " is " + line(b.nodes[a.Node.SystemID].StatusName)
		case *a.Alloc == 0:
			return line(a.Node.Hostname) + " has it"
		}
	}
	return ""
}
