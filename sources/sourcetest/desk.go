package sourcetest

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/sources"
)

// The marks with which the suite reserves.
const (
	ours   = "suite/desk"
	theirs = "elsewhere/desk"
)

// RunDesks tests the whole contract of Reserver and Desk.
func RunDesks(t *testing.T, d Desks) {
	for _, c := range deskContract() {
		t.Run(c.name, func(t *testing.T) { c.test(t, d.Open(t)) })
	}
}

// deskClause is one promise of the contract.
type deskClause struct {
	name string
	test func(testing.TB, Room)
}

func deskContract() []deskClause {
	return []deskClause{
		{"Survey is Snapshot, and what it holds is sorted and passes Check", surveysWell},
		{"Consider completes the wish, asks nothing and changes nothing", considersPurely},
		{"what is reserved is held once, with its mark, and is in the Snapshot", holdsWhatIsReserved},
		{"reserved twice is once", reservesOnce},
		{"reserved by many at once is once", reservesOnceConcurrently},
		{"an address is chosen, or the source says that it does not choose", choosesOrSaysSo},
		{"released it is gone, and released twice too", releases},
		{"released by many at once it is gone", releasesConcurrently},
		{"what is given up for a wish does not stand in its way", makesRoom},
		{"the URI of a reservation that is gone names no user", forgetsWhatWasFilledIn},
		{"what is another's by now is not released", keepsWhatWasStolen},
		{"a reservation with another mark is not released", keepsWhatIsTheirs},
		{"an address that is taken is refused", refusesTaken},
		{"an address outside is refused", refusesOutside},
		{"a network that is not there is refused", refusesUnknownNetwork},
		{"a context that has ended changes nothing", changesNothingWhenCancelled},
	}
}

func surveysWell(tb testing.TB, r Room) {
	survey := r.mustSurvey(tb)
	snapshot, err := r.Source.Snapshot(tb.Context())
	require.NoError(tb, err)
	require.Equal(tb, r.allocations(tb, snapshot), r.allocations(tb, survey.Snapshot))
	r.requireAllocated(tb, survey)
	require.Empty(tb, r.heldHere(survey, r.Free), "the free address is held")
}

func considersPurely(tb testing.TB, r Room) {
	before := r.mustSurvey(tb)
	asked := r.asked()
	wish := r.mustConsider(tb, before)
	require.Equal(tb, r.Network, wish.Network)
	require.Equal(tb, r.Free, wish.Addr)
	require.Equal(tb, ours, wish.Mark)
	again, err := before.Desk.Consider(wish)
	require.NoError(tb, err)
	require.Equal(tb, wish, again, "a wish that is complete is completed otherwise")
	_, err = before.Desk.Consider(r.wish(r.Taken))
	requireCause(tb, err, sources.ErrRefused, "%s is taken", r.Taken)
	require.Equal(tb, asked, r.asked(), "Consider asks the system")
	r.requireUnchanged(tb, before, "Consider changes the system")
}

func holdsWhatIsReserved(tb testing.TB, r Room) {
	before := r.mustSurvey(tb)
	wish := r.mustConsider(tb, before)
	held, err := before.Desk.Reserve(tb.Context(), wish)
	require.NoError(tb, err)
	after := r.mustSurvey(tb)
	require.Equal(tb, []ipam.Reservation{held}, r.heldHere(after, r.Free))
	require.Len(tb, r.held(after), len(r.held(before))+1, "something else changed")
	require.Equal(tb, r.Network, held.Network)
	require.Equal(tb, wish.For, held.For, "Consider spells it otherwise than Held")
	require.Equal(tb, wish.MAC, held.MAC, "Consider spells it otherwise than Held")
	if held.Unmarkable {
		require.Empty(tb, held.Mark)
	} else {
		require.Equal(tb, ours, held.Mark)
	}
	r.requireAllocated(tb, after)
}

