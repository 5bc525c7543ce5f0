package netboxtest

import (
	"net/netip"
	"strings"
)

func (s *Server) addressFilters(k *kind) map[string]filterDef {
	of := func(get func(*address) string) filterDef {
		return filterDef{text: func(r row) (string, bool) { return get(r.(*address)), true }}
	}
	defs := map[string]filterDef{
		"dns_name":    of(func(a *address) string { return a.dnsName }),
		"description": of(func(a *address) string { return a.description }),
		"status": {text: func(r row) (string, bool) { return r.(*address).status, true },
			choices: addressStatuses()},
		"role": {text: func(r row) (string, bool) { a := r.(*address); return a.role, a.role != "" },
			choices: addressRoles()},
		"nat_inside_id": {kind: k, ids: func(r row) []int { return some(r.(*address).natInside) }},
		"mask_length":   {number: func(r row) (int, bool) { return int(r.(*address).bits), true }},
		"family":        {custom: familyFilter(func(r row) netip.Addr { return r.(*address).host })},
		"address":       {custom: s.filterAddress},
		"parent":        {custom: s.filterParent},
		"assigned":      {flag: func(row) bool { return false }},
		"q": {custom: func(values []string) (*filter, []string) {
			want := strings.ToLower(values[len(values)-1])
			return &filter{match: func(r row) bool {
				a := r.(*address)
				return strings.Contains(a.dnsName, want) || strings.Contains(strings.ToLower(a.description), want) || strings.HasPrefix(a.String(), want)
			}}, nil
		}},
	}
	s.placeFilters(defs, func(r row) (vrf, tenant int) { a := r.(*address); return a.vrf, a.tenant })
	return defs
}

// placeFilters adds what addresses and prefixes have in common.
func (s *Server) placeFilters(defs map[string]filterDef, get func(row) (vrf, tenant int)) {
	vrfs := func(r row) []int { id, _ := get(r); return some(id) }
	tenants := func(r row) []int { _, id := get(r); return some(id) }
	defs["vrf_id"] = filterDef{kind: s.vrfs, ids: vrfs}
	defs["vrf"] = filterDef{kind: s.vrfs, ids: vrfs, by: func(r row) string { return r.(*vrf).rd }}
	defs["tenant_id"] = filterDef{kind: s.tenants, ids: tenants}
	defs["tenant"] = filterDef{kind: s.tenants, ids: tenants, by: func(r row) string { return r.(*tenant).slug }}
	s.tagFilters(defs)
}

func some(id int) []int {
	if id == 0 {
		return nil
	}
	return []int{id}
}

func familyFilter(get func(row) netip.Addr) func([]string) (*filter, []string) {
	return func(values []string) (*filter, []string) {
		n, ok := parsePyInt(values[len(values)-1])
		if !ok {
			return nil, []string{"Enter a number."}
		}
		return &filter{match: func(r row) bool { return family(get(r)) == n }}, nil
	}
}

// filterAddress matches hosts (given without a mask) and addresses with exactly
// that mask. Malformed values are skipped; none left matches no row.
func (s *Server) filterAddress(values []string) (*filter, []string) {
	if errs := noNulValues(values); errs != nil {
		return nil, errs
	}
	hosts := map[netip.Addr]bool{}
	exact := map[netip.Prefix]bool{}
	for _, v := range values {
		if a, ok := parseAddr(v); ok {
			hosts[a] = true
		} else if p, ok := parseNetwork(v); ok {
			exact[p] = true
		}
	}
	match := func(r row) bool {
		a := r.(*address)
		return hosts[a.host] || exact[netip.PrefixFrom(a.host, int(a.bits))]
	}
	return &filter{match: match, seek: func() []row {
		var rows []row
		for a := range hosts {
			rows = s.atHost(rows, a)
		}
		for p := range exact {
			if !hosts[p.Addr()] {
				rows = s.atHost(rows, p.Addr())
			}
		}
		return rows
	}}, nil
}

func (s *Server) atHost(rows []row, host netip.Addr) []row {
	for r := range s.hosts.seek(func(r row) int { return r.(*address).host.Compare(host) }) {
		if r.(*address).host != host {
			break
		}
		rows = append(rows, r)
	}
	return rows
}

// filterParent matches the hosts within any of the prefixes; one that is
// malformed matches nothing at all.
func (s *Server) filterParent(values []string) (*filter, []string) {
	var prefixes []netip.Prefix
	for _, v := range values {
		p, ok := parseNetwork(strings.TrimSpace(v))
		if !ok {
			return &filter{match: func(row) bool { return false }, seek: func() []row { return nil }}, nil
		}
		prefixes = append(prefixes, p.Masked())
	}
	match := func(r row) bool {
		for _, p := range prefixes {
			if p.Contains(r.(*address).host) {
				return true
			}
		}
		return false
	}
	return &filter{match: match, seek: func() []row {
		var rows []row
		for _, p := range prefixes {
			for r := range s.hosts.seek(func(r row) int { return r.(*address).host.Compare(p.Addr()) }) {
				if !p.Contains(r.(*address).host) {
					break
				}
				rows = append(rows, r)
			}
		}
		return rows
	}}, nil
}
