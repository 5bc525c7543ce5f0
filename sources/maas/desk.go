package maas

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"allocsync/ipam"
	"allocsync/sources"
)

// desk makes reservations on the ground of one reading, and remembers what it
// has made and ended since. It is safe for concurrent use.
type desk struct {
	client *client
	*book

	byURI  map[ipam.UsedBy]*network
	byName map[string][]*node        // by system ID, URI, host name and FQDN
	byMAC  map[ipam.MAC]*node        // that has an interface with the MAC
	pools  map[*network]*pool        // what is free, as far as it was asked for
	near   neighbourhood             // hosts that MAAS has seen
	locks  sources.Locks[netip.Addr] // one at a time for an address

	mu    sync.Mutex // guards what follows
	at    map[netip.Addr][]ipam.Reservation
	used  map[netip.Addr][]ipam.Allocation // by others than reservations
	macs  map[ipam.MAC][]ipam.Reservation  // reserved for a MAC alone
	owner map[netip.Addr]string            // whose a user's reservation is
}

func newDesk(c *client, b *book) *desk {
	d := &desk{
		client: c, book: b,
		byURI: map[ipam.UsedBy]*network{}, byName: map[string][]*node{}, byMAC: map[ipam.MAC]*node{}, pools: map[*network]*pool{},
		at: map[netip.Addr][]ipam.Reservation{}, used: map[netip.Addr][]ipam.Allocation{},
		macs: map[ipam.MAC][]ipam.Reservation{}, owner: map[netip.Addr]string{},
	}
	for _, n := range b.networks {
		d.byURI[n.uri], d.pools[n] = n, &pool{}
	}
	for _, n := range b.nodes {
		d.addNode(n)
	}
	for _, h := range b.held {
		d.add(h)
	}
	for addr, rows := range b.rows {
		for _, a := range rows {
			if *a.Alloc == allocReserved {
				d.owner[addr] = a.User
			}
		}
	}
	for _, a := range b.facts {
		addr := a.Prefix.Addr()
		if a.Kind == ipam.Address && a.Type != typeNetwork && (a.Dynamic || !slices.ContainsFunc(d.at[addr], func(h ipam.Reservation) bool { return h.Ref == a.UsedBy })) {
			d.used[addr] = append(d.used[addr], a)
		}
	}
	return d
}

// addNode lets a node be found by all its names.
func (d *desk) addNode(n *node) {
	names := []string{n.SystemID, string(n.nodeURI()), uriBase + "nodes/" + n.SystemID + "/", strings.ToLower(n.Hostname), strings.ToLower(n.FQDN)}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if name != "" {
			d.byName[name] = append(d.byName[name], n)
		}
	}
	for _, i := range n.Interfaces {
		if mac, err := ipam.ParseMAC(i.MAC); err == nil && mac != "" {
			d.byMAC[mac] = n
		}
	}
}

// add remembers a reservation.
func (d *desk) add(h ipam.Reservation) {
	d.remove(h)
	d.at[h.Addr] = append(d.at[h.Addr], h)
	if h.MAC != "" && h.For == "" {
		d.macs[h.MAC] = append(d.macs[h.MAC], h)
	}
}

// remove forgets a reservation.
func (d *desk) remove(h ipam.Reservation) {
	same := func(o ipam.Reservation) bool { return o.Ref == h.Ref && o.Addr == h.Addr && o.Network == h.Network }
	d.at[h.Addr] = slices.DeleteFunc(slices.Clone(d.at[h.Addr]), same)
	d.macs[h.MAC] = slices.DeleteFunc(slices.Clone(d.macs[h.MAC]), same)
}

// made remembers what was reserved here.
func (d *desk) made(h ipam.Reservation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.add(h)
	if h.For == "" && h.MAC == "" {
		d.owner[h.Addr] = d.user.Name
	}
}

// ended remembers what was released here.
func (d *desk) ended(h ipam.Reservation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.remove(h)
}

// networkOf finds the network of a wish: the one that it names by URI, prefix,
// ID or name, else the smallest one that holds its address, which is where MAAS
// would put it.
func (d *desk) networkOf(wish ipam.Reservation) (*network, error) {
	if wish.Network == "" {
		if !wish.Addr.IsValid() {
			return nil, refuse("neither network nor address is named")
		}
		if n := d.best(wish.Addr); n != nil {
			return n, nil
		}
		return nil, refuse("no subnet of MAAS holds %s", wish.Addr)
	}
	if n := d.byURI[wish.Network]; n != nil {
		return n, nil
	}
	name := string(wish.Network)
	prefix, err := ipam.ParsePrefix(name)
	var found []*network
	for _, n := range d.networks {
		if err == nil && strings.Contains(name, "/") && n.prefix == prefix.Masked() || strconv.Itoa(n.ID) == name || n.Name == name {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, refuse("MAAS has no subnet %q", line(name))
	}
	return nil, refuse("MAAS has several subnets %q; name one by its prefix", line(name))
}

// best is the smallest network that holds an address, nil where none does.
func (d *desk) best(addr netip.Addr) *network {
	var best *network
	for _, n := range d.networks {
		if n.prefix.Contains(addr) && (best == nil || n.prefix.Bits() > best.prefix.Bits()) {
			best = n
		}
	}
	return best
}

// nodeOf finds the node that a wish is for, nil where it is for none. A person
// may write its URI, system ID, host name or FQDN.
func (d *desk) nodeOf(of ipam.UsedBy) (*node, error) {
	if of == "" {
		return nil, nil
	}
	if r, ok := parseURI(of); ok && (r.collection == "reservedips" || r.collection == "ipaddresses") {
		return nil, nil // what was filled in for a reservation: it names no user
	}
	found := d.byName[string(of)]
	if len(found) == 0 {
		found = d.byName[strings.ToLower(string(of))]
	}
	if r, ok := parseURI(of); ok && r.collection == "devices" && (len(found) == 0 || found[0].mark() != "") {
		return nil, nil // filled in too: a device that is, or was, there for a reservation
	}
	switch {
	case len(found) == 0:
		return nil, refuse("MAAS has no machine or device %q, or the API key may not see it", line(string(of)))
	case len(found) > 1:
		return nil, refuse("MAAS has several nodes %q; name one by its system ID", line(string(of)))
	case found[0].typ() == typeController:
		return nil, refuse("%s is a controller, whose interfaces MAAS does not let anybody link", line(found[0].Hostname))
	case found[0].mark() != "":
		return nil, refuse("%s is a device that is there for a reservation; reserve for its MAC instead", line(found[0].Hostname))
	}
	return found[0], nil
}
