package libvirt

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	libvirtd "allocsync/fixtures/libvirt"
)

// watching is a Watch that runs until the test ends, and how often it called.
type watching struct {
	daemons []*libvirtd.Server
	calls   atomic.Int64
	pause   atomic.Int64 // nanoseconds that each call takes
	states  chan error   // what it said of listening
	stop    context.CancelFunc
	ended   chan error
}

// patience is for what happens at once; the tests take as long as it only when
// they fail.
const patience = 20 * time.Second

func newWatching(t *testing.T, hosts int) *watching {
	t.Helper()
	noLeaks(t)
	o := defaults()
	o.URIs, o.CallTimeout = nil, 300*time.Millisecond
	w := &watching{ended: make(chan error, 1), states: make(chan error, 100)}
	for range hosts {
		daemon, socket := libvirtd.Start(t, libvirtd.World{Domains: []libvirtd.Domain{{
			XML: "<domain><name>web-1</name><uuid>00000000-0000-4000-8000-000000000001</uuid></domain>",
		}}})
		w.daemons = append(w.daemons, daemon)
		o.URIs = append(o.URIs, "qemu:///system?socket="+socket)
	}
	source, err := Open(o)
	require.NoError(t, err)
	var ctx context.Context
	ctx, w.stop = context.WithCancel(context.Background())
	var inside atomic.Int32
	go func() {
		w.ended <- source.Watch(ctx, func() {
			if inside.Add(1) != 1 {
				t.Error("changed is called twice at the same time")
			}
			w.calls.Add(1)
			time.Sleep(time.Duration(w.pause.Load()))
			inside.Add(-1)
		}, func(err error) { w.states <- err })
	}()
	t.Cleanup(w.stop)
	for _, d := range w.daemons {
		w.mustListen(t, d)
	}
	return w
}

// mustListen waits until all events of a daemon are subscribed to.
func (w *watching) mustListen(t *testing.T, d *libvirtd.Server) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, id := range watched() {
			if d.Subscribers(libvirtd.EventKind(id)) != 1 {
				return false
			}
		}
		return w.calls.Load() > 0
	}, patience, time.Millisecond)
}

// mustCall waits until changed was called since it had been called n times.
func (w *watching) mustCall(t *testing.T, n int64, why string) {
	t.Helper()
	require.Eventually(t, func() bool { return w.calls.Load() > n }, patience, time.Millisecond, why)
}

// settled waits until no call comes any more, and returns how many came.
func (w *watching) settled() int64 {
	for {
		n := w.calls.Load()
		time.Sleep(50 * time.Millisecond)
		if w.calls.Load() == n {
			return n
		}
	}
}

func TestWatchTellsOfEveryKindOfEvent(t *testing.T) {
	w := newWatching(t, 2)
	for _, e := range []libvirtd.Event{
		{Kind: libvirtd.Lifecycle, Change: 2},
		{Kind: libvirtd.MetadataChange, Namespace: nova11},
		{Kind: libvirtd.DeviceAdded, Alias: "net1"},
		{Kind: libvirtd.DeviceRemoved, Alias: "net1"},
	} {
		for _, d := range w.daemons {
			n := w.settled()
			e.Domain = d.World().Domains[0]
			d.Emit(e)
			w.mustCall(t, n, "an event is not told")
		}
	}
	w.stop()
	require.ErrorIs(t, <-w.ended, context.Canceled)
	for _, d := range w.daemons {
		require.Empty(t, d.Record().Writes())
		require.Len(t, d.Record().Connections, 1)
	}
}

// What happens while changed is busy is told once, when it has returned.
func TestWatchCoalesces(t *testing.T) {
	w := newWatching(t, 1)
	before := w.settled()
	w.pause.Store(int64(time.Second))
	d := w.daemons[0]
	for range 500 {
		d.Emit(libvirtd.Event{Kind: libvirtd.MetadataChange, Domain: d.World().Domains[0], Namespace: nova11})
	}
	w.mustCall(t, before+1, "what happened while changed was busy is not told")
	require.LessOrEqual(t, w.calls.Load()-before, int64(20), "each event is told on its own")
}

// A connection that is lost is made again, and that is told: what happened
// meanwhile is not.
func TestWatchComesBack(t *testing.T) {
	w := newWatching(t, 1)
	require.NoError(t, <-w.states)
	n := w.settled()
	w.daemons[0].Drop()
	w.mustCall(t, n, "coming back is not told")
	w.mustListen(t, w.daemons[0])
	require.ErrorContains(t, <-w.states, "watch localhost: ")
	require.NoError(t, <-w.states)
}

// One host that is away keeps nobody from hearing of the others.
func TestWatchWithoutOneHost(t *testing.T) {
	w := newWatching(t, 2)
	require.NoError(t, <-w.states, "both are listened to")
	w.daemons[0].Close()
	require.Error(t, <-w.states, "one is not")
	n := w.settled()
	w.daemons[1].Emit(libvirtd.Event{Kind: libvirtd.Lifecycle, Domain: w.daemons[1].World().Domains[0], Change: 2})
	w.mustCall(t, n, "the other host is not heard")
}

// A connection with subscriptions is not closed while a call of it is under
// way, which makes real daemons crash: Watch leaves it to close itself.
func TestWatchEndsWhileSubscribing(t *testing.T) {
	for name, timeout := range map[string]time.Duration{"stopped": time.Minute, "out of time": 50 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			daemon, socket := libvirtd.Start(t, libvirtd.World{})
			answer, asked := make(chan struct{}), make(chan struct{})
			daemon.SetFaults(libvirtd.Faults{Answer: func(c libvirtd.Call) libvirtd.Behaviour {
				if c.Procedure == libvirtd.ConnectRegisterEvents && c.Nth == 2 {
					close(asked)
					return libvirtd.Behaviour{Until: answer}
				}
				return libvirtd.Behaviour{}
			}})
			o := defaults()
			o.URIs, o.CallTimeout = []string{"qemu:///system?socket=" + socket}, timeout
			source, err := Open(o)
			require.NoError(t, err)
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- source.Watch(ctx, func() {}, func(error) {}) }()
			<-asked
			if name == "out of time" {
				time.Sleep(4 * timeout)
			}
			stop()
			require.ErrorIs(t, <-ended, context.Canceled)
			require.False(t, daemon.Record().Connections[0].Closed)
			close(answer)
			require.Eventually(t, func() bool { return daemon.Record().Connections[0].Closed }, patience, time.Millisecond)
		})
	}
}
