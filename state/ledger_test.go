package state

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
)

// inLedger is a reservation of a number.
func inLedger(i, round int) Reservation {
	return Reservation{
		Owner: "dc1/lab", Network: fmt.Sprint("/1.0/networks/br", i%7), Addr: fmt.Sprintf("10.0.%d.%d", i>>8, i&255), MAC: fmt.Sprintf("52:54:00:00:00:%02x", i%256),
		Name: strings.Repeat("n", i%90), Row: i, Made: i%3 > 0, Mark: fmt.Sprint("round ", round), Since: time.Unix(int64(round), 0).UTC(),
	}
}

// The tallies see what nothing else does: a value that is gone from a file that
// is whole, and one that is back.
func TestTallies(t *testing.T) {
	for name, spoil := range map[string]func(tx *bbolt.Tx) error{
		"gone": func(tx *bbolt.Tx) error {
			r := inLedger(2, 0)
			return tx.Bucket([]byte(reservationsBucket)).Delete([]byte(r.key()))
		},
		"back": func(tx *bbolt.Tx) error {
			r := inLedger(99, 0)
			return put(tx, reservationsBucket, r.key(), reservationEntry{})
		},
		"another": func(tx *bbolt.Tx) error {
			r := inLedger(2, 0)
			return put(tx, reservationsBucket, r.key(), reservationEntry{})
		},
		"note":     func(tx *bbolt.Tx) error { return put(tx, notesBucket, "1", noteEntry{}) },
		"no tally": func(tx *bbolt.Tx) error { return tx.Bucket([]byte(aboutBucket)).Delete([]byte(notesBucket)) },
		"garbage":  func(tx *bbolt.Tx) error { return put(tx, aboutBucket, notesBucket, "x") },
	} {
		s := newQuick(t)
		require.NoError(t, s.ChangeReservations([]Reservation{inLedger(1, 0), inLedger(2, 0), inLedger(3, 0)}, nil))
		require.NoError(t, s.ledger.Update(spoil))
		_, err := ledgerText(s)
		require.Error(t, err, name)
		list, err := s.Reservations()
		notes, errNotes := s.ReservationNotes()
		require.Error(t, errors.Join(err, errNotes), name)
		require.True(t, err == nil || list == nil, "never a part")
		require.True(t, errNotes == nil || notes == nil)
		file, err := os.ReadFile(s.ledger.Path())
		require.NoError(t, err)
		require.ErrorIs(t, checkedLedger(file), errBroken, name)
		notice, _ := mustOpenLedger(t, file)
		require.NotEmpty(t, notice)
	}
}

// One entry that cannot be read: there is no ledger then, not one without it.
func TestAnEntryThatCannotBeRead(t *testing.T) {
	s := newQuick(t)
	require.NoError(t, s.ChangeReservations([]Reservation{inLedger(1, 0), inLedger(2, 0)}, nil))
	r := inLedger(2, 0)
	for name, sealed := range map[string]func() []byte{
		"checksum":  func() []byte { return []byte("j0000{}") },
		"too short": func() []byte { return nil },
		"form": func() []byte {
			b, _ := sealText(reservationsBucket, r.key(), []byte(`[]`))
			return b
		},
		"too few texts": func() []byte {
			b, _ := seal(reservationsBucket, r.key(), reservationEntry{Texts: make([][]byte, 3)})
			return b
		},
	} {
		require.NoError(t, s.ledger.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(reservationsBucket)).Put([]byte(r.key()), sealed())
		}))
		list, err := s.Reservations()
		require.Error(t, err, name)
		require.Nil(t, list)
	}
	// What a later version added is passed over.
	e := reservationEntry{Row: 5}
	e.Texts, _ = pack(r.texts())
	e.Texts = append(e.Texts, []byte("later"))
	var got reservationEntry
	sealed, err := seal("b", "k", e)
	require.NoError(t, err)
	require.NoError(t, unseal("b", "k", sealed, &got))
	var back Reservation
	require.NoError(t, unpack(back.texts(), got.Texts))
	require.Equal(t, r.Mark, back.Mark)
}

// writes counts the transactions of a ledger that were written.
func writes(tb testing.TB, s *Store) (n int) {
	tb.Helper()
	require.NoError(tb, s.ledger.View(func(tx *bbolt.Tx) error { n = tx.ID(); return nil }))
	return n
}

// One change is one write, however much is in it; nothing new is none.
func TestWrites(t *testing.T) {
	s := newQuick(t)
	var put []Reservation
	for i := range 50 {
		put = append(put, inLedger(i, 1))
	}
	before := writes(t, s)
	require.NoError(t, s.ChangeReservations(put, put[:9]))
	require.Equal(t, before+1, writes(t, s))
	note := ReservationNote{Row: 1, Text: "x"}
	require.NoError(t, s.SetReservationNotes(note))
	require.Equal(t, before+2, writes(t, s))

	file, err := os.ReadFile(s.ledger.Path())
	require.NoError(t, err)
	require.NoError(t, s.ChangeReservations(nil, nil))
	require.NoError(t, s.ChangeReservations(put[3:7], put[3:7]))
	require.Equal(t, before+2, writes(t, s))
	require.NoError(t, s.ChangeReservations(put[3:7], put))
	require.NoError(t, s.ChangeReservations(nil, []Reservation{inLedger(60, 1)}))
	require.NoError(t, s.SetReservationNotes())
	require.NoError(t, s.SetReservationNotes(note, ReservationNote{Row: 2}))
	after, err := os.ReadFile(s.ledger.Path())
	require.NoError(t, err)
	require.False(t, bytes.Equal(file, after), "what was not in put is forgotten")
	require.Equal(t, before+3, writes(t, s))
	require.Len(t, mustLedger(t, s), 4)
}

