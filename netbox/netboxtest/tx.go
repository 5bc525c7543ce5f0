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
	// denied is set when a row as written is out of the user's reach.
	denied bool
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

// refresh gives every object type its custom fields anew, and takes the values
// of a field out of the rows it no longer applies to.
func (t *tx) refresh(old row, now objectRow) {
	t.s.assignFields()
	before, ok := old.(*customField)
	if !ok {
		return
	}
	for _, k := range t.s.kinds {
		if !slices.Contains(before.types, k.name()) {
			continue
		}
		if after, ok := now.(*customField); ok && slices.Contains(after.types, k.name()) {
			continue
		}
		t.strip(k, before.id)
	}
}

func (t *tx) strip(k *kind, field int) {
	var holders []objectRow
	for r := range k.ids.all() {
		if o := r.(objectRow); o.base().value(field) != "" {
			holders = append(holders, o)
		}
	}
	for _, old := range holders {
		r := old.clone()
		m := r.base()
		m.custom = slices.DeleteFunc(slices.Clone(m.custom), func(c customValue) bool { return c.field == field })
		k.drop(old)
		k.put(r)
		t.undo = append(t.undo, func() { k.drop(r); k.put(old) })
	}
}

// assignFields recomputes which custom fields each object type has.
func (s *Server) assignFields() {
	for _, k := range s.kinds {
		if !k.customizable {
			continue
		}
		k.fields = nil
		for r := range s.fields.rows.all() {
			if f := r.(*customField); slices.Contains(f.types, k.name()) {
				k.fields = append(k.fields, f)
			}
		}
	}
}
