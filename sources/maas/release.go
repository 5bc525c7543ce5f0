package maas

import (
	"context"
	"fmt"
	"net/url"
	"strconv"

	"allocsync/ipam"
	"allocsync/sources"
)

// Release lets go of a reservation: see sources.Desk. It costs one look and one
// write.
func (d *desk) Release(ctx context.Context, held ipam.Reservation) error {
	bounded, cancel := sources.Bounded(ctx, d.client.timeout)
	defer cancel()
	if err := d.release(bounded, held); err != nil {
		return fmt.Errorf("release %s: %w", held, outcome(err))
	}
	d.ended(held)
	return nil
}

func (d *desk) release(ctx context.Context, held ipam.Reservation) error {
	unlock, ok := d.locks.Lock(ctx, held.Addr)
	if !ok {
		return sources.Ended(ctx, d.client.timeout)
	}
	defer unlock()
	r, ok := parseURI(held.Ref)
	switch {
	case ok && r.collection == "reservedips" && r.number() > 0:
		return d.releaseReservedIP(ctx, r.number(), held)
	case ok && r.collection == "ipaddresses":
		return d.releaseUserReservation(ctx, held)
	case ok && (r.collection == "machines" || r.collection == "devices"):
		return d.releaseLink(ctx, r, held)
	}
	return refuse("%q is nothing that can be released at MAAS", line(string(held.Ref)))
}

// take asks MAAS to take something away. Where it refuses, or the answer is
// lost, there decides: it looks whether the thing is still there.
func (d *desk) take(ctx context.Context, q question, there func() (bool, error)) error {
	err := d.client.ask(ctx, q, nil)
	if err == nil || !unsure(err) && !refused(err) {
		return err
	}
	still, failed := there()
	switch {
	case failed == nil && !still:
		return nil
	case failed != nil && unsure(err):
		return fmt.Errorf("%w; what became of it cannot be seen either: %v", err, failed) //nolint:errorlint // one cause is told
	case failed != nil:
		return failed
	}
	return err
}

// releaseReservedIP deletes a reserved IP, if it is still the one that is meant.
func (d *desk) releaseReservedIP(ctx context.Context, id int, held ipam.Reservation) error {
	path := fmt.Sprintf("reservedips/%d/", id)
	look := func() (bool, error) {
		var r reservedIP
		err := d.client.ask(ctx, reading(path), &r)
		if notFound(err) {
			return false, d.replaced(ctx, held)
		}
		if err != nil {
			return false, err
		}
		now, err := d.reservation(r)
		switch {
		case err != nil:
			return false, refuse("reserved IP %d is not what it was: %v", id, err)
		case now.Addr != held.Addr || now.Network != held.Network || now.MAC != held.MAC:
			return false, refuse("reserved IP %d is %s for %s by now", id, now.Addr, now.MAC)
		case now.Mark != held.Mark:
			return false, remarked(now.Mark)
		}
		return true, nil
	}
	if there, err := look(); err != nil || !there {
		return err
	}
	return d.take(ctx, deleting(path), look)
}

// replaced refuses where somebody else has reserved the address since.
func (d *desk) replaced(ctx context.Context, held ipam.Reservation) error {
	var list []reservedIP
	if err := d.client.ask(ctx, reading("reservedips/"), &list); err != nil {
		return err
	}
	for _, r := range list {
		if addr, err := ipam.ParseAddr(r.IP); err == nil && addr == held.Addr {
			return refuse("%s is reserved for %s by now, in another entry", addr, line(r.MAC))
		}
	}
	return nil
}

func remarked(mark string) error {
	if mark == "" {
		return refuse("its mark is gone, so that it may be somebody else's by now")
	}
	return refuse("it is marked as one of %s", mark)
}

