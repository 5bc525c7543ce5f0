package netboxtest

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"net/http"
	"slices"
	"strings"
)

// many answers a list path: GET lists, the others write one or many.
func (s *Server) many(q *request, k *kind) *response {
	switch q.Method {
	case http.MethodPost:
		if _, bulk := q.body.([]any); bulk {
			return s.bulkCreate(q, k)
		}
		return s.create(q, k)
	case http.MethodPut, http.MethodPatch:
		return s.bulkUpdate(q, k)
	case http.MethodDelete:
		return s.bulkDelete(q, k)
	}
	return s.list(q, k)
}

// page is what a list request asks for.
type page struct {
	limit, offset int
	start         int // cursor; -1 for none
}

const (
	defaultPage = 50 // PAGINATE_COUNT
	badStart    = "Invalid 'start' parameter: must be a non-negative integer."
)

func (s *Server) page(q *request) (page, *response) {
	p := page{limit: defaultPage, start: -1}
	most := s.options.MaxPageSize
	if most > 0 {
		p.limit = min(p.limit, most)
	}
	if text, ok := q.query.last("limit"); ok {
		if n, ok := parsePyInt(text); ok && n >= 0 {
			p.limit = min(n, math.MaxInt/2)
			if most > 0 && (n == 0 || n > most) {
				p.limit = most // clipped without a word; 0 asks for everything
			}
		}
	}
	if text, ok := q.query.last("offset"); ok {
		if n, ok := parsePyInt(text); ok && n >= 0 {
			p.offset = min(n, math.MaxInt/2)
		}
	}
	// The cursor came with 4.6; before, start is no parameter at all.
	text, ok := q.query.last("start")
	if !ok || !s.version.since(V47) {
		return p, nil
	}
	n, ok := parsePyInt(text)
	if !ok || n < 0 {
		return p, valueAnswer(http.StatusBadRequest, texts(badStart))
	}
	if _, both := q.query.last("offset"); both {
		return p, valueAnswer(http.StatusBadRequest, texts("'start' and 'offset' are mutually exclusive."))
	}
	if _, both := q.query.last("ordering"); both {
		return p, valueAnswer(http.StatusBadRequest, texts("Ordering cannot be specified in conjunction with cursor-based pagination."))
	}
	p.start = n
	return p, nil
}

// list answers GET of a list path.
func (s *Server) list(q *request, k *kind) *response {
	filters, refused := s.filters(q, k)
	if refused != nil {
		return refused
	}
	p, refused := s.page(q)
	if refused != nil {
		return refused
	}
	w := &writer{s: s, base: q.base}
	columns := s.columns(q, k)
	if p.start >= 0 {
		return s.cursor(q, k, p, filters, columns, w)
	}
	rows, count := s.offsetPage(q, k, p, filters)
	w.raw(`{"count":`)
	w.int(count)
	next, previous := links(q, p, count)
	w.raw(`,"next":`)
	w.textOrNull(next)
	w.raw(`,"previous":`)
	w.textOrNull(previous)
	return finish(w, columns, rows)
}

func finish(w *writer, columns []column, rows []row) *response {
	w.b = slices.Grow(w.b, len(rows)*min(len(columns)*40, 700)+64)
	w.raw(`,"results":[`)
	for i, r := range rows {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.object(columns, r)
	}
	w.raw(`]}`)
	answer := jsonAnswer(http.StatusOK, w.b)
	answer.rows = len(rows)
	return answer
}

// filters makes the conditions of a list. All bad values are reported at once.
func (s *Server) filters(q *request, k *kind) ([]*filter, *response) {
	var filters []*filter
	errs := newObject()
	for _, key := range q.query.keys {
		f, messages := s.condition(k, key, q.query.values[key])
		if messages != nil {
			errs.set(key, texts(messages...))
		} else if f != nil {
			filters = append(filters, f)
		}
	}
	if len(errs.keys) > 0 {
		return nil, valueAnswer(http.StatusBadRequest, errs)
	}
	return filters, nil
}

func matches(filters []*filter, r row) bool {
	for _, f := range filters {
		if !f.match(r) {
			return false
		}
	}
	return true
}

// candidates gives the rows worth looking at, in the list's order; found says
// that they came from an index, so that going through them is cheap.
func (s *Server) candidates(q *request, k *kind, filters []*filter) (rows iter.Seq[row], all bool) {
	for _, f := range filters {
		if f.seek != nil {
			found := f.seek()
			slices.SortFunc(found, k.rows.cmp)
			found = slices.CompactFunc(found, func(a, b row) bool { return a.rowID() == b.rowID() })
			s.reorder(q, k, found)
			return slices.Values(found), false
		}
	}
	if _, ok := q.query.last("ordering"); ok {
		found := slices.Collect(k.rows.all())
		if s.reorder(q, k, found) {
			return slices.Values(found), false
		}
	}
	return k.rows.all(), len(filters) == 0
}

