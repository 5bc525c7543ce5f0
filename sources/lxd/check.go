package lxd

import (
	"context"

	"allocsync/sources"
)

// Check examines the way to the server.
func (s *Source) Check(ctx context.Context) []sources.Finding {
	return nil
}
