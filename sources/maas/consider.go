package maas

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"allocsync/ipam"
)

// task is a wish that can be met as things are.
type task struct {
	wish    ipam.Reservation // completed
	network *network
	node    *node // that it is for; nil for none
	nic     nic   // of the node

	met *ipam.Reservation // what meets the wish already; nil for nothing
}

// Consider completes a wish: see sources.Desk.
func (d *desk) Consider(wish ipam.Reservation) (ipam.Reservation, error) {
	t, err := d.consider(wish)
	if err != nil {
		return ipam.Reservation{}, fmt.Errorf("consider %s: %w", wish, err)
	}
	return t.wish, nil
}

func (d *desk) consider(wish ipam.Reservation) (task, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := task{wish: wish}
	var err error
	if t.network, err = d.networkOf(wish); err != nil {
		return task{}, err
	}
	if t.node, err = d.nodeOf(wish.For); err != nil {
		return task{}, err
	}
	t.wish.Network, t.wish.For = t.network.uri, ""
	if t.node != nil {
		t.wish.For = t.node.nodeURI()
	}
	if t.met = d.meets(t.wish); t.met != nil && t.hasNIC(t.met.MAC) {
		t.wish.MAC, t.wish.NIC = t.met.MAC, ""
		return t, nil
	}
	t.met = nil
	for _, part := range []error{t.network.unread, d.reservedErr} {
		if part != nil {
			return task{}, fmt.Errorf("what MAAS holds could not all be read: %w", part)
		}
	}
	if t.node != nil {
		if t.nic, err = t.interfaceOf(); err != nil {
			return task{}, err
		}
		t.wish.NIC = ""
		if t.wish.MAC, err = ipam.ParseMAC(t.nic.MAC); err != nil {
			return task{}, refuse("interface %s of %s: %v", line(t.nic.Name), line(t.node.Hostname), err)
		}
	}
	if err := d.checkUser(t); err != nil {
		return task{}, err
	}
	if t.wish.Addr.IsValid() {
		if err := d.checkAddr(t, t.wish.Addr); err != nil {
			return task{}, err
		}
	}
	return t, nil
}

// meets finds what is held already as a wish asks for. A wish that names no
// address is met by an earlier one that was met for the same MAC and owner: its
// answer may have been lost.
func (d *desk) meets(wish ipam.Reservation) *ipam.Reservation {
	among := d.at[wish.Addr]
	if !wish.Addr.IsValid() && wish.For == "" && wish.MAC != "" {
		among = slices.DeleteFunc(slices.Clone(d.macs[wish.MAC]), func(h ipam.Reservation) bool { return h.Mark == "" || h.Mark != wish.Mark })
	}
	i := slices.IndexFunc(among, func(h ipam.Reservation) bool {
		switch {
		case h.Network != wish.Network:
			return false
		case wish.For != "":
			return h.For == wish.For && (wish.MAC == "" || wish.MAC == h.MAC)
		case wish.MAC != "":
			return h.MAC == wish.MAC
		}
		return h.For == "" && h.MAC == "" && d.owner[h.Addr] == d.user.Name
	})
	if i < 0 {
		return nil
	}
	h := among[i]
	return &h
}

// hasNIC reports whether the interface that a wish names, if it names one, has a
// MAC.
func (t task) hasNIC(mac ipam.MAC) bool {
	return t.wish.NIC == "" || t.node != nil && slices.ContainsFunc(t.node.Interfaces, func(i nic) bool {
		has, err := ipam.ParseMAC(i.MAC)
		return err == nil && has == mac && i.Name == t.wish.NIC
	})
}

// interfaceOf picks the interface of the node: that with the MAC, else the only
// one on the subnet's VLAN.
func (t task) interfaceOf() (nic, error) {
	name := line(t.node.Hostname)
	if !t.node.changeable() {
		return nic{}, refuse("%s is %s; MAAS changes only machines that are New, Ready, Allocated or Broken", name, line(t.node.StatusName))
	}
	var all []string
	var found, loose []nic // loose: not connected, so that MAAS would connect them
	for _, i := range t.node.Interfaces {
		mac, err := ipam.ParseMAC(i.MAC)
		all = append(all, i.label())
		switch {
		case err != nil || t.wish.MAC != "" && mac != t.wish.MAC || t.wish.NIC != "" && i.Name != t.wish.NIC:
		case i.VLAN == nil:
			loose = append(loose, i)
		case i.VLAN.ID == t.network.VLAN.ID:
			found = append(found, i)
		}
	}
	if len(found) == 0 {
		found = loose
	}
	found = uppermost(found)
	switch {
	case len(all) == 0:
		return nic{}, refuse("%s has no interface", name)
	case len(found) == 0 && t.wish.NIC != "":
		return nic{}, refuse("%s has no interface %s on the VLAN of subnet %s; it has %s", name, line(t.wish.NIC), line(t.network.Name), strings.Join(all, ", "))
	case len(found) == 0 && t.wish.MAC != "":
		return nic{}, refuse("%s has no interface with the MAC %s on the VLAN of subnet %s; it has %s", name, t.wish.MAC, line(t.network.Name), strings.Join(all, ", "))
	case len(found) == 0:
		return nic{}, refuse("no interface of %s is on the VLAN of subnet %s; it has %s", name, line(t.network.Name), strings.Join(all, ", "))
	case len(found) > 1:
		return nic{}, refuse("%s has several interfaces on the VLAN of subnet %s; name one by its name or MAC: %s", name, line(t.network.Name), labels(found))
	}
	return found[0], nil
}

