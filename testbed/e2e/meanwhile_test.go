package e2e_test

import (
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A row that a person changed after it was read is not deleted.
func TestRowChangedMeanwhileIsKept(t *testing.T) {
	w := newWorld(t)
	lxd := newLXD(t, append(instances(3), br0())...)
	w.configure(source("lab", lxd.socket))
	w.mustSync(exitInStep)
	row := w.rows().by()["10.81.3.3/16"]

	lxd.lists(append(instances(2), br0())...)
	w.proxy.forget()
	w.proxy.breaks(func(r request) fault {
		if r.isOf(http.MethodGet, "ip-addresses") && r.n == 2 { // the look just before the delete
			w.netbox.must(t, http.MethodPatch, row.path(), object{"description": "mine now"})
		}
		return noFault
	})
	r := w.mustSync(exitPartly)
	require.Equal(t, []string{"kept delete 10.81.3.3/16"}, r.lines())
	require.Equal(t, "mine now", w.rows().by()["10.81.3.3/16"].Description)
}

// A row that a person makes between the reading and the writing is refused by
// NetBox. The other rows of the batch are made all the same, and the report
// gives NetBox's words for this one.
func TestRowMadeMeanwhile(t *testing.T) {
	w := newWorld(t)
	w.configure(source("lab", newLXD(t, append(instances(9), br0())...).socket))
	w.proxy.breaks(func(r request) fault {
		if r.isOf(http.MethodPost, "ip-addresses") && r.n == 1 {
			w.netbox.mustCreate(t, "ipam/ip-addresses", object{"address": "10.81.3.4/24", "vrf": w.vrfID, "description": "by hand"})
		}
		return noFault
	})
	r := w.mustSync(exitPartly)
	require.Equal(t, 10, r.Totals.Done)
	require.Equal(t, 1, r.Totals.Refused)
	for _, c := range r.Changes {
		if c.Status == "refused" {
			require.Equal(t, "refused create 10.81.3.4/16", c.line())
			require.Contains(t, c.Detail, "Duplicate IP address found")
		}
	}
	require.Len(t, w.rows(), 11)
	require.Equal(t, "by hand", w.rows().by()["10.81.3.4/24"].Description)
	require.Equal(t, []string{"create 10.81.3.4/16: somebody else's row is there"}, w.mustInStep().heldLines())
}

// NetBox goes away in the middle of the writing, for good: the run gives up in
// good order, the report says what was done, and the next run does the rest.
func TestNetBoxDiesInTheMiddle(t *testing.T) {
	const n = 70
	w := newWorld(t)
	w.netboxKeys = []string{"retries: 1"}
	w.configure(source("lab", newLXD(t, append(instances(n), br0())...).socket))
	dead := false
	w.proxy.breaks(func(r request) fault {
		if dead = dead || r.isOf(http.MethodPost, "ip-addresses") && r.n == 2; dead {
			return badGateway
		}
		return noFault
	})
	r := w.mustSync(exitPartly)
	require.Len(t, w.rows(), 51)
	require.Equal(t, 51, r.Totals.Done, "the report says what was done, no more and no less")
	require.Equal(t, n+2, r.Totals.Done+r.Totals.Failed+r.Totals.Skipped)

	w.proxy.breaks(nil)
	w.mustSync(exitInStep)
	require.Len(t, w.rows(), n+2)
	w.mustInStep()
}

// A run that is killed leaves nothing that the next one does not put right.
func TestKilled(t *testing.T) {
	const n = 120
	w := newWorld(t)
	w.configure(source("lab", newLXD(t, append(instances(n), br0())...).socket))
	r := w.start("sync")
	mustBecome(t, time.Minute, "the second batch of addresses", func() bool { return w.proxy.batches("ip-addresses") >= 2 })
	r.signal(syscall.SIGKILL)
	<-r.done
	// NetBox goes on with the request that it has.
	mustBecome(t, 30*time.Second, "NetBox is idle", func() bool { return w.proxy.idle() })

	w.mustSync(exitInStep)
	rows := w.rows()
	require.Len(t, rows, n+2)
	require.Len(t, rows.by(), n+2)
	w.mustInStep()
}

// Two runs of one configuration at the same time, as when a person does not
// wait for the timer: no row is there twice, and none is missing.
func TestTwoAtTheSameTime(t *testing.T) {
	const n = 60
	w := newWorld(t)
	w.configure(source("lab", newLXD(t, append(instances(n), br0())...).socket))
	first, second := w.start("sync"), w.start("sync")
	for _, r := range []*running{first, second} {
		o := r.wait()
		require.Contains(t, []int{exitInStep, exitPartly}, o.code, "%s", o)
	}
	w.mustSync(exitInStep)
	rows := w.rows()
	require.Len(t, rows, n+2)
	require.Len(t, rows.by(), n+2)
	w.mustInStep()
}

// What new addresses cost: one request for each batch, not several for each
// address.
func TestCostOfNewAddresses(t *testing.T) {
	const n = 149
	w := newWorld(t)
	w.configure(source("lab", newLXD(t, append(instances(n), br0())...).socket))
	r := w.mustSync(exitInStep)
	require.Equal(t, n+2, r.Totals.Done)
	require.Len(t, w.proxy.writes(), 1+3, "one batch of prefixes, three of addresses")
	require.LessOrEqual(t, len(w.proxy.requests()), 14)
	require.Equal(t, r.Requests.Sent, len(w.proxy.requests()), "the report counts what was really sent")
	require.LessOrEqual(t, w.mustInStep().Requests.Sent, 6)
}

// Networks that overlap live side by side in VRFs.
func TestOverlappingNetworks(t *testing.T) {
	w := newWorld(t)
	second := w.vrf + "-second"
	w.netbox.mustCreate(t, "ipam/vrfs", object{"name": second})
	a, b := newLXD(t, append(instances(3), br0())...), newLXD(t, append(instances(3), br0())...)
	w.rules = "  - set: {vrf: " + w.vrf + "}\n  - match: {source: b}\n    set: {vrf: " + second + "}\n"
	w.configure(source("a", a.socket), source("b", b.socket))
	r := w.mustSync(exitInStep)
	require.Equal(t, 10, r.Totals.Done)
	require.Empty(t, r.Held)
	require.Len(t, w.rows(), 5)
	w.mustInStep()

	a.lists(append(instances(2), br0())...)
	require.Equal(t, []string{"done delete 10.81.3.3/16"}, w.mustSync(exitInStep).lines())
	require.Len(t, w.rows(), 4)
	require.Equal(t, 9, w.mustInStep().Totals.InStep)
}

// A pass for one source leaves the others' rows alone, as if they were dead.
func TestOneSourceOnly(t *testing.T) {
	w := newWorld(t)
	a, b := newLXD(t, append(instances(3), br0())...), newLXD(t, instance("x", "10.81.9.1"))
	w.configure(source("a", a.socket), source("b", b.socket))
	w.mustSync(exitInStep)
	before := w.rows().of(w.owner("a"))

	a.lists(br0())
	b.lists(instance("x", "10.81.9.2"))
	r := w.mustSync(exitInStep, "--source", "b")
	require.Len(t, r.Changes, 1)
	require.True(t, strings.HasPrefix(r.lines()[0], "done update 10.81.9.2/"), r.lines()[0])
	require.Equal(t, before, w.rows().of(w.owner("a")))
	require.Contains(t, w.mustRun(exitFailed, "sync", "--source", "c").stderr, "there are: a, b")
}

// A source that is taken out of the configuration leaves its rows behind, and
// the others do not take them over.
func TestRemovedSource(t *testing.T) {
	w := newWorld(t)
	a, b := newLXD(t, append(instances(3), br0())...), newLXD(t, instance("x", "10.81.9.1"))
	w.configure(source("a", a.socket), source("b", b.socket))
	w.mustSync(exitInStep)
	before := w.rows()

	b.lists(instance("x", "10.81.9.1"), instance("i1", "10.81.3.1"))
	w.configure(source("b", b.socket))
	r := w.mustSync(exitInStep)
	require.Equal(t, []string{"create 10.81.3.1/32: the row belongs to another owner"}, r.heldLines())
	require.Equal(t, before.of(w.owner("a")), w.rows().of(w.owner("a")))
}

// A source that cannot be reached keeps its rows also from one that now lists
// the same user: only the complete answer of the first can hand them over.
func TestNoHandoverFromADeadSource(t *testing.T) {
	w := newWorld(t)
	moved := instance("moved", "10.81.4.1")
	a, b := newLXD(t, br0(), moved), newLXD(t, instance("x", "10.81.9.1"))
	w.configure(source("a", a.socket), source("b", b.socket))
	w.mustSync(exitInStep)
	before := w.rows().of(w.owner("a"))

	a.die()
	b.lists(instance("x", "10.81.9.1"), moved)
	r := w.mustSync(exitPartly)
	require.Contains(t, strings.Join(masked(r.heldLines()), "\n"), "create 10.81.4.1/32: the row belongs to another owner")
	require.Equal(t, before, w.rows().of(w.owner("a")))

	a.rise(t)
	a.lists(br0())
	r = w.mustSync(exitInStep)
	require.Len(t, r.Changes, 1)
	require.Equal(t, "handed over from another source", r.Changes[0].Reason)
	require.Equal(t, before.by()["10.81.4.1/16"].ID, w.rows().by()["10.81.4.1/16"].ID)
}

// Answers that come later than the program waits: NetBox begins with a batch
// only when the program has looked for its rows, found none, and sent it again.
// Both at the same time may make a row twice; the next pass then takes one away.
func TestAnswersComeTooLate(t *testing.T) {
	const n = 60
	w := newWorld(t)
	w.netboxKeys = []string{"timeout: 1s"}
	w.configure(source("lab", newLXD(t, append(instances(n), br0())...).socket))
	w.proxy.breaks(func(r request) fault {
		if r.isOf(http.MethodPost, "ip-addresses") && r.n == 1 {
			return late
		}
		return noFault
	})
	o := w.run("sync", "--format", "json")
	require.Contains(t, []int{exitInStep, exitPartly}, o.code, "%s", o)
	mustBecome(t, 30*time.Second, "NetBox is idle", func() bool { return w.proxy.idle() })

	w.proxy.breaks(nil)
	w.netboxKeys = nil
	w.configure(mustSource(w))
	w.mustSync(exitInStep)
	rows := w.rows()
	require.Len(t, rows, n+2)
	require.Len(t, rows.by(), n+2)
	w.mustInStep()
}

// Where two rows of ours stand at one place all the same, the older one is
// kept, and somebody else's is not touched.
func TestDuplicateRows(t *testing.T) {
	w := newWorld(t)
	w.netbox.must(t, http.MethodPatch, "ipam/vrfs/"+itoa(w.vrfID)+"/", object{"enforce_unique": false})
	w.configure(source("lab", newLXD(t, append(instances(3), br0())...).socket))
	w.mustSync(exitInStep)
	before := w.rows()
	own := before.by()["10.81.3.1/16"]
	twin := func(owner string) object {
		return object{"address": own.Address, "vrf": w.vrfID, "custom_fields": object{
			"sync_owner": owner, "used_by": own.UsedBy, "sync_type": own.Type, "hwaddr": own.MAC,
		}}
	}
	w.netbox.mustCreate(t, "ipam/ip-addresses", twin(w.owner("lab")))
	foreign := id(w.netbox.mustCreate(t, "ipam/ip-addresses", twin(w.installation+"-other/lab")))

	r := w.mustSync(exitInStep)
	require.Equal(t, []string{"done delete 10.81.3.1/16"}, r.lines())
	require.Equal(t, "second row for the same place", r.Changes[0].Reason)
	after := w.rows()
	require.Len(t, after, len(before)+1)
	after = slices.DeleteFunc(after, func(r row) bool { return r.ID == foreign })
	require.Equal(t, before, after)
	w.mustInStep()
}
