package metrics_test

import (
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"allocsync/metrics"
)

var sourceLabel = regexp.MustCompile(`source="([^"]*)"`)

func at(second int) time.Time { return time.Unix(1_800_000_000+int64(second), 500e6) }

// mustText is what Prometheus gets.
func mustText(tb testing.TB, m *metrics.Metrics) string {
	tb.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	require.Equal(tb, 200, w.Code, w.Body.String())
	require.Contains(tb, w.Header().Get("Content-Type"), "text/plain; version=0.0.4")
	return w.Body.String()
}

// mustLines is allocsync's own lines that begin so, without what is explained.
func mustLines(tb testing.TB, m *metrics.Metrics, prefix string) []string {
	tb.Helper()
	var list []string
	for line := range strings.Lines(mustText(tb, m)) {
		if strings.HasPrefix(line, prefix) {
			list = append(list, strings.TrimSpace(line))
		}
	}
	return list
}

// newFilled has a value in every metric.
func newFilled(tb testing.TB) *metrics.Metrics {
	tb.Helper()
	m := metrics.New("1.2.3")
	m.Configure([]string{"lab", "prod"})
	m.Reloaded(true, at(0))
	m.State(true)
	m.Running(true)
	m.Next(at(900))
	m.Watcher("lab", true)
	m.Pass(metrics.Pass{Start: at(0), End: at(2), Trigger: "webhook", Outcome: "over limits", Sources: []metrics.Source{
		{Name: "lab", Answer: "complete", Allocations: 10, Rows: 9, InStep: 5, Created: 1, Updated: 2, Deleted: 3, Held: 4, Took: 1500 * time.Millisecond,
			Reserves: true, Reservations: metrics.Reservations{Asked: 8, Unmet: 2, Own: 6, Reserved: 3, Changed: 1, Released: 5, Failed: 2}},
		{Name: "prod", Answer: "incomplete", OverLimits: true, Allocations: 100, Rows: 90, Failed: 7},
	}})
	m.Requests(map[metrics.Request]uint64{{Method: "GET", Outcome: "ok"}: 12, {Method: "PATCH", Outcome: "refused"}: 1})
	return m
}

func TestAPass(t *testing.T) {
	m := newFilled(t)
	m.Running(false)
	require.Equal(t, []string{
		`allocsync_source_allocations{source="lab"} 10`,
		`allocsync_source_allocations{source="prod"} 100`,
		`allocsync_source_answered{source="lab"} 1`,
		`allocsync_source_answered{source="prod"} 1`,
		`allocsync_source_asked_reservations{source="lab"} 8`,
		`allocsync_source_changes_total{action="create",source="lab"} 1`,
		`allocsync_source_changes_total{action="create",source="prod"} 0`,
		`allocsync_source_changes_total{action="delete",source="lab"} 3`,
		`allocsync_source_changes_total{action="delete",source="prod"} 0`,
		`allocsync_source_changes_total{action="update",source="lab"} 2`,
		`allocsync_source_changes_total{action="update",source="prod"} 0`,
		`allocsync_source_complete{source="lab"} 1`,
		`allocsync_source_complete{source="prod"} 0`,
		`allocsync_source_failed_reservations_total{source="lab"} 2`,
		`allocsync_source_failed_rows_total{source="lab"} 0`,
		`allocsync_source_failed_rows_total{source="prod"} 7`,
		`allocsync_source_held_rows{source="lab"} 4`,
		`allocsync_source_held_rows{source="prod"} 0`,
		`allocsync_source_in_step_rows{source="lab"} 5`,
		`allocsync_source_in_step_rows{source="prod"} 0`,
		`allocsync_source_last_pass_timestamp_seconds{source="lab"} 1.8000000025e+09`,
		`allocsync_source_last_pass_timestamp_seconds{source="prod"} 1.8000000025e+09`,
		`allocsync_source_last_success_timestamp_seconds{source="lab"} 0`,
		`allocsync_source_last_success_timestamp_seconds{source="prod"} 0`,
		`allocsync_source_limit_trips_total{source="lab"} 0`,
		`allocsync_source_limit_trips_total{source="prod"} 1`,
		`allocsync_source_over_limits{source="lab"} 0`,
		`allocsync_source_over_limits{source="prod"} 1`,
		`allocsync_source_own_reservations{source="lab"} 6`,
		`allocsync_source_owned_rows{source="lab"} 9`,
		`allocsync_source_owned_rows{source="prod"} 90`,
		`allocsync_source_read_duration_seconds{source="lab"} 1.5`,
		`allocsync_source_read_duration_seconds{source="prod"} 0`,
		`allocsync_source_reservation_changes_total{action="change",source="lab"} 1`,
		`allocsync_source_reservation_changes_total{action="release",source="lab"} 5`,
		`allocsync_source_reservation_changes_total{action="reserve",source="lab"} 3`,
		`allocsync_source_unmet_reservations{source="lab"} 2`,
		`allocsync_source_watcher_connected{source="lab"} 1`,
	}, mustLines(t, m, "allocsync_source_"))
	require.Equal(t, []string{`allocsync_passes_total{outcome="over_limits",trigger="webhook"} 1`}, mustLines(t, m, "allocsync_passes"))
	require.Equal(t, []string{"allocsync_pass_duration_seconds_sum 2", "allocsync_pass_duration_seconds_count 1", "allocsync_pass_running 0"},
		append(mustLines(t, m, "allocsync_pass_duration_seconds_sum"), append(mustLines(t, m, "allocsync_pass_duration_seconds_count"), mustLines(t, m, "allocsync_pass_running")...)...))
	require.Equal(t, []string{"allocsync_last_pass_timestamp_seconds 1.8000000025e+09"}, mustLines(t, m, "allocsync_last"))
	require.Equal(t, []string{"allocsync_next_run_timestamp_seconds 1.8000009005e+09"}, mustLines(t, m, "allocsync_next"))
	require.Equal(t, []string{"allocsync_state_usable 1"}, mustLines(t, m, "allocsync_state"))
	require.Equal(t, []string{"allocsync_config_last_reload_success_timestamp_seconds 1.8000000005e+09", "allocsync_config_last_reload_successful 1"}, mustLines(t, m, "allocsync_config"))
	require.Regexp(t, `^allocsync_build_info\{goversion="go1[^"]+",version="1\.2\.3"\} 1$`, mustLines(t, m, "allocsync_build")[0])
	require.NotEmpty(t, mustLines(t, m, "go_goroutines "))
	require.NotEmpty(t, mustLines(t, m, "process_resident_memory_bytes "))
}