// uppermost leaves out the interfaces that bonds and bridges among the others
// are made of. They have the same MAC, often, and no addresses.
func uppermost(nics []nic) []nic {
	return slices.DeleteFunc(slices.Clone(nics), func(lower nic) bool {
		return slices.ContainsFunc(nics, func(upper nic) bool { return slices.Contains(lower.Children, upper.Name) })
	})
}

func (i nic) label() string { return line(i.Name) + " (" + line(i.MAC) + ")" }

func labels(nics []nic) string {
	var list []string
	for _, i := range nics {
		list = append(list, i.label())
	}
	return strings.Join(list, ", ")
}

// checkUser says what there is against the user of a wish, whatever the
// address.
func (d *desk) checkUser(t task) error {
	switch {
	case t.node != nil:
		return d.checkLinks(t)
	case t.wish.MAC == "" && !t.wish.Addr.IsValid() && !t.network.managed():
		// Free addresses of such a subnet are in its reserved ranges, of which MAAS
		// lets nobody name one.
		return refuse("MAAS does not manage subnet %s, so that none of its addresses can be chosen; name one outside of its reserved ranges", line(t.network.Name))
	case t.wish.MAC == "":
		return nil
	case d.hasIPs:
		return d.checkReservedIPs(t)
	}
	owner := d.byMAC[t.wish.MAC]
	switch {
	case owner == nil:
		return nil
	case owner.mark() == "":
		return refuse("the MAC %s is of %s, and this MAAS knows no reserved IPs (3.6 and later); reserve for that %s instead", t.wish.MAC, line(owner.Hostname), owner.typ())
	case owner.mark() != t.wish.Mark:
		return refuse("the MAC %s is of the device %s, which is there for a reservation of %s", t.wish.MAC, line(owner.Hostname), owner.mark())
	}
	return nil
}

// checkLinks: MAAS takes the DHCP link of an interface away when it gets a
// static one of the same family (models/interface.py, _link_subnet_static), and
// does not give it back when that goes.
func (d *desk) checkLinks(t task) error {
	for _, l := range t.nic.Links {
		n := d.networks[int(l.Subnet)]
		if l.Mode == modeDHCP && (n == nil || n.prefix.Addr().Is4() == t.network.prefix.Addr().Is4()) {
			return refuse("interface %s of %s is set to DHCP, which MAAS would end; change that in MAAS first", line(t.nic.Name), line(t.node.Hostname))
		}
	}
	return nil
}

// checkReservedIPs: one MAC has one reserved IP in a subnet. (The first releases
// with reserved IPs take one in a VLAN; MAAS says so itself.) One of the same
// mark may be about to be released.
func (d *desk) checkReservedIPs(t task) error {
	for _, h := range d.macs[t.wish.MAC] {
		if h.Type == typeReservation && h.Network == t.wish.Network && h.Addr != t.wish.Addr && (h.Mark == "" || h.Mark != t.wish.Mark) {
			return refuse("the MAC %s has the reserved IP %s in this subnet already, and MAAS takes one for each MAC and subnet", t.wish.MAC, h.Addr)
		}
	}
	return nil
}

// checkAddr says what there is against an address.
func (d *desk) checkAddr(t task, addr netip.Addr) error {
	n, name := t.network, line(t.network.Name)
	if !n.prefix.Contains(addr) {
		return refuse("%s is not in subnet %s (%s)", addr, name, n.prefix)
	}
	if best := d.best(addr); best != n && best.prefix.Bits() != n.prefix.Bits() {
		return refuse("%s is in the smaller subnet %s (%s), where MAAS would put it", addr, line(best.Name), best.prefix)
	}
	switch single := addr.BitLen() - n.prefix.Bits(); {
	case addr == n.prefix.Addr() && single > 1:
		return refuse("%s is the address of subnet %s itself", addr, name)
	case addr.Is4() && single > 1 && addr == ipam.LastAddr(n.prefix):
		return refuse("%s is the broadcast address of subnet %s", addr, name)
	case addr == n.gateway:
		return refuse("%s is the gateway of subnet %s", addr, name)
	}
	for _, e := range n.dynamic {
		if e.holds(addr) {
			return refuse("%s is inside the dynamic range %s of subnet %s", addr, e, name)
		}
	}
	for _, e := range n.reserved {
		if e.holds(addr) && t.wish.For == "" && t.wish.MAC == "" {
			return refuse("%s is inside the reserved range %s of subnet %s, which MAAS keeps out of use already", addr, e, name)
		}
	}
	return d.checkTaken(t, addr)
}

// checkTaken says who else has an address.
func (d *desk) checkTaken(t task, addr netip.Addr) error {
	for _, h := range d.at[addr] {
		if t.wish.Ref == "" || h.Ref != t.wish.Ref { // that one is given up for it
			return &refusalError{text: fmt.Sprintf("%s is taken: %s", addr, d.whose(h)), taken: true}
		}
	}
	for _, a := range d.used[addr] {
		if t.wish.Ref != "" && a.UsedBy == t.wish.Ref {
			continue
		}
		if t.wish.MAC == "" || a.MAC != t.wish.MAC {
			return &refusalError{text: fmt.Sprintf("%s is taken: it is an address of %s %s", addr, a.Type, line(a.Name)), taken: true}
		}
	}
	return nil
}

// whose says who holds a reservation.
func (d *desk) whose(h ipam.Reservation) string {
	switch {
	case h.For != "":
		return fmt.Sprintf("it is linked to %s %s", h.Type, h.Name)
	case h.MAC != "" && h.Mark != "":
		return fmt.Sprintf("reserved for %s by %s", h.MAC, h.Mark)
	case h.MAC != "":
		return fmt.Sprintf("reserved for %s", h.MAC)
	}
	return fmt.Sprintf("reserved by the user %s", line(d.owner[h.Addr]))
}
