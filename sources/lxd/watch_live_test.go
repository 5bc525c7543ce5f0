package lxd_test

import (
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/sources"
	"allocsync/sources/lxd"
)

// quiet waits until nothing has been told for a while, looks for leases not
// counted: one thing that is done may be several events.
func (w watch) quiet() {
	w.tb.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		select {
		case <-w.calls:
		case <-time.After(600 * time.Millisecond):
			return
		}
	}
	require.Fail(w.tb, "something is told all the time")
}

// tells requires that what is done is told within two seconds, and that the
// source lists it then, or when it is told again.
func (w watch) tells(s sources.Source, what string, do func(), shown func([]ipam.Allocation) bool) {
	w.tb.Helper()
	w.quiet()
	do()
	w.told(2*time.Second, what)
	deadline := time.Now().Add(patience)
	for !shown(mustSnapshot(w.tb, s)) {
		w.told(time.Until(deadline), what+" is not listed, and not told again")
	}
}

// lists reports whether a list holds a user in a project, with as many addresses.
func lists(used string, want int) func([]ipam.Allocation) bool {
	return func(list []ipam.Allocation) bool {
		n := 0
		for _, a := range list {
			if path, _, _ := strings.Cut(string(a.UsedBy), "?"); path == used && a.Kind.String() == "address" {
				n++
			}
		}
		return n == want
	}
}

// TestRealWatch: every change of addresses is told, over both ways.
func TestRealWatch(t *testing.T) {
	incus := mustIncus(t)
	for name, source := range map[string]*lxd.Source{
		"unix":  mustOpen(t, "unix://"+incus.socket),
		"https": mustOpen(t, "", incus.overHTTPS),
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			incus.tb = t
			w := newWatch(t, source)
			w.told(2*time.Second, "connect")
			const network, a, b = "/1.0/networks/src-watch", "/1.0/instances/src-watch-a", "/1.0/instances/src-watch-b"
			w.tells(source, "network", func() { incus.newNetwork("src-watch", "10.79.30") }, lists(network, 1))
			for _, name := range []string{"src-watch-a", "src-watch-b"} {
				t.Cleanup(func() { _, _ = incus.try("delete", "-f", name) })
			}
			w.tells(source, "launch", func() { incus.must(nil, "launch", "-q", "bb", "src-watch-a", "--network", "src-watch") }, lists(a, 1))
			w.tells(source, "forward", func() { incus.must(nil, "network", "forward", "create", "src-watch", "10.79.99.30") }, lists(network+"/forwards/10.79.99.30", 1))
			w.tells(source, "forward deleted", func() { incus.must(nil, "network", "forward", "delete", "src-watch", "10.79.99.30") }, lists(network+"/forwards/10.79.99.30", 0))
			w.tells(source, "stop", func() { incus.must(nil, "stop", "-f", "src-watch-a") }, func([]ipam.Allocation) bool { return true })
			w.tells(source, "rename", func() { incus.must(nil, "rename", "src-watch-a", "src-watch-b") }, lists(a, 0))
			w.tells(source, "a static address", func() {
				incus.must(nil, "config", "device", "set", "src-watch-b", "eth0", "ipv4.address=10.79.30.77")
			}, func(list []ipam.Allocation) bool {
				return slices.ContainsFunc(list, func(x ipam.Allocation) bool { return string(x.UsedBy) == b && x.Prefix.String() == "10.79.30.77/32" })
			})
			w.tells(source, "delete", func() { incus.must(nil, "delete", "-f", "src-watch-b") }, lists(b, 0))
			w.tells(source, "network deleted", func() { incus.must(nil, "network", "delete", "src-watch") }, lists(network, 0))
			w.stop()
		})
	}
}