// reorder sorts by ?ordering=a,-b. Fields it does not know are dropped, as
// NetBox does; none left means the default order.
func (s *Server) reorder(q *request, k *kind, rows []row) bool {
	text, _ := q.query.last("ordering")
	var by []func(a, b row) int
	for field := range strings.SplitSeq(text, ",") {
		name, down := strings.CutPrefix(strings.TrimSpace(field), "-")
		compare, ok := k.orders[name]
		if !ok {
			compare, ok = commonOrder(k, name)
		}
		if !ok {
			continue
		}
		if down {
			up := compare
			compare = func(a, b row) int { return up(b, a) }
		}
		by = append(by, compare)
	}
	if by == nil {
		return false
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		for _, compare := range by {
			if c := compare(a, b); c != 0 {
				return c
			}
		}
		return 0
	})
	return true
}

func commonOrder(k *kind, name string) (func(a, b row) int, bool) {
	switch {
	case name == "id":
		return func(a, b row) int { return cmp.Compare(a.rowID(), b.rowID()) }, true
	case name == "created" && !k.readOnly:
		return func(a, b row) int { return cmp.Compare(a.(objectRow).base().created, b.(objectRow).base().created) }, true
	case name == "last_updated" && !k.readOnly:
		return func(a, b row) int { return cmp.Compare(a.(objectRow).base().updated, b.(objectRow).base().updated) }, true
	}
	return nil, false
}

func (s *Server) offsetPage(q *request, k *kind, p page, filters []*filter) (rows []row, count int) {
	found, all := s.candidates(q, k, filters)
	if all {
		// No filter: the count is known, and the page starts where it starts.
		count = k.rows.len()
		for r := range k.rows.from(p.offset) {
			if p.limit > 0 && len(rows) == p.limit {
				break
			}
			rows = append(rows, r)
		}
		return rows, count
	}
	key := listKey(q, k)
	hit := s.lastList.Load()
	if hit == nil || hit.key != key || hit.writes != s.writes {
		hit = &foundList{key: key, writes: s.writes}
		for r := range found {
			if matches(filters, r) {
				hit.rows = append(hit.rows, r)
			}
		}
		s.lastList.Store(hit)
	}
	count = len(hit.rows)
	end := count
	if p.limit > 0 {
		end = min(count, p.offset+p.limit)
	}
	return hit.rows[min(p.offset, end):end], count
}

// foundList keeps the rows that the last filtered list found, so that its next
// pages need not look at the whole table again. It holds until the next write.
type foundList struct {
	key    string
	writes int
	rows   []row
}

// listKey tells lists apart by what they find, not by the page they show.
func listKey(q *request, k *kind) string {
	var b strings.Builder
	b.WriteString(k.path)
	for _, key := range q.query.keys {
		switch key {
		case "limit", "offset", "fields", "omit", "brief":
			continue
		}
		for _, v := range q.query.values[key] {
			fmt.Fprintf(&b, " %q=%q", key, v)
		}
	}
	return b.String()
}

// links builds the URLs of the pages beside this one.
func links(q *request, p page, count int) (next, previous string) {
	if p.limit == 0 {
		return "", ""
	}
	url := func(offset int) string {
		set := map[string]*int{"limit": &p.limit, "offset": nil}
		if offset > 0 {
			set["offset"] = &offset
		}
		return q.base + q.URL.EscapedPath() + "?" + q.query.with(set)
	}
	if p.offset+p.limit < count {
		next = url(p.offset + p.limit)
	}
	if p.offset > 0 {
		previous = url(p.offset - p.limit)
	}
	return next, previous
}

// cursor answers a page by ID: count is null, and next names the ID after the
// last one whenever the page is full, even when nothing follows.
func (s *Server) cursor(q *request, k *kind, p page, filters []*filter, columns []column, w *writer) *response {
	var rows []row
	for r := range k.ids.seek(func(r row) int { return cmp.Compare(r.rowID(), p.start) }) {
		if p.limit > 0 && len(rows) == p.limit {
			break
		}
		if matches(filters, r) {
			rows = append(rows, r)
		}
	}
	w.raw(`{"count":null,"next":`)
	if p.limit > 0 && len(rows) == p.limit {
		next := rows[len(rows)-1].rowID() + 1
		w.text(q.base + q.URL.EscapedPath() + "?" + q.query.with(map[string]*int{"start": &next, "limit": &p.limit, "offset": nil}))
	} else {
		w.null()
	}
	w.raw(`,"previous":null`)
	return finish(w, columns, rows)
}

// columns picks what to render: ?fields= (4.x), ?omit= (4.7), or ?brief= with
// any value at all, even false.
func (s *Server) columns(q *request, k *kind) []column {
	columns := k.columns
	if s.version.since(V42) {
		if text, ok := q.query.last("fields"); ok && text != "" {
			return pick(columns, strings.Split(text, ",")...)
		}
	}
	if s.version.since(V47) {
		if text, ok := q.query.last("omit"); ok && text != "" {
			return drop(slices.Clone(columns), strings.Split(text, ",")...)
		}
	}
	if text, ok := q.query.last("brief"); ok && text != "" && (q.Method == http.MethodGet || q.Method == http.MethodHead) {
		return k.brief
	}
	return columns
}
