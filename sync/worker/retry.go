package worker

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Waits before what failed is tried again.
const (
	firstRetry = 30 * time.Second
	maxRetry   = 10 * time.Minute
)

// retries knows which sources failed, by name. Its zero value is empty.
type retries map[string]retry

type retry struct {
	failures int // in a row
	at       time.Time
}

// Finished tells what became of a run, so that what failed is tried again
// before the schedule comes round: after 30 s, and after each further failure
// in a row after twice the time, up to 10 min, with a Trigger of KindRetry that
// names the sources. asked names the sources of the run, failed those of them
// that have to be tried again; the others' failures are forgotten. Empty asked
// means all; empty failed none.
func (l *Loop) Finished(asked, failed []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for _, name := range l.sources {
		switch {
		case slices.Contains(failed, name):
			if l.retries == nil {
				l.retries = retries{}
			}
			r := l.retries[name]
			r.failures++
			r.at = now.Add(retryPause(r.failures))
			l.retries[name] = r
		case len(asked) == 0 || slices.Contains(asked, name):
			delete(l.retries, name)
		}
	}
	l.signal()
}

// retryPause is how long to wait after so many failures in a row.
func retryPause(failures int) time.Duration {
	pause := firstRetry
	for i := 1; i < failures && pause < maxRetry; i++ {
		pause *= 2
	}
	return min(pause, maxRetry)
}

// keep forgets the sources that are not among names.
func (r retries) keep(names []string) {
	for name := range r {
		if !slices.Contains(names, name) {
			delete(r, name)
		}
	}
}

// next is when the next source is to be tried again.
func (r retries) next() (at time.Time, some bool) {
	for _, one := range r {
		if !one.at.IsZero() && (!some || one.at.Before(at)) {
			at, some = one.at, true
		}
	}
	return at, some
}

// due takes the sources out whose time has come, and keeps how often they
// failed until the run reports them.
func (r retries) due(names []string, now time.Time) (t Trigger, some bool) {
	var parts []string
	for _, name := range names {
		one, ok := r[name]
		if !ok || one.at.IsZero() || one.at.After(now) {
			continue
		}
		one.at = time.Time{}
		r[name] = one
		t.Sources = append(t.Sources, name)
		parts = append(parts, fmt.Sprintf("%s failed %s", name, times(one.failures)))
	}
	t.Kind, t.Detail = KindRetry, shortened(strings.Join(parts, ", "))
	return t, len(t.Sources) > 0
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}
