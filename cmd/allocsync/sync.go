package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"allocsync/sync/worker"
)

// syncFlags are the flags of `allocsync sync`.
type syncFlags struct {
	dryRun  bool
	only    []string
	approve string
	every   time.Duration
	metrics string
	state   string
	out     output
}

func (p *program) syncCommand() *cobra.Command {
	var f syncFlags
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "Bring NetBox in step with the sources, or say what that would change",
		Long: `sync reads the sources, compares them with NetBox, and creates, updates and
deletes what differs. With --dry-run it only reports.

A source whose changes go over its limits is held back until a person approves
the digest that the dry run prints: --approve DIGEST.

Exit codes:
  0  in step, or everything was done
  1  nothing was done: configuration, NetBox or every source failed
  2  a dry run found changes
  3  a source is over its limits and needs --approve
  4  some rows or sources could not be done, the others were; also where every
     row that a source wants is held`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.sync(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.BoolVarP(&f.dryRun, "dry-run", "n", false, "report what would change and write nothing")
	flags.StringSliceVar(&f.only, "source", nil, "deal with this source only (may be repeated)")
	flags.StringVar(&f.approve, "approve", "", "carry out the plan of this digest although it goes over the limits")
	flags.DurationVar(&f.every, "every", 0, "repeat the pass at this interval until stopped")
	flags.StringVar(&f.metrics, "metrics-file", "", "write Prometheus metrics of the pass to this file, for node_exporter's textfile collector (NAME.prom)")
	flags.StringVar(&f.state, "state-dir", "", "folder in which it is remembered what was reserved (overrides serve.state_dir)")
	f.out.flags(flags)
	cmd.MarkFlagsMutuallyExclusive("dry-run", "approve")
	cmd.MarkFlagsMutuallyExclusive("dry-run", "metrics-file")
	cmd.MarkFlagsMutuallyExclusive("every", "approve")
	p.completeSources(cmd)
	return cmd
}

// minEvery keeps a mistyped interval from hammering NetBox.
const minEvery = 10 * time.Second

func (p *program) sync(ctx context.Context, f syncFlags) error {
	if err := f.out.check(); err != nil {
		return err
	}
	if f.every != 0 && f.every < minEvery {
		return fmt.Errorf("--every %s: want at least %s", f.every, minEvery)
	}
	progress := newProgress(p.stderr)
	s, err := p.load(p.configPath, progress.retry)
	if err != nil {
		return err
	}
	defer s.openLedger(f.state)()
	pass := s.pass(f.only, progress)
	if f.every == 0 {
		return p.once(ctx, s, pass, progress, f)
	}
	return p.repeat(ctx, f.every, func() error { return p.once(ctx, s, pass, progress, f) })
}

// repeat runs pass at every tick until ctx ends. A pass that takes longer than
// the interval is followed by the next one at the next tick, never overlapped.
func (p *program) repeat(ctx context.Context, every time.Duration, pass func() error) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		p.exitCode(pass()) // prints what went wrong; the next tick tries again
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// once runs one pass, reports it and leaves its metrics.
func (p *program) once(ctx context.Context, s *setting, pass *worker.Pass, progress *progress, f syncFlags) error {
	o := worker.Outcome{Started: time.Now(), Only: f.only}
	err := p.try(ctx, s, pass, progress, f, &o)
	if f.metrics == "" {
		return err
	}
	o.Ended = time.Now()
	if o.Err == nil && o.Result == nil { // a wrong approval: nothing was done
		o.Err = err
	}
	if werr := writeMetrics(f.metrics, s, o); werr != nil {
		p.complain("allocsync: " + werr.Error())
		if err == nil {
			return exit{exitPartly} // not "nothing was done"
		}
	}
	return err
}

// try runs one pass and reports it; o takes what became of it.
func (p *program) try(ctx context.Context, s *setting, pass *worker.Pass, progress *progress, f syncFlags, o *worker.Outcome) error {
	r := reporter{setting: s, started: o.Started, dryRun: f.dryRun, only: f.only, before: s.client.Stats(), usage: f.out.kept()}
	proposal, err := pass.Plan(ctx)
	o.Proposal, o.Err = proposal, err
	if err != nil && !errors.Is(err, worker.ErrNoSource) {
		return err
	}
	if errors.Is(err, worker.ErrNoSource) {
		if werr := p.write(f.out, r.unread(proposal)); werr != nil {
			return werr
		}
		return exit{exitFailed}
	}
	if f.approve != "" {
		if err := proposal.Confirm(f.approve); err != nil {
			return err
		}
	}
	if f.dryRun {
		if err := p.write(f.out, r.report(proposal, nil)); err != nil {
			return err
		}
		return exitOf(codeOf(*o))
	}
	result := pass.Carry(ctx, proposal)
	o.Result = &result
	progress.stop(result.Err == nil)
	// The report is written even when the run was interrupted: it says what
	// was done.
	if err := p.write(f.out, r.report(proposal, &result)); err != nil {
		p.complain("allocsync: " + err.Error())
		return exit{exitPartly} // not "nothing was done"
	}
	return exitOf(codeOf(*o))
}

func exitOf(code int) error {
	if code == exitInStep {
		return nil
	}
	return exit{code}
}