func reservesOnce(tb testing.TB, r Room) {
	before, held := r.mustReserve(tb)
	once := r.mustSurvey(tb)
	for _, desk := range []sources.Desk{before.Desk, once.Desk} {
		again, err := desk.Reserve(tb.Context(), r.mustConsider(tb, before))
		require.NoError(tb, err)
		again.Unmarkable = held.Unmarkable // another desk may not know that it was made here
		require.Equal(tb, held, again)
	}
	_, err := once.Desk.Consider(r.wish(r.Free))
	require.NoError(tb, err, "a wish is refused because it has been met")
	r.requireUnchanged(tb, once, "reserved again")
}

func reservesOnceConcurrently(tb testing.TB, r Room) {
	before := r.mustSurvey(tb)
	wish := r.mustConsider(tb, before)
	held := make([]ipam.Reservation, 4)
	errs := make([]error, len(held))
	var wg sync.WaitGroup
	for i := range held {
		wg.Go(func() {
			if _, errs[i] = before.Desk.Consider(wish); errs[i] == nil {
				held[i], errs[i] = before.Desk.Reserve(tb.Context(), wish)
			}
		})
	}
	wg.Wait()
	after := r.mustSurvey(tb)
	require.Len(tb, r.held(after), len(r.held(before))+1)
	for i := range held {
		require.NoError(tb, errs[i])
		require.Equal(tb, r.heldHere(after, r.Free), held[i:i+1])
	}
}

func choosesOrSaysSo(tb testing.TB, r Room) {
	before := r.mustSurvey(tb)
	wish := r.wish(netip.Addr{})
	wish.Network = r.Network
	wish, err := before.Desk.Consider(wish)
	if err == nil {
		wish, err = before.Desk.Reserve(tb.Context(), wish)
	}
	if err != nil {
		requireCause(tb, err, sources.ErrNoChoice, "no address is named")
		r.requireUnchanged(tb, before, "nothing was chosen")
		return
	}
	after := r.mustSurvey(tb)
	require.Equal(tb, []ipam.Reservation{wish}, r.heldHere(after, wish.Addr))
	require.Len(tb, r.held(after), len(r.held(before))+1)
}

func releases(tb testing.TB, r Room) {
	before, held := r.mustReserve(tb)
	desk := r.mustSurvey(tb).Desk
	require.NoError(tb, desk.Release(tb.Context(), held))
	require.Equal(tb, r.held(before), r.held(r.mustSurvey(tb)))
	require.NoError(tb, desk.Release(tb.Context(), held), "released again")
	after := r.mustSurvey(tb)
	require.NoError(tb, after.Desk.Release(tb.Context(), held), "released again, after it was read")
	require.Equal(tb, r.held(before), r.held(r.mustSurvey(tb)))
	_, err := after.Desk.Reserve(tb.Context(), r.mustConsider(tb, after))
	require.NoError(tb, err, "what was released cannot be reserved again")
}

// makesRoom: the row of a reservation may ask for somebody else by now. Who it
// is for is completed as if what is held had gone already.
func makesRoom(tb testing.TB, r Room) {
	_, held := r.mustReserve(tb)
	wish := r.wish(r.Free)
	wish.Ref = held.Ref
	done, err := r.mustSurvey(tb).Desk.Consider(wish)
	require.NoError(tb, err)
	require.Equal(tb, held.For, done.For)
	require.Equal(tb, held.MAC, done.MAC)
}

// forgetsWhatWasFilledIn: rows keep the used_by that was filled in, also when the
// reservation is made anew under another URI.
func forgetsWhatWasFilledIn(tb testing.TB, r Room) {
	survey, held := r.mustReserve(tb)
	require.NoError(tb, survey.Desk.Release(tb.Context(), held))
	if held.For != "" { // its URI is that of its user
		return
	}
	wish := r.wish(r.Free)
	wish.For = held.Ref
	done, err := r.mustSurvey(tb).Desk.Consider(wish)
	require.NoError(tb, err)
	require.Empty(tb, done.For)
	require.Equal(tb, held.MAC, done.MAC)
}

