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
	vrfs      map[string]int
	vrfRefs   map[int]string
	tenants   map[string]int
	tenantRef map[string]string // slug to the spelling in Refs
	roles     map[string]int

	unresolved Unresolved
}

// Unresolved are the names of Refs that no row can be written with: NetBox has
// nothing of that name, or several. To each belongs what is wrong with it, in
// words for people that say what to do.
type Unresolved struct{ VRFs, Tenants, Roles, Tags map[string]string }

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

// resolve looks up every name of refs. Two names for one object are an error:
// the configuration contradicts itself, and no row is to blame for it.
func (c *Client) resolve(ctx context.Context, v Version, refs Refs) (names, error) {
	n := names{vrfRefs: map[int]string{}, tenantRef: map[string]string{}}
	vrfs, badVRFs, err := c.lookUp(ctx, v, "VRF", "ipam/vrfs/", refs.VRFs, likely(refs.VRFs, isRD, "rd", "name"))
	if err != nil {
		return names{}, err
	}
	tenants, badTenants, err := c.lookUp(ctx, v, "tenant", "tenancy/tenants/", refs.Tenants, likely(refs.Tenants, isSlug, "slug", "name"))
	if err != nil {
		return names{}, err
	}
	roles, badRoles, err := c.lookUp(ctx, v, "IPAM role", "ipam/roles/", refs.Roles, []string{"slug"})
	if err != nil {
		return names{}, err
	}
	_, badTags, err := c.lookUp(ctx, v, "tag", "extras/tags/", refs.Tags, []string{"slug"})
	if err != nil {
		return names{}, err
	}
	n.unresolved = Unresolved{VRFs: badVRFs, Tenants: badTenants, Roles: badRoles, Tags: badTags}
	var wrong []string
	n.vrfs, n.tenants, n.roles = idsOf(vrfs), idsOf(tenants), idsOf(roles)
	for _, ref := range sortedKeys(vrfs) {
		id := vrfs[ref].ID
		if other, twice := n.vrfRefs[id]; twice {
			wrong = append(wrong, fmt.Sprintf("%q and %q are one and the same VRF (ID %d): use one of them everywhere", other, ref, id))
		}
		n.vrfRefs[id] = ref
	}
	for _, ref := range sortedKeys(tenants) {
		slug := tenants[ref].Slug
		if other, twice := n.tenantRef[slug]; twice {
			wrong = append(wrong, fmt.Sprintf("%q and %q are one and the same tenant: use one of them everywhere", other, ref))
		}
		n.tenantRef[slug] = ref
	}
	if len(wrong) > 0 {
		return names{}, fmt.Errorf("resolve names: %s", strings.Join(wrong, "; "))
	}
	return n, nil
}

// likely returns the fields to look refs up by, the one that all of them look
// like first: a configuration that spells them alike takes one request.
func likely(refs []string, looks func(string) bool, field, other string) []string {
	if slices.ContainsFunc(refs, func(ref string) bool { return ref != "" && !looks(ref) }) {
		return []string{other, field}
	}
	return []string{field, other}
}

// isRD reports whether s looks like a route distinguisher (RFC 4364, 4.2).
func isRD(s string) bool { return strings.Contains(s, ":") }

