// Package sourcetest holds the contract of sources.Source as tests. Every
// kind runs them against a system whose faults the kind's own test knows how
// to make: over HTTP that is done here, see HTTP.
package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/sources"
)

// MaxBytes is the size to which Setup.Open limits answers, where the kind has
// such an option.
const MaxBytes = 1 << 20

// The source gives up after impatient where a test waits for that, and after
// patient where it would be wrong to. slack is what a slow machine may take on
// top; a test that cancels does so after soon.
const (
	impatient = 400 * time.Millisecond
	patient   = 30 * time.Second
	slack     = 5 * time.Second
	soon      = 50 * time.Millisecond
)

// Setup is what a kind's test tells the suite.
type Setup struct {
	// Open starts a system that holds the same world every time, with
	// addresses of both families, and that behaves as b says; and opens a
	// source on it, which gives up after b.Patience and limits answers to
	// MaxBytes. Both end with tb.
	Open func(tb testing.TB, b Behaviour) sources.Source

	// Answers is how many answers of a sane system one Snapshot is made of.
	Answers int

	// Without lists faults that this kind of system cannot have.
	Without []Fault
}

// Fault is a way in which a system misbehaves.
type Fault uint8

// The faults. The first three are none: the source must cope.
const (
	None     Fault = iota
	Shuffled       // lists come in another order
	Empty          // the system hands nothing out
	Denied         // the credentials are refused
	Failing        // the system says that it failed
	Garbled        // the answer is something else entirely
	CutOff         // the answer ends in the middle
	Dropped        // the connection ends without an answer
	Endless        // the answer is larger than any limit
	Hanging        // the answer does not come
)

// String names the fault, for the names of tests.
func (f Fault) String() string {
	names := []string{"none", "shuffled", "empty", "denied", "failing", "garbled", "cut off", "dropped", "endless", "hanging"}
	if int(f) < len(names) {
		return names[f]
	}
	return fmt.Sprintf("fault(%d)", uint8(f))
}

// Behaviour is how a system behaves for one test.
type Behaviour struct {
	Fault Fault
	At    int    // the only answer with the fault, counted from 0 as they are asked for; Every for all
	Seed  uint64 // of Shuffled: another seed is another order

	Patience time.Duration // how long the source waits for one Snapshot
}

// Every says that all answers have the fault.
const Every = -1

// Run tests the whole contract.
func Run(t *testing.T, s Setup) {
	for _, c := range contract() {
		t.Run(c.name, func(t *testing.T) {
			if slices.Contains(s.Without, c.fault) {
				t.Skipf("this kind of system cannot be %s", c.fault)
			}
			c.test(t, s)
		})
	}
}

// clause is one promise of the contract.
type clause struct {
	name  string
	fault Fault
	test  func(testing.TB, Setup)
}

func contract() []clause {
	list := []clause{
		{"lists both families, sorted, each once, every fact possible", None, isWellFormed},
		{"the same world gives the same list in any order of answers", Shuffled, ignoresOrder},
		{"an empty system is an empty list, and complete", Empty, takesEmptyForEmpty},
		{"is safe for concurrent use", None, isConcurrencySafe},
		{"returns at once when its context is cancelled", Hanging, returnsWhenCancelled},
		{"does not ask when its context has ended", None, refusesEndedContext},
		{"examines a sane system without finding fault", None, checksSane},
		{"examines a system that denies access, and says what to do", Denied, checksDenied},
	}
	for f := Denied; f <= Hanging; f++ {
		list = append(list,
			clause{"every answer " + f.String() + ": an error of the right cause", f, failsWhole(f)},
			clause{"one answer " + f.String() + ": never a silent part", f, neverSilent(f)})
	}
	return list
}

// sane is how a system behaves that has no fault.
func sane() Behaviour { return Behaviour{At: Every, Patience: patient} }

// faulty is how a system behaves that has one. Only a test of how long a
// source waits wants it to be impatient.
func faulty(f Fault, at int) Behaviour {
	b := Behaviour{Fault: f, At: at, Patience: patient}
	if f == Hanging {
		b.Patience = impatient
	}
	return b
}

// whole reads a system without a fault.
func whole(tb testing.TB, s Setup) []ipam.Allocation {
	tb.Helper()
	return mustComplete(tb, s.Open(tb, sane()))
}

func mustComplete(tb testing.TB, source sources.Source) []ipam.Allocation {
	tb.Helper()
	snapshot, err := source.Snapshot(tb.Context())
	require.NoError(tb, err)
	require.Empty(tb, snapshot.Missing)
	return snapshot.Allocations
}

func isWellFormed(tb testing.TB, s Setup) {
	list := whole(tb, s)
	var v4, v6 bool
	for i, a := range list {
		require.NoError(tb, a.Check())
		v4, v6 = v4 || a.Prefix.Addr().Is4(), v6 || a.Prefix.Addr().Is6()
		if i > 0 {
			require.Negative(tb, list[i-1].Compare(a), "out of order, or twice:\n%v\n%v", list[i-1], a)
		}
		mac, err := ipam.ParseMAC(string(a.MAC))
		require.NoError(tb, err)
		require.Equal(tb, mac, a.MAC, "MAC of %v is not in its one form", a)
	}
	require.True(tb, v4, "no IPv4 address")
	require.True(tb, v6, "no IPv6 address")
}

