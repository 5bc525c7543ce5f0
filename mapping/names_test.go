package mapping_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/mapping"
)

// texts writes problems as their text.
func texts(list []mapping.Problem) []string {
	var out []string
	for _, p := range list {
		out = append(out, p.Owner+": "+p.String())
	}
	return out
}

// A name that NetBox does not know keeps those rows out that would have it, and
// no others.
func TestWithout(t *testing.T) {
	rules := []mapping.Rule{
		{Set: mapping.Set{Tags: []string{"a"}, Tenant: ptr("team")}},
		{Name: "tables", Match: mapping.Match{Type: []string{"fixed"}}, Set: mapping.Set{VRF: ptr("{project}"), Tags: []string{"a", "b"}}},
		{Name: "nets", Match: mapping.Match{Kind: []string{"prefix"}}, Set: mapping.Set{Role: ptr("lan")}},
		{Name: "lbs", Match: mapping.Match{Type: []string{"network-forward"}}, Set: mapping.Set{Role: ptr("vip"), Tenant: ptr("other")}},
	}
	in := input("lab", slices.Concat(
		port("/p/1", "web", "10.0.0.5", "203.0.113.1"), port("/p/2", "web", "10.0.0.6", "203.0.113.2"), port("/p/3", "db", "10.0.0.5", "203.0.113.3"),
		[]ipam.Allocation{prefix("/n", "10.1.0.0/24", "network"), address("/i", "10.1.0.9/32", "instance"), address("/f", "203.0.113.9/32", "network-forward")},
	)...)
	for name, c := range map[string]struct {
		names    mapping.Names
		claims   int
		problems []string
	}{
		"nothing": {mapping.Names{VRFs: map[string]string{"nowhere": "x"}, Roles: map[string]string{"vip": "of an address, a role has no row"}}, 9, nil},
		"a VRF of a placeholder": {mapping.Names{VRFs: map[string]string{"web": "NetBox has no VRF"}}, 7, []string{
			`dc1/lab: 10.0.0.5/32 of /p/1 and 1 more: rule 2 (tables): set.vrf: "{project}": NetBox has no VRF`}},
		"a tenant": {mapping.Names{Tenants: map[string]string{"other": "NetBox has no tenant"}}, 8, []string{
			`dc1/lab: 203.0.113.9/32 of /f: rule 4 (lbs): set.tenant: NetBox has no tenant`}},
		"a role": {mapping.Names{Roles: map[string]string{"lan": "NetBox has no role"}}, 8, []string{
			`dc1/lab: 10.1.0.0/24 of /n: rule 3 (nets): set.role: NetBox has no role`}},
		"a tag, by the first rule that sets it": {mapping.Names{Tags: map[string]string{"a": "NetBox has no tag"}}, 0, []string{
			`dc1/lab: 10.1.0.0/24 of /n and 8 more: rule 1: set.tags: NetBox has no tag`}},
		"two at once": {mapping.Names{VRFs: map[string]string{"db": "no VRF"}, Tags: map[string]string{"b": "no tag"}}, 6, []string{
			`dc1/lab: 10.0.0.5/32 of /p/1 and 1 more: rule 2 (tables): set.tags: no tag`,
			`dc1/lab: 10.0.0.5/32 of /p/3: rule 2 (tables): set.vrf: "{project}": no VRF; rule 2 (tables): set.tags: no tag`}},
	} {
		t.Run(name, func(t *testing.T) {
			plain := mustCompile(t, rules...)
			got := plain.Without(c.names).Map([]mapping.Input{in}, nil)
			require.Equal(t, c.problems, texts(got.Problems))
			require.Len(t, got.Claims, c.claims)
			require.Len(t, plain.Map([]mapping.Input{in}, nil).Claims, 9, "the mapping itself stays")
		})
	}
}

// A floating address whose fixed one cannot be written does without it.
func TestWithoutLeavesNothingPointingThere(t *testing.T) {
	in := input("lab", slices.Concat(port("/p/1", "web", "10.0.0.5", "203.0.113.1"), port("/p/2", "db", "10.0.0.5", "203.0.113.2"))...)
	got := mustCompile(t, inProjects()...).Without(mapping.Names{VRFs: map[string]string{"web": "x"}}).Map([]mapping.Input{in}, nil)
	require.Equal(t, []string{"203.0.113.1 -> none", "203.0.113.2 -> 10.0.0.5 in db"}, insides(got.Claims))
}

