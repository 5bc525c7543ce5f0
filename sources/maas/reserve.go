package maas

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"

	"allocsync/ipam"
	"allocsync/sources"
)

// Reserve holds an address: see sources.Desk. What the reading and this desk
// know to be held is not asked for again; MAAS itself sees to it that nobody
// gets what another has. Where the answer to a write was lost, or says that the
// address is in use, MAAS is asked what became of it.
func (d *desk) Reserve(ctx context.Context, wish ipam.Reservation) (ipam.Reservation, error) {
	bounded, cancel := sources.Bounded(ctx, d.client.timeout)
	defer cancel()
	reserve := d.reserve
	if !wish.Addr.IsValid() {
		reserve = d.reserveAny
	}
	held, err := reserve(bounded, wish)
	if err != nil {
		return ipam.Reservation{}, fmt.Errorf("reserve %s: %w", wish, err)
	}
	return held, nil
}

// reserve holds the address that is named.
func (d *desk) reserve(ctx context.Context, wish ipam.Reservation) (ipam.Reservation, error) {
	unlock, ok := d.locks.Lock(ctx, wish.Addr)
	if !ok {
		return ipam.Reservation{}, sources.Ended(ctx, d.client.timeout)
	}
	defer unlock()
	t, err := d.consider(wish)
	if err != nil {
		return ipam.Reservation{}, err
	}
	if t.met != nil {
		return *t.met, nil
	}
	held, err := d.make(ctx, t)
	if err != nil {
		return ipam.Reservation{}, outcome(err)
	}
	d.made(held)
	return held, nil
}

// make asks MAAS for what a task is about.
func (d *desk) make(ctx context.Context, t task) (ipam.Reservation, error) {
	switch {
	case t.node != nil:
		return d.linkNode(ctx, t)
	case t.wish.MAC == "":
		return d.makeUserReservation(ctx, t)
	case !markPattern.MatchString(t.wish.Mark):
		return ipam.Reservation{}, refuse("the mark %q cannot be written: want INSTALLATION/SOURCE, each up to 100 letters, digits, '.', '_' and '-'", line(t.wish.Mark))
	case d.hasIPs:
		return d.makeReservedIP(ctx, t)
	}
	return d.makeDevice(ctx, t)
}

// settle decides what became of a write that ended with err. look finds what
// was asked for, and returns false where it is not there.
func settle[T any](err error, look func() (T, bool, error)) (T, error) {
	var none T
	if err == nil || !unsure(err) && !taken(err) {
		return none, err
	}
	found, there, failed := look()
	switch {
	case failed == nil && there:
		return found, nil
	case failed == nil:
		return none, err
	case unsure(err):
		return none, fmt.Errorf("%w; what became of it cannot be seen either: %v", err, failed) //nolint:errorlint // one cause is told
	}
	return none, failed
}

// otherwise is the error of an answer that is about something else than was
// asked for.
func otherwise(what string) error {
	return fmt.Errorf("%w: MAAS answers as if %s", sources.ErrUnreachable, what)
}

// makeReservedIP makes a reserved IP (MAAS 3.6 and later).
func (d *desk) makeReservedIP(ctx context.Context, t task) (ipam.Reservation, error) {
	form := url.Values{
		"ip": {t.wish.Addr.String()}, "mac_address": {string(t.wish.MAC)},
		"subnet": {strconv.Itoa(t.network.ID)}, "comment": {writeMark(t.wish.Name, t.wish.Mark)},
	}
	var made reservedIP
	err := d.client.ask(ctx, writing("reservedips/", form), &made)
	if err != nil {
		made, err = settle(err, func() (reservedIP, bool, error) { return d.lookReservedIP(ctx, t.wish) })
	}
	if err != nil {
		return ipam.Reservation{}, err
	}
	held, err := d.reservation(made)
	switch {
	case err != nil:
		return ipam.Reservation{}, fmt.Errorf("%w: %w", sources.ErrUnreachable, err)
	case held.Addr != t.wish.Addr || held.MAC != t.wish.MAC:
		return ipam.Reservation{}, otherwise(fmt.Sprintf("%s were reserved for %s", held.Addr, held.MAC))
	}
	held.InUse = d.inUse(held)
	return held, nil
}

// lookReservedIP finds the reserved IP that a wish asks for.
func (d *desk) lookReservedIP(ctx context.Context, wish ipam.Reservation) (reservedIP, bool, error) {
	var list []reservedIP
	if err := d.client.ask(ctx, reading("reservedips/"), &list); err != nil {
		return reservedIP{}, false, err
	}
	for _, r := range list {
		if h, err := d.reservation(r); err == nil && h.Addr == wish.Addr && h.MAC == wish.MAC && h.Network == wish.Network {
			return r, true, nil
		}
	}
	return reservedIP{}, false, nil
}

