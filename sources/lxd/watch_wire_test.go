package lxd_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"allocsync/sources"
	"allocsync/sources/lxd"
)

// watch is a source that is watched, by a test.
// states is what Watch said of listening.
type states struct {
	mu   sync.Mutex
	list []error
}

func (s *states) add(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, err)
}

func (s *states) last() (err error, some bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) == 0 {
		return nil, false
	}
	return s.list[len(s.list)-1], true
}

type watch struct {
	states *states
	tb     testing.TB
	calls  chan time.Time
	stop   func() // ends it, and requires that it ends at once
}

// listens requires that Watch has said last whether it listens.
func (w watch) listens(want bool) {
	w.tb.Helper()
	require.Eventually(w.tb, func() bool {
		err, some := w.states.last()
		return some && want == (err == nil)
	}, patience, time.Millisecond)
}

func newWatch(tb testing.TB, s sources.Watcher) watch {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := watch{tb: tb, calls: make(chan time.Time, 10_000), states: &states{}}
	done := make(chan error, 1)
	var inside atomic.Int32
	go func() {
		done <- s.Watch(ctx, func() {
			if inside.Add(1) != 1 {
				tb.Error("changed is called twice at the same time")
			}
			w.calls <- time.Now()
			inside.Add(-1)
		}, func(err error) { w.states.add(err) })
	}()
	stopped := false
	w.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			require.Equal(tb, context.Canceled, err)
		case <-time.After(2 * time.Second):
			tb.Error("Watch goes on for two seconds after its context ended")
		}
	}
	tb.Cleanup(w.stop)
	return w
}

// told requires a call of changed within some time.
func (w watch) told(within time.Duration, what string) {
	w.tb.Helper()
	select {
	case <-w.calls:
	case <-time.After(within):
		require.Failf(w.tb, "nothing is told", "%s: for %s", what, within)
	}
}

// silent requires that changed is not called for some time.
func (w watch) silent(during time.Duration, why string) {
	w.tb.Helper()
	select {
	case <-w.calls:
		require.Fail(w.tb, "something is told", why)
	case <-time.After(during):
	}
}

