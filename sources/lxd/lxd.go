// Package lxd reads what an Incus or LXD server hands out, and has it hold
// addresses for others: as static addresses of instances' interfaces, and as
// forwards without ports. Both speak the
// same API; what differs is told apart by the API extensions that GET /1.0
// lists, never by name or version.
//
// # What is read
//
// A server with the extension network_allocations lists most addresses
// itself. Its list has gaps, which are closed from other lists:
//
//   - Instances of projects with features.networks=false use the default
//     project's networks and are in no list of allocations (Incus 6.0.4 and
//     7.0.2, LXD 5.0.2; canonical/lxd#15855). Their leases have them.
//   - A stopped instance on an OVN network is left out, its static addresses
//     too. The instances' devices have those.
//
// A server without the extension (LXD before 5.16) is read list by list:
// networks, leases, forwards, load balancers.
//
// # Requests
//
// One each for the server, its projects, its networks and its allocations;
// one for the instances if a project without networks of its own holds any, or
// if there is an OVN network; one for the leases of each network as each such
// project sees it; one for the leases of a network on which one address stands
// with two instances, to tell the lease from the static address.
//
// A Survey asks once more for the instances, unless they were read anyway, and
// once for the forwards of each network that has any. A reservation for an
// instance takes four requests, and one more for each project without networks
// of its own that has instances on the network; one for nobody takes two, or
// three and those where it lies in a subnet. A release takes two, and one for
// each of the instance's profiles up to the one that has the interface.
//
// Watch keeps one connection of its own, over which the server tells of
// changes, and asks for no lists.
package lxd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"allocsync/ipam"
	"allocsync/sources"
)

// Source is one server, or one cluster reached by one of its members.
// It is safe for concurrent use.
type Source struct {
	client  *client
	options Options
}

var (
	_ sources.Source   = (*Source)(nil)
	_ sources.Checker  = (*Source)(nil)
	_ sources.Watcher  = (*Source)(nil)
	_ sources.Reserver = (*Source)(nil)
)

// Open makes a source. It reads the files that the options name and connects
// to nothing; its errors name the key that is wrong.
func Open(o Options) (*Source, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	c, err := newClient(o)
	if err != nil {
		return nil, err
	}
	return &Source{client: c, options: o}, nil
}

// Snapshot returns what the server hands out now.
//
// It fails where the server, its projects or a list that covers all projects
// cannot be read. What concerns one project or one network only is Missing:
// lists asked for one project, leases, instances, rows that make no sense.
func (s *Source) Snapshot(ctx context.Context) (sources.Snapshot, error) {
	ctx, cancel := sources.Bounded(ctx, s.options.Timeout)
	defer cancel()
	r, err := s.read(ctx, false)
	if err != nil {
		return sources.Snapshot{}, fmt.Errorf("snapshot of %s: %w", s.client.url, err)
	}
	return r.snapshot(), nil
}

// read reads the server once; for a Survey also what it holds for others.
func (s *Source) read(ctx context.Context, survey bool) (*reading, error) {
	about, err := s.client.server(ctx)
	if err != nil {
		return nil, err
	}
	r := &reading{client: s.client, options: s.options, server: about, survey: survey, networks: map[networkID]network{}}
	for _, step := range []func(context.Context) error{
		r.readScope, r.readProjects, r.readLists, r.readInstances, r.readSharedLeases, r.resolve, r.readContested, r.readForwards,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
		// A step notes as missing what it could not read. That is no answer to
		// a caller who has gone.
		if ctx.Err() != nil && !errors.Is(context.Cause(ctx), sources.ErrOutOfTime) {
			return nil, ctx.Err()
		}
	}
	return r, nil
}

// server reads GET /1.0, which also answers clients that are not trusted.
func (c *client) server(ctx context.Context) (server, error) {
	var about server
	if err := c.get(ctx, at(), nil, &about); err != nil {
		return server{}, err
	}
	if about.Auth != "trusted" {
		err := fmt.Errorf("%w: the server does not trust this client (auth %q)", sources.ErrDenied, about.Auth)
		return about, c.failed("read", at(), err)
	}
	return about, nil
}

// snapshot puts what was read into the order that is promised.
func (r *reading) snapshot() sources.Snapshot {
	slices.SortFunc(r.facts, ipam.Allocation.Compare)
	return sources.Snapshot{
		Allocations: slices.Compact(r.facts),
		Missing:     r.gaps(),
	}
}
