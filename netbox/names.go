package netbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"allocsync/ipam"
)

// names are the IDs of what Refs name, and the spelling of each ID.
type names struct {
	vrfs       map[string]int
	vrfRefs    map[int]string
	tenants    map[string]int
	tenantRefs map[int]string
	roles      map[string]int

	unresolved Unresolved
}

// Unresolved are the names of Refs that no row can be written with: NetBox has
// nothing of that name, or several, or another name of Refs means the same
// object. To each belongs what is wrong with it, in words for people that say
// what to do.
type Unresolved struct {
	VRFs, Tenants, Roles, Tags map[string]string

	// SameVRF holds those of VRFs that are another spelling, and the name under
	// which the session knows the VRF.
	SameVRF map[string]string
}

// Empty reports whether every name was found.
func (u Unresolved) Empty() bool {
	return len(u.VRFs)+len(u.Tenants)+len(u.Roles)+len(u.Tags) == 0
}

// named is an object that other rows refer to.
type named struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
	Slug string `json:"slug"`
	RD   string `json:"rd"`
}

// resolve looks up every name of refs.
func (c *Client) resolve(ctx context.Context, v Version, refs Refs) (names, error) {
	vrfs, badVRFs, err := c.lookUp(ctx, v, vrfModel(), refs.VRFs)
	if err != nil {
		return names{}, err
	}
	tenants, badTenants, err := c.lookUp(ctx, v, tenantModel(), refs.Tenants)
	if err != nil {
		return names{}, err
	}
	roles, badRoles, err := c.lookUp(ctx, v, slugModel("IPAM role", "ipam/roles/"), refs.Roles)
	if err != nil {
		return names{}, err
	}
	_, badTags, err := c.lookUp(ctx, v, slugModel("tag", "extras/tags/"), refs.Tags)
	if err != nil {
		return names{}, err
	}
	same := setAside("VRF", vrfs, badVRFs, refs.FirmVRFs)
	setAside("tenant", tenants, badTenants, refs.FirmTenants)
	n := names{
		vrfs: idsOf(vrfs), tenants: idsOf(tenants), roles: idsOf(roles), vrfRefs: map[int]string{}, tenantRefs: map[int]string{},
		unresolved: Unresolved{VRFs: badVRFs, Tenants: badTenants, Roles: badRoles, Tags: badTags, SameVRF: same},
	}
	for ref, id := range n.vrfs {
		n.vrfRefs[id] = ref
	}
	for ref, id := range n.tenants {
		n.tenantRefs[id] = ref
	}
	return n, nil
}

// setAside leaves one spelling of each object in found: rows are compared by it.
// The others become bad, and are returned with the one that counts.
//
// What the rules spell out counts before what a source says, so that nobody who
// names a project takes a name away from the rules. Then a name counts before a
// route distinguisher or slug. So which one it is depends on no order and on
// nothing that a pass did before.
func setAside(what string, found map[string]hit, bad map[string]string, firm []string) (same map[string]string) {
	rank := func(ref string) (n int) {
		if !slices.Contains(firm, ref) {
			n += 2
		}
		if found[ref].field != "name" {
			n++
		}
		return n
	}
	best := map[int]string{}
	for _, ref := range sortedKeys(found) {
		have, twice := best[found[ref].ID]
		if !twice || rank(ref) < rank(have) {
			best[found[ref].ID] = ref
		}
	}
	same = map[string]string{}
	for ref, hit := range found {
		if first := best[hit.ID]; first != ref {
			bad[ref] = fmt.Sprintf("%q names the same %s as %q (ID %d); use one of them everywhere", ref, what, first, hit.ID)
			same[ref] = first
		}
	}
	for ref := range same {
		delete(found, ref)
	}
	return same
}

// vrfID is the ID of a VRF as Refs or a row of this session spell it; 0 is the
// global table.
func (s *Session) vrfID(ref string) (int, error) {
	if ref == "" {
		return 0, nil
	}
	if id, ok := s.names.vrfs[ref]; ok {
		return id, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok := s.strange[ref]; ok {
		return id, nil
	}
	return 0, fmt.Errorf("VRF %q was not among the names that the session was prepared with", ref)
}

// spellVRF is the inverse of vrfID.
func (s *Session) spellVRF(vrf related) string {
	if vrf.ID == 0 {
		return ""
	}
	if ref, ok := s.names.vrfRefs[vrf.ID]; ok {
		return ref
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// A name is not unique, and could be one that Refs gave another VRF.
	if s.strangeRefs[vrf.ID] == "" {
		ref := fmt.Sprintf("%s (#%d)", vrf.Name, vrf.ID)
		s.strange[ref], s.strangeRefs[vrf.ID] = vrf.ID, ref
	}
	return s.strangeRefs[vrf.ID]
}

// spellTenant spells the tenant of a row as Refs do, and one that they do not name
// by its slug. A slug is not unique either, and could be what Refs call another.
func (s *Session) spellTenant(tenant related) string {
	if ref, ok := s.names.tenantRefs[tenant.ID]; ok && tenant.ID != 0 {
		return ref
	}
	if _, taken := s.names.tenants[tenant.Slug]; taken {
		return fmt.Sprintf("%s (#%d)", tenant.Slug, tenant.ID)
	}
	return tenant.Slug
}

func idsOf(objects map[string]hit) map[string]int {
	ids := make(map[string]int, len(objects))
	for ref, object := range objects {
		ids[ref] = object.ID
	}
	return ids
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func sortedUnique[T cmp.Ordered](values []T) []T {
	values = slices.Clone(values)
	slices.Sort(values)
	return slices.Compact(values)
}

// uniqueByID sorts rows of one kind and drops those that came twice.
func uniqueByID(rows []ipam.Stored) []ipam.Stored {
	slices.SortFunc(rows, func(a, b ipam.Stored) int { return cmp.Compare(a.ID, b.ID) })
	return slices.CompactFunc(rows, func(a, b ipam.Stored) bool { return a.ID == b.ID })
}

func countPairs(filter string) int { return strings.Count(filter, "&") + 1 }