func releasesConcurrently(tb testing.TB, r Room) {
	before, held := r.mustReserve(tb)
	desk := r.mustSurvey(tb).Desk
	errs := make([]error, 4)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = desk.Release(tb.Context(), held) })
	}
	wg.Wait()
	require.NoError(tb, errors.Join(errs...))
	require.Equal(tb, r.held(before), r.held(r.mustSurvey(tb)))
}

func keepsWhatWasStolen(tb testing.TB, r Room) {
	if r.Steal == nil {
		tb.Skip("a reservation of this kind cannot become another's")
	}
	_, held := r.mustReserve(tb)
	read := r.mustSurvey(tb)
	r.Steal(tb, held)
	stolen := r.mustSurvey(tb)
	require.NotEmpty(tb, r.heldHere(stolen, r.Free))
	for _, desk := range []sources.Desk{read.Desk, stolen.Desk} {
		requireCause(tb, desk.Release(tb.Context(), held), sources.ErrRefused, "it is another's by now")
		require.Equal(tb, r.held(stolen), r.held(r.mustSurvey(tb)), "a refusal changes the system")
	}
}

func keepsWhatIsTheirs(tb testing.TB, r Room) {
	_, held := r.mustReserve(tb)
	if held.Unmarkable {
		tb.Skip("reservations of this kind have no mark")
	}
	before := r.mustSurvey(tb)
	held.Mark = theirs
	requireCause(tb, before.Desk.Release(tb.Context(), held), sources.ErrRefused, "its mark is another")
	r.requireUnchanged(tb, before, "a refusal changes the system")
}

// refusesTaken: also where the address was free when the system was read, for
// which the wish is one that Consider has not seen.
func refusesTaken(tb testing.TB, r Room) {
	before := r.mustSurvey(tb)
	wish := r.mustConsider(tb, before)
	wish.Addr = r.Taken
	_, err := before.Desk.Reserve(tb.Context(), wish)
	requireCause(tb, err, sources.ErrRefused, "%s is taken", r.Taken)
	r.requireUnchanged(tb, before, "a refusal changes the system")
}

func refusesOutside(tb testing.TB, r Room) {
	if !r.Outside.IsValid() {
		tb.Skip("no address is outside of such a network")
	}
	before := r.mustSurvey(tb)
	wish := r.mustConsider(tb, before)
	wish.Addr = r.Outside
	_, err := before.Desk.Consider(wish)
	requireCause(tb, err, sources.ErrRefused, "%s is outside", r.Outside)
	_, err = before.Desk.Reserve(tb.Context(), wish)
	requireCause(tb, err, sources.ErrRefused, "%s is outside", r.Outside)
	r.requireUnchanged(tb, before, "a refusal changes the system")
}

func refusesUnknownNetwork(tb testing.TB, r Room) {
	before := r.mustSurvey(tb)
	wish := r.wish(r.Free)
	wish.Network = r.Network + "-that-is-not-there"
	_, err := before.Desk.Consider(wish)
	requireCause(tb, err, sources.ErrRefused, "no such network")
}

func changesNothingWhenCancelled(tb testing.TB, r Room) {
	ctx, cancel := context.WithCancel(tb.Context())
	cancel()
	start := time.Now()
	survey, err := r.Source.(sources.Reserver).Survey(ctx)
	require.ErrorIs(tb, err, context.Canceled)
	require.Zero(tb, survey)

	before := r.mustSurvey(tb)
	wish := r.mustConsider(tb, before)
	asked := r.asked()
	_, err = before.Desk.Reserve(ctx, wish)
	require.ErrorIs(tb, err, context.Canceled)
	require.Equal(tb, asked, r.asked(), "asks though its context has ended")
	r.requireUnchanged(tb, before, "reserved though cancelled")

	_, held := r.mustReserve(tb)
	before = r.mustSurvey(tb)
	asked = r.asked()
	require.ErrorIs(tb, before.Desk.Release(ctx, held), context.Canceled)
	require.Equal(tb, asked, r.asked(), "asks though its context has ended")
	r.requireUnchanged(tb, before, "released though cancelled")
	require.Less(tb, time.Since(start), 6*slack)
}
