package lxd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// The tests of this file run in simulated time (testing/synctest): the server
// and the source talk over pipes in memory.

// pipes is a listener that is dialed in memory.
type pipes struct {
	connections chan net.Conn
	closed      chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.connections:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { close(p.closed); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.connections <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// world is a server of events and a source that watches it, in simulated time.
type world struct {
	t      *testing.T
	begun  time.Time
	stop   context.CancelFunc
	ended  chan error
	result error // what Watch returned, once ended is closed

	mu    sync.Mutex
	asked []time.Duration // when a connection was asked for
	calls []time.Duration // when changed was called
}

// newWorld starts both. serve gets the number of each request, from 0 on.
func newWorld(t *testing.T, serve func(n int, w http.ResponseWriter, r *http.Request), edit ...func(*Options)) *world {
	t.Helper()
	w := &world{t: t, begun: time.Now(), ended: make(chan error)}
	listener := pipes{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{ReadHeaderTimeout: time.Hour, Handler: http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		if got := r.URL.RequestURI(); got != "/1.0/events?all-projects=true&type=lifecycle" {
			t.Errorf("the source asks for %s", got)
		}
		w.mu.Lock()
		n := len(w.asked)
		w.asked = append(w.asked, time.Since(w.begun))
		w.mu.Unlock()
		serve(n, answer, r)
	})}
	go func() { _ = server.Serve(listener) }()

	o := *Factory().Options().(*Options)
	for _, e := range edit {
		e(&o)
	}
	s, err := Open(o)
	require.NoError(t, err)
	s.client.events.Transport.(*http.Transport).DialContext = listener.dial
	var ctx context.Context
	ctx, w.stop = context.WithCancel(t.Context())
	go func() {
		w.result = s.Watch(ctx, w.changed, func(error) {})
		close(w.ended)
	}()
	t.Cleanup(func() {
		w.stop()
		<-w.ended
		_ = server.Close()
		synctest.Wait()
	})
	return w
}

func (w *world) changed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, time.Since(w.begun))
}

// called returns when changed was called since the last time, from the start
// of the world on.
func (w *world) called() []time.Duration {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	calls := w.calls
	w.calls = nil
	return calls
}

// connections returns when connections were asked for.
func (w *world) connections() []time.Duration {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

// accept upgrades a request as Incus does, pings included, until it is gone.
func accept(t *testing.T, w http.ResponseWriter, r *http.Request) *websocket.Conn {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		t.Errorf("upgrade: %v", err)
		return nil
	}
	gone := c.CloseRead(context.Background())
	go func() {
		for c.Ping(gone) == nil {
			select {
			case <-time.After(10 * time.Second):
			case <-gone.Done():
				return
			}
		}
	}()
	return c
}

// steady serves each connection as Incus does, and hands it to the test.
func steady(t *testing.T) (func(int, http.ResponseWriter, *http.Request), chan *websocket.Conn) {
	connections := make(chan *websocket.Conn, 1000)
	return func(_ int, w http.ResponseWriter, r *http.Request) { connections <- accept(t, w, r) }, connections
}

// say sends a message.
func say(t *testing.T, c *websocket.Conn, message string) {
	t.Helper()
	require.NoError(t, c.Write(t.Context(), websocket.MessageText, []byte(message)))
}

func lifecycle(action, project string) string {
	return fmt.Sprintf(`{"type":"lifecycle","project":%q,"metadata":{"action":%q,"source":"/1.0/x"}}`, project, action)
}

const ms = time.Millisecond

// A connection that is good is kept, and says nothing by itself.
func TestWatchKeepsListening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serve, _ := steady(t)
		w := newWorld(t, serve)
		require.Equal(t, []time.Duration{0}, w.called(), "once, when it listens")
		time.Sleep(24 * time.Hour)
		require.Empty(t, w.called())
		require.Len(t, w.connections(), 1)
		w.stop()
		<-w.ended
		require.Equal(t, context.Canceled, w.result)
	})
}

