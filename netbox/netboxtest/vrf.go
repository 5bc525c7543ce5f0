package netboxtest

import (
	"cmp"
	"slices"
)

// vrf is a row of /api/ipam/vrfs/. Names are not unique, route distinguishers
// are.
type vrf struct {
	meta
	name, rd, description, comments string
	enforce                         bool
	tenant                          int
}

func (v *vrf) clone() objectRow { c := *v; return &c }

func (s *Server) newVRFs() *kind {
	k := &kind{app: "ipam", model: "vrf", class: "VRF", verbose: "VRF", path: "ipam/vrfs", customizable: true, taggable: true}
	k.text = func(r row) string {
		v := r.(*vrf)
		if v.rd != "" {
			return v.name + " (" + v.rd + ")"
		}
		return v.name
	}
	k.blank = func() objectRow { return &vrf{enforce: true} }
	k.columns = s.vrfColumns(k)
	k.brief = pick(k.columns, "id", "url", "display", "name", "rd", "description", "prefix_count")
	if !s.version.since(V42) {
		k.brief = drop(k.brief, "description")
	}
	k.decode = func(d *decoder, r objectRow) { s.decodeVRF(d, r.(*vrf)) }
	k.check = func(objectRow) *object { return nil }
	k.data = func(w *writer, r objectRow) {
		v := r.(*vrf)
		w.object(pick(k.columns, "name", "rd", "enforce_unique", "description", "owner", "comments", "import_targets", "export_targets"), r)
		w.b = w.b[:len(w.b)-1]
		w.key("tenant", false)
		w.idOrNull(v.tenant)
		w.key("tags", false)
		w.tagNames(v.tags)
		w.changeTail(k, &v.meta)
		w.raw(`}`)
	}
	k.filters = map[string]filterDef{
		"name":           {text: func(r row) (string, bool) { return r.(*vrf).name, true }},
		"rd":             {text: func(r row) (string, bool) { return r.(*vrf).rd, r.(*vrf).rd != "" }},
		"description":    {text: func(r row) (string, bool) { return r.(*vrf).description, true }},
		"enforce_unique": {flag: func(r row) bool { return r.(*vrf).enforce }},
		"tenant_id":      {kind: s.tenants, ids: func(r row) []int { return some(r.(*vrf).tenant) }},
		"tenant":         {kind: s.tenants, ids: func(r row) []int { return some(r.(*vrf).tenant) }, by: func(r row) string { return r.(*tenant).slug }},
	}
	s.tagFilters(k.filters)
	k.attribute = attributes(map[string]func(row) any{
		"name": func(r row) any { return r.(*vrf).name },
		"rd": func(r row) any {
			if rd := r.(*vrf).rd; rd != "" {
				return rd
			}
			return nil
		},
		"description":    func(r row) any { return r.(*vrf).description },
		"enforce_unique": func(r row) any { return r.(*vrf).enforce },
	})
	k.refers = func(r row) []use { return []use{{s.tenants, r.(*vrf).tenant, k}} }
	k.watch = func(r row, by int) { s.count(by, k, r, k.refers(r)...) }
	k.protected = func(r row) []protector {
		return s.referrers(use{k, r.rowID(), s.ips}, use{k, r.rowID(), s.prefixes})
	}
	return k.init(func(a, b row) int {
		x, y := a.(*vrf), b.(*vrf)
		return cmp.Or(natural(x.name, y.name), nullsLast(x.rd, y.rd), cmp.Compare(x.id, y.id))
	})
}

func nullsLast(a, b string) int {
	if a == "" || b == "" {
		return cmp.Compare(b, a)
	}
	return cmp.Compare(a, b)
}

func (s *Server) vrfColumns(k *kind) []column {
	columns := slices.Concat(identity(s.version, k), []column{
		{name: "name", write: func(w *writer, r row) { w.text(r.(*vrf).name) }},
		{name: "rd", write: func(w *writer, r row) { w.textOrNull(r.(*vrf).rd) }},
		{name: "tenant", write: func(w *writer, r row) { w.related(s.tenants, r.(*vrf).tenant, s.tenants.nested) }},
		{name: "enforce_unique", write: func(w *writer, r row) { w.bool(r.(*vrf).enforce) }},
		{name: "description", write: func(w *writer, r row) { w.text(r.(*vrf).description) }},
		constant("owner", "null"),
		{name: "comments", write: func(w *writer, r row) { w.text(r.(*vrf).comments) }},
		constant("import_targets", "[]"),
		constant("export_targets", "[]"),
		s.tagColumn(),
		s.customColumn(k),
	}, times(), []column{
		s.countColumn("ipaddress_count", k, func() *kind { return s.ips }),
		s.countColumn("prefix_count", k, func() *kind { return s.prefixes }),
	})
	if !s.version.since(V47) {
		columns = drop(columns, "owner")
	}
	return columns
}

func (s *Server) decodeVRF(d *decoder, v *vrf) {
	d.text("name", &v.name, textRule{max: 100, must: true, filled: true})
	before := v.rd
	d.text("rd", &v.rd, textRule{max: 21, null: true})
	if v.rd != "" && v.rd != before {
		for r := range s.vrfs.rows.all() {
			if r.(*vrf).rd == v.rd {
				d.fail("rd", "VRF with this route distinguisher already exists.")
			}
		}
	}
	d.related("tenant", &v.tenant, s.tenants)
	d.bool("enforce_unique", &v.enforce)
	d.text("description", &v.description, textRule{max: 200})
	d.text("comments", &v.comments, textRule{})
	d.tags(&v.meta)
	d.customFields(&v.meta)
}

// use is a reference counted: how many rows of kind by point to the row id of
// kind to. Without by it counts those of all kinds (tags).
type use struct {
	to *kind
	id int
	by *kind
}

// count adds by (1 or -1) to what a row refers to, its tags included.
func (s *Server) count(by int, k *kind, r row, uses ...use) {
	for _, u := range uses {
		if u.id != 0 {
			s.uses[u] += by
		}
	}
	if !k.taggable {
		return
	}
	for _, id := range r.(objectRow).base().tags {
		s.uses[use{s.tags, id, nil}] += by
	}
}

func (s *Server) countColumn(name string, k *kind, by func() *kind) column {
	return column{name: name, counted: true, write: func(w *writer, r row) { w.int(s.uses[use{k, r.rowID(), by()}]) }}
}

// referrers lists the rows behind the counts.
func (s *Server) referrers(uses ...use) []protector {
	var found []protector
	for _, u := range uses {
		if s.uses[u] == 0 {
			continue
		}
		for r := range u.by.rows.all() {
			if slices.Contains(u.by.refers(r), u) {
				found = append(found, protector{u.by, r})
			}
		}
	}
	return found
}
