package maas

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"allocsync/ipam"
)

const (
	// maxChoices is how many addresses are tried for one wish, where others
	// take them at the same time.
	maxChoices = 3
	// maxSkipped is how many addresses that MAAS calls unused are passed over
	// before a network counts as full.
	maxSkipped = 100_000
)

// pool is what is free on a network, as MAAS said when it was asked last.
type pool struct {
	mu    sync.Mutex
	known bool
	spans []extent
	last  netip.Addr // that was taken; the zero Addr at first
}

// neighbourhood is what MAAS has seen of hosts that it does not know. MAAS's
// own choice passes these addresses over as well.
type neighbourhood struct {
	mu    sync.Mutex
	known bool
	seen  map[netip.Addr]bool
}

// choose returns the lowest address of a network that is free, of which this
// desk has not returned it before. It asks MAAS once for each network, and once
// for the hosts that it has seen.
func (d *desk) choose(ctx context.Context, t task) (netip.Addr, error) {
	seen, err := d.near.read(ctx, d.client)
	if err != nil {
		return netip.Addr{}, err
	}
	p := d.pools[t.network]
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.read(ctx, d.client, t.network); err != nil {
		return netip.Addr{}, err
	}
	for range maxSkipped {
		addr := p.take()
		if !addr.IsValid() {
			break
		}
		if !seen[addr] && d.free(t, addr) {
			return addr, nil
		}
	}
	return netip.Addr{}, refuse("subnet %s has no address left that is free and with which MAAS has seen nobody; name one", line(t.network.Name))
}

// Choose implements sources.Chooser.
func (d *desk) Choose(ctx context.Context, wish ipam.Reservation) (netip.Addr, error) {
	wish.Addr = netip.Addr{}
	t, err := d.consider(wish)
	if err == nil && t.met != nil {
		return t.met.Addr, nil
	}
	var addr netip.Addr
	if err == nil {
		addr, err = d.choose(ctx, t)
	}
	if err != nil {
		return netip.Addr{}, fmt.Errorf("choose %s: %w", wish, err)
	}
	return addr, nil
}

func (d *desk) free(t task, addr netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.checkAddr(t, addr) == nil && len(d.used[addr]) == 0
}

// stale has what is free on a network asked for again.
func (d *desk) stale(n *network) {
	p := d.pools[n]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = false
}

// read asks what is free, unless that is known. What was taken already is not
// taken again.
func (p *pool) read(ctx context.Context, c *client, n *network) error {
	if p.known {
		return nil
	}
	var list []span
	if err := c.ask(ctx, reading(fmt.Sprintf("subnets/%d/?op=unreserved_ip_ranges", n.ID)), &list); err != nil {
		return outcome(err)
	}
	p.spans, p.known = nil, true
	for _, s := range list {
		e, err := parseExtent(s.First, s.Last)
		if err != nil {
			return refuse("MAAS says that subnet %s has free addresses that make no sense: %v", line(n.Name), err)
		}
		p.spans = append(p.spans, e)
	}
	p.sort()
	return nil
}

func (p *pool) sort() {
	slices.SortFunc(p.spans, func(a, b extent) int { return a.first.Compare(b.first) })
}

// take returns the lowest address of the spans that lies above what was taken
// before; the zero Addr where none is left.
func (p *pool) take() netip.Addr {
	for len(p.spans) > 0 {
		e := p.spans[0]
		addr := e.first
		if p.last.IsValid() && addr.Compare(p.last) <= 0 {
			addr = p.last.Next()
		}
		if e.holds(addr) {
			p.last = addr
			return addr
		}
		p.spans = p.spans[1:]
	}
	return netip.Addr{}
}

// read asks which hosts MAAS has seen, unless that is known.
func (h *neighbourhood) read(ctx context.Context, c *client) (map[netip.Addr]bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known {
		return h.seen, nil
	}
	var list []neighbour
	if err := c.ask(ctx, reading("discovery/"), &list); err != nil {
		return nil, outcome(err)
	}
	h.seen, h.known = map[netip.Addr]bool{}, true
	for _, one := range list {
		if addr, err := ipam.ParseAddr(one.IP); err == nil {
			h.seen[addr] = true
		}
	}
	return h.seen, nil
}
