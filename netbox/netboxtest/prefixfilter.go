package netboxtest

import (
	"net/netip"
	"strings"
)

func (s *Server) prefixFilters() map[string]filterDef {
	defs := map[string]filterDef{
		"description": {text: func(r row) (string, bool) { return r.(*prefix).description, true }},
		"status": {text: func(r row) (string, bool) { return r.(*prefix).status, true },
			choices: prefixStatuses()},
		"is_pool":       {flag: func(r row) bool { return r.(*prefix).pool }},
		"mark_utilized": {flag: func(r row) bool { return r.(*prefix).utilized }},
		"mask_length":   {number: func(r row) (int, bool) { return r.(*prefix).net.Bits(), true }},
		"depth":         {number: func(r row) (int, bool) { return s.depth(r.(*prefix)), true }},
		"children":      {number: func(r row) (int, bool) { return s.children(r.(*prefix)), true }},
		"family":        {custom: familyFilter(func(r row) netip.Addr { return r.(*prefix).net.Addr() })},
		"role_id":       {kind: s.roles, ids: func(r row) []int { return some(r.(*prefix).role) }},
		"role": {kind: s.roles, ids: func(r row) []int { return some(r.(*prefix).role) },
			by: func(r row) string { return r.(*role).slug }},
		"prefix": {custom: filterPrefix},
		"within": {custom: prefixRelation(func(have, want netip.Prefix) bool {
			return have.Bits() > want.Bits() && want.Contains(have.Addr())
		})},
		"within_include": {custom: prefixRelation(func(have, want netip.Prefix) bool {
			return have.Bits() >= want.Bits() && want.Contains(have.Addr())
		})},
		"contains": {custom: prefixRelation(func(have, want netip.Prefix) bool {
			return have.Bits() <= want.Bits() && have.Contains(want.Addr())
		})},
		"q": {custom: func(values []string) (*filter, []string) {
			want := strings.ToLower(values[len(values)-1])
			return &filter{match: func(r row) bool {
				p := r.(*prefix)
				return strings.Contains(strings.ToLower(p.description), want) || strings.Contains(p.String(), want)
			}}, nil
		}},
	}
	s.placeFilters(defs, func(r row) (vrf, tenant int) { p := r.(*prefix); return p.vrf, p.tenant })
	return defs
}

// filterPrefix matches equal networks. Malformed values are skipped, and none
// left matches no row.
func filterPrefix(values []string) (*filter, []string) {
	if errs := noNulValues(values); errs != nil {
		return nil, errs
	}
	wanted := map[netip.Prefix]bool{}
	for _, v := range values {
		if p, ok := parseNetwork(v); ok {
			wanted[p] = true
		}
	}
	return &filter{match: func(r row) bool { return wanted[r.(*prefix).net] }}, nil
}

// prefixRelation compares with one network; a malformed one matches nothing.
func prefixRelation(holds func(have, want netip.Prefix) bool) func([]string) (*filter, []string) {
	return func(values []string) (*filter, []string) {
		want, ok := parseNetwork(strings.TrimSpace(values[len(values)-1]))
		want = want.Masked()
		return &filter{match: func(r row) bool { return ok && holds(r.(*prefix).net, want) }}, nil
	}
}
