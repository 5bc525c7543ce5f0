package lxd_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/fixtures"
	"allocsync/ipam"
	"allocsync/sources"
	"allocsync/sources/lxd"
)

// only keeps the lines of a golden list that hold a text.
func only(list, part string) []string {
	var lines []string
	for line := range strings.Lines(list) {
		if strings.Contains(line, part) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func TestOneSharedProject(t *testing.T) {
	want := []string{
		"address 198.51.100.40/32 instance /1.0/instances/other?project=shared-net network=brpub project=shared-net name=other mac=10:66:6a:15:42:16",
		"address 198.51.100.41/32 instance /1.0/instances/sh-stopped?project=shared-net network=brpub project=shared-net name=sh-stopped mac=10:66:6a:54:b0:54",
		"address 2001:db8:77::41/128 instance /1.0/instances/sh-stopped?project=shared-net network=brpub project=shared-net name=sh-stopped mac=10:66:6a:54:b0:54",
	}
	got := mustSnapshot(t, mustOpen(t, serve(t, fixtures.LXD("incus-6.0.4")), func(o *lxd.Options) { o.Projects = []string{"shared-net"} }))
	require.Equal(t, want, only(text(got), ""))
}

// TestRestricted: whether a network has NAT is hidden from a certificate that
// may see only a project that uses it; the network's own row tells.
func TestRestricted(t *testing.T) {
	got := mustSnapshot(t, mustOpen(t, serve(t, fixtures.LXD("incus-6.0.4-restricted-shared")), func(o *lxd.Options) { o.Projects = []string{"shared-net"} }))
	require.Len(t, got, 6)
	for _, a := range got {
		require.Equal(t, "shared-net", a.Project)
		require.Equal(t, a.Network == "ovn3", a.NAT, "%v", a)
	}
}

// TestProjectsOneByOne: the parts are the whole.
func TestProjectsOneByOne(t *testing.T) {
	for scenario, projects := range map[string][]string{
		"incus-6.0.4-ovn":       {"default", "own-net", "r&d", "shared-net"},
		"incus-7.0.2":           {"default", "shared-net"},
		"lxd-5.0.2":             {"default", "shared-net"},
		"lxd-5.0.2-git20231211": {"default", "shared-net"},
		"demo":                  {"default", "lab", "web"},
	} {
		at := serve(t, fixtures.LXD(scenario))
		want := mustSnapshot(t, mustOpen(t, at))
		require.Equal(t, text(want), text(mustSnapshot(t, mustOpen(t, at, func(o *lxd.Options) { o.Projects = projects }))), scenario)
	}
}

func TestLeaseTypes(t *testing.T) {
	got := mustSnapshot(t, mustOpen(t, serve(t, fixtures.LXD("demo")), func(o *lxd.Options) { o.LeaseTypes = true }))
	for _, a := range got {
		static := a.Type != "instance" || (a.Prefix.Addr().Is4() && (a.Name == "gitea" || a.Name == "dns1" || a.Name == "backup")) ||
			strings.HasPrefix(a.Name, "web")
		require.Equal(t, !static, a.Dynamic, "%v", a)
	}
}

// Where it cannot be told of a network's addresses whether they are leases,
// they are left out: "no" would be a guess, and rules act on it.
func TestLeaseTypesUnknown(t *testing.T) {
	const leases = "1.0/networks/brnat/leases__project=default.json"
	broken := serve(t, changed{"incus-6.0.4-ovn", map[string]string{leases: failure(http.StatusServiceUnavailable, "busy")}})
	types := func(o *lxd.Options) { o.LeaseTypes = true }
	snapshot, err := mustOpen(t, broken, types).Snapshot(t.Context())
	require.NoError(t, err)
	require.Len(t, snapshot.Missing, 1)
	whole := mustSnapshot(t, mustOpen(t, serve(t, fixtures.LXD("incus-6.0.4-ovn")), types))
	for _, a := range snapshot.Allocations {
		require.Contains(t, whole, a, "what is listed is listed as it is")
	}
	require.Less(t, len(snapshot.Allocations), len(whole))
}

func TestRoutedNICs(t *testing.T) {
	server := changed{"incus-6.0.4-plain", map[string]string{
		"1.0/instances__all-projects=true,recursion=1.json": `[{"name":"edge","project":"default","expanded_config":{"volatile.eth1.hwaddr":"10:66:6a:00:00:01"},
			"expanded_devices":{"eth0":{"type":"nic","network":"brnat","ipv4.address":"10.77.1.5"},
			"eth1":{"type":"nic","nictype":"routed","parent":"bond0","ipv4.address":"192.0.2.5, 192.0.2.6","ipv6.address":"none"},
			"eth2":{"type":"nic","nictype":"macvlan","parent":"bond0"}}}]`,
	}}
	got := mustSnapshot(t, mustOpen(t, serve(t, server), func(o *lxd.Options) { o.RoutedNICs = true }))
	require.Equal(t, []string{
		"address 192.0.2.5/32 instance /1.0/instances/edge network= project=default name=edge mac=10:66:6a:00:00:01",
		"address 192.0.2.6/32 instance /1.0/instances/edge network= project=default name=edge mac=10:66:6a:00:00:01",
	}, only(text(got), "edge"))
}

// TestDHCPv6OfSharedProject: such a lease shows no MAC, so the server shows it
// to every project and lists it as the default project's.
func TestDHCPv6OfSharedProject(t *testing.T) {
	allocations := `[{"addresses":"2001:db8:77::1/64","hwaddr":"","nat":false,"type":"network","used_by":"/1.0/networks/brpub"},
		{"addresses":"2001:db8:77::abc/128","hwaddr":"","nat":false,"type":"instance","used_by":"/1.0/instances/other"},
		{"addresses":"2001:db8:77::def/128","hwaddr":"","nat":false,"type":"instance","used_by":"/1.0/instances/static"}]`
	leases := `[{"hostname":"other","hwaddr":"","address":"2001:db8:77::abc","type":"dynamic"},
		{"hostname":"static","hwaddr":"","address":"2001:db8:77::def","type":"dynamic"},
		{"hostname":"*","hwaddr":"","address":"2001:db8:77::fff","type":"dynamic"}]`
	server := changed{"incus-6.0.4", map[string]string{
		"1.0/network-allocations__all-projects=true.json":    allocations,
		"1.0/networks/brpub/leases__project=shared-net.json": leases,
	}}
	got := mustSnapshot(t, mustOpen(t, serve(t, server)))
	require.Equal(t, []string{
		"address 2001:db8:77::abc/128 instance /1.0/instances/other?project=shared-net network=brpub project=shared-net name=other mac= dynamic",
		"address 2001:db8:77::def/128 instance /1.0/instances/static network=brpub project=default name=static mac=",
	}, only(text(got), "instance"))
}

// TestNetworkDeletedMeanwhile: what was deleted while the lists were read is
// not an error, if it is really gone.
func TestNetworkDeletedMeanwhile(t *testing.T) {
	answers := map[string]string{
		"1.0/networks/brpub/leases__project=shared-net.json": failure(http.StatusNotFound, "Network not found"),
		"1.0/networks/brpub__project=shared-net.json":        failure(http.StatusNotFound, "Network not found"),
	}
	server := changed{"incus-6.0.4", answers}
	snapshot, err := mustOpen(t, serve(t, server)).Snapshot(t.Context())
	require.NoError(t, err)
	require.Empty(t, snapshot.Missing)
	require.Empty(t, only(text(snapshot.Allocations), "project=shared-net"))

	// Still there: then the 404 is no answer to believe.
	answers["1.0/networks/brpub__project=shared-net.json"] = `{"name":"brpub","managed":true}`
	snapshot, err = mustOpen(t, serve(t, server)).Snapshot(t.Context())
	require.NoError(t, err)
	require.Len(t, snapshot.Missing, 1)
	require.Equal(t, "project shared-net", snapshot.Missing[0].Part)

	// Asked for by name, and gone with its project: not an answer either.
	answers["1.0/networks/brpub__project=shared-net.json"] = failure(http.StatusNotFound, "Project not found")
	answers["1.0/projects/shared-net.json"] = failure(http.StatusNotFound, "Project not found")
	snapshot, err = mustOpen(t, serve(t, server), func(o *lxd.Options) { o.Projects = []string{"default", "shared-net"} }).Snapshot(t.Context())
	require.NoError(t, err)
	require.Len(t, snapshot.Missing, 1)
	require.Equal(t, "project shared-net", snapshot.Missing[0].Part)
}

// TestRowThatMakesNoSense: it hides no other row, and is not taken for gone.
func TestRowThatMakesNoSense(t *testing.T) {
	rows := `[{"addresses":"10.1.2.1/24","type":"network","used_by":"/1.0/networks/a"},
		{"addresses":"10.1.2.300/32","type":"instance","used_by":"/1.0/instances/bad"},
		{"addresses":null,"type":"instance","used_by":"/1.0/instances/none"},
		{"address":["10.1.2.4/32","10.1.2.5/32"],"type":"instance","used_by":"/1.0/instances/two"},
		{"addresses":"10.1.2.6/32","type":"instance","used_by":"/1.0/instances/mac","hwaddr":"zz"}]`
	server := changed{"incus-6.0.4-plain", map[string]string{"1.0/network-allocations__all-projects=true.json": rows}}
	snapshot, err := mustOpen(t, serve(t, server)).Snapshot(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{
		"prefix 10.1.2.0/24 network /1.0/networks/a network=a project=default name=a mac=",
		"address 10.1.2.1/24 network /1.0/networks/a network=a project=default name=a mac=",
		"address 10.1.2.4/32 instance /1.0/instances/two network=a project=default name=two mac=",
		"address 10.1.2.5/32 instance /1.0/instances/two network=a project=default name=two mac=",
	}, only(text(snapshot.Allocations), ""))
	require.Equal(t, []string{
		`allocation instance  of "/1.0/instances/none": holds no address`,
		`allocation instance 10.1.2.300/32 of "/1.0/instances/bad": address "10.1.2.300/32": want a form such as 10.1.2.3/24 or fd00::1/64`,
		`allocation instance 10.1.2.6/32 of "/1.0/instances/mac": hardware address "zz": want octets such as 00:16:3e:04:f0:95`,
	}, lines(snapshot.Missing))
}

// lines writes what is missing, one part to a line.
func lines(missing []sources.Missing) []string {
	var list []string
	for _, m := range missing {
		list = append(list, m.Part+": "+m.Err.Error())
	}
	return list
}

func TestStaleLease(t *testing.T) {
	got := mustSnapshot(t, mustOpen(t, serve(t, fixtures.LXD("incus-6.0.4-ovn"))))
	dynamic := map[ipam.UsedBy]bool{}
	for _, a := range got {
		if a.Prefix.String() == "10.77.1.217/32" {
			dynamic[a.UsedBy] = a.Dynamic
		}
	}
	require.Equal(t, map[ipam.UsedBy]bool{"/1.0/instances/dyn": true, "/1.0/instances/s-dyn": false}, dynamic)
}
