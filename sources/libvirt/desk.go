package libvirt

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"

	golibvirt "github.com/digitalocean/go-libvirt"

	"allocsync/ipam"
	"allocsync/sources"
)

// desk reserves at the hosts of one reading. See sources.Desk.
type desk struct {
	options Options
	sites   []site
	clerks  []*clerk // one for each of sites
	chosen  map[string]copyOf
	places  map[ipam.UsedBy][]seatOfNetwork
	held    []ipam.Reservation
	missing []sources.Missing

	mu   sync.Mutex
	made map[madeHere]bool // by this desk
}

// madeHere names a static host.
type madeHere struct {
	network ipam.UsedBy
	client  client
}

// seatOfNetwork is where a network is: which host, and which of its networks.
type seatOfNetwork struct{ site, network int }

func newDesk(o Options, hosts []host, all stated) *desk {
	d := &desk{options: o, made: map[madeHere]bool{}, chosen: choose(hosts), places: map[ipam.UsedBy][]seatOfNetwork{}, held: all.held, missing: all.missing}
	for i, h := range hosts {
		d.sites = append(d.sites, newSite(h))
		d.clerks = append(d.clerks, newClerk(h.endpoint, o))
		for j, n := range h.networks {
			uri := networkURI(n.uuid)
			d.places[uri] = append(d.places[uri], seatOfNetwork{i, j})
		}
	}
	return d
}

// spot is a network of a host.
type spot struct {
	site  site
	state networkState
	clerk *clerk
}

func (d *desk) spot(at seatOfNetwork) spot {
	return spot{site: d.sites[at.site], state: d.sites[at.site].networks[at.network], clerk: d.clerks[at.site]}
}

// title names a network as its operator looks for it.
func (s spot) title() string {
	return fmt.Sprintf("network %s of %s", short(cmp.Or(s.state.name, s.state.uuid)), s.site.label)
}

// handle is how the protocol names the network.
func (s spot) handle() golibvirt.Network {
	n := golibvirt.Network{Name: s.state.name}
	_, _ = hex.Decode(n.UUID[:], []byte(strings.ReplaceAll(s.state.uuid, "-", ""))) // of another form the daemon finds none
	return n
}

// wishError says that a reservation was not made or not ended: verb says which,
// at where.
func wishError(verb string, r ipam.Reservation, at string, err error) error {
	what := "an address"
	if r.Addr.IsValid() {
		what = r.Addr.String()
	}
	return fmt.Errorf("%s %s on %s: %w", verb, what, at, err)
}

// Consider completes a wish: Network, and the domain and MAC that For names, by
// /domains/UUID?mac=MAC, /domains/UUID, UUID or name, the last three where the
// domain has one interface on the network. Name is what the entry can be called,
// "" where the wish's is no host name or is another's.
func (d *desk) Consider(wish ipam.Reservation) (ipam.Reservation, error) {
	s, c, wish, err := d.understand(wish)
	if err != nil {
		return ipam.Reservation{}, err
	}
	if err := d.possible(s, c, &wish); err != nil {
		return ipam.Reservation{}, wishError("reserve", wish, s.title(), err)
	}
	return wish, nil
}

// possible checks a wish against what the Survey has read.
func (d *desk) possible(s spot, c client, wish *ipam.Reservation) error {
	if s.clerk.endpoint.onlyReads() {
		return fmt.Errorf("%w: %s", sources.ErrDenied, s.clerk.endpoint.adviceWriting())
	}
	now := s.state.network
	for _, h := range d.held {
		if h.Network == wish.Network && h.Addr == wish.Addr && h.Ref == wish.Ref {
			now = now.without(clientOf(h)) // it is given up for the wish
		}
	}
	e, err := now.entryFor(c)
	if err != nil {
		return err
	}
	if err := s.state.checkLease(c); err != nil {
		return err
	}
	if err := s.checkDomains(c); err != nil {
		return err
	}
	wish.Name = e.part.nameFor(c, wish.Name)
	if e.host != nil {
		wish.Name = e.host.name
	}
	return nil
}

// Reserve adds a static host to the network: to the running network and to its
// definition, as far as there are both. It looks at the network again before.
//
// It makes five calls for a network that runs (does it run, is it kept, two
// definitions, leases), three for one that does not, and two that write (in
// which order the daemon reads the arguments; the update); two more where no
// connection is open.
func (d *desk) Reserve(ctx context.Context, wish ipam.Reservation) (ipam.Reservation, error) {
	if ctx.Err() != nil {
		return ipam.Reservation{}, fmt.Errorf("reserve: %w", ctx.Err())
	}
	s, c, wish, err := d.understand(wish)
	if err != nil {
		return ipam.Reservation{}, err
	}
	held, err := do(ctx, s.clerk, func(ctx context.Context, to *connection) (ipam.Reservation, error) {
		if err := s.checkDomains(c); err != nil {
			return ipam.Reservation{}, err
		}
		return d.reserve(ctx, s, to, c, wish)
	})
	if err != nil {
		return ipam.Reservation{}, wishError("reserve", wish, s.title(), err)
	}
	return held, nil
}

