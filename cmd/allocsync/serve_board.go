package main

import (
	"slices"
	"time"

	"allocsync/report"
	"allocsync/state"
	"allocsync/sync/plan"
	"allocsync/sync/worker"
)

// Bounds of what the board keeps for the page.
const (
	boardPasses  = 100
	boardChanges = 2_000 // of each source
	pendingLines = 500
)

// board is what the page shows: what every source last said and what is not
// done about it. The service's lock guards it.
type board struct {
	running bool
	since   time.Time
	doing   string

	version  string // of NetBox
	sources  []boardSource
	passes   []state.Pass // newest first
	pending  []state.Pending
	made     map[string]time.Time // by digest: when that plan was last found to be the one
	networks []report.Utilisation
	counts   []report.Count
}

// boardSource is what is known of one source.
type boardSource struct {
	name, owner, kind string

	last    state.PassSource // of the last pass that asked it
	asked   time.Time        // when that ended; the zero time means never
	success time.Time
	changed state.PassSource // of the last pass that changed anything
	when    time.Time
	state   string    // in a few words
	next    time.Time // when its schedule asks for it; past where that has not happened
	watch   string    // how its events stand; "" where it has none
	deaf    bool      // they do not come in now

	rows losses // of the rows that it owns

	allocations []report.Allocation // as it last listed them
	held        []report.DocumentHeld
	undone      []report.DocumentChange

	reserves bool                      // it is to hold addresses for NetBox
	back     worker.ReservationOutcome // as of the last pass that it answered in
	released losses                    // of reservations, on balance of what passes made and released
	// What of the way back is not planned, or not done.
	heldBack   []report.DocumentReservationHeld
	undoneBack []report.DocumentReservation
}

// keep makes the board that of a configuration: sources that stay keep what is
// known of them.
func (b *board) keep(set *setting) {
	known := b.sources
	b.sources = nil
	for i, source := range set.sources {
		one := boardSource{name: source.Name, owner: source.Owner, kind: set.config.Sources[i].Kind}
		if at := slices.IndexFunc(known, func(s boardSource) bool { return s.owner == source.Owner }); at >= 0 {
			one = known[at]
			one.watch, one.deaf = "", false // it is watched anew
		}
		one.reserves = source.Reserve
		b.sources = append(b.sources, one)
	}
	b.dropPending()
}

func (b *board) source(owner string) *boardSource {
	for i := range b.sources {
		if b.sources[i].owner == owner {
			return &b.sources[i]
		}
	}
	return nil
}

// end takes in what a pass said. r is nil where it said nothing of the plan.
func (b *board) end(p state.Pass, o worker.Outcome, r *report.Report) {
	b.running, b.doing = false, ""
	newest := uint64(0)
	if len(b.passes) > 0 {
		newest = b.passes[0].ID
	}
	p.ID = max(p.ID, newest+1) // where the state folder does not number them
	b.passes = slices.Insert(b.passes, 0, p)
	if len(b.passes) > boardPasses {
		b.passes = b.passes[:boardPasses]
	}
	for i, outcome := range o.Sources() {
		if one := b.source(outcome.Owner); one != nil {
			if o.Err == nil && outcome.Answer != worker.None {
				one.back = outcome.Back
			}
			one.take(p.Sources[i], p.End, o.Err == nil && outcome.Excess == "")
			if o.Err == nil {
				one.count(outcome, p.End, p.Trigger == worker.KindApproval && outcome.Excess == "")
			}
			if outcome.Excess != "" {
				one.state = "over limits"
			}
		}
	}
	if o.Err != nil { // of those that were read before; the others are not ready yet
		for i := range b.sources {
			if slices.Contains(o.Asked, b.sources[i].name) {
				b.sources[i].state = "failed"
			}
		}
	}
	if o.Proposal == nil {
		return
	}
	for _, reading := range o.Proposal.Readings {
		if one := b.source(reading.Source.Owner); one != nil && reading.Err == nil {
			one.allocations = listed(reading)
		}
	}
	if r == nil || o.Err != nil {
		return
	}
	b.version = o.Proposal.Version.String()
	b.plan(o, *r)
	b.suspend(p, o)
}

// take notes what a pass did for a source; within means that NetBox could be
// used and that the source was within its limits.
func (s *boardSource) take(said state.PassSource, at time.Time, within bool) {
	s.last, s.asked, s.state = said, at, said.Answer
	if within && succeeded(said) {
		s.success, s.state = at, "in step"
	}
	if changedAny(said) {
		s.changed, s.when = said, at
	}
}

