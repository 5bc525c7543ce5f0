package metrics_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// Pieces of PromQL, and of what Prometheus answers.
var (
	quoted      = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	matchers    = regexp.MustCompile(`([a-zA-Z_:][\w:]*)?\{([^}]*)\}`)
	grouping    = regexp.MustCompile(`\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	span        = regexp.MustCompile(`\[[^\]]*\]`)
	word        = regexp.MustCompile(`[a-zA-Z_:][\w:]*`)
	sample      = regexp.MustCompile(`^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$`)
	labelOf     = regexp.MustCompile(`(\w+)="`)
	template    = regexp.MustCompile(`\{\{ *\$labels\.(\w+) *\}\}`)
	legendLabel = regexp.MustCompile(`\{\{(\w+)\}\}`)
	duration    = regexp.MustCompile(`^[1-9]\d*[mhd]$`)
)

// names are metrics with the labels that they have.
type names map[string]map[string]bool

// mustNames reads them from what Prometheus would get. To them come those of
// Prometheus itself, on every metric of a target.
func mustNames(tb testing.TB) names {
	tb.Helper()
	all := names{"up": {"job": true, "instance": true}}
	for line := range strings.Lines(mustText(tb, newFilled(tb))) {
		m := sample.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		if all[m[1]] == nil {
			all[m[1]] = map[string]bool{"job": true, "instance": true}
		}
		for _, label := range labelOf.FindAllStringSubmatch(m[2], -1) {
			all[m[1]][label[1]] = true
		}
	}
	return all
}

func functions() []string {
	return []string{"absent", "and", "by", "clamp_min", "count", "group_left", "histogram_quantile", "increase", "max", "max_over_time", "min", "on", "or", "rate", "sum", "time", "unless", "vector", "without", "ignoring", "bool"}
}

// faults lists the metrics and labels of an expression that do not exist, and
// returns the labels that it may have.
func (n names) faults(expr string) (faults []string, labels map[string]bool) {
	labels = map[string]bool{}
	text := quoted.ReplaceAllString(expr, `""`)
	used := map[string]bool{}
	for _, m := range matchers.FindAllStringSubmatch(text, -1) {
		for _, label := range word.FindAllString(m[2], -1) {
			if !n[m[1]][label] {
				faults = append(faults, "label "+label+" of "+m[1])
			}
		}
	}
	text = matchers.ReplaceAllString(text, "$1 ")
	var groups []string
	for _, m := range grouping.FindAllStringSubmatch(text, -1) {
		groups = append(groups, word.FindAllString(m[1], -1)...)
	}
	text = span.ReplaceAllString(grouping.ReplaceAllString(text, " "), " ")
	for _, w := range word.FindAllString(text, -1) {
		if slices.Contains(functions(), w) {
			continue
		}
		used[w] = true
		if n[w] == nil {
			faults = append(faults, "metric "+w)
		}
		for label := range n[w] {
			labels[label] = true
		}
	}
	if len(used) == 0 {
		faults = append(faults, "no metric at all")
	}
	for _, g := range groups {
		if !labels[g] {
			faults = append(faults, "label "+g)
		}
	}
	return faults, labels
}

func TestTheCheckSees(t *testing.T) {
	n := mustNames(t)
	for expr, want := range map[string][]string{
		`sum by (source) (rate(allocsync_source_changes_total{action="create"}[5m])) > 0.5`: nil,
		`time() - allocsync_source_last_succes_timestamp_seconds > 60`:                      {"metric allocsync_source_last_succes_timestamp_seconds"},
		`sum by (sauce) (allocsync_source_complete)`:                                        {"label sauce"},
		`allocsync_source_complete{sauce="{a}"}`:                                            {"label sauce of allocsync_source_complete"},
		`allocsync_pass_duration_seconds_bucket{le="5"}`:                                    nil,
		`time() > 5`: {"no metric at all"},
		`allocsync_source_complete == 0 unless on (job, rack) up{instance=~"x"}`: {"label rack"},
	} {
		faults, _ := n.faults(expr)
		require.Equal(t, want, faults, expr)
	}
}

func mustRead(tb testing.TB, name string) []byte {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "operating", name))
	require.NoError(tb, err)
	return text
}