// What is not known is absent, and not 0.
func TestBeforeTheFirstPass(t *testing.T) {
	m := metrics.New("dev")
	m.Configure([]string{"lab"})
	for _, name := range []string{"last_pass", "next_run", "state_usable", "pass_running", "config_", "source_complete", "source_answered", "source_allocations", "source_owned", "source_watcher"} {
		require.Empty(t, mustLines(t, m, "allocsync_"+name), name)
	}
	require.Equal(t, []string{`allocsync_source_last_success_timestamp_seconds{source="lab"} 0`}, mustLines(t, m, "allocsync_source_last_success"))
	m.Succeeded("lab", at(5))
	m.Succeeded("unknown", at(5))
	require.Equal(t, []string{`allocsync_source_last_success_timestamp_seconds{source="lab"} 1.8000000055e+09`}, mustLines(t, m, "allocsync_source_last_success"))
	m.Next(time.Time{})
	require.Equal(t, []string{"allocsync_next_run_timestamp_seconds 0"}, mustLines(t, m, "allocsync_next"))
	m.Reloaded(true, at(1))
	m.Reloaded(false, at(2))
	require.Equal(t, []string{"allocsync_config_last_reload_success_timestamp_seconds 1.8000000015e+09", "allocsync_config_last_reload_successful 0"}, mustLines(t, m, "allocsync_config"))
}

