package main

import (
	"allocsync/metrics"
	"allocsync/netbox"
	"allocsync/sync/worker"
)

// measured is what metrics keep of a pass.
func measured(trigger string, o worker.Outcome) metrics.Pass {
	p := metrics.Pass{Start: o.Started, End: o.Ended, Trigger: trigger, Outcome: string(o.Verdict())}
	for _, one := range o.Sources() {
		p.Sources = append(p.Sources, metrics.Source{
			Name: one.Name, Answer: string(one.Answer), OverLimits: one.Excess != "",
			Allocations: one.Allocations, Rows: one.Rows, InStep: one.InStep,
			Created: one.Created, Updated: one.Updated, Deleted: one.Deleted, Held: one.Held, Failed: one.Failed, Took: one.Took,
		})
	}
	return p
}

// observe counts a pass of serve.
func (s *service) observe(g *generation, w worker.Wanted, o worker.Outcome) {
	trigger := ""
	if len(w.Triggers) > 0 {
		trigger = w.Triggers[0].Kind
	}
	s.metrics.Pass(measured(trigger, o))
	s.metrics.Running(false)
	s.metrics.Requests(requestsOf(g.client.Stats()))
}

func requestsOf(s netbox.Stats) map[metrics.Request]uint64 {
	counts := make(map[metrics.Request]uint64, len(s.Ended))
	for r, n := range s.Ended {
		counts[metrics.Request(r)] = n
	}
	return counts
}

// writeMetrics leaves the metrics of one pass in a file.
func writeMetrics(file string, s *setting, o worker.Outcome) error {
	m := metrics.New(programVersion())
	m.Configure(names(s.config))
	m.Pass(measured("command", o))
	m.Requests(requestsOf(s.client.Stats()))
	return m.WriteFile(file)
}
