// Package maas reads what a MAAS region hands out, and makes reservations there.
//
// # What is read
//
// The subnets, and of each the addresses that MAAS knows: of machines, devices
// and controllers, reservations of users, leases of its DHCP server; the
// reserved IPs, which MAAS 3.6 and later keep in a list of their own; and the
// nodes, which have the MACs. Addresses that MAAS has merely seen on a network,
// of hosts that it does not know, it does not hand out: they are left out,
// unless they lie in a dynamic range that its DHCP server serves.
//
// # Requests
//
// Five at once: who the key belongs to, the subnets, the nodes, the reserved
// IPs, the ranges; then one for the addresses of each subnet. A reservation that
// stands already costs none.
//
// # Reservations
//
//	For  MAC   at MAAS                                             mark
//	set  any   static link of a machine's or device's interface    none
//	""   set   reserved IP; before 3.6 a device with a static link comment, description
//	""   ""    reservation of the key's user                       none
//
// MAAS is never left to choose an address itself: see docs/decisions/0063.
package maas

import (
	"context"
	"fmt"

	"allocsync/sources"
)

// Source is one region. It is safe for concurrent use.
type Source struct {
	client  *client
	options Options // without the key
}

var (
	_ sources.Source   = (*Source)(nil)
	_ sources.Checker  = (*Source)(nil)
	_ sources.Reserver = (*Source)(nil)
	_ sources.Desk     = (*desk)(nil)
)

// Open makes a source. It reads the file that the options name and connects to
// nothing; its errors name the key that is wrong.
func Open(o Options) (*Source, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	c, err := newClient(o)
	if err != nil {
		return nil, err
	}
	o.APIKey = ""
	return &Source{client: c, options: o}, nil
}

// Snapshot returns what the region hands out now.
//
// It fails where the key's user, the subnets or the nodes cannot be read. What
// concerns one subnet, the reserved IPs or the ranges is Missing, and so are
// nodes that the key may not see.
func (s *Source) Snapshot(ctx context.Context) (sources.Snapshot, error) {
	survey, err := s.Survey(ctx)
	return survey.Snapshot, err
}

// Survey is Snapshot with what is reserved: reserved IPs, reservations of all
// users, and static links of machines and devices. It asks for nothing more.
func (s *Source) Survey(ctx context.Context) (sources.Survey, error) {
	bounded, cancel := sources.Bounded(ctx, s.client.timeout)
	defer cancel()
	read, err := s.client.region(bounded)
	if ctx.Err() != nil { // what was read on the way is no answer to a caller who has gone
		err = ctx.Err()
	}
	if err != nil {
		return sources.Survey{}, fmt.Errorf("snapshot of %s: %w", s.client.url, err)
	}
	b := read.book()
	return sources.Survey{
		Snapshot: sources.Snapshot{Allocations: b.facts, Missing: b.missing},
		Held:     b.held,
		Desk:     newDesk(s.client, b),
	}, nil
}
