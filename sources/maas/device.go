package maas

import (
	"context"
	"fmt"
	"net/url"

	"allocsync/ipam"
	"allocsync/sources"
)

// makeDevice holds an address for a MAC on a MAAS without reserved IPs: by a
// device that has an interface with the MAC and a static link, for which MAAS's
// DHCP server has a host entry. The device's description is the mark.
//
// These are two writes. Between them the device stands there without an
// address: one that was left so by a crash is found and gone on with, and one
// that gets no address is deleted again.
func (d *desk) makeDevice(ctx context.Context, t task) (ipam.Reservation, error) {
	owner, i, fresh, err := d.deviceFor(ctx, t)
	if err != nil {
		return ipam.Reservation{}, err
	}
	_, err = d.link(ctx, t, owner.SystemID, i.ID) // the device is marked
	switch {
	case err == nil:
		return d.linked(t, owner), nil
	case !fresh || unsure(err) || ctx.Err() != nil:
		return ipam.Reservation{}, err
	}
	if failed := d.client.ask(ctx, deleting(devicePath(owner.SystemID)), nil); failed != nil && !notFound(failed) {
		return ipam.Reservation{}, fmt.Errorf("%w; and the device %s that was made for it is left in MAAS, without an address: %v", //nolint:errorlint // one cause is told
			sources.ErrUnreachable, line(owner.Hostname), failed)
	}
	return ipam.Reservation{}, err
}

func devicePath(systemID string) string { return "devices/" + url.PathEscape(systemID) + "/" }

// deviceFor finds or makes the device for a MAC, and its interface. fresh says
// that it was made here.
func (d *desk) deviceFor(ctx context.Context, t task) (owner *node, i nic, fresh bool, err error) {
	if d.byMAC[t.wish.MAC] != nil { // as it was read; it may be gone by now
		n, found, err := d.lookDevice(ctx, t)
		if err != nil || found {
			return n, n.interfaceWith(t.wish.MAC), false, err
		}
	}
	form := url.Values{"mac_addresses": {string(t.wish.MAC)}, "description": {writeMark(t.wish.Name, t.wish.Mark)}}
	if name := hostname(t.wish.Name); name != "" && len(d.byName[name]) == 0 {
		form.Set("hostname", name)
	}
	var made node
	if err = d.client.ask(ctx, writing("devices/", form), &made); err == nil {
		owner, fresh = &made, true
	} else {
		owner, err = settle(err, func() (*node, bool, error) { return d.lookDevice(ctx, t) })
	}
	if err != nil {
		return nil, nic{}, false, err
	}
	if i = owner.interfaceWith(t.wish.MAC); i.ID == 0 || owner.SystemID == "" {
		return nil, nic{}, false, otherwise(fmt.Sprintf("the device %s had no interface %s", line(owner.Hostname), t.wish.MAC))
	}
	return owner, i, fresh, nil
}

// lookDevice finds the device that is there for a MAC and of the wish's mark.
// That of another is a refusal.
func (d *desk) lookDevice(ctx context.Context, t task) (*node, bool, error) {
	var list []node
	if err := d.client.ask(ctx, reading("devices/?mac_address="+url.QueryEscape(string(t.wish.MAC))), &list); err != nil {
		return &node{}, false, err
	}
	for _, n := range list {
		switch {
		case n.interfaceWith(t.wish.MAC).ID == 0:
		case n.mark() != t.wish.Mark:
			return &node{}, false, refuse("the MAC %s is of the device %s, which was not made for %s", t.wish.MAC, line(n.Hostname), t.wish.Mark)
		default:
			return &n, true, nil
		}
	}
	return &node{}, false, nil
}

// interfaceWith finds an interface by its MAC; the zero nic where there is none.
func (n node) interfaceWith(mac ipam.MAC) nic {
	for _, i := range n.Interfaces {
		if has, err := ipam.ParseMAC(i.MAC); err == nil && has == mac {
			return i
		}
	}
	return nic{}
}
