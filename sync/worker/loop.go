package worker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Defaults and bounds of a Loop.
const (
	DefaultSettle  = 500 * time.Millisecond
	DefaultLongest = 2 * time.Second

	maxTriggers = 20    // named in a Wanted
	maxWaiting  = 1_000 // triggers that wait one by one; those after them are merged
	maxDetail   = 200   // bytes of Trigger.Detail and of Trigger.Kind
)

// How much runs may ask of NetBox that a webhook, an event or a retry asks for.
// Anybody who can start and stop an instance, or another tool that rewrites a
// row as often as it is put right, could have it read for ever. Ordinary use
// comes nowhere near: to launch an instance takes four to six short runs.
const (
	busyTime  = 10 * time.Minute // what counts
	busySpent = busyTime / 3     // more time than this in runs, and each is followed by a pause of
	busyPause = 2                // so many times its length
	busyRuns  = 120              // so many runs, and each is followed
	busyRest  = 5 * time.Second  // by a pause as long as this at least
)

// The kinds of Trigger. KindWebhook and KindEvent come in bursts and wait until
// it is quiet; the others are asked for once, and begin at once.
const (
	KindStart    = "start"
	KindSchedule = "schedule"
	KindWebhook  = "webhook"
	KindEvent    = "event"
	KindApproval = "approval"
	KindRetry    = "retry"
)

// Trigger is a reason to run.
type Trigger struct {
	Kind    string   // one of the constants above
	Detail  string   // for people: "every 15m", "ip address 12 updated by alice"; cut after 200 bytes
	Sources []string // names; empty means all; names that are not configured are left out

	// Own reports whether allocsync itself caused the trigger, which then asks
	// for nothing. It may be nil. It is asked once by Want and, where the
	// answer was no, once more when the run would begin: word of a write can be
	// here before the answer to that write. It must be quick and safe for
	// concurrent use.
	Own func() bool
}

// Wanted is what a run is asked to do.
type Wanted struct {
	Sources  []string  // names in the order of the configuration; empty means all
	Triggers []Trigger // the first ones, at most 20, in the order in which they came
	More     int       // how many others there were
	Since    time.Time // when the first of them came
}

// String says why, in one line: "webhook: ip address 12 updated by alice, and 3 more".
func (w Wanted) String() string {
	if len(w.Triggers) == 0 {
		return ""
	}
	text := w.Triggers[0].Kind
	if detail := w.Triggers[0].Detail; detail != "" {
		text += ": " + detail
	}
	return text + w.Others()
}

// Others counts the triggers after the first, in words to follow it: ", and 3
// more", "" for none.
func (w Wanted) Others() string {
	if more := len(w.Triggers) - 1 + w.More; more > 0 {
		return fmt.Sprintf(", and %d more", more)
	}
	return ""
}

// Loop decides when runs happen, and for which sources. Runs never overlap;
// what is wanted while one runs is merged into one that follows it. It keeps
// no more than a bounded amount of memory, however much is wanted, and has no
// goroutine of its own.
//
// Set the fields and call Configure before anything else: without it there are
// no sources that a Trigger could name. The methods are safe for concurrent use.
type Loop struct {
	// Run does what is wanted. It should call Finished at its end.
	Run func(ctx context.Context, w Wanted)

	Settle  time.Duration // quiet time before a run for webhooks and events, default 500ms
	Longest time.Duration // a run begins at most this long after the first of them, default 2s

	mu      sync.Mutex
	sources []string // as configured
	wake    chan struct{}
	waiting waiting
	retries retries
	calm    time.Time // no run that can wait begins before
	recent  []lasted  // the last ones, at most busyRuns
}

// lasted is how long a run took.
type lasted struct {
	ended time.Time
	took  time.Duration
}

// waiting is what is wanted and has not begun.
type waiting struct {
	triggers []Trigger // at most maxWaiting
	times    []time.Time
	merged   merged // what came after them

	urgent bool      // something is wanted at once
	first  time.Time // of the others
	last   time.Time
}

// merged is what is left of triggers when they are put together.
type merged struct {
	count   int
	all     bool
	sources set
}

func (m *merged) add(t Trigger) {
	m.count++
	m.all = m.all || len(t.Sources) == 0
	for _, name := range t.Sources {
		if m.sources == nil {
			m.sources = set{}
		}
		m.sources.add(name)
	}
}

// Configure says which sources there are, in the order of the configuration: at
// the start, and when the configuration has been read again. What waits for
// sources that are no longer there is dropped.
func (l *Loop) Configure(sources []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sources = slices.Clone(sources)
	l.retries.keep(l.sources)
}

// Want asks for a run. It never blocks. Before Serve it is remembered; after
// Serve it has no effect.
func (l *Loop) Want(t Trigger) {
	if t.Own != nil && t.Own() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	named := len(t.Sources) > 0
	t.Sources = l.known(t.Sources)
	if named && len(t.Sources) == 0 {
		return
	}
	t.Kind, t.Detail = shortened(t.Kind), shortened(t.Detail)
	l.waiting.add(t, time.Now())
	l.signal()
}

