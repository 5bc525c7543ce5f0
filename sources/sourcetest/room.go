package sourcetest

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/sources"
)

// Desks describes a kind whose systems hold addresses for others. A kind that
// holds them in several ways runs the suite once for each.
type Desks struct {
	// Open makes a system with room for one more reservation, or such room of
	// the test's own in a real one, and opens a source on it. Both end with tb.
	Open func(tb testing.TB) Room
}

// Room is where the suite reserves. It looks at Network alone, so that a real
// system may be used by others meanwhile.
type Room struct {
	Source  sources.Source // a sources.Reserver
	Network ipam.UsedBy    // as the network's prefix is used by

	Free    netip.Addr // of Network and of no other; nobody's
	Taken   netip.Addr // of Network, and somebody's, not the wish's
	Outside netip.Addr // what Network cannot hold; the zero Addr where there is no such address

	// Who it is for, as a person may write it: "" where nobody is meant.
	For  ipam.UsedBy
	MAC  ipam.MAC
	Name string

	// Steal makes a reservation that is held somebody else's, as a person might
	// who knows nothing of allocsync: by another MAC, user or mark. The address
	// stays held. nil where this kind of system has no such thing.
	Steal func(tb testing.TB, held ipam.Reservation)

	// Requests counts what the system has been asked so far; nil where nobody
	// counts.
	Requests func() int
}

// mustSurvey reads a system completely, and holds the Survey to what is said
// of it.
func (r Room) mustSurvey(tb testing.TB) sources.Survey {
	tb.Helper()
	reserver, ok := r.Source.(sources.Reserver)
	require.True(tb, ok, "the source is no Reserver")
	survey, err := reserver.Survey(tb.Context())
	require.NoError(tb, err)
	require.Empty(tb, survey.Missing)
	require.NotNil(tb, survey.Desk)
	for i, h := range survey.Held {
		require.NoError(tb, h.Check())
		if i > 0 {
			require.Negative(tb, survey.Held[i-1].Compare(h), "out of order, or twice:\n%v\n%v", survey.Held[i-1], h)
		}
	}
	return survey
}

// held keeps what is held on the network.
func (r Room) held(s sources.Survey) []ipam.Reservation {
	return slices.DeleteFunc(slices.Clone(s.Held), func(h ipam.Reservation) bool { return h.Network != r.Network })
}

// heldHere keeps what is held of one address.
func (r Room) heldHere(s sources.Survey, addr netip.Addr) []ipam.Reservation {
	return slices.DeleteFunc(r.held(s), func(h ipam.Reservation) bool { return h.Addr != addr })
}

// allocations keeps what is handed out within the network's prefixes.
func (r Room) allocations(tb testing.TB, s sources.Snapshot) []ipam.Allocation {
	tb.Helper()
	var within []netip.Prefix
	for _, a := range s.Allocations {
		if a.Kind == ipam.Prefix && a.UsedBy == r.Network {
			within = append(within, a.Prefix)
		}
	}
	require.NotEmpty(tb, within, "no prefix is used by %s", r.Network)
	return slices.DeleteFunc(slices.Clone(s.Allocations), func(a ipam.Allocation) bool {
		return !slices.ContainsFunc(within, func(p netip.Prefix) bool { return p.Overlaps(a.Prefix) })
	})
}

// wish is what a person asks for, with as little as they may say.
func (r Room) wish(addr netip.Addr) ipam.Reservation {
	return ipam.Reservation{Addr: addr, For: r.For, MAC: r.MAC, Name: r.Name, Mark: ours}
}

// mustConsider completes a wish for the free address.
func (r Room) mustConsider(tb testing.TB, s sources.Survey) ipam.Reservation {
	tb.Helper()
	wish, err := s.Desk.Consider(r.wish(r.Free))
	require.NoError(tb, err)
	return wish
}

// mustReserve reserves the free address.
func (r Room) mustReserve(tb testing.TB) (sources.Survey, ipam.Reservation) {
	tb.Helper()
	before := r.mustSurvey(tb)
	held, err := before.Desk.Reserve(tb.Context(), r.mustConsider(tb, before))
	require.NoError(tb, err)
	return before, held
}

// requireCause: the error has the cause wanted, says something, and is no
// other of those that callers tell apart.
func requireCause(tb testing.TB, err, want error, message string, args ...any) {
	tb.Helper()
	require.ErrorIs(tb, err, want, append([]any{message}, args...)...)
	require.Greater(tb, len(err.Error()), len(want.Error()), "the error says no more than its cause")
	for _, cause := range []error{sources.ErrRefused, sources.ErrNoChoice, sources.ErrDenied, sources.ErrUnreachable} {
		require.Equal(tb, cause == want, errors.Is(err, cause), "%v: %v", err, cause)
	}
}

// requireUnchanged: nothing happened on the network since before.
func (r Room) requireUnchanged(tb testing.TB, before sources.Survey, message string) {
	tb.Helper()
	after := r.mustSurvey(tb)
	require.Equal(tb, r.held(before), r.held(after), message)
	require.Equal(tb, r.allocations(tb, before.Snapshot), r.allocations(tb, after.Snapshot), message)
}

// requireAllocated: every reservation is an allocation too.
func (r Room) requireAllocated(tb testing.TB, s sources.Survey) {
	tb.Helper()
	for _, h := range r.held(s) {
		require.True(tb, slices.ContainsFunc(s.Allocations, func(a ipam.Allocation) bool {
			return a.Kind == ipam.Address && a.UsedBy == h.Ref && a.Type == h.Type && a.Prefix.Addr() == h.Addr
		}), "no allocation is that of %+v", h)
	}
}

func (r Room) asked() int {
	if r.Requests == nil {
		return 0
	}
	return r.Requests()
}
