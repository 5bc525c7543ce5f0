package e2e_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// outage is how long NetBox, or a source, is away.
const outage = time.Minute

// NetBox is away for a minute and nobody does anything about it: no pass
// hammers it, no row is lost, and what changed meanwhile is written by itself.
func TestServeNetBoxAwayForAMinute(t *testing.T) {
	w := newWorld(t)
	w.netboxKeys = []string{"retries: 1"}
	lxd := newLXD(t, append(instances(3), br0())...)
	d := w.mustServe(w.served([]string{source("lab", lxd.socket)}))
	require.Equal(t, "applied", d.mustPass(1).Outcome)
	before := w.rows()
	begun := time.Now()
	w.proxy.breaks(func(request) fault { return badGateway })
	lxd.lists(append(instances(5)[1:], br0())...) // one goes, two come
	d.resync()
	require.Equal(t, "failed", d.mustPass(2).Outcome)
	time.Sleep(time.Until(begun.Add(outage)))
	tries := len(d.passes()) - 1
	require.LessOrEqual(t, tries, 3, "passes in a minute without NetBox")
	require.Equal(t, http.StatusOK, d.do(http.MethodGet, "/healthz", "").code)
	require.Equal(t, before, w.rows(), "nothing is touched meanwhile")

	w.proxy.breaks(nil)
	mustBecome(t, 3*time.Minute, "the rows are as the source says", func() bool {
		rows := w.rows()
		return len(rows) == len(before)+1 && d.readiness().Sources[0].State == "in step"
	})
	passes := d.passes()
	last := passes[len(passes)-1]
	require.True(t, strings.HasPrefix(last.Trigger, "retry: "), "%s", last.Trigger)
	t.Logf("%d passes during the outage of %s; in step %.0f s after its end", tries, outage, time.Since(begun.Add(outage)).Seconds())
	d.mustStayInStep()
}

// A source is away for a minute: the same, and the other source goes on.
func TestServeSourceAwayForAMinute(t *testing.T) {
	w := newWorld(t)
	lxd, other := newLXD(t, append(instances(3), br0())...), newLXD(t, instance("x", "10.81.9.1"))
	d := w.mustServe(w.served([]string{source("lab", lxd.socket), source("edge", other.socket)}))
	d.mustPass(1)
	before := w.rows()
	begun := time.Now()
	lxd.die()
	other.lists(instance("x", "10.81.9.1"), instance("y", "10.81.9.2"))
	d.resync()
	require.Equal(t, "partly", d.mustPass(2).Outcome)
	time.Sleep(time.Until(begun.Add(outage)))
	require.LessOrEqual(t, len(d.passes()), 5, "passes in a minute without the source")
	require.Equal(t, before.of(w.owner("lab")), w.rows().of(w.owner("lab")), "nothing of it is touched meanwhile")
	require.Len(t, w.rows(), len(before)+1, "the other source goes on")

	lxd.rise(t)
	lxd.lists(append(instances(5)[1:], br0())...)
	mustBecome(t, 3*time.Minute, "the rows are as the source says", func() bool {
		return len(w.rows()) == len(before)+2 && d.metric(`allocsync_source_complete{source="lab"}`) == 1
	})
	t.Logf("in step %.0f s after the end of an outage of %s", time.Since(begun.Add(outage)).Seconds(), outage)
	d.mustStayInStep()
}
