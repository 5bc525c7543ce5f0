package webhook

import (
	"crypto/sha256"
	"sync"
	"time"
)

// memory knows the last signatures that were accepted, for a while.
type memory struct {
	mu   sync.Mutex
	at   map[[16]byte]time.Time
	ring []remembered // grows to max, then the oldest makes room
	max  int
	next int
}

type remembered struct {
	key [16]byte
	at  time.Time
}

func newMemory(max int) *memory {
	return &memory{at: map[[16]byte]time.Time{}, max: max}
}

// repeated reports whether the signature was given here less than keep ago;
// otherwise it is remembered from now on.
func (m *memory) repeated(mac []byte, now time.Time, keep time.Duration) bool {
	sum := sha256.Sum256(mac)
	key := [16]byte(sum[:16])
	m.mu.Lock()
	defer m.mu.Unlock()
	if at, ok := m.at[key]; ok && now.Sub(at) < keep {
		return true
	}
	fresh := remembered{key: key, at: now}
	if len(m.ring) < m.max {
		m.ring = append(m.ring, fresh)
	} else {
		// A key that was remembered again stands in the ring twice; only its
		// newest entry speaks for it.
		if old := m.ring[m.next]; m.at[old.key].Equal(old.at) {
			delete(m.at, old.key)
		}
		m.ring[m.next] = fresh
		m.next = (m.next + 1) % m.max
	}
	m.at[key] = now
	return false
}
