package sources

import (
	"context"
	"errors"
	"net/netip"

	"allocsync/ipam"
)

// The causes why a reservation is not made that callers tell apart, besides
// ErrDenied and ErrUnreachable.
var (
	// ErrRefused: the source cannot hold what is asked for, or cannot let it
	// go, as things are: taken by somebody else, outside of every network,
	// inside a dynamic range, no such interface. Nothing was changed. Asking
	// again helps only when something has changed.
	ErrRefused = errors.New("the source refuses")

	// ErrNoChoice: the source does not choose addresses; name one.
	ErrNoChoice = errors.New("the source does not choose an address itself")
)

// Reserver is the optional ability to hold addresses for others.
type Reserver interface {
	// Survey is Snapshot together with what the source holds for others, both
	// from one reading, and a Desk that knows that reading. Where it fails, or
	// parts are missing, what is said of Snapshot holds.
	Survey(ctx context.Context) (Survey, error)
}

// Survey is a Snapshot and the reservations of the same moment.
type Survey struct {
	Snapshot

	// Held is every reservation that the source holds, made by whomever:
	// sorted by ipam.Reservation.Compare, each passing Check. One address of
	// one network may be held more than once. What could not be read is in
	// Snapshot.Missing.
	Held []ipam.Reservation

	// Desk takes reservations until the next Survey.
	Desk Desk
}

// Desk makes reservations at a source and ends them. It is safe for concurrent
// use. Errors are ErrRefused, ErrDenied, ErrUnreachable or ErrNoChoice, and say
// what the operator can do. After any of them but ErrUnreachable, and an end of
// ctx, nothing was changed.
type Desk interface {
	// Consider completes a wish from what the Survey has read: Network, and
	// where it is for a node or instance, For and MAC as Held will spell them,
	// from its NIC where that is named.
	// Where no Addr is asked for it stays away, and Reserve, or a Chooser,
	// chooses; or the error is ErrNoChoice. It returns an error if the wish cannot be met as
	// things are, so that a dry run can say so. It asks the source nothing and
	// changes nothing.
	//
	// A For that is the URI of a reservation, of one that is gone too, was filled
	// in and says nothing: the result is that of no For. Where wish.Ref names a
	// reservation of the same address, or of the same MAC or user, that one does
	// not stand in the way: it is released first.
	Consider(wish ipam.Reservation) (ipam.Reservation, error)

	// Reserve holds an address: wish is as Consider returned it, with a Mark.
	// It returns the reservation as Held will list it. It is idempotent: where
	// the same is held already it succeeds and changes nothing. One that somebody
	// else made since the Survey comes back with no Mark, or his, and not
	// Unmarkable. It never takes an address from another user.
	Reserve(ctx context.Context, wish ipam.Reservation) (ipam.Reservation, error)

	// Release lets go of a reservation that Held lists. It is idempotent: where
	// it is gone already it succeeds. It looks again just before, and refuses
	// where the reservation is another's by now: other MAC, user or mark.
	Release(ctx context.Context, held ipam.Reservation) error
}

// Chooser is the optional ability of a Desk whose source knows best which
// addresses are free.
type Chooser interface {
	// Choose returns an address that Reserve would take for a wish without one,
	// and that this Desk has not returned before. It asks the source, and
	// reserves nothing: somebody else may take the address meanwhile.
	Choose(ctx context.Context, wish ipam.Reservation) (netip.Addr, error)
}
