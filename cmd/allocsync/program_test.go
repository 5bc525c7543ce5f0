package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/netbox/netboxtest"
)

func TestFirstDay(t *testing.T) {
	l := newLab(t)
	l.lxd.Set(network("br0", "10.1.2.1/24"), instance("u1", "10.1.2.10"), instance("u2", "10.1.2.11"))

	out := l.mustRun(t, exitFailed, "sync", "--dry-run")
	require.Contains(t, out.stderr, "allocsync setup", "the error says what to do about missing custom fields")
	l.mustRun(t, exitChanges, "setup", "--dry-run")
	l.mustRun(t, exitInStep, "setup")
	out = l.mustRun(t, exitInStep, "setup")
	require.Contains(t, out.stdout, "All custom fields are there.")
	l.mustRun(t, exitInStep, "check")

	out = l.mustRun(t, exitChanges, "sync", "--dry-run")
	require.Contains(t, out.stdout, "4 to create, 0 to update, 0 to delete")
	require.Contains(t, out.stdout, "10.1.2.10/24")
	require.Empty(t, l.addresses(t), "a dry run writes nothing")

	out = l.mustRun(t, exitInStep, "sync")
	require.Contains(t, out.stdout, "4 created")
	require.Len(t, l.addresses(t), 3)

	l.netbox.ResetRequests()
	out = l.mustRun(t, exitInStep, "sync")
	require.Contains(t, out.stdout, "In step")
	for _, r := range l.netbox.Requests() {
		require.Equal(t, http.MethodGet, r.Method, "a second pass writes nothing")
	}
}

// Every change is one line of the log, with its before and after.
func TestLogOfChanges(t *testing.T) {
	l := newLab(t)
	l.mustRun(t, exitInStep, "setup")
	l.lxd.Set(network("br0", "10.1.2.1/24"), instance("u1", "10.1.2.10"))
	l.mustRun(t, exitInStep, "sync")
	l.lxd.Set(network("br0", "10.1.2.1/24"), instance("u1", "10.1.2.77"))
	out := l.mustRun(t, exitInStep, "sync")

	var changes []map[string]any
	for line := range strings.Lines(out.stderr) {
		var entry map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &entry), "every line is JSON: %s", line)
		if entry["action"] != nil {
			changes = append(changes, entry)
		}
	}
	require.Len(t, changes, 1)
	require.Equal(t, "update", changes[0]["action"])
	require.Equal(t, "renumbered", changes[0]["reason"])
	require.Equal(t, map[string]any{"address": "10.1.2.10/24"}, changes[0]["before"])
	require.Equal(t, map[string]any{"address": "10.1.2.77/24"}, changes[0]["after"])
}

func TestLimitsNeedAPerson(t *testing.T) {
	l := newLab(t)
	l.mustRun(t, exitInStep, "setup")
	l.lxd.Set(network("br0", "10.1.2.1/24"), instance("u1", "10.1.2.10"), instance("u2", "10.1.2.11"))
	l.mustRun(t, exitInStep, "sync")

	l.lxd.Set()
	out := l.mustRun(t, exitLimits, "sync")
	require.Contains(t, out.stdout, "lists nothing any more")
	require.Len(t, l.addresses(t), 3, "an empty answer deletes nothing")

	var document struct {
		Digest string `json:"digest"`
	}
	out = l.mustRun(t, exitLimits, "sync", "--dry-run", "--format", "json")
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &document))
	out = l.mustRun(t, exitFailed, "sync", "--approve", "0000000000000000")
	require.Contains(t, out.stderr, document.Digest, "the error names the digest of now")
	require.Len(t, l.addresses(t), 3)
	l.mustRun(t, exitInStep, "sync", "--approve", document.Digest)
	require.Empty(t, l.addresses(t))
}

func TestBrokenSourceDeletesNothing(t *testing.T) {
	l := newLab(t)
	l.mustRun(t, exitInStep, "setup")
	l.lxd.Set(instance("u1", "10.1.2.10"))
	l.mustRun(t, exitInStep, "sync")

	l.lxd.Fail(http.StatusInternalServerError)
	out := l.mustRun(t, exitFailed, "sync")
	require.Contains(t, out.stderr, "Internal Server Error")
	require.Len(t, l.addresses(t), 1)
	l.mustRun(t, exitFailed, "allocations")
}

func TestReportFiles(t *testing.T) {
	l := newLab(t)
	l.mustRun(t, exitInStep, "setup")
	l.lxd.Set(network("br0", "10.1.2.1/24"), instance("u1", "10.1.2.10"))
	for name, begin := range map[string]string{"r.html": "<!doctype html>", "r.json": "{", "r.md": "#", "r.txt": "Reconciliation"} {
		path := filepath.Join(l.folder, name)
		out := l.mustRun(t, exitChanges, "sync", "--dry-run", "--output", path)
		require.Empty(t, out.stdout)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(strings.ToLower(string(text)), strings.ToLower(begin)), "%s begins with %.40q", name, text)
		require.Contains(t, string(text), "/1.0/instances/u1")
	}
	l.mustRun(t, exitFailed, "sync", "--dry-run", "--output", filepath.Join(l.folder, "no", "such", "folder.html"))
}

