package sources_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/sources"
)

// The source's own timeout is told from the caller's, also in contexts below.
func TestBounded(t *testing.T) {
	wait := func(caller context.Context) error {
		own, cancel := sources.Bounded(caller, time.Minute)
		defer cancel()
		below, cancel := context.WithCancel(own)
		defer cancel()
		require.NoError(t, sources.Ended(below, time.Minute), "it has not ended")
		<-below.Done()
		return sources.Ended(below, time.Minute)
	}
	synctest.Test(t, func(t *testing.T) {
		err := wait(t.Context())
		require.ErrorIs(t, err, sources.ErrUnreachable)
		require.NotErrorIs(t, err, context.DeadlineExceeded)
		require.EqualError(t, err, "source cannot be reached: no answer within 1m0s")
	})
	synctest.Test(t, func(t *testing.T) {
		deadline, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Equal(t, context.DeadlineExceeded, wait(deadline))
	})
	synctest.Test(t, func(t *testing.T) {
		cancelled, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		require.Equal(t, context.Canceled, wait(cancelled))
	})
}
