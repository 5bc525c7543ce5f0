package worker

import (
	"allocsync/sync/apply"
	"allocsync/sync/plan"
	"time"
)

// Answer is how a source answered.
type Answer string

// The answers of a source.
const (
	Complete   Answer = "complete"
	Incomplete Answer = "incomplete" // parts, or names that NetBox lacks, are missing
	None       Answer = "none"
)

// SourceOutcome is one source's share of an Outcome.
type SourceOutcome struct {
	Name, Owner string
	Answer      Answer
	Missing     []string // what could not be read, or why it did not answer
	Allocations int      // that it handed out
	Rows        int      // that NetBox holds for it after the pass; 0 where NetBox was not read
	InStep      int
	Planned     int // changes planned, reservations among them
	Created     int // changes carried out
	Updated     int
	Deleted     int
	Held        int    // changes to rows that were not planned, each for a reason
	Failed      int    // changes tried and not carried out: refused, kept, unknown, or skipped at the end
	Excess      string // in what way it is over its limits; "" where it is not
	Took        time.Duration

	Back ReservationOutcome

	// Again reports whether it is worth while to try the source again soon:
	// it, or NetBox, was not there, or somebody changed rows meanwhile.
	Again bool
}

// ReservationOutcome is one source's share of the way back: what rows ask it to
// hold, and what was done about it there.
type ReservationOutcome struct {
	Takes bool // it holds addresses for NetBox, or rows ask it to
	Asked int  // rows that ask
	Unmet int  // of these, how many are not held after the pass
	Own   int  // reservations made from here, and held after the pass
	Held  int  // changes that were not planned, each for a reason

	Made, Changed, Released int
	Failed                  int // changes tried and not carried out
}

// Sources breaks the outcome down by source, in the order in which they were
// asked. It is empty where NetBox could not be used.
func (o Outcome) Sources() []SourceOutcome {
	if o.Proposal == nil {
		return nil
	}
	list := make([]SourceOutcome, len(o.Proposal.Readings))
	at := map[string]*SourceOutcome{}
	for i, r := range o.Proposal.Readings {
		list[i] = SourceOutcome{
			Name: r.Source.Name, Owner: r.Source.Owner, Answer: Complete, Missing: r.Missing(),
			Allocations: len(r.Snapshot.Allocations), Took: r.Took, Again: r.Err != nil || !r.Snapshot.Complete(),
		}
		at[r.Source.Owner] = &list[i]
		list[i].Back.Takes = o.Proposal.Plan.Reservations != nil && r.Source.Reserve
	}
	for _, s := range o.Proposal.Plan.Sources {
		if one := at[s.Owner]; one != nil {
			one.plan(s)
		}
	}
	if back := o.Proposal.Plan.Reservations; back != nil {
		for _, s := range back.Sources {
			if one := at[s.Owner]; one != nil {
				one.planBack(s)
			}
		}
	}
	for i, r := range o.Proposal.Readings {
		switch {
		case r.Err != nil:
			list[i].Answer = None
		case len(list[i].Missing) > 0:
			list[i].Answer = Incomplete
		}
	}
	if o.Proposal.Excess != nil {
		for _, e := range o.Proposal.Excess.Sources {
			if one := at[e.Owner]; one != nil {
				one.Excess = e.Text
			}
		}
	}
	if o.Result != nil {
		for _, change := range o.Result.Outcomes {
			if one := at[change.Change.Owner]; one != nil {
				one.count(change, at[change.Change.Before.Owner])
			}
		}
		for _, change := range o.Result.Reservations {
			if one := at[change.Change.Owner]; one != nil {
				one.countBack(change)
			}
		}
	}
	return list
}

func (s *SourceOutcome) plan(p plan.Summary) {
	s.Missing = p.Missing
	s.Rows, s.InStep, s.Held = p.Rows, p.InStep, p.Held
	s.Planned = p.Create + p.Update + p.Delete
}

// planBack adds the way back.
func (s *SourceOutcome) planBack(p plan.Summary) {
	s.Planned += p.Create + p.Update + p.Delete
	s.Back.Takes = s.Back.Takes || p.Claims+p.Rows > 0
	s.Back.Asked, s.Back.Unmet, s.Back.Own, s.Back.Held = p.Claims, p.Claims-p.InStep, p.Rows, p.Held
}

// count counts a change; from is the source that the row belonged to before, nil
// for none that was asked.
func (s *SourceOutcome) count(o apply.Outcome, from *SourceOutcome) {
	switch {
	case o.Status != apply.Done:
		s.Failed++
		s.Again = s.Again || o.Status != apply.Refused
	case o.Change.Action == plan.Create:
		s.Created++
		s.Rows++
	case o.Change.Action == plan.Update:
		s.Updated++
		if o.Change.Before.Owner != s.Owner && o.Change.After.Owner == s.Owner { // handed over
			s.Rows++
			if from != nil {
				from.Rows--
			}
		}
	case o.Change.Action == plan.Delete:
		s.Deleted++
		s.Rows--
	}
}

// countBack counts a change at the source. What was released may be wanted for
// another, which the next pass finds out.
func (s *SourceOutcome) countBack(o apply.Outcome) {
	switch {
	case o.Status != apply.Done:
		s.Back.Failed++
		s.Again = s.Again || o.Status != apply.Refused
	case o.Change.Action == plan.Create:
		s.Back.Made++
		s.Back.Own++
		s.Back.Unmet--
	case o.Change.Action == plan.Update:
		s.Back.Changed++
		s.Back.Unmet--
	case o.Change.Action == plan.Delete:
		s.Back.Released++
		s.Back.Own--
		s.Again = true
	}
}