func mustLedger(tb testing.TB, s *Store) []Reservation {
	tb.Helper()
	list, err := s.Reservations()
	require.NoError(tb, err)
	return list
}

func TestReservationsAreBounded(t *testing.T) {
	s := newQuick(t)
	long, uri := strings.Repeat("x", maxLine+1), strings.Repeat("x", maxURI+1)
	for want, spoil := range map[string]func(*Reservation){
		"the owner is missing":                                 func(r *Reservation) { r.Owner = "" },
		"the network is missing":                               func(r *Reservation) { r.Network = "" },
		"the address is missing":                               func(r *Reservation) { r.Addr = "" },
		"the owner has 501 bytes, at most 500 can be kept":     func(r *Reservation) { r.Owner = long },
		"the network has 8193 bytes, at most 8192 can be kept": func(r *Reservation) { r.Network = uri },
		"the address has 501 bytes":                            func(r *Reservation) { r.Addr = long },
		"the MAC has 501 bytes":                                func(r *Reservation) { r.MAC = long },
		"the user has 8193 bytes":                              func(r *Reservation) { r.For = uri },
		"the reference has 8193 bytes":                         func(r *Reservation) { r.Ref = uri },
		"the type has 501 bytes":                               func(r *Reservation) { r.Type = long },
		"the mark has 501 bytes":                               func(r *Reservation) { r.Mark = long },
		`reservation of "10.0.0.1": the VRF has 501 bytes`:     func(r *Reservation) { r.VRF = long },
		"year outside of range":                                func(r *Reservation) { r.Since = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		r := inLedger(1, 1)
		spoil(&r)
		err := s.ChangeReservations([]Reservation{inLedger(2, 1), r}, nil)
		require.ErrorContains(t, err, "keep reservations: ")
		require.ErrorContains(t, err, want)
		require.Less(t, len(err.Error()), 1000)
		require.Empty(t, mustLedger(t, s), "all or nothing")
	}
	// The longest that there can be.
	wide := Reservation{Name: long + long, Since: time.Unix(0, 0).UTC()}
	for _, x := range wide.texts() {
		if !x.clipped {
			*x.value = strings.Repeat("\x00", x.most)
		}
	}
	other := wide
	other.Addr = strings.Repeat("\xff", maxLine)
	require.NoError(t, s.ChangeReservations([]Reservation{other, wide}, nil))
	wide.Name, other.Name = clip(wide.Name, maxLine), clip(wide.Name, maxLine)
	require.Equal(t, []Reservation{wide, other}, mustLedger(t, s))
	file, err := os.ReadFile(s.ledger.Path())
	require.NoError(t, err)
	require.NoError(t, checkedLedger(file))

	require.ErrorContains(t, s.SetReservationNotes(ReservationNote{Row: 1, Text: "x"}, ReservationNote{Row: 0, Text: "x"}), "keep notes of reservations: note of row 0: there is no such row")
	require.NoError(t, s.SetReservationNotes(ReservationNote{Row: -7, Text: "of no row"}))
	notes, err := s.ReservationNotes()
	require.NoError(t, err)
	require.Contains(t, notes, ReservationNote{Row: -7, Text: "of no row"})
	require.NoError(t, s.SetReservationNotes(ReservationNote{Row: -7}))
	require.ErrorContains(t, s.SetReservationNotes(ReservationNote{Row: 3, Text: "x", Tried: long}), "note of row 3: the fingerprint has 501 bytes")
	require.ErrorContains(t, s.SetReservationNotes(ReservationNote{Row: 3, Text: "x", Owner: long}), "the owner has 501 bytes")
	require.NoError(t, s.SetReservationNotes(ReservationNote{Row: 3, Text: strings.Repeat("ä", 3000)}))
	notes, err = s.ReservationNotes()
	require.NoError(t, err)
	require.Len(t, notes, 1)
	require.LessOrEqual(t, len(notes[0].Text), maxText)
}

// As many as there can be: one more is refused, one for another is not.
func TestAFullLedger(t *testing.T) {
	s := newQuick(t)
	fill := func(bucket string, count int) { // as if there were so many
		require.NoError(t, s.ledger.Update(func(tx *bbolt.Tx) error {
			b, err := openTallied(tx, bucket)
			require.NoError(t, err)
			b.now.Count = count
			return put(tx, aboutBucket, bucket, b.now)
		}))
	}
	change := func(n int, forget ...Reservation) error {
		list := make([]Reservation, n)
		for i := range list {
			list[i] = inLedger(1000+i, 1)
		}
		return s.ChangeReservations(list, forget)
	}
	require.NoError(t, s.ChangeReservations([]Reservation{inLedger(1, 1), inLedger(2, 1)}, nil))
	fill(reservationsBucket, maxReservations-1)
	require.ErrorContains(t, change(2), "keep reservations: 100001 would be too many, at most 100000 can be kept")
	require.NoError(t, change(1))
	require.NoError(t, change(2, inLedger(1, 1)), "one for another")
	require.ErrorContains(t, change(3), "100001 would be too many")
	require.NoError(t, s.ChangeReservations([]Reservation{inLedger(2, 2)}, nil), "one that is there")
	fill(reservationsBucket, maxReservations+5)
	require.NoError(t, s.ChangeReservations(nil, []Reservation{inLedger(2, 1)}), "less is never too much")
	require.ErrorContains(t, change(2*maxReservations+1), "200001 at once are too many")

	require.NoError(t, s.SetReservationNotes(ReservationNote{Row: 1, Text: "x"}))
	fill(notesBucket, maxNotes)
	require.ErrorContains(t, s.SetReservationNotes(ReservationNote{Row: 2, Text: "x"}), "keep notes of reservations: 20001 would be too many, at most 20000 can be kept")
	require.NoError(t, s.SetReservationNotes(ReservationNote{Row: 1, Text: "y"}))
	require.NoError(t, s.SetReservationNotes(ReservationNote{Row: 1}, ReservationNote{Row: 2, Text: "x"}))
}

// A full ledger, for the sizes and times in the decision.
func BenchmarkLedger(b *testing.B) {
	s, err := Open(b.TempDir())
	require.NoError(b, err)
	many := make([]Reservation, maxReservations)
	for i := range many {
		many[i] = inLedger(i, 1)
		many[i].Addr = fmt.Sprintf("10.%03d.%03d.%03d", i>>16, i>>8&255, i&255)
		many[i].For, many[i].Ref = fmt.Sprintf("/1.0/instances/web-%08x?project=team-%d", i, i%40), "/1.0/networks/br0/leases?address="+many[i].Addr
	}
	for i := 0; i < len(many); i += 1000 {
		require.NoError(b, s.ChangeReservations(many[i:i+1000], nil))
	}
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			require.Len(b, mustLedger(b, s), maxReservations)
		}
	})
	b.Run("change 50", func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			list := many[n*50%maxReservations:][:50]
			for i := range list {
				list[i].Row++
			}
			require.NoError(b, s.ChangeReservations(list, nil))
		}
	})
	stat, err := os.Stat(s.ledger.Path())
	require.NoError(b, err)
	b.Logf("%d reservations in %d MiB", len(many), stat.Size()>>20)
	dir := filepath.Dir(s.ledger.Path())
	require.NoError(b, s.Close())
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			s, err := Open(dir)
			require.NoError(b, err)
			require.NoError(b, s.Close())
		}
	})
}