// A prefix that cannot be written still gives addresses their masks: else they
// would change twice, now and when it can be.
func TestWithoutKeepsMasks(t *testing.T) {
	in := input("lab", prefix("/n", "10.1.0.0/24", "network"), address("/i", "10.1.0.9/32", "instance"))
	m := mustCompile(t, mapping.Rule{Match: mapping.Match{Kind: []string{"prefix"}}, Set: mapping.Set{Role: ptr("lan")}})
	got := m.Without(mapping.Names{Roles: map[string]string{"lan": "x"}}).Map([]mapping.Input{in}, nil)
	require.Equal(t, lines("address 10.1.0.9/24 owner=dc1/lab user=/i rank=3"), claims(got.Claims))
}

// Where the strongest claim of a place cannot be written, the next one does not
// get the place; a weaker one that cannot be written changes nothing.
func TestWithoutGivesNoPlaceAway(t *testing.T) {
	m := mustCompile(t,
		mapping.Rule{Match: mapping.Match{Type: []string{"network"}}, Set: mapping.Set{Tenant: ptr("net")}},
		mapping.Rule{Match: mapping.Match{Dynamic: ptr(true)}, Set: mapping.Set{Tenant: ptr("lease")}},
	)
	gateway, forward, other := address("/n", "10.1.0.1/24", "network"), address("/f", "10.1.0.1/32", "network-forward"), address("/i", "10.1.0.2/32", "instance")
	lease := other
	lease.Dynamic = true
	in := []mapping.Input{input("lab", gateway, forward, other, lease), input("b", forward)}
	got := m.Without(mapping.Names{Tenants: map[string]string{"net": "no net", "lease": "no lease"}}).Map(in, nil)
	require.Equal(t, []string{
		`dc1/lab: 10.1.0.1/24 of /n: rule 1: set.tenant: no net`,
		`dc1/lab: 10.1.0.1/32 of /f: it is claimed more than once, and the first cannot be written: rule 1: set.tenant: no net`,
		`dc1/lab: 10.1.0.2/32 of /i: rule 2: set.tenant: no lease`,
	}, texts(got.Problems))
	require.Equal(t, lines(
		"address 10.1.0.1/32 owner=dc1/b user=/f rank=2",
		"address 10.1.0.2/32 owner=dc1/lab user=/i rank=3",
	), claims(got.Claims))
}

// Of several claims of one place that cannot be written, the strongest counts,
// in whatever order they come.
func TestWithoutTakesTheStrongest(t *testing.T) {
	m := mustCompile(t,
		mapping.Rule{Match: mapping.Match{UsedBy: []string{"/x"}}, Set: mapping.Set{Tenant: ptr("x")}},
		mapping.Rule{Match: mapping.Match{UsedBy: []string{"/y"}}, Set: mapping.Set{Tenant: ptr("y")}},
		mapping.Rule{Match: mapping.Match{Dynamic: ptr(true)}, Set: mapping.Set{Tenant: ptr("lease")}},
	).Without(mapping.Names{Tenants: map[string]string{"x": "no x", "y": "no y", "lease": "no lease"}})
	lease := address("/l", "10.1.0.1/32", "instance")
	lease.Dynamic = true
	list := []ipam.Allocation{lease, address("/y", "10.1.0.1/32", "instance"), address("/x", "10.1.0.1/32", "instance"), address("/z", "10.1.0.1/32", "instance")}
	want := []string{
		"dc1/lab: 10.1.0.1/32 of /l: rule 3: set.tenant: no lease",
		"dc1/lab: 10.1.0.1/32 of /x: rule 1: set.tenant: no x",
		"dc1/lab: 10.1.0.1/32 of /y: rule 2: set.tenant: no y",
		"dc1/lab: 10.1.0.1/32 of /z: it is claimed more than once, and the first cannot be written: rule 1: set.tenant: no x",
	}
	for range 2 {
		got := m.Map([]mapping.Input{input("lab", list...)}, nil)
		require.Equal(t, want, texts(got.Problems))
		require.Empty(t, got.Claims)
		slices.Reverse(list)
	}
}

func TestExplainWithout(t *testing.T) {
	m := mustCompile(t, inProjects()...).Without(mapping.Names{VRFs: map[string]string{"web": "NetBox has none"}})
	in := input("lab", port("/p/1", "web", "10.0.0.5", "203.0.113.1")...)
	e := m.Explain(in, in.Allocations[0])
	require.Equal(t, `rule 1: set.vrf: "{project}": NetBox has none`, e.Problem)
	require.Zero(t, e.Claim)
}

