package netbox

import (
	"cmp"
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

	// Those of VRFs and Tenants that the rules spell out, which no source can
	// choose: of two names for one object such a one counts.
	FirmVRFs, FirmTenants []string

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

// Unresolved returns the names of Refs that no row can be written with. A row
// that uses one of them all the same is refused.
func (s *Session) Unresolved() Unresolved { return s.names.unresolved }

// Opening is a NetBox that was found fit for a pass, before it is known which
// names the pass will use.
type Opening struct {
	client  *Client
	version Version
}

// Begin begins a pass: it asks for the version and checks the custom fields, two
// requests at the same time. Of refs it looks at Deprecate and Reservable.
//
// A server that is not a supported NetBox, and custom fields that are missing
// or of the wrong kind (ErrFields) are errors that say what to do.
func (c *Client) Begin(ctx context.Context, refs Refs) (*Opening, error) {
	fields := make(chan error, 1)
	go func() { fields <- c.checkFields(ctx, refs) }()
	v, err := c.Status(ctx)
	wrong := <-fields
	if err := cmp.Or(err, wrong); err != nil { // what is no NetBox has no fields either
		return nil, err
	}
	return &Opening{client: c, version: v}, nil
}

// Resolve finds the names of refs, as far as NetBox has them: see Unresolved of
// the Session. It takes one request for each of VRFs,
// tenants, roles and tags, leaving out what refs do not need, and one more for
// VRFs that are spelled partly by name and partly by route distinguisher, or
// tenants partly by slug and partly by name. No name makes it fail.
func (o *Opening) Resolve(ctx context.Context, refs Refs) (*Session, error) {
	n, err := o.client.resolve(ctx, o.version, refs)
	if err != nil {
		return nil, err
	}
	return &Session{client: o.client, version: o.version, refs: refs, names: n, strange: map[string]int{}, strangeRefs: map[int]string{}}, nil
}

// Prepare is Begin and Resolve in one.
func (c *Client) Prepare(ctx context.Context, refs Refs) (*Session, error) {
	o, err := c.Begin(ctx, refs)
	if err != nil {
		return nil, err
	}
	return o.Resolve(ctx, refs)
}
