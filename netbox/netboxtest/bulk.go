package netboxtest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// draft is one object of a write, decoded and checked.
type draft struct {
	old     row // nil for a create
	now     objectRow
	message string // changelog_message
	errs    *object
	// crash is set where NetBox itself falls over instead of answering.
	crash *response
}

// prepare reads and checks one object. Nothing is stored. single says that it is
// the whole body.
func (s *Server) prepare(u *user, k *kind, old row, body any, partial, single bool) *draft {
	d := &draft{old: old}
	o, ok := body.(*object)
	switch {
	case body == nil && (old != nil || single):
		d.errs = newObject(s.version.nonField(), texts("No data provided"))
		return d
	case !ok:
		d.errs = newObject(s.version.nonField(), texts("Invalid data. Expected a dictionary, but got "+typeName(body)+"."))
		return d
	}
	if old == nil {
		d.now = k.blank()
	} else {
		d.now = old.(objectRow).clone()
	}
	dec := &decoder{s: s, user: u, k: k, body: o, creating: old == nil, partial: partial, errs: newObject()}
	if s.formatCrashes(k, dec) {
		d.crash = s.crash("KeyError", "'data'")
		return d
	}
	k.decode(dec, d.now)
	if s.version.since(V47) {
		dec.text("changelog_message", &d.message, textRule{})
	}
	if len(dec.errs.keys) > 0 {
		d.errs = dec.errs
		return d
	}
	if slices.ContainsFunc(d.now.base().custom, func(c customValue) bool { return strings.Contains(c.json, `\u0000`) }) {
		// Nothing checks custom field values for what PostgreSQL's JSON cannot hold.
		d.crash = s.crash("DataError", `unsupported Unicode escape sequence`)
		return d
	}
	if d.errs = s.checkCustom(k, d.now.base()); d.errs == nil {
		d.errs = k.check(d.now)
	}
	return d
}

// store saves a checked draft; false when the row as written is out of the
// user's reach.
func (t *tx) store(k *kind, d *draft) bool {
	t.message = d.message
	t.save(k, d.old, d.now)
	what := "add"
	if d.old != nil {
		what = "change"
	}
	return t.s.reaches(t.user, what, k, d.now)
}

func (s *Server) begin(q *request) *tx {
	s.writes++
	return &tx{s: s, user: q.user, request: q.id}
}

// readOnlyNow answers any write to the database in maintenance mode.
func (s *Server) readOnlyNow() *response {
	if !s.maintenance {
		return nil
	}
	return s.crash("InternalError", "NetBox is currently operating in maintenance mode and is unable to perform write operations. Please try again later.")
}

// create answers POST of one object.
func (s *Server) create(q *request, k *kind) *response {
	body := q.body
	if !q.hasBody {
		body = newObject()
	}
	d := s.prepare(q.user, k, nil, body, false, true)
	if refused := s.refusal(d); refused != nil {
		return refused
	}
	t := s.begin(q)
	if !t.store(k, d) {
		t.rollback()
		return detail(http.StatusForbidden, noPermission)
	}
	s.trim()
	answer := s.one(q, k, http.StatusCreated, d.now, s.created(q, k))
	return answer.set("Location", fmt.Sprintf("%s/api/%s/%d/", q.base, k.path, d.now.rowID()))
}

// refusal turns a failed draft of a single object into its answer.
func (s *Server) refusal(d *draft) *response {
	switch {
	case d.crash != nil:
		return d.crash
	case d.errs != nil:
		return valueAnswer(http.StatusBadRequest, d.errs)
	}
	return s.readOnlyNow()
}

// created gives the columns of the answer to a create: before 4.7 without those
// that only a list's query computes.
func (s *Server) created(q *request, k *kind) []column {
	columns := s.columns(q, k)
	if s.version.since(V47) {
		return columns
	}
	return slices.DeleteFunc(slices.Clone(columns), func(c column) bool { return c.counted })
}

// manyUpdate is what a list sent to the path of one object makes NetBox fail
// with.
const manyUpdate = "Serializers with many=True do not support multiple update by default, only multiple create. " +
	"For updates it is unclear how to deal with insertions and deletions. If you need to support multiple update, " +
	"use a `ListSerializer` class and override `.update()` so you can specify the behavior exactly."

func (s *Server) update(q *request, k *kind, old objectRow) *response {
	if refused := s.stale(q, k, old); refused != nil {
		return refused
	}
	body := q.body
	if _, many := body.([]any); many {
		return s.crash("NotImplementedError", manyUpdate)
	}
	if !q.hasBody {
		body = newObject()
	}
	d := s.prepare(q.user, k, old, body, q.Method == http.MethodPatch, true)
	if refused := s.refusal(d); refused != nil {
		return refused
	}
	t := s.begin(q)
	if !t.store(k, d) {
		t.rollback()
		return detail(http.StatusForbidden, noPermission)
	}
	s.trim()
	return s.one(q, k, http.StatusOK, d.now, s.columns(q, k))
}

