package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Ticks of a schedule find what changed, each source by its own: @every, and
// an expression with seconds. Nothing is watched here.
func TestServeSchedule(t *testing.T) {
	l := newLifecycle(t)
	other := newLXD(t, instance("x", "10.81.9.1"))
	l.rules += "  - match: {source: edge}\n    set: {skip: false, vrf: " + l.vrf + "}\n"
	k := l.served([]string{source("lab", l.incus.socket), source("edge", other.socket, `schedule: "*/10 * * * * *"`)}, `schedule: "@every 10s"`)
	d := l.mustServe(k)
	require.Equal(t, "start", d.mustPass(1).Trigger)
	require.Len(t, l.rows(), 8+1)

	web := l.incus.prefix + "-web"
	l.incus.create("create", "default", []string{web}, "--network", l.incus.a.name, "-d", "eth0,ipv4.address="+l.incus.a.v4(20))
	other.lists(instance("x", "10.81.9.1"), instance("y", "10.81.9.2"))
	begun, known := time.Now(), len(d.passes())
	mustBecome(t, 40*time.Second, "both are found", func() bool {
		rows := l.rows().by()
		return rows[l.incus.a.v4(20)+"/24"].UsedBy == "/1.0/instances/"+web && rows["10.81.9.2/32"].UsedBy != ""
	})
	t.Logf("found %.1f s after", time.Since(begun).Seconds())
	triggers := map[string]bool{}
	mustBecome(t, 40*time.Second, "both schedules tick", func() bool {
		for _, p := range d.passes()[known:] {
			for part := range strings.SplitSeq(p.Trigger, ", and ") {
				triggers[part] = true
			}
		}
		return triggers["schedule: @every 10s"] && triggers["schedule: */10 * * * * *"]
	})
	require.Greater(t, d.metric("allocsync_next_run_timestamp_seconds"), float64(begun.Unix()))
	for _, p := range d.passes()[1:] { // while others change the same server, an answer may be incomplete
		require.True(t, strings.HasPrefix(p.Trigger, "schedule: ") || strings.HasPrefix(p.Trigger, "retry: lab failed"), p.Trigger)
	}
	l.incus.must("delete", "-f", web)
	mustBecome(t, 40*time.Second, "its row is gone", func() bool { return len(l.rows()) == 8+2 })
	d.mustStop()
}

// What happens at a real Incus arrives in NetBox by itself, without a schedule:
// within seconds, a lease when there is one.
func TestServeIncusEvents(t *testing.T) {
	const soon = 30 * time.Second // tests of others keep the same servers busy
	l := newLifecycle(t)
	k := l.served([]string{source("lab", l.incus.socket)}, "watch: true")
	d := l.mustServe(k)
	d.mustPass(1)
	require.Len(t, l.rows(), 8)
	within := func(what string, holds func(map[string]row) bool) {
		t.Helper()
		begun := time.Now()
		mustBecome(t, soon, what, func() bool { return holds(l.rows().by()) })
		t.Logf("%s: %.1f s", what, time.Since(begun).Seconds())
	}

	web, dyn := l.incus.prefix+"-web", l.incus.prefix+"-dyn"
	static := l.incus.a.v4(20) + "/24"
	l.incus.create("launch", "default", []string{web}, "--network", l.incus.a.name, "-d", "eth0,ipv4.address="+l.incus.a.v4(20))
	within("an instance with a static address has its row", func(rows map[string]row) bool { return rows[static].UsedBy == "/1.0/instances/"+web })
	l.incus.must("config", "device", "set", web, "eth0", "ipv4.address="+l.incus.a.v4(21))
	within("its row follows it", func(rows map[string]row) bool { return rows[l.incus.a.v4(21)+"/24"].UsedBy == "/1.0/instances/"+web })
	l.incus.must("delete", "-f", web)
	within("its row is gone with it", func(rows map[string]row) bool {
		for _, r := range rows {
			if r.UsedBy == "/1.0/instances/"+web {
				return false
			}
		}
		return true
	})

	l.incus.create("launch", "default", []string{dyn}, "--network", l.incus.a.name)
	lease := l.incus.mustLease(l.incus.a, dyn)
	within("a lease has its row", func(rows map[string]row) bool { return rows[lease+"/24"].UsedBy == "/1.0/instances/"+dyn })
	l.incus.must("delete", "-f", dyn)
	within("its row is gone with the instance", func(rows map[string]row) bool { return rows[lease+"/24"].ID == 0 })
	require.Len(t, l.rows(), 8)

	for _, p := range d.passes()[1:] {
		require.True(t, strings.HasPrefix(p.Trigger, "event: lab: something changed") || strings.HasPrefix(p.Trigger, "retry: lab failed"), p.Trigger)
	}
	require.GreaterOrEqual(t, d.metric(`allocsync_passes_total{outcome="applied",trigger="event"}`), 4.0)
	d.mustStop()
}

// testServeEvents is of real libvirt daemons: Nova writes a server's metadata,
// and its rows follow within seconds, without a schedule.
func testServeEvents(t *testing.T) {
	const soon = 30 * time.Second
	h := newHosts(t)
	x := newPort("fixed 10.200.1.150")
	m := h.define("a", h.red(), "web", x)
	k := h.served([]string{h.nova("", hostA(t))}, "watch: true")
	d := h.mustServe(k)
	d.mustPass(1)
	require.Len(t, h.owned(), 1)
	within := func(what string, holds func(map[string]row) bool) {
		t.Helper()
		begun := time.Now()
		mustBecome(t, soon, what, func() bool { return holds(h.owned().by()) })
		t.Logf("%s: %.1f s", what, time.Since(begun).Seconds())
	}
	x.addresses = append(x.addresses, "floating 203.0.113.150")
	m.rewrite("--config")
	within("a floating address has its row", func(rows map[string]row) bool {
		return rows["203.0.113.150/32"].ID != 0 && rows["203.0.113.150/32"].Inside == rows["10.200.1.150/32"].ID
	})
	x.addresses = x.addresses[:1]
	m.rewrite("--config")
	within("and is gone again", func(rows map[string]row) bool { return len(rows) == 1 })

	// The daemon goes away and comes back: what changed meanwhile is found.
	restart := h.kill("a")
	d.resync()
	mustBecome(t, soon, "it is told that the host is away", func() bool { return d.metric(`allocsync_source_complete{source="nova"}`) == 0 })
	require.Len(t, h.owned(), 1)
	restart()
	x.addresses = append(x.addresses, "fixed 10.200.1.151")
	m.rewrite("--config")
	within("after a restart", func(rows map[string]row) bool { return rows["10.200.1.151/32"].UsedBy == m.used(x) })
	d.mustStop()
}
