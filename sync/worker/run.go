package worker

import (
	"context"
	"errors"
	"time"

	"allocsync/netbox"
	"allocsync/sync/apply"
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
