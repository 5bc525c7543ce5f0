package worker_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/mapping"
	"allocsync/netbox/netboxtest"
	"allocsync/sync/apply"
	"allocsync/sync/plan"
	"allocsync/sync/worker"
)

// written lists what a pass wrote, one line for each change.
func written(r apply.Result) []string {
	var lines []string
	for _, o := range r.Outcomes {
		lines = append(lines, o.Change.Action.String()+" "+o.Change.Record().CIDR().String()+" "+o.Status.String())
	}
	return lines
}

func problems(p *worker.Proposal) []string {
	var lines []string
	for _, problem := range p.Mapped.Problems {
		before, _, _ := strings.Cut(problem.String(), ": add it at http")
		lines = append(lines, problem.Owner+": "+before)
	}
	return lines
}

// A project without a VRF keeps its own rows out, and nothing else: the other
// projects and the other sources go on, and nothing of the source is deleted.
func TestProjectWithoutVRF(t *testing.T) {
	for _, version := range []netboxtest.Version{netboxtest.V37, netboxtest.V42, netboxtest.V47} {
		t.Run(string(version), func(t *testing.T) {
			b := newBench(t, version)
			b.vrfs("web")
			nova, lxd := &listing{}, &listing{allocations: instances(2)}
			nova.allocations = append(port("1", "web", "10.0.0.5", "203.0.113.1"), port("2", "web", "10.0.0.6", "")...)
			p := b.projects(t, nova)
			p.Sources = append(p.Sources, worker.Source{Name: "lxd", Owner: "dc1/lxd", Source: lxd, Allow: plan.AllowAll()})
			mustSync(t, p)
			before := b.held()

			// A new project with the same addresses, a port of web that is gone,
			// a new one, and a change at the other source.
			nova.allocations = slices.Concat(port("1", "web", "10.0.0.5", "203.0.113.1"), port("3", "web", "10.0.0.7", ""),
				port("4", "app", "10.0.0.5", "203.0.113.2"), port("5", "app", "10.0.0.6", ""))
			lxd.allocations = instances(1)
			b.server.ResetRequests()
			proposal, result := mustSync(t, p)
			require.Equal(t, []string{`dc1/nova: 10.0.0.5/32 of /servers/s?port=4 and 1 more: rule 1: set.vrf: "{project}": NetBox has no VRF "app" (by name or rd)`}, problems(proposal))
			require.Equal(t, []string{"create 203.0.113.2/32 done", "create 10.0.0.7/32 done", "delete 10.0.0.0/8 done"}, written(result))
			require.Len(t, proposal.Plan.Sources[0].Missing, 1)
			require.Empty(t, proposal.Plan.Sources[1].Missing)
			require.Len(t, proposal.Plan.Held, 1)
			require.Equal(t, plan.Incomplete, proposal.Plan.Held[0].Reason)
			require.Contains(t, proposal.Plan.Held[0].String(), `hold delete 10.0.0.6/32 in VRF web, /servers/s?port=2 of dc1/nova: the source did not answer in full (ID`)
			require.Contains(t, proposal.Plan.Held[0].Note, `NetBox has no VRF "app"`)
			require.Contains(t, proposal.Plan.Held[0].Note, "/ipam/vrfs/add/")
			reads, _ := counted(b.server)
			require.LessOrEqual(t, reads["small"], 6)
			require.NotEqual(t, before, b.held())

			// It stays like that until somebody makes the VRF.
			proposal, _ = mustSync(t, p)
			require.Empty(t, proposal.Plan.Changes)
			require.Len(t, proposal.Mapped.Problems, 1)

			b.vrfs("app")
			proposal, result = mustSync(t, p)
			require.Empty(t, proposal.Mapped.Problems)
			require.Equal(t, []string{"create 10.0.0.5/32 done", "create 10.0.0.6/32 done", "update 203.0.113.2/32 done", "delete 10.0.0.6/32 done"}, written(result))
			require.Contains(t, b.held(), "203.0.113.2/32 -> 10.0.0.5/32 in app")
			proposal, _ = mustSync(t, p)
			require.Empty(t, proposal.Plan.Changes)
			require.Empty(t, proposal.Plan.Held)
		})
	}
}

