package netboxtest

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// prefix is a row of /api/ipam/prefixes/.
type prefix struct {
	meta
	net                   netip.Prefix
	status                string
	vrf, tenant, role     int
	pool, utilized        bool
	description, comments string
}

func (p *prefix) clone() objectRow { c := *p; return &c }

func (p *prefix) String() string { return addrText(p.net.Addr()) + "/" + strconv.Itoa(p.net.Bits()) }

func prefixStatuses() []choice {
	return []choice{{"container", "Container"}, {"active", "Active"}, {"reserved", "Reserved"}, {"deprecated", "Deprecated"}}
}

func (s *Server) newPrefixes() *kind {
	k := &kind{app: "ipam", model: "prefix", class: "Prefix", verbose: "prefix", path: "ipam/prefixes", customizable: true, taggable: true}
	k.text = func(r row) string { return r.(*prefix).String() }
	k.blank = func() objectRow { return &prefix{status: "active"} }
	k.columns = s.prefixColumns(k)
	k.brief = pick(k.columns, "id", "url", "display", "family", "prefix", "description", "_depth")
	if !s.version.since(V42) {
		k.brief = drop(slices.Clone(k.brief), "description")
		k.brief[3].write = func(w *writer, r row) { w.int(family(r.(*prefix).net.Addr())) }
	}
	k.decode = func(d *decoder, r objectRow) { s.decodePrefix(d, r.(*prefix)) }
	k.check = func(r objectRow) *object { return s.checkPrefix(r.(*prefix)) }
	k.data = func(w *writer, r objectRow) { s.prefixData(w, r.(*prefix)) }
	k.filters = s.prefixFilters()
	k.attribute = attributes(map[string]func(row) any{
		"prefix": func(r row) any { return r.(*prefix).String() },
		"vrf":    func(r row) any { return int64(r.(*prefix).vrf) },
		"vrf_id": func(r row) any { return int64(r.(*prefix).vrf) },
	})
	k.refers = func(r row) []use {
		p := r.(*prefix)
		return []use{{s.vrfs, p.vrf, k}, {s.tenants, p.tenant, k}, {s.roles, p.role, k}}
	}
	k.watch = func(r row, by int) { s.count(by, k, r, k.refers(r)...) }
	k.orders = map[string]func(a, b row) int{
		"prefix": func(a, b row) int { return a.(*prefix).net.Compare(b.(*prefix).net) },
		"status": func(a, b row) int { return strings.Compare(a.(*prefix).status, b.(*prefix).status) },
	}
	// By VRF (its ID, the global table first), then network, the shorter first.
	return k.init(func(a, b row) int {
		x, y := a.(*prefix), b.(*prefix)
		return cmp.Or(cmp.Compare(x.vrf, y.vrf), x.net.Compare(y.net), cmp.Compare(x.id, y.id))
	})
}

func (s *Server) prefixColumns(k *kind) []column {
	columns := slices.Concat(identity(s.version, k), []column{
		{name: "family", write: func(w *writer, r row) { w.family(r.(*prefix).net.Addr()) }},
		{name: "prefix", write: func(w *writer, r row) { w.text(r.(*prefix).String()) }},
		constant("site", "null"),
		{name: "vrf", write: func(w *writer, r row) { w.related(s.vrfs, r.(*prefix).vrf, s.vrfs.nested) }},
		constant("scope_type", "null"),
		constant("scope_id", "null"),
		constant("scope", "null"),
		{name: "tenant", write: func(w *writer, r row) { w.related(s.tenants, r.(*prefix).tenant, s.tenants.nested) }},
		constant("vlan", "null"),
		{name: "status", write: func(w *writer, r row) { w.choiceValue(prefixStatuses(), r.(*prefix).status) }},
		{name: "role", write: func(w *writer, r row) { w.related(s.roles, r.(*prefix).role, s.roles.nested) }},
		{name: "is_pool", write: func(w *writer, r row) { w.bool(r.(*prefix).pool) }},
		{name: "mark_utilized", write: func(w *writer, r row) { w.bool(r.(*prefix).utilized) }},
		{name: "description", write: func(w *writer, r row) { w.text(r.(*prefix).description) }},
		constant("owner", "null"),
		{name: "comments", write: func(w *writer, r row) { w.text(r.(*prefix).comments) }},
		s.tagColumn(),
		s.customColumn(k),
	}, times(), []column{
		{name: "children", write: func(w *writer, r row) { w.int(s.children(r.(*prefix))) }},
		{name: "_depth", write: func(w *writer, r row) { w.int(s.depth(r.(*prefix))) }},
	})
	switch {
	case s.version.since(V47):
		return drop(columns, "site")
	case s.version.since(V42):
		return drop(columns, "site", "owner")
	}
	return drop(columns, "scope_type", "scope_id", "scope", "owner")
}

