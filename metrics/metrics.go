// Package metrics tells Prometheus what allocsync does: over HTTP where it
// stays up, and in a file for node_exporter where it runs once.
package metrics

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	namespace = "allocsync"

	// Bounds of answering one who asks for the metrics.
	maxScrapes = 4 // at the same time
	scrapeTime = 10 * time.Second

	// maxRequestKinds bounds the pairs of method and outcome; the client of
	// NetBox has a few.
	maxRequestKinds = 60

	fileEnding = ".prom" // of what the textfile collector reads

	// other stands for words that are not among those of a label.
	other = "other"
)

// Metrics holds what is measured, in registries of its own. It is safe for
// concurrent use.
type Metrics struct {
	own  *prometheus.Registry // of allocsync
	host *prometheus.Registry // of the Go runtime and the process

	mu      sync.Mutex
	sources map[string]*memory // the configured ones; no other becomes a label
	sent    map[Request]uint64

	passes   *prometheus.CounterVec
	duration prometheus.Histogram
	requests *prometheus.CounterVec

	// Without labels, and so absent until they are first set.
	last, running, next, stored, reload, reloaded *prometheus.GaugeVec

	perSource series
}

// memory is what the next pass of a source is compared with.
type memory struct {
	overLimits bool
}

// New returns metrics without sources; see Configure. The version is that of
// the program.
func New(version string) *Metrics {
	m := &Metrics{
		own:     prometheus.NewRegistry(),
		host:    prometheus.NewRegistry(),
		sources: map[string]*memory{},
		sent:    map[Request]uint64{},
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, nil)
		m.own.MustRegister(v)
		return v
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
		m.own.MustRegister(v)
		return v
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info",
		Help: "Always 1; the labels say which program this is."}, []string{"version", "goversion"})
	build.WithLabelValues(strings.ToValidUTF8(version, "?"), runtime.Version()).Set(1)
	m.passes = counter("passes_total", "Passes that have ended, by what started them and how they ended.", "trigger", "outcome")
	m.duration = prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: "pass_duration_seconds",
		Help: "How long passes took, reading and writing.", Buckets: []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 180, 600}})
	m.requests = counter("netbox_requests_total", "Requests to NetBox, by HTTP method and outcome.", "method", "outcome")
	m.last = gauge("last_pass_timestamp_seconds", "When the last pass ended, whatever came of it.")
	m.running = gauge("pass_running", "1 while a pass runs.")
	m.next = gauge("next_run_timestamp_seconds", "When the schedule starts the next pass; 0 without a schedule.")
	m.stored = gauge("state_usable", "1 if history and approvals are kept in the state folder, 0 if that does not work.")
	m.reload = gauge("config_last_reload_successful", "1 if the configuration in force is the one in the file, 0 if the file was refused.")
	m.reloaded = gauge("config_last_reload_success_timestamp_seconds", "When the configuration in force was read.")
	m.own.MustRegister(build, m.duration)
	m.perSource = newSeries(m.own)
	m.host.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler answers with all metrics in Prometheus' text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(prometheus.Gatherers{m.own, m.host}, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.HTTPErrorOnError,
		MaxRequestsInFlight: maxScrapes,
		Timeout:             scrapeTime,
	})
}

// WriteFile writes allocsync's own metrics to a file that node_exporter's
// textfile collector reads, at once and readable for everybody. The name has to
// end in .prom for that. What there is of the process and of Go is left out:
// node_exporter has its own of those names.
func (m *Metrics) WriteFile(path string) error {
	if !strings.HasSuffix(path, fileEnding) {
		return fmt.Errorf("write metrics file: the name of %s has to end in %s, or node_exporter passes it over", path, fileEnding)
	}
	if err := prometheus.WriteToTextfile(path, m.own); err != nil {
		return fmt.Errorf("write metrics file: %w", err)
	}
	return nil
}

// Configure says which sources there are. Series of others disappear; those of
// new ones begin at nothing.
func (m *Metrics) Configure(names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	wanted := make(map[string]*memory, len(names))
	for _, name := range names {
		if wanted[name] = m.sources[name]; wanted[name] == nil {
			wanted[name] = &memory{}
			m.perSource.begin(name)
		}
	}
	for name := range m.sources {
		if wanted[name] == nil {
			m.perSource.forget(name)
		}
	}
	m.sources = wanted
}

// Pass counts a pass that has ended.
func (m *Metrics) Pass(p Pass) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.passes.WithLabelValues(word(p.Trigger, "start", "schedule", "webhook", "event", "approval", "retry", "command"),
		word(p.Outcome, "in_step", "applied", "partly", "over_limits", "failed")).Inc()
	m.duration.Observe(max(0, p.End.Sub(p.Start).Seconds()))
	set(m.last, seconds(p.End))
	for _, s := range p.Sources {
		if known := m.sources[s.Name]; known != nil {
			m.perSource.pass(s, p, known)
		}
	}
}

// Running says whether a pass runs.
func (m *Metrics) Running(is bool) { set(m.running, number(is)) }

// Next says when the schedule starts the next pass; zero means never.
func (m *Metrics) Next(at time.Time) { set(m.next, seconds(at)) }

// State says whether the state folder can be used. It is not called where
// none is configured.
func (m *Metrics) State(usable bool) { set(m.stored, number(usable)) }

// Reloaded says that the configuration was read, at the start too, and whether
// it is in force now.
func (m *Metrics) Reloaded(ok bool, at time.Time) {
	set(m.reload, number(ok))
	if ok {
		set(m.reloaded, seconds(at))
	}
}

// Succeeded says when a source last succeeded, where that is known from before
// this process.
func (m *Metrics) Succeeded(source string, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sources[source] != nil {
		m.perSource.success.WithLabelValues(source).Set(seconds(at))
	}
}

// Watcher says whether a source that tells of its changes can do so now. It is
// not called for one that cannot tell.
func (m *Metrics) Watcher(source string, connected bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sources[source] != nil {
		m.perSource.watcher.WithLabelValues(source).Set(number(connected))
	}
}

// Request is a kind of request to NetBox.
type Request struct {
	Method  string // of HTTP
	Outcome string // what became of it, in the words of the client
}

// Requests takes how many requests were sent since the client was made. A
// count that falls is that of a new client.
func (m *Metrics) Requests(counts map[Request]uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for kind, count := range counts {
		before, known := m.sent[kind]
		if !known && len(m.sent) >= maxRequestKinds {
			continue
		}
		added := count
		if count >= before {
			added = count - before
		}
		m.sent[kind] = count
		m.requests.WithLabelValues(label(kind.Method), label(kind.Outcome)).Add(float64(added))
	}
}

func set(v *prometheus.GaugeVec, to float64) { v.WithLabelValues().Set(to) }

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// seconds is the Unix time; 0 for none.
func seconds(at time.Time) float64 {
	if at.IsZero() {
		return 0
	}
	return float64(at.UnixMilli()) / 1000
}

// label writes words as one.
func label(text string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(text, " ", "_"), "?")
}

// word is a label's value if it is one of those it can have.
func word(text string, among ...string) string {
	text = label(text)
	for _, w := range among {
		if w == text {
			return w
		}
	}
	return other
}
