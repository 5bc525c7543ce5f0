package state_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/state"
)

const ledgerName = "reservations.db"

func mustReservations(tb testing.TB, s *state.Store) []state.Reservation {
	tb.Helper()
	list, err := s.Reservations()
	require.NoError(tb, err)
	return list
}

func mustNotes(tb testing.TB, s *state.Store) []state.ReservationNote {
	tb.Helper()
	list, err := s.ReservationNotes()
	require.NoError(tb, err)
	return list
}

// reservation is one with something in every field.
func reservation(owner, network, addr string) state.Reservation {
	return state.Reservation{
		Owner: owner, Network: network, Addr: addr, MAC: "52:54:00:00:00:01", For: "/1.0/instances/web", Name: "web", Ref: "/1.0/networks/br0/leases",
		Type: "reservation", Mark: owner, Unmarkable: true, VRF: "lab", Row: 12, Made: true, Since: moment(1),
	}
}

func TestReservationsComeBack(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	require.Empty(t, mustReservations(t, s))
	require.Empty(t, mustNotes(t, s))
	one, two, three := reservation("dc1/a", "/n/1", "10.0.0.1"), reservation("dc1/a", "/n/1", "10.0.0.2"), reservation("dc1/b", "/n/1", "10.0.0.1")
	bare := state.Reservation{Owner: "dc1/b", Network: "/n/1", Addr: "10.0.0.3", Since: moment(2).In(time.FixedZone("", 3601))}
	require.NoError(t, s.ChangeReservations([]state.Reservation{three, bare, one, two}, nil))
	bare.Since = moment(2)
	require.Equal(t, []state.Reservation{one, two, three, bare}, mustReservations(t, s))

	s = reopened(t, s, dir)
	require.Equal(t, []state.Reservation{one, two, three, bare}, mustReservations(t, s))
	one.Made, one.MAC = false, ""
	gone := state.Reservation{Owner: bare.Owner, Network: bare.Network, Addr: bare.Addr} // the rest is of no account
	absent := reservation("dc1/c", "/n/1", "10.0.0.1")
	require.NoError(t, s.ChangeReservations([]state.Reservation{one, two}, []state.Reservation{gone, two, absent}), "what is in both is put")
	s = reopened(t, s, dir)
	require.Equal(t, []state.Reservation{one, two, three}, mustReservations(t, s))
	last := two
	last.Mark = "last"
	require.NoError(t, s.ChangeReservations([]state.Reservation{two, last}, []state.Reservation{three}))
	require.Equal(t, []state.Reservation{one, last}, mustReservations(t, s))

	notes := []state.ReservationNote{{Owner: "dc1/a", Row: 2, Text: "taken", Tried: "abc", Told: true}, {Row: 300, Text: "no\xffne"}}
	require.NoError(t, s.SetReservationNotes(notes[1]))
	require.NoError(t, s.SetReservationNotes(notes[0], state.ReservationNote{Row: 7}))
	s = reopened(t, s, dir)
	require.Equal(t, notes, mustNotes(t, s))
	notes[0].Told = false
	require.NoError(t, s.SetReservationNotes(notes[0], state.ReservationNote{Row: 300}))
	require.Equal(t, notes[:1], mustNotes(t, s))
	require.Equal(t, []state.Reservation{one, last}, mustReservations(t, s))
}

// What the fields hold comes back as it was, and names nothing else.
func FuzzReservations(f *testing.F) {
	f.Add("a", "b", "c", "ab", "", "c")
	f.Add("a\x00", "b", "c", "a", "\x00b", "c")
	f.Add("a\x00\x01b", "\x00\x01", "c", "a", "b\x00\x01\x00\x01", "c")
	f.Add("\xff\xfe", "ä", "\x00\xff", "\xff\xff", "\uFFFD", "\x00")
	s := mustOpen(f, f.TempDir())
	f.Fuzz(func(t *testing.T, o1, n1, a1, o2, n2, a2 string) {
		one, two := reservation("o"+o1, "n"+n1, "a"+a1), reservation("o"+o2, "n"+n2, "a"+a2)
		one.Name, two.Name, one.MAC, two.MAC = o1, n2, n1, a2
		before := mustReservations(t, s)
		if len(o1+o2+n1+n2+a1+a2) > 400 || s.ChangeReservations([]state.Reservation{one, two}, before) != nil {
			return
		}
		want := []state.Reservation{one, two}
		switch a, b := []string{one.Owner, one.Network, one.Addr}, []string{two.Owner, two.Network, two.Addr}; {
		case fmt.Sprintf("%q", a) == fmt.Sprintf("%q", b):
			want = want[1:]
		case a[0] > b[0] || a[0] == b[0] && (a[1] > b[1] || a[1] == b[1] && a[2] > b[2]):
			want[0], want[1] = two, one
		}
		require.Equal(t, want, mustReservations(t, s))
	})
}

