package lxd

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/fixtures"
)

// silentConnections counts the connections that are open and have said nothing.
type silentConnections struct {
	net.Listener
	open atomic.Int32
}

func (l *silentConnections) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.open.Add(1)
	return &countedConnection{Conn: c, said: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
}

type countedConnection struct {
	net.Conn
	said func()
}

func (c *countedConnection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 || err != nil {
		c.said()
	}
	return n, err
}

// Incus accepts nobody on its unix socket while a connection says nothing, so
// that one left open would lock out everybody. A pool would keep one whenever
// a request gets another connection before its own is dialed.
func TestNoSilentConnections(t *testing.T) {
	path := filepath.Join(t.TempDir(), "unix.socket")
	listener, err := net.Listen("unix", path)
	require.NoError(t, err)
	silent := &silentConnections{Listener: listener}
	server := &http.Server{Handler: fixtures.LXD("demo"), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(silent) }()
	t.Cleanup(func() { _ = server.Close() })
	o := Factory().Options().(*Options)
	o.URL, o.LeaseTypes = "unix://"+path, true
	s, err := Open(*o)
	require.NoError(t, err)
	transport := s.client.rest.GetClient().Transport.(*http.Transport)
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		time.Sleep(20 * time.Millisecond) // longer than a request takes
		return dial(ctx, network, address)
	}
	for range 3 {
		snapshot, err := s.Snapshot(t.Context())
		require.NoError(t, err)
		require.True(t, snapshot.Complete())
		time.Sleep(50 * time.Millisecond)
		require.Zero(t, silent.open.Load())
	}
}
