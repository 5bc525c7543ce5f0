package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A dry run names every row with its address, old and new values and the
// reason, and writes nothing.
func TestDryRunSaysEverything(t *testing.T) {
	w := newWorld(t)
	lxd := newLXD(t, append(instances(11), br0())...)
	w.configure(source("lab", lxd.socket))
	w.mustSync(exitInStep)
	before := w.rows()

	list := append(instances(10), br0(), instance("new", "10.81.1.1")) // i11 is gone
	list[0].UsedBy = "/1.0/instances/renamed"
	lxd.lists(list...)
	w.proxy.forget()
	o := w.mustRun(exitChanges, "sync", "--dry-run")
	require.Empty(t, w.proxy.writes())
	require.Equal(t, before, w.rows())

	report := unbroken(o.stdout)
	for _, part := range []string{
		"dry run: nothing was written",
		"would create 1, new at the source", "10.81.1.1/16", "/1.0/instances/new",
		"would update 1, changed at the source", "10.81.3.1/16", "used_by", "/1.0/instances/renamed",
		"would delete 1, no longer at the source", "10.81.3.11/16", "/1.0/instances/i11",
		fmt.Sprintf("#%d", before.by()["10.81.3.11/16"].ID),
		"allocsync sync --approve ",
	} {
		require.Contains(t, report, part, "%s", o)
	}
	r := w.mustSync(exitChanges, "--dry-run")
	require.Equal(t, []string{
		"planned create 10.81.1.1/16",
		"planned update 10.81.3.1/16 used_by /1.0/instances/i1 -> /1.0/instances/renamed",
		"planned delete 10.81.3.11/16",
	}, r.lines())
	require.Equal(t, "no longer at the source", r.Changes[2].Reason)

	// What was announced is what is done.
	done := w.mustSync(exitInStep)
	require.Equal(t, strings.ReplaceAll(strings.Join(r.lines(), "\n"), "planned", "done"), strings.Join(done.lines(), "\n"))
	w.mustInStep()
}

// unbroken puts the spaces of a table together.
func unbroken(table string) string { return strings.Join(strings.Fields(table), " ") }

// Where more than 30 % of a source's rows would change, a person has to
// approve exactly the plan that was shown.
func TestLimitsAndApproval(t *testing.T) {
	w := newWorld(t)
	lxd := newLXD(t, append(instances(12), br0())...)
	w.configure(source("lab", lxd.socket))
	w.mustSync(exitInStep)
	before := w.rows()
	require.Len(t, before, 14)

	lxd.lists(append(instances(7), br0())...)
	o := w.mustRun(exitLimits, "sync")
	require.Contains(t, unbroken(o.stdout), "5 rows of 14 would be changed (0 updated, 5 deleted), 35.8 % is over the limit of 30 %")
	require.Equal(t, before, w.rows())

	stale := w.mustSync(exitLimits, "--dry-run")
	require.Equal(t, "allocsync sync --approve "+stale.Digest, stale.Approve)
	lxd.lists(append(instances(6), br0())...)
	o = w.mustRun(exitFailed, "sync", "--approve", stale.Digest)
	require.Contains(t, o.stderr, "the plan has changed since")
	require.Equal(t, before, w.rows(), "what was approved is not what would be done")

	fresh := w.mustSync(exitLimits, "--dry-run")
	require.NotEqual(t, stale.Digest, fresh.Digest)
	r := w.mustSync(exitInStep, "--approve", fresh.Digest)
	require.Equal(t, 6, r.Totals.Done)
	require.Len(t, w.rows(), 8)
	w.mustInStep()

	// The digest of what is done approves nothing more.
	lxd.lists(br0())
	w.mustRun(exitFailed, "sync", "--approve", fresh.Digest)
	require.Len(t, w.rows(), 8)
}

// What a source may not do is reported as held.
func TestPolicy(t *testing.T) {
	w := newWorld(t)
	lxd := newLXD(t, append(instances(3), br0())...)
	w.configure(source("lab", lxd.socket))
	w.mustSync(exitInStep)
	before := w.rows()

	lxd.lists(append(instances(2), br0(), instance("new", "10.81.1.1"))...)
	w.configure(source("lab", lxd.socket, "allow: {delete: false}"))
	r := w.mustSync(exitInStep)
	require.Equal(t, []string{"done create 10.81.1.1/16"}, r.lines())
	require.Equal(t, []string{"delete 10.81.3.3/16: switched off by policy"}, r.heldLines())
	require.Equal(t, before.by()["10.81.3.3/16"], w.rows().by()["10.81.3.3/16"])
}