// makeUserReservation keeps an address out of use for the key's user. A host
// name becomes a name in MAAS's DNS; there is no room for a mark.
func (d *desk) makeUserReservation(ctx context.Context, t task) (ipam.Reservation, error) {
	form := url.Values{"ip": {t.wish.Addr.String()}}
	name := hostname(t.wish.Name)
	if name != "" {
		form.Set("hostname", name)
	}
	var made owned
	err := d.client.ask(ctx, writing("ipaddresses/?op=reserve", form), &made)
	before := taken(err)
	if err != nil {
		made, err = settle(err, func() (owned, bool, error) { return d.lookUserReservation(ctx, t.wish) })
	}
	if err != nil {
		return ipam.Reservation{}, err
	}
	if addr, err := ipam.ParseAddr(made.IP); err != nil || addr != t.wish.Addr {
		return ipam.Reservation{}, otherwise(fmt.Sprintf("%q were reserved", line(made.IP)))
	}
	if name == "" {
		name = line(d.user.Name)
	}
	held := userReservation(t.network, name)
	held.Addr, held.Ref, held.Type = t.wish.Addr, addressURI(t.wish.Addr), typeReservation
	held.InUse = d.inUse(held)
	held.Unmarkable = !before
	return held, nil
}

// lookUserReservation finds the key's user's own reservation of an address,
// without a MAC.
func (d *desk) lookUserReservation(ctx context.Context, wish ipam.Reservation) (owned, bool, error) {
	var list []owned
	if err := d.client.ask(ctx, reading("ipaddresses/?ip="+wish.Addr.String()), &list); err != nil {
		return owned{}, false, err
	}
	for _, o := range list {
		if addr, err := ipam.ParseAddr(o.IP); err == nil && addr == wish.Addr && o.reservation() && o.mac() == "" {
			return o, true, nil
		}
	}
	return owned{}, false, nil
}

// reservation reports whether an address is kept for a user. A row without
// alloc_type is of the list of reservations alone.
func (o owned) reservation() bool { return o.Alloc == nil || *o.Alloc == allocReserved }

// mac is the MAC to which a user's reservation is tied; "" for none.
func (o owned) mac() string {
	for _, i := range o.Interfaces {
		if i.MAC != "" {
			return i.MAC
		}
	}
	return ""
}

// linkNode links an address to an interface of a machine or device.
func (d *desk) linkNode(ctx context.Context, t task) (ipam.Reservation, error) {
	before, err := d.link(ctx, t, t.node.SystemID, t.nic.ID)
	if err != nil {
		return ipam.Reservation{}, err
	}
	held := d.linked(t, t.node)
	held.Unmarkable = !before
	return held, nil
}

// linked is the reservation that an interface's static link is.
func (d *desk) linked(t task, owner *node) ipam.Reservation {
	held := staticLink(t.network, owner, t.wish.MAC)
	held.Addr, held.Ref, held.Type = t.wish.Addr, owner.nodeURI(), owner.typ()
	held.InUse = d.inUse(held)
	return held
}

// link makes a static link, and makes sure that it is there. It returns true
// where it was there already.
func (d *desk) link(ctx context.Context, t task, systemID string, id int) (before bool, err error) {
	path := fmt.Sprintf("nodes/%s/interfaces/%d/", url.PathEscape(systemID), id)
	form := url.Values{"mode": {"STATIC"}, "subnet": {strconv.Itoa(t.network.ID)}, "ip_address": {t.wish.Addr.String()}}
	var made nic
	err = d.client.ask(ctx, writing(path+"?op=link_subnet", form), &made)
	before = taken(err)
	if err != nil {
		made, err = settle(err, func() (nic, bool, error) {
			var now nic
			err := d.client.ask(ctx, reading(path), &now)
			return now, err == nil && now.static(t.wish.Addr) >= 0, err
		})
	}
	if err != nil {
		return false, err
	}
	if made.static(t.wish.Addr) < 0 {
		return false, otherwise(fmt.Sprintf("interface %s were not linked to %s", line(made.Name), t.wish.Addr))
	}
	return before, nil
}

// static finds the static link with an address; -1 for none.
func (i nic) static(addr netip.Addr) int {
	for at, l := range i.Links {
		if l.Mode == modeStatic && l.is(addr) {
			return at
		}
	}
	return -1
}

// reserveAny holds an address that is free. MAAS is not asked to choose: if its
// answer were lost, nobody would know which address to look for.
func (d *desk) reserveAny(ctx context.Context, wish ipam.Reservation) (ipam.Reservation, error) {
	t, err := d.consider(wish)
	if err != nil {
		return ipam.Reservation{}, err
	}
	if t.met != nil {
		return *t.met, nil
	}
	for range maxChoices {
		if wish.Addr, err = d.choose(ctx, t); err != nil {
			return ipam.Reservation{}, err
		}
		var held ipam.Reservation
		held, err = d.reserve(ctx, wish)
		if r, ok := errors.AsType[*refusalError](err); !ok || !r.taken {
			return held, err
		}
		d.stale(t.network)
	}
	return ipam.Reservation{}, fmt.Errorf("%d free addresses were taken by others meanwhile, the last one: %w", maxChoices, err)
}
