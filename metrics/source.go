package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Pass is a pass that has ended.
type Pass struct {
	Start, End time.Time
	Trigger    string   // "start", "schedule", "webhook", "event", "approval", "retry", "command"; others count as "other"
	Outcome    string   // "in step", "applied", "partly", "over limits", "failed"; likewise
	Sources    []Source // those asked; others than the configured ones are passed over
}

// Source is the part of one source in a pass.
type Source struct {
	Name       string
	Answer     string // "complete", "incomplete", "none"
	OverLimits bool   // its changes wait for a person

	Allocations int // that it listed
	Rows        int // that it owns
	InStep      int
	Created     int
	Updated     int
	Deleted     int
	Held        int
	Failed      int // that were to be written and were not
	Took        time.Duration

	Reserves     bool // it holds addresses for NetBox; without it the rest says nothing
	Reservations Reservations
}

// Reservations is what a pass found and did on the way back.
type Reservations struct {
	Asked int // rows in NetBox that ask for one
	Unmet int // of these, how many are not held after the pass
	Own   int // made from here and held after the pass

	Reserved, Changed, Released int
	Failed                      int // that were to be made, changed or released and were not
}

const (
	complete = "complete"
	none     = "none"
	failed   = "failed"
)

// series are the metrics of each source.
type series struct {
	success, attempt, answered, complete, took, allocations *prometheus.GaugeVec
	rows, inStep, held, over, watcher                       *prometheus.GaugeVec
	asked, unmet, own                                       *prometheus.GaugeVec
	changes, failures, trips, reservations, unreserved      *prometheus.CounterVec
}

func newSeries(registry *prometheus.Registry) series {
	gauge := func(name, help string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Subsystem: "source", Name: name, Help: help}, []string{"source"})
		registry.MustRegister(v)
		return v
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: "source", Name: name, Help: help}, append([]string{"source"}, labels...))
		registry.MustRegister(v)
		return v
	}
	return series{
		success:     gauge("last_success_timestamp_seconds", "When a pass last read all of the source and did all that it asks for; 0 for never."),
		attempt:     gauge("last_pass_timestamp_seconds", "When a pass with the source last ended, whatever came of it; 0 for never."),
		answered:    gauge("answered", "1 if the source answered when it was last asked."),
		complete:    gauge("complete", "1 if its last answer was complete; nothing is deleted after one that was not."),
		took:        gauge("read_duration_seconds", "How long reading the source took the last time."),
		allocations: gauge("allocations", "Allocations in its last answer."),
		rows:        gauge("owned_rows", "Rows in NetBox that the source owns."),
		inStep:      gauge("in_step_rows", "Rows that were as the source wants them before the last pass wrote anything."),
		held:        gauge("held_rows", "Rows that the last pass held, each with its reason in the report."),
		over:        gauge("over_limits", "1 while changes of the source go over its limits and wait for a person."),
		watcher:     gauge("watcher_connected", "1 while the source tells of its changes; absent where it cannot."),
		changes:     counter("changes_total", "Rows written for the source, by what was done.", "action"),
		failures:    counter("failed_rows_total", "Rows that were to be written for the source and were not."),
		trips:       counter("limit_trips_total", "How often changes of the source went over its limits."),

		asked:        gauge("asked_reservations", "Rows in NetBox that ask the source for a reservation; absent where it holds none for NetBox."),
		unmet:        gauge("unmet_reservations", "Rows whose reservation the source did not hold after the last pass, each with its reason in the report."),
		own:          gauge("own_reservations", "Reservations at the source that were made from here."),
		reservations: counter("reservation_changes_total", "Reservations changed at the source, by what was done.", "action"),
		unreserved:   counter("failed_reservations_total", "Reservations that were to be changed at the source and were not."),
	}
}

// begin makes the series of a new source: what only counts up starts at 0, so
// that the first increase is one, and "never" is a time too.
func (s series) begin(name string) {
	s.success.WithLabelValues(name)
	s.attempt.WithLabelValues(name)
	s.over.WithLabelValues(name)
	s.failures.WithLabelValues(name)
	s.trips.WithLabelValues(name)
	for _, action := range []string{"create", "update", "delete"} {
		s.changes.WithLabelValues(name, action)
	}
}

func (s series) forget(name string) {
	for _, v := range []*prometheus.GaugeVec{s.success, s.attempt, s.answered, s.complete, s.took, s.allocations, s.rows, s.inStep, s.held, s.over, s.watcher, s.asked, s.unmet, s.own} {
		v.DeleteLabelValues(name)
	}
	for _, v := range []*prometheus.CounterVec{s.changes, s.failures, s.trips, s.reservations, s.unreserved} {
		v.DeletePartialMatch(prometheus.Labels{"source": name})
	}
}

// pass takes what a pass found and did. What it did not get to know stays as
// it was: a source that is down does not have 0 allocations.
func (s series) pass(x Source, p Pass, before *memory) {
	gauge := func(v *prometheus.GaugeVec, n float64) { v.WithLabelValues(x.Name).Set(n) }
	count := func(v *prometheus.CounterVec, n int, labels ...string) {
		v.WithLabelValues(append([]string{x.Name}, labels...)...).Add(float64(max(0, n)))
	}
	gauge(s.attempt, seconds(p.End))
	gauge(s.answered, number(x.Answer != none))
	gauge(s.complete, number(x.Answer == complete))
	gauge(s.took, x.Took.Seconds())
	count(s.changes, x.Created, "create")
	count(s.changes, x.Updated, "update")
	count(s.changes, x.Deleted, "delete")
	count(s.failures, x.Failed)
	if x.Reserves {
		count(s.reservations, x.Reservations.Reserved, "reserve")
		count(s.reservations, x.Reservations.Changed, "change")
		count(s.reservations, x.Reservations.Released, "release")
		count(s.unreserved, x.Reservations.Failed)
	}
	if x.Answer == none {
		return
	}
	gauge(s.allocations, float64(x.Allocations))
	if p.Outcome == failed {
		return
	}
	gauge(s.rows, float64(x.Rows))
	gauge(s.inStep, float64(x.InStep))
	gauge(s.held, float64(x.Held))
	gauge(s.over, number(x.OverLimits))
	if x.Reserves {
		gauge(s.asked, float64(x.Reservations.Asked))
		gauge(s.unmet, float64(x.Reservations.Unmet))
		gauge(s.own, float64(x.Reservations.Own))
	}
	if x.OverLimits && !before.overLimits {
		count(s.trips, 1)
	}
	before.overLimits = x.OverLimits
	if x.Answer == complete && x.Failed+x.Reservations.Failed == 0 && !x.OverLimits {
		gauge(s.success, seconds(p.End))
	}
}
