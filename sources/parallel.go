package sources

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// Each calls do for every element of a list, in its order and at most atOnce of
// them side by side, and returns when all calls have. atOnce is at least 1.
//
// The error is the first that a call returned. The context of the other calls
// ends with it; those that have not begun are made with it all the same.
func Each[E any](ctx context.Context, atOnce int, list []E, do func(context.Context, E) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, e := range list {
		group.Go(func() error { return do(ctx, e) })
	}
	return group.Wait()
}