// The token is in no output, whatever goes wrong.
func TestTokenAppearsNowhere(t *testing.T) {
	l := newLab(t)
	l.lxd.Set(network("br0", "10.1.2.1/24"), instance("u1", "10.1.2.10"))
	calls := [][]string{
		{}, {"--help"}, {"sync", "--help"}, {"version"}, {"config", "schema"}, {"check"}, {"sync", "-n"}, {"setup"}, {"check"},
		{"sync", "-n", "--format", "json"}, {"sync", "-n", "--format", "html"}, {"sync", "-n", "--format", "markdown"},
		{"sync"}, {"allocations"}, {"allocations", "--summary"}, {"allocations", "--explain", "10.1.2.10"}, {"sync", "--nonsense"},
	}
	for _, fault := range []netboxtest.Fault{
		{}, {Kind: netboxtest.Answer, Status: 403, Body: `{"detail": "Invalid token ` + labToken + `"}`, Times: -1},
		{Kind: netboxtest.HTMLPage, Times: -1}, {Kind: netboxtest.Drop, Times: -1}, {Kind: netboxtest.Truncate, Times: -1},
	} {
		if fault.Times != 0 {
			l.netbox.Fault(fault)
		}
		for _, args := range calls {
			out := l.run(t.Context(), args...)
			require.NotContains(t, out.stdout+out.stderr, labToken, "allocsync %s", strings.Join(args, " "))
		}
		l.netbox.ClearFaults()
	}
}

