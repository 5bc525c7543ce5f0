package netboxtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// MustPOST creates through the REST API, as the superuser, and gives the row
// back. It panics when NetBox refuses: a seed is known to be right. The request
// is neither counted nor hit by faults.
func (s *Server) MustPOST(path string, body any) map[string]any {
	var row map[string]any
	s.must(http.MethodPost, path, body, &row)
	return row
}

// MustPOSTList creates many at once, in one all-or-nothing request.
func (s *Server) MustPOSTList(path string, rows any) []map[string]any {
	var created []map[string]any
	s.must(http.MethodPost, path, rows, &created)
	return created
}

// MustPATCH changes one row, as a person using NetBox would.
func (s *Server) MustPATCH(path string, body any) map[string]any {
	var row map[string]any
	s.must(http.MethodPatch, path, body, &row)
	return row
}

// MustDELETE deletes one row.
func (s *Server) MustDELETE(path string) { s.must(http.MethodDelete, path, nil, nil) }

// MustGET reads any path; a list comes back as its page with count, next,
// previous and results.
func (s *Server) MustGET(path string) map[string]any {
	var page map[string]any
	s.must(http.MethodGet, path, nil, &page)
	return page
}

func (s *Server) must(method, path string, body, into any) {
	var sent bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&sent).Encode(body); err != nil {
			panic(fmt.Sprintf("netboxtest: %s %s: %v", method, path, err))
		}
	}
	r, err := http.NewRequestWithContext(context.Background(), method, "http://netbox.example"+path, &sent)
	if err != nil {
		panic(fmt.Sprintf("netboxtest: %s %s: %v", method, path, err))
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Token "+s.options.Token)
	answer := s.answer(r, newRequestID())
	if answer.status >= 300 {
		panic(fmt.Sprintf("netboxtest: %s %s: %d %s", method, path, answer.status, answer.body))
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(answer.body, into); err != nil {
		panic(fmt.Sprintf("netboxtest: %s %s: %v", method, path, err))
	}
}