// children counts the prefixes of the same VRF within p; in their order they
// follow it.
func (s *Server) children(p *prefix) int {
	n := 0
	for r := range s.prefixes.rows.seek(func(r row) int { return comparePlace(r.(*prefix), p.vrf, p.net) }) {
		other := r.(*prefix)
		if other.vrf != p.vrf || !p.net.Contains(other.net.Addr()) {
			break
		}
		if other.net.Bits() > p.net.Bits() {
			n++
		}
	}
	return n
}

// depth counts the prefixes of the same VRF around p.
func (s *Server) depth(p *prefix) int {
	n := 0
	for bits := range p.net.Bits() {
		around := netip.PrefixFrom(p.net.Addr(), bits).Masked()
		for r := range s.prefixes.rows.seek(func(r row) int { return comparePlace(r.(*prefix), p.vrf, around) }) {
			if other := r.(*prefix); other.vrf != p.vrf || other.net != around {
				break
			}
			n++
		}
	}
	return n
}

func comparePlace(p *prefix, vrf int, net netip.Prefix) int {
	return cmp.Or(cmp.Compare(p.vrf, vrf), p.net.Compare(net))
}

func (s *Server) prefixData(w *writer, p *prefix) {
	w.key("vrf", true)
	w.idOrNull(p.vrf)
	w.key("role", false)
	w.idOrNull(p.role)
	w.key("tags", false)
	w.tagNames(p.tags)
	w.raw(`,"vlan":null`)
	if s.version.since(V42) {
		w.raw(`,"scope_id":null,"scope_type":null`)
	} else {
		w.raw(`,"site":null`)
	}
	if s.version.since(V47) {
		w.raw(`,"owner":null`)
	}
	w.key("prefix", false)
	w.text(p.String())
	w.key("status", false)
	w.text(p.status)
	w.key("tenant", false)
	w.idOrNull(p.tenant)
	w.key("is_pool", false)
	w.bool(p.pool)
	w.key("comments", false)
	w.text(p.comments)
	w.key("description", false)
	w.text(p.description)
	w.changeTail(s.prefixes, &p.meta)
	w.key("mark_utilized", false)
	w.bool(p.utilized)
	w.raw(`}`)
}

func (s *Server) decodePrefix(d *decoder, p *prefix) {
	if net, ok := d.network("prefix"); ok {
		p.net = net
	}
	d.related("vrf", &p.vrf, s.vrfs)
	d.related("tenant", &p.tenant, s.tenants)
	d.related("role", &p.role, s.roles)
	var none int
	d.related("vlan", &none, nil)
	if s.version.since(V42) {
		d.absent("scope_type", "Invalid content type: %s")
	} else {
		d.related("site", &none, nil)
	}
	if s.version.since(V47) {
		d.related("owner", &none, nil)
	}
	d.choice("status", &p.status, prefixStatuses(), false, false)
	d.bool("is_pool", &p.pool)
	d.bool("mark_utilized", &p.utilized)
	d.text("description", &p.description, textRule{max: 200})
	d.text("comments", &p.comments, textRule{})
	d.tags(&p.meta)
	d.customFields(&p.meta)
}

func (s *Server) checkPrefix(p *prefix) *object {
	masked := p.net.Masked()
	switch {
	case masked != p.net:
		suggested := prefix{net: masked}
		return newObject("prefix", texts(p.String()+" is not a valid prefix. Did you mean "+suggested.String()+"?"))
	case p.net.Bits() == 0:
		return newObject("prefix", texts("Cannot create prefix with /0 mask."))
	case !s.enforces(p.vrf):
		return nil
	}
	for r := range s.prefixes.rows.seek(func(r row) int { return comparePlace(r.(*prefix), p.vrf, p.net) }) {
		other := r.(*prefix)
		if other.vrf != p.vrf || other.net != p.net {
			break
		}
		if other.id != p.id {
			return newObject("prefix", texts("Duplicate prefix found in "+s.tableName(p.vrf)+": "+other.String()))
		}
	}
	return nil
}
