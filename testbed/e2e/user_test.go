package e2e_test

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func itoa(n int) string { return strconv.Itoa(n) }

// The demo needs no server, no configuration and no network.
func TestDemo(t *testing.T) {
	mustEnv(t, "netbox", netboxURL) // which also says that the program is built
	t.Parallel()
	w := &world{T: t, folder: mustFolder(t)}
	o := w.mustRun(exitInStep, "demo", "--output", "demo.html")
	for _, part := range []string{"allocsync sync --dry-run", "Would change NetBox", "Applied", "somebody else's row is there", "allocsync.yaml"} {
		require.Contains(t, o.stdout, part)
	}
	require.Contains(t, mustRead(t, filepath.Join(w.folder, "demo.html")), "<html")
}

// check says of everything that it is well, or how to mend it.
func TestCheck(t *testing.T) {
	w := newWorld(t)
	lxd := newLXD(t, append(instances(3), br0())...)
	w.configure(source("lab", lxd.socket))
	o := w.mustRun(exitInStep, "check")
	for _, part := range []string{"4.7.3", "Source lab", "LXD 5.21.2", "5 changes"} {
		require.Contains(t, o.stdout, part)
	}
	require.Empty(t, w.rows())

	w.rules = "  - set: {vrf: " + w.vrf + "-nowhere, tenant: nobody-" + w.installation + "}\n"
	w.configure(source("lab", lxd.socket), source("other", w.folder+"/none"))
	o = w.mustRun(exitFailed, "check")
	require.Contains(t, unbroken(o.stdout), w.vrf+"-nowhere")
	require.Contains(t, unbroken(o.stdout), "no such socket")
	require.Empty(t, w.rows())
}

