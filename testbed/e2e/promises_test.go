package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The first tests here are what other tools were measured to get wrong.

// A source that answers 200 with an empty list has most likely lost its rights
// or its filter, not its instances.
func TestEmptySourceDeletesNothing(t *testing.T) {
	w := newWorld(t)
	a, b := newLXD(t, append(instances(5), br0())...), newLXD(t, instance("other", "10.81.9.9"))
	w.configure(source("a", a.socket), source("b", b.socket))
	w.mustSync(exitInStep)
	before := w.rows()
	require.Len(t, before, 8)

	a.lists()
	b.lists(instance("other", "10.81.9.9"), instance("more", "10.81.9.10"))
	o := w.mustRun(exitLimits, "sync")
	require.Contains(t, o.stdout, "the source lists nothing any more, and all of its 7 rows would be removed")
	require.Contains(t, o.stdout, "allocsync sync --dry-run", "the report says how to go on")
	require.Equal(t, before.of(w.owner("a")), w.rows().of(w.owner("a")), "not a bit of the rows has changed")
	require.Len(t, w.rows().of(w.owner("b")), 2, "the other source is kept in step")
}

// A source that cannot be reached keeps its rows, and does not keep the others
// from being kept in step.
func TestDeadSourceDoesNotStopTheOther(t *testing.T) {
	w := newWorld(t)
	a, b := newLXD(t, append(instances(3), br0())...), newLXD(t, instance("x", "10.81.9.1"), instance("y", "10.81.9.2"))
	w.configure(source("a", a.socket), source("b", b.socket))
	w.mustSync(exitInStep)
	before := w.rows().of(w.owner("a"))

	a.die()
	b.lists(instance("y", "10.81.9.2"), instance("z", "10.81.9.3"))
	r := w.mustSync(exitPartly)
	require.Equal(t, []string{"done create 10.81.9.3/32", "done delete 10.81.9.1/32"}, masked(r.lines()))
	require.Len(t, r.Unreachable, 1)
	require.Equal(t, w.owner("a"), r.Unreachable[0].Owner)
	require.Contains(t, r.Unreachable[0].Text, "no such socket")
	require.Equal(t, before, w.rows().of(w.owner("a")))

	a.rise(t)
	w.mustInStep()

	a.die()
	b.die()
	w.mustRun(exitFailed, "sync")
	require.Equal(t, before, w.rows().of(w.owner("a")), "no source answers: nothing is done")
}

// masked takes the length of 10.81.0.0/16 for that of a host: which of the two
// an address has depends on a network that is not what the test is about.
func masked(lines []string) []string {
	for i, l := range lines {
		lines[i] = strings.ReplaceAll(l, "/16", "/32")
	}
	return lines
}

// Two users that swap their addresses are two updates, and at no moment is an
// address missing.
func TestSwapKeepsBothRows(t *testing.T) {
	w := newWorld(t)
	lxd := newLXD(t, br0(), instance("x", "10.81.1.1"), instance("y", "10.81.1.2"))
	w.configure(source("lab", lxd.socket))
	w.mustSync(exitInStep)
	before := w.rows().by()

	lxd.lists(br0(), instance("x", "10.81.1.2"), instance("y", "10.81.1.1"))
	r := w.mustSync(exitInStep)
	require.Equal(t, 2, r.Totals.Update)
	require.Equal(t, 0, r.Totals.Create+r.Totals.Delete)
	after := w.rows().by()
	for _, address := range []string{"10.81.1.1/16", "10.81.1.2/16"} {
		require.Equal(t, before[address].ID, after[address].ID)
	}
	require.Equal(t, "/1.0/instances/y", after["10.81.1.1/16"].UsedBy)
	require.Equal(t, "/1.0/instances/x", after["10.81.1.2/16"].UsedBy)
	w.mustInStep()
}

// Two installations work on one NetBox, in the same VRF and with sources of
// the same name, and never touch each other's rows.
func TestTwoInstallations(t *testing.T) {
	w := newWorld(t)
	other := w.neighbour()
	mine, theirs := newLXD(t, br0(), instance("x", "10.81.1.1"), instance("y", "10.81.1.2")), newLXD(t, instance("z", "10.81.2.1"), instance("v", "10.81.2.2"))
	w.configure(source("lab", mine.socket))
	other.configure(source("lab", theirs.socket))
	w.mustSync(exitInStep)
	other.mustSync(exitInStep)
	before := w.rows().of(w.owner("lab"))
	require.Len(t, before, 4)
	w.mustInStep()
	other.mustInStep()

	// The other one loses everything, with a person's approval.
	theirs.lists()
	digest := other.mustSync(exitLimits, "--dry-run").Digest
	other.mustSync(exitInStep, "--approve", digest)
	require.Equal(t, before, w.rows())

	// The other one claims an address of the first. Not one of its claims is
	// met, and the exit code tells.
	theirs.lists(instance("thief", "10.81.1.1"))
	r := other.mustSync(exitPartly)
	require.Empty(t, r.lines())
	require.Equal(t, []string{"create 10.81.1.1/32: the row belongs to another owner"}, masked(r.heldLines()))
	require.Equal(t, before, w.rows())
}

