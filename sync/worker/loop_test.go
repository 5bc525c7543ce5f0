package worker_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/sync/worker"
)

// ran is a Loop whose runs take a while, and what it ran, each with the time
// since the start.
type ran struct {
	*worker.Loop
	begin time.Time
	takes time.Duration
	stop  context.CancelFunc
	ended chan struct{}

	mu   sync.Mutex
	runs []string
	all  []worker.Wanted
	now  int // runs that go on
	most int
	down map[string]bool // sources that fail
}

// newRan serves a loop with the sources a, b and c until the test ends.
func newRan(tb testing.TB, takes time.Duration) *ran {
	tb.Helper()
	r := &ran{begin: time.Now(), takes: takes, ended: make(chan struct{})}
	r.Loop = &worker.Loop{Run: r.run}
	r.Configure([]string{"a", "b", "c"})
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() { defer close(r.ended); r.Serve(ctx) }()
	tb.Cleanup(func() { stop(); <-r.ended })
	return r
}

func (r *ran) run(_ context.Context, w worker.Wanted) {
	r.mu.Lock()
	r.runs = append(r.runs, fmt.Sprintf("%s %s (%s)", time.Since(r.begin), strings.Join(w.Sources, ","), w))
	r.all = append(r.all, w)
	r.now++
	r.most = max(r.most, r.now)
	r.mu.Unlock()
	time.Sleep(r.takes)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now--
	asked := w.Sources
	if len(asked) == 0 {
		asked = []string{"a", "b", "c"}
	}
	r.Finished(w.Sources, slices.DeleteFunc(slices.Clone(asked), func(name string) bool { return !r.down[name] }))
}

// fails has sources fail from now on.
func (r *ran) fails(names ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = map[string]bool{}
	for _, name := range names {
		r.down[name] = true
	}
}

// reset forgets the runs so far, and counts the time from now on.
func (r *ran) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begin, r.runs, r.all = time.Now(), nil, nil
}

func (r *ran) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.runs)
}

func want(kind string, sources ...string) worker.Trigger {
	return worker.Trigger{Kind: kind, Sources: sources}
}

func TestLoopBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRan(t, 0)
		for _, kind := range []string{worker.KindStart, worker.KindSchedule, worker.KindApproval, worker.KindEvent, worker.KindWebhook} {
			r.Want(want(kind))
			time.Sleep(10 * time.Second)
		}
		require.Equal(t, []string{"0s  (start)", "10s  (schedule)", "20s  (approval)", "30.5s  (event)", "40.5s  (webhook)"}, r.list())
		require.Equal(t, r.begin.Add(30*time.Second), r.all[3].Since)
	})
}

// A burst is one run, once it is quiet or has gone on for long.
func TestLoopCoalesces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRan(t, 100*time.Millisecond)
		for i := range 500 { // in one second
			r.Want(worker.Trigger{Kind: worker.KindEvent, Detail: fmt.Sprint("event ", i), Sources: []string{"b"}})
			time.Sleep(2 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		require.Equal(t, []string{"1.498s b (event: event 0, and 499 more)"}, r.list())
		require.Len(t, r.all[0].Triggers, 20)
		require.Equal(t, "event 19", r.all[0].Triggers[19].Detail)
		require.Equal(t, 480, r.all[0].More)
		require.Equal(t, r.begin, r.all[0].Since)

		r.reset()
		for range 100 { // in ten seconds
			r.Want(want(worker.KindWebhook))
			time.Sleep(101 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		require.Equal(t, []string{"2s  (webhook, and 19 more)"}, r.list()[:1])
		require.Len(t, r.list(), 5)
	})
}

// What is wanted while a run goes on follows it once, merged.
func TestLoopNeverOverlaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRan(t, time.Minute)
		r.Want(want(worker.KindStart))
		time.Sleep(time.Second)
		r.Want(want(worker.KindSchedule, "c"))
		r.Want(want(worker.KindEvent, "a"))
		time.Sleep(time.Second)
		r.Want(want(worker.KindSchedule, "c", "c", "gone"))
		r.Want(want(worker.KindSchedule, "gone")) // is not configured
		time.Sleep(58500 * time.Millisecond)
		r.Want(want(worker.KindEvent, "b")) // in the second run
		r.Want(want(worker.KindSchedule))   // all wins
		time.Sleep(10 * time.Minute)
		require.Equal(t, []string{"0s  (start)", "1m0s a,c (schedule, and 2 more)", "2m0s  (event, and 1 more)"}, r.list())
		require.Equal(t, 1, r.most)
	})
}

// Events that came just before a run ended wait until it is quiet all the same.
func TestLoopSettlesAfterARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRan(t, time.Minute)
		r.Want(want(worker.KindStart))
		time.Sleep(time.Minute - 100*time.Millisecond)
		r.Want(want(worker.KindEvent, "a"))
		time.Sleep(time.Hour)
		require.Equal(t, []string{"0s  (start)", "1m0.4s a (event)"}, r.list())
	})
}

func TestLoopDropsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRan(t, 0)
		var answered atomic.Bool
		own := worker.Trigger{Kind: worker.KindWebhook, Detail: "own", Own: answered.Load}

		r.Want(own) // before the answer to our write was read
		time.Sleep(10 * time.Millisecond)
		answered.Store(true)
		time.Sleep(time.Minute)
		require.Empty(t, r.list())

		for range 100_000 { // after it: never remembered
			r.Want(own)
		}
		time.Sleep(time.Minute)
		require.Empty(t, r.list())

		// Somebody else's among them narrows the run to itself.
		answered.Store(false)
		r.Want(own)
		r.Want(worker.Trigger{Kind: worker.KindWebhook, Detail: "alice", Sources: []string{"b"}, Own: func() bool { return false }})
		answered.Store(true)
		time.Sleep(time.Minute)
		require.Equal(t, []string{"2m0.51s b (webhook: alice)"}, r.list())
		require.Zero(t, r.all[0].More)

		// A run for another reason does not name it.
		answered.Store(false)
		r.Want(own)
		answered.Store(true)
		r.Want(want(worker.KindSchedule, "a"))
		time.Sleep(time.Minute)
		require.Equal(t, "3m0.01s a (schedule)", r.list()[1])
		require.Len(t, r.list(), 2)

		// One that nobody knows of is wanted.
		answered.Store(false)
		r.Want(own)
		time.Sleep(time.Minute)
		require.Len(t, r.list(), 3)
	})
}

func TestLoopStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRan(t, time.Minute)
		r.Want(want(worker.KindStart))
		time.Sleep(time.Second)
		r.Want(want(worker.KindSchedule))
		r.stop()
		synctest.Wait()
		select {
		case <-r.ended:
			t.Fatal("the run in flight was left alone")
		default:
		}
		time.Sleep(time.Hour)
		<-r.ended
		require.Len(t, r.list(), 1, "what waits is not begun any more")
		r.Want(want(worker.KindSchedule)) // nobody listens, nothing hangs
	})
}

// What is wanted before Serve is remembered.
func TestLoopWantBeforeServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []worker.Wanted
		ctx, stop := context.WithCancel(t.Context())
		l := &worker.Loop{Run: func(_ context.Context, w worker.Wanted) { got = append(got, w); stop() }}
		l.Configure([]string{"a", "b"})
		l.Want(want(worker.KindStart, "b", "a"))
		l.Configure([]string{"b", "d"})
		l.Serve(ctx)
		require.Equal(t, []string{"b"}, got[0].Sources, "a is no longer configured")
	})
}

