package netboxtest

import (
	"cmp"
	"slices"
)

// role is a row of /api/ipam/roles/: the function of a prefix. (The role of an
// address is one of a fixed list of words.)
type role struct {
	meta
	name, slug, description, comments string
	weight                            int
}

func (r *role) clone() objectRow { c := *r; return &c }

func (s *Server) newRoles() *kind {
	k := &kind{app: "ipam", model: "role", class: "Role", verbose: "role", path: "ipam/roles", customizable: true, taggable: true}
	k.text = func(r row) string { return r.(*role).name }
	k.blank = func() objectRow { return &role{weight: 1000} }
	zero := func(name string) column {
		return column{name: name, counted: true, write: func(w *writer, _ row) { w.int(0) }}
	}
	k.columns = slices.Concat(identity(s.version, k), []column{
		{name: "name", write: func(w *writer, r row) { w.text(r.(*role).name) }},
		{name: "slug", write: func(w *writer, r row) { w.text(r.(*role).slug) }},
		{name: "weight", write: func(w *writer, r row) { w.int(r.(*role).weight) }},
		{name: "description", write: func(w *writer, r row) { w.text(r.(*role).description) }},
		constant("owner", "null"),
		{name: "comments", write: func(w *writer, r row) { w.text(r.(*role).comments) }},
		s.tagColumn(),
		s.customColumn(k),
	}, times(), []column{
		s.countColumn("prefix_count", k, func() *kind { return s.prefixes }),
		zero("vlan_count"), zero("asn_count"),
	})
	if !s.version.since(V47) {
		k.columns = drop(k.columns, "owner", "comments", "asn_count")
	}
	k.brief = pick(k.columns, "id", "url", "display", "name", "slug", "description", "prefix_count", "vlan_count", "asn_count")
	if !s.version.since(V42) {
		k.brief = drop(k.brief, "description")
	}
	k.decode = func(d *decoder, r objectRow) {
		o := r.(*role)
		d.named(&o.name, &o.slug, k, func(r row) (string, string) { return r.(*role).name, r.(*role).slug })
		d.int("weight", &o.weight, 32767)
		d.text("description", &o.description, textRule{max: 200})
		if s.version.since(V47) {
			d.text("comments", &o.comments, textRule{})
		}
		d.tags(&o.meta)
		d.customFields(&o.meta)
	}
	k.check = func(objectRow) *object { return nil }
	k.data = func(w *writer, r objectRow) {
		w.object(pick(k.columns, "name", "slug", "weight", "description", "owner", "comments"), r)
		w.b = w.b[:len(w.b)-1]
		w.key("tags", false)
		w.tagNames(r.base().tags)
		w.changeTail(k, r.base())
		w.raw(`}`)
	}
	k.filters = namedFilters(func(r row) (string, string, string) { o := r.(*role); return o.name, o.slug, o.description })
	k.filters["weight"] = filterDef{number: func(r row) (int, bool) { return r.(*role).weight, true }}
	s.tagFilters(k.filters)
	k.attribute = namedAttributes(func(r row) (string, string) { return r.(*role).name, r.(*role).slug })
	k.watch = func(r row, by int) { s.count(by, k, r) }
	k.onDelete = func(t *tx, r row) { t.unassignRole(r.rowID()) }
	return k.init(func(a, b row) int {
		x, y := a.(*role), b.(*role)
		return cmp.Or(cmp.Compare(x.weight, y.weight), natural(x.name, y.name), cmp.Compare(x.id, y.id))
	})
}

// unassignRole clears a deleted role from the prefixes that have it.
func (t *tx) unassignRole(id int) {
	for _, u := range t.s.referrers(use{t.s.roles, id, t.s.prefixes}) {
		now := u.r.(*prefix).clone()
		now.(*prefix).role = 0
		t.save(t.s.prefixes, u.r, now)
	}
}