// Every mistake in the configuration is reported at once, with its line and
// column and what to write instead; nothing is asked of any server.
func TestConfigurationErrors(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(w.folder, "bad.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`installation: dc1
netbox:
  url: `+w.url+`
  token: ${NOT_SET_ANYWHERE}
  pagesize: 7
sources:
  - name: lab
    kind: lxd
    options: {ur: "unix:///x"}
  - name: lab
    kind: lxc
limits: {share: 30}
rules:
  - set: {status: actve}
`), 0o600))
	for _, command := range []string{"sync", "check", "setup", "allocations"} {
		o := w.mustRun(exitFailed, command, "--config", file)
		for _, at := range []string{
			"bad.yaml:4:10: netbox.token", "bad.yaml:5:3: netbox.pagesize: unknown key", "bad.yaml:9:15: sources[0].options.ur",
			"bad.yaml:10:11: sources[1].name", "bad.yaml:11:11: sources[1].kind", "bad.yaml:12:17: limits.share",
			"bad.yaml:14:19: rules[0].set.status",
		} {
			require.Contains(t, o.stderr, at)
		}
	}
	require.Empty(t, w.proxy.requests())

	o := w.mustRun(exitFailed, "sync", "--config", w.folder+"/none.yaml")
	require.Contains(t, o.stderr, "none.yaml")
	for _, args := range [][]string{{"sync", "--format", "yaml"}, {"sync", "--nope"}, {"sink"}, {"sync", "--every", "1s"}, {"sync", "more"}, {"sync", "-n", "--approve", "x"}} {
		w.configure(source("lab", "/nowhere"))
		o := w.mustRun(exitFailed, args...)
		require.NotEmpty(t, o.stderr)
		require.Empty(t, o.stdout)
	}
}

// What the sources hand out, as a table, for a spreadsheet, added up, and
// explained.
func TestAllocations(t *testing.T) {
	w := newWorld(t)
	inWeb := instance("shop", "10.81.5.1")
	inWeb.UsedBy += "?project=web"
	lxd := newLXD(t, append(instances(3), br0(), inWeb)...)
	w.rules += "  - set: {vrf: " + w.vrf + "}\n  - name: names\n    match: {type: instance}\n    set: {dns_name: \"{name}.{project}.example.org\"}\n"
	w.configure(source("lab", lxd.socket))

	table := w.mustRun(exitInStep, "allocations").stdout
	for _, part := range []string{"USED BY", "10.81.3.1/32", "/1.0/instances/i1", "network", instance("i1", "").MAC} {
		require.Contains(t, table, part)
	}
	list, err := csv.NewReader(strings.NewReader(w.mustRun(exitInStep, "list-allocations", "--format", "csv").stdout)).ReadAll()
	require.NoError(t, err)
	require.Len(t, list, 1+6)
	list, err = csv.NewReader(strings.NewReader(w.mustRun(exitInStep, "allocations", "--format", "csv", "--project", "web").stdout)).ReadAll()
	require.NoError(t, err)
	require.Len(t, list, 1+1)
	require.Contains(t, list[1], inWeb.UsedBy)

	summary := w.mustRun(exitInStep, "allocations", "--summary").stdout
	require.Contains(t, summary, "10.81.0.0/16")
	require.Contains(t, summary, "65,534", "what a /16 can hold")

	explained := unbroken(w.mustRun(exitInStep, "allocations", "--explain", "10.81.5.1").stdout)
	require.Contains(t, explained, "shop.web.example.org")
	require.Contains(t, explained, "names")
	o := w.mustRun(exitFailed, "allocations", "--explain", "10.81.77.77")
	require.Contains(t, o.stderr, "no source hands out that address")
	require.Empty(t, w.proxy.requests(), "NetBox is not asked")

	lxd.die()
	o = w.mustRun(exitFailed, "allocations")
	require.Contains(t, o.stderr, "not listed: source lab")
}

// Ctrl-C in the middle of a long first sync: the batch under way is finished,
// the report says what was done, and the next run does the rest.
func TestInterrupt(t *testing.T) {
	const n = 400
	w := newWorld(t)
	lxd := newLXD(t, append(instances(n), br0())...)
	w.configure(source("lab", lxd.socket))
	r := w.start("sync", "--format", "json")
	mustBecome(t, time.Minute, "the second batch of addresses", func() bool { return w.proxy.batches("ip-addresses") >= 2 })
	r.signal(syscall.SIGINT)
	o := r.mustEnd(30 * time.Second)
	require.Equal(t, exitPartly, o.code, "%s", o)
	report := mustReport(t, o)
	require.Equal(t, len(w.rows()), report.Totals.Done, "the report says what was done, no more and no less")
	require.Positive(t, report.Totals.Skipped)
	require.Equal(t, n+2, report.Totals.Done+report.Totals.Skipped)
	require.Less(t, report.Totals.Done, n)
	require.NotEmpty(t, report.Error)

	w.mustSync(exitInStep)
	require.Len(t, w.rows(), n+2)
	cost := w.mustInStep().Requests.Sent
	require.LessOrEqual(t, cost, 6, "reading %d rows takes no more requests than reading one", n)
}

// Ctrl-C while nothing is written yet.
func TestInterruptWhileReading(t *testing.T) {
	w := newWorld(t)
	w.configure("  - name: lab\n    kind: lxd\n    options: {url: \"unix://" + mustHang(t) + "\", timeout: 60s}\n")
	r := w.start("sync")
	mustBecome(t, 10*time.Second, "it reads the source", func() bool { return strings.Contains(r.stderr.String(), "reading lab") })
	r.signal(syscall.SIGINT)
	o := r.mustEnd(5 * time.Second)
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.stderr, "interrupted")
	require.Empty(t, w.proxy.writes())
}

// sync --every goes on until it is told to stop, also after a pass that
// failed.
func TestEvery(t *testing.T) {
	w := newWorld(t)
	lxd := newLXD(t, append(instances(2), br0())...)
	w.configure(source("lab", lxd.socket))
	r := w.start("sync", "--every", "10s")
	mustBecome(t, 30*time.Second, "the first pass", func() bool { return strings.Contains(r.stdout.String(), "Applied") })
	lxd.die()
	mustBecome(t, 30*time.Second, "a pass that fails", func() bool { return strings.Contains(r.stdout.String(), "did not answer") })
	lxd.rise(t)
	lxd.lists(append(instances(3), br0())...)
	mustBecome(t, 30*time.Second, "a pass that finds the new instance", func() bool { return len(w.rows()) == 5 })
	mustBecome(t, 10*time.Second, "its report", func() bool { return strings.Count(r.stdout.String(), "Applied:") == 2 })
	r.signal(syscall.SIGTERM)
	o := r.mustEnd(5 * time.Second)
	require.Equal(t, exitInStep, o.code, "%s", o)
}

// A report that cannot be written is said before anything is done.
func TestReportFiles(t *testing.T) {
	w := newWorld(t)
	w.configure(source("lab", newLXD(t, br0()).socket))
	w.mustRun(exitChanges, "sync", "--dry-run", "--output", "plan.md")
	require.Contains(t, mustRead(t, filepath.Join(w.folder, "plan.md")), "10.81.0.0/16")
	w.mustRun(exitChanges, "sync", "--dry-run", "--output", "plan.html")
	require.Contains(t, mustRead(t, filepath.Join(w.folder, "plan.html")), "10.81.0.0/16")
	o := w.mustRun(exitFailed, "sync", "--output", "no/such/folder/plan.json")
	require.Contains(t, o.stderr, "no/such/folder")
	require.Empty(t, w.rows(), fmt.Sprintf("nobody could read what was done:\n%s", o))
}
