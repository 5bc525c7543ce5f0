// Package sources says what a system that hands out addresses has to offer to
// allocsync. One folder per kind of system lies below it.
package sources

import (
	"context"
	"errors"

	"allocsync/ipam"
)

// The causes that callers tell apart, found with errors.Is. A source wraps
// them with what it was doing and with what the operator can do about it.
var (
	// ErrDenied: the system knows no such credentials or refuses them the
	// list (401, 403). Trying again does not help.
	ErrDenied = errors.New("access denied")
	// ErrUnreachable: no complete answer came: refused connection, time-out,
	// a body cut off, a certificate that is not the expected one, a 5xx.
	ErrUnreachable = errors.New("source cannot be reached")
)

// Source is a system that hands out addresses.
//
// Optional abilities are interfaces of their own, found by type assertion:
// Checker, Watcher.
type Source interface {
	// Snapshot returns all that the system hands out now, sorted by
	// ipam.Allocation.Compare, every element passing Check.
	//
	// It never returns a part of the list without saying so: either an error
	// and an empty Snapshot, or a Snapshot whose Missing names every part that
	// could not be read. It returns promptly when ctx ends.
	Snapshot(ctx context.Context) (Snapshot, error)
}

// Snapshot is what a source handed out at one moment.
type Snapshot struct {
	Allocations []ipam.Allocation
	Missing     []Missing // none means that Allocations is complete
}

// Complete reports whether nothing is missing: only then may something that is
// not listed be taken to be gone.
func (s Snapshot) Complete() bool { return len(s.Missing) == 0 }

// Missing is a part of a source that could not be read: a project, a host, a
// member of a cluster.
type Missing struct {
	Part string // "project web"
	Err  error  // why, and what to do about it
}

// Checker is the optional ability to examine the way to the system more
// closely than Snapshot does, for `allocsync check`.
type Checker interface {
	// Check returns one finding for each thing examined, good or bad, in the
	// order in which they were examined. It does not change the system.
	Check(ctx context.Context) []Finding
}

// Finding is one thing that was examined.
type Finding struct {
	OK   bool
	Text string // what was found: "Incus 6.0.4, API extension network_allocations: yes"
	Fix  string // for a bad one: what to do, as a command where there is one
}

// Watcher is the optional ability to be told by the system itself when
// something changes, so that a pass need not wait for its hour.
//
// It says that something changed, not what: what the system hands out is read
// by Snapshot alone, so an event that is lost, late or told twice costs a pass
// and never a row.
type Watcher interface {
	// Watch calls changed at least once after every change of addresses that
	// the system tells of, and once after each time that it has begun to
	// listen, the first included: changes may have been missed before. It
	// never calls changed twice at the same time, and changed returns quickly.
	//
	// It calls listening with nil when it has begun to listen, to all parts of
	// the system, and with the reason when it no longer does or never could, if
	// that is another one than before; never twice at the same time either.
	//
	// It connects again by itself, waiting longer from failure to failure, and
	// returns only when ctx ends, with ctx.Err(), or when watching can never
	// work, with an error that says why.
	Watch(ctx context.Context, changed func(), listening func(error)) error
}

// Factory makes the sources of one kind.
type Factory struct {
	Kind    string // as the configuration writes it: "lxd"
	Summary string // one line for people: "LXD and Incus, over the REST API"

	// Options returns a pointer to a new options struct that holds the
	// defaults. The configuration is decoded into it by its yaml tags, and
	// the editor's JSON Schema is made from it (`doc` tags describe keys).
	Options func() any

	// Open makes a source from such options. It opens no connection; errors
	// are about the options alone and name the key that is wrong.
	Open func(options any) (Source, error)
}
