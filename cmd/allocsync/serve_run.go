package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"allocsync/report"
	"allocsync/state"
	"allocsync/sync/plan"
	"allocsync/sync/worker"
)

// newLogged is a progress that logs, wherever it writes to.
func newLogged(logger zerolog.Logger, w io.Writer) *progress {
	return &progress{w: w, log: logger}
}

// run makes the passes that are wanted: first those that were approved, each of
// exactly the sources of its plan, and then one for everything else.
func (s *service) run(ctx context.Context, w worker.Wanted) {
	for _, p := range s.takeApproved() {
		approved := worker.Wanted{Triggers: []worker.Trigger{{Kind: worker.KindApproval, Detail: "digest " + p.Digest}}}
		if o := s.pass(ctx, p.Asked, p.Digest, approved); errors.Is(o.Err, worker.ErrApproval) {
			approved.Triggers[0].Detail += ", which is no longer the plan"
			s.plain(ctx, p.Asked, approved) // shows the plan that there is now
		}
	}
	w.Triggers = slices.DeleteFunc(slices.Clone(w.Triggers), func(t worker.Trigger) bool { return t.Kind == worker.KindApproval })
	if len(w.Triggers)+w.More > 0 && ctx.Err() == nil {
		s.plain(ctx, w.Sources, w)
	}
}

// plain makes a pass without an approval. Where some of the sources asked are
// over their limits, those are asked once more by themselves: what a person
// approves must not depend on what the others' rows have been changed to since.
func (s *service) plain(ctx context.Context, only []string, w worker.Wanted) {
	o := s.pass(ctx, only, "", w)
	if len(only) > 0 && inTheWay(o) && ctx.Err() == nil {
		w = worker.Wanted{Triggers: []worker.Trigger{{Kind: worker.KindRetry, Detail: "rows of sources that were not asked are in the way"}}}
		o = s.pass(ctx, nil, "", w)
	}
	if over := overOf(o); len(over) > 0 && len(over) < len(o.Asked) && ctx.Err() == nil {
		s.pass(ctx, over, "", worker.Wanted{Triggers: []worker.Trigger{{Kind: worker.KindApproval, Detail: "to be approved by itself"}}})
	}
}

// inTheWay reports whether a claim is held because of a row of another source: of
// one that was not asked, say, from which the address has moved.
func inTheWay(o worker.Outcome) bool {
	return o.Proposal != nil && slices.ContainsFunc(o.Proposal.Plan.Held, func(h plan.Held) bool { return h.Reason == plan.OtherOwner })
}

// overOf names the sources that are over their limits.
func overOf(o worker.Outcome) []string {
	var over []string
	for _, one := range o.Sources() {
		if one.Excess != "" {
			over = append(over, one.Name)
		}
	}
	return over
}

// pass makes one pass and tells everybody.
func (s *service) pass(ctx context.Context, only []string, approve string, w worker.Wanted) worker.Outcome {
	s.passing.Lock()
	defer s.passing.Unlock()
	g := s.current()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(g.over, cancel)()
	s.runs++
	asked := only
	if len(asked) == 0 {
		asked = names(g.config)
	}
	logger := s.log.With().Int("run", s.runs).Strs("sources", asked).Str("trigger", w.String()).Logger()
	logged := newLogged(logger, s.program.stderr)
	pass := g.pass(only, logged)
	pass.Apply.Grace = g.config.Serve.Grace
	pass.Limits.Lost, pass.Limits.Released = s.lost()
	pass.Phase = func(ph worker.Phase) {
		s.doing(ph.Text)
		logged.phase(ph)
	}
	s.begin()
	outcome := pass.Run(ctx, approve)
	if outcome.Err != nil && ctx.Err() != nil { // it was told to stop, and had written nothing
		logger.Info().Msg("pass given up")
		s.rest()
		return outcome
	}
	s.end(g, w, outcome)
	s.tell(logger, outcome)
	if len(outcome.Asked) > 0 { // else it would be said of all
		s.loop.Finished(outcome.Asked, outcome.Again())
	}
	return outcome
}

// lost is how many rows and how many reservations each source has lost lately.
func (s *service) lost() (rows, reservations map[string]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows, reservations = map[string]int{}, map[string]int{}
	now := time.Now()
	for i := range s.board.sources {
		one := &s.board.sources[i]
		rows[one.owner], reservations[one.owner] = one.rows.lost(now), one.released.lost(now)
	}
	return rows, reservations
}

