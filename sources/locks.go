package sources

import (
	"context"
	"sync"
)

// Locks is a lock for each key, for a desk that may do one thing at a time with
// an address or a machine. Its zero value is ready, and it must not be copied.
// Keys stay for as long as it does: that of one desk is dropped with the desk.
type Locks[K comparable] struct {
	mu   sync.Mutex
	keys map[K]chan struct{} // full while somebody has the lock
}

// Lock waits until nobody else has the lock of the key, and returns how to give
// it back, once. Where ctx ends before, ok is false and unlock is nil; where
// both are so at once, either may come.
func (l *Locks[K]) Lock(ctx context.Context, key K) (unlock func(), ok bool) {
	lock := l.of(key)
	select {
	case lock <- struct{}{}:
		return func() { <-lock }, true
	case <-ctx.Done():
		return nil, false
	}
}

// of finds the lock of a key, or makes it.
func (l *Locks[K]) of(key K) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil {
		l.keys = map[K]chan struct{}{}
	}
	lock, ok := l.keys[key]
	if !ok {
		lock = make(chan struct{}, 1)
		l.keys[key] = lock
	}
	return lock
}
