package main

import (
	"io"
	"os"
	"regexp"
	"strconv"
	"time"

	"allocsync/metrics"
	"allocsync/netbox"
	"allocsync/sync/worker"
)

// measured is what metrics keep of a pass.
func measured(trigger string, o worker.Outcome) metrics.Pass {
	p := metrics.Pass{Start: o.Started, End: o.Ended, Trigger: trigger, Outcome: string(o.Verdict())}
	for _, one := range o.Sources() {
		r := one.Back
		p.Sources = append(p.Sources, metrics.Source{
			Name: one.Name, Answer: string(one.Answer), OverLimits: one.Excess != "",
			Allocations: one.Allocations, Rows: one.Rows, InStep: one.InStep,
			Created: one.Created, Updated: one.Updated, Deleted: one.Deleted, Took: one.Took,
			Held: one.Held, Failed: one.Failed,
			Reserves: r.Takes, Reservations: metrics.Reservations{
				Asked: r.Asked, Unmet: r.Unmet, Own: r.Own, Reserved: r.Made, Changed: r.Changed, Released: r.Released, Failed: r.Failed,
			},
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

// writeMetrics leaves the metrics of one pass in a file. When a source last
// succeeded is taken over from what is there, so that a pass that failed does
// not say "never".
func writeMetrics(file string, s *setting, o worker.Outcome) error {
	m := metrics.New(programVersion())
	m.Configure(names(s.config))
	for source, at := range successes(file) {
		m.Succeeded(source, at)
	}
	m.Pass(measured("command", o))
	m.Requests(requestsOf(s.client.Stats()))
	return m.WriteFile(file)
}

// lastSuccess is a line of a metrics file.
var lastSuccess = regexp.MustCompile(`(?m)^allocsync_source_last_success_timestamp_seconds\{source="([A-Za-z0-9._-]+)"\} ([0-9.e+]+)$`)

// maxMetrics is how much of a metrics file is read, in bytes.
const maxMetrics = 1 << 20

// successes reads when the sources last succeeded, as the file has it; nothing
// where there is none.
func successes(file string) map[string]time.Time {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }() // only read from
	text, _ := io.ReadAll(io.LimitReader(f, maxMetrics))
	found := map[string]time.Time{}
	for _, m := range lastSuccess.FindAllSubmatch(text, -1) {
		if seconds, err := strconv.ParseFloat(string(m[2]), 64); err == nil && seconds > 0 {
			found[string(m[1])] = time.UnixMilli(int64(seconds * 1000))
		}
	}
	return found
}