// isSlug reports whether s may be a slug, as NetBox makes them.
func isSlug(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// lookUp finds each of wanted by the first of fields that knows it. Names that
// are unknown or mean several objects come back as bad, with what is wrong.
func (c *Client) lookUp(ctx context.Context, v Version, what, model string, wanted, fields []string) (found map[string]named, bad map[string]string, err error) {
	path := "/api/" + model
	found, bad = map[string]named{}, map[string]string{}
	missing := sortedUnique(slices.DeleteFunc(slices.Clone(wanted), func(s string) bool { return s == "" }))
	for _, field := range fields {
		matches, err := c.matches(ctx, v, path, field, missing)
		if err != nil {
			return nil, nil, fmt.Errorf("look up %ss by %s: %w", what, field, err)
		}
		var still []string
		for _, ref := range missing {
			switch hits := matches[ref]; len(hits) {
			case 0:
				still = append(still, ref)
			case 1:
				found[ref] = hits[0]
			default:
				bad[ref] = ambiguous(what, ref, hits)
			}
		}
		missing = still
	}
	if len(missing) == 0 {
		return found, bad, nil
	}
	there, err := c.some(ctx, v, path, fields)
	if err != nil {
		return nil, nil, fmt.Errorf("list %ss: %w", what, err)
	}
	for _, ref := range missing {
		bad[ref] = fmt.Sprintf("NetBox has no %s %q (by %s): add it at %s/%sadd/, or name one that is there (%s)",
			what, ref, strings.Join(fields, " or "), c.base, model, there)
	}
	return found, bad, nil
}

// matches lists, for each of values, the objects whose field is exactly it.
func (c *Client) matches(ctx context.Context, v Version, path, field string, values []string) (map[string][]named, error) {
	out := map[string][]named{}
	reserve := len("&limit=1000&fields=id,name,slug,rd")
	for _, query := range filters(field, values, c.room(path)-reserve) {
		asked := countPairs(query)
		var answer struct {
			Next    *string `json:"next"`
			Results []named `json:"results"`
		}
		c.stats.lookups.Add(1)
		if err := c.read(ctx, path, query+limitedFields(v, path, c.pageSize), &answer); err != nil {
			return nil, err
		}
		if answer.Next != nil {
			return nil, fmt.Errorf("read %s: %d names mean more than %d objects", path, asked, len(answer.Results))
		}
		for _, object := range answer.Results {
			value := object.field(field)
			if _, ours := slices.BinarySearch(values, value); !ours {
				return nil, errIgnored(field, object.ID)
			}
			out[value] = append(out[value], object)
		}
	}
	return out, nil
}

func (n named) field(name string) string {
	switch name {
	case "slug":
		return n.Slug
	case "rd":
		return n.RD
	}
	return n.Name
}

// some names a few objects, for an error's text.
func (c *Client) some(ctx context.Context, v Version, path string, fields []string) (string, error) {
	const few = 5
	var answer struct {
		Next    *string `json:"next"`
		Results []named `json:"results"`
	}
	c.stats.lookups.Add(1)
	if err := c.read(ctx, path, strings.TrimPrefix(limitedFields(v, path, few), "&"), &answer); err != nil {
		return "", err
	}
	var texts []string
	for _, object := range answer.Results {
		text := object.field(fields[0])
		if len(fields) > 1 && object.field(fields[1]) != "" {
			text += " (" + object.field(fields[1]) + ")"
		}
		texts = append(texts, text)
	}
	switch {
	case len(texts) == 0:
		return "none", nil
	case answer.Next != nil:
		texts = append(texts, "…")
	}
	return strings.Join(texts, ", "), nil
}

func limitedFields(v Version, path string, limit int) string {
	if !v.hasFields() {
		return fmt.Sprintf("&limit=%d", limit)
	}
	fields := "id,name,slug"
	if path == "/api/ipam/vrfs/" {
		fields = "id,name,rd"
	}
	return fmt.Sprintf("&limit=%d&fields=%s", limit, fields)
}

func ambiguous(what, ref string, hits []named) string {
	slices.SortFunc(hits, func(a, b named) int { return cmp.Compare(a.ID, b.ID) })
	texts := make([]string, len(hits))
	for i, hit := range hits {
		switch {
		case hit.RD != "":
			texts[i] = fmt.Sprintf("ID %d with rd %s", hit.ID, hit.RD)
		case hit.Slug != "":
			texts[i] = fmt.Sprintf("ID %d with slug %s", hit.ID, hit.Slug)
		default:
			texts[i] = fmt.Sprintf("ID %d without rd", hit.ID)
		}
	}
	by := "slug"
	if what == "VRF" {
		by = "rd"
	}
	return fmt.Sprintf("%s %q is ambiguous: NetBox has %s; name it by its %s", what, ref, strings.Join(texts, ", "), by)
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

func (s *Session) spellTenant(tenant related) string {
	if ref, ok := s.names.tenantRef[tenant.Slug]; ok {
		return ref
	}
	return tenant.Slug
}

func idsOf(objects map[string]named) map[string]int {
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
