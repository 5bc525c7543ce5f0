package netboxtest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// maxBody bounds a request body.
const maxBody = 32 << 20

// request is one request as the endpoints see it.
type request struct {
	*http.Request
	id    string
	base  string
	query params
	user  *user
	body  any
	// hasBody tells an absent body from null.
	hasBody bool
}

func (s *Server) answer(r *http.Request, id string) *response {
	if n := len(r.Method) + len(r.URL.RequestURI()) + len(" ") + len(" HTTP/1.1"); s.options.MaxRequestLine > 0 && n > s.options.MaxRequestLine {
		return gunicornTooLong(n, s.options.MaxRequestLine)
	}
	path := r.URL.Path
	switch {
	case path == "/" || path == "/login/":
		return htmlAnswer(http.StatusOK, "NetBox", "Log In")
	case path != "/api" && !strings.HasPrefix(path, "/api/"):
		return pageNotFound()
	}
	if !strings.HasSuffix(path, "/") {
		return s.withoutSlash(r)
	}
	q := &request{Request: r, id: id, query: parseQuery(r.URL.RawQuery), base: baseURL(r)}
	rest := strings.TrimSuffix(strings.TrimPrefix(path, "/api/"), "/")
	switch rest {
	case "":
		return s.endpoint(q, "GET, HEAD, OPTIONS", nil, func() *response { return s.root(q) })
	case "status":
		return s.endpoint(q, "GET, HEAD, OPTIONS", nil, s.status)
	}
	for _, k := range append(slices.Clone(s.kinds), s.changes) {
		if rest == k.path {
			if k.readOnly {
				return s.endpoint(q, "GET, HEAD, OPTIONS", k, func() *response { return s.many(q, k) })
			}
			return s.endpoint(q, "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS", k, func() *response { return s.many(q, k) })
		}
		if tail, ok := strings.CutPrefix(rest, k.path+"/"); ok {
			return s.routeSingle(q, k, tail)
		}
	}
	return pageNotFound()
}

func (s *Server) routeSingle(q *request, k *kind, tail string) *response {
	number, extra, nested := strings.Cut(tail, "/")
	id, err := strconv.Atoi(number)
	digits := strings.Trim(number, "0123456789") == ""
	switch {
	case number == "" || nested && !digits || strings.Contains(number, "."):
		return pageNotFound()
	case !digits:
		return s.endpoint(q, "GET, PUT, PATCH, DELETE, HEAD, OPTIONS", k, func() *response { return detail(http.StatusNotFound, "Not found.") })
	case err != nil:
		id = -1
	}
	switch {
	case !nested && k.readOnly:
		return s.endpoint(q, "GET, HEAD, OPTIONS", k, func() *response { return s.single(q, k, id) })
	case !nested:
		return s.endpoint(q, "GET, PUT, PATCH, DELETE, HEAD, OPTIONS", k, func() *response { return s.single(q, k, id) })
	case k == s.prefixes && extra == "available-ips":
		// Whose permission counts: that of the addresses, not of the prefix.
		return s.endpoint(q, "GET, POST, HEAD, OPTIONS", s.ips, func() *response { return s.available(q, id) })
	}
	return pageNotFound()
}

// endpoint does what comes before every API view: the body, the token, the
// method and the permission on the object type.
func (s *Server) endpoint(q *request, allow string, k *kind, view func() *response) *response {
	write := q.Method != http.MethodGet && q.Method != http.MethodHead && q.Method != http.MethodOptions
	var raw []byte
	if write {
		var err error
		if raw, err = io.ReadAll(io.LimitReader(q.Body, maxBody+1)); err != nil || len(raw) > maxBody {
			return htmlAnswer(http.StatusRequestEntityTooLarge, "Request Entity Too Large", "")
		}
	}
	if write {
		s.mu.Lock()
		defer s.mu.Unlock()
	} else {
		s.mu.RLock()
		defer s.mu.RUnlock()
	}
	answer := s.guarded(q, allow, k, raw, view)
	if answer.status != http.StatusInternalServerError {
		answer.set("Allow", allow)
	}
	return answer
}

