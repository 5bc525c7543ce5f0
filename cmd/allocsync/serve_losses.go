package main

import (
	"slices"
	"time"
)

// Passes come as often as sources change, and limits are for one pass: what a
// source lost in so long a time counts as well.
const lossTime = time.Hour

// losses is how some number went down lately.
type losses struct {
	counts []countAt // within lossTime, from the most down
}

type countAt struct {
	at    time.Time
	count int
}

// note takes note of the number before and after a pass. What a person approved
// is not counted as lost.
func (l *losses) note(before, count int, at time.Time, approved bool) {
	switch {
	case approved:
		l.counts = nil
	case len(l.counts) == 0:
		l.counts = []countAt{{at, before}}
	}
	l.counts = slices.DeleteFunc(l.counts, func(c countAt) bool { return at.Sub(c.at) > lossTime || c.count <= count })
	l.counts = append(l.counts, countAt{at, count}) // so they go down: the first is the most
}

// latest is the number as it was last noted, 0 where it never was.
func (l *losses) latest() int {
	if len(l.counts) == 0 {
		return 0
	}
	return l.counts[len(l.counts)-1].count
}

// lost is how much less it is than it was at most, within lossTime.
func (l *losses) lost(now time.Time) int {
	for _, c := range l.counts {
		if now.Sub(c.at) <= lossTime {
			return c.count - l.latest()
		}
	}
	return 0
}
