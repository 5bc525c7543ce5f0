package netboxtest

import "slices"

// tx is one request's changes. It holds the server's lock; rollback undoes all
// of it but the IDs taken, which PostgreSQL does not give back either.
type tx struct {
	s       *Server
	user    *user
	request string
	message string // changelog_message of the row being written
	undo    []func()
}

// save stores a checked row: a new one when old is nil.
func (t *tx) save(k *kind, old row, r objectRow) {
	m := r.base()
	now := t.s.tick()
	m.updated = now
	if old == nil {
		m.id, m.created = k.next, now
		k.next++
		k.put(r)
		t.undo = append(t.undo, func() { k.drop(r) })
	} else {
		k.drop(old)
		k.put(r)
		t.undo = append(t.undo, func() { k.drop(r); k.put(old) })
	}
	t.log(k, old, r)
	if k == t.s.fields {
		t.refresh(old, r)
	}
}

func (t *tx) remove(k *kind, r row) {
	if k.onDelete != nil {
		k.onDelete(t, r)
	}
	k.drop(r)
	t.undo = append(t.undo, func() { k.put(r) })
	t.log(k, r, nil)
	if k == t.s.fields {
		t.refresh(r, nil)
	}
}

func (t *tx) rollback() {
	for _, undo := range slices.Backward(t.undo) {
		undo()
	}
	t.undo = nil
	t.s.assignFields()
}

// refresh gives every object type its custom fields anew, takes the values of a
// field out of the rows it no longer applies to, and its default into those it
// now applies to.
func (t *tx) refresh(old row, now objectRow) {
	t.s.assignFields()
	before, _ := old.(*customField)
	after, _ := now.(*customField)
	applies := func(f *customField, k *kind) bool { return f != nil && slices.Contains(f.types, k.name()) }
	for _, k := range t.s.kinds {
		switch had, has := applies(before, k), applies(after, k); {
		case had && !has:
			t.rewrite(k, func(r objectRow) bool {
				m := r.base()
				held := m.stored(before.id) != ""
				m.custom = slices.DeleteFunc(slices.Clone(m.custom), func(c customValue) bool { return c.field == before.id })
				return held
			})
		case has && !had && after.fallback != nil:
			t.rewrite(k, func(r objectRow) bool {
				t.s.setCustom(r.base(), after, after.fallback)
				return true
			})
		}
	}
}

// rewrite changes rows as the database alone would: no new time, no change log.
// edit says whether it changed the copy that it is given.
func (t *tx) rewrite(k *kind, edit func(objectRow) bool) {
	for _, r := range slices.Collect(k.ids.all()) {
		now := r.(objectRow).clone()
		if !edit(now) {
			continue
		}
		k.drop(r)
		k.put(now)
		t.undo = append(t.undo, func() { k.drop(now); k.put(r) })
	}
}

// assignFields recomputes which custom fields each object type has.
func (s *Server) assignFields() {
	for _, k := range s.kinds {
		if !k.customizable {
			continue
		}
		k.fields, k.nulls = nil, nil
		for r := range s.fields.rows.all() {
			if f := r.(*customField); slices.Contains(f.types, k.name()) {
				k.fields = append(k.fields, f)
				k.nulls = append(k.nulls, customValue{f.id, "null"})
			}
		}
	}
}