// noLeaks requires that no goroutine of Watch is left when the test ends.
func noLeaks(tb testing.TB) {
	tb.Helper()
	tb.Cleanup(func() {
		var stacks string
		for range 200 {
			text := make([]byte, 1<<20)
			stacks = string(text[:runtime.Stack(text, true)])
			if !strings.Contains(stacks, "lxd.(*Source)") && !strings.Contains(stacks, "lxd.news") && !strings.Contains(stacks, "coder/websocket") {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		tb.Errorf("goroutines are left:\n%s", stacks)
	})
}

// speaker upgrades requests for events as Incus does, and hands the
// connections to the test.
type speaker struct {
	tb          testing.TB
	connections chan *websocket.Conn
	requests    atomic.Int32
}

func newSpeaker(tb testing.TB) *speaker {
	return &speaker{tb: tb, connections: make(chan *websocket.Conn, 100)}
}

func (s *speaker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	if r.ProtoMajor != 1 {
		s.tb.Errorf("events are asked for over %s", r.Proto)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		s.tb.Errorf("upgrade: %v", err)
		return
	}
	gone := c.CloseRead(context.Background())
	go func() { _ = c.Ping(gone) }()
	s.tb.Cleanup(func() { _ = c.CloseNow() })
	s.connections <- c
}

// next returns the next connection.
func (s *speaker) next() *websocket.Conn {
	s.tb.Helper()
	select {
	case c := <-s.connections:
		return c
	case <-time.After(20 * time.Second):
		require.Fail(s.tb, "no connection is made")
		return nil
	}
}

func (s *speaker) say(c *websocket.Conn, action string) {
	s.tb.Helper()
	message := fmt.Sprintf(`{"type":"lifecycle","project":"default","metadata":{"action":%q}}`, action)
	require.NoError(s.tb, c.Write(s.tb.Context(), websocket.MessageText, []byte(message)))
}

const patience = 20 * time.Second // for what happens at once; the tests take as long only when they fail

// Events come over HTTP/1.1, from the pinned server alone, to the certificate
// that it trusts.
func TestWatchTLS(t *testing.T) {
	server, client, other := newIdentity(t, "server"), newIdentity(t, "client"), newIdentity(t, "other")
	events := newSpeaker(t)
	var offered atomic.Value
	at := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if shown := r.TLS.PeerCertificates; len(shown) != 1 || !shown[0].Equal(client.pair.Leaf) {
			refuse(w, r)
			return
		}
		events.ServeHTTP(w, r)
	}))
	at.EnableHTTP2 = true
	at.TLS = &tls.Config{
		Certificates: []tls.Certificate{server.pair}, ClientAuth: tls.RequestClientCert,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			offered.Store(fmt.Sprint(hello.SupportedProtos))
			return nil, nil //nolint:nilnil // which says: the configuration at hand
		},
	}
	at.Config.ErrorLog = log.New(io.Discard, "", 0) // of refused handshakes
	at.StartTLS()
	t.Cleanup(at.Close)
	open := func(as identity, edit func(*lxd.Options)) *lxd.Source {
		return mustOpen(t, at.URL, func(o *lxd.Options) { o.ClientCertFile, o.ClientKeyFile = as.certFile, as.keyFile }, edit)
	}

	for name, edit := range map[string]func(*lxd.Options){
		"pinned by file":        func(o *lxd.Options) { o.ServerCertFile = server.certFile },
		"pinned by fingerprint": func(o *lxd.Options) { o.ServerFingerprint = server.fingerprint },
		"not checked":           func(o *lxd.Options) { o.TLSSkipVerify = true },
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			w := newWatch(t, open(client, edit))
			c := events.next()
			w.told(patience, "connect")
			events.say(c, "network-created")
			w.told(patience, "an event")
			require.NotContains(t, offered.Load(), "h2")
			w.stop()
			_ = c.CloseNow()
		})
	}
	before := events.requests.Load()
	for name, source := range map[string]*lxd.Source{
		"another server": open(client, func(o *lxd.Options) { o.ServerCertFile = other.certFile }),
		"no authority":   open(client, func(*lxd.Options) {}),
		"no such name":   open(client, func(o *lxd.Options) { o.CAFile = server.certFile }),
		"a client certificate that is not trusted": open(other, func(o *lxd.Options) { o.ServerCertFile = server.certFile }),
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			w := newWatch(t, source)
			w.silent(600*time.Millisecond, "it never listens")
			require.Equal(t, before, events.requests.Load())
			w.stop()
		})
	}
}

// Ten thousand events at once cost a few calls and no memory.
func TestWatchTenThousandEvents(t *testing.T) {
	noLeaks(t)
	events := newSpeaker(t)
	w := newWatch(t, mustOpen(t, serve(t, events)))
	c := events.next()
	w.told(patience, "connect")
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, begun := heap(), time.Now()
	for range 10_000 {
		events.say(c, "instance-started")
	}
	events.say(c, "instance-deleted")
	w.told(patience, "the first of them")
	took := time.Since(begun)
	time.Sleep(600 * time.Millisecond)
	require.LessOrEqual(t, len(w.calls), int(took/(250*time.Millisecond))+2)
	require.Less(t, heap(), before+4<<20)
	require.EqualValues(t, 1, events.requests.Load())
	w.told(patience, "the look for leases")
	w.stop()
	_ = c.CloseNow()
}

// A server that is gone is waited for, and that it is back is told, once.
func TestWatchComesBack(t *testing.T) {
	noLeaks(t)
	events := newSpeaker(t)
	path := filepath.Join(t.TempDir(), "unix.socket")
	start := func() *http.Server {
		listener, err := net.Listen("unix", path)
		require.NoError(t, err)
		server := &http.Server{Handler: events, ReadHeaderTimeout: time.Minute}
		go func() { _ = server.Serve(listener) }()
		t.Cleanup(func() { _ = server.Close() })
		return server
	}
	w := newWatch(t, mustOpen(t, "unix://"+path))
	w.silent(time.Second, "nobody is there")
	w.listens(false)
	first := start()
	c := events.next()
	w.told(patience, "it is there")
	w.listens(true)
	require.NoError(t, first.Close())
	_ = c.CloseNow()
	w.silent(700*time.Millisecond, "nobody is there")
	w.listens(false)
	start()
	c = events.next()
	w.told(patience, "it is back")
	w.listens(true)
	w.silent(time.Second, "once")
	events.say(c, "network-forward-deleted")
	w.told(patience, "an event")
	w.stop()
	_ = c.CloseNow()
}