// A source that does not answer keeps its numbers, and a success is one only
// where all was read and done.
func TestSuccess(t *testing.T) {
	good := metrics.Source{Name: "lab", Answer: "complete", Allocations: 10, Rows: 9, Held: 2}
	for name, c := range map[string]struct {
		change     func(s *metrics.Source)
		outcome    string
		success    bool
		rows, list string
	}{
		"in step":     {func(*metrics.Source) {}, "in step", true, "9", "10"},
		"others fail": {func(*metrics.Source) {}, "partly", true, "9", "10"},
		"incomplete":  {func(s *metrics.Source) { s.Answer = "incomplete"; s.Rows = 8 }, "partly", false, "8", "10"},
		"no answer":   {func(s *metrics.Source) { *s = metrics.Source{Name: "lab", Answer: "none"} }, "partly", false, "9", "10"},
		"over limits": {func(s *metrics.Source) { s.OverLimits = true }, "over limits", false, "9", "10"},
		"rows fail":   {func(s *metrics.Source) { s.Failed = 1 }, "partly", false, "9", "10"},
		"refused":     {func(s *metrics.Source) { s.Reserves, s.Reservations.Failed = true, 1 }, "partly", false, "9", "10"},
		"reserved":    {func(s *metrics.Source) { s.Reserves, s.Reservations.Reserved = true, 1 }, "applied", true, "9", "10"},
		"NetBox down": {func(s *metrics.Source) { s.Rows, s.Allocations = 0, 11 }, "failed", false, "9", "11"},
	} {
		t.Run(name, func(t *testing.T) {
			m := metrics.New("dev")
			m.Configure([]string{"lab"})
			m.Pass(metrics.Pass{Start: at(0), End: at(1), Outcome: "applied", Sources: []metrics.Source{good}})
			second := good
			c.change(&second)
			m.Pass(metrics.Pass{Start: at(9), End: at(10), Outcome: c.outcome, Sources: []metrics.Source{second}})
			want := "1.8000000015e+09"
			if c.success {
				want = "1.8000000105e+09"
			}
			require.Equal(t, []string{`allocsync_source_last_success_timestamp_seconds{source="lab"} ` + want}, mustLines(t, m, "allocsync_source_last_success"))
			require.Equal(t, []string{`allocsync_source_owned_rows{source="lab"} ` + c.rows}, mustLines(t, m, "allocsync_source_owned"))
			require.Equal(t, []string{`allocsync_source_allocations{source="lab"} ` + c.list}, mustLines(t, m, "allocsync_source_alloc"))
		})
	}
}

// What a source holds for NetBox is known of those that do, and stays while one
// does not answer.
func TestReservations(t *testing.T) {
	m := metrics.New("dev")
	m.Configure([]string{"lab"})
	pass := func(s metrics.Source, outcome string) []string {
		s.Name = "lab"
		m.Pass(metrics.Pass{End: at(1), Outcome: outcome, Sources: []metrics.Source{s}})
		return append(mustLines(t, m, "allocsync_source_unmet"), mustLines(t, m, "allocsync_source_reservation_changes_total{action=\"reserve\"")...)
	}
	unmet := func(n int) string { return fmt.Sprintf(`allocsync_source_unmet_reservations{source="lab"} %d`, n) }
	made := func(n int) string {
		return fmt.Sprintf(`allocsync_source_reservation_changes_total{action="reserve",source="lab"} %d`, n)
	}
	require.Empty(t, pass(metrics.Source{Answer: "complete"}, "in step"))
	require.Equal(t, []string{unmet(0), made(0)}, pass(metrics.Source{Answer: "complete", Reserves: true}, "in step"))
	require.Equal(t, []string{unmet(3), made(2)}, pass(metrics.Source{Answer: "complete", Reserves: true, Reservations: metrics.Reservations{Asked: 5, Unmet: 3, Reserved: 2}}, "applied"))
	require.Equal(t, []string{unmet(3), made(2)}, pass(metrics.Source{Answer: "none", Reserves: true}, "partly"))
	require.Equal(t, []string{unmet(3), made(2)}, pass(metrics.Source{Answer: "complete", Reserves: true}, "failed"))
	m.Configure([]string{"other"})
	require.Empty(t, mustLines(t, m, "allocsync_source_unmet"))
	require.Empty(t, mustLines(t, m, "allocsync_source_reservation"))
}

// Waiting is not another trip over the limits.
func TestLimitTrips(t *testing.T) {
	m := metrics.New("dev")
	m.Configure([]string{"lab"})
	for i, over := range []bool{false, true, true, false, true, false} {
		m.Pass(metrics.Pass{End: at(i), Sources: []metrics.Source{{Name: "lab", Answer: "complete", OverLimits: over}}})
	}
	require.Equal(t, []string{`allocsync_source_limit_trips_total{source="lab"} 2`}, mustLines(t, m, "allocsync_source_limit_trips"))
}

// Whatever is reported, there are no more series than sources are configured.
func TestLabelsAreBounded(t *testing.T) {
	m := newFilled(t)
	for i := range 500 {
		text := fmt.Sprint("x", i)
		m.Pass(metrics.Pass{Trigger: text, Outcome: text, Sources: []metrics.Source{{Name: text, Answer: "complete"}}})
		m.Watcher(text, true)
		m.Requests(map[metrics.Request]uint64{{Method: text, Outcome: text}: 1})
	}
	require.Len(t, mustLines(t, m, "allocsync_passes_total"), 2)
	require.Contains(t, mustText(t, m), `allocsync_passes_total{outcome="other",trigger="other"} 500`)
	require.LessOrEqual(t, len(mustLines(t, m, "allocsync_netbox_requests_total")), 60)
	for _, found := range sourceLabel.FindAllStringSubmatch(mustText(t, m), -1) {
		require.Contains(t, []string{"lab", "prod"}, found[1])
	}
	m.Pass(metrics.Pass{Trigger: "\xff", Start: at(5), End: at(0), Sources: []metrics.Source{{Name: "lab", Created: -5}}})
	require.NotEmpty(t, mustText(t, m))
}