func (s *Server) guarded(q *request, allow string, k *kind, raw []byte, view func() *response) *response {
	user, refused := s.authenticate(q.Request)
	// 3.7 lets anybody see what is not an object (LOGIN_REQUIRED is off by
	// default, on since 4.0); a wrong token is refused all the same.
	anonymous := refused != nil && k == nil && !s.version.since(V42) && q.Header.Get("Authorization") == ""
	if refused != nil && !anonymous {
		return refused
	}
	q.user = user
	if !slices.Contains(strings.Split(allow, ", "), q.Method) {
		return detail(http.StatusMethodNotAllowed, `Method "`+q.Method+`" not allowed.`)
	}
	if q.Method == http.MethodOptions {
		return valueAnswer(http.StatusOK, newObject("renders", texts("application/json", "text/html"), "parses", texts("application/json", "multipart/form-data")))
	}
	if k != nil && !user.may(action(q.Method), k) {
		return detail(http.StatusForbidden, noPermission)
	}
	if len(raw) > 0 {
		if mediaType(q.Request) != "application/json" {
			return detail(http.StatusUnsupportedMediaType, `Unsupported media type "`+q.Header.Get("Content-Type")+`" in request.`)
		}
		body, err := parseJSON(raw, s.version)
		if errors.Is(err, errTooDeep) {
			return s.crash("RecursionError", err.Error())
		}
		if err != nil {
			return detail(http.StatusBadRequest, "JSON parse error - "+err.Error())
		}
		q.body, q.hasBody = body, true
	}
	return view()
}

// withoutSlash answers a path that lacks its last slash: NetBox redirects, and
// since 4.7 gives a 404 for writes, whose body a redirect would lose.
func (s *Server) withoutSlash(r *http.Request) *response {
	write := r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions
	if write && s.version.since(V47) || !s.routed(r.URL.Path+"/") {
		return pageNotFound()
	}
	to := r.URL.EscapedPath() + "/"
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	return (&response{status: http.StatusMovedPermanently, early: true}).set("Location", to).set("Content-Type", "text/html; charset=utf-8")
}

// routed says whether a path leads to a view.
func (s *Server) routed(path string) bool {
	rest := strings.TrimSuffix(strings.TrimPrefix(path, "/api/"), "/")
	if path == "/api/" || rest == "status" {
		return true
	}
	for _, k := range append(slices.Clone(s.kinds), s.changes) {
		tail, ok := strings.CutPrefix(rest, k.path)
		if !ok {
			continue
		}
		id, extra, _ := strings.Cut(strings.TrimPrefix(tail, "/"), "/")
		if strings.Trim(id, "0123456789") == "" && (extra == "" || k == s.prefixes && extra == "available-ips") {
			return true
		}
	}
	return false
}

func baseURL(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// gunicornTooLong is what the HTTP server in front of NetBox says, before NetBox
// sees the request.
func gunicornTooLong(n, limit int) *response {
	page := fmt.Sprintf("<html>\n  <head>\n    <title>Bad Request</title>\n  </head>\n  <body>\n    <h1><p>Bad Request</p></h1>\n    Request Line is too large (%d &gt; %d)\n  </body>\n</html>\n", n, limit)
	return (&response{status: http.StatusBadRequest, early: true, body: []byte(page)}).set("Content-Type", "text/html").set("Connection", "close")
}

func (s *Server) root(q *request) *response {
	o := newObject()
	for _, app := range []string{"circuits", "core", "dcim", "extras", "ipam", "plugins", "status", "tenancy", "users", "virtualization", "vpn", "wireless"} {
		o.set(app, q.base+"/api/"+app+"/")
	}
	return valueAnswer(http.StatusOK, o)
}

// status is /api/status/. The versions of NetBox's own dependencies are left out.
func (s *Server) status() *response {
	o := newObject("django-version", "6.1.2", "hostname", "netbox", "installed_apps", newObject(),
		"netbox-version", string(s.version), "netbox-full-version", string(s.version),
		"plugins", newObject(), "python-version", s.version.python(), "rq-workers-running", int64(1))
	if !s.version.since(V47) {
		django := "5.1.8"
		if !s.version.since(V42) {
			django = "4.2.11"
		}
		o = newObject("django-version", django, "installed-apps", newObject(), "netbox-version", string(s.version),
			"plugins", newObject(), "python-version", s.version.python(), "rq-workers-running", int64(0))
	}
	return valueAnswer(http.StatusOK, o)
}
