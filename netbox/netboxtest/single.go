package netboxtest

import (
	"fmt"
	"net/http"
	"strings"
)

// single answers the path of one object.
func (s *Server) single(q *request, k *kind, id int) *response {
	r, ok := k.get(id)
	if !ok || !s.reaches(q.user, action(q.Method), k, r) {
		return s.notFound(k)
	}
	switch q.Method {
	case http.MethodPut, http.MethodPatch:
		return s.update(q, k, r.(objectRow))
	case http.MethodDelete:
		return s.delete(q, k, r.(objectRow))
	}
	return s.one(q, k, http.StatusOK, r, s.columns(q, k))
}

// one renders a single object, with its ETag since 4.6.
func (s *Server) one(q *request, k *kind, status int, r row, columns []column) *response {
	w := &writer{s: s, base: q.base}
	w.object(columns, r)
	answer := jsonAnswer(status, w.b)
	answer.rows = 1
	if tag := s.etag(k, r); tag != "" {
		answer.set("ETag", tag)
	}
	return answer
}

func (s *Server) etag(k *kind, r row) string {
	if k.readOnly || !s.version.since(V47) {
		return ""
	}
	return fmt.Sprintf(`W/"%s+00:00"`, appendTime(nil, r.(objectRow).base().updated))
}

// stale answers 412 when If-Match names another state than the stored one.
func (s *Server) stale(q *request, k *kind, r row) *response {
	match := q.Header.Get("If-Match")
	tag := s.etag(k, r)
	if match == "" || match == "*" || tag == "" {
		return nil
	}
	for one := range strings.SplitSeq(match, ",") {
		if strings.TrimSpace(one) == tag {
			return nil
		}
	}
	return detail(http.StatusPreconditionFailed, "Precondition failed.").set("ETag", tag)
}