// tell logs what became of a pass.
func (s *service) tell(logger zerolog.Logger, o worker.Outcome) {
	verdict := o.Verdict()
	event := logger.Info()
	if verdict == worker.Partly || verdict == worker.OverLimits {
		event = logger.Warn()
	}
	if verdict == worker.Failed {
		event = logger.Error().Err(o.Err)
	}
	for _, one := range o.Sources() {
		d := zerolog.Dict().
			Str("answer", string(one.Answer)).Int("allocations", one.Allocations).Int("rows", one.Rows).
			Int("created", one.Created).Int("updated", one.Updated).Int("deleted", one.Deleted).
			Int("held", one.Held+one.Back.Held).Int("failed", one.Failed+one.Back.Failed)
		if r := one.Back; r.Takes {
			d = d.Int("reserved", r.Made+r.Changed).Int("released", r.Released).Int("unmet", r.Unmet)
		}
		event = event.Dict(one.Name, d)
	}
	event.Dur("took_ms", o.Ended.Sub(o.Started)).Int("requests", o.Requests).Str("outcome", string(verdict)).Msg("pass " + string(verdict))
	if verdict == worker.OverLimits {
		logger.Warn().Str("digest", o.Proposal.Plan.Digest()).Msg("a source is over its limits: approve the digest on the page, or with allocsync sync --approve")
	}
}

// end keeps what a pass said, in memory, in the state folder and in metrics.
func (s *service) end(g *generation, w worker.Wanted, o worker.Outcome) {
	record := recordOf(w, o)
	saved, err := s.store.AddPass(record)
	if err != nil {
		s.stateFault(err)
		saved = record
	}
	r := s.reportOf(g, o)
	usage := s.allocationsOf(o)
	if o.Proposal != nil && o.Err == nil && len(o.Only) == 0 {
		s.notice("misdirected", misdirected(o.Proposal.Misdirections()))
	}
	s.mu.Lock()
	s.board.end(saved, o, r)
	pending := slices.Clone(s.board.pending)
	allocations := s.board.allocations()
	s.cached = nil
	s.mu.Unlock()
	s.count(allocations)
	s.savePass(o, pending, usage)
	s.observe(g, w, o)
	s.showNext()
}

// misdirected sums up rows that ask no source of this installation: the first is
// told, for the others there is the report.
func misdirected(rows []string) string {
	if len(rows) < 2 {
		return strings.Join(rows, "")
	}
	return rows[0] + ". It is not the only one: allocsync sync --dry-run names them."
}

// reportOf is the report of a pass; without a proposal there is none.
func (s *service) reportOf(g *generation, o worker.Outcome) *report.Report {
	if o.Proposal == nil {
		return nil
	}
	r := reporter{setting: g.setting, started: o.Started, before: g.client.Stats()}
	if errors.Is(o.Err, worker.ErrNoSource) {
		out := r.unread(o.Proposal)
		return &out
	}
	out := r.report(o.Proposal, o.Result)
	return &out
}

// recordOf is what history keeps of a pass.
func recordOf(w worker.Wanted, o worker.Outcome) state.Pass {
	p := state.Pass{
		Start: o.Started, End: o.Ended, Asked: o.Only,
		Requests: o.Requests, RowsRead: o.RowsRead, RowsWritten: o.RowsWritten, Outcome: string(o.Verdict()),
	}
	if len(w.Triggers) > 0 {
		p.Trigger, p.Detail = w.Triggers[0].Kind, w.Triggers[0].Detail+w.Others()
	}
	switch {
	case o.Err != nil:
		p.Error = o.Err.Error()
	case o.Result != nil && o.Result.Err != nil:
		p.Error = o.Result.Err.Error()
	}
	if o.Proposal != nil {
		p.Digest = o.Proposal.Plan.Digest()
	}
	for _, one := range o.Sources() {
		p.Sources = append(p.Sources, state.PassSource{
			Name: one.Name, Owner: one.Owner, Answer: string(one.Answer), Missing: one.Missing,
			Allocations: one.Allocations, Rows: one.Rows, InStep: one.InStep,
			Created: one.Created, Updated: one.Updated, Deleted: one.Deleted, Took: one.Took,
			Held: one.Held + one.Back.Held, Failed: one.Failed + one.Back.Failed,
			Reserved: one.Back.Made + one.Back.Changed, Released: one.Back.Released,
		})
	}
	return p
}

// showNext says when the next pass is due.
func (s *service) showNext() {
	g := s.current()
	var first time.Time
	now := time.Now()
	s.mu.Lock()
	for i := range s.board.sources {
		one := &s.board.sources[i]
		one.next = g.scheduleOf(one.name).Next(now)
		if !one.next.IsZero() && (first.IsZero() || one.next.Before(first)) {
			first = one.next
		}
	}
	s.mu.Unlock()
	s.metrics.Next(first)
}
