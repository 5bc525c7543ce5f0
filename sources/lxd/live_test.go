package lxd_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/sources"
	"allocsync/sources/lxd"
)

// realIncus is the server that testbed/incus starts. The tests that use it
// call what they make src-… and remove it again, as others use it too.
type realIncus struct {
	tb                                      testing.TB
	socket, url, cert, key, serverCert, cli string
}

// mustIncus skips where there is no server, unless MUST_RUN names incus.
func mustIncus(tb testing.TB) realIncus {
	tb.Helper()
	i := realIncus{tb: tb}
	for name, field := range map[string]*string{
		"ALLOCSYNC_TEST_INCUS_SOCKET": &i.socket, "ALLOCSYNC_TEST_INCUS_URL": &i.url, "ALLOCSYNC_TEST_INCUS_CERT": &i.cert,
		"ALLOCSYNC_TEST_INCUS_KEY": &i.key, "ALLOCSYNC_TEST_INCUS_SERVER_CERT": &i.serverCert, "ALLOCSYNC_TEST_INCUS_CLI": &i.cli,
	} {
		if *field = os.Getenv(name); *field != "" {
			continue
		}
		if slices.Contains(strings.Split(os.Getenv("MUST_RUN"), ","), "incus") {
			tb.Fatalf("MUST_RUN names incus, but %s is not set: run testbed/incus start, and take its env", name)
		}
		tb.Skipf("%s is not set: testbed/incus starts a real server", name)
	}
	return i
}

// try runs the incus client.
func (i realIncus) try(args ...string) (string, error) {
	var output bytes.Buffer
	command := exec.Command(i.cli, args...)
	command.Stdout, command.Stderr = &output, &output
	err := command.Run()
	return output.String(), err
}

// must runs the incus client and, when the test ends, the undoing, if any.
func (i realIncus) must(undo []string, args ...string) {
	i.tb.Helper()
	output, err := i.try(args...)
	require.NoError(i.tb, err, "incus %v: %s", args, output)
	if undo != nil {
		i.tb.Cleanup(func() { _, _ = i.try(undo...) }) // it may be gone already
	}
}

// overHTTPS sets the options for the server's HTTPS address.
func (i realIncus) overHTTPS(o *lxd.Options) {
	o.URL, o.ClientCertFile, o.ClientKeyFile, o.ServerCertFile = i.url, i.cert, i.key, i.serverCert
}

// mine keeps the lines of what the tests made.
func mine(tb testing.TB, s sources.Source) []string {
	tb.Helper()
	var lines []string
	for _, line := range only(text(mustSnapshot(tb, s)), "src-") {
		before, _, _ := strings.Cut(line, " mac=") // made up by the server
		lines = append(lines, before)
	}
	return lines
}

// newNetwork makes a network of its own for a test.
func (i realIncus) newNetwork(name, prefix string) {
	i.tb.Helper()
	i.must([]string{"network", "delete", name}, "network", "create", name,
		"ipv4.address="+prefix+".1/24", "ipv4.nat=true", "ipv6.address=none")
}

