package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/spf13/pflag"

	"allocsync/state"
	"allocsync/sync/reserve"
	"allocsync/sync/worker"
	"allocsync/webhook"
)

// desk takes what commands ask for: this process, or a serve that runs. What is
// asked for was checked by requestOf and addressOf.
type desk interface {
	reserve(ctx context.Context, wanted webhook.ReservationRequest) (made webhook.Reservation, fresh bool, err error)
	release(ctx context.Context, source, address string) (webhook.Reservation, error)
	list(ctx context.Context, source, address string) (webhook.ReservationList, error)
}

// deskFlags say which desk is asked.
type deskFlags struct {
	server, tokenFile, caFile string
	stateDir                  string
}

func (f *deskFlags) flags(flags *pflag.FlagSet) {
	flags.StringVar(&f.server, "server", "", "ask a running allocsync serve: https://HOST:PORT")
	flags.StringVar(&f.tokenFile, "token-file", "", "file with the token for --server (or ALLOCSYNC_API_TOKEN)")
	flags.StringVar(&f.caFile, "ca-file", "", "PEM file of the authorities that may have signed the certificate of --server")
	flags.StringVar(&f.stateDir, "state-dir", "", "folder in which it is remembered what was reserved (overrides serve.state_dir)")
}

// openDesk returns the desk that the flags name, and what closes it.
func (p *program) openDesk(f deskFlags) (desk, func(), error) {
	if f.server != "" {
		remote, err := p.openRemoteDesk(f)
		return remote, func() {}, err
	}
	if f.tokenFile != "" || f.caFile != "" {
		return nil, nil, errors.New("--token-file and --ca-file are for --server, which is not given")
	}
	progress := newProgress(p.stderr)
	s, err := p.load(p.configPath, progress.retry)
	if err != nil {
		return nil, nil, err
	}
	leave := s.openLedger(f.stateDir)
	// Nothing is read before it is known that something can be done.
	if err := s.ledgerFault(); err != nil {
		leave()
		return nil, nil, err
	}
	return localDesk{s, func(only []string) *worker.Pass { return s.pass(only, progress) }}, leave, nil
}

// ledgerFault says why nothing can be reserved here.
func (s *setting) ledgerFault() error {
	switch {
	case !s.reserves():
		return errNoReserving
	case s.ledger == nil:
		return errors.New("no state folder is named, in which it is remembered what was reserved: set serve.state_dir, or give --state-dir")
	}
	_, err := s.ledger.Read()
	var locked *state.LockedError
	if errors.As(err, &locked) {
		who := "another allocsync"
		if locked.PID != 0 {
			who = fmt.Sprintf("%s, process %d", who, locked.PID)
		}
		return fmt.Errorf("the state folder %s is in use by %s, as it is while serve runs: ask that one with --server URL", locked.Dir, who)
	}
	return err
}

// errNoReserving is why there is nothing to list or to ask.
var errNoReserving = fmt.Errorf("%w: no source holds reservations; set reserve: true for one", worker.ErrRequest)

// localDesk does it in this process.
type localDesk struct {
	*setting
	pass func(only []string) *worker.Pass
}

func (d localDesk) reserve(ctx context.Context, wanted webhook.ReservationRequest) (webhook.Reservation, bool, error) {
	request, err := requestOf(wanted)
	if err != nil {
		return webhook.Reservation{}, false, err
	}
	before, err := d.book()
	if err != nil {
		return webhook.Reservation{}, false, err
	}
	made, err := d.pass([]string{wanted.Source}).Reserve(ctx, request)
	if err != nil {
		return webhook.Reservation{}, false, err
	}
	known := slices.ContainsFunc(before.Entries, func(e reserve.Entry) bool {
		return e.Made && e.Owner == d.owner(made.Source) && e.Wish.Network == made.Network && e.Wish.Addr == made.Addr
	})
	return documentOf(made), made.State == worker.Held && !known, nil
}

// owner is what a source is called in NetBox and in the ledger.
func (s *setting) owner(source string) string {
	for _, one := range s.sources {
		if one.Name == source {
			return one.Owner
		}
	}
	return ""
}

// book is what the ledger knows.
func (s *setting) book() (reserve.Book, error) {
	if s.ledger == nil {
		return reserve.Book{}, fmt.Errorf("%w: %w", worker.ErrRequest, worker.ErrNoLedger)
	}
	return s.ledger.Read()
}

func (d localDesk) release(ctx context.Context, source, address string) (webhook.Reservation, error) {
	addr, err := addressOf(address)
	if err != nil {
		return webhook.Reservation{}, err
	}
	gone, err := d.pass([]string{source}).Release(ctx, source, addr)
	if err != nil {
		return webhook.Reservation{}, err
	}
	out := documentOf(gone)
	if gone.State != worker.Foreign {
		out.State, out.Reason, out.InUse = stateReleased, "", ""
	}
	return out, nil
}

func (d localDesk) list(ctx context.Context, source, address string) (webhook.ReservationList, error) {
	addr, err := addressOf(address)
	if err != nil {
		return webhook.ReservationList{}, err
	}
	if source != "" {
		list, missing, err := d.pass([]string{source}).Reservations(ctx, source)
		return webhook.ReservationList{Reservations: documentsOf(list, addr), Unread: unreadOf(source, missing)}, err
	}
	return d.listAll(ctx, addr)
}

// listAll asks every source that holds reservations. It fails where none
// answers.
func (d localDesk) listAll(ctx context.Context, addr netip.Addr) (webhook.ReservationList, error) {
	out := webhook.ReservationList{Reservations: []webhook.Reservation{}, Unread: []webhook.UnreadSource{}}
	asked, failed, last := 0, 0, error(nil)
	for _, s := range d.sources {
		if !s.Reserve {
			continue
		}
		asked++
		list, missing, err := d.pass([]string{s.Name}).Reservations(ctx, s.Name)
		out.Unread = append(out.Unread, unreadOf(s.Name, missing)...)
		switch {
		case ctx.Err() != nil:
			return webhook.ReservationList{}, ctx.Err()
		case err != nil:
			failed++
			out.Unread, last = append(out.Unread, webhook.UnreadSource{Source: s.Name, Error: err.Error()}), err
		default:
			out.Reservations = append(out.Reservations, documentsOf(list, addr)...)
		}
	}
	switch {
	case asked == 0:
		return webhook.ReservationList{}, errNoReserving
	case asked == failed:
		return webhook.ReservationList{}, last
	}
	return out, nil
}

// unreadOf lists the parts of a source that could not be read.
func unreadOf(source string, missing []string) []webhook.UnreadSource {
	unread := []webhook.UnreadSource{}
	for _, text := range missing {
		unread = append(unread, webhook.UnreadSource{Source: source, Error: text})
	}
	return unread
}
