package netbox

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"allocsync/ipam"
)

// Owned returns every prefix and address whose sync_owner is one of owners, and
// every prefix whose is one of others: ordered by kind and ID, each once.
func (s *Session) Owned(ctx context.Context, owners []string, others ...string) ([]ipam.Stored, error) {
	wanted := []struct {
		kind   ipam.Kind
		owners []string
	}{{ipam.Prefix, slices.Concat(owners, others)}, {ipam.Address, owners}}
	parts := make([][]ipam.Stored, len(wanted))
	group, ctx := errgroup.WithContext(ctx)
	for i, w := range wanted {
		group.Go(func() (err error) {
			parts[i], err = s.marked(ctx, w.kind, "cf_"+ipam.OwnerField, w.owners, func(r *row) string { return r.Custom.Owner })
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("list own rows: %w", err)
	}
	// There are many addresses and few prefixes: these move, and nothing is
	// held twice.
	return slices.Insert(parts[1], 0, parts[0]...), nil
}

// marked lists the rows of which a custom field has one of values.
func (s *Session) marked(ctx context.Context, kind ipam.Kind, filter string, values []string, of func(*row) string) ([]ipam.Stored, error) {
	if len(values) == 0 || slices.Contains(values, "") {
		return nil, errNoOwner
	}
	values = sortedUnique(values)
	out, err := s.collect(ctx, kind, filters(filter, values, s.room(kind)), func(r *row) (bool, error) {
		if _, ours := slices.BinarySearch(values, of(r)); !ours {
			return false, errIgnored(filter, r.ID)
		}
		return true, nil
	})
	return uniqueByID(out), err
}

// collect lists the rows of some queries, in their order. take says which of
// them are wanted; with an error of it nothing is.
func (s *Session) collect(ctx context.Context, kind ipam.Kind, queries []string, take func(*row) (bool, error)) ([]ipam.Stored, error) {
	var out []ipam.Stored
	strings := interner{}
	for _, query := range queries {
		err := s.list(ctx, kind, query, func(r *row) error {
			if wanted, err := take(r); !wanted || err != nil {
				return err
			}
			stored, err := s.stored(kind, r, strings)
			out = append(out, stored)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// lookupWorkers bounds how many look-ups run at once: NetBox runs on two to
// four workers as a rule, and others want to be served too.
const lookupWorkers = 2

// At returns every row, whoever owns it, that stands at one of places, ordered
// by kind and ID. Places are looked up many at a time; repetitions do not
// matter.
func (s *Session) At(ctx context.Context, places []ipam.Place) ([]ipam.Stored, error) {
	wanted := make(map[ipam.Place]bool, len(places))
	for _, place := range places {
		wanted[place] = true
	}
	lookups, err := s.placeLookups(wanted)
	if err != nil {
		return nil, fmt.Errorf("look places up: %w", err)
	}
	var mu sync.Mutex
	found := map[ipam.Kind][]ipam.Stored{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lookupWorkers)
	for _, look := range lookups {
		group.Go(func() error {
			rows, err := s.lookAt(ctx, look, wanted)
			mu.Lock()
			found[look.kind] = append(found[look.kind], rows...)
			mu.Unlock()
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("look places up: %w", err)
	}
	return slices.Concat(uniqueByID(found[ipam.Prefix]), uniqueByID(found[ipam.Address])), nil
}

// lookup is one request's worth of places.
type lookup struct {
	kind   ipam.Kind
	filter string
	asked  map[netip.Prefix]bool
}

// placeLookups groups places by kind and VRF and cuts each group to the length
// of a request. Places of several VRFs share a request only if they do not fill
// one of their own: a host that a hundred VRFs have would else come back a
// hundred times.
func (s *Session) placeLookups(wanted map[ipam.Place]bool) ([]lookup, error) {
	type group struct {
		kind ipam.Kind
		vrf  string
	}
	groups := map[group][]netip.Prefix{}
	for place := range wanted {
		g := group{place.Kind, place.VRF}
		groups[g] = append(groups[g], place.Prefix)
	}
	mixed := map[ipam.Kind][]netip.Prefix{}
	var out []lookup
	for g, prefixes := range groups {
		id, err := s.vrfID(g.vrf)
		if err != nil {
			return nil, err
		}
		if id == 0 || len(prefixes) < placesPerVRF {
			mixed[g.kind] = append(mixed[g.kind], prefixes...)
			continue
		}
		for _, look := range s.cut(g.kind, prefixes) {
			look.filter += fmt.Sprintf("&vrf_id=%d", id)
			out = append(out, look)
		}
	}
	for kind, prefixes := range mixed {
		out = append(out, s.cut(kind, prefixes)...)
	}
	return out, nil
}

// placesPerVRF is from how many places on a VRF has look-ups of its own.
const placesPerVRF = 50

// cut sorts prefixes, each once, and makes look-ups of them.
func (s *Session) cut(kind ipam.Kind, prefixes []netip.Prefix) []lookup {
	slices.SortFunc(prefixes, ipam.ComparePrefix)
	prefixes = slices.Compact(prefixes)
	key := "address"
	if kind == ipam.Prefix {
		key = "prefix"
	}
	values := make([]string, len(prefixes))
	for i, p := range prefixes {
		values[i] = p.String()
		if kind == ipam.Address {
			values[i] = p.Addr().String() // any mask: NetBox compares the host
		}
	}
	var out []lookup
	for _, filter := range filters(key, values, s.room(kind)) {
		n := countPairs(filter)
		look := lookup{kind: kind, filter: filter, asked: make(map[netip.Prefix]bool, n)}
		for _, p := range prefixes[:n] {
			look.asked[p] = true
		}
		prefixes = prefixes[n:]
		out = append(out, look)
	}
	return out
}

func (s *Session) lookAt(ctx context.Context, look lookup, wanted map[ipam.Place]bool) ([]ipam.Stored, error) {
	var out []ipam.Stored
	strings := interner{}
	err := s.list(ctx, look.kind, look.filter, func(r *row) error {
		stored, err := s.stored(look.kind, r, strings)
		if err != nil {
			return err
		}
		if !look.asked[stored.Place.Prefix] {
			return errIgnored(look.kind.String(), r.ID)
		}
		if wanted[stored.Place] {
			out = append(out, stored)
		}
		return nil
	})
	return out, err
}

// Rows returns those of the given rows that still exist, ordered by ID.
func (s *Session) Rows(ctx context.Context, kind ipam.Kind, ids []int) ([]ipam.Stored, error) {
	ids = sortedUnique(ids)
	out, err := s.collect(ctx, kind, filters("id", texts(ids), s.room(kind)), func(r *row) (bool, error) {
		if _, asked := slices.BinarySearch(ids, r.ID); !asked {
			return false, errIgnored("id", r.ID)
		}
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read rows again: %w", err)
	}
	return out, nil
}