// A server that sends no ping is told of all the same.
func TestWatchWithoutFirstPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(_ int, w http.ResponseWriter, r *http.Request) {
			c, err := websocket.Accept(w, r, nil)
			if err == nil {
				c.CloseRead(context.Background())
			}
		}, func(o *Options) { o.Timeout = time.Hour }) // of a reading, not of silence
		time.Sleep(29 * time.Second)
		require.Equal(t, []time.Duration{time.Second}, w.called())
		require.Len(t, w.connections(), 1)
		time.Sleep(2 * time.Second)
		require.Len(t, w.connections(), 2, "but it is left")
	})
}

// No event tells of a lease: what started is looked at again.
func TestWatchLooksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serve, connections := steady(t)
		w := newWorld(t, serve)
		c := <-connections
		time.Sleep(time.Minute)
		w.called()
		later := func(d ...time.Duration) []time.Duration {
			for i := range d {
				d[i] += time.Since(w.begun)
			}
			return d
		}
		want := later(0, 2*time.Second, 6*time.Second, 15*time.Second, 40*time.Second)
		say(t, c, lifecycle("instance-started", "default"))
		time.Sleep(10 * time.Minute)
		require.Equal(t, want, w.called())

		// Of several, the last one counts.
		want = later(0, time.Second, 3*time.Second, 7*time.Second, 16*time.Second, 41*time.Second)
		say(t, c, lifecycle("instance-started", "default"))
		time.Sleep(time.Second)
		say(t, c, lifecycle("instance-started", "other"))
		time.Sleep(10 * time.Minute)
		require.Equal(t, want, w.called())

		// What is deleted meanwhile does not end it.
		want = later(0, time.Second, 2*time.Second, 6*time.Second, 15*time.Second, 40*time.Second)
		say(t, c, lifecycle("instance-restarted", "default"))
		time.Sleep(time.Second)
		say(t, c, lifecycle("instance-deleted", "default"))
		time.Sleep(10 * time.Minute)
		require.Equal(t, want, w.called())

		say(t, c, lifecycle("instance-started", "default"))
		time.Sleep(3 * time.Second)
		w.called()
		w.stop()
		time.Sleep(10 * time.Minute)
		require.Empty(t, w.called(), "after the end")
	})
}

// However many events come, calls are few and never at the same time.
func TestWatchFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serve, connections := steady(t)
		w := newWorld(t, serve)
		c := <-connections
		time.Sleep(time.Minute)
		w.called()
		for range 1000 {
			say(t, c, lifecycle("network-updated", "default"))
		}
		time.Sleep(time.Minute)
		require.Len(t, w.called(), 2, "at once, and for what came after that")
		for range 1000 { // two seconds and a half of them
			say(t, c, lifecycle("network-updated", "default"))
			time.Sleep(2500 * time.Microsecond)
		}
		time.Sleep(time.Minute)
		calls := w.called()
		require.LessOrEqual(t, len(calls), 12)
		for i := range calls[1:] {
			require.GreaterOrEqual(t, calls[i+1]-calls[i], 250*ms)
		}
	})
}

// A server that says nothing any more, as one without power, is left.
func TestWatchLeavesSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serve, connections := steady(t)
		w := newWorld(t, func(n int, answer http.ResponseWriter, r *http.Request) {
			if n > 0 {
				serve(n, answer, r)
				return
			}
			c, err := websocket.Accept(answer, r, nil)
			if err != nil {
				t.Error(err)
				return
			}
			gone := c.CloseRead(context.Background())
			for range 4 { // pings at 0, 10, 20, 30 s
				_ = c.Ping(gone)
				time.Sleep(10 * time.Second)
			}
		})
		time.Sleep(59 * time.Second)
		require.Len(t, w.connections(), 1)
		time.Sleep(2 * time.Second)
		require.Len(t, w.connections(), 2)
		require.Len(t, w.called(), 2)
		time.Sleep(time.Hour)
		require.Len(t, w.connections(), 2, "the second one pings")
		require.Len(t, w.called(), 4, "what started meanwhile is looked at again")
		say(t, <-connections, lifecycle("network-created", "default"))
		require.Len(t, w.called(), 1)
	})
}

