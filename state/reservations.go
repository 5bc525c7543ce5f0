package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

// Bounds of the ledger.
const (
	maxReservations = 100_000
	maxNotes        = 20_000
	maxURI          = 8 << 10 // bytes; sources and NetBox keep URIs of that length
)

// ErrNoLedger is the error of reading and changing reservations where no state
// folder is open: a ledger that is not there must not look like an empty one.
var ErrNoLedger = errors.New("no state folder is open, so what was reserved is not known; name one with serve.state_dir or --state-dir")

// Reservation is one that was made at a source, or was about to be made. Owner,
// Network and Addr say which one it is.
type Reservation struct {
	Owner, Network, Addr string

	MAC, For   string // whom it is for
	Name       string // at most 500 bytes are kept
	Ref, Type  string
	Mark       string // whose it is, as the source keeps it
	Unmarkable bool

	VRF   string
	Row   int  // that asked for it
	Made  bool // the source has said that it holds it
	Since time.Time
}

// ReservationNote says what became of what a row asks for. The row says which
// note it is.
type ReservationNote struct {
	Owner string
	Row   int    // never 0; below 0 for what no row asks for
	Text  string // at most 4,000 bytes are kept
	Tried string
	Told  bool
}

// Reservations returns all that was reserved, by owner, network and address.
// After an error it returns none.
func (s *Store) Reservations() ([]Reservation, error) {
	var list []Reservation
	err := s.readLedger("reservations", reservationsBucket, func(key string, sealed []byte) error {
		var e reservationEntry
		if err := unseal(reservationsBucket, key, sealed, &e); err != nil {
			return err
		}
		r := Reservation{Unmarkable: e.Unmarkable, Row: e.Row, Made: e.Made, Since: e.Since}
		list = append(list, r)
		return unpack(list[len(list)-1].texts(), e.Texts)
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// ChangeReservations deletes some and puts others: all of it or nothing. What is
// in both is put; of two in put that are the same one, the last counts. It is on
// the disk when ChangeReservations returns, and where nothing changes nothing is
// written. After an error of the disk it may all be there, or nothing.
//
// What is too long or would be too many is refused, and with it the whole
// change: 500 bytes a field, 8 KiB where it is a URI, and 100,000 reservations.
func (s *Store) ChangeReservations(put, forget []Reservation) error {
	return s.changeLedger("reservations", reservationsBucket, maxReservations, len(put)+len(forget), func(b *tallied) error {
		stays := make(map[string]bool, len(put))
		for _, r := range put {
			stays[r.key()] = true
		}
		for _, r := range forget {
			if key := r.key(); !stays[key] {
				if err := b.delete(key); err != nil {
					return err
				}
			}
		}
		for _, r := range put {
			e := reservationEntry{Unmarkable: r.Unmarkable, Row: r.Row, Made: r.Made, Since: r.Since.UTC()}
			var err error
			if e.Texts, err = pack(r.texts()); err != nil {
				return fmt.Errorf("reservation of %q: %w", clip(r.Addr, maxLine), err)
			}
			if err := b.put(r.key(), e); err != nil {
				return err
			}
		}
		return nil
	})
}

// ReservationNotes returns all notes, by row. After an error it returns none.
func (s *Store) ReservationNotes() ([]ReservationNote, error) {
	var list []ReservationNote
	err := s.readLedger("notes of reservations", notesBucket, func(key string, sealed []byte) error {
		var e noteEntry
		if err := unseal(notesBucket, key, sealed, &e); err != nil {
			return err
		}
		list = append(list, ReservationNote{Row: e.Row, Told: e.Told})
		return unpack(list[len(list)-1].texts(), e.Texts)
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// SetReservationNotes puts the notes of rows, and deletes those whose Text is
// "": all of them or none, as ChangeReservations does. There can be 20,000.
func (s *Store) SetReservationNotes(notes ...ReservationNote) error {
	return s.changeLedger("notes of reservations", notesBucket, maxNotes, len(notes), func(b *tallied) error {
		for _, n := range notes {
			if n.Row == 0 {
				return fmt.Errorf("note of row %d: there is no such row", n.Row)
			}
			key := string(binary.BigEndian.AppendUint64(nil, uint64(n.Row)))
			if n.Text == "" {
				if err := b.delete(key); err != nil {
					return err
				}
				continue
			}
			texts, err := pack(n.texts())
			if err != nil {
				return fmt.Errorf("note of row %d: %w", n.Row, err)
			}
			if err := b.put(key, noteEntry{Texts: texts, Row: n.Row, Told: n.Told}); err != nil {
				return err
			}
		}
		return nil
	})
}

// readLedger reads all values of a bucket of the ledger.
func (s *Store) readLedger(what, bucket string, read func(key string, sealed []byte) error) error {
	if s == nil {
		return named("read "+what, ErrNoLedger)
	}
	return view(s.ledger, what, func(tx *bbolt.Tx) error {
		b, err := openTallied(tx, bucket)
		if err != nil {
			return err
		}
		return b.each(read)
	})
}

// changeLedger changes a bucket of the ledger, by a number of wishes.
func (s *Store) changeLedger(what, bucket string, most, wishes int, change func(*tallied) error) error {
	switch {
	case s == nil:
		return named("keep "+what, ErrNoLedger)
	case wishes == 0:
		return nil
	case wishes > 2*most: // each of them deleted, and as many new
		return named("keep "+what, fmt.Errorf("%d at once are too many", wishes))
	}
	err := update(s.ledger, what, func(tx *bbolt.Tx) error {
		b, err := openTallied(tx, bucket)
		if err != nil {
			return err
		}
		if err := change(b); err != nil {
			return err
		}
		return b.settle(most)
	})
	if errors.Is(err, errSame) {
		return nil
	}
	return err
}

// reservationEntry and noteEntry are what is written. Their texts are bytes:
// JSON would change strings that are not UTF-8.
type reservationEntry struct {
	Texts      [][]byte
	Row        int
	Unmarkable bool
	Made       bool
	Since      time.Time
}

type noteEntry struct {
	Texts [][]byte
	Row   int
	Told  bool
}

// text is a field that is a text, and its bounds.
type text struct {
	what        string
	value       *string
	least, most int  // bytes
	clipped     bool // where it is longer; others are refused
}

// texts lists the fields in the order in which they are written. A new one
// comes last.
func (r *Reservation) texts() []text {
	return []text{
		{what: "owner", value: &r.Owner, least: 1, most: maxLine},
		{what: "network", value: &r.Network, least: 1, most: maxURI},
		{what: "address", value: &r.Addr, least: 1, most: maxLine},
		{what: "MAC", value: &r.MAC, most: maxLine},
		{what: "user", value: &r.For, most: maxURI},
		{what: "name", value: &r.Name, most: maxLine, clipped: true},
		{what: "reference", value: &r.Ref, most: maxURI},
		{what: "type", value: &r.Type, most: maxLine},
		{what: "mark", value: &r.Mark, most: maxLine},
		{what: "VRF", value: &r.VRF, most: maxLine},
	}
}

func (n *ReservationNote) texts() []text {
	return []text{
		{what: "owner", value: &n.Owner, most: maxLine},
		{what: "text", value: &n.Text, most: maxText, clipped: true},
		{what: "fingerprint", value: &n.Tried, most: maxLine},
	}
}

// pack checks texts and makes them what is written.
func pack(list []text) ([][]byte, error) {
	out := make([][]byte, len(list))
	for i, t := range list {
		value := *t.value
		switch {
		case len(value) < t.least:
			return nil, fmt.Errorf("the %s is missing", t.what)
		case len(value) > t.most && !t.clipped:
			return nil, fmt.Errorf("the %s has %d bytes, at most %d can be kept", t.what, len(value), t.most)
		case len(value) > t.most:
			value = clip(value, t.most)
		}
		out[i] = []byte(value)
	}
	return out, nil
}

// unpack is the way back.
func unpack(list []text, packed [][]byte) error {
	if len(packed) < len(list) {
		return fmt.Errorf("decode: %d texts instead of %d", len(packed), len(list))
	}
	for i, t := range list {
		*t.value = string(packed[i])
	}
	return nil
}

// key sorts by owner, network and address, each of which may hold any bytes: a
// zero byte is written as 0 0xFF, and 0 1 ends each.
func (r *Reservation) key() string {
	var out strings.Builder
	for _, part := range []string{r.Owner, r.Network, r.Addr} {
		out.WriteString(strings.ReplaceAll(part, "\x00", "\x00\xff"))
		out.WriteString("\x00\x01")
	}
	return out.String()
}
