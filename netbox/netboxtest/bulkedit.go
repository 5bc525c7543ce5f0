package netboxtest

import (
	"fmt"
	"net/http"
	"slices"
)

// entries reads the IDs of a bulk update or delete. The answer, if any, refuses
// the whole request.
func (s *Server) entries(q *request) ([]int, []any, *response) {
	list, ok := q.body.([]any)
	if !ok {
		return nil, nil, s.noList(q)
	}
	ids := make([]int, len(list))
	aligned := make([]any, len(list))
	var failed batch
	for i, item := range list {
		id, errs := entryID(s.version, item)
		ids[i], aligned[i] = id, newObject()
		if errs != nil {
			aligned[i] = errs
			failed.add("index", i, errs)
		}
	}
	switch {
	case failed.errors == nil:
		return ids, list, nil
	case s.version.since(V47):
		return nil, nil, failed.answer(len(list), "%d of %d objects failed validation.")
	}
	return nil, nil, valueAnswer(http.StatusBadRequest, aligned)
}

func (s *Server) noList(q *request) *response {
	if !s.version.since(V47) {
		name := typeName(q.body)
		if !q.hasBody {
			name = "dict"
		}
		return valueAnswer(http.StatusBadRequest, newObject("non_field_errors", texts(`Expected a list of items but got type "`+name+`".`)))
	}
	if o, ok := q.body.(*object); q.body == nil || q.body == "" || ok && len(o.keys) == 0 {
		return detail(http.StatusBadRequest, "Expected a list of objects, but no data was submitted.")
	}
	return detail(http.StatusBadRequest, "Expected a list of objects, but got "+typeName(q.body)+".")
}

func entryID(v Version, item any) (int, *object) {
	o, ok := item.(*object)
	if !ok {
		return 0, newObject(v.nonField(), texts("Invalid data. Expected a dictionary, but got "+typeName(item)+"."))
	}
	raw, ok := o.vals["id"]
	if !ok {
		return 0, newObject("id", texts(required))
	}
	if raw == nil {
		return 0, newObject("id", texts(notNull))
	}
	id, ok := drfInt(raw)
	if !ok {
		return 0, newObject("id", texts("A valid integer is required."))
	}
	return id, nil
}

// resolve finds the rows of a bulk update or delete within the user's reach.
// Since 4.7 an ID named twice or not found refuses the request; before, what was
// not found was skipped without a word.
func (s *Server) resolve(q *request, k *kind, ids []int) ([]row, *response) {
	v47 := s.version.since(V47)
	if v47 {
		if refused := repeated(ids); refused != nil {
			return nil, refused
		}
	}
	var rows []row
	var failed batch
	seen := make(map[int]bool, len(ids))
	for _, id := range ids {
		if seen[id] {
			continue
		}
		seen[id] = true
		r, ok := k.get(id)
		if ok && s.reaches(q.user, action(q.Method), k, r) {
			rows = append(rows, r)
			continue
		}
		failed.add("id", id, newObject("id", texts(fmt.Sprintf("Object with ID %d does not exist", id))))
	}
	if v47 && failed.errors != nil {
		return nil, failed.answer(len(ids), "%d of %d objects could not be found.")
	}
	// They are written and answered in the list's order, not the request's.
	slices.SortFunc(rows, k.rows.cmp)
	return rows, nil
}

func repeated(ids []int) *response {
	count := map[int]int{}
	for _, id := range ids {
		count[id]++
	}
	var failed batch
	for _, id := range ids {
		if n := count[id]; n > 1 {
			failed.add("id", id, newObject("id", texts(fmt.Sprintf("Each object may be specified only once; ID %d is listed %d times", id, n))))
			count[id] = 0
		}
	}
	if failed.errors == nil {
		return nil
	}
	return failed.answer(len(ids), "%d of %d objects are listed more than once.")
}

// bulkUpdate answers PATCH (and PUT) of a list.
func (s *Server) bulkUpdate(q *request, k *kind) *response {
	ids, items, refused := s.entries(q)
	if refused != nil {
		return refused
	}
	rows, refused := s.resolve(q, k, ids)
	if refused != nil {
		return refused
	}
	bodies := make(map[int]any, len(items))
	for i, item := range items {
		o := item.(*object)
		// Before 4.7 the attributes were looked up by the ID as written: one
		// given as text found nothing.
		if _, exact := o.vals["id"].(int64); exact || s.version.since(V47) {
			bodies[ids[i]] = o.without("id")
		}
	}
	partial := q.Method == http.MethodPatch
	t := s.begin(q)
	var failed batch
	updated := make([]row, 0, len(rows))
	for _, r := range rows {
		d := s.prepare(q.user, k, r, bodies[r.rowID()], partial, false)
		if answer := s.refusal(d); answer != nil {
			// Before 4.7 the first error is the whole answer, and does not say
			// which object it belongs to.
			if d.errs == nil || !s.version.since(V47) {
				t.rollback()
				return answer
			}
			failed.add("id", r.rowID(), d.errs)
			continue
		}
		if !t.store(k, d) {
			if !s.version.since(V47) {
				t.rollback()
				return detail(http.StatusForbidden, noPermission)
			}
			failed.deny("id", r.rowID())
			continue
		}
		updated = append(updated, d.now)
	}
	if failed.errors != nil {
		t.rollback()
		return failed.answer(len(rows), "%d of %d objects could not be updated.")
	}
	s.trim()
	slices.SortFunc(updated, k.rows.cmp)
	return s.rowList(q, http.StatusOK, updated, s.columns(q, k))
}

// bulkDelete answers DELETE of a list.
func (s *Server) bulkDelete(q *request, k *kind) *response {
	ids, items, refused := s.entries(q)
	if refused != nil {
		return refused
	}
	rows, refused := s.resolve(q, k, ids)
	if refused != nil {
		return refused
	}
	messages := map[int]string{}
	if s.version.since(V47) {
		for i, item := range items {
			messages[ids[i]], _ = item.(*object).vals["changelog_message"].(string)
		}
	}
	t := s.begin(q)
	var failed batch
	for _, r := range rows {
		if users := s.usersOf(k, r); len(users) > 0 {
			if !s.version.since(V47) {
				t.rollback()
				return s.delete(q, k, r.(objectRow)) // names the dependent objects
			}
			failed.add("id", r.rowID(), newObject("__all__", texts(fmt.Sprintf("Unable to delete: %d dependent object(s) prevent deletion.", len(users)))))
			continue
		}
		if refused := s.readOnlyNow(); refused != nil {
			t.rollback()
			return refused
		}
		t.message = messages[r.rowID()]
		now, _ := k.get(r.rowID()) // an earlier delete may have unlinked it
		t.remove(k, now)
	}
	if failed.errors != nil {
		t.rollback()
		answer := failed.answer(len(rows), "%d of %d objects could not be deleted.")
		answer.status = http.StatusConflict
		return answer
	}
	s.trim()
	return &response{status: http.StatusNoContent, rows: len(rows)}
}