func TestSourcesComeAndGo(t *testing.T) {
	m := newFilled(t)
	m.Configure([]string{"prod", "new"})
	require.NotContains(t, mustText(t, m), `"lab"`)
	require.Contains(t, mustText(t, m), `allocsync_source_allocations{source="prod"} 100`, "one that stays goes on")
	require.Contains(t, mustText(t, m), `allocsync_source_changes_total{action="create",source="new"} 0`)
	m.Watcher("lab", true)
	m.Configure(nil)
	require.Empty(t, mustLines(t, m, "allocsync_source_"))
	m.Configure([]string{"lab"})
	require.Contains(t, mustText(t, m), `allocsync_source_changes_total{action="create",source="lab"} 0`)
}

func TestRequests(t *testing.T) {
	m := metrics.New("dev")
	get, post := metrics.Request{Method: "GET", Outcome: "ok"}, metrics.Request{Method: "POST", Outcome: "ok"}
	for _, counts := range []map[metrics.Request]uint64{{get: 5}, {get: 5, post: 1}, {get: 9, post: 1}, {get: 2}, {get: 3, post: 0}} {
		m.Requests(counts) // the fourth is of a new client
	}
	require.Equal(t, []string{
		`allocsync_netbox_requests_total{method="GET",outcome="ok"} 12`,
		`allocsync_netbox_requests_total{method="POST",outcome="ok"} 1`,
	}, mustLines(t, m, "allocsync_netbox"))
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "allocsync.prom")
	require.NoError(t, os.WriteFile(path, []byte("before"), 0o600))
	m := newFilled(t)
	stop := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() { // never sees half of it
		for {
			text, err := os.ReadFile(path)
			if err != nil || string(text) != "before" && !strings.HasSuffix(string(text), `allocsync_state_usable 1`+"\n") {
				t.Errorf("read: %v, ends in %q", err, text[max(0, len(text)-50):])
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for range 50 {
		require.NoError(t, m.WriteFile(path))
	}
	close(stop)
	reader.Wait()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(text), `allocsync_source_owned_rows{source="lab"} 9`)
	for line := range strings.Lines(string(text)) {
		require.True(t, strings.HasPrefix(line, "#") || strings.HasPrefix(line, "allocsync_"), "node_exporter has its own %s", line)
	}
	stat, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o644), stat.Mode().Perm())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing is left over")

	require.ErrorContains(t, m.WriteFile(filepath.Join(dir, "allocsync.txt")), "has to end in .prom")
	err = m.WriteFile(filepath.Join(dir, "no", "allocsync.prom"))
	require.ErrorContains(t, err, "write metrics file: ")
	require.True(t, errors.Is(err, os.ErrNotExist))
}

func TestLint(t *testing.T) {
	problems, err := promlint.New(strings.NewReader(mustText(t, newFilled(t)))).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
}

// Two of them in one program have nothing to do with each other, and nothing is
// registered where others would find it.
func TestNothingIsGlobal(t *testing.T) {
	one, two := newFilled(t), metrics.New("dev")
	require.NotEqual(t, mustLines(t, one, "allocsync_"), mustLines(t, two, "allocsync_"))
	families, err := prometheus.DefaultGatherer.Gather()
	require.NoError(t, err)
	for _, f := range families {
		require.NotContains(t, f.GetName(), "allocsync")
	}
}

func TestAtTheSameTime(t *testing.T) {
	m := newFilled(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 50 {
				m.Configure([]string{"lab", fmt.Sprint(i, n)})
				m.Pass(metrics.Pass{Sources: []metrics.Source{{Name: "lab", Answer: "complete"}, {Name: fmt.Sprint(i, n)}}})
				m.Watcher("lab", n%2 == 0)
				m.Requests(map[metrics.Request]uint64{{Method: "GET", Outcome: "ok"}: uint64(n)})
				w := httptest.NewRecorder()
				m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
				_, _ = io.Copy(io.Discard, w.Body)
			}
		})
	}
	wg.Wait()
	m.Configure([]string{"lab"})
	for _, found := range sourceLabel.FindAllStringSubmatch(mustText(t, m), -1) {
		require.Equal(t, "lab", found[1])
	}
}