// A row that somebody made by hand at a wanted place is left as it is, and
// reported.
func TestHandMadeRowIsHeld(t *testing.T) {
	w := newWorld(t)
	w.netbox.mustCreate(t, "ipam/ip-addresses", object{
		"address": "10.81.1.1/24", "vrf": w.vrfID, "dns_name": "by-hand.example.org", "description": "Ask Ana",
	})
	w.netbox.mustCreate(t, "ipam/prefixes", object{"prefix": "10.81.0.0/16", "vrf": w.vrfID, "status": "container"})
	hand := w.rows().by()
	lxd := newLXD(t, br0(), instance("x", "10.81.1.1"), instance("y", "10.81.1.2"))
	w.configure(source("lab", lxd.socket))

	for range 2 { // also when it has been seen before
		r := w.mustSync(exitInStep)
		require.Equal(t, []string{
			"create 10.81.0.0/16: somebody else's row is there", "create 10.81.1.1/16: somebody else's row is there",
		}, r.heldLines())
		require.Equal(t, hand["10.81.1.1/24"].ID, r.Held[1].Row.ID)
		require.NotEmpty(t, r.Held[1].Advice)
	}
	mustBeUntouched := func() {
		t.Helper()
		now := w.rows().by()
		require.Len(t, now, 4, "two rows by hand, the gateway and y")
		for address, row := range hand {
			require.Equal(t, row, now[address])
		}
	}
	mustBeUntouched()

	// Nor is it deleted with its would-be user.
	lxd.lists(br0(), instance("y", "10.81.1.2"))
	w.mustInStep()
	mustBeUntouched()
}

// One 502 of NetBox's proxy, on a read or on a write, does not end the run.
func TestBadGatewayIsSurvived(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		t.Run(method, func(t *testing.T) {
			w := newWorld(t)
			lxd := newLXD(t, append(instances(3), br0())...)
			w.configure(source("lab", lxd.socket))
			w.proxy.breaks(func(r request) fault {
				if r.isOf(method, "ip-addresses") && r.n == 1 {
					return badGateway
				}
				return noFault
			})
			r := w.mustSync(exitInStep)
			require.Equal(t, 5, r.Totals.Done, "%v", r.lines())
			w.mustInStep()
		})
	}
}

// A write whose answer was lost is not sent again before the places have been
// read: NetBox may have done it.
func TestLostAnswerIsNotSentTwice(t *testing.T) {
	for name, lost := range map[string]fault{"connection cut": cutAfter, "bad gateway": badGatewayAfter} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			lxd := newLXD(t, append(instances(3), br0())...)
			w.configure(source("lab", lxd.socket))
			w.proxy.breaks(func(r request) fault {
				if r.isOf(http.MethodPost, "ip-addresses") && r.n == 1 {
					return lost
				}
				return noFault
			})
			r := w.mustSync(exitInStep)
			sent := 0
			for _, write := range w.proxy.writes() {
				if strings.Contains(write.body, "10.81.3.1") {
					sent++
				}
			}
			require.Equal(t, 1, sent, "it was done the first time")
			require.Len(t, w.rows(), 5)
			require.Equal(t, 5, r.Totals.Done)
			for _, c := range r.Changes {
				require.Positive(t, c.ID, "the report knows the rows that were made: %s", c.line())
			}
			w.mustInStep()
		})
	}
}

// A source that answers with a part missing deletes nothing: what is not
// listed may have moved to the part that was not read.
func TestMissingPartDeletesNothing(t *testing.T) {
	w := newWorld(t)
	lxd := newLXD(t, append(instances(4), br0())...)
	w.configure(source("lab", lxd.socket))
	w.mustSync(exitInStep)
	before := w.rows().by()

	lxd.setHalfBlind(true)
	lxd.lists(append(instances(3), br0(), instance("new", "10.81.1.1"))...)
	r := w.mustSync(exitPartly)
	require.Equal(t, []string{"done create 10.81.1.1/16"}, r.lines(), "what was read is kept in step")
	require.Equal(t, []string{"delete 10.81.3.4/16: the source did not answer in full"}, r.heldLines())
	require.False(t, r.Sources[0].Complete)
	require.Contains(t, strings.Join(r.Sources[0].Missing, "\n"), "the lease file cannot be read")
	require.Equal(t, before["10.81.3.4/16"], w.rows().by()["10.81.3.4/16"])

	lxd.setHalfBlind(false)
	require.Equal(t, []string{"done delete 10.81.3.4/16"}, w.mustSync(exitInStep).lines())
}

// A source that takes longer than its timeout counts as one that did not
// answer.
func TestSlowSource(t *testing.T) {
	w := newWorld(t)
	hangs := mustHang(t)
	b := newLXD(t, instance("x", "10.81.9.1"))
	w.configure("  - name: a\n    kind: lxd\n    options: {url: \"unix://"+hangs+"\", timeout: 1s}\n", source("b", b.socket))
	r := w.mustSync(exitPartly)
	require.Equal(t, []string{"done create 10.81.9.1/32"}, r.lines())
	require.Contains(t, r.Unreachable[0].Text, "no answer within 1s")
}
