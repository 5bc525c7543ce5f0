package lxd_test

import (
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
