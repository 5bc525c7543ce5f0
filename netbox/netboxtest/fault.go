package netboxtest

import (
	"net/http"
	"slices"
	"strings"
	"sync"
)

// FaultKind is what a Fault does to a request.
type FaultKind int

const (
	// Answer gives Status, Header and Body instead of asking NetBox.
	Answer FaultKind = iota
	// LostAnswer lets NetBox carry the request out and then loses its answer:
	// the connection is dropped, or with Status set, Status, Header and Body are
	// answered instead (a proxy's 502 or 504).
	LostAnswer
	// Drop cuts the connection; NetBox never sees the request.
	Drop
	// Hang gives no answer until the client gives up, then drops the connection;
	// NetBox never sees the request.
	Hang
	// HTMLPage answers 200 (or Status) with an HTML page, as a login proxy does.
	HTMLPage
	// Truncate lets NetBox answer and cuts the body in half.
	Truncate
)

// Fault is something that goes wrong. It hits the requests that match.
type Fault struct {
	// Method and Path (a prefix) say which requests match, Query is a part of
	// the raw query string. "" matches all.
	Method, Path, Query string
	// Skip lets that many matching requests pass first; Times is how many are
	// hit then, 0 meaning one, negative meaning all.
	Skip, Times int

	Kind   FaultKind
	Status int
	Header map[string]string // such as Retry-After
	Body   string
}

// Fault arms a fault. Several are tried in the order they were armed; one
// request is hit by one.
func (s *Server) Fault(f Fault) {
	if f.Times == 0 {
		f.Times = 1
	}
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.faults = append(s.log.faults, &f)
}

// ClearFaults disarms all faults.
func (s *Server) ClearFaults() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.faults = nil
}

// Request is one request that the server saw.
type Request struct {
	Method, Path, Query string // Query as it was sent
	Status              int    // 0: the connection was dropped
	Rows                int    // rows listed, or written
	Fault               bool   // a Fault hit it
}

// keepRequests bounds the log of requests.
const keepRequests = 50_000

// Requests lists what the server was asked since the start or the last
// ResetRequests, in the order of the answers: at most the first 50,000.
func (s *Server) Requests() []Request {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return slices.Clone(s.log.requests)
}

// ResetRequests forgets the requests seen.
func (s *Server) ResetRequests() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.requests = nil
}

type requestLog struct {
	mu       sync.Mutex
	requests []Request
	faults   []*Fault
}

func (l *requestLog) add(r *http.Request, a *response, faulty bool) {
	entry := Request{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Fault: faulty}
	if a != nil {
		entry.Status, entry.Rows = a.status, a.rows
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.requests) < keepRequests {
		l.requests = append(l.requests, entry)
	}
}

// match finds the fault that hits a request.
func (l *requestLog) match(r *http.Request) *Fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.faults {
		switch {
		case f.Times == 0,
			f.Method != "" && f.Method != r.Method,
			!strings.HasPrefix(r.URL.Path, f.Path),
			!strings.Contains(r.URL.RawQuery, f.Query):
			continue
		case f.Skip > 0:
			f.Skip--
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		hit := *f
		return &hit
	}
	return nil
}

// apply turns NetBox's answer (nil if it was not asked) into the faulty one; nil
// drops the connection.
func (f *Fault) apply(r *http.Request, a *response) *response {
	own := &response{status: f.Status, header: f.Header, body: []byte(f.Body)}
	switch f.Kind {
	case Hang:
		<-r.Context().Done()
		return nil
	case Drop:
		return nil
	case LostAnswer:
		if f.Status == 0 {
			return nil
		}
	case HTMLPage:
		page := htmlAnswer(http.StatusOK, "Sign in", "Please sign in to continue.")
		if f.Status != 0 {
			page.status = f.Status
		}
		return page
	case Truncate:
		a.body = a.body[:len(a.body)/2]
		return a
	}
	if own.status == 0 {
		own.status = http.StatusInternalServerError
	}
	return own
}
