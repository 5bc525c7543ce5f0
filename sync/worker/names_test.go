package worker_test

import (
	"fmt"
	"math/rand/v2"
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

// What is wrong with NetBox as a whole ends the pass as before.
func TestMissingFieldEndsThePass(t *testing.T) {
	b := newBench(t, netboxtest.V47)
	p := b.projects(t, &listing{allocations: port("1", "web", "10.0.0.5", "")})
	b.server.MustDELETE("/api/extras/custom-fields/1/")
	_, err := p.Plan(t.Context())
	require.ErrorContains(t, err, "prepare NetBox: ")
}

// rows lists the addresses with their users, tables and tenants.
func (b bench) rows() string {
	var out []string
	for _, r := range b.server.MustGET("/api/ipam/ip-addresses/?limit=100&ordering=id")["results"].([]any) {
		m := r.(map[string]any)
		line := m["address"].(string) + " " + m["custom_fields"].(map[string]any)["used_by"].(string)
		for _, k := range []string{"vrf", "tenant"} {
			if v, ok := m[k].(map[string]any); ok {
				line += " " + k + "=" + v["name"].(string)
			}
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

// A project that is named as the route distinguisher of a VRF, or the name of one
// that was known by that: its own rows and those of the other project at the same
// addresses stay as they are, and everything else goes on.
func TestProjectsThatNameOneVRF(t *testing.T) {
	for _, first := range []string{"web", "1:1"} {
		t.Run(first, func(t *testing.T) {
			b := newBench(t, netboxtest.V47)
			b.server.MustPOST("/api/ipam/vrfs/", map[string]any{"name": "web", "rd": "1:1"})
			second := map[string]string{"web": "1:1", "1:1": "web"}[first]
			nova, lxd := &listing{}, &listing{allocations: instances(2)}
			had := slices.Concat(port("1", first, "10.0.0.5", ""), port("2", first, "10.0.0.6", ""))
			nova.allocations = had
			p := b.projects(t, nova)
			p.Sources = append(p.Sources, worker.Source{Name: "lxd", Owner: "dc1/lxd", Source: lxd, Allow: plan.AllowAll()})
			mustSync(t, p)
			before := b.rows()

			// The newcomer has one of the addresses, and states its user too.
			nova.allocations = slices.Concat(had, port("6", second, "10.0.0.5", "203.0.113.6"), port("7", second, "10.0.0.7", ""))
			lxd.allocations = instances(3)
			proposal, _ := mustSync(t, p)
			after := b.rows()
			require.True(t, strings.HasPrefix(after, before+"\n"), "%s\n\n%s", before, after)
			require.Contains(t, after, "10.0.0.1/8 /1.0/instances/i1", "the other source goes on")
			require.Contains(t, strings.Join(problems(proposal), "\n"), `rule 1: set.vrf: "{project}": "1:1" names the same VRF as "web" (ID 1); use one of them everywhere`)
			require.NotContains(t, after, "10.0.0.5/32 /servers/s?port=6")
			require.Equal(t, first == "1:1", strings.Contains(after, "10.0.0.7/32 /servers/s?port=7 vrf=web"))
			for range 2 { // and nothing flips
				proposal, _ = mustSync(t, p)
				require.Empty(t, proposal.Plan.Changes)
				slices.Reverse(nova.allocations)
			}
			require.Equal(t, after, b.rows())

			nova.allocations = had // the newcomer goes
			mustSync(t, p)
			require.True(t, strings.HasPrefix(b.rows(), before+"\n"))
			proposal, _ = mustSync(t, p)
			require.Empty(t, problems(proposal))
			require.Empty(t, proposal.Plan.Held)
		})
	}
}

// The same with tenants: one project is the name, one the slug.
func TestProjectsThatNameOneTenant(t *testing.T) {
	b := newBench(t, netboxtest.V47)
	b.server.MustPOST("/api/tenancy/tenants/", map[string]any{"name": "Acme", "slug": "acme"})
	nova := &listing{allocations: port("1", "acme", "10.0.0.5", "")}
	p := b.pass(t, map[string]*listing{"nova": nova}, "nova")
	tenant := "{project}"
	var err error
	p.Mapping, err = mapping.Compile([]mapping.Rule{{Set: mapping.Set{Tenant: &tenant}}})
	require.NoError(t, err)
	mustSync(t, p)
	nova.allocations = append(nova.allocations, port("6", "Acme", "10.0.0.6", "")...)
	proposal, result := mustSync(t, p)
	require.Equal(t, []string{`dc1/nova: 10.0.0.5/32 of /servers/s?port=1: rule 1: set.tenant: "{project}": "acme" names the same tenant as "Acme" (ID 1); use one of them everywhere`}, problems(proposal))
	require.Equal(t, []string{"create 10.0.0.6/32 done"}, written(result))
	require.Equal(t, "10.0.0.5/32 /servers/s?port=1 tenant=Acme\n10.0.0.6/32 /servers/s?port=6 tenant=Acme", b.rows())
}

// A project cannot take a name away from a rule that spells it out.
func TestRulesNameBeforeProjects(t *testing.T) {
	for _, firm := range []string{"web", "1:1"} {
		b := newBench(t, netboxtest.V47)
		b.server.MustPOST("/api/ipam/vrfs/", map[string]any{"name": "web", "rd": "1:1"})
		nova, lxd := &listing{}, &listing{allocations: instances(3)}
		p := b.projects(t, nova)
		p.Sources = append(p.Sources, worker.Source{Name: "lxd", Owner: "dc1/lxd", Source: lxd, Allow: plan.AllowAll()})
		table := "{project}"
		var err error
		p.Mapping, err = mapping.Compile([]mapping.Rule{
			{Match: mapping.Match{Source: []string{"nova"}}, Set: mapping.Set{VRF: &table}},
			{Match: mapping.Match{Source: []string{"lxd"}}, Set: mapping.Set{VRF: &firm}},
		})
		require.NoError(t, err)
		nova.allocations = slices.Concat(port("1", "web", "172.16.0.5", ""), port("2", "1:1", "172.16.0.6", ""))
		proposal, result := mustSync(t, p)
		require.Len(t, problems(proposal), 1)
		require.Equal(t, 4, result.Count(apply.Done))
		require.Empty(t, proposal.Plan.Sources[1].Missing, "%s is the rule's", firm)
	}
}

// Whatever a project is called, the pass goes through, for its own source and for
// the others.
func TestProjectsOfAnyName(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2))
	odd := []string{"null", "None", "web ", "WEB", "1:1", "1:2", "dev", "Dev", strings.Repeat("a", 5000), strings.Repeat("é", 100), "a\x00b", "\xff", "\u200b", "a,b", "a&b=c", "%00", "😀", "0", "-", "…", "web (#1)", "web (#2)"}
	for range 40 {
		b := newBench(t, netboxtest.V47)
		b.vrfs("null", "web", "1:2", "dev")
		b.server.MustPOST("/api/ipam/vrfs/", map[string]any{"name": "other", "rd": "1:1"})
		b.server.MustPOST("/api/tenancy/tenants/", map[string]any{"name": "Dev", "slug": "dev"})
		b.server.MustPOST("/api/tenancy/tenants/", map[string]any{"name": "web", "slug": "Dev-2"})
		nova, lxd := &listing{allocations: port("0", "web", "10.1.0.0", "")}, &listing{allocations: instances(2)}
		for i := range 6 {
			name := odd[r.IntN(len(odd))]
			if r.IntN(3) == 0 {
				name += string([]rune{rune(r.IntN(0x3000)), rune(r.IntN(0x11000))})
			}
			nova.allocations = append(nova.allocations, port(fmt.Sprint(i+1), name, fmt.Sprintf("10.1.0.%d", r.IntN(3)), fmt.Sprintf("203.0.113.%d", i))...)
		}
		p := b.projects(t, nova)
		p.Sources = append(p.Sources, worker.Source{Name: "lxd", Owner: "dc1/lxd", Source: lxd, Allow: plan.AllowAll()})
		table := "{project}"
		var err error
		p.Mapping, err = mapping.Compile([]mapping.Rule{{Match: mapping.Match{Type: []string{"fixed"}}, Set: mapping.Set{VRF: &table, Tenant: &table}}})
		require.NoError(t, err)
		mustSync(t, p)
		require.Contains(t, b.rows(), "10.0.0.0/8 /1.0/instances/i0")
		for range 2 { // a row that had to do without its inside one may get it now
			mustSync(t, p)
		}
		proposal, _ := mustSync(t, p)
		require.Empty(t, proposal.Plan.Changes)
		for _, problem := range proposal.Mapped.Problems {
			require.Less(t, len(problem.Text), 2000)
		}
	}
}