// Tenants, roles and tags likewise; and a VRF that NetBox has twice.
func TestNamesThatNetBoxDoesNotHave(t *testing.T) {
	text := func(s string) *string { return &s }
	for name, c := range map[string]struct {
		set  mapping.Set
		want string
		make func(b bench)
	}{
		"tenant": {mapping.Set{Tenant: text("team")}, `rule 1 (some): set.tenant: NetBox has no tenant "team" (by slug or name)`, func(b bench) {
			b.server.MustPOST("/api/tenancy/tenants/", map[string]any{"name": "Team", "slug": "team"})
		}},
		"tag": {mapping.Set{Tags: []string{"lab"}}, `rule 1 (some): set.tags: NetBox has no tag "lab" (by slug)`, func(b bench) {
			b.server.MustPOST("/api/extras/tags/", map[string]any{"name": "Lab", "slug": "lab"})
		}},
		"role": {mapping.Set{Role: text("lan")}, `rule 1 (some): set.role: NetBox has no IPAM role "lan" (by slug)`, func(b bench) {
			b.server.MustPOST("/api/ipam/roles/", map[string]any{"name": "LAN", "slug": "lan"})
		}},
		"VRF, ambiguous": {mapping.Set{VRF: text("twin")}, `rule 1 (some): set.vrf: VRF "twin" is ambiguous: NetBox has ID 1 without rd, ID 2 with rd 1:1; name it by its rd`, func(b bench) {
			b.server.MustPATCH("/api/ipam/vrfs/2/", map[string]any{"name": "other"})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, netboxtest.V47)
			b.vrfs("twin")
			b.server.MustPOST("/api/ipam/vrfs/", map[string]any{"name": "twin", "rd": "1:1"})
			some := ipam.Allocation{UsedBy: "/n", Kind: ipam.Prefix, Prefix: netip.MustParsePrefix("192.0.2.0/24"), Type: "special"}
			p := b.pass(t, map[string]*listing{"a": {allocations: append(instances(3), some)}}, "a")
			var err error
			p.Mapping, err = mapping.Compile([]mapping.Rule{{Name: "some", Match: mapping.Match{Type: []string{"special"}}, Set: c.set}})
			require.NoError(t, err)
			proposal, result := mustSync(t, p)
			require.Equal(t, []string{"dc1/a: 192.0.2.0/24 of /n: " + c.want}, problems(proposal))
			require.Equal(t, 3, result.Count(apply.Done))
			c.make(b)
			proposal, result = mustSync(t, p)
			require.Empty(t, problems(proposal))
			require.Equal(t, []string{"create 192.0.2.0/24 done"}, written(result))
		})
	}
}

// A rule that gives every row a name with a slip in it: rows that are there
// stay as they are.
func TestAMisspeltNameDeletesNothing(t *testing.T) {
	b := newBench(t, netboxtest.V47)
	l := &listing{allocations: instances(20)}
	p := b.pass(t, map[string]*listing{"a": l}, "a")
	mustSync(t, p)
	var err error
	slip := "tem"
	p.Mapping, err = mapping.Compile([]mapping.Rule{{Set: mapping.Set{Tenant: &slip}}})
	require.NoError(t, err)
	l.allocations = l.allocations[:15]
	b.server.ResetRequests()
	proposal, _ := mustSync(t, p)
	require.Empty(t, proposal.Plan.Changes)
	require.Len(t, proposal.Plan.Held, 20)
	require.Len(t, proposal.Plan.Sources[0].Missing, 1, "one text for all of them")
	require.Nil(t, proposal.Excess)
	_, writes := counted(b.server)
	require.Zero(t, writes)
}

// A VRF that somebody renames in NetBox, or makes a second one of: the rows in it
// stay where they are until it has its name back.
func TestARenamedVRFKeepsItsRows(t *testing.T) {
	for name, change := range map[string]func(b bench) (back func()){
		"renamed": func(b bench) func() {
			b.server.MustPATCH("/api/ipam/vrfs/1/", map[string]any{"name": "web (old)"})
			return func() { b.server.MustPATCH("/api/ipam/vrfs/1/", map[string]any{"name": "web"}) }
		},
		"twice": func(b bench) func() {
			b.server.MustPOST("/api/ipam/vrfs/", map[string]any{"name": "web", "rd": "1:1"})
			return func() { b.server.MustDELETE("/api/ipam/vrfs/2/") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, netboxtest.V47)
			b.vrfs("web")
			p := b.projects(t, &listing{allocations: append(port("1", "web", "10.0.0.5", "203.0.113.1"), port("2", "web", "10.0.0.6", "")...)})
			mustSync(t, p)
			back := change(b)
			proposal, _ := mustSync(t, p)
			require.Empty(t, proposal.Plan.Changes)
			require.Len(t, proposal.Mapped.Problems, 1)
			require.Equal(t, 1, proposal.Mapped.Problems[0].More)
			require.Len(t, proposal.Plan.Held, 2)
			require.Equal(t, 1, proposal.Plan.Sources[0].InStep, "the floating address, which keeps its inside one")
			back()
			proposal, _ = mustSync(t, p)
			require.Equal(t, 3, proposal.Plan.Sources[0].InStep)
			require.Empty(t, proposal.Plan.Changes)
		})
	}
}

// What is wrong with NetBox as a whole, or with the rules themselves, ends the
// pass as before.
func TestTwoNamesForOneVRFEndThePass(t *testing.T) {
	b := newBench(t, netboxtest.V47)
	b.server.MustPOST("/api/ipam/vrfs/", map[string]any{"name": "web", "rd": "1:1"})
	p := b.projects(t, &listing{allocations: append(port("1", "web", "10.0.0.5", ""), port("2", "1:1", "10.0.0.6", "")...)})
	_, err := p.Plan(t.Context())
	require.ErrorContains(t, err, `"1:1" and "web" are one and the same VRF`)

	b.server.MustDELETE("/api/extras/custom-fields/1/")
	_, err = p.Plan(t.Context())
	require.ErrorContains(t, err, "prepare NetBox: ")
}
