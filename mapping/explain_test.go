package mapping_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/mapping"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestExplain(t *testing.T) {
	m := mustCompile(t,
		mapping.Rule{Set: mapping.Set{Status: ptr("active"), Tags: []string{"lxd"}, Role: ptr("lan")}},
		mapping.Rule{Name: "nat", Match: mapping.Match{NAT: ptr(true)}, Set: mapping.Set{VRF: ptr("{source}-nat"), Skip: ptr(true)}},
		mapping.Rule{Name: "web", Match: mapping.Match{Project: []string{"web", "shop-*"}, Kind: []string{"address"}, CIDR: []string{"10.0.0.0/8"}},
			Set: mapping.Set{DNSName: ptr("{name}.web.example.org"), Tenant: ptr("{project}"), Skip: ptr(false)}},
		mapping.Rule{Name: "leases", Match: mapping.Match{Dynamic: ptr(true)}, Set: mapping.Set{Status: ptr("dhcp"), Tags: []string{"lease"}}},
		mapping.Rule{Name: "tables", Match: mapping.Match{Network: []string{"odd*"}}, Set: mapping.Set{VRF: ptr("{mac}")}},
	)
	network := prefix("/1.0/networks/n1?project=web", "10.1.2.0/24", "network")
	network.Project, network.Name = "web", "n1"
	lease := address("/1.0/instances/web-1?project=web", "10.1.2.9/32", "instance")
	lease.Project, lease.Name, lease.Network, lease.NAT, lease.Dynamic, lease.MAC = "web", "Web 1", "n1", true, true, "00:16:3e:00:00:01"
	nameless := lease
	nameless.Name, nameless.Dynamic = "", false
	inside := lease
	inside.Project, inside.Dynamic = "", false
	odd := lease
	odd.Network, odd.MAC = "odd-1", ""
	impossible := lease
	impossible.UsedBy = ""
	in := input("lab", network, lease)
	for name, a := range map[string]ipam.Allocation{
		"prefix": network, "lease": lease, "nameless": nameless, "skipped": inside, "problem": odd, "impossible": impossible,
		"reservation": address("/1.0/x", "192.0.2.1/32", "reservation"),
		"link-local":  address("/1.0/x", "fe80::1/64", "instance"),
	} {
		t.Run(name, func(t *testing.T) {
			got := m.Explain(in, a).String()
			golden := filepath.Join("testdata", "explain-"+name+".txt")
			if *update {
				require.NoError(t, os.MkdirAll("testdata", 0o755))
				require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err, "run go test -update")
			require.Equal(t, string(want), got)
		})
	}
}

// An explanation ends in the very claim that Map makes.
func TestExplainAgreesWithMap(t *testing.T) {
	m := mustCompile(t, worldRules()...)
	in := input("s0", prefix("/n", "10.1.2.0/24", "network"), address("/u", "10.1.2.9/32", "instance"))
	for i, a := range in.Allocations {
		require.Equal(t, m.Map([]mapping.Input{in}, nil).Claims[i], m.Explain(in, a).Claim)
	}
}
