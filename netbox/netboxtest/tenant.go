package netboxtest

import (
	"cmp"
	"slices"
)

// tenant is a row of /api/tenancy/tenants/. Tenant groups are not held.
type tenant struct {
	meta
	name, slug, description, comments string
}

func (t *tenant) clone() objectRow { c := *t; return &c }

func (s *Server) newTenants() *kind {
	k := &kind{app: "tenancy", model: "tenant", class: "Tenant", verbose: "tenant", path: "tenancy/tenants", customizable: true, taggable: true}
	k.text = func(r row) string { return r.(*tenant).name }
	k.blank = func() objectRow { return &tenant{} }
	zero := func(name string) column {
		return column{name: name, counted: true, write: func(w *writer, _ row) { w.int(0) }}
	}
	k.columns = slices.Concat(identity(s.version, k), []column{
		{name: "name", write: func(w *writer, r row) { w.text(r.(*tenant).name) }},
		{name: "slug", write: func(w *writer, r row) { w.text(r.(*tenant).slug) }},
		constant("group", "null"),
		{name: "description", write: func(w *writer, r row) { w.text(r.(*tenant).description) }},
		constant("owner", "null"),
		{name: "comments", write: func(w *writer, r row) { w.text(r.(*tenant).comments) }},
		s.tagColumn(),
		s.customColumn(k),
	}, times(), []column{
		zero("circuit_count"), zero("device_count"),
		s.countColumn("ipaddress_count", k, func() *kind { return s.ips }),
		s.countColumn("prefix_count", k, func() *kind { return s.prefixes }),
		zero("rack_count"), zero("site_count"), zero("virtualmachine_count"), zero("vlan_count"),
		s.countColumn("vrf_count", k, func() *kind { return s.vrfs }),
		zero("cluster_count"),
	})
	if !s.version.since(V47) {
		k.columns = drop(k.columns, "owner")
	}
	k.brief = pick(k.columns, "id", "url", "display", "name", "slug", "description")
	if !s.version.since(V42) {
		k.brief = drop(k.brief, "description")
	}
	k.decode = func(d *decoder, r objectRow) {
		t := r.(*tenant)
		d.text("name", &t.name, textRule{max: 100, must: true, filled: true})
		d.text("slug", &t.slug, textRule{max: 100, must: true, filled: true, valid: validSlug,
			message: "Enter a valid \"slug\" consisting of letters, numbers, underscores or hyphens."})
		var none int
		d.related("group", &none, nil)
		d.text("description", &t.description, textRule{max: 200})
		d.text("comments", &t.comments, textRule{})
		d.tags(&t.meta)
		d.customFields(&t.meta)
	}
	k.check = func(r objectRow) *object { return s.checkTenant(r.(*tenant)) }
	k.data = func(w *writer, r objectRow) {
		w.object(pick(k.columns, "name", "slug", "group", "description", "owner", "comments"), r)
		w.b = w.b[:len(w.b)-1]
		w.key("tags", false)
		w.tagNames(r.base().tags)
		w.changeTail(k, r.base())
		w.raw(`}`)
	}
	k.filters = namedFilters(func(r row) (string, string, string) { t := r.(*tenant); return t.name, t.slug, t.description })
	s.tagFilters(k.filters)
	k.attribute = namedAttributes(func(r row) (string, string) { return r.(*tenant).name, r.(*tenant).slug })
	k.watch = func(r row, by int) { s.count(by, k, r) }
	k.protected = func(r row) []protector {
		return s.referrers(use{k, r.rowID(), s.ips}, use{k, r.rowID(), s.prefixes}, use{k, r.rowID(), s.vrfs})
	}
	return k.init(func(a, b row) int {
		return cmp.Or(natural(a.(*tenant).name, b.(*tenant).name), cmp.Compare(a.rowID(), b.rowID()))
	})
}

func (s *Server) checkTenant(t *tenant) *object {
	var errs []string
	for r := range s.tenants.rows.all() {
		other := r.(*tenant)
		if other.id == t.id {
			continue
		}
		if other.name == t.name {
			errs = append(errs, "Tenant name must be unique per group.")
		}
		if other.slug == t.slug {
			errs = append(errs, "Tenant slug must be unique per group.")
		}
	}
	if errs == nil {
		return nil
	}
	slices.Sort(errs)
	return newObject("__all__", texts(slices.Compact(errs)...))
}
