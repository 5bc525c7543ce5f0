package worker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"allocsync/ipam"
	"allocsync/sync/apply"
	"allocsync/sync/plan"
)

// Request asks by command for what a person asks for with a row in NetBox.
type Request struct {
	Source  string     // name in the configuration
	Network string     // CIDR, name, ID or URI of a network of the source
	Addr    netip.Addr // zero: the source chooses, or NetBox where it does not
	MAC     ipam.MAC
	For     string // URI, name or ID of a node or instance
	NIC     string // name of its interface, in place of MAC
	Name    string // host name, or who it is for
}

// Errors of requests that callers tell apart, besides those of package sources.
var (
	// ErrRequest: the request cannot be met as things are in NetBox or in the
	// configuration; nothing was changed.
	ErrRequest = errors.New("cannot be done")
	// ErrUnfinished: the source did not say what it did. The row in NetBox
	// stays, and the next pass finishes what was begun.
	ErrUnfinished = errors.New("not finished")
)

// Reserve makes a reservation: a row in NetBox that asks for it, then what the
// source holds, then what is to be filled in. It is idempotent for a request
// that names its address. Where the source refuses, the row is taken away again.
//
// It costs the reading of one source, as a pass of that source alone does, and
// makes no other change.
func (p *Pass) Reserve(ctx context.Context, r Request) (Reservation, error) {
	o, err := p.office(ctx, r.Source)
	if err != nil {
		return Reservation{}, err
	}
	network, err := o.network(r.Network, r.Addr)
	if err != nil {
		return Reservation{}, err
	}
	wish := ipam.Reservation{Network: network.URI, Addr: r.Addr, MAC: r.MAC, For: ipam.UsedBy(r.For), NIC: r.NIC, Name: r.Name, Mark: o.reading.Source.Owner}
	row, made, err := o.row(ctx, network, wish)
	var result Reservation
	if err == nil {
		result, err = o.hold(ctx, row)
	}
	if err == nil {
		return result, nil
	}
	if made && !errors.Is(err, ErrUnfinished) {
		if left := o.remove(context.WithoutCancel(ctx), row); left != nil {
			err = fmt.Errorf("%w: %w; row #%d, which asks for it, could not be taken away again: %w", ErrUnfinished, err, row.ID, left)
		}
	}
	return Reservation{}, err
}

// Release ends a reservation: first at the source, then in NetBox, where the row
// that asked for it is deleted, or asks no longer if it is the source's own. One
// that others made at the source stays there, and only the row goes.
func (p *Pass) Release(ctx context.Context, source string, addr netip.Addr) (Reservation, error) {
	o, err := p.office(ctx, source)
	if err != nil {
		return Reservation{}, err
	}
	if missing := o.reading.Missing(); len(missing) > 0 {
		return Reservation{}, fmt.Errorf("%w: the source did not answer in full: %s", ErrRequest, missing[0])
	}
	list := slices.DeleteFunc(o.list(), func(r Reservation) bool { return r.Addr != addr || r.Row == 0 && r.State != Held })
	asking := slices.DeleteFunc(slices.Clone(o.asking), func(r ipam.Stored) bool { return r.Place.Prefix.Addr() != addr })
	switch {
	case len(asking) > 1:
		return Reservation{}, fmt.Errorf("%w: rows #%d and #%d of NetBox both ask for %s; delete the right one there", ErrRequest, asking[0].ID, asking[1].ID, addr)
	case len(asking) == 1 && asking[0].Owner != "" && asking[0].Owner != o.reading.Source.Owner:
		return Reservation{}, fmt.Errorf("%w: row #%d, which asks for %s, belongs to %s", ErrRequest, asking[0].ID, addr, asking[0].Owner)
	case len(list) == 0:
		return Reservation{}, fmt.Errorf("%w: no row asks %s for %s, and no reservation of it was made here", ErrRequest, o.reading.Source.Owner, addr)
	case len(list) > 1:
		return Reservation{}, fmt.Errorf("%w: %s is reserved in more than one table or network (%s); delete the right row in NetBox", ErrRequest, addr, tablesOf(list))
	}
	return list[0], o.letGo(ctx, list[0])
}

// Reservations lists what is held at a source, by whomever, and what is asked of
// it, ordered by address. Missing are the parts of the source that could not be
// read, each with its reason.
func (p *Pass) Reservations(ctx context.Context, source string) (list []Reservation, missing []string, err error) {
	o, err := p.office(ctx, source)
	if err != nil {
		return nil, nil, err
	}
	return o.list(), o.reading.Missing(), nil
}

// office is one source with everything that was read for one request.
type office struct {
	pass     *Pass
	proposal *Proposal
	reading  Reading
	answers  []plan.Source
	asking   []ipam.Stored
}

