package worker

import (
	"context"
	"errors"
	"time"

	"allocsync/netbox"
	"allocsync/sync/apply"
	"allocsync/sync/plan"
)

// Outcome is one pass as a whole: all that a report, the history and metrics
// say of it.
type Outcome struct {
	Started, Ended time.Time
	Only           []string // as in Pass; empty means all
	Asked          []string // names of the sources asked, in the order of the configuration

	Proposal *Proposal     // nil where NetBox could not be used, or ctx ended before there was one
	Result   *apply.Result // nil where nothing was to be carried out: see Err

	// Err is why nothing was carried out: NetBox could not be used, no source
	// answered (ErrNoSource), the approval was of another plan (ErrApproval),
	// or ctx ended. Why carrying out ended early is in Result.
	Err error

	// Requests, rows read and rows written of this pass. They are right as
	// long as nothing else uses the client meanwhile.
	Requests, RowsRead, RowsWritten int
}

// ErrApproval says that the digest approved is not that of the plan. Nothing
// was carried out.
var ErrApproval = errors.New("the approval is of another plan")

// Run runs one pass as a whole: Plan, Confirm of approve where that is not "",
// and Carry of what is approved.
//
// When ctx ends, no further batch begins; the one in flight is brought to its
// end and counted, for at most Apply.Grace. A panic, in a source or anywhere
// else, is not caught: see docs/decisions/0052.
func (p *Pass) Run(ctx context.Context, approve string) (o Outcome) {
	o = Outcome{Started: p.now(), Only: p.Only}
	before := p.NetBox.Stats()
	defer func() {
		after := p.NetBox.Stats()
		o.Requests = after.Requests() - before.Requests()
		o.RowsRead = after.Rows - before.Rows
		o.RowsWritten = written(after) - written(before)
		o.Ended = p.now()
	}()
	if asked, err := p.asked(); err == nil { // else Plan says so
		for _, s := range asked {
			o.Asked = append(o.Asked, s.Name)
		}
	}
	if o.Proposal, o.Err = p.Plan(ctx); o.Err != nil {
		return o
	}
	if approve != "" {
		if err := o.Proposal.Confirm(approve); err != nil {
			o.Err = errors.Join(ErrApproval, err)
			return o
		}
	}
	result := p.Carry(ctx, o.Proposal)
	o.Result = &result
	return o
}

func written(s netbox.Stats) int { return s.Created + s.Updated + s.Deleted }

// Verdict sums an Outcome up in a word.
type Verdict string

// The verdicts. Where two fit, the one that stands first here is it.
const (
	OverLimits Verdict = "over limits" // a source is over its limits; what the others asked for was tried
	Failed     Verdict = "failed"      // nothing was done: NetBox, every source, or a wrong approval
	Partly     Verdict = "partly"      // some rows, or some sources, could not be done
	Applied    Verdict = "applied"     // everything was done
	InStep     Verdict = "in step"     // there was nothing to do
)

// Verdict sums the pass up. The exit codes of `allocsync sync` follow it. Of a
// dry run, which has no Result, it says what stands before anything is tried.
func (o Outcome) Verdict() Verdict {
	if o.Err != nil {
		return Failed
	}
	var result apply.Result
	if o.Result != nil {
		result = *o.Result
	}
	done := result.Count(apply.Done)
	switch {
	case o.Proposal.Excess != nil:
		return OverLimits
	case done == 0 && result.Err != nil:
		return Failed
	case done < result.Len() || o.Proposal.partial():
		return Partly
	case done > 0:
		return Applied
	}
	return InStep
}

// partial reports whether a source did not answer in full, or has not one of
// the rows that it asks for.
func (p *Proposal) partial() bool {
	if len(p.Mapped.Problems) > 0 {
		return true
	}
	for _, r := range p.Readings {
		if r.Err != nil || !r.Snapshot.Complete() {
			return true
		}
	}
	for _, s := range p.Plan.Sources {
		if s.Claims > 0 && s.InStep+s.Create+s.Update == 0 {
			return true
		}
	}
	return false
}

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
	Planned     int // changes planned
	Created     int // changes carried out
	Updated     int
	Deleted     int
	Held        int
	Failed      int    // changes tried and not carried out: refused, kept, unknown, or skipped at the end
	Reserved    int    // reservations made at the source, or changed
	Released    int    // and given up
	Excess      string // in what way it is over its limits; "" where it is not
	Took        time.Duration

	// Again reports whether it is worth while to try the source again soon:
	// it, or NetBox, was not there, or somebody changed rows meanwhile.
	Again bool
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
	}
	for _, s := range o.Proposal.Plan.Sources {
		if one := at[s.Owner]; one != nil {
			one.plan(s)
		}
	}
	if back := o.Proposal.Plan.Reservations; back != nil {
		for _, s := range back.Sources {
			if one := at[s.Owner]; one != nil {
				one.planReservations(s)
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
				one.countReservation(change)
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

// planReservations adds the way back.
func (s *SourceOutcome) planReservations(p plan.Summary) {
	s.Held += p.Held
	s.Planned += p.Create + p.Update + p.Delete
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

// countReservation counts a change at the source. What was released may be
// wanted for another, which the next pass finds out.
func (s *SourceOutcome) countReservation(o apply.Outcome) {
	switch {
	case o.Status != apply.Done:
		s.Failed++
		s.Again = s.Again || o.Status != apply.Refused
	case o.Change.Action == plan.Delete:
		s.Released++
		s.Again = true
	default:
		s.Reserved++
	}
}

// Again names the sources that are worth while to try again soon, for
// Loop.Finished: those that did not answer in full, those whose rows were
// changed by somebody meanwhile or could not be written because NetBox went
// away, and all of them where NetBox could not be used. What NetBox refused, or
// a person has to look at, is left to the schedule.
func (o Outcome) Again() []string {
	if errors.Is(o.Err, ErrApproval) {
		return nil
	}
	if o.Proposal == nil {
		return o.Asked
	}
	var again []string
	for _, s := range o.Sources() {
		if s.Again {
			again = append(again, s.Name)
		}
	}
	return again
}