func ignoresOrder(tb testing.TB, s Setup) {
	want := whole(tb, s)
	for seed := range uint64(8) {
		source := s.Open(tb, Behaviour{Fault: Shuffled, At: Every, Seed: seed, Patience: patient})
		require.Equal(tb, want, mustComplete(tb, source), "seed %d", seed)
		require.Equal(tb, want, mustComplete(tb, source), "seed %d, read again", seed)
	}
}

func takesEmptyForEmpty(tb testing.TB, s Setup) {
	require.Empty(tb, mustComplete(tb, s.Open(tb, faulty(Empty, Every))))
}

func isConcurrencySafe(tb testing.TB, s Setup) {
	source := s.Open(tb, sane())
	want := mustComplete(tb, source)
	got := make([]sources.Snapshot, 8)
	errs := make([]error, len(got))
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i], errs[i] = source.Snapshot(tb.Context()) })
	}
	wg.Wait()
	for i := range got {
		require.NoError(tb, errs[i])
		require.Equal(tb, sources.Snapshot{Allocations: want}, got[i])
	}
}

func returnsWhenCancelled(tb testing.TB, s Setup) {
	for at := Every; at < s.Answers; at++ {
		source := s.Open(tb, Behaviour{Fault: Hanging, At: at, Patience: patient})
		ctx, cancel := context.WithCancel(tb.Context())
		defer cancel()
		time.AfterFunc(soon, cancel)
		start := time.Now()
		snapshot, err := source.Snapshot(ctx)
		require.Less(tb, time.Since(start), soon+slack, "answer %d hangs", at)
		require.ErrorIs(tb, err, context.Canceled, "answer %d hangs", at)
		require.Zero(tb, snapshot, "answer %d hangs", at)
	}
}

func refusesEndedContext(tb testing.TB, s Setup) {
	ctx, cancel := context.WithCancel(tb.Context())
	cancel()
	snapshot, err := s.Open(tb, sane()).Snapshot(ctx)
	require.ErrorIs(tb, err, context.Canceled)
	require.Zero(tb, snapshot)
}

// failsWhole: a system of which nothing can be read is an error, and it says
// which of the two causes.
func failsWhole(f Fault) func(testing.TB, Setup) {
	cause := sources.ErrUnreachable
	if f == Denied {
		cause = sources.ErrDenied
	}
	return func(tb testing.TB, s Setup) {
		source := s.Open(tb, faulty(f, Every))
		start := time.Now()
		snapshot, err := source.Snapshot(tb.Context())
		require.Less(tb, time.Since(start), impatient+slack)
		require.ErrorIs(tb, err, cause)
		require.Zero(tb, snapshot, "an error comes with a part of the list")
		require.False(tb, errors.Is(err, context.Canceled), "nobody cancelled: %v", err)
	}
}

// neverSilent: whichever one answer is at fault, the result is an error and
// nothing else, or says what is missing, or is whole all the same.
func neverSilent(f Fault) func(testing.TB, Setup) {
	return func(tb testing.TB, s Setup) {
		want := whole(tb, s)
		list := make([]sources.Source, s.Answers)
		for at := range list {
			list[at] = s.Open(tb, faulty(f, at))
		}
		got := make([]sources.Snapshot, s.Answers)
		errs := make([]error, s.Answers)
		start := time.Now()
		var wg sync.WaitGroup
		for at := range list {
			wg.Go(func() { got[at], errs[at] = list[at].Snapshot(tb.Context()) })
		}
		wg.Wait()
		require.Less(tb, time.Since(start), impatient+slack)
		for at, snapshot := range got {
			switch {
			case errs[at] != nil:
				require.Zero(tb, snapshot, "answer %d: an error comes with a part of the list", at)
			case snapshot.Complete():
				require.Equal(tb, want, snapshot.Allocations, "answer %d: says that it is complete", at)
			default:
				requirePart(tb, want, snapshot, at)
			}
		}
	}
}

// requirePart: what was read is a part of the whole, in order, and each gap
// has a name and a reason.
func requirePart(tb testing.TB, want []ipam.Allocation, got sources.Snapshot, at int) {
	tb.Helper()
	for _, m := range got.Missing {
		require.NotEmpty(tb, m.Part, "answer %d", at)
		require.Error(tb, m.Err, "answer %d", at)
	}
	require.True(tb, slices.IsSortedFunc(got.Allocations, ipam.Allocation.Compare), "answer %d", at)
	for _, a := range got.Allocations {
		require.True(tb, slices.ContainsFunc(want, func(w ipam.Allocation) bool {
			w.Dynamic = a.Dynamic // whether it is a lease may be what could not be read
			return w == a
		}), "answer %d: %v is not in the whole list", at, a)
	}
}

func checksSane(tb testing.TB, s Setup) {
	checker, ok := s.Open(tb, sane()).(sources.Checker)
	if !ok {
		tb.Skip("the source is no Checker")
	}
	findings := checker.Check(tb.Context())
	require.NotEmpty(tb, findings)
	for _, f := range findings {
		require.True(tb, f.OK, "%+v", f)
		require.NotEmpty(tb, f.Text)
	}
}

func checksDenied(tb testing.TB, s Setup) {
	checker, ok := s.Open(tb, faulty(Denied, Every)).(sources.Checker)
	if !ok {
		tb.Skip("the source is no Checker")
	}
	findings := checker.Check(tb.Context())
	require.True(tb, slices.ContainsFunc(findings, func(f sources.Finding) bool { return !f.OK }), "%+v", findings)
	for _, f := range findings {
		require.NotEmpty(tb, f.Text)
		if !f.OK {
			require.NotEmpty(tb, f.Fix, "%+v", f)
		}
	}
}