// Without a ledger nothing looks as if it were empty.
func TestWithoutALedger(t *testing.T) {
	var s *state.Store
	_, err := s.Reservations()
	require.ErrorIs(t, err, state.ErrNoLedger)
	require.EqualError(t, err, "read reservations: no state folder is open, so what was reserved is not known; name one with serve.state_dir or --state-dir")
	_, err = s.ReservationNotes()
	require.ErrorIs(t, err, state.ErrNoLedger)
	require.ErrorIs(t, s.ChangeReservations([]state.Reservation{reservation("a", "b", "c")}, nil), state.ErrNoLedger)
	require.ErrorIs(t, s.ChangeReservations(nil, nil), state.ErrNoLedger)
	require.ErrorIs(t, s.SetReservationNotes(state.ReservationNote{Row: 1, Text: "x"}), state.ErrNoLedger)
	require.Empty(t, s.Notices())

	s = mustOpen(t, t.TempDir())
	require.NoError(t, s.Close())
	_, err = s.Reservations()
	require.ErrorContains(t, err, "read reservations: ")
	require.ErrorContains(t, s.ChangeReservations([]state.Reservation{reservation("a", "b", "c")}, nil), "keep reservations: ")
	require.Error(t, s.SetReservationNotes(state.ReservationNote{Row: 1, Text: "x"}))
}

// spoil damages a file of a folder.
func spoil(tb testing.TB, dir, name string) {
	tb.Helper()
	content, err := os.ReadFile(filepath.Join(dir, name))
	require.NoError(tb, err)
	for i := 8192; i < len(content); i += 7 {
		content[i] ^= 0x5a
	}
	require.NoError(tb, os.WriteFile(filepath.Join(dir, name), content, 0o600))
}

// Each of the two files outlives damage to the other one.
func TestOneFileOutlivesTheOther(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	want := []state.Reservation{reservation("a", "b", "c")}
	fill := func() {
		require.NoError(t, s.ChangeReservations(want, nil))
		require.NoError(t, s.SetReservationNotes(state.ReservationNote{Row: 1, Text: "x"}))
		_, err := s.AddPass(state.Pass{})
		require.NoError(t, err)
		require.NoError(t, s.Close())
	}
	fill()
	spoil(t, dir, fileName)
	s = mustOpen(t, dir)
	require.Len(t, s.Notices(), 1)
	require.Contains(t, s.Notice(), filepath.Join(dir, fileName)+" cannot be used")
	require.Contains(t, s.Notice(), "the history of passes")
	require.Equal(t, want, mustReservations(t, s))
	require.Len(t, mustNotes(t, s), 1)
	require.Empty(t, mustPasses(t, s, 0))

	fill()
	spoil(t, dir, ledgerName)
	s = mustOpen(t, dir)
	require.Len(t, s.Notices(), 1)
	require.Regexp(t, `^state file \S*reservations\.db cannot be used \(the file is damaged: .*\): kept as \S*reservations\.db\.broken-[0-9-]*, and a new one begun; `+
		"what was reserved at the sources until now counts as somebody else's: it still meets what NetBox asks for, but is never changed or released; release at the source, by hand, what NetBox no longer asks for$", s.Notice())
	require.Empty(t, mustReservations(t, s))
	require.Empty(t, mustNotes(t, s))
	require.Len(t, mustPasses(t, s, 0), 1)

	fill()
	spoil(t, dir, ledgerName)
	spoil(t, dir, fileName)
	s = mustOpen(t, dir)
	require.Len(t, s.Notices(), 2)
	require.Equal(t, s.Notices()[0]+"; "+s.Notices()[1], s.Notice())
	require.Empty(t, mustReservations(t, s))
	require.Empty(t, mustPasses(t, s, 0))

	// The ledger in the place of the history, and the other way round.
	fill()
	require.NoError(t, os.Rename(filepath.Join(dir, fileName), filepath.Join(dir, "x")))
	require.NoError(t, os.Rename(filepath.Join(dir, ledgerName), filepath.Join(dir, fileName)))
	require.NoError(t, os.Rename(filepath.Join(dir, "x"), filepath.Join(dir, ledgerName)))
	s = mustOpen(t, dir)
	require.Len(t, s.Notices(), 2)

	// Gone: it is as if there had been none.
	fill()
	require.NoError(t, os.Remove(filepath.Join(dir, ledgerName)))
	s = mustOpen(t, dir)
	require.Empty(t, s.Notices())
	require.Empty(t, mustReservations(t, s))
	require.NoError(t, s.Close())

	// A ledger that cannot be opened leaves the folder free.
	require.NoError(t, os.Remove(filepath.Join(dir, ledgerName)))
	require.NoError(t, os.Mkdir(filepath.Join(dir, ledgerName), 0o700))
	for range 2 {
		_, err := state.Open(dir)
		require.ErrorContains(t, err, ledgerName+" is not a file")
	}
	require.NoError(t, os.Remove(filepath.Join(dir, ledgerName)))
	mustOpen(t, dir)
}

