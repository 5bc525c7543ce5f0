package netbox

import (
	"context"
	"time"
)

const firstBackoff = 500 * time.Millisecond

type names struct{}

func (c *Client) read(ctx context.Context, path string, query any, into any) error { panic("TODO") }
func (c *Client) checkFields(ctx context.Context, v Version, refs Refs) error      { panic("TODO") }
func (c *Client) resolve(ctx context.Context, refs Refs) (names, error)            { panic("TODO") }
