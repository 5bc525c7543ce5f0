package lxd_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/fixtures"
	"allocsync/ipam"
	"allocsync/sources"
	"allocsync/sources/lxd"
)

// serve serves h on a unix socket until the test ends, and returns its URL.
func serve(tb testing.TB, h http.Handler) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "unix.socket")
	listener, err := net.Listen("unix", path)
	require.NoError(tb, err)
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }() // ends with Close below
	tb.Cleanup(func() { _ = server.Close() })
	return "unix://" + path
}

// mustOpen opens a source on a server with the defaults, edited.
func mustOpen(tb testing.TB, url string, edit ...func(*lxd.Options)) *lxd.Source {
	tb.Helper()
	o := lxd.Factory().Options().(*lxd.Options)
	o.URL = url
	for _, e := range edit {
		e(o)
	}
	s, err := lxd.Open(*o)
	require.NoError(tb, err)
	return s
}

// mustSnapshot reads a source completely.
func mustSnapshot(tb testing.TB, s sources.Source) []ipam.Allocation {
	tb.Helper()
	snapshot, err := s.Snapshot(tb.Context())
	require.NoError(tb, err)
	require.Empty(tb, snapshot.Missing)
	return snapshot.Allocations
}

// text writes allocations one to a line, for golden files and messages.
func text(allocations []ipam.Allocation) string {
	var b strings.Builder
	for _, a := range allocations {
		flags := ""
		if a.NAT {
			flags += " nat"
		}
		if a.Dynamic {
			flags += " dynamic"
		}
		b.WriteString(strings.Join([]string{
			a.Kind.String(), a.Prefix.String(), a.Type, string(a.UsedBy),
			"network=" + a.Network, "project=" + a.Project, "name=" + a.Name, "mac=" + string(a.MAC),
		}, " ") + flags + "\n")
	}
	return b.String()
}

// changed is a recorded server of which some answers are others: the metadata
// by file name, as fixtures.FileName writes it, or whole if it holds "type".
type changed struct {
	scenario string
	answers  map[string]string
}

func (c changed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, ok := c.answers[fixtures.FileName(r)]
	if !ok {
		fixtures.LXD(c.scenario).ServeHTTP(w, r)
		return
	}
	var envelope struct {
		Type string `json:"type"`
		Code int    `json:"error_code"`
	}
	if json.Unmarshal([]byte(body), &envelope) != nil || envelope.Type == "" {
		body = `{"type":"sync","metadata":` + body + `}`
	}
	w.Header().Set("Content-Type", "application/json")
	if envelope.Code != 0 {
		w.WriteHeader(envelope.Code)
	}
	_, _ = w.Write([]byte(body)) // a client that has gone needs no answer
}

// failure is an error as the server writes it.
func failure(code int, text string) string {
	return fmt.Sprintf(`{"type":"error","status":"","status_code":0,"operation":"","error_code":%d,"error":%q,"metadata":null}`, code, text)
}

// counter notes the targets that are asked for.
type counter struct {
	handler http.Handler
	mu      sync.Mutex
	targets []string
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.targets = append(c.targets, r.URL.RequestURI())
	c.mu.Unlock()
	c.handler.ServeHTTP(w, r)
}

// sorted lists the targets asked for since the last time.
func (c *counter) sorted() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	targets := c.targets
	c.targets = nil
	slices.Sort(targets)
	return targets
}
