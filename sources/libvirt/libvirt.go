// Package libvirt reads the addresses that libvirt hosts hand out: those that
// OpenStack Nova writes into the metadata of its domains, and those of plain
// KVM hosts, from libvirt's networks, their static hosts and leases, and from
// the interfaces of domains.
//
// # What is read
//
// One source is a list of hosts. Of each: its name, its domains (running or
// not) with their XML, and its networks with their XML and leases. Every
// connection that reads is opened read-only.
//
// # Requests
//
// For each host one call to open it and one for its name, one for the list of
// domains and one for each domain's XML, at most 64 at once; one for the list
// of networks, one for each network's XML and one for the leases of each
// active network. Of several hosts the domains are listed once more at the
// end: a domain that moved from one host to another between the two readings
// is in neither list otherwise.
//
// # Reservations
//
// A reservation is a static DHCP host of a network. Survey reads what Snapshot
// does, by the same calls. Only a Desk opens a connection that may write, when
// it is to write; see Desk.Reserve for its calls.
package libvirt

import (
	"context"
	"fmt"

	"allocsync/sources"
)

// Source is a set of libvirt hosts among which domains may move.
// It is safe for concurrent use.
type Source struct {
	options   Options
	endpoints []endpoint
}

var (
	_ sources.Source   = (*Source)(nil)
	_ sources.Checker  = (*Source)(nil)
	_ sources.Watcher  = (*Source)(nil)
	_ sources.Reserver = (*Source)(nil)
)

// Factory returns the kind "libvirt".
func Factory() sources.Factory {
	return sources.Factory{
		Kind:    "libvirt",
		Summary: "libvirt hosts: Nova's metadata, networks, leases",
		Options: func() any {
			o := defaults()
			return &o
		},
		Open: func(options any) (sources.Source, error) {
			o, ok := options.(*Options)
			if !ok {
				return nil, fmt.Errorf("options are a %T, want *libvirt.Options", options)
			}
			return Open(*o)
		},
	}
}

// Open makes a source. It reads the files that the options name and connects
// to nothing; its errors name the key that is wrong.
func Open(o Options) (*Source, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	list, err := o.endpoints()
	if err != nil {
		return nil, err
	}
	return &Source{options: o, endpoints: list}, nil
}

// Snapshot returns what the hosts hand out now.
//
// It fails where no host can be read. A host that cannot be read, and a domain
// or network of which that is true, is Missing: a domain that is gone from one
// host may have moved to another, so nothing of the source is to be deleted
// then.
func (s *Source) Snapshot(ctx context.Context) (sources.Snapshot, error) {
	all, _, err := s.read(ctx)
	if err != nil {
		return sources.Snapshot{}, fmt.Errorf("snapshot: %w", err)
	}
	return all.snapshot(), nil
}

// Survey returns what the hosts hand out and hold now, of one reading; see
// Snapshot for what is Missing. A reservation whose user cannot be told, because
// a domain could not be read, is not in Held.
func (s *Source) Survey(ctx context.Context) (sources.Survey, error) {
	all, hosts, err := s.read(ctx)
	if err != nil {
		return sources.Survey{}, fmt.Errorf("survey: %w", err)
	}
	return sources.Survey{Snapshot: all.snapshot(), Held: all.held, Desk: newDesk(s.options, hosts, all)}, nil
}

func (s stated) snapshot() sources.Snapshot {
	return sources.Snapshot{Allocations: s.allocations, Missing: s.missing}
}

// read reads all hosts within the timeout, and says what they state.
func (s *Source) read(ctx context.Context) (stated, []host, error) {
	limited, cancel := sources.Bounded(ctx, s.options.Timeout)
	defer cancel()
	all, hosts, err := s.readAll(limited)
	if ctx.Err() != nil { // what could not be read for want of a caller is not missing
		return stated{}, nil, ctx.Err()
	}
	return all, hosts, err
}

func (s *Source) readAll(ctx context.Context) (stated, []host, error) {
	if ctx.Err() != nil {
		return stated{}, nil, ctx.Err()
	}
	r := newReading(s.endpoints, s.options)
	defer r.close()
	r.readHosts(ctx)
	if err := r.failure(); err != nil {
		return stated{}, nil, err
	}
	r.followMoves(ctx)
	r.checkNames()
	all := statement(r.facts(), s.choices())
	all.missing = append(r.gaps(), all.missing...)
	return all, r.facts(), nil
}

// choices are the options that the facts depend on.
func (s *Source) choices() choices {
	return choices{projectID: s.options.Project == projectID, requirePorts: s.options.RequirePorts}
}