// rules is a file of rules for Prometheus.
type rules struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []struct {
			Alert       string            `yaml:"alert"`
			Expr        string            `yaml:"expr"`
			For         string            `yaml:"for"`
			Labels      map[string]string `yaml:"labels"`
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

func TestAlerts(t *testing.T) {
	var file rules
	require.NoError(t, yaml.UnmarshalWithOptions(mustRead(t, "alerts.yaml"), &file, yaml.Strict()))
	page := string(mustRead(t, "monitoring.md"))
	n := mustNames(t)
	seen := map[string]bool{}
	for _, group := range file.Groups {
		require.NotEmpty(t, group.Name)
		for _, r := range group.Rules {
			require.Regexp(t, `^Allocsync[A-Z]\w+$`, r.Alert)
			require.False(t, seen[r.Alert], r.Alert)
			seen[r.Alert] = true
			faults, labels := n.faults(r.Expr)
			require.Empty(t, faults, r.Alert)
			require.Regexp(t, duration, r.For, r.Alert)
			require.Contains(t, []string{"page", "ticket"}, r.Labels["severity"], r.Alert)
			require.NotEmpty(t, r.Annotations["summary"], r.Alert)
			require.Greater(t, len(r.Annotations["description"]), 60, "%s says what to do", r.Alert)
			for _, text := range r.Annotations {
				for _, m := range template.FindAllStringSubmatch(text, -1) {
					require.True(t, labels[m[1]], "%s: label %s", r.Alert, m[1])
				}
			}
			require.Contains(t, page, "`"+r.Alert+"`", "monitoring.md explains every alert")
		}
	}
	require.Greater(t, len(seen), 10)
}

// dashboard is as much of one as is looked at.
type dashboard struct {
	Title         string
	UID           string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Type, Definition string }
	}
	Panels []struct {
		ID          int
		Type        string
		Title       string
		Description string
		Datasource  *struct{ Type, UID string }
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct {
			RefID, Expr, LegendFormat string
			Datasource                struct{ Type, UID string }
		}
	}
}

func TestDashboard(t *testing.T) {
	var d dashboard
	require.NoError(t, json.Unmarshal(mustRead(t, "grafana.json"), &d))
	require.Equal(t, "allocsync", d.Title)
	require.GreaterOrEqual(t, d.SchemaVersion, 39)
	n := mustNames(t)
	variables := map[string]string{}
	for _, v := range d.Templating.List {
		variables[v.Name] = v.Type
		if query, ok := strings.CutPrefix(v.Definition, "label_values("); ok {
			at := strings.LastIndex(query, ",")
			faults, labels := n.faults(query[:at])
			require.Empty(t, faults, v.Name)
			require.True(t, labels[strings.TrimSpace(strings.TrimSuffix(query[at+1:], ")"))], v.Definition)
		}
	}
	require.Equal(t, map[string]string{"datasource": "datasource", "job": "query", "instance": "query", "source": "query"}, variables)
	ids, shown := map[int]bool{}, ""
	for i, p := range d.Panels {
		require.False(t, ids[p.ID], "ID of %s", p.Title)
		ids[p.ID] = true
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		for _, other := range d.Panels[:i] {
			a, b := p.GridPos, other.GridPos
			require.False(t, a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H, "%s over %s", p.Title, other.Title)
		}
		if p.Type == "row" {
			continue
		}
		require.NotEmpty(t, p.Description, p.Title)
		require.NotEmpty(t, p.Targets, p.Title)
		require.Equal(t, "${datasource}", p.Datasource.UID, p.Title)
		for _, target := range p.Targets {
			require.Equal(t, "${datasource}", target.Datasource.UID, p.Title)
			faults, labels := n.faults(target.Expr)
			require.Empty(t, faults, "%s: %s", p.Title, target.Expr)
			for _, m := range legendLabel.FindAllStringSubmatch(target.LegendFormat, -1) {
				require.True(t, labels[m[1]], "%s: legend %s", p.Title, target.LegendFormat)
			}
			shown += target.Expr + "\n"
		}
	}
	for name := range n { // what is measured is worth a look
		base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_sum"), "_count"), "_bucket")
		if strings.HasPrefix(name, "allocsync_") && !slices.Contains(unshown(), name) {
			require.Contains(t, shown, base)
		}
	}
}

// unshown are metrics for which another one is on the dashboard.
func unshown() []string {
	return []string{"allocsync_source_last_pass_timestamp_seconds", "allocsync_config_last_reload_success_timestamp_seconds"}
}

// The page explains every metric.
func TestMonitoringPage(t *testing.T) {
	page := string(mustRead(t, "monitoring.md"))
	for name := range mustNames(t) {
		base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_sum"), "_count"), "_bucket")
		if strings.HasPrefix(name, "allocsync_") {
			require.Contains(t, page, "`"+base, name)
		}
	}
	for _, name := range regexp.MustCompile("`(allocsync_[a-z_]+)").FindAllStringSubmatch(page, -1) {
		_, plain := mustNames(t)[name[1]]
		_, histogram := mustNames(t)[name[1]+"_sum"]
		require.True(t, plain || histogram, name[1])
	}
}
