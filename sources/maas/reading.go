package maas

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"allocsync/sources"
)

// region is what one reading found.
type region struct {
	user      whoami
	subnets   []subnet
	nodes     []node
	ranges    []ipRange
	reserved  []reservedIP
	hasIPs    bool              // MAAS has reserved IPs: 3.6 and later
	addresses map[int][]address // by the subnet's ID
	gone      map[int]bool      // subnets that were deleted meanwhile

	// Why a part could not be read.
	rangesErr, reservedErr error
	unread                 map[int]error // addresses, by the subnet's ID
}

// region reads everything. Its error is that of a list without which nothing
// makes sense.
func (c *client) region(ctx context.Context) (*region, error) {
	r := &region{addresses: map[int][]address{}, gone: map[int]bool{}, unread: map[int]error{}}
	err := sources.Each(ctx, maxParallel, []func(context.Context) error{
		func(ctx context.Context) error { return c.ask(ctx, reading("users/?op=whoami"), &r.user) },
		func(ctx context.Context) error { return c.ask(ctx, reading("subnets/"), &r.subnets) },
		func(ctx context.Context) error { return c.ask(ctx, reading("nodes/"), &r.nodes) },
		func(ctx context.Context) error {
			r.reserved, r.hasIPs, r.reservedErr = c.reservedIPs(ctx)
			return nil
		},
		func(ctx context.Context) error {
			r.rangesErr = c.ask(ctx, reading("ipranges/"), &r.ranges)
			return nil
		},
	}, func(ctx context.Context, read func(context.Context) error) error { return read(ctx) })
	if err != nil {
		return nil, err
	}
	if r.user.Name == "" {
		return nil, fmt.Errorf("%w: MAAS does not say to whom the API key belongs; does url lead to MAAS?", sources.ErrUnreachable)
	}
	c.readAddresses(ctx, r)
	return r, nil
}

// unknownEndpoint is how MAAS says that it has no such list (api/not_found.py).
const unknownEndpoint = "Unknown API endpoint"

// reservedIPs reads the reserved IPs; there is false where MAAS has none of
// them, as before 3.6. A 404 that is not in MAAS's own words may be a proxy's:
// then its version decides, for a list that is taken to be empty takes rows
// from NetBox.
func (c *client) reservedIPs(ctx context.Context) (list []reservedIP, there bool, err error) {
	err = c.ask(ctx, reading("reservedips/"), &list)
	if !notFound(err) {
		return list, err == nil, err
	}
	if e, ok := errors.AsType[*answerError](err); ok && strings.HasPrefix(e.text, unknownEndpoint) {
		return nil, false, nil
	}
	var v version
	if failed := c.ask(ctx, reading("version/"), &v); failed != nil {
		return nil, false, fmt.Errorf("%w; and its version: %w", err, failed)
	}
	if v.before(3, 6) {
		return nil, false, nil
	}
	return nil, false, fmt.Errorf("MAAS %q has no reserved IPs, which is since 3.6: %w", v.Version, err)
}

// readAddresses reads the addresses of every subnet.
func (c *client) readAddresses(ctx context.Context, r *region) {
	var mu sync.Mutex // guards the maps of r
	_ = sources.Each(ctx, maxParallel, r.subnets, func(ctx context.Context, s subnet) error {
		var list []address
		path := fmt.Sprintf("subnets/%d/?%s", s.ID, url.Values{"op": {"ip_addresses"}, "with_username": {"1"}, "with_summary": {"1"}}.Encode())
		err := c.ask(ctx, reading(path), &list)
		gone := notFound(err) && c.without(ctx, s.ID)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case gone:
			r.gone[s.ID] = true
		case err != nil:
			r.unread[s.ID] = err
		default:
			r.addresses[s.ID] = list
		}
		return nil // one subnet does not end the reading
	})
}

// without reports whether the list of subnets, read again, lacks one: it was
// deleted meanwhile.
func (c *client) without(ctx context.Context, id int) bool {
	var list []subnet
	if c.ask(ctx, reading("subnets/"), &list) != nil {
		return false
	}
	return !slices.ContainsFunc(list, func(s subnet) bool { return s.ID == id })
}
