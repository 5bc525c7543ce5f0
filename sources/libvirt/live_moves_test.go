package libvirt

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/sources"
)

// newGate serves a way to a daemon's socket. before is called with the number
// and the procedure of each call, before it is handed on; calls that come later
// wait until it returns.
func newGate(tb testing.TB, socket string, before func(n int, procedure uint32)) string {
	tb.Helper()
	path := tb.TempDir() + "/gate"
	listener, err := net.Listen("unix", path)
	require.NoError(tb, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			daemon, err := net.Dial("unix", socket)
			if err != nil {
				_ = client.Close()
				continue
			}
			all.Go(func() { _, _ = io.Copy(client, daemon); _ = client.Close() })
			all.Go(func() { handOn(client, daemon, before); _ = daemon.Close() })
		}
	})
	tb.Cleanup(func() { _ = listener.Close(); all.Wait() })
	return path
}

// handOn hands calls on until one end of the way closes.
func handOn(from io.Reader, to io.Writer, before func(n int, procedure uint32)) {
	for n := 1; ; n++ {
		call := make([]byte, headerSize)
		if _, err := io.ReadFull(from, call); err != nil {
			return
		}
		rest := make([]byte, binary.BigEndian.Uint32(call)-headerSize)
		if _, err := io.ReadFull(from, rest); err != nil {
			return
		}
		before(n, readFrame(call).procedure)
		if _, err := to.Write(append(call, rest...)); err != nil {
			return
		}
	}
}

// TestRealKillWhileReading: wherever a daemon dies while it is read, its host
// is missing as a whole, and that soon.
func TestRealKillWhileReading(t *testing.T) {
	noLeaks(t)
	r := mustReal(t)
	const domains = 300
	r.must("bulk", "300")
	t.Cleanup(func() { _, _ = r.try("bulk", "0") })
	require.Len(t, mustReadAll(t, r.source(nil, on(r.bulk))), 3*domains)
	rest := mustReadAll(t, r.source(nil, on(r.aReadOnly)))
	for _, at := range []int{1, 3, 4, 5, 150, 5 + domains} {
		r.must("restart", "c")
		var once sync.Once
		gate := newGate(t, r.bulk, func(n int, _ uint32) {
			if n >= at {
				once.Do(func() { _, _ = r.try("kill", "c") })
			}
		})
		begun := time.Now()
		snapshot, err := r.source(nil, on(gate), on(r.aReadOnly)).Snapshot(t.Context())
		require.NoError(t, err)
		require.Less(t, time.Since(begun), 4*time.Second)
		require.Len(t, snapshot.Missing, 1, "killed at call %d", at)
		require.Equal(t, "host localhost "+gate, snapshot.Missing[0].Part)
		require.ErrorIs(t, snapshot.Missing[0].Err, sources.ErrUnreachable)
		require.Equal(t, rest, snapshot.Allocations, "killed at call %d", at)
	}
}

// TestRealFreezeWhileReading: the same of a daemon that stands still.
func TestRealFreezeWhileReading(t *testing.T) {
	noLeaks(t)
	r := mustReal(t)
	t.Cleanup(func() { _, _ = r.try("thaw", "b") })
	for _, at := range []int{3, 4, 5, 9} {
		var once sync.Once
		gate := newGate(t, r.bReadOnly, func(n int, _ uint32) {
			if n >= at {
				once.Do(func() { _, _ = r.try("freeze", "b") })
			}
		})
		begun := time.Now()
		snapshot, err := r.source(func(o *Options) { o.CallTimeout = time.Second }, on(gate), on(r.aReadOnly)).Snapshot(t.Context())
		require.NoError(t, err)
		require.Less(t, time.Since(begun), 4*time.Second)
		require.Len(t, snapshot.Missing, 1, "frozen at call %d", at)
		require.Equal(t, "host localhost "+gate, snapshot.Missing[0].Part)
		require.ErrorContains(t, snapshot.Missing[0].Err, "no answer within 1s")
		require.NotEmpty(t, snapshot.Allocations, "host a is read")
		r.must("thaw", "b")
	}
}

// newGuest starts a domain that may move between the hosts; facts of it are
// l.facts.
func (r realHosts) newGuest(n int) live {
	r.tb.Helper()
	l := newLive(n)
	r.newLan("a", "b")
	r.define("a", l, l.metadata, l.nic())
	r.virsh("a", "start", l.name)
	return l
}