func (p *Pass) office(ctx context.Context, source string) (*office, error) {
	one := *p
	one.Only = []string{source}
	asked, err := one.asked()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if !asked[0].Reserve {
		return nil, fmt.Errorf("%w: source %s holds no reservations; set reserve: true for it", ErrRequest, source)
	}
	proposal, err := one.Plan(ctx)
	switch {
	case errors.Is(err, ErrNoSource):
		return nil, proposal.Readings[0].Err
	case err != nil:
		return nil, err
	}
	if _, err := one.ledger(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return &office{
		pass: &one, proposal: proposal, reading: proposal.Readings[0],
		answers: answersOf(proposal.Readings, proposal.Mapped.Problems), asking: proposal.asking,
	}, nil
}

// focus plans the way back for one address of one table alone, with the rows
// given as those that ask.
func (o *office) focus(rows []ipam.Stored, place ipam.Place) {
	o.pass.planReservations(o.proposal, rows, o.answers)
	back := o.proposal.Plan.Reservations
	back.Changes = slices.DeleteFunc(back.Changes, func(c plan.Change) bool {
		return c.Before.Place != place && c.After.Place != place
	})
	o.proposal.Plan = plan.Plan{Reservations: back}
	o.proposal.back.Forget, o.proposal.back.Adopt = nil, nil // a pass looks after the others
	o.proposal.quiet = true
	// A person asked for this very thing: limits are for what nobody looked at.
	o.proposal.Approved, _ = o.proposal.Plan.ApproveDigest(o.proposal.Plan.Digest())
}

// hold has the source hold what a row asks for.
func (o *office) hold(ctx context.Context, row ipam.Stored) (Reservation, error) {
	o.asking = append(slices.DeleteFunc(slices.Clone(o.asking), func(r ipam.Stored) bool { return r.ID == row.ID }), row)
	o.focus(o.asking, row.Place)
	if why, held := o.proposal.back.Why(row.ID); held {
		return Reservation{}, fmt.Errorf("%w: %s", ErrRequest, why)
	}
	result := o.pass.Carry(ctx, o.proposal)
	if err := failure(result); err != nil {
		return Reservation{}, err
	}
	done := Reservation{Source: o.reading.Source.Name, VRF: row.Place.VRF, Mask: row.Attrs.Mask, Row: row.ID, State: Held}
	for _, made := range o.proposal.made {
		done.Reservation = made
		return done, nil
	}
	for _, r := range o.list() { // it was held already
		if r.Row == row.ID {
			return r, nil
		}
	}
	return Reservation{}, fmt.Errorf("%w: %s is not held", ErrUnfinished, row.Place.Prefix.Addr())
}

// letGo ends a reservation, and then what asks for it.
func (o *office) letGo(ctx context.Context, r Reservation) error {
	place := ipam.PlaceOf(r.VRF, ipam.Address, ipam.HostPrefix(r.Addr))
	o.focus(nil, place) // as if nobody asked for anything: that moves nothing elsewhere
	if h, held := o.heldBack(place); held {
		return fmt.Errorf("%w: %s: %s", ErrRequest, h.Reason, h.Note)
	}
	if err := failure(o.pass.Carry(ctx, o.proposal)); err != nil {
		return err
	}
	for _, row := range o.asking {
		if row.ID != r.Row {
			continue
		}
		if err := o.remove(ctx, row); err != nil {
			return fmt.Errorf("%w: %s is released at the source, and row #%d, which asks for it again, is still there: %w", ErrUnfinished, r.Addr, row.ID, err)
		}
	}
	return nil
}

// remove has a row ask no longer: the source's own row stays, one that is
// nobody's is deleted. It looks again first.
func (o *office) remove(ctx context.Context, row ipam.Stored) error {
	session := o.proposal.session
	rows, err := session.Rows(ctx, ipam.Address, []int{row.ID})
	switch {
	case err != nil:
		return err
	case len(rows) == 0:
		return nil
	case rows[0].ReserveAt != row.ReserveAt || rows[0].Owner != row.Owner || rows[0].Place != row.Place:
		return fmt.Errorf("%w: row #%d was changed by somebody meanwhile, and stays", ErrRequest, row.ID)
	case row.Owner != "":
		return session.SetReserveAt(ctx, row.ID, "")
	}
	return session.Delete(ctx, ipam.Address, []int{row.ID})
}

// heldBack finds what keeps a place from being given up.
func (o *office) heldBack(place ipam.Place) (plan.Held, bool) {
	held := o.proposal.Plan.Reservations.Held
	i := slices.IndexFunc(held, func(h plan.Held) bool { return h.Change.Action != plan.Create && h.Change.Before.Place == place })
	if i < 0 {
		return plan.Held{}, false
	}
	return held[i], true
}

// failure is why a result is not what was asked for.
func failure(r apply.Result) error {
	for _, o := range r.Reservations {
		switch o.Status {
		case apply.Done:
		case apply.Refused:
			return fmt.Errorf("%w: %s", ErrRequest, o.Detail)
		case apply.Skipped:
			return errors.Join(ErrUnfinished, r.Err)
		default:
			return fmt.Errorf("%w: %s", ErrUnfinished, o.Detail)
		}
	}
	if r.Err != nil && len(r.Reservations) > 0 { // the source has done it, NetBox has not
		return fmt.Errorf("%w: %w", ErrUnfinished, r.Err)
	}
	return r.Err
}