// A million wanted runs take as much memory as a thousand.
func TestLoopIsBounded(t *testing.T) {
	l := &worker.Loop{}
	l.Configure([]string{"a", "b"})
	detail := strings.Repeat("ä", 5000)
	fill := func(n int) uint64 {
		for range n {
			l.Want(worker.Trigger{Kind: worker.KindWebhook, Detail: detail, Sources: []string{"b", "x"}, Own: func() bool { return n < 0 }})
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := fill(2_000)
	after := fill(1_000_000)
	runtime.KeepAlive(l)
	require.Less(t, after, before+1<<20)

	synctest.Test(t, func(t *testing.T) {
		l := &worker.Loop{}
		l.Configure([]string{"a", "b"})
		ctx, stop := context.WithCancel(t.Context())
		l.Run = func(_ context.Context, w worker.Wanted) {
			require.Equal(t, []string{"a", "b"}, w.Sources)
			require.Equal(t, 5_001, len(w.Triggers)+w.More)
			require.Len(t, w.Triggers[0].Detail, 200)
			stop()
		}
		for range 5_000 {
			l.Want(worker.Trigger{Kind: worker.KindWebhook, Detail: detail, Sources: []string{"b"}, Own: func() bool { return false }})
		}
		l.Want(want(worker.KindSchedule, "a"))
		l.Serve(ctx)
	})
}

// Many at once, with -race: no run overlaps, and after the last Want there is a
// run.
func TestLoopRace(t *testing.T) {
	var going, overlaps, runs atomic.Int32
	var wanted, seen atomic.Int64 // numbers of Wants: begun to ask, and asked before the last run began
	l := &worker.Loop{Settle: time.Millisecond, Longest: 3 * time.Millisecond}
	l.Configure([]string{"a", "b", "c"})
	l.Run = func(context.Context, worker.Wanted) {
		if going.Add(1) > 1 {
			overlaps.Add(1)
		}
		seen.Store(wanted.Load())
		runs.Add(1)
		l.Finished(nil, []string{"a"})
		time.Sleep(time.Duration(rand.IntN(2)) * time.Millisecond)
		going.Add(-1)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); l.Serve(ctx) }()
	var group sync.WaitGroup
	for g := range 50 {
		group.Go(func() {
			for i := range 200 {
				kind := worker.KindEvent
				if i%50 == 0 {
					kind = worker.KindSchedule
				}
				wanted.Add(1)
				l.Want(worker.Trigger{Kind: kind, Sources: []string{string(rune('a' + g%3))}, Own: func() bool { return i%7 == 0 && i < 190 }})
				if i%20 == 0 {
					l.Configure([]string{"a", "b", "c"})
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	group.Wait()
	require.Eventually(t, func() bool { return seen.Load() == 10_000 }, 10*time.Second, time.Millisecond)
	stop()
	<-ended
	require.Zero(t, overlaps.Load())
	require.Less(t, runs.Load(), int32(2_000))
}

func TestLoopRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRan(t, 0)
		r.fails("a", "c")
		r.Want(want(worker.KindStart))
		time.Sleep(40 * time.Second)
		r.fails("a")
		time.Sleep(time.Hour - 40*time.Second)
		require.Equal(t, []string{
			"0s  (start)",
			"30s a,c (retry: a failed once, c failed once)",
			"1m30s a,c (retry: a failed twice, c failed twice)",
			"3m30s a (retry: a failed 3 times)",
			"7m30s a (retry: a failed 4 times)",
			"15m30s a (retry: a failed 5 times)",
			"25m30s a (retry: a failed 6 times)",
			"35m30s a (retry: a failed 7 times)",
			"45m30s a (retry: a failed 8 times)",
			"55m30s a (retry: a failed 9 times)",
		}, r.list())

		// Another reason comes first, and works: the retry is forgotten, and the
		// next failure is the first.
		r.reset()
		r.fails()
		r.Want(want(worker.KindSchedule, "a"))
		time.Sleep(time.Hour)
		require.Equal(t, []string{"0s a (schedule)"}, r.list())
		r.fails("b")
		r.Want(want(worker.KindSchedule))
		time.Sleep(time.Minute)
		require.Equal(t, "1h0m30s b (retry: b failed once)", r.list()[2])

		// A run of others leaves it as it is; a source that is no longer there
		// is not tried again.
		r.Want(want(worker.KindSchedule, "a"))
		time.Sleep(31 * time.Second)
		require.Equal(t, "1h1m30s b (retry: b failed twice)", r.list()[4])
		r.Configure([]string{"a", "c"})
		time.Sleep(time.Hour)
		require.Len(t, r.list(), 5)
	})
}

// A retry that nobody says anything of is not tried again by itself.
func TestLoopRetryThatIsNotReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		l := &worker.Loop{}
		l.Run = func(context.Context, worker.Wanted) {
			if runs.Add(1) == 1 {
				l.Finished(nil, []string{"a"})
			}
			time.Sleep(time.Second)
		}
		l.Configure([]string{"a"})
		l.Want(want(worker.KindStart))
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		l.Serve(ctx)
		require.Equal(t, int32(2), runs.Load())
	})
}

// Long runs are followed by pauses once they have taken a third of the time.
func TestLoopRestsAfterLongRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var spent time.Duration
		l := &worker.Loop{Run: func(context.Context, worker.Wanted) {
			time.Sleep(20 * time.Second)
			spent += 20 * time.Second
		}}
		l.Configure([]string{"a"})
		var events sync.WaitGroup
		events.Go(func() {
			for ctx.Err() == nil {
				l.Want(worker.Trigger{Kind: worker.KindEvent, Sources: []string{"a"}})
				time.Sleep(time.Second)
			}
		})
		time.AfterFunc(3*time.Hour, stop)
		l.Serve(ctx)
		events.Wait()
		require.InDelta(t, float64(time.Hour), float64(spent), float64(8*time.Minute), "a third of three hours")
	})
}

// Whoever makes an event every second, for ever, does not have NetBox read for
// ever. What is asked for at once still is.
func TestLoopRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		begun, runs, approved := time.Now(), 0, time.Duration(0)
		l := &worker.Loop{Run: func(_ context.Context, w worker.Wanted) {
			runs++
			if slices.ContainsFunc(w.Triggers, func(t worker.Trigger) bool { return t.Kind == worker.KindApproval }) {
				approved = time.Since(begun)
			}
			time.Sleep(100 * time.Millisecond)
		}}
		l.Configure([]string{"a"})
		var events sync.WaitGroup
		events.Go(func() {
			for ctx.Err() == nil {
				l.Want(worker.Trigger{Kind: worker.KindEvent, Sources: []string{"a"}})
				time.Sleep(time.Second)
			}
		})
		time.AfterFunc(30*time.Minute, func() { l.Want(worker.Trigger{Kind: worker.KindApproval}) })
		time.AfterFunc(time.Hour, stop)
		l.Serve(ctx)
		events.Wait()
		require.InDelta(t, 120+3480/5, runs, 80, "one in five seconds after the first 120")
		require.InDelta(t, 30*time.Minute, approved, float64(200*time.Millisecond))
	})
}
