package mapping_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/mapping"
)

// port is a port of a cloud: its fixed address and the floating one before it.
func port(usedBy, project, fixed, floating string) []ipam.Allocation {
	in, out := address(usedBy, fixed+"/32", "fixed"), address(usedBy, floating+"/32", "floating")
	in.Project, out.Project = project, project
	out.Inside = netip.MustParseAddr(fixed)
	return []ipam.Allocation{in, out}
}

// inProjects are the rules of a cloud whose tenants' addresses overlap.
func inProjects(more ...mapping.Rule) []mapping.Rule {
	return append([]mapping.Rule{{Match: mapping.Match{Type: []string{"fixed"}}, Set: mapping.Set{VRF: ptr("{project}")}}}, more...)
}

// insides writes each claim with an inside address as "outside -> inside in VRF".
func insides(list []ipam.Claim) []string {
	var out []string
	for _, c := range list {
		if c.Attrs.Type == "floating" {
			text := c.Place.Prefix.Addr().String() + " -> none"
			if c.Attrs.Inside.IsValid() {
				text = c.Place.Prefix.Addr().String() + " -> " + c.Attrs.Inside.String() + " in " + c.Attrs.InsideVRF
			}
			out = append(out, text)
		}
	}
	return out
}

func TestInsideStandsInItsOwnVRF(t *testing.T) {
	skipped := mapping.Rule{Match: mapping.Match{Type: []string{"fixed"}, Project: []string{"db"}}, Set: mapping.Set{Skip: ptr(true)}}
	all := slices.Concat(port("/p/1", "web", "10.0.0.5", "203.0.113.1"), port("/p/2", "db", "10.0.0.5", "203.0.113.2"))
	chain := port("/p/3", "web", "10.0.0.7", "203.0.113.3")
	chain[0].Inside = netip.MustParseAddr("10.0.0.8")
	itself := port("/p/4", "web", "10.0.0.9", "10.0.0.9")[1:]
	prefixOnly := port("/p/5", "web", "10.0.0.11", "203.0.113.5")
	prefixOnly[0].Kind = ipam.Prefix
	twice := port("/p/6", "web", "10.0.0.12", "203.0.113.6")
	second := twice[0]
	second.Project = "app"
	for name, c := range map[string]struct {
		rules []mapping.Rule
		in    []ipam.Allocation
		want  []string
	}{
		"in the VRF of its project": {inProjects(), all, []string{"203.0.113.1 -> 10.0.0.5 in web", "203.0.113.2 -> 10.0.0.5 in db"}},
		"in the global table":       {nil, all, []string{"203.0.113.1 -> 10.0.0.5 in ", "203.0.113.2 -> 10.0.0.5 in "}},
		"the floating ones have a VRF too": {inProjects(mapping.Rule{Match: mapping.Match{Type: []string{"floating"}}, Set: mapping.Set{VRF: ptr("public")}}), all,
			[]string{"203.0.113.1 -> 10.0.0.5 in web", "203.0.113.2 -> 10.0.0.5 in db"}},
		"a rule leaves the fixed one out": {inProjects(skipped), all, []string{"203.0.113.1 -> 10.0.0.5 in web", "203.0.113.2 -> none"}},
		"another user's is another":       {inProjects(), all[1:3], []string{"203.0.113.1 -> none"}},
		"another kind is another":         {inProjects(), prefixOnly, []string{"203.0.113.5 -> none"}},
		"not one that has an inside too":  {inProjects(), chain, []string{"203.0.113.3 -> none"}},
		"not itself":                      {inProjects(), itself, []string{"10.0.0.9 -> none"}},
		"of two VRFs the first":           {inProjects(), append(twice, second), []string{"203.0.113.6 -> 10.0.0.12 in app"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := mustCompile(t, c.rules...).Map([]mapping.Input{input("lab", c.in...)}, nil)
			require.Equal(t, c.want, insides(got.Claims))
			require.True(t, slices.IsSortedFunc(got.Claims, ipam.Claim.Compare))
		})
	}
}

// Two sources may call their ports the same.
func TestInsideIsOfTheSameSource(t *testing.T) {
	p := port("/p/1", "web", "10.0.0.5", "203.0.113.1")
	got := mustCompile(t, inProjects()...).Map([]mapping.Input{input("a", p[0]), input("b", p[1])}, nil)
	require.Equal(t, []string{"203.0.113.1 -> none"}, insides(got.Claims))
}

// Against the slow, obvious way.
func TestInsideOracle(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	m := mustCompile(t, inProjects(mapping.Rule{Match: mapping.Match{Name: []string{"hidden"}}, Set: mapping.Set{Skip: ptr(true)}})...)
	found, none := 0, 0
	for range 500 {
		var in []mapping.Input
		for _, source := range []string{"a", "b"} {
			var list []ipam.Allocation
			for range r.IntN(12) {
				addr := func(base string) netip.Addr {
					bytes := netip.MustParseAddr(base).As4()
					bytes[3] += byte(r.IntN(3))
					return netip.AddrFrom4(bytes)
				}
				p := port(pick(r, "/p/1", "/p/2"), pick(r, "web", "db"), addr("10.0.0.1").String(), addr("203.0.113.1").String())
				p[0].Name = pick(r, "", "", "hidden")
				list = append(list, p[r.IntN(2)])
			}
			in = append(in, input(source, list...))
		}
		got := m.Map(in, nil).Claims
		for _, c := range got {
			if c.Attrs.Type != "floating" {
				require.Empty(t, c.Attrs.InsideVRF)
				continue
			}
			vrfs := map[string]bool{}
			for _, d := range got {
				if d.Attrs.Type == "fixed" && d.Owner == c.Owner && d.Attrs.UsedBy == c.Attrs.UsedBy && d.Place.Prefix.Addr() == c.Attrs.Inside {
					vrfs[d.Place.VRF] = true
				}
			}
			if c.Attrs.Inside.IsValid() {
				found++
				require.True(t, vrfs[c.Attrs.InsideVRF], "%+v", c)
				continue
			}
			none++
			require.Empty(t, c.Attrs.InsideVRF)
		}
	}
	require.Greater(t, found, 200)
	require.Greater(t, none, 200)
}

func TestExplainSaysWhereInsideStands(t *testing.T) {
	m := mustCompile(t, inProjects()...)
	in := input("lab", port("/p/1", "web", "10.0.0.5", "203.0.113.1")...)
	e := m.Explain(in, in.Allocations[1])
	require.Equal(t, m.Map([]mapping.Input{in}, nil).Claims[0], e.Claim)
	require.Contains(t, e.String(), "=> address 203.0.113.1/32 in the global table, rank 3, nat_inside 10.0.0.5 in VRF web\n")
	m = mustCompile(t)
	require.Contains(t, m.Explain(in, in.Allocations[1]).String(), ", nat_inside 10.0.0.5\n")
}
