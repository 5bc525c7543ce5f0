package sources_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/sources"
)

func TestEach(t *testing.T) {
	const atOnce, all = 3, 10
	list := make([]int, all)
	for i := range list {
		list[i] = i
	}
	synctest.Test(t, func(t *testing.T) {
		var busy, most, calls atomic.Int32
		err := sources.Each(t.Context(), atOnce, list, func(ctx context.Context, i int) error {
			calls.Add(1)
			now := busy.Add(1)
			defer busy.Add(-1)
			for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
			}
			time.Sleep(time.Second)
			return ctx.Err()
		})
		require.NoError(t, err)
		require.EqualValues(t, atOnce, most.Load())
		require.EqualValues(t, all, calls.Load())
	})
	require.NoError(t, sources.Each(t.Context(), atOnce, nil, func(context.Context, int) error { return errors.New("called") }))
}

// The first error is the one that is returned. It ends the others' context, and
// all are called all the same.
func TestEachFails(t *testing.T) {
	broken := errors.New("broken")
	var calls, ended atomic.Int32
	err := sources.Each(t.Context(), 2, []int{0, 1, 2, 3}, func(ctx context.Context, i int) error {
		calls.Add(1)
		if i == 1 {
			return broken
		}
		<-ctx.Done()
		ended.Add(1)
		return ctx.Err()
	})
	require.Equal(t, broken, err)
	require.EqualValues(t, 4, calls.Load())
	require.EqualValues(t, 3, ended.Load())
}