func TestInterrupted(t *testing.T) {
	l := newLab(t)
	l.mustRun(t, exitInStep, "setup")
	l.lxd.Set(instance("u1", "10.1.2.10"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out := l.run(ctx, "sync")
	require.Equal(t, exitFailed, out.code)
	require.Contains(t, out.stderr, "interrupted")
	require.Empty(t, l.addresses(t))
}

func TestUsageErrors(t *testing.T) {
	l := newLab(t)
	for want, args := range map[string][]string{
		`--format "pdf"`:           {"sync", "--format", "pdf"},
		`want at least 10s`:        {"sync", "--every", "1s"},
		`dry-run approve`:          {"sync", "--dry-run", "--approve", "x"},
		`source "nope"`:            {"sync", "--source", "nope"},
		`unknown command "synk"`:   {"synk"},
		`address "10.1.2.300"`:     {"allocations", "--explain", "10.1.2.300"},
		`no source hands out that`: {"allocations", "--explain", "10.9.9.9"},
	} {
		out := l.mustRun(t, exitFailed, args...)
		require.Contains(t, out.stderr, want)
	}
}

func TestExplain(t *testing.T) {
	l := newLab(t)
	text, err := os.ReadFile(l.config)
	require.NoError(t, err)
	l.write(t, string(text)+"rules:\n  - name: no instances\n    match: {type: instance}\n    set: {skip: true}\n")
	l.lxd.Set(network("br0", "10.1.2.1/24"), instance("u1", "10.1.2.10"))
	out := l.mustRun(t, exitInStep, "allocations", "--explain", "10.1.2.10")
	require.Contains(t, out.stdout, "no instances")
	out = l.mustRun(t, exitInStep, "allocations", "--explain", "10.1.2.0/24")
	require.Contains(t, out.stdout, "no instances", "a rule that does not match is named with the reason")
}

func TestWrongRuleIsFound(t *testing.T) {
	l := newLab(t)
	text, err := os.ReadFile(l.config)
	require.NoError(t, err)
	l.write(t, string(text)+"rules:\n  - match: {source: labb}\n    set: {status: activ}\n")
	out := l.mustRun(t, exitFailed, "check")
	require.Contains(t, out.stderr, "allocsync.yaml:")
	require.Contains(t, out.stderr, "activ")
}

func TestSchemaIsJSON(t *testing.T) {
	l := newLab(t)
	var schema map[string]any
	require.NoError(t, json.Unmarshal([]byte(l.mustRun(t, exitInStep, "config", "schema").stdout), &schema))
	require.Contains(t, schema["$schema"], "2020-12")
}

func TestCompletion(t *testing.T) {
	l := newLab(t)
	require.Contains(t, l.mustRun(t, exitInStep, "completion", "bash").stdout, "allocsync")
	require.Contains(t, l.mustRun(t, exitInStep, "__complete", "sync", "--source", "").stdout, "lab")
}

func TestDemo(t *testing.T) {
	l := newLab(t)
	page := filepath.Join(l.folder, "demo.html")
	out := l.mustRun(t, exitInStep, "demo", "--output", page)
	for _, want := range []string{"6 custom fields made", "to create", "somebody else's row is there", "the row belongs to another owner", "32 created", "32 in step", "1 updated, 2 deleted", "allocsync check"} {
		require.Contains(t, out.stdout, want)
	}
	require.FileExists(t, page)
}

// A source whose name was changed finds all its rows in other hands. Nothing is
// touched, and monitoring is told.
func TestRenamedSource(t *testing.T) {
	l := newLab(t)
	l.mustRun(t, exitInStep, "setup")
	l.lxd.Set(network("br0", "10.1.2.1/24"), instance("u1", "10.1.2.10"))
	l.mustRun(t, exitInStep, "sync")
	text, err := os.ReadFile(l.config)
	require.NoError(t, err)
	l.write(t, strings.Replace(string(text), "name: lab", "name: renamed", 1))
	out := l.mustRun(t, exitPartly, "sync")
	require.Contains(t, out.stdout, "3 held, 0 in step")
	require.Len(t, l.addresses(t), 2)
}

// A device is written to, and a link followed; neither is replaced by a file.
func TestOutputIsNoFile(t *testing.T) {
	l := newLab(t)
	l.mustRun(t, exitInStep, "setup")
	l.lxd.Set(instance("u1", "10.1.2.10"))
	device, link, file := filepath.Join(l.folder, "null"), filepath.Join(l.folder, "link"), filepath.Join(l.folder, "file")
	require.NoError(t, os.Symlink("/dev/null", device))
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.NoError(t, os.Symlink(file, link))
	l.mustRun(t, exitChanges, "sync", "-n", "-o", device)
	l.mustRun(t, exitChanges, "sync", "-n", "-o", link)
	for _, path := range []string{device, link} {
		stat, err := os.Lstat(path)
		require.NoError(t, err)
		require.NotZero(t, stat.Mode()&os.ModeSymlink, "%s is still a link", path)
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(text), "/1.0/instances/u1")
	l.mustRun(t, exitFailed, "sync", "-o", l.folder)
	require.Empty(t, l.addresses(t), "a report that cannot be written is noticed before anything is done")
}

// What NetBox holds cannot drive the terminal through what is said of it.
func TestErrorsAreHarmless(t *testing.T) {
	l := newLab(t)
	l.mustRun(t, exitInStep, "setup")
	l.call(t, http.MethodPost, "/api/ipam/vrfs/", `{"name": "a\u001b]0;owned\u0007"}`, nil)
	text, err := os.ReadFile(l.config)
	require.NoError(t, err)
	l.write(t, string(text)+"rules: [{set: {vrf: none}}]\n")
	l.lxd.Set(instance("u1", "10.1.2.10"))
	out := l.mustRun(t, exitPartly, "sync")
	require.Contains(t, out.stdout, "owned")
	require.NotContains(t, out.stdout+out.stderr, "\x1b")
}

// A default on our custom field would make everybody's rows ours.
func TestFieldWithDefault(t *testing.T) {
	l := newLab(t)
	l.mustRun(t, exitInStep, "setup")
	var fields struct{ Results []struct{ ID int } }
	l.call(t, http.MethodGet, "/api/extras/custom-fields/?name=sync_owner", "", &fields)
	l.call(t, http.MethodPatch, fmt.Sprintf("/api/extras/custom-fields/%d/", fields.Results[0].ID), `{"default": "dc1/lab"}`, nil)
	l.call(t, http.MethodPost, "/api/ipam/ip-addresses/", `{"address": "192.0.2.1/32", "dns_name": "router.of.a.person"}`, nil)
	l.lxd.Set(instance("u1", "10.1.2.10"))
	for _, command := range []string{"sync", "check", "setup"} {
		out := l.mustRun(t, exitFailed, command)
		require.Contains(t, out.stdout+out.stderr, "default")
	}
	require.Len(t, l.addresses(t), 1)
}

// The metrics of a pass that nobody watches, for node_exporter.
func TestMetricsFile(t *testing.T) {
	l := newLab(t)
	l.mustRun(t, exitInStep, "setup")
	l.lxd.Set(instance("u1", "10.1.2.10"))
	file := filepath.Join(l.folder, "allocsync.prom")
	l.mustRun(t, exitInStep, "sync", "--metrics-file", file)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(text), `allocsync_source_changes_total{action="create",source="lab"} 1`)
	require.Contains(t, string(text), `allocsync_passes_total{outcome="applied",trigger="command"} 1`)

	l.web.Close()
	l.mustRun(t, exitFailed, "sync", "--metrics-file", file)
	text, err = os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(text), `allocsync_passes_total{outcome="failed",trigger="command"} 1`)
	l.mustRun(t, exitFailed, "sync", "--metrics-file", filepath.Join(l.folder, "none", "x.prom"))
}
