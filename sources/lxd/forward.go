package lxd

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"allocsync/ipam"
)

// considerForward completes a wish for an address that nobody is to have. A
// forward that leads nowhere holds it: nothing else can listen on it then, and
// it is announced by BGP where the others are.
func (d *desk) considerForward(wish ipam.Reservation) (ipam.Reservation, error) {
	var n network
	var err error
	if wish.Network == "" {
		n, err = d.networkHolding(wish.Addr)
	} else {
		n, err = d.networkAt(wish.Network)
	}
	if err != nil {
		return wish, err
	}
	wish.Network = n.uri()
	ref := forwardURI(n, wish.Addr)
	i := slices.IndexFunc(d.held, func(h ipam.Reservation) bool { return h.Ref == ref })
	if i >= 0 && ref != wish.Ref {
		return wish, sameForward(d.held[i], wish)
	}
	if err := d.forwards(n, wish.Addr); err != nil {
		return wish, err
	}
	return wish, d.vacant(n, wish, ref, "")
}

func forwardURI(n network, addr netip.Addr) ipam.UsedBy {
	return writeURI(n.Project, "networks", n.Name, "forwards", addr.String())
}

// sameForward says why a forward that exists is not the one wished for. One that
// a person made and that leads nowhere keeps the address out of use as well; it
// stays the person's.
func sameForward(h, wish ipam.Reservation) error {
	switch {
	case h.InUse != "":
		return refused("%s is taken: %s %s", h.Addr, h.Ref, h.InUse)
	case h.Mark != "" && h.Mark != wish.Mark:
		return refused("%s is reserved for %s", h.Addr, h.Mark)
	}
	return nil
}

// forwards says why a network cannot have a forward at an address, whoever else
// has it. The server itself takes nearly every address (Incus 6.0.4): the
// loopback's, those of instances and those that its DHCP server hands out.
func (d *desk) forwards(n network, addr netip.Addr) error {
	switch {
	case !d.server.has(extForwards):
		return refused("this server has no forwards: name the MAC or the instance that it is for")
	case n.Type != "bridge" && n.Type != "ovn":
		return refused("network %s is of type %s, which has no forwards: name the MAC or the instance that it is for", n.Name, n.Type)
	case len(n.Config) == 0:
		return refused("the configuration of network %s is hidden from this client: its certificate is restricted to other projects", n.Name)
	case !addr.IsGlobalUnicast() || addr == netip.IPv4Unspecified() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return refused("%s is no address that can be routed", addr)
	}
	if n.Type == "ovn" {
		return d.routed(n, addr)
	}
	if n.holds(addr) {
		return n.keeps(addr)
	}
	for _, other := range d.networks {
		if other.id() != n.id() && other.Project == n.Project && other.holds(addr) {
			return refused("%s lies in network %s", addr, other.Name)
		}
	}
	return nil
}

// keeps says why a forward at one of the network's own addresses would not keep
// it out of use: what chooses addresses there knows nothing of forwards, and
// hands out theirs (dnsmasq, Incus 6.0.4).
func (n network) keeps(addr netip.Addr) error {
	if err := n.admits(addr); err != nil {
		return err
	}
	spans, err := n.dhcpRanges(addr)
	if err != nil {
		return err
	}
	family := familyOf(addr)
	if slices.ContainsFunc(spans, func(s span) bool { return s.holds(addr) }) {
		return refused("the DHCP server of network %s hands %s out: name the MAC or the instance that it is for, or keep it out of %s.dhcp.ranges", n.Name, addr, family)
	}
	if spans, err = n.ranges(family + ".ovn.ranges"); err != nil {
		return err
	}
	if slices.ContainsFunc(spans, func(s span) bool { return s.holds(addr) }) {
		return refused("%s is in %s.ovn.ranges of network %s, from which routers get theirs", addr, family, n.Name)
	}
	return nil
}

