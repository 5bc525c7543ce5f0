package netboxtest

import (
	"cmp"
	"slices"
)

// row is one stored object. Rows are never changed once stored: an update
// stores a copy, so that the change log and a rollback can keep the old one.
type row interface {
	rowID() int
}

// object rows (everything but change log entries) carry meta.
type objectRow interface {
	row
	base() *meta
	clone() objectRow
}

// meta is what every object has. Times are microseconds since 1970.
type meta struct {
	id               int
	created, updated int64
	tags             []int
	custom           []customValue
}

// customValue is one custom field's value as JSON. NetBox reads an absent value
// and null alike everywhere but in the change log, which has no key for a field
// that the row was never given.
type customValue struct {
	field int
	json  string
}

func (m *meta) rowID() int  { return m.id }
func (m *meta) base() *meta { return m }

// value gives the JSON of a custom field's value, "" for none.
func (m *meta) value(field int) string {
	if json := m.stored(field); json != "null" {
		return json
	}
	return ""
}

// stored gives what the row has for a custom field: "null" if it was given that.
func (m *meta) stored(field int) string {
	for i := range m.custom {
		if m.custom[i].field == field {
			return m.custom[i].json
		}
	}
	return ""
}

// column is one member of an object's rendered form.
type column struct {
	name  string
	write func(w *writer, r row)
	// counted columns come from a list's database query. Before 4.7 the answer
	// to a create lacks them, and nested objects always do.
	counted bool
}

// kind is one object type: its names, its rows and how they are read, checked
// and written.
type kind struct {
	app, model, class, verbose string
	path                       string // "ipam/ip-addresses", the same in API and UI URLs
	readOnly                   bool

	columns, brief []column
	// nested is how other objects show a row, changed how the change log does.
	nested, changed []column

	blank  func() objectRow
	decode func(d *decoder, r objectRow)
	// check is NetBox's model validation: what depends on other fields and rows.
	check func(r objectRow) *object
	text  func(r row) string // the object's name in messages and "display"
	// data is the change log's form of a row.
	data func(w *writer, r objectRow)

	filters map[string]filterDef
	orders  map[string]func(a, b row) int
	// protected lists rows that forbid deleting r; onDelete unlinks others.
	protected func(r row) []protector
	onDelete  func(t *tx, r row)
	// refers lists what a row points to; watch is told of every row that comes
	// (1) or goes (-1).
	refers func(r row) []use
	watch  func(r row, by int)
	// attribute reads a named attribute for look-ups by {"name": …}.
	attribute func(r row, name string) (value any, known bool)

	customizable, taggable bool
	fields                 []*customField // the custom fields of this type, in their order
	nulls                  []customValue  // null for each of them, shared by the rows that have no values

	rows *ordered[row] // NetBox's default order
	also *ordered[row] // another order kept up, if any
	ids  *ordered[row]
	next int
}

type protector struct {
	k *kind
	r row
}

func (k *kind) init(order func(a, b row) int) *kind {
	k.rows = newOrdered(order)
	k.ids = newOrdered(func(a, b row) int { return cmp.Compare(a.rowID(), b.rowID()) })
	k.next = 1
	k.changed = slices.DeleteFunc(slices.Clone(k.brief), func(c column) bool { return c.counted })
	if k.nested == nil {
		k.nested = k.changed
	}
	return k
}

// name is NetBox's "app.model".
func (k *kind) name() string { return k.app + "." + k.model }

func (k *kind) get(id int) (row, bool) {
	return k.ids.lookup(func(r row) int { return cmp.Compare(r.rowID(), id) })
}

func (k *kind) put(r row) {
	if k.watch != nil {
		k.watch(r, 1)
	}
	k.rows.insert(r)
	if k.also != nil {
		k.also.insert(r)
	}
	k.ids.insert(r)
}

func (k *kind) drop(r row) {
	if k.watch != nil {
		k.watch(r, -1)
	}
	k.rows.remove(r)
	if k.also != nil {
		k.also.remove(r)
	}
	k.ids.remove(r)
}

// identity gives the columns every object starts with. display_url exists since
// 4.1.
func identity(v Version, k *kind) []column {
	columns := []column{
		{name: "id", write: func(w *writer, r row) { w.int(r.rowID()) }},
		{name: "url", write: func(w *writer, r row) { w.url("/api/", k, r.rowID()) }},
		{name: "display_url", write: func(w *writer, r row) { w.url("/", k, r.rowID()) }},
		{name: "display", write: func(w *writer, r row) { w.text(k.text(r)) }},
	}
	if !v.since(V42) {
		columns = append(columns[:2], columns[3])
	}
	return columns
}

func (w *writer) url(root string, k *kind, id int) {
	w.b = append(w.b, '"')
	w.raw(w.base)
	w.raw(root)
	w.raw(k.path)
	w.b = append(w.b, '/')
	w.int(id)
	w.raw(`/"`)
}

// times gives the two last columns of most objects.
func times() []column {
	return []column{
		{name: "created", write: func(w *writer, r row) { w.time(r.(objectRow).base().created) }},
		{name: "last_updated", write: func(w *writer, r row) { w.time(r.(objectRow).base().updated) }},
	}
}

// object writes a row's columns.
func (w *writer) object(columns []column, r row) {
	if len(columns) == 0 {
		w.raw("{}")
		return
	}
	for i, c := range columns {
		if i == 0 {
			w.b = append(w.b, '{', '"')
		} else {
			w.b = append(w.b, ',', '"')
		}
		w.b = append(w.b, c.name...) // needs no escape
		w.b = append(w.b, '"', ':')
		c.write(w, r)
	}
	w.b = append(w.b, '}')
}

// related writes a referenced row in its nested form, null for ID 0.
func (w *writer) related(k *kind, id int, columns []column) {
	if id == 0 {
		w.null()
		return
	}
	key := nestedKey{k, id}
	if b, ok := w.nested[key]; ok {
		w.b = append(w.b, b...)
		return
	}
	r, ok := k.get(id)
	if !ok {
		w.null()
		return
	}
	start := len(w.b)
	w.object(columns, r)
	if w.nested == nil {
		w.nested = make(map[nestedKey][]byte)
	}
	if len(w.nested) < 256 {
		w.nested[key] = append([]byte(nil), w.b[start:]...)
	}
}

// pick gives the named columns, in the order of columns.
func pick(columns []column, names ...string) []column {
	var picked []column
	for _, c := range columns {
		for _, n := range names {
			if c.name == n {
				picked = append(picked, c)
				break
			}
		}
	}
	return picked
}

func constant(name, json string) column {
	return column{name: name, write: func(w *writer, _ row) { w.raw(json) }}
}

// choice is one of the values a field allows.
type choice struct{ value, label string }

func choiceOf(choices []choice, value string) (choice, bool) {
	for _, c := range choices {
		if c.value == value {
			return c, true
		}
	}
	return choice{}, false
}

// attributes makes a kind's attribute reader from getters by name.
func attributes(get map[string]func(row) any) func(row, string) (any, bool) {
	return func(r row, name string) (any, bool) {
		if name == "id" || name == "pk" {
			return int64(r.rowID()), true
		}
		g, ok := get[name]
		if !ok {
			return nil, false
		}
		return g(r), true
	}
}
