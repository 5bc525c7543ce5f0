package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Metadata of one server that makes no sense: its other addresses stay, the
// report names it, and nothing of the source is deleted until it is mended.
func testMalformedMetadata(t *testing.T) {
	h := newHosts(t)
	first, second := newPort("fixed 10.200.1.100"), newPort("fixed 10.200.1.101", "floating 203.0.113.101")
	m := h.launch("a", h.red(), "torn", first, second)
	gone := h.define("a", h.blue(), "gone", newPort("fixed 10.200.1.102"))
	h.reads(hostA(t))
	h.mustSync(exitInStep)
	before := h.owned()
	require.Len(t, before, 4)

	first.addresses = append(first.addresses, "fixed 2001:db8:200::100")
	m.set(strings.Replace(m.metadata(), ` uuid="`+second.uuid+`"`, "", 1), "--live", "--config")
	mustVirsh(t, "a", "undefine", gone.uuid)
	r := h.mustSync(exitPartly)
	require.Equal(t, []string{"done create 2001:db8:200::100/128"}, r.lines(), "what can be read is kept in step")
	require.ElementsMatch(t, []string{
		"delete 10.200.1.101/32: the source did not answer in full", "delete 203.0.113.101/32: the source did not answer in full",
		"delete 10.200.1.102/32: the source did not answer in full",
	}, r.heldLines())
	require.Len(t, r.Sources[0].Missing, 1)
	require.Contains(t, r.Sources[0].Missing[0], "domain "+m.name+" (torn)")
	for address, row := range before.by() {
		require.Equal(t, row, h.owned().by()[address])
	}
	require.Contains(t, unbroken(h.mustRun(exitFailed, "check").stdout), m.name)

	m.rewrite("--live", "--config")
	require.Equal(t, []string{"done delete 10.200.1.102/32"}, h.mustSync(exitInStep).lines())
	require.Len(t, h.owned(), 4)
	h.mustInStep()
}

// A daemon that is restarted while it is read: a reading is whole, or it fails.
func testRestarts(t *testing.T) {
	h := newHosts(t)
	h.reads(hostA(t))
	list := []string{"allocations", "--format", "csv"}
	whole := h.mustRun(exitInStep, list...).stdout
	require.Equal(t, 1+14, strings.Count(whole, "\n"), "the heading, and what the host lists")

	ended := h.meanwhile(func() error {
		for range 5 {
			if out, err := tryControl(t, "restart", "a"); err != nil {
				return fmt.Errorf("restart: %w\n%s", err, out)
			}
		}
		return nil
	})
	good, failed := 0, 0
	for !ended() {
		if o := h.run(list...); o.code == exitInStep {
			good++
			require.Equal(t, whole, o.stdout)
		} else {
			failed++
			require.Equal(t, exitFailed, o.code, "%s", o)
			require.Contains(t, o.stderr, "not listed: source nova")
		}
	}
	require.Positive(t, good)
	require.Positive(t, failed)
	require.Equal(t, whole, h.mustRun(exitInStep, list...).stdout)
}

// A project whose VRF nobody has made in NetBox, and one whose VRF somebody
// has renamed there: their rows are problems and stay as they are. All others
// are kept in step, but nothing of the source is deleted.
func testProjectWithoutVRF(t *testing.T) {
	h := newHosts(t)
	green := h.installation + "-green"
	going := newPort("fixed 10.200.1.110")
	gone := h.define("a", h.red(), "gone", going)
	h.define("a", h.blue(), "orphan", newPort("fixed 10.200.1.111", "floating 203.0.113.111"))
	lxd := newLXD(t, append(instances(3), br0())...)
	lab := source("lab", lxd.socket)
	h.rules += "  - match: {source: lab}\n    set: {vrf: " + h.vrf + "}\n"
	h.configure(h.nova("", hostA(t)), lab)
	h.mustSync(exitInStep)
	before := h.owned()
	require.Len(t, before, 3)

	h.define("a", green, "early", newPort("fixed 10.200.1.112", "floating 203.0.113.112"))
	h.define("a", h.red(), "late", newPort("fixed 10.200.1.113"))
	mustVirsh(t, "a", "undefine", gone.uuid)
	vrf := "ipam/vrfs/?name=" + h.blue()
	blue := h.netbox.must(t, http.MethodGet, vrf, nil)["results"].([]any)[0].(object)
	rename := func(name string) {
		h.netbox.must(t, http.MethodPatch, "ipam/vrfs/"+itoa(id(blue))+"/", object{"name": name})
	}
	rename(h.blue() + "-renamed")
	lxd.lists(append(instances(2), br0())...)

	changes := func(status string) []string {
		return []string{status + " create 10.200.1.113/32", status + " create 203.0.113.112/32", status + " delete 10.81.3.3/16"}
	}
	held := []string{"delete 10.200.1.110/32: the source did not answer in full", "delete 10.200.1.111/32: the source did not answer in full"}
	mustName := func(text string) {
		t.Helper()
		for _, part := range []string{`"{project}"`, `NetBox has no VRF "` + green + `"`, `NetBox has no VRF "` + h.blue() + `"`, "/ipam/vrfs/add/"} {
			require.Contains(t, unbroken(text), part)
		}
	}
	require.ElementsMatch(t, changes("planned"), h.mustSync(exitChanges, "--dry-run").lines())
	mustName(h.mustRun(exitChanges, "sync", "--dry-run").stdout)
	mustName(h.mustRun(exitFailed, "check").stdout)
	require.Equal(t, before.lines(), strings.Split(strings.ReplaceAll(strings.Join(h.owned().lines(), "\n"), "-renamed", ""), "\n"))

	r := h.mustSync(exitPartly)
	require.ElementsMatch(t, changes("done"), r.lines())
	require.ElementsMatch(t, held, r.heldLines())
	require.Len(t, r.Problems, 2)
	now := h.owned().by()
	require.Zero(t, now["203.0.113.112/32"].Inside, "the fixed address behind it has no row yet")
	orphan := now["10.200.1.111/32"]
	require.Equal(t, before.by()["10.200.1.111/32"].ID, orphan.ID)
	require.Equal(t, before.by()["203.0.113.111/32"], now["203.0.113.111/32"])
	require.Contains(t, now, "10.200.1.110/32")

	// Made, and named back.
	h.netbox.mustCreate(t, "ipam/vrfs", object{"name": green})
	rename(h.blue())
	r = h.mustSync(exitInStep)
	require.Equal(t, 3, r.Totals.Done, "%v", r.lines())
	require.Subset(t, r.lines(), []string{"done create 10.200.1.112/32", "done delete 10.200.1.110/32"})
	now = h.owned().by()
	require.Equal(t, now["10.200.1.112/32"].ID, now["203.0.113.112/32"].Inside)
	require.Equal(t, before.by()["10.200.1.111/32"].ID, now["10.200.1.111/32"].ID)
	h.mustInStep()
}
