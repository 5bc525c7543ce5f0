package page

import (
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// How often a wrong token may be given: a few times in a row for a person who
// mistypes, then rarely, for one address and for all of them together.
const (
	attemptsEach  = 5
	attemptsAll   = 50
	attemptAgain  = 12 * time.Second // when one address gets one back
	attemptsAgain = time.Second      // when all get one back
	addressesKept = 1000
)

// attempts counts wrong tokens.
type attempts struct {
	mu   sync.Mutex
	all  bucket
	each map[netip.Prefix]bucket
}

// bucket is how many attempts are used up, and when that was so.
type bucket struct {
	used float64
	at   time.Time
}

// left lets time heal a bucket.
func (b bucket) left(now time.Time, again time.Duration) bucket {
	return bucket{used: max(0, b.used-float64(max(0, now.Sub(b.at)))/float64(again)), at: now}
}

// try asks for one attempt from an address. Whoever gets none is told nothing
// about the token, right or wrong: otherwise one could go on guessing. One
// that was right is given back.
func (a *attempts) try(from netip.Prefix, now time.Time) (giveBack func(), ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.each == nil {
		a.each = map[netip.Prefix]bucket{}
	}
	if _, known := a.each[from]; !known && len(a.each) >= addressesKept {
		a.forget(now)
		if len(a.each) >= addressesKept {
			from = netip.Prefix{} // the rest share one
		}
	}
	all, each := a.all.left(now, attemptsAgain), a.each[from].left(now, attemptAgain)
	if all.used+1 > attemptsAll || each.used+1 > attemptsEach {
		return nil, false
	}
	all.used++
	each.used++
	a.all, a.each[from] = all, each
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.all.used = max(0, a.all.used-1)
		if b, known := a.each[from]; known {
			b.used = max(0, b.used-1)
			a.each[from] = b
		}
	}, true
}

// forget drops addresses that have all their attempts back.
func (a *attempts) forget(now time.Time) {
	for from, b := range a.each {
		if b.left(now, attemptAgain).used == 0 {
			delete(a.each, from)
		}
	}
}

// caller is the network of whoever asks. One host has a whole /64 in IPv6.
func caller(r *http.Request) netip.Prefix {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{}
	}
	addr := at.Addr().Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	network, _ := addr.Prefix(bits) // in range for the family
	return network
}
