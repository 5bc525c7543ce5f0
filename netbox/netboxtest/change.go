package netboxtest

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// change is one entry of the change log. It points to the rows as they were and
// became; their data is rendered when asked for.
type change struct {
	id            int
	time          int64
	kind          *kind
	object        int
	before, after objectRow
	user          *user
	request       string
	message       string
}

func (c *change) rowID() int { return c.id }

func (c *change) action() choice {
	switch {
	case c.before == nil:
		return choice{"create", "Created"}
	case c.after == nil:
		return choice{"delete", "Deleted"}
	}
	return choice{"update", "Updated"}
}

func (c *change) repr() string {
	if c.after != nil {
		return c.kind.text(c.after)
	}
	return c.kind.text(c.before)
}

// log records a change, unless nothing but the time of it changed: NetBox skips
// empty changes by default.
func (t *tx) log(k *kind, old row, now objectRow) {
	c := &change{time: t.s.tick(), kind: k, after: now, user: t.user, request: t.request, message: t.message}
	if old != nil {
		c.before = old.(objectRow)
		c.object = old.rowID()
	}
	if now != nil {
		c.object = now.rowID()
	}
	if c.before != nil && c.after != nil && bytes.Equal(t.s.snapshot(c.before, k), t.s.snapshot(c.after, k)) {
		return
	}
	log := t.s.changes
	c.id = log.next
	log.next++
	log.put(c)
	t.undo = append(t.undo, func() { log.drop(c) })
}

func (s *Server) snapshot(r objectRow, k *kind) []byte {
	w := &writer{s: s}
	k.data(w, r)
	return w.b
}

// trim forgets the oldest entries above the limit.
func (s *Server) trim() {
	for s.changes.ids.len() > s.options.KeepChanges {
		for oldest := range s.changes.ids.all() {
			s.changes.drop(oldest)
			break
		}
	}
}

func (s *Server) newChanges() *kind {
	k := &kind{app: "core", model: "objectchange", class: "ObjectChange", verbose: "object change", path: "core/object-changes", readOnly: true}
	if !s.version.since(V42) {
		k.app, k.path = "extras", "extras/object-changes"
	}
	k.text = func(r row) string {
		c := r.(*change)
		app := c.kind.app
		if s.version.since(V42) {
			app = map[string]string{"ipam": "IPAM", "extras": "Extras", "tenancy": "Tenancy"}[app]
		}
		return app + " | " + c.kind.verbose + " " + c.repr() + " " + strings.ToLower(c.action().label) + " by " + c.user.User
	}
	k.columns = s.changeColumns(k)
	k.brief = pick(k.columns, "id", "url", "display")
	text := func(get func(*change) string) filterDef {
		return filterDef{text: func(r row) (string, bool) { return get(r.(*change)), true }}
	}
	k.filters = map[string]filterDef{
		"action":            {text: func(r row) (string, bool) { return r.(*change).action().value, true }},
		"user_name":         text(func(c *change) string { return c.user.User }),
		"request_id":        text(func(c *change) string { return c.request }),
		"object_repr":       text(func(c *change) string { return c.repr() }),
		"changed_object_id": {number: func(r row) (int, bool) { return r.(*change).object, true }},
		"changed_object_type": {texts: func(r row) []string {
			return []string{r.(*change).kind.name()}
		}},
		"time_after":  {custom: func(values []string) (*filter, []string) { return changeTime("gte", values) }},
		"time_before": {custom: func(values []string) (*filter, []string) { return changeTime("lte", values) }},
	}
	k.orders = map[string]func(a, b row) int{
		"time": func(a, b row) int { return cmp.Compare(a.(*change).time, b.(*change).time) },
	}
	// The newest first.
	return k.init(func(a, b row) int { return cmp.Compare(b.rowID(), a.rowID()) })
}

func changeTime(lookup string, values []string) (*filter, []string) {
	return timeCondition(filterDef{time: func(r row) int64 { return r.(*change).time }}, lookup, values[len(values)-1:])
}

func (s *Server) changeColumns(k *kind) []column {
	display := identity(s.version, k)
	for i, c := range display {
		if c.name == "display_url" {
			// The page of a change is called otherwise than its API list.
			display[i].write = func(w *writer, r row) {
				w.b = append(w.b, '"')
				w.raw(w.base + "/core/changelog/")
				w.int(r.rowID())
				w.raw(`/"`)
			}
		}
	}
	columns := slices.Concat(display, []column{
		{name: "time", write: func(w *writer, r row) { w.time(r.(*change).time) }},
		{name: "user", write: func(w *writer, r row) { w.user(r.(*change).user) }},
		{name: "user_name", write: func(w *writer, r row) { w.text(r.(*change).user.User) }},
		{name: "request_id", write: func(w *writer, r row) { w.text(r.(*change).request) }},
		{name: "action", write: func(w *writer, r row) { w.choice(r.(*change).action()) }},
		{name: "changed_object_type", write: func(w *writer, r row) { w.text(r.(*change).kind.name()) }},
		{name: "changed_object_id", write: func(w *writer, r row) { w.int(r.(*change).object) }},
		{name: "changed_object", write: func(w *writer, r row) {
			c := r.(*change)
			now, ok := c.kind.get(c.object)
			if !ok {
				w.null()
				return
			}
			w.object(c.kind.changed, now)
		}},
		{name: "object_repr", write: func(w *writer, r row) { w.text(r.(*change).repr()) }},
		{name: "message", write: func(w *writer, r row) { w.text(r.(*change).message) }},
		{name: "prechange_data", write: func(w *writer, r row) { w.snapshot(r.(*change).kind, r.(*change).before) }},
		{name: "postchange_data", write: func(w *writer, r row) { w.snapshot(r.(*change).kind, r.(*change).after) }},
	})
	if !s.version.since(V47) {
		columns = drop(columns, "object_repr", "message")
	}
	return columns
}

// snapshot writes a row's change log data; for none 4.x has {}, 3.7 null.
func (w *writer) snapshot(k *kind, r objectRow) {
	switch {
	case r != nil:
		k.data(w, r)
	case w.s.version.since(V42):
		w.raw("{}")
	default:
		w.null()
	}
}

func (w *writer) user(u *user) {
	w.raw(`{"id":`)
	w.int(u.id)
	w.raw(`,"url":"` + w.base + `/api/users/users/`)
	w.int(u.id)
	w.raw(`/","display":`)
	w.text(u.User)
	w.raw(`,"username":`)
	w.text(u.User)
	w.raw(`}`)
}
