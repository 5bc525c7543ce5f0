package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"allocsync/ipam"
	"allocsync/netbox"
	"allocsync/sources"
	"allocsync/sync/apply"
	"allocsync/sync/plan"
	"allocsync/sync/reserve"
)

// ErrNoLedger is why no reservation is made or released where there is nowhere
// to remember it.
var ErrNoLedger = errors.New("no state folder is named; set serve.state_dir")

// reserves reports whether any source holds addresses for NetBox.
func (p *Pass) reserves() bool {
	return slices.ContainsFunc(p.Sources, func(s Source) bool { return s.Reserve })
}

// survey asks one source, for reservations too where it is to hold some.
func survey(ctx context.Context, s Source) (sources.Survey, error) {
	reserver, can := s.Source.(sources.Reserver)
	if s.Reserve && can {
		return reserver.Survey(ctx)
	}
	snapshot, err := s.Snapshot(ctx)
	return sources.Survey{Snapshot: snapshot}, err
}

// ownOrNobodys are the rows that ask and that the planner has to know: those of
// sources that are not asked are left alone.
func ownOrNobodys(asking []ipam.Stored, answers []plan.Source) []ipam.Stored {
	asked := owners(answers)
	return slices.DeleteFunc(slices.Clone(asking), func(r ipam.Stored) bool {
		return r.Owner != "" && !slices.Contains(asked, r.Owner)
	})
}

// planReservations plans the way back.
func (p *Pass) planReservations(proposal *Proposal, rows []ipam.Stored, answers []plan.Source) {
	if !p.reserves() {
		return
	}
	in := reserve.Input{Now: p.now(), Rows: staying(rows, proposal.Plan)}
	var err error
	if in.Ledger, err = p.ledger(); err == nil {
		proposal.book = in.Ledger
	}
	for i, r := range proposal.Readings {
		in.Sources = append(in.Sources, siteOf(r, answers[i], proposal.Mapped.Claims))
	}
	back := reserve.Compute(in)
	if err != nil {
		note := err.Error()
		proposal.quiet = true // what was told before is not known
		back.Plan = back.Plan.Withhold(func(plan.Change) (plan.Reason, string) { return plan.NoLedger, note })
	}
	proposal.back = back
	proposal.Plan.Reservations = &back.Plan
}

// staying are the rows that ask without those of a source's own that this very
// plan takes away or to another place: their users are gone, or have moved.
func staying(rows []ipam.Stored, forward plan.Plan) []ipam.Stored {
	going := map[int]bool{}
	for _, c := range forward.Changes {
		moves := c.Action == plan.Update && (c.After.Place != c.Before.Place || c.After.Attrs.GoneUnix != 0)
		if c.Before.Place.Kind == ipam.Address && (c.Action == plan.Delete || moves) {
			going[c.Before.ID] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(rows), func(r ipam.Stored) bool { return going[r.ID] || r.Attrs.GoneUnix != 0 })
}

func (p *Pass) ledger() (reserve.Book, error) {
	if p.Ledger == nil {
		return reserve.Book{}, ErrNoLedger
	}
	return p.Ledger.Read()
}

// siteOf is a reading as package reserve wants it.
func siteOf(r Reading, answer plan.Source, claims []ipam.Claim) reserve.Source {
	site := reserve.Source{Owner: r.Source.Owner, Missing: answer.Missing, Allow: r.Source.Allow, Held: r.Held, Facts: r.Snapshot.Allocations}
	switch {
	case !r.Source.Reserve:
		site.Closed = fmt.Sprintf("reserve: true is not set for source %s", r.Source.Name)
		return site
	case r.Desk == nil && r.Err == nil:
		site.Closed = "systems of this kind hold no addresses for others"
		return site
	case r.Desk != nil:
		site.Consider = r.Desk.Consider
	}
	for i := range claims {
		if c := &claims[i]; c.Owner == r.Source.Owner && c.Place.Kind == ipam.Prefix {
			site.Networks = append(site.Networks, reserve.Network{URI: c.Attrs.UsedBy, Prefix: c.Place.Prefix, VRF: c.Place.VRF})
		}
	}
	return site
}

// withoutReleased keeps rows from being made for reservations that this very
// plan releases: the next pass would have to delete them.
func (p *Proposal) withoutReleased() {
	if p.Plan.Reservations == nil {
		return
	}
	released := p.back.Released(p.Plan.Reservations.Changes)
	if len(released) == 0 {
		return
	}
	p.Plan = p.Plan.Withhold(func(c plan.Change) (plan.Reason, string) {
		going := func(r ipam.Reservation) bool {
			return r.Ref == c.After.Attrs.UsedBy && r.Addr == c.After.Place.Prefix.Addr()
		}
		if c.Action == plan.Create && slices.ContainsFunc(released[c.Owner], going) {
			return plan.Releasing, ""
		}
		return "", ""
	})
}

// reserve carries out the way back.
func (p *Pass) reserve(ctx context.Context, proposal *Proposal) reserve.Result {
	if p.Ledger == nil || proposal.Plan.Reservations == nil {
		return reserve.Result{}
	}
	runner := reserve.Runner{Ledger: p.Ledger, Desks: map[string]sources.Desk{}, Now: p.now, Log: p.Reserved}
	for _, r := range proposal.Readings {
		runner.Desks[r.Source.Owner] = r.Desk
	}
	approved := proposal.Approved.Reservations()
	if len(approved) > 0 {
		p.phase(fmt.Sprintf("%d reservations to make, change or release at the sources", len(approved)), nil)
	}
	return runner.Run(ctx, proposal.back, approved)
}

// remark tells people, in the journals of their rows, why reservations are not
// made: each reason once.
func (p *Pass) remark(ctx context.Context, proposal *Proposal, outcomes []apply.Outcome) {
	if p.Ledger == nil || proposal.Plan.Reservations == nil || proposal.quiet || ctx.Err() != nil {
		return
	}
	var tell, keep []reserve.Note
	for _, n := range reserve.Notes(proposal.back, outcomes, proposal.book) {
		if n.Text != "" && !n.Told {
			tell = append(tell, n)
		} else {
			keep = append(keep, n)
		}
	}
	p.note(keep)
	remarks := make([]netbox.Remark, len(tell))
	for i, n := range tell {
		remarks[i] = netbox.Remark{Row: n.Row, Text: fmt.Sprintf("allocsync: this address is not reserved at %s: %s", n.Owner, n.Text)}
	}
	told, err := proposal.session.Remark(ctx, remarks)
	if err != nil {
		p.phase("the journals of rows whose reservations cannot be made were not written", err)
	}
	for i := range tell {
		tell[i].Told = told[i]
	}
	p.note(tell)
}

// notesAtOnce is how many notes are kept in one step: each step waits for the
// disk.
const notesAtOnce = 100

func (p *Pass) note(list []reserve.Note) {
	for some := range slices.Chunk(list, notesAtOnce) {
		if err := p.Ledger.Note(some...); err != nil {
			p.phase("the ledger of reservations cannot be written", err)
		}
	}
}
