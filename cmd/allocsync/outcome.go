package main

import (
	"time"

	"allocsync/netbox"
	"allocsync/report"
	"allocsync/sync/apply"
	"allocsync/sync/worker"
)

// reporter makes the report of one pass.
type reporter struct {
	setting *setting
	started time.Time
	dryRun  bool
	only    []string // as in worker.Pass
	before  netbox.Stats

	// usage adds what is in use by type and network: in files that are kept
	// and looked at, not in the lines of a terminal.
	usage bool
}

func (r reporter) report(p *worker.Proposal, result *apply.Result) report.Report {
	out := r.unread(p)
	out.NetBox.Version = p.Version.String()
	out.Digest = p.Plan.Digest()
	out.Result = result
	if p.Excess != nil {
		for _, e := range p.Excess.Sources {
			out.Exceeded = append(out.Exceeded, report.Exceeded{Owner: e.Owner, Text: e.Text})
		}
	}
	for _, problem := range p.Mapped.Problems {
		out.Problems = append(out.Problems, report.Problem{Owner: problem.Owner, Text: problem.String()})
	}
	for _, text := range p.Misdirections() {
		out.Problems = append(out.Problems, report.Problem{Text: text})
	}
	if r.usage {
		var allocations []report.Allocation
		for _, reading := range p.Readings {
			allocations = append(allocations, listed(reading)...)
		}
		out.Usage = report.UsageOf(allocations)
	}
	after := r.setting.client.Stats()
	out.Requests = report.Requests{
		Sent:    after.Requests() - r.before.Requests(),
		Read:    after.Rows - r.before.Rows,
		Written: after.Created + after.Updated + after.Deleted - r.before.Created - r.before.Updated - r.before.Deleted,
	}
	return out
}

// unread is the report of a pass in which no source answered: who did not, and
// why.
func (r reporter) unread(p *worker.Proposal) report.Report {
	out := report.Report{
		Installation: r.setting.config.Installation,
		NetBox:       report.NetBox{URL: r.setting.config.NetBox.URL},
		Started:      r.started,
		Took:         time.Since(r.started),
		DryRun:       r.dryRun,
		Only:         r.only,
		Plan:         p.Plan,
	}
	for _, reading := range p.Readings {
		if reading.Err != nil {
			out.Unreachable = append(out.Unreachable, report.Problem{Owner: reading.Source.Owner, Text: reading.Err.Error()})
		}
	}
	return out
}

func listed(r worker.Reading) []report.Allocation {
	list := make([]report.Allocation, len(r.Snapshot.Allocations))
	for i, a := range r.Snapshot.Allocations {
		list[i] = report.Allocation{Source: r.Source.Name, Allocation: a}
	}
	return list
}

// codeOf is the exit code of a pass; of a dry run where it has no Result.
func codeOf(o worker.Outcome) int {
	verdict := o.Verdict()
	if o.Result == nil && verdict != worker.OverLimits && !o.Proposal.Plan.Empty() {
		return exitChanges
	}
	switch verdict {
	case worker.OverLimits:
		return exitLimits
	case worker.Failed:
		return exitFailed
	case worker.Partly:
		return exitPartly
	}
	return exitInStep
}