// count takes note of what a pass took away, for the limits of those that follow.
func (s *boardSource) count(o worker.SourceOutcome, at time.Time, approved bool) {
	s.rows.note(o.Rows-o.Created+o.Deleted, o.Rows, at, approved)
	before := s.released.latest() // what people had released by command does not count
	s.released.note(before, before+o.Back.Made-o.Back.Released, at, approved)
}

// changedAny reports whether a pass changed anything, in NetBox or at the source.
func changedAny(said state.PassSource) bool {
	return said.Created+said.Updated+said.Deleted+said.Reserved+said.Released > 0
}

// succeeded reports whether a source answered in full and everything was done;
// not where all that it wants is held.
func succeeded(said state.PassSource) bool {
	return said.Answer == string(worker.Complete) && said.Failed == 0 &&
		(said.Held == 0 || said.InStep+said.Created+said.Updated > 0)
}

// plan replaces what is not done for the sources that were asked.
func (b *board) plan(o worker.Outcome, r report.Report) {
	for _, reading := range o.Proposal.Readings {
		if one := b.source(reading.Source.Owner); one != nil {
			one.held, one.undone, one.heldBack, one.undoneBack = nil, nil, nil, nil
		}
	}
	held, _ := report.Held(r, boardChanges*len(b.sources))
	for _, h := range held {
		if one := b.source(h.Change.Owner); one != nil {
			one.held = append(one.held, h)
		}
	}
	undone, _ := report.Undone(r, boardChanges*len(b.sources))
	for _, c := range undone {
		if one := b.source(c.Owner); one != nil {
			one.undone = append(one.undone, c)
		}
	}
	heldBack, _ := report.HeldReservations(r, boardChanges*len(b.sources))
	for _, h := range heldBack {
		if one := b.source(h.Change.Owner); one != nil {
			one.heldBack = append(one.heldBack, h)
		}
	}
	undoneBack, _ := report.UndoneReservations(r, boardChanges*len(b.sources))
	for _, c := range undoneBack {
		if one := b.source(c.Owner); one != nil {
			one.undoneBack = append(one.undoneBack, c)
		}
	}
}

// suspend takes in a plan that waits for a person.
func (b *board) suspend(p state.Pass, o worker.Outcome) {
	since := p.End
	for _, old := range b.pending {
		if old.Digest == p.Digest {
			since = old.Since
		}
	}
	b.dropPending()
	if excess := o.Proposal.Excess; excess == nil || len(excess.Sources) < len(o.Asked) { // a pass of these alone follows: see service.plain
		return
	}
	pending := state.Pending{Digest: p.Digest, Asked: o.Asked, Since: since}
	for _, e := range o.Proposal.Excess.Sources {
		one := state.PendingOwner{Owner: e.Owner, Rows: e.Rows, Limit: e.Text}
		for _, s := range sharesOf(o.Proposal.Plan) {
			if s.Owner == e.Owner {
				one.Updates, one.Deletes = one.Updates+s.Update, one.Deletes+s.Delete
			}
		}
		pending.Owners = append(pending.Owners, one)
	}
	pending.Changes, pending.More = report.Lines(o.Proposal.Plan, pendingLines)
	if b.made == nil {
		b.made = map[string]time.Time{}
	}
	b.pending = append(b.pending, pending)
	b.made[pending.Digest] = p.End
	for digest := range b.made { // only of those that wait
		if !slices.ContainsFunc(b.pending, func(p state.Pending) bool { return p.Digest == digest }) {
			delete(b.made, digest)
		}
	}
}

// sharesOf lists the shares of the sources in a plan, of both directions.
func sharesOf(p plan.Plan) []plan.Summary {
	if p.Reservations == nil {
		return p.Sources
	}
	return slices.Concat(p.Sources, p.Reservations.Sources)
}

// dropPending drops the plans whose sources are gone, or have been asked again
// since: there is another plan now, or none is needed.
func (b *board) dropPending() {
	b.pending = slices.DeleteFunc(b.pending, func(old state.Pending) bool {
		return !slices.ContainsFunc(old.Owners, func(waits state.PendingOwner) bool {
			one := b.source(waits.Owner)
			made := b.made[old.Digest]
			if made.IsZero() { // from before this process
				made = old.Since
			}
			return one != nil && !one.asked.After(made)
		})
	})
}

// allocations lists all that the sources last said.
func (b *board) allocations() []report.Allocation {
	var all []report.Allocation
	for _, s := range b.sources {
		all = append(all, s.allocations...)
	}
	return all
}

// count counts what is in use. It takes its time where that is much, so the
// board is locked only to take the result in.
func (s *service) count(all []report.Allocation) {
	usage := report.UsageOf(all)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.board.networks, s.board.counts, s.cached = usage.Prefixes, usage.Counts, nil
}