// known returns those of names that are configured, each once.
func (l *Loop) known(names []string) []string {
	var known []string
	for _, name := range l.sources {
		if slices.Contains(names, name) {
			known = append(known, name)
		}
	}
	return known
}

// signal makes Serve look again.
func (l *Loop) signal() {
	select {
	case l.signals() <- struct{}{}:
	default: // it has not looked yet since the last time
	}
}

func (l *Loop) signals() chan struct{} {
	if l.wake == nil {
		l.wake = make(chan struct{}, 1)
	}
	return l.wake
}

func (w *waiting) add(t Trigger, now time.Time) {
	if t.Kind == KindWebhook || t.Kind == KindEvent {
		if w.first.IsZero() {
			w.first = now
		}
		w.last = now
	} else {
		w.urgent = true
	}
	if len(w.triggers) < maxWaiting {
		w.triggers, w.times = append(w.triggers, t), append(w.times, now)
		return
	}
	w.merged.add(t) // Own said no a moment ago; one run too many does no harm
}

// Serve runs what is wanted until ctx ends, and returns once the run in flight
// has returned. It is called once. A panic in Run is not caught: see
// docs/decisions/0052.
func (l *Loop) Serve(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		l.mu.Lock()
		pause, some := l.pause(time.Now())
		wake := l.signals()
		l.mu.Unlock()
		if some && pause <= 0 {
			if w, wanted := l.take(); wanted {
				begun := time.Now()
				l.Run(ctx, w)
				l.rest(begun, time.Now())
			}
			continue
		}
		var due <-chan time.Time
		if some {
			timer.Reset(pause)
			due = timer.C
		}
		select {
		case <-ctx.Done():
		case <-wake:
		case <-due:
		}
	}
}

// pause is how long to wait for the next run; some is false where nothing is
// wanted.
func (l *Loop) pause(now time.Time) (pause time.Duration, some bool) {
	w := &l.waiting
	if w.urgent {
		return 0, true
	}
	if !w.first.IsZero() {
		settled := w.last.Add(positive(l.Settle, DefaultSettle))
		latest := w.first.Add(positive(l.Longest, DefaultLongest))
		pause, some = min(settled.Sub(now), latest.Sub(now)), true
	}
	if due, ok := l.retries.next(); ok && (!some || due.Sub(now) < pause) {
		pause, some = due.Sub(now), true
	}
	return max(pause, l.calm.Sub(now)), some
}

// rest says how long runs that can wait have to, after one that took from begun
// until now.
func (l *Loop) rest(begun, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recent = append(l.recent, lasted{now, now.Sub(begun)})
	l.recent = slices.DeleteFunc(l.recent, func(r lasted) bool { return now.Sub(r.ended) > busyTime })
	if extra := len(l.recent) - busyRuns; extra > 0 {
		l.recent = slices.Delete(l.recent, 0, extra)
	}
	spent, pause := time.Duration(0), time.Duration(0)
	for _, r := range l.recent {
		spent += r.took
	}
	if spent > busySpent {
		pause = busyPause * now.Sub(begun)
	}
	if len(l.recent) == busyRuns {
		pause = max(pause, busyRest)
	}
	l.calm = now.Add(pause)
}

// take empties what waits into one run. wanted is false where all of it was
// caused by allocsync itself.
func (l *Loop) take() (w Wanted, wanted bool) {
	now := time.Now()
	l.mu.Lock()
	if t, due := l.retries.due(l.sources, now); due {
		l.waiting.add(t, now)
	}
	taken := l.waiting
	l.waiting = waiting{}
	l.mu.Unlock()

	all := merged{all: taken.merged.all, sources: taken.merged.sources}
	for i, t := range taken.triggers {
		if t.Own != nil && t.Own() {
			continue
		}
		all.add(t)
		if w.Since.IsZero() {
			w.Since = taken.times[i]
		}
		if len(w.Triggers) < maxTriggers {
			w.Triggers = append(w.Triggers, t)
		}
	}
	if w.Since.IsZero() {
		w.Since = cmp.Or(taken.first, now) // all that is named was our own
	}
	w.More = all.count - len(w.Triggers) + taken.merged.count
	if all.all {
		return w, true
	}
	l.mu.Lock()
	w.Sources = l.known(all.sources.sorted())
	l.mu.Unlock()
	return w, len(w.Sources) > 0
}

// shortened cuts a text to maxDetail bytes of valid UTF-8.
func shortened(s string) string {
	if len(s) > maxDetail {
		s = s[:maxDetail]
	}
	return strings.Clone(strings.ToValidUTF8(s, ""))
}

func positive(d, byDefault time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return byDefault
}