// TestRealWatchWithin: an event is told at once; so is what follows it, in a
// while, though nothing happens any more.
func TestRealWatchWithin(t *testing.T) {
	incus := mustIncus(t)
	noLeaks(t)
	source := mustOpen(t, "unix://"+incus.socket)
	incus.newNetwork("src-watch-t", "10.79.31")
	incus.must([]string{"delete", "-f", "src-watch-t"}, "create", "-q", "bb", "src-watch-t", "--network", "src-watch-t")
	w := newWatch(t, source)
	w.told(2*time.Second, "connect")
	w.quiet()
	incus.must(nil, "start", "src-watch-t")
	started := time.Now()
	w.told(2*time.Second, "start")
	w.quiet()
	for _, at := range []time.Duration{2, 6, 15} { // seconds; others on the server may add some
		w.told(time.Until(started.Add(at*time.Second+2*time.Second)), "the look for leases")
	}
	require.True(t, lists("/1.0/instances/src-watch-t", 1)(mustSnapshot(t, source)))
	w.stop()
}

// TestRealWatchRestricted: a restricted certificate hears of its own projects.
func TestRealWatchRestricted(t *testing.T) {
	incus := mustIncus(t)
	noLeaks(t)
	own := newIdentity(t, "src-watch")
	incus.must([]string{"config", "trust", "remove", own.fingerprint}, "config", "trust", "add-certificate", own.certFile, "--name", "src-watch", "--restricted", "--projects", "shared-net")
	source := mustOpen(t, "", incus.overHTTPS, func(o *lxd.Options) {
		o.ClientCertFile, o.ClientKeyFile, o.Projects = own.certFile, own.keyFile, []string{"shared-net"}
	})
	w := newWatch(t, source)
	w.told(2*time.Second, "connect")
	w.tells(source, "launch", func() {
		incus.must([]string{"delete", "-f", "src-watch-r", "--project", "shared-net"}, "launch", "-q", "bb", "src-watch-r", "--project", "shared-net", "--network", "brnat")
	}, func(list []ipam.Allocation) bool { // it has an IPv6 address too, sooner or later
		return slices.ContainsFunc(list, func(a ipam.Allocation) bool {
			return a.UsedBy == "/1.0/instances/src-watch-r?project=shared-net" && a.Prefix.Addr().Is4()
		})
	})
	w.tells(source, "delete", func() { incus.must(nil, "delete", "-f", "src-watch-r", "--project", "shared-net") }, lists("/1.0/instances/src-watch-r", 0))
	w.stop()
}

// cutter passes connections on to a socket until they are cut.
type cutter struct {
	mu      sync.Mutex
	open    []net.Conn
	through bool
}

func newCutter(tb testing.TB, socket string) (*cutter, string) {
	tb.Helper()
	c := &cutter{through: true}
	path := filepath.Join(tb.TempDir(), "unix.socket")
	listener, err := net.Listen("unix", path)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = listener.Close(); c.set(false) })
	go func() {
		for {
			here, err := listener.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("unix", socket)
			if err == nil && c.keep(here, there) {
				go func() { _, _ = io.Copy(there, here); _ = there.Close() }()
				go func() { _, _ = io.Copy(here, there); _ = here.Close() }()
				continue
			}
			if err == nil {
				_ = there.Close()
			}
			_ = here.Close()
		}
	}()
	return c, path
}

func (c *cutter) keep(pair ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = append(c.open, pair...)
	return c.through
}

// set lets connections through, or cuts those there are and any that come.
func (c *cutter) set(through bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.through = through
	if through {
		return
	}
	for _, connection := range c.open {
		_ = connection.Close()
	}
	c.open = nil
}

// TestRealWatchCut: what happened while the connection was cut is told.
func TestRealWatchCut(t *testing.T) {
	incus := mustIncus(t)
	noLeaks(t)
	cut, path := newCutter(t, incus.socket)
	w := newWatch(t, mustOpen(t, "unix://"+path))
	w.told(2*time.Second, "connect")
	w.quiet()
	cut.set(false)
	incus.newNetwork("src-watch-c", "10.79.32")
	w.silent(time.Second, "nobody can be asked")
	cut.set(true)
	w.told(5*time.Second, "the server is back")
	w.quiet()
	incus.must(nil, "network", "delete", "src-watch-c")
	w.told(2*time.Second, "the connection is a good one")
	w.stop()
}
