package lxd

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"allocsync/ipam"
	"allocsync/sources"
)

// desk reserves at the server that a Survey has read. It is a sources.Desk.
type desk struct {
	client  *client
	options Options
	server  server

	projects []project // in scope
	crowd    []string  // projects with instances on the default project's networks, in scope or not
	networks map[networkID]network
	uplinks  map[string]network // of the default project, by name: what OVN networks lead to
	ports    []port
	statics  map[netip.Addr][]port
	unread   bool // some instances could not be read
	users    map[netip.Addr][]ipam.Allocation
	held     []ipam.Reservation

	locks sources.Locks[string] // one at a time for an address, and for an instance
}

// newDesk makes a desk of a reading, whose facts it does not change. What makes
// no sense among what is held is noted as missing.
func newDesk(r *reading) *desk {
	d := &desk{
		client: r.client, options: r.options, server: r.server,
		projects: r.projects, crowd: r.crowd,
		networks: map[networkID]network{}, uplinks: map[string]network{},
		statics: map[netip.Addr][]port{}, unread: r.unlisted, users: map[netip.Addr][]ipam.Allocation{},
	}
	for id, n := range r.networks {
		if id.owner == defaultProject {
			d.uplinks[id.name] = n
		}
		// A network of another project is no allocation that is listed.
		if slices.ContainsFunc(r.projects, func(p project) bool { return p.Name == id.owner }) {
			d.networks[id] = n
		}
	}
	for _, a := range r.facts {
		if a.Kind == ipam.Address {
			d.users[a.Prefix.Addr()] = append(d.users[a.Prefix.Addr()], a)
		}
	}
	if r.roster != nil {
		for _, i := range r.roster.list {
			d.ports = append(d.ports, d.portsOf(i)...)
		}
	}
	for _, p := range d.ports {
		for _, addr := range slices.Concat(p.static("ipv4"), p.static("ipv6")) {
			d.statics[addr] = append(d.statics[addr], p)
		}
	}
	held, err := d.standing(r.forwards)
	if err != nil {
		r.addMissing("reservations", err)
	}
	d.held = held
	return d
}

// owner returns the project that owns the networks of a project's instances.
func (d *desk) owner(name string) string {
	for _, p := range d.projects {
		if p.Name == name {
			return p.owner()
		}
	}
	return name
}

// Consider implements sources.Desk.
func (d *desk) Consider(wish ipam.Reservation) (ipam.Reservation, error) {
	done, err := d.consider(wish)
	if err != nil {
		return ipam.Reservation{}, fmt.Errorf("reserve %s: %w", wish, err)
	}
	return done, nil
}

func (d *desk) consider(wish ipam.Reservation) (ipam.Reservation, error) {
	if path := wish.For.Path(); strings.HasPrefix(path, "/1.0/networks/") && strings.Contains(path, "/forwards/") {
		wish.For = "" // what was filled in for a forward: it names no user
	}
	switch {
	case !wish.Addr.IsValid():
		return wish, fmt.Errorf("%w: Incus and LXD take static addresses and forwards as they are told", sources.ErrNoChoice)
	case wish.Addr.Is4In6() || wish.Addr.Zone() != "":
		return wish, refused("the address is not in canonical form")
	}
	if wish.For == "" && wish.MAC == "" {
		return d.considerForward(wish)
	}
	return d.considerStatic(wish)
}

// Reserve implements sources.Desk. Reservations of one address or of one
// instance wait for each other.
func (d *desk) Reserve(ctx context.Context, wish ipam.Reservation) (ipam.Reservation, error) {
	var held ipam.Reservation
	err := d.work(ctx, wish, func(ctx context.Context) (err error) {
		switch {
		case wish.Mark == "":
			return refused("no mark says whose it is to be")
		case !wish.Addr.IsValid():
			return fmt.Errorf("%w: Incus and LXD take static addresses and forwards as they are told", sources.ErrNoChoice)
		case wish.For == "" && wish.MAC == "":
			held, err = d.reserveForward(ctx, wish)
		default:
			held, err = d.reserveStatic(ctx, wish)
		}
		return err
	})
	if err != nil {
		return ipam.Reservation{}, fmt.Errorf("reserve %s at %s: %w", wish, d.client.url, err)
	}
	return held, nil
}

