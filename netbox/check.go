package netbox

import "context"

// Finding is one thing that Check examined.
type Finding struct {
	OK   bool
	Text string // what was found
	Fix  string // for a bad one: what to do
}

// Check examines version, custom fields and what the token may do, without
// writing anything. Installation is the name that owners begin with; it goes
// into the permission that a Fix proposes.
func (c *Client) Check(ctx context.Context, installation string) []Finding {
	panic("TODO")
}
