package netbox

import "context"

// Step is one thing that Setup did, or would do.
type Step struct {
	Field  string // name of the custom field
	Action string // "create", "extend" or "keep"
	Detail string // "text, exact, on ipam.prefix and ipam.ipaddress"
}

// Setup makes the custom fields that are missing, and adds the object types
// that are missing to those that exist, without taking any away. It is
// idempotent. With dryRun it says what it would do and writes nothing. A field
// that exists with another type or filter is an error, and then nothing is
// written at all.
func (c *Client) Setup(ctx context.Context, dryRun bool) ([]Step, error) {
	panic("TODO")
}