// Release implements sources.Desk. Nothing without a mark is released: that is
// somebody else's.
func (d *desk) Release(ctx context.Context, held ipam.Reservation) error {
	err := d.work(ctx, held, func(ctx context.Context) error {
		switch {
		case held.Mark == "":
			return refused("it holds no mark of ours: whoever made it may remove it")
		case held.Type == typeForward:
			return d.releaseForward(ctx, held)
		case held.Type == typeInstance:
			return d.releaseStatic(ctx, held)
		}
		return refused("%q is no kind of reservation here", held.Type)
	})
	if err != nil {
		return fmt.Errorf("release %s at %s: %w", held, d.client.url, err)
	}
	return nil
}

// work does something within the source's timeout while nobody else works on
// the same instance or address, and sees to it that the error is one of those
// that are promised.
func (d *desk) work(ctx context.Context, r ipam.Reservation, do func(context.Context) error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	ctx, cancel := sources.Bounded(ctx, d.options.Timeout)
	defer cancel()
	keys := []string{"address " + r.Addr.String()}
	if r.For != "" {
		keys = append(keys, "instance "+string(r.For))
	}
	slices.Sort(keys) // everybody takes them in one order
	for _, key := range keys {
		unlock, ok := d.locks.Lock(ctx, key)
		if !ok {
			return sources.Ended(ctx, d.client.timeout)
		}
		defer unlock()
	}
	err := do(ctx)
	if err == nil {
		return nil
	}
	return settled(err)
}

// networkAt finds the network of a URI among those that are read.
func (d *desk) networkAt(uri ipam.UsedBy) (network, error) {
	name := parseURI(string(uri))
	if n, ok := d.networks[networkID{name.project, name.network}]; ok && n.uri() == uri {
		return n, nil
	}
	if n, ok := d.uplinks[name.network]; ok && n.uri() == uri {
		return network{}, refused("%s belongs to the project %s, which is not among those that are read: add it to projects", uri, defaultProject)
	}
	return network{}, refused("%s is no managed network of the projects that are read", uri)
}

// networkHolding finds the only network whose subnet holds an address.
func (d *desk) networkHolding(addr netip.Addr) (network, error) {
	var found []network
	for _, n := range d.networks {
		if n.holds(addr) {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return network{}, refused("no managed network of the projects that are read holds %s", addr)
	}
	var names []string
	for _, n := range found {
		names = append(names, string(n.uri()))
	}
	slices.Sort(names)
	return network{}, refused("several networks hold %s: name one of %s", addr, strings.Join(names, ", "))
}

// dhcpRanges returns the ranges of a network's addresses that its DHCP server
// chooses from: none where there is no such server.
func (n network) dhcpRanges(addr netip.Addr) ([]span, error) {
	family := familyOf(addr)
	gateway, ok := n.gateway(family)
	switch {
	case !ok || isFalse(n.Config[family+".dhcp"]):
		return nil, nil
	case family == "ipv6" && !isTrue(n.Config["ipv6.dhcp.stateful"]):
		return nil, nil // hosts make up addresses of their own
	case n.Config[family+".dhcp.ranges"] == "":
		return []span{{gateway.Masked().Addr(), ipam.LastAddr(gateway)}}, nil
	}
	return n.ranges(family + ".dhcp.ranges")
}

// ranges reads a key that lists ranges of addresses.
func (n network) ranges(key string) ([]span, error) {
	var spans []span
	for text := range strings.SplitSeq(n.Config[key], ",") {
		if strings.TrimSpace(text) == "" {
			continue
		}
		first, end, _ := strings.Cut(text, "-")
		from, err := ipam.ParseAddr(strings.TrimSpace(first))
		to, errTo := ipam.ParseAddr(strings.TrimSpace(end))
		if err != nil || errTo != nil {
			return nil, refused("%s of network %s is not understood: %q is no range", key, n.Name, strings.TrimSpace(text))
		}
		spans = append(spans, span{from, to})
	}
	return spans, nil
}

// span is a range of addresses, both ends included.
type span struct{ from, to netip.Addr }

func (s span) holds(addr netip.Addr) bool {
	return s.from.Compare(addr) <= 0 && addr.Compare(s.to) <= 0
}

// isFalse reads a boolean that is true where it is left out.
func isFalse(s string) bool {
	return slices.Contains([]string{"false", "0", "no", "off"}, strings.ToLower(s))
}

// cloned is a copy of a device's keys with one of them set, or taken out by "".
func cloned(device map[string]string, key, value string) map[string]string {
	device = maps.Clone(device)
	if device == nil {
		device = map[string]string{}
	}
	device[key] = value
	if value == "" {
		delete(device, key)
	}
	return device
}