// On random worlds: what is left is what there was without the places that are
// blocked, in any order, and nothing is lost.
func TestWithoutLaws(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	plain := mustCompile(t, worldRules()...)
	names := mapping.Names{VRFs: map[string]string{"n1": "no VRF"}, Tenants: map[string]string{"web": "no tenant"}, Tags: map[string]string{"lease": "no tag"}}
	m := plain.Without(names)
	uses := func(c ipam.Claim) bool {
		return c.Place.VRF == "n1" || c.Attrs.Tenant == "web" || slices.Contains(c.Attrs.Tags.Slugs(), "lease")
	}
	written, kept, lost := 0, 0, 0
	for range 400 {
		inputs, known := newWorld(r)
		got := m.Map(inputs, known)
		shuffled := cloneInputs(inputs)
		slices.Reverse(shuffled)
		for _, in := range shuffled {
			slices.Reverse(in.Allocations)
		}
		require.Equal(t, got, m.Map(shuffled, known))

		problems := 0
		want := map[ipam.Record]bool{}
		for _, in := range inputs {
			all := make([]mapping.Explanation, len(in.Allocations))
			for i, a := range in.Allocations {
				all[i] = plain.Explain(mapping.Input{Owner: in.Owner, Source: in.Source}, a)
			}
			for i, a := range in.Allocations {
				e := all[i]
				bad := e.Problem != ""
				for _, o := range all {
					claimed := e.SkippedBy == "" && o.SkippedBy == "" && o.Problem == ""
					bad = bad || claimed && o.Claim.Place == e.Claim.Place && o.Claim.Rank <= e.Claim.Rank && uses(o.Claim)
				}
				switch {
				case bad:
					problems++
				case e.SkippedBy == "":
					want[ipam.Record{Owner: in.Owner, Place: e.Claim.Place, Attrs: ipam.Attrs{UsedBy: a.UsedBy}}] = true
				}
			}
		}
		require.Equal(t, problems, countProblems(got.Problems))
		require.Len(t, got.Claims, len(want))
		for _, c := range got.Claims {
			require.False(t, uses(c), "%+v", c)
			require.True(t, want[ipam.Record{Owner: c.Owner, Place: c.Place, Attrs: ipam.Attrs{UsedBy: c.Attrs.UsedBy}}], "%+v", c)
		}
		lost += problems
		kept += len(want)
		written += len(plain.Map(inputs, known).Claims)
	}
	require.Greater(t, lost, 1000)
	require.Greater(t, kept, 1000)
	require.Less(t, kept, written)
}

// What is claimed under another spelling of a VRF stands in that VRF: its places
// go to no claim there that is not stronger.
func TestWithoutKeepsPlacesOfAnotherSpelling(t *testing.T) {
	m := mustCompile(t, inProjects()...).Without(mapping.Names{
		VRFs: map[string]string{"1:1": "names the same"}, SameVRF: map[string]string{"1:1": "web"},
	})
	in := func(project, usedBy, addr string, dynamic bool) ipam.Allocation {
		a := address(usedBy, addr, "fixed")
		a.Project, a.Dynamic = project, dynamic
		return a
	}
	list := []ipam.Allocation{
		in("1:1", "/p/1", "10.0.0.5/32", false), in("web", "/p/2", "10.0.0.5/32", false), in("web", "/p/2", "10.0.0.6/32", false),
		in("1:1", "/p/1", "10.0.0.7/32", true), in("web", "/p/2", "10.0.0.7/32", false),
	}
	for range 2 {
		got := m.Map([]mapping.Input{input("lab", list...)}, nil)
		require.Equal(t, lines(
			"address 10.0.0.6/32 vrf=web owner=dc1/lab user=/p/2 rank=3",
			"address 10.0.0.7/32 vrf=web owner=dc1/lab user=/p/2 rank=3",
		), claims(got.Claims))
		require.Equal(t, []string{
			`dc1/lab: 10.0.0.5/32 of /p/1 and 1 more: rule 1: set.vrf: "{project}": names the same`,
			`dc1/lab: 10.0.0.5/32 of /p/2: it is claimed more than once, and the first cannot be written: rule 1: set.vrf: "{project}": names the same`,
		}, texts(got.Problems))
		slices.Reverse(list)
	}
}

func TestConstants(t *testing.T) {
	vrfs, tenants := mustCompile(t,
		mapping.Rule{Set: mapping.Set{VRF: ptr("{project}"), Tenant: ptr(" team ")}},
		mapping.Rule{Set: mapping.Set{VRF: ptr("a{{b}}"), Tenant: ptr("x-{name}")}},
		mapping.Rule{Set: mapping.Set{VRF: ptr(""), Tenant: ptr("")}},
	).Constants()
	require.Equal(t, []string{"a{b}"}, vrfs)
	require.Equal(t, []string{"team"}, tenants)
}
