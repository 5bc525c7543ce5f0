package netboxtest

import (
	"cmp"
	"slices"
	"strings"
)

// tag is a row of /api/extras/tags/.
type tag struct {
	meta
	name, slug, color, description string
	weight                         int
}

func (t *tag) clone() objectRow { c := *t; return &c }

func (s *Server) newTags() *kind {
	k := &kind{app: "extras", model: "tag", class: "Tag", verbose: "tag", path: "extras/tags"}
	k.text = func(r row) string { return r.(*tag).name }
	k.blank = func() objectRow { return &tag{color: "9e9e9e", weight: 1000} }
	k.columns = slices.Concat(identity(s.version, k), []column{
		{name: "name", write: func(w *writer, r row) { w.text(r.(*tag).name) }},
		{name: "slug", write: func(w *writer, r row) { w.text(r.(*tag).slug) }},
		{name: "color", write: func(w *writer, r row) { w.text(r.(*tag).color) }},
		{name: "description", write: func(w *writer, r row) { w.text(r.(*tag).description) }},
		{name: "weight", write: func(w *writer, r row) { w.int(r.(*tag).weight) }},
		constant("object_types", "[]"),
		{name: "tagged_items", counted: true, write: func(w *writer, r row) { w.int(s.uses[use{k, r.rowID(), nil}]) }},
	}, times())
	if !s.version.since(V47) {
		k.columns = drop(k.columns, "weight")
	}
	k.brief = pick(k.columns, "id", "url", "display", "name", "slug", "color", "description")
	k.nested = pick(k.columns, "id", "url", "display_url", "display", "name", "slug", "color")
	if !s.version.since(V42) {
		k.brief = k.nested
	}
	k.decode = func(d *decoder, r objectRow) {
		t := r.(*tag)
		d.named(&t.name, &t.slug, k, func(r row) (string, string) { return r.(*tag).name, r.(*tag).slug })
		d.text("color", &t.color, textRule{max: 6, filled: true})
		d.text("description", &t.description, textRule{max: 200})
		if s.version.since(V47) {
			d.int("weight", &t.weight, 32767)
		}
	}
	k.check = func(objectRow) *object { return nil }
	data := pick(k.columns, "name", "slug", "color", "description", "weight", "object_types")
	if s.version.since(V47) {
		data = append(data, constant("owner", "null"))
	}
	k.data = func(w *writer, r objectRow) { w.object(data, r) }
	k.filters = namedFilters(func(r row) (string, string, string) { t := r.(*tag); return t.name, t.slug, t.description })
	k.attribute = namedAttributes(func(r row) (string, string) { return r.(*tag).name, r.(*tag).slug })
	k.onDelete = func(t *tx, r row) {
		for _, other := range s.kinds {
			if other.taggable {
				t.untag(other, r.rowID())
			}
		}
	}
	return k.init(func(a, b row) int {
		x, y := a.(*tag), b.(*tag)
		return cmp.Or(cmp.Compare(x.weight, y.weight), natural(x.name, y.name), cmp.Compare(x.id, y.id))
	})
}

// untag takes a deleted tag off the rows that have it.
func (t *tx) untag(k *kind, id int) {
	t.rewrite(k, func(r objectRow) bool {
		m := r.base()
		had := contains(m.tags, id)
		m.tags = slices.DeleteFunc(slices.Clone(m.tags), func(n int) bool { return n == id })
		return had
	})
}

// named reads name and slug, both unique.
func (d *decoder) named(name, slug *string, k *kind, get func(row) (name, slug string)) {
	wasName, wasSlug := *name, *slug
	d.text("name", name, textRule{max: 100, must: true, filled: true})
	d.text("slug", slug, textRule{max: 100, must: true, filled: true, valid: validSlug,
		message: "Enter a valid \"slug\" consisting of letters, numbers, underscores or hyphens."})
	for r := range k.rows.all() {
		n, s := get(r)
		if *name != wasName && n == *name {
			d.fail("name", k.verbose+" with this name already exists.")
		}
		if *slug != wasSlug && s == *slug {
			d.fail("slug", k.verbose+" with this slug already exists.")
		}
	}
}

func validSlug(s string) bool { return onlyWord(strings.ReplaceAll(s, "-", "")) }

func namedFilters(get func(row) (name, slug, description string)) map[string]filterDef {
	return map[string]filterDef{
		"name":        {text: func(r row) (string, bool) { n, _, _ := get(r); return n, true }},
		"slug":        {text: func(r row) (string, bool) { _, s, _ := get(r); return s, true }},
		"description": {text: func(r row) (string, bool) { _, _, d := get(r); return d, true }},
		"q": {custom: func(values []string) (*filter, []string) {
			want := strings.ToLower(values[len(values)-1])
			return &filter{match: func(r row) bool {
				n, s, d := get(r)
				return strings.Contains(strings.ToLower(n+"\x00"+s+"\x00"+d), want)
			}}, nil
		}},
	}
}

func namedAttributes(get func(row) (name, slug string)) func(row, string) (any, bool) {
	return attributes(map[string]func(row) any{
		"name": func(r row) any { n, _ := get(r); return n },
		"slug": func(r row) any { _, s := get(r); return s },
	})
}

// tagColumn renders the tags of a row, by weight and name.
func (s *Server) tagColumn() column {
	return column{name: "tags", write: func(w *writer, r row) {
		ids := r.(objectRow).base().tags
		if len(ids) > 1 {
			ids = s.sortedTags(ids)
		}
		w.b = append(w.b, '[')
		for i, id := range ids {
			if i > 0 {
				w.b = append(w.b, ',')
			}
			w.related(s.tags, id, s.tags.nested)
		}
		w.b = append(w.b, ']')
	}}
}

func (s *Server) sortedTags(ids []int) []int {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, func(a, b int) int {
		x, _ := s.tags.get(a)
		y, _ := s.tags.get(b)
		return s.tags.rows.cmp(x, y)
	})
	return ids
}

// tagNames writes the tags as the change log has them: by name.
func (w *writer) tagNames(ids []int) {
	names := []string{}
	for _, id := range ids {
		if r, ok := w.s.tags.get(id); ok {
			names = append(names, r.(*tag).name)
		}
	}
	slices.Sort(names)
	w.value(texts(names...))
}

// tagFilters adds tag and tag_id: repeated, they want every one of the tags.
func (s *Server) tagFilters(defs map[string]filterDef) {
	ids := func(r row) []int { return r.(objectRow).base().tags }
	defs["tag"] = filterDef{kind: s.tags, ids: ids, every: true, by: func(r row) string { return r.(*tag).slug }}
	defs["tag_id"] = filterDef{kind: s.tags, ids: ids, every: true}
}

// natural compares names as NetBox's collation does: numbers by their value,
// letters without case.
func natural(a, b string) int {
	x, y := strings.ToLower(a), strings.ToLower(b)
	for x != "" && y != "" {
		if isDigit(x[0]) && isDigit(y[0]) {
			i, j := digitRun(x), digitRun(y)
			m, n := strings.TrimLeft(x[:i], "0"), strings.TrimLeft(y[:j], "0")
			if c := cmp.Or(cmp.Compare(len(m), len(n)), strings.Compare(m, n)); c != 0 {
				return c
			}
			x, y = x[i:], y[j:]
			continue
		}
		if x[0] != y[0] {
			return cmp.Compare(x[0], y[0])
		}
		x, y = x[1:], y[1:]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(a, b))
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func digitRun(s string) int {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return i
}