func TestNobodyElseMayReadTheLedger(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, mustOpen(t, dir).Close())
	name := filepath.Join(dir, ledgerName)
	for range 2 {
		stat, err := os.Stat(name)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), stat.Mode().Perm())
		require.NoError(t, os.Chmod(name, 0o644))
		require.NoError(t, mustOpen(t, dir).Close())
	}
}

// Many begin at the same moment, on a damaged ledger.
func TestManyAtOnceOnALedger(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, ledgerName), bytes.Repeat([]byte("garbage"), 10_000), 0o600))
	var wg sync.WaitGroup
	stores, faults := make([]*state.Store, 16), make([]error, 16)
	for i := range stores {
		wg.Go(func() { stores[i], faults[i] = state.Open(dir) })
	}
	wg.Wait()
	opened := 0
	for i, err := range faults {
		if err == nil {
			opened++
			require.Len(t, stores[i].Notices(), 1)
			require.NoError(t, stores[i].Close())
			continue
		}
		var locked *state.LockedError
		require.ErrorAs(t, err, &locked)
	}
	require.Equal(t, 1, opened)
	list, err := filepath.Glob(filepath.Join(dir, "*.broken-*"))
	require.NoError(t, err)
	require.Len(t, list, 1)
}

// A second process is refused, and leaves the ledger of the first alone.
func TestAnotherProcessAndTheLedger(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	require.NoError(t, s.ChangeReservations([]state.Reservation{reservation("a", "b", "c")}, nil))
	_, text := killed(t, "ledger", dir, 20*time.Second)
	require.Contains(t, text, fmt.Sprintf("failed open state folder %s: another allocsync, process %d on ", dir, os.Getpid()))
	require.Len(t, mustReservations(t, s), 1)
	require.NoError(t, s.Close())
	round, text := killed(t, "ledger", dir, 300*time.Millisecond)
	require.NotContains(t, text, "failed")
	require.Positive(t, round)
	s = mustOpen(t, dir)
	require.Empty(t, s.Notices())
	require.Contains(t, mustReservations(t, s), reservation("a", "b", "c"), "what the first one wrote, too")
}