// TestRealMoveWhileReading: a domain that moves while the hosts are read, at
// the worst moments, is found: after host b was listed, which it is not on yet,
// and before a, which it has left then.
func TestRealMoveWhileReading(t *testing.T) {
	for _, moment := range []struct {
		name      string
		procedure uint32 // the call to a before which it moves
		at        int    // the how many-th of them
	}{
		{"before a is asked for anything", procAuthList, 1},
		{"before a is listed", procDomains, 1},
		{"after a was listed", procDomainXML, 1},
		{"while a is read", procDomainXML, 5},
		{"after a was read", procNetworks, 1},
	} {
		t.Run(moment.name, func(t *testing.T) {
			r := mustReal(t)
			l := r.newGuest(7)
			var once sync.Once
			moved, seen := "", 0
			gate := newGate(t, r.aReadOnly, func(_ int, procedure uint32) {
				if procedure != moment.procedure {
					return
				}
				if seen++; seen == moment.at {
					once.Do(func() { moved, _ = r.try("migrate", l.name, "a", "b") })
				}
			})
			s := r.source(func(o *Options) { o.HostsAtOnce, o.CallTimeout = 1, 30*time.Second }, on(r.bReadOnly), on(gate))
			require.Equal(t, l.facts(), l.of(mustReadAll(t, s)))
			require.Empty(t, moved, "the migration went wrong")
			require.Contains(t, r.virsh("b", "list", "--name"), l.name, "it did move")
		})
	}
}

// TestRealMigrations: while a domain moves to and fro, it is in every snapshot,
// once.
func TestRealMigrations(t *testing.T) {
	const wantMoves, wantSnapshots = 6, 40
	noLeaks(t)
	r := mustReal(t)
	l := r.newGuest(8)
	one := func(o *Options) { o.HostsAtOnce = 1 }
	list := []*Source{
		r.source(nil, on(r.aReadOnly), on(r.bReadOnly)), r.source(nil, on(r.bReadOnly), on(r.aReadOnly)),
		r.source(one, on(r.aReadOnly), on(r.bReadOnly)), r.source(one, on(r.bReadOnly), on(r.aReadOnly)),
	}
	var moves atomic.Int32
	enough, done := make(chan struct{}), make(chan string, 1)
	go func() {
		from, to := "a", "b"
		for {
			if output, err := r.try("migrate", l.name, from, to); err != nil {
				done <- err.Error() + ": " + output
				return
			}
			moves.Add(1)
			from, to = to, from
			select {
			case <-enough:
				done <- ""
				return
			default:
			}
		}
	}()
	defer func() { require.Empty(t, <-done, "migrations go wrong") }()
	defer close(enough)

	complete := 0
	deadline := time.Now().Add(2 * time.Minute)
	for n := 0; len(done) == 0 && (complete < wantSnapshots || moves.Load() < wantMoves); n++ {
		require.True(t, time.Now().Before(deadline), "snapshots: %d, complete: %d, moves: %d", n, complete, moves.Load())
		snapshot, err := list[n%len(list)].Snapshot(t.Context())
		require.NoError(t, err)
		for _, m := range snapshot.Missing {
			require.Equal(t, "domains that move", m.Part, "%v", m.Err)
		}
		got := l.of(snapshot.Allocations)
		if snapshot.Complete() {
			complete++
			require.Equal(t, l.facts(), got, "snapshot %d, after %d moves", n, moves.Load())
		}
		require.LessOrEqual(t, len(got), len(l.facts()))
	}
	t.Logf("%d complete snapshots during %d migrations", complete, moves.Load())
}

// TestRealCopies: where both hosts have a domain, the one that runs counts. Of
// two that do not it is the first in the order of the hosts; where the other
// has other addresses, it is told, since which was left behind cannot be.
func TestRealCopies(t *testing.T) {
	r := mustReal(t)
	l := newLive(9)
	r.newLan("a", "b")
	r.define("a", l, l.metadata, l.nic())
	r.define("b", l, novaText(portText(l.port, ipText("fixed", "10.99.9.9"))), "")
	old := []string{strings.Replace(strings.Replace(l.facts()[0], "10.99.9.1/", "10.99.9.9/", 1), " mac="+l.mac, "", 1)}
	ab, ba := r.source(nil, on(r.aReadOnly), on(r.bReadOnly)), r.source(nil, on(r.bReadOnly), on(r.aReadOnly))
	for s, want := range map[*Source][]string{ab: l.facts(), ba: old} {
		snapshot, err := s.Snapshot(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, l.of(snapshot.Allocations))
		require.Len(t, snapshot.Missing, 1)
		require.Contains(t, told(snapshot.Missing)[0], "domain live-9 (shown) on localhost ")
		require.ErrorContains(t, snapshot.Missing[0].Err, "undefine the one that was left behind")
	}
	r.virsh("a", "start", l.name)
	require.Equal(t, l.facts(), l.of(mustReadAll(t, ab)))
	require.Equal(t, l.facts(), l.of(mustReadAll(t, ba)))
}
