package e2e_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Where the testbed says that Incus is.
const (
	incusSocket     = "ALLOCSYNC_TEST_INCUS_SOCKET"
	incusURL        = "ALLOCSYNC_TEST_INCUS_URL"
	incusCert       = "ALLOCSYNC_TEST_INCUS_CERT"
	incusKey        = "ALLOCSYNC_TEST_INCUS_KEY"
	incusServerCert = "ALLOCSYNC_TEST_INCUS_SERVER_CERT"
	incusCLI        = "ALLOCSYNC_TEST_INCUS_CLI"
)

// incus is the real server with two networks of the test's own on it.
type incus struct {
	t      *testing.T
	cli    string
	socket string
	prefix string // of every name made there; short, as bridges' names are

	a, b net81
}

// net81 is a network of one test: 10.81.N.0/24 and 2001:db8:81:N::/64.
type net81 struct {
	name string
	n    int
}

func (n net81) v4(host int) string { return fmt.Sprintf("10.81.%d.%d", n.n, host) }
func (n net81) v6(host int) string { return fmt.Sprintf("2001:db8:81:%d::%x", n.n, host) }

func newIncus(t *testing.T) *incus {
	t.Helper()
	i := &incus{
		t: t, cli: mustEnv(t, "incus", incusCLI), socket: mustEnv(t, "incus", incusSocket),
		prefix: "e2e-" + randomHex(2),
	}
	// Networks of other tests and of runs that were killed are in the way.
	for range 20 {
		n := 100 + 2*rand.IntN(75)
		i.a, i.b = net81{i.prefix + "a", n}, net81{i.prefix + "b", n + 1}
		if i.addNetwork(i.a) == nil && i.addNetwork(i.b) == nil {
			return i
		}
	}
	t.Fatal("no free pair of networks")
	return nil
}

func (i *incus) addNetwork(n net81) error {
	out, err := i.try("network", "create", n.name,
		"ipv4.address="+n.v4(1)+"/24", "ipv4.nat=false",
		"ipv6.address="+n.v6(1)+"/64", "ipv6.nat=false", "ipv6.dhcp.stateful=true")
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	i.t.Cleanup(func() { i.gone("network", "delete", n.name) })
	return nil
}

func (i *incus) try(args ...string) (string, error) {
	cmd := exec.Command(i.cli, args...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// must runs the incus client.
func (i *incus) must(args ...string) string {
	i.t.Helper()
	out, err := i.try(args...)
	require.NoError(i.t, err, "incus %s\n%s", strings.Join(args, " "), out)
	return out
}

// gone deletes what may be deleted already. Incus fails to delete a network
// while an instance of another one goes ("bridge children"), hence the patience.
func (i *incus) gone(args ...string) {
	var out string
	var err error
	for range 5 {
		if out, err = i.try(args...); err == nil || strings.Contains(out, "not found") {
			return
		}
		time.Sleep(time.Second)
	}
	i.t.Errorf("clean up: incus %s: %v\n%s", strings.Join(args, " "), err, out)
}

// create makes a stopped instance, launch one that runs. It is deleted at the
// end under any of names, the first of which it is made with.
func (i *incus) create(verb, project string, names []string, args ...string) {
	i.t.Helper()
	i.t.Cleanup(func() {
		for _, name := range names {
			i.gone("delete", "-f", name, "--project", project)
		}
	})
	i.must(append([]string{verb, "-q", "bb", names[0], "--project", project}, args...)...)
}

// project makes a project that uses the default project's networks.
func (i *incus) project(name string) {
	i.t.Helper()
	i.t.Cleanup(func() { i.gone("project", "delete", name) })
	i.must("project", "create", name, "-c", "features.networks=false", "-c", "features.profiles=false", "-c", "features.images=false")
}

// forward makes a forward that is deleted before its network.
func (i *incus) forward(n net81, address string) {
	i.t.Helper()
	i.t.Cleanup(func() { i.gone("network", "forward", "delete", n.name, address) })
	i.must("network", "forward", "create", n.name, address)
}

// mustLease waits until an instance has taken a lease, and returns its address.
func (i *incus) mustLease(n net81, name string) string {
	i.t.Helper()
	var leases []struct{ Hostname, Address, Type string }
	address := ""
	mustBecome(i.t, 30*time.Second, "a lease of "+name, func() bool {
		out, err := i.try("network", "list-leases", n.name, "-f", "json")
		if err != nil || json.Unmarshal([]byte(out), &leases) != nil {
			return false
		}
		at := slices.IndexFunc(leases, func(l struct{ Hostname, Address, Type string }) bool {
			return l.Hostname == name && strings.EqualFold(l.Type, "dynamic") && strings.Contains(l.Address, ".")
		})
		if at >= 0 {
			address = leases[at].Address
		}
		return at >= 0
	})
	return address
}

// rules keep a test to its own networks: everything else that the server hands
// out belongs to other tests.
func (i *incus) rules(vrf string) string {
	return fmt.Sprintf(`  - set: {skip: true}
  - name: what is on the networks of this test
    match: {network: [%s, %s]}
    set: {skip: false, vrf: %s}
`, i.a.name, i.b.name, vrf)
}
