package apply

import (
	"context"

	"allocsync/sync/plan"
)

// Run carries approved out on target.
func Run(ctx context.Context, target Target, approved plan.Approved, o Options) Result {
	panic("TODO")
}