func (d *desk) reserve(ctx context.Context, s spot, to *connection, c client, wish ipam.Reservation) (ipam.Reservation, error) {
	calls := context.WithoutCancel(ctx)
	now, err := to.definitions(calls, s.handle())
	if err != nil {
		return ipam.Reservation{}, err
	}
	var change golibvirt.NetworkUpdateFlags
	index, name := -1, wish.Name
	err = now.each(func(n networkState, flag golibvirt.NetworkUpdateFlags) error {
		e, err := n.entryFor(c)
		switch {
		case err != nil:
			return err
		case index >= 0 && index != e.index:
			return errDefinitions
		}
		index = e.index
		if e.host == nil {
			change |= flag
			name = e.part.nameFor(c, name)
		}
		return n.checkLease(c)
	})
	if err != nil {
		return ipam.Reservation{}, err
	}
	if change != 0 {
		if ctx.Err() != nil { // nothing was changed so far
			return ipam.Reservation{}, ctx.Err()
		}
		d.madeIt(madeHere{wish.Network, c}, true) // whatever comes of the answer
		if err := to.update(calls, s.handle(), golibvirt.NetworkUpdateCommandAddLast, index, hostXML(c, name), change); err != nil {
			return ipam.Reservation{}, err
		}
	}
	s.state = now.current() // the leases of this moment
	if e, err := s.state.entryFor(c); err == nil && e.host != nil {
		name = e.host.name
	}
	held := s.heldFor(c, name, wish)
	held.Unmarkable = d.madeIt(madeHere{wish.Network, c}, false)
	return held, nil
}

// madeIt reports whether a static host was made by this desk, now or before: what
// was there already is somebody else's.
func (d *desk) madeIt(host madeHere, now bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now {
		d.made[host] = true
	}
	return d.made[host]
}

// errDefinitions: virNetworkUpdate names an <ip> by its number, the same for
// both definitions.
var errDefinitions = refuse("the running network and its definition have their <ip> elements in different order: start the network anew, or define it as it runs")

// heldFor is the reservation as Held will list it.
func (s spot) heldFor(c client, name string, wish ipam.Reservation) ipam.Reservation {
	r := ipam.Reservation{
		Network: wish.Network, Addr: c.addr, MAC: c.mac, For: wish.For, Name: name,
		Ref: cmp.Or(wish.For, c.uri(s.state.uuid)), Type: typeReservation,
		Unmarkable: true, InUse: s.site.inUse(s.state.name, c, s.state.leasedTo(c.addr)),
	}
	if strings.HasPrefix(string(wish.For), domainsPath) {
		r.Type = typeDomain
	}
	return r
}

// Release deletes the static host, if it is still the one that Held lists.
func (d *desk) Release(ctx context.Context, held ipam.Reservation) error {
	if ctx.Err() != nil {
		return fmt.Errorf("release: %w", ctx.Err())
	}
	at, err := d.place(held)
	if err != nil {
		return wishError("release", held, cmp.Or(string(held.Network), "a network"), err)
	}
	s := d.spot(at)
	_, err = do(ctx, s.clerk, func(ctx context.Context, to *connection) (struct{}, error) {
		return struct{}{}, s.release(ctx, to, held)
	})
	if err == nil {
		return nil
	}
	return wishError("release", held, s.title(), err)
}

func (s spot) release(ctx context.Context, to *connection, held ipam.Reservation) error {
	calls := context.WithoutCancel(ctx)
	c := clientOf(held)
	if o, ok := s.site.seats[seat{s.state.name, c.mac}]; ok && strings.HasPrefix(string(held.For), domainsPath) && held.For != domainURI(o.uuid, c.mac) {
		return refuse("%s is the MAC of domain %s by now", c.mac, o.uuid)
	}
	now, err := to.definitions(calls, s.handle())
	if err != nil {
		return err
	}
	var change golibvirt.NetworkUpdateFlags
	index, names := -1, []string(nil)
	err = now.each(func(n networkState, flag golibvirt.NetworkUpdateFlags) error {
		at, h, err := n.hostAt(c)
		switch {
		case err != nil || h == nil:
			return err
		case index >= 0 && index != at:
			return errDefinitions
		}
		index, change, names = at, change|flag, append(names, h.name)
		return nil
	})
	if err != nil || change == 0 {
		return err
	}
	name := names[0]
	if slices.ContainsFunc(names, func(n string) bool { return n != name }) {
		name = "" // then the MAC and the address say which
	}
	if ctx.Err() != nil { // nothing was changed so far
		return ctx.Err()
	}
	return to.update(calls, s.handle(), golibvirt.NetworkUpdateCommandDelete, index, hostXML(c, name), change)
}

// clientOf is who a reservation that is held is for.
func clientOf(held ipam.Reservation) client {
	c := client{addr: held.Addr, mac: held.MAC}
	if c.mac == "" {
		c.clientID, c.name = held.Ref.Query("client"), held.Ref.Query("name")
	}
	return c
}

// hostAt finds the static host of a client's address, nil for none. It refuses
// where the address is another's.
func (n network) hostAt(c client) (index int, _ *staticHost, _ error) {
	for i, p := range n.parts {
		for _, h := range p.hosts {
			switch {
			case h.addr != c.addr:
			case c.owns(h):
				return i, &h, nil
			default:
				return 0, nil, refuse("it is reserved for %s by now", h.whose())
			}
		}
	}
	return 0, nil, nil
}
