package netbox

import (
	"context"
	"sync"
)

// Refs are the names that the wanted rows use, and what else a pass will read.
// Order and repetitions do not matter, "" is left out.
type Refs struct {
	VRFs    []string // names or route distinguishers
	Tenants []string // slugs or names
	Roles   []string // slugs of IPAM roles (prefixes)
	Tags    []string // slugs

	Inside     bool // rows carry nat_inside
	Deprecate  bool // rows that are gone are marked: gone_since is needed
	Reservable bool // reservations are read: reserve_at is needed
}

// Session is one pass's view of one NetBox: names are resolved to IDs. Rows
// that it returns spell a VRF and a tenant as Refs did; those that Refs did not
// name are spelled "name (#ID)" for a VRF and by the slug for a tenant.
type Session struct {
	client  *Client
	version Version
	refs    Refs
	names   names

	mu          sync.Mutex
	strange     map[string]int // VRFs that Refs did not name, as spelled in rows, to their IDs
	strangeRefs map[int]string // the inverse
}

// Version returns what the server said it is when the session was prepared.
func (s *Session) Version() Version { return s.version }

// Prepare begins a pass: it asks for the version, checks the custom fields and
// resolves the names. It takes one request for each of version, custom fields,
// VRFs, tenants, roles and tags, leaving out what refs do not need, and one
// more for VRFs or tenants where some are not found by name or slug.
//
// A missing or ambiguous name, two names for one VRF, and custom fields that
// are missing or of the wrong kind (ErrFields) are errors that say what to do.
func (c *Client) Prepare(ctx context.Context, refs Refs) (*Session, error) {
	v, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.checkFields(ctx, refs); err != nil {
		return nil, err
	}
	n, err := c.resolve(ctx, v, refs)
	if err != nil {
		return nil, err
	}
	return &Session{client: c, version: v, refs: refs, names: n, strange: map[string]int{}, strangeRefs: map[int]string{}}, nil
}