// releaseUserReservation gives up an address that was kept out of use, if it
// still is for the key's user.
func (d *desk) releaseUserReservation(ctx context.Context, held ipam.Reservation) error {
	query := url.Values{"ip": {held.Addr.String()}}
	if d.user.Admin { // else MAAS shows only what is the user's own
		query.Set("all", "true")
	}
	look := func() (bool, error) {
		var list []owned
		if err := d.client.ask(ctx, reading("ipaddresses/?"+query.Encode()), &list); err != nil {
			return false, err
		}
		for _, o := range list {
			addr, err := ipam.ParseAddr(o.IP)
			if err != nil || addr != held.Addr || !o.reservation() {
				continue
			}
			if o.Owner != nil && o.Owner.Name != d.user.Name {
				return false, refuse("%s is reserved by the user %s by now", addr, line(o.Owner.Name))
			}
			if mac, err := ipam.ParseMAC(o.mac()); err != nil || mac != held.MAC {
				return false, refuse("%s is reserved for the MAC %s by now", addr, line(o.mac()))
			}
			return true, nil
		}
		return false, nil
	}
	if there, err := look(); err != nil || !there {
		return err
	}
	return d.take(ctx, writing("ipaddresses/?op=release", url.Values{"ip": {held.Addr.String()}}), look)
}

// releaseLink takes a static link off an interface, or deletes the device that
// is there for nothing else.
func (d *desk) releaseLink(ctx context.Context, r resource, held ipam.Reservation) error {
	n, found, err := d.lookLink(ctx, r, held)
	if err != nil || !found.device && found.link == 0 {
		return err
	}
	look := func() (bool, error) {
		_, now, err := d.lookLink(ctx, r, held)
		return now.device && found.device || now.link != 0, err
	}
	if found.device {
		return d.take(ctx, deleting(devicePath(n.SystemID)), look)
	}
	path := fmt.Sprintf("nodes/%s/interfaces/%d/?op=unlink_subnet", url.PathEscape(r.id), found.nic)
	return d.take(ctx, writing(path, url.Values{"id": {strconv.Itoa(found.link)}}), look)
}

// hold is how a node has an address.
type hold struct {
	device    bool // the device as a whole is to go: it is there for nothing else
	nic, link int  // IDs; 0 where the node does not have the address
}

// lookLink reads how a node has an address now, and refuses if it is not as it
// was.
func (d *desk) lookLink(ctx context.Context, r resource, held ipam.Reservation) (node, hold, error) {
	n := node{SystemID: r.id}
	var err error
	if r.collection == "devices" {
		err = d.client.ask(ctx, reading(devicePath(r.id)), &n)
	} else {
		err = d.client.ask(ctx, reading("nodes/"+url.PathEscape(r.id)+"/interfaces/"), &n.Interfaces)
	}
	if err != nil {
		if notFound(err) {
			err = nil
		}
		return n, hold{}, err
	}
	if r.collection == "devices" && n.mark() != held.Mark {
		return n, hold{}, remarked(n.mark())
	}
	var found hold
	addresses := 0
	for _, i := range n.Interfaces {
		for _, l := range i.Links {
			if l.IP != "" {
				addresses++
			}
		}
		at := i.static(held.Addr)
		if at < 0 {
			continue
		}
		if err := d.sameLink(i, i.Links[at], held); err != nil {
			return n, hold{}, err
		}
		found.nic, found.link = i.ID, i.Links[at].ID
	}
	// One of ours that has no address was left so by a crash.
	others := addresses > 1 || addresses == 1 && found.link == 0
	found.device = r.collection == "devices" && held.Mark != "" && !others
	return n, found, nil
}

// sameLink refuses a link that is not the one that is meant.
func (d *desk) sameLink(i nic, l link, held ipam.Reservation) error {
	mac, err := ipam.ParseMAC(i.MAC)
	switch n := d.byURI[held.Network]; {
	case err != nil || mac != held.MAC:
		return refuse("%s is linked to the interface %s (%s) by now", held.Addr, line(i.Name), line(i.MAC))
	case n == nil:
		return refuse("its subnet %s is not in the list of subnets any more", line(string(held.Network)))
	case int(l.Subnet) != n.ID:
		return refuse("%s is of another subnet by now", held.Addr)
	}
	return nil
}