func TestRealTransports(t *testing.T) {
	incus := mustIncus(t)
	socket := mustOpen(t, "unix://"+incus.socket)
	pinned := mustOpen(t, "", incus.overHTTPS)
	require.Eventually(t, func() bool { // others change it while it is read
		return text(mustSnapshot(t, socket)) == text(mustSnapshot(t, pinned))
	}, 10*time.Second, 100*time.Millisecond)

	for _, source := range []*lxd.Source{socket, pinned} {
		for _, f := range source.Check(t.Context()) {
			require.True(t, f.OK, "%+v", f)
		}
	}
	t.Run("wrong pin", func(t *testing.T) {
		_, err := mustOpen(t, "", incus.overHTTPS, func(o *lxd.Options) { o.ServerCertFile = incus.cert }).Snapshot(t.Context())
		require.ErrorIs(t, err, sources.ErrUnreachable)
		require.ErrorContains(t, err, "but server_cert_file allows only")
	})
	t.Run("not pinned", func(t *testing.T) {
		_, err := mustOpen(t, "", incus.overHTTPS, func(o *lxd.Options) { o.ServerCertFile = "" }).Snapshot(t.Context())
		require.ErrorIs(t, err, sources.ErrUnreachable)
		require.ErrorContains(t, err, "pin the server's own certificate")
	})
	t.Run("no client certificate", func(t *testing.T) {
		_, err := mustOpen(t, "", incus.overHTTPS, func(o *lxd.Options) { o.ClientCertFile, o.ClientKeyFile = "", "" }).Snapshot(t.Context())
		require.ErrorIs(t, err, sources.ErrDenied)
		require.ErrorContains(t, err, "incus config trust add-certificate")
	})
	t.Run("unknown client certificate", func(t *testing.T) {
		other := newIdentity(t, "src-other")
		_, err := mustOpen(t, "", incus.overHTTPS, func(o *lxd.Options) { o.ClientCertFile, o.ClientKeyFile = other.certFile, other.keyFile }).Snapshot(t.Context())
		require.ErrorIs(t, err, sources.ErrDenied)
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := pinned.Snapshot(ctx)
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestRealLife(t *testing.T) {
	incus := mustIncus(t)
	source := mustOpen(t, "unix://"+incus.socket)
	const n = "address 10.79.1.1/24 network /1.0/networks/src-life network=src-life project=default name=src-life"
	const p = "prefix 10.79.1.0/24 network /1.0/networks/src-life network=src-life project=default name=src-life"
	require.Empty(t, mine(t, source))
	incus.newNetwork("src-life", "10.79.1")
	require.Equal(t, []string{p, n}, mine(t, source))

	incus.must([]string{"delete", "-f", "src-a"}, "create", "-q", "bb", "src-a", "--network", "src-life", "-d", "eth0,ipv4.address=10.79.1.20")
	require.Equal(t, []string{p, n, "address 10.79.1.20/32 instance /1.0/instances/src-a network=src-life project=default name=src-a"}, mine(t, source))
	incus.must([]string{"delete", "-f", "src-b"}, "rename", "src-a", "src-b")
	require.Equal(t, []string{p, n, "address 10.79.1.20/32 instance /1.0/instances/src-b network=src-life project=default name=src-b"}, mine(t, source))

	incus.must([]string{"network", "forward", "delete", "src-life", "10.79.99.1"}, "network", "forward", "create", "src-life", "10.79.99.1")
	require.Contains(t, mine(t, source), "address 10.79.99.1/32 network-forward /1.0/networks/src-life/forwards/10.79.99.1 network=src-life project=default name=src-life")
	incus.must(nil, "network", "forward", "delete", "src-life", "10.79.99.1")

	// A lease appears some seconds after the start, and goes with the instance.
	incus.must([]string{"delete", "-f", "src-dyn"}, "launch", "-q", "bb", "src-dyn", "--network", "src-life")
	require.Eventually(t, func() bool { return len(mine(t, source)) == 4 }, 30*time.Second, 200*time.Millisecond)
	incus.must(nil, "delete", "-f", "src-dyn")
	incus.must(nil, "delete", "-f", "src-b")
	require.Equal(t, []string{p, n}, mine(t, source))
}

func TestRealSharedProject(t *testing.T) {
	incus := mustIncus(t)
	incus.newNetwork("src-shared", "10.79.2")
	incus.must([]string{"delete", "-f", "src-s", "--project", "shared-net"}, "launch", "-q", "bb", "src-s", "--project", "shared-net", "--network", "src-shared")
	incus.must([]string{"delete", "-f", "src-t", "--project", "shared-net"}, "create", "-q", "bb", "src-t", "--project", "shared-net", "--network", "src-shared", "-d", "eth0,ipv4.address=10.79.2.9")
	all := mustOpen(t, "unix://"+incus.socket)
	leased := func(a ipam.Allocation) bool { return a.Name == "src-s" }
	require.Eventually(t, func() bool { return slices.ContainsFunc(mustSnapshot(t, all), leased) }, 30*time.Second, 200*time.Millisecond)
	list := mustSnapshot(t, all)
	s := list[slices.IndexFunc(list, leased)]
	require.True(t, s.Dynamic)
	require.True(t, s.NAT)
	require.Equal(t, ipam.UsedBy("/1.0/instances/src-s?project=shared-net"), s.UsedBy)
	require.Contains(t, mine(t, all), "address 10.79.2.9/32 instance /1.0/instances/src-t?project=shared-net network=src-shared project=shared-net name=src-t")

	t.Run("a certificate restricted to it", func(t *testing.T) {
		restricted := newIdentity(t, "src-restricted")
		incus.must([]string{"config", "trust", "remove", restricted.fingerprint}, "config", "trust", "add-certificate", restricted.certFile, "--name", "src-restricted", "--restricted", "--projects", "shared-net")
		source := mustOpen(t, "", incus.overHTTPS, func(o *lxd.Options) {
			o.ClientCertFile, o.ClientKeyFile, o.Projects = restricted.certFile, restricted.keyFile, []string{"shared-net"}
		})
		got := mustSnapshot(t, source)
		i := slices.IndexFunc(got, leased)
		require.GreaterOrEqual(t, i, 0)
		require.Equal(t, s, got[i])
		for _, f := range source.Check(t.Context()) {
			require.True(t, f.OK, "%+v", f)
		}
		everything := mustOpen(t, "", incus.overHTTPS, func(o *lxd.Options) {
			o.ClientCertFile, o.ClientKeyFile = restricted.certFile, restricted.keyFile
		})
		require.Contains(t, everything.Check(t.Context()), sources.Finding{
			Text: "the client certificate (src-restricted in the server's trust list) is restricted to the projects [shared-net], but projects names none: what it hides cannot be told from what is gone, so nothing of this source is ever deleted",
			Fix:  "set projects: [shared-net]",
		})
		_, err := mustOpen(t, "", incus.overHTTPS, func(o *lxd.Options) {
			o.ClientCertFile, o.ClientKeyFile, o.Projects = restricted.certFile, restricted.keyFile, []string{"default"}
		}).Snapshot(t.Context())
		require.ErrorIs(t, err, sources.ErrDenied)
	})
}
