package sources_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/sources"
)

func TestLocks(t *testing.T) {
	var locks sources.Locks[string]
	unlock, ok := locks.Lock(t.Context(), "a")
	require.True(t, ok)
	other, ok := locks.Lock(t.Context(), "b") // another key is free
	require.True(t, ok)
	other()

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	none, ok := locks.Lock(ended, "a")
	require.False(t, ok)
	require.Nil(t, none)

	unlock()
	again, ok := locks.Lock(t.Context(), "a")
	require.True(t, ok)
	again()
}

// One at a time for a key, however many ask; the race detector sees the rest.
func TestLocksExclude(t *testing.T) {
	var locks sources.Locks[int]
	var counts [3]int
	var all sync.WaitGroup
	for i := range 300 {
		all.Go(func() {
			unlock, ok := locks.Lock(t.Context(), i%len(counts))
			if ok {
				defer unlock()
				counts[i%len(counts)]++
			}
		})
	}
	all.Wait()
	require.Equal(t, [3]int{100, 100, 100}, counts)
}
