package netboxtest

import (
	"net/http"
)

// response is an answer before it is sent: a fault may replace or cut it.
type response struct {
	status int
	header map[string]string
	body   []byte
	rows   int
	early  bool // given before NetBox's own middleware saw the request
}

func (r *response) set(key, value string) *response {
	if r.header == nil {
		r.header = make(map[string]string)
	}
	r.header[key] = value
	return r
}

func jsonAnswer(status int, body []byte) *response {
	return (&response{status: status, body: body}).set("Content-Type", "application/json")
}

func valueAnswer(status int, v any) *response { return jsonAnswer(status, appendValue(nil, v)) }

func detail(status int, message string) *response {
	return valueAnswer(status, newObject("detail", message))
}

func htmlAnswer(status int, title, text string) *response {
	page := "\n<!doctype html>\n<html lang=\"en\">\n<head>\n  <title>" + title + "</title>\n</head>\n<body>\n  <h1>" + title + "</h1><p>" + text + "</p>\n</body>\n</html>\n"
	return (&response{status: status, body: []byte(page)}).set("Content-Type", "text/html; charset=utf-8")
}

func pageNotFound() *response {
	return htmlAnswer(http.StatusNotFound, "Page Not Found", "The requested page does not exist.")
}

// notFound is the 404 of a single object. 3.7 did not name the type.
func (s *Server) notFound(k *kind) *response {
	if !s.version.since(V42) {
		return detail(http.StatusNotFound, "Not found.")
	}
	return detail(http.StatusNotFound, "No "+k.class+" matches the given query.")
}

// crash is NetBox's 500 for an exception that nothing caught.
func (s *Server) crash(exception, message string) *response {
	return valueAnswer(http.StatusInternalServerError, newObject(
		"error", message, "exception", exception, "netbox_version", string(s.version), "python_version", s.version.python(),
	))
}