// routed says why an OVN network gets nothing sent to an address: the network
// that it leads to must have a route for it, or hold it itself, as far as that
// is to be seen.
func (d *desk) routed(n network, addr netip.Addr) error {
	uplink, known := d.uplinks[n.Config["network"]]
	if !known || len(uplink.Config) == 0 {
		return nil // the server will say
	}
	routes := uplink.Config[familyOf(addr)+".routes"]
	for text := range strings.SplitSeq(routes, ",") {
		if p, err := ipam.ParsePrefix(strings.TrimSpace(text)); err == nil && p.Contains(addr) {
			return nil
		}
	}
	if uplink.holds(addr) {
		return uplink.keeps(addr)
	}
	return refused("%s lies neither in network %s, to which %s leads, nor in its %s.routes (%s)", addr, uplink.Name, n.Name, familyOf(addr), cmp.Or(routes, "none"))
}

// ground is the network in whose subnet a listener's address lies: the network
// itself or, for OVN, the one that it leads to. It is false for an address that
// is only routed.
func (d *desk) ground(n network, addr netip.Addr) (network, bool) {
	if n.Type == "ovn" && !n.holds(addr) {
		n = d.uplinks[n.Config["network"]]
	}
	return n, n.holds(addr)
}

// reserveForward makes a forward that leads nowhere.
func (d *desk) reserveForward(ctx context.Context, wish ipam.Reservation) (held ipam.Reservation, err error) {
	n, err := d.networkAt(wish.Network)
	if err != nil {
		return held, err
	}
	made := forward{network: n, listener: listener{
		Address: wish.Addr.String(), Description: cmp.Or(wish.Name, "reserved by allocsync"),
		Config: map[string]string{markKey: wish.Mark},
	}}
	err = d.client.again(ctx, func() (bool, error) {
		h, err := d.forwardNow(ctx, n, wish.Addr)
		if err == nil {
			held = h
			return true, sameForward(h, wish)
		}
		if !notFound(err) {
			return true, err
		}
		if err := d.forwards(n, wish.Addr); err != nil {
			return true, err
		}
		if ground, ok := d.ground(n, wish.Addr); ok && d.networks[ground.id()].Managed {
			if err := d.checkLeases(ctx, port{network: ground}, wish.Addr); err != nil {
				return true, err
			}
		}
		if held, err = made.reservation(); err != nil {
			return true, err
		}
		err = d.client.write(ctx, http.MethodPost, at("networks", n.Name, "forwards"), n.Project, "", map[string]any{
			"listen_address": made.listener.Address, "description": made.listener.Description, "config": made.listener.Config,
		})
		return err == nil, err
	})
	return held, err
}

// forwardNow reads one forward.
func (d *desk) forwardNow(ctx context.Context, n network, addr netip.Addr) (ipam.Reservation, error) {
	f := forward{network: n}
	err := d.client.get(ctx, at("networks", n.Name, "forwards", addr.String()), url.Values{"project": {n.Project}}, &f.listener)
	if err != nil {
		return ipam.Reservation{}, err
	}
	return f.reservation()
}

// releaseForward removes a forward. The server knows no condition here: it
// removes what is there (Incus 6.0.4 ignores If-Match), so between the look and
// the removal lies one request.
func (d *desk) releaseForward(ctx context.Context, held ipam.Reservation) error {
	n, err := d.networkAt(held.Network)
	if err != nil {
		return err
	}
	return d.client.again(ctx, func() (bool, error) {
		h, err := d.forwardNow(ctx, n, held.Addr)
		switch {
		case notFound(err):
			return true, nil
		case err != nil:
			return true, err
		case h.Mark != held.Mark && h.Mark == "":
			return true, refused("the mark %s is gone from the forward: somebody else has it now", held.Mark)
		case h.Mark != held.Mark:
			return true, refused("it is marked %s now", h.Mark)
		case h.InUse != "":
			return true, refused("it %s by now: remove its targets and ports first, or leave it", h.InUse)
		}
		err = d.client.write(ctx, http.MethodDelete, at("networks", n.Name, "forwards", held.Addr.String()), n.Project, "", nil)
		if notFound(err) {
			return true, nil
		}
		return err == nil, err
	})
}