func (s *Server) delete(q *request, k *kind, r objectRow) *response {
	if refused := s.stale(q, k, r); refused != nil {
		return refused
	}
	if users := s.usersOf(k, r); len(users) > 0 {
		message := fmt.Sprintf("Unable to delete object. %d dependent objects were found: ", len(users))
		for i, u := range users {
			if i > 0 {
				message += ", "
			}
			message += u.k.text(u.r) + " (" + strconv.Itoa(u.r.rowID()) + ")"
		}
		return detail(http.StatusConflict, message)
	}
	if refused := s.readOnlyNow(); refused != nil {
		return refused
	}
	t := s.begin(q)
	if o, ok := q.body.(*object); ok && s.version.since(V47) {
		t.message, _ = o.vals["changelog_message"].(string)
	}
	t.remove(k, r)
	s.trim()
	return &response{status: http.StatusNoContent, rows: 1}
}

func (s *Server) usersOf(k *kind, r row) []protector {
	if k.protected == nil {
		return nil
	}
	return k.protected(r)
}

// bulkCreate answers POST of a list: all of it or nothing.
func (s *Server) bulkCreate(q *request, k *kind) *response {
	items := q.body.([]any)
	if s.version.since(V47) {
		return s.createInTurn(q, k, items)
	}
	// Before 4.7 every object was checked before the first was stored, so that
	// two of a batch could take the same address.
	drafts := make([]*draft, len(items))
	aligned := make([]any, len(items))
	bad := false
	for i, item := range items {
		d := s.prepare(q.user, k, nil, item, false, false)
		if d.crash != nil {
			return d.crash
		}
		drafts[i], aligned[i] = d, newObject()
		if d.errs != nil {
			aligned[i], bad = d.errs, true
		}
	}
	if bad {
		return valueAnswer(http.StatusBadRequest, aligned)
	}
	if len(items) > 0 {
		if refused := s.readOnlyNow(); refused != nil {
			return refused
		}
	}
	t := s.begin(q)
	allowed := true
	for _, d := range drafts {
		allowed = t.store(k, d) && allowed
	}
	if !allowed {
		t.rollback()
		return detail(http.StatusForbidden, noPermission)
	}
	return s.stored(q, k, drafts)
}

func (s *Server) stored(q *request, k *kind, drafts []*draft) *response {
	s.trim()
	rows := make([]row, len(drafts))
	for i, d := range drafts {
		rows[i] = d.now
	}
	return s.rowList(q, http.StatusCreated, rows, s.created(q, k))
}

func (s *Server) rowList(q *request, status int, rows []row, columns []column) *response {
	w := &writer{s: s, base: q.base, b: []byte{'['}}
	for i, r := range rows {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.object(columns, r)
	}
	w.b = append(w.b, ']')
	answer := jsonAnswer(status, w.b)
	answer.rows = len(rows)
	return answer
}

// batch collects the errors of a 4.7 bulk write: each named by its place in the
// request ("index") or its object ("id").
type batch struct {
	errors []any
	denied bool
}

func (b *batch) add(by string, n int, errs *object) {
	b.errors = append(b.errors, newObject(by, int64(n), "errors", errs))
}

func (b *batch) deny(by string, n int) {
	b.denied = true
	b.add(by, n, newObject("__all__", texts(noPermissionHere)))
}

func (b *batch) answer(total int, format string) *response {
	status := http.StatusBadRequest
	if b.denied {
		status = http.StatusForbidden // outranks what was wrong with other objects
	}
	return valueAnswer(status, newObject("detail", fmt.Sprintf(format, len(b.errors), total), "errors", b.errors))
}

func (s *Server) createInTurn(q *request, k *kind, items []any) *response {
	t := s.begin(q)
	var failed batch
	var drafts []*draft
	for i, item := range items {
		d := s.prepare(q.user, k, nil, item, false, false)
		if d.crash != nil {
			t.rollback()
			return d.crash
		}
		if d.errs != nil {
			failed.add("index", i, d.errs)
			continue
		}
		if refused := s.readOnlyNow(); refused != nil {
			t.rollback()
			return refused
		}
		if !t.store(k, d) {
			failed.deny("index", i)
		}
		drafts = append(drafts, d)
	}
	if failed.errors != nil {
		t.rollback()
		return failed.answer(len(items), "%d of %d objects could not be created.")
	}
	return s.stored(q, k, drafts)
}
