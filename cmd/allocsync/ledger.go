package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"allocsync/ipam"
	"allocsync/report"
	"allocsync/state"
	"allocsync/sync/reserve"
	"allocsync/sync/worker"
)

// ledger keeps what was reserved in the state folder.
type ledger struct{ store *state.Store }

// ledgerOf is nil where no state folder is open.
func ledgerOf(s *state.Store) reserve.Ledger {
	if s == nil {
		return nil
	}
	return ledger{s}
}

// Read reads all of it.
func (l ledger) Read() (reserve.Book, error) {
	kept, err := l.store.Reservations()
	if err != nil {
		return reserve.Book{}, err
	}
	notes, err := l.store.ReservationNotes()
	if err != nil {
		return reserve.Book{}, err
	}
	var book reserve.Book
	for _, r := range kept {
		entry, err := entryFrom(r)
		if err != nil {
			return reserve.Book{}, err
		}
		book.Entries = append(book.Entries, entry)
	}
	for _, n := range notes {
		book.Notes = append(book.Notes, reserve.Note(n))
	}
	return book, nil
}

// Change puts and forgets entries in one step. One that is put and forgotten at
// once was released and made again: it is put.
func (l ledger) Change(put, forget []reserve.Entry) error {
	for _, e := range put {
		if !e.Wish.Addr.IsValid() {
			return fmt.Errorf("keep reservation of %s: no address", e.Owner)
		}
	}
	return l.store.ChangeReservations(kept(put), kept(forget))
}

// Note keeps or deletes the notes of rows.
func (l ledger) Note(notes ...reserve.Note) error {
	list := make([]state.ReservationNote, len(notes))
	for i, n := range notes {
		list[i] = state.ReservationNote(n)
	}
	return l.store.SetReservationNotes(list...)
}

func kept(entries []reserve.Entry) []state.Reservation {
	list := make([]state.Reservation, len(entries))
	for i, e := range entries {
		w := e.Wish
		list[i] = state.Reservation{
			Owner: e.Owner, Network: string(w.Network), Addr: w.Addr.String(),
			MAC: string(w.MAC), For: string(w.For), Name: w.Name, Ref: string(w.Ref), Type: w.Type,
			Mark: w.Mark, Unmarkable: w.Unmarkable, VRF: e.VRF, Row: e.Row, Made: e.Made, Since: e.Since,
		}
	}
	return list
}

func entryFrom(r state.Reservation) (reserve.Entry, error) {
	addr, err := netip.ParseAddr(r.Addr)
	return reserve.Entry{
		Owner: r.Owner, VRF: r.VRF, Row: r.Row, Made: r.Made, Since: r.Since,
		Wish: ipam.Reservation{
			Network: ipam.UsedBy(r.Network), Addr: addr, MAC: ipam.MAC(r.MAC), For: ipam.UsedBy(r.For), Name: r.Name,
			Ref: ipam.UsedBy(r.Ref), Type: r.Type, Mark: r.Mark, Unmarkable: r.Unmarkable,
		},
	}, err
}

// noLedger stands for a ledger that cannot be used now: nothing is reserved and
// nothing released, and err is why.
type noLedger struct{ err error }

func (l noLedger) Read() (reserve.Book, error) { return reserve.Book{}, l.err }

func (l noLedger) Change(_, _ []reserve.Entry) error { return l.err }

func (l noLedger) Note(...reserve.Note) error { return l.err }

// reserves reports whether any source holds addresses for NetBox.
func (s *setting) reserves() bool {
	return slices.ContainsFunc(s.sources, func(one worker.Source) bool { return one.Reserve })
}

// openLedger opens the state folder, dir or else that of the configuration, if a
// source holds addresses; the function returned closes it. A folder that cannot
// be used, because serve has it for example, keeps reservations from being made
// and nothing else.
func (s *setting) openLedger(dir string) func() {
	if dir == "" {
		dir = s.config.Serve.StateDir
	}
	if dir == "" || !s.reserves() {
		return func() {}
	}
	store, err := state.Open(dir)
	if err != nil {
		var locked *state.LockedError
		if errors.As(err, &locked) {
			err = errors.Join(err, errAskServer)
		}
		s.ledger = noLedger{err}
		return func() {}
	}
	s.ledger = ledgerOf(store)
	return func() { _ = store.Close() } // each change of it was on disk before
}

// errAskServer says what to do where serve has the ledger.
var errAskServer = errors.New("serve makes the reservations then; ask it with --server")

// checkLedger finds out whether reservations can be remembered.
func (s *setting) checkLedger() []report.Finding {
	if !s.reserves() {
		return nil
	}
	const section = "Reservations"
	if s.ledger == nil {
		return []report.Finding{{Section: section, Text: worker.ErrNoLedger.Error(), Fix: "name a folder that outlives the program: what was reserved is released only by whoever remembers it"}}
	}
	book, err := s.ledger.Read()
	var locked *state.LockedError
	switch {
	case errors.As(err, &locked):
		return []report.Finding{{Section: section, OK: true, Text: "the ledger is in use by another allocsync, as it is while serve runs"}}
	case err != nil:
		return []report.Finding{{Section: section, Text: err.Error(), Fix: "mend the state folder"}}
	}
	return []report.Finding{{Section: section, OK: true, Text: fmt.Sprintf("the ledger can be used; it knows of %d reservations", len(book.Entries))}}
}