// A server that is asked and does not answer costs the source's timeout.
func TestWatchHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serve, _ := steady(t)
		w := newWorld(t, func(n int, w http.ResponseWriter, r *http.Request) {
			if n > 0 {
				serve(n, w, r)
				return
			}
			<-r.Context().Done()
		}, func(o *Options) { o.Timeout = 7 * time.Second })
		time.Sleep(7 * time.Second)
		require.Len(t, w.connections(), 1)
		require.Empty(t, w.called())
		time.Sleep(time.Second)
		require.Len(t, w.connections(), 2)
		require.Len(t, w.called(), 1)
	})
}

// gaps returns the time from each connection to the next.
func (w *world) gaps() []time.Duration {
	var gaps []time.Duration
	at := w.connections()
	for i := range at[1:] {
		gaps = append(gaps, at[i+1]-at[i])
	}
	return gaps
}

// Waiting grows from failure to failure, from half a second to a minute, and
// starts again after a connection that was a good one.
func TestWatchBackoff(t *testing.T) {
	failures := map[string]func(w http.ResponseWriter, r *http.Request){
		"busy":                  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"not a websocket":       func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"type":"sync","metadata":{}}`) },
		"a proxy's page":        func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) },
		"elsewhere":             func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/1.0/events", http.StatusFound) },
		"HTTP/2":                func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) },
		"closed after an event": nil, // below
	}
	for name, fail := range failures {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				serve, connections := steady(t)
				w := newWorld(t, func(n int, answer http.ResponseWriter, r *http.Request) {
					if n != 12 {
						if fail != nil {
							fail(answer, r)
							return
						}
						c := accept(t, answer, r)
						say(t, c, lifecycle("network-updated", "default"))
						_ = c.CloseNow()
						return
					}
					serve(n, answer, r)
				})
				time.Sleep(20 * time.Minute)
				gaps := w.gaps()
				require.Len(t, gaps, 12, "the last one is good")
				bound := 500 * ms
				for _, gap := range gaps {
					require.GreaterOrEqual(t, gap, bound/2)
					require.Less(t, gap, bound)
					bound = min(2*bound, time.Minute)
				}
				_ = (<-connections).CloseNow()
				time.Sleep(500 * ms)
				require.Len(t, w.connections(), 14, "a good connection counts as a new start")
			})
		})
	}
}

// Rights may be given later, so that it is asked again, but not often.
func TestWatchDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serve, _ := steady(t)
		w := newWorld(t, func(n int, answer http.ResponseWriter, r *http.Request) {
			if n < 5 {
				answer.WriteHeader(http.StatusForbidden)
				fmt.Fprint(answer, `{"type":"error","error_code":403,"error":"not authorized"}`)
				return
			}
			serve(n, answer, r)
		})
		time.Sleep(10 * time.Minute)
		gaps := w.gaps()
		require.Len(t, gaps, 5)
		for _, gap := range gaps {
			require.GreaterOrEqual(t, gap, 30*time.Second)
			require.Less(t, gap, time.Minute)
		}
		require.Equal(t, w.connections()[5:], w.called())
	})
}

// A server that knows no events will not know them later.
func TestWatchWithoutEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(_ int, answer http.ResponseWriter, _ *http.Request) {
			answer.WriteHeader(http.StatusNotFound)
			fmt.Fprint(answer, `{"type":"error","status":"","status_code":0,"operation":"","error_code":404,"error":"not found","metadata":null}`)
		})
		<-w.ended
		require.EqualError(t, w.result, `watch unix:///var/lib/incus/unix.socket: read /1.0/events?all-projects=true&type=lifecycle: the server answers 404 "not found"; this server does not tell of changes: they are found on schedule`)
		require.Empty(t, w.called())
	})
}