// A file that would grow over its bound: the change is refused, and the rest
// stays.
func TestALedgerThatWouldGrowTooMuch(t *testing.T) {
	s := newQuick(t)
	s.ledger.MaxSize = 256 << 10
	require.NoError(t, s.ChangeReservations([]Reservation{inLedger(1, 1)}, nil))
	var more []Reservation
	for i := range 1000 {
		more = append(more, inLedger(i+2, 1))
	}
	require.ErrorContains(t, s.ChangeReservations(more, nil), "keep reservations: the state file would grow over ")
	require.Len(t, mustLedger(t, s), 1)
	require.NoError(t, s.ChangeReservations(more[:1], nil))
	require.Len(t, mustLedger(t, s), 2)
}

// Another layout of one file leaves the other one alone.
func TestLayoutsOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	open := func() *Store {
		s, err := Open(dir)
		require.NoError(t, err)
		return s
	}
	newer := func(db *bbolt.DB) {
		require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
			if _, err := tx.CreateBucket([]byte("zebras")); err != nil {
				return err
			}
			return tx.Bucket([]byte(aboutBucket)).Put([]byte(layoutKey), []byte("2"))
		}))
	}
	s := open()
	require.NoError(t, s.ChangeReservations([]Reservation{inLedger(1, 1)}, nil))
	newer(s.db)
	require.NoError(t, s.Close())
	s = open()
	require.Len(t, s.Notices(), 1)
	require.Contains(t, s.Notice(), `allocsync.db cannot be used (the file is of another version of allocsync: layout "2", this one writes 1)`)
	require.Len(t, mustLedger(t, s), 1)

	_, err := s.AddPass(Pass{})
	require.NoError(t, err)
	newer(s.ledger)
	require.NoError(t, s.Close())
	s = open()
	require.Len(t, s.Notices(), 1)
	require.Contains(t, s.Notice(), `reservations.db cannot be used (the file is of another version of allocsync: layout "2", this one writes 1)`)
	require.Empty(t, mustLedger(t, s))
	list, err := s.Passes(0)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.NoError(t, s.Close())
}
