package lxd_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/fixtures"
	"allocsync/sources/lxd"
)

// TestRequests holds the source to the requests that its page promises:
// every one costs the server work, every pass.
func TestRequests(t *testing.T) {
	all := []string{
		"/1.0", "/1.0/network-allocations?all-projects=true",
		"/1.0/networks?all-projects=true&recursion=1", "/1.0/projects?recursion=1",
	}
	instances := []string{"/1.0/instances?all-projects=true&recursion=1"}
	for _, test := range []struct {
		name, scenario string
		options        func(*lxd.Options)
		want           []string
	}{
		{name: "bridges, no shared project in use", scenario: "incus-6.0.4-plain", want: all},
		{
			name: "a shared project on two networks", scenario: "incus-6.0.4",
			want: join(all, instances, "/1.0/networks/brpub/leases?project=shared-net", "/1.0/networks/mv1/leases?project=shared-net"),
		},
		{
			name: "OVN, two shared projects, one contested address", scenario: "incus-6.0.4-ovn",
			want: join(all, instances, "/1.0/networks/brnat/leases?project=default", "/1.0/networks/brpub/leases?project=r%26d",
				"/1.0/networks/brpub/leases?project=shared-net", "/1.0/networks/mv1/leases?project=shared-net", "/1.0/networks/ovn3/leases?project=shared-net"),
		},
		{
			name: "lease types", scenario: "incus-6.0.4-plain", options: func(o *lxd.Options) { o.LeaseTypes = true },
			want: join(all, nil, "/1.0/networks/brnat/leases?project=default", "/1.0/networks/brpub/leases?project=default"),
		},
		{
			name: "routed NICs", scenario: "incus-6.0.4-plain", options: func(o *lxd.Options) { o.RoutedNICs = true },
			want: join(all, instances),
		},
		{
			name: "one project with networks of its own", scenario: "incus-6.0.4-plain", options: func(o *lxd.Options) { o.Projects = []string{"default"} },
			want: []string{"/1.0", "/1.0/network-allocations?project=default", "/1.0/networks?project=default&recursion=1", "/1.0/projects?recursion=1"},
		},
		{
			name: "one shared project", scenario: "incus-6.0.4", options: func(o *lxd.Options) { o.Projects = []string{"shared-net"} },
			want: []string{"/1.0", "/1.0/instances?project=shared-net&recursion=1", "/1.0/networks/brpub/leases?project=shared-net",
				"/1.0/networks/mv1/leases?project=shared-net", "/1.0/networks?project=shared-net&recursion=1", "/1.0/projects?recursion=1"},
		},
		{
			name: "no list of networks of all projects", scenario: "lxd-5.0.2-git20231211",
			want: []string{"/1.0", "/1.0/instances?all-projects=true&recursion=1", "/1.0/network-allocations?all-projects=true",
				"/1.0/networks/brpub/leases?project=shared-net", "/1.0/networks?project=default&recursion=1", "/1.0/projects?recursion=1"},
		},
		{
			name: "no list of allocations", scenario: "lxd-5.0.2",
			want: []string{"/1.0", "/1.0/instances?all-projects=true&recursion=1",
				"/1.0/networks/brnat/forwards?project=default&recursion=1", "/1.0/networks/brnat/leases?project=default",
				"/1.0/networks/brpub/forwards?project=default&recursion=1", "/1.0/networks/brpub/leases?project=default", "/1.0/networks/brpub/leases?project=shared-net",
				"/1.0/networks?project=default&recursion=1", "/1.0/projects?recursion=1"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			asked := &counter{handler: fixtures.LXD(test.scenario)}
			edit := test.options
			if edit == nil {
				edit = func(*lxd.Options) {}
			}
			mustSnapshot(t, mustOpen(t, serve(t, asked), edit))
			require.ElementsMatch(t, test.want, asked.sorted())
		})
	}
}

func join(a, b []string, more ...string) []string {
	return append(append(append([]string(nil), a...), b...), more...)
}