// What is no event is taken for one; too large a message ends the connection,
// which is told when the next one stands.
func TestWatchBadMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serve, connections := steady(t)
		w := newWorld(t, serve)
		c := <-connections
		for _, message := range []string{"", "{", "null", "[]", `"x"`, `{"metadata":[]}`, "\xff\xfe", strings.Repeat("[", 20_000)} {
			time.Sleep(time.Hour)
			w.called()
			say(t, c, message)
			require.Len(t, w.called(), 1, "%.20q", message)
		}
		time.Sleep(time.Hour)
		w.called()
		require.NoError(t, c.Write(t.Context(), websocket.MessageBinary, []byte(lifecycle("network-created", "default"))))
		require.Len(t, w.called(), 1)
		time.Sleep(time.Hour)
		say(t, c, lifecycle("image-created", strings.Repeat("x", maxMessage-200)))
		time.Sleep(time.Hour)
		require.Len(t, w.connections(), 1, "not too large")
		require.Empty(t, w.called())
		_ = c.Write(t.Context(), websocket.MessageText, []byte(lifecycle("image-created", strings.Repeat("x", maxMessage))))
		time.Sleep(500 * ms)
		require.Len(t, w.connections(), 2)
		require.Len(t, w.called(), 1)
	})
}

// Watch ends at once, whatever it is doing.
func TestWatchEnds(t *testing.T) {
	phases := map[string]func(t *testing.T, w http.ResponseWriter, r *http.Request){
		"listening": func(t *testing.T, w http.ResponseWriter, r *http.Request) { accept(t, w, r) },
		"waiting": func(_ *testing.T, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
		},
		"unanswered": func(_ *testing.T, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"half an answer": func(_ *testing.T, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(http.StatusForbidden)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"half a message": func(t *testing.T, w http.ResponseWriter, r *http.Request) {
			c := accept(t, w, r)
			part, err := c.Writer(r.Context(), websocket.MessageText)
			if err == nil {
				_, _ = part.Write([]byte(strings.Repeat("x", 10_000)))
			}
		},
		"a flood": func(t *testing.T, w http.ResponseWriter, r *http.Request) {
			c := accept(t, w, r)
			for c.Write(context.Background(), websocket.MessageText, []byte(lifecycle("instance-started", "default"))) == nil {
				time.Sleep(ms)
			}
		},
	}
	for name, serve := range phases {
		for _, after := range []time.Duration{0, 1, 100 * ms, time.Second, 10 * time.Second} {
			t.Run(fmt.Sprintf("%s after %s", name, after), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, func(_ int, answer http.ResponseWriter, r *http.Request) { serve(t, answer, r) })
					time.Sleep(after)
					if after == 1 {
						synctest.Wait()
					}
					stopped := time.Now()
					w.stop()
					<-w.ended
					require.Zero(t, time.Since(stopped))
					require.Equal(t, context.Canceled, w.result)
					n := len(w.called())
					time.Sleep(time.Hour)
					require.Empty(t, w.called(), "called after the end (%d times before)", n)
				})
			})
		}
	}
}

// Watch returns the error of its context, and calls nothing if that has ended.
func TestWatchWithEndedContext(t *testing.T) {
	s, err := Open(*Factory().Options().(*Options))
	require.NoError(t, err)
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	require.Equal(t, context.DeadlineExceeded, s.Watch(ctx, func() { t.Error("changed is called") }, func(error) {}))
	require.True(t, errors.Is(ctx.Err(), context.DeadlineExceeded))
}

// No proxy of the environment stands between, and nothing is kept open but the
// connection itself.
func TestWatchTransport(t *testing.T) {
	s, err := Open(*Factory().Options().(*Options))
	require.NoError(t, err)
	transport := s.client.events.Transport.(*http.Transport)
	require.Nil(t, transport.Proxy)
	require.True(t, transport.DisableKeepAlives)
	require.Zero(t, s.client.events.Timeout, "it would end the connection")
}

// changed may take its time: it is called again for what came meanwhile, once.
func TestWatchSlowCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard := news{change: make(chan struct{}, 1), start: make(chan struct{}, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var inside, calls atomic.Int32
		go func() {
			_ = heard.pass(ctx, func() {
				if inside.Add(1) != 1 {
					t.Error("changed is called while it is being called")
				}
				calls.Add(1)
				time.Sleep(time.Minute)
				inside.Add(-1)
			})
		}()
		for range 100 {
			heard.add(start)
			time.Sleep(100 * ms)
		}
		time.Sleep(59 * time.Second)
		synctest.Wait()
		require.EqualValues(t, 2, calls.Load())
		time.Sleep(time.Hour)
		synctest.Wait()
		require.EqualValues(t, 2+len(looks()), calls.Load())
	})
}