func TestReservingAtTheSameTime(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 10 {
				owner := fmt.Sprint("dc1/", i)
				old := []state.Reservation{reservation(owner, "n", fmt.Sprint(n-1, "a")), reservation(owner, "n", fmt.Sprint(n-1, "b"))}
				put := []state.Reservation{reservation(owner, "n", fmt.Sprint(n, "a")), reservation(owner, "n", fmt.Sprint(n, "b"))}
				err := errors.Join(s.ChangeReservations(put, old), s.SetReservationNotes(state.ReservationNote{Row: i + 1, Text: fmt.Sprint(n)}))
				list, e1 := s.Reservations()
				notes, e2 := s.ReservationNotes()
				_, e3 := s.AddPass(state.Pass{})
				if err = errors.Join(err, e1, e2, e3); err != nil {
					t.Error(err)
				}
				if len(list)%2 != 0 || len(list) > 8 || len(notes) > 4 {
					t.Errorf("%d reservations, %d notes", len(list), len(notes))
				}
			}
		})
	}
	wg.Wait()
	require.Len(t, mustReservations(t, s), 8)
	require.Len(t, mustNotes(t, s), 4)
}

// roundOf are the reservations and the note of one round; those of the round
// before are forgotten in the same change.
func roundOf(round int) []state.Reservation {
	list := make([]state.Reservation, 1+round*37%60)
	for i := range list {
		list[i] = reservation("dc1/lab", fmt.Sprint("/n/", i%3), fmt.Sprintf("10.0.%d.%d", round%256, i))
		list[i].Row, list[i].Name = round, strings.Repeat("x", round*i%300)
	}
	return list
}

// reserveForEver keeps round after round, and prints each one that is kept.
func reserveForEver(dir string) int {
	s, err := state.Open(dir)
	if err != nil {
		fmt.Println("failed", err)
		return 1
	}
	notes, err := s.ReservationNotes()
	round := 0
	if len(notes) > 0 {
		_, _ = fmt.Sscan(notes[0].Text, &round)
	}
	for ; err == nil; round++ {
		if err = s.ChangeReservations(roundOf(round+1), roundOf(round)); err == nil {
			err = s.SetReservationNotes(state.ReservationNote{Row: 1, Text: fmt.Sprint(round + 1)})
		}
		if err == nil {
			fmt.Println(round+1, s.Notice())
		}
	}
	fmt.Println("failed", err)
	return 1
}

// After kill -9 at any moment the ledger is that of one round, whole, and not
// before the last one that was known to be kept.
func TestKilledWhileReserving(t *testing.T) {
	dir := t.TempDir()
	known, between := 0, 0
	for n := 0; n < 25 || known <= 40 && n < 200; n++ { // a busy machine needs more
		last, text := killed(t, "ledger", dir, 20*time.Millisecond+rand.N(100*time.Millisecond))
		require.NotContains(t, text, "failed")
		require.NotContains(t, text, "cannot be used")
		known = max(known, last)
		s := mustOpen(t, dir)
		require.Empty(t, s.Notices())
		list := mustReservations(t, s)
		if len(list) == 0 {
			require.Zero(t, known)
			require.NoError(t, s.Close())
			continue
		}
		round := list[0].Row
		require.ElementsMatch(t, roundOf(round), list)
		require.GreaterOrEqual(t, round, known)
		noted := 0
		for _, n := range mustNotes(t, s) {
			_, err := fmt.Sscan(n.Text, &noted)
			require.NoError(t, err)
		}
		require.GreaterOrEqual(t, noted, known)
		require.LessOrEqual(t, noted, round)
		require.GreaterOrEqual(t, noted, round-1)
		if noted < round { // it was killed between the two changes
			between++
			require.NoError(t, s.ChangeReservations(roundOf(noted), roundOf(round)))
		}
		require.NoError(t, s.Close())
	}
	t.Logf("%d rounds, %d times between two changes", known, between)
	require.Greater(t, known, 20, "the test writes enough to mean something")
	list, err := filepath.Glob(filepath.Join(dir, "*.broken-*"))
	require.NoError(t, err)
	require.Empty(t, list)
}

// The time that the decision names.
func TestHowLongReservingTakes(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	start := time.Now()
	for batch := range 20 {
		var put []state.Reservation
		for i := range 50 {
			put = append(put, reservation("dc1/lab", "/1.0/networks/br0", fmt.Sprintf("10.0.%d.%d", batch, i)))
		}
		require.NoError(t, s.ChangeReservations(put, nil))
	}
	took := time.Since(start)
	start = time.Now()
	require.Len(t, mustReservations(t, s), 1000)
	t.Logf("1,000 reservations in changes of 50: %s; read in %s", took, time.Since(start))
	require.Less(t, took, 20*time.Second)
}
