package webhook

import (
	"math"
	"net/netip"
	"sync"
	"time"
)

// limit is how often something may happen.
type limit struct {
	perSecond float64
	burst     float64 // at once, after a quiet time
}

// bucket counts what may still happen now.
type bucket struct {
	used float64 // of the burst, at the time last
	last time.Time
}

// take uses up one, or returns how long it is until there is one.
func (b *bucket) take(l limit, now time.Time) time.Duration {
	used := b.usedAt(l, now)
	if now.Before(b.last) {
		b.last = now // so that there is something again before the old time is back
	}
	if used+1 > l.burst {
		return time.Duration((used + 1 - l.burst) / l.perSecond * float64(time.Second))
	}
	b.used, b.last = used+1, now
	return 0
}

func (b *bucket) usedAt(l limit, now time.Time) float64 {
	since := now.Sub(b.last)
	if since < 0 { // the clock was set back
		return b.used
	}
	return math.Max(0, b.used-since.Seconds()*l.perSecond)
}

// rates holds the buckets of a server. Its zero value is not ready: use
// newRates.
type rates struct {
	knobs knobs

	mu        sync.Mutex
	everybody bucket
	rest      bucket // of addresses for which there is no room
	addresses map[netip.Addr]bucket
	swept     time.Time
	netbox    bucket
	resync    bucket
	api       bucket
}

func newRates(k knobs) *rates { return &rates{knobs: k, addresses: map[netip.Addr]bucket{}} }

// enter is asked before anything is computed for a hook. It returns 0, or how
// long the sender has to wait.
func (r *rates) enter(from netip.Addr, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	// The address comes first: who is turned away for its own flood uses up
	// nothing of what the others share.
	if wait := r.fromAddress(from, now); wait > 0 {
		return wait
	}
	return r.everybody.take(r.knobs.everybody, now)
}

func (r *rates) fromAddress(from netip.Addr, now time.Time) time.Duration {
	from = sender(from)
	b, known := r.addresses[from]
	if !known && len(r.addresses) >= r.knobs.addresses {
		r.sweep(now)
		if len(r.addresses) >= r.knobs.addresses {
			return r.rest.take(r.knobs.address, now)
		}
	}
	wait := b.take(r.knobs.address, now)
	r.addresses[from] = b
	return wait
}

// sweep forgets addresses that have been quiet for long enough to have their
// whole burst again, at most once a second.
func (r *rates) sweep(now time.Time) {
	if since := now.Sub(r.swept); since >= 0 && since < time.Second {
		return
	}
	r.swept = now
	for a, b := range r.addresses {
		if b.usedAt(r.knobs.address, now) == 0 {
			delete(r.addresses, a)
		}
	}
}

// signed is asked once the sender proved who it is.
func (r *rates) signed(kind string, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch kind {
	case KindNetBox:
		return r.netbox.take(r.knobs.netbox, now)
	case kindAPI:
		return r.api.take(r.knobs.api, now)
	}
	return r.resync.take(r.knobs.resync, now)
}

// sender is what counts as one sender: an IPv4 address, or the /64 that one
// IPv6 host may pick its addresses from.
func sender(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}
