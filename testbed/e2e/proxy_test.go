package e2e_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fault is what goes wrong with one request on its way through a proxy.
type fault int

const (
	noFault         fault = iota
	badGateway            // 502, and NetBox never sees the request
	badGatewayAfter       // NetBox does it, and the answer is a 502
	cutAfter              // NetBox does it, and the connection ends without an answer
	pageOfHTML            // 200 and a page, as from a login portal
	silence               // no answer at all
	late                  // NetBox gets it two seconds later, as from a full queue
)

// proxy stands in front of the real NetBox, counts what passes and breaks what
// it is told to.
type proxy struct {
	web *httptest.Server

	mu      sync.Mutex
	log     []request
	open    int // requests that have no answer yet
	fault   func(request) fault
	release chan struct{} // closed at the end: silent answers give up
}

// request is one that came to the proxy.
type request struct {
	method, path, query, body string
	n                         int // of this method and path, from 1
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	to, err := url.Parse(target)
	require.NoError(t, err)
	p := &proxy{release: make(chan struct{})}
	reverse := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	behind := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// NetBox finishes what it has begun, whether or not the client waits;
		// so does the proxy, in order to know when it is done. The bare writer
		// hides that the client's leaving can be noticed.
		bare := struct{ http.ResponseWriter }{w}
		reverse.ServeHTTP(bare, r.WithContext(context.WithoutCancel(r.Context())))
	})
	p.web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		defer p.closed()
		p.pass(w, r, behind, p.note(r, string(body)))
	}))
	t.Cleanup(func() {
		close(p.release)
		p.web.Close()
	})
	return p
}

func (p *proxy) url() string { return p.web.URL }

func (p *proxy) note(r *http.Request, body string) fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := request{method: r.Method, path: r.URL.Path, query: r.URL.RawQuery, body: body, n: 1}
	for _, before := range p.log {
		if before.method == q.method && before.path == q.path {
			q.n++
		}
	}
	p.log = append(p.log, q)
	p.open++
	if p.fault == nil {
		return noFault
	}
	return p.fault(q)
}

func (p *proxy) closed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open--
}

// idle reports whether every request has been answered, or given up.
func (p *proxy) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open == 0
}

func (p *proxy) pass(w http.ResponseWriter, r *http.Request, behind http.Handler, f fault) {
	switch f {
	case badGateway:
		http.Error(w, "<html><title>502 Bad Gateway</title></html>", http.StatusBadGateway)
	case badGatewayAfter:
		behind.ServeHTTP(httptest.NewRecorder(), r)
		http.Error(w, "<html><title>502 Bad Gateway</title></html>", http.StatusBadGateway)
	case cutAfter:
		behind.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler) // net/http then closes the connection
	case pageOfHTML:
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html><head><title>Sign in to Example Corp</title></head></html>")
	case late:
		time.Sleep(2 * time.Second)
		behind.ServeHTTP(w, r)
	case silence:
		select {
		case <-r.Context().Done():
		case <-p.release:
		}
		panic(http.ErrAbortHandler)
	default:
		behind.ServeHTTP(w, r)
	}
}

// breaks makes f decide what goes wrong from now on.
func (p *proxy) breaks(f func(request) fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

// forget starts to count anew.
func (p *proxy) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = nil
}

func (p *proxy) requests() []request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]request{}, p.log...)
}

// writes are the requests that could change something.
func (p *proxy) writes() []request {
	var writes []request
	for _, r := range p.requests() {
		if r.method != http.MethodGet && r.method != http.MethodHead && r.method != http.MethodOptions {
			writes = append(writes, r)
		}
	}
	return writes
}

// isOf reports whether the request is one of a method to the rows of a kind:
// "prefixes" or "ip-addresses".
func (r request) isOf(method, kind string) bool {
	return r.method == method && strings.HasPrefix(r.path, "/api/ipam/"+kind+"/")
}

// batches is how many bulk creations of a kind were sent.
func (p *proxy) batches(kind string) int {
	n := 0
	for _, r := range p.requests() {
		if r.isOf(http.MethodPost, kind) {
			n++
		}
	}
	return n
}
