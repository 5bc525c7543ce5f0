package mapping_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/mapping"
)

// claims writes claims as text, one line for each: a diff then reads like a
// report.
func claims(list []ipam.Claim) string {
	var b strings.Builder
	for _, c := range list {
		for _, word := range []string{
			c.Place.Kind.String(), c.CIDR().String(), "vrf=" + c.Place.VRF, "owner=" + c.Owner, "user=" + string(c.Attrs.UsedBy), "rank=" + string('0'+rune(c.Rank)),
			"status=" + c.Attrs.Status, "role=" + c.Attrs.Role, "tenant=" + c.Attrs.Tenant, "dns=" + c.Attrs.DNSName,
			"description=" + c.Attrs.Description, "tags=" + string(c.Attrs.Tags),
		} {
			if !strings.HasSuffix(word, "=") {
				b.WriteString(word + " ")
			}
		}
		b.WriteByte('\n')
	}
	return strings.ReplaceAll(b.String(), " \n", "\n")
}

func lines(l ...string) string { return strings.Join(l, "\n") + "\n" }

func TestMap(t *testing.T) {
	network := prefix("/1.0/networks/n1", "10.1.2.0/24", "network")
	gateway := address("/1.0/networks/n1", "10.1.2.1/24", "network")
	instance := address("/1.0/instances/u1", "10.1.2.9/32", "instance")
	instance.Name, instance.Project, instance.MAC = "U_1", "web", "00:16:3e:00:00:01"
	set := func(s mapping.Set) []mapping.Rule { return []mapping.Rule{{Set: s}} }

	for name, c := range map[string]struct {
		rules []mapping.Rule
		in    []ipam.Allocation
		want  string
	}{
		"no rule: everything, in the global table, with nothing set": {nil, []ipam.Allocation{network, gateway, instance}, lines(
			"prefix 10.1.2.0/24 owner=dc1/lab user=/1.0/networks/n1 rank=0",
			"address 10.1.2.1/24 owner=dc1/lab user=/1.0/networks/n1 rank=0",
			"address 10.1.2.9/24 owner=dc1/lab user=/1.0/instances/u1 rank=3",
		)},
		"no rule: a reservation is reserved": {nil, []ipam.Allocation{address("/r", "10.1.2.9/32", "reservation")},
			lines("address 10.1.2.9/32 owner=dc1/lab user=/r rank=3 status=reserved")},
		"a rule overrides what is built in": {set(mapping.Set{Status: ptr("active")}), []ipam.Allocation{address("/r", "10.1.2.9/32", "reservation")},
			lines("address 10.1.2.9/32 owner=dc1/lab user=/r rank=3 status=active")},
		"the empty text takes back": {set(mapping.Set{Status: ptr("")}), []ipam.Allocation{address("/r", "10.1.2.9/32", "reservation")},
			lines("address 10.1.2.9/32 owner=dc1/lab user=/r rank=3")},
		"the last rule wins for each key, tags add up": {[]mapping.Rule{
			{Set: mapping.Set{Status: ptr("active"), Tenant: ptr("a"), Tags: []string{"x", "y"}}},
			{Set: mapping.Set{Tenant: ptr("b"), Tags: []string{"w", "x"}}},
		}, []ipam.Allocation{instance}, lines("address 10.1.2.9/32 owner=dc1/lab user=/1.0/instances/u1 rank=3 status=active tenant=b tags=w,x,y")},
		"skip": {set(mapping.Set{Skip: ptr(true)}), []ipam.Allocation{instance}, ""},
		"skip taken back": {[]mapping.Rule{{Set: mapping.Set{Skip: ptr(true)}}, {Match: mapping.Match{Project: []string{"web"}}, Set: mapping.Set{Skip: ptr(false)}}},
			[]ipam.Allocation{instance, gateway}, lines("address 10.1.2.9/32 owner=dc1/lab user=/1.0/instances/u1 rank=3")},
		"statuses and roles of one kind leave the other alone": {[]mapping.Rule{
			{Set: mapping.Set{Status: ptr("active"), Role: ptr("loopback")}}, {Set: mapping.Set{Status: ptr("container"), Role: ptr("lan")}}, {Set: mapping.Set{Status: ptr("dhcp")}},
		}, []ipam.Allocation{network, instance}, lines(
			"prefix 10.1.2.0/24 owner=dc1/lab user=/1.0/networks/n1 rank=0 status=container role=lan",
			"address 10.1.2.9/24 owner=dc1/lab user=/1.0/instances/u1 rank=3 status=dhcp role=loopback",
		)},
		"templates": {set(mapping.Set{VRF: ptr("{source}-{type}"), Tenant: ptr(" {project} "), DNSName: ptr("{name}.{project}.Example.org"), Description: ptr("{{{name}}} {mac}\n{address} {used_by}")}),
			[]ipam.Allocation{instance}, lines("address 10.1.2.9/32 vrf=lab-instance owner=dc1/lab user=/1.0/instances/u1 rank=3 tenant=web dns=u_1.web.example.org" +
				" description={U_1} 00:16:3e:00:00:01 10.1.2.9 /1.0/instances/u1")},
		"a DNS name with a gap is not set": {set(mapping.Set{DNSName: ptr("{name}.example.org")}), []ipam.Allocation{gateway},
			lines("address 10.1.2.1/24 owner=dc1/lab user=/1.0/networks/n1 rank=0")},
		"prefixes have no DNS name": {set(mapping.Set{DNSName: ptr("x.example.org"), Description: ptr("{address}")}), []ipam.Allocation{network},
			lines("prefix 10.1.2.0/24 owner=dc1/lab user=/1.0/networks/n1 rank=0 description=10.1.2.0/24")},
		"a VRF has masks of its own": {[]mapping.Rule{{Match: mapping.Match{Kind: []string{"address"}}, Set: mapping.Set{VRF: ptr("red")}}}, []ipam.Allocation{network, gateway, instance}, lines(
			"prefix 10.1.2.0/24 owner=dc1/lab user=/1.0/networks/n1 rank=0",
			"address 10.1.2.1/24 vrf=red owner=dc1/lab user=/1.0/networks/n1 rank=0",
			"address 10.1.2.9/32 vrf=red owner=dc1/lab user=/1.0/instances/u1 rank=3",
		)},
		"equal claims merge, those of two users do not": {nil, []ipam.Allocation{network, network, address("/a", "10.1.2.9/32", "instance"), address("/b", "10.1.2.9/32", "instance"), address("/a", "10.1.2.9/24", "instance")}, lines(
			"prefix 10.1.2.0/24 owner=dc1/lab user=/1.0/networks/n1 rank=0",
			"address 10.1.2.9/24 owner=dc1/lab user=/a rank=3",
			"address 10.1.2.9/24 owner=dc1/lab user=/b rank=3",
		)},
	} {
		t.Run(name, func(t *testing.T) {
			got := mustCompile(t, c.rules...).Map([]mapping.Input{input("lab", c.in...)}, nil)
			require.Equal(t, c.want, claims(got.Claims))
			require.Empty(t, got.Problems)
		})
	}
}

// Link-local addresses say nothing outside their link: they are left out, until
// a rule asks for them.
func TestLinkLocalIsSkipped(t *testing.T) {
	in := input("lab",
		address("/u", "fe80::1/64", "instance"), address("/u", "febf:ffff::1/128", "fixed"), prefix("/n", "fe80::/64", "network"), prefix("/n", "fe80::/10", "network"),
		address("/u", "fec0::1/64", "instance"), address("/u", "fe7f::1/64", "instance"), address("/u", "169.254.0.1/16", "instance"),
		prefix("/n", "fe80::/9", "network"), prefix("/n", "fd00::/64", "network"),
	)
	got := mustCompile(t).Map([]mapping.Input{in}, nil)
	require.Len(t, got.Skipped, 4)
	for _, s := range got.Skipped {
		require.Equal(t, "built in (link-local)", s.Rule, "%s", s.Allocation.Prefix)
	}
	require.Equal(t, lines(
		"prefix fd00::/64 owner=dc1/lab user=/n rank=0",
		"prefix fe80::/9 owner=dc1/lab user=/n rank=0",
		"address 169.254.0.1/16 owner=dc1/lab user=/u rank=3",
		"address fe7f::1/64 owner=dc1/lab user=/u rank=3",
		"address fec0::1/9 owner=dc1/lab user=/u rank=3",
	), claims(got.Claims))

	got = mustCompile(t, mapping.Rule{Match: mapping.Match{CIDR: []string{"fe80::/64"}}, Set: mapping.Set{Skip: ptr(false)}}).Map([]mapping.Input{in}, nil)
	require.Len(t, got.Skipped, 2)
	require.Len(t, got.Claims, 7)
}

func TestRanks(t *testing.T) {
	lease := address("/lease", "10.0.0.1/32", "network")
	lease.Dynamic = true
	got := mustCompile(t).Map([]mapping.Input{input("lab", lease, address("/other", "10.0.0.1/32", "floating"), address("/forward", "10.0.0.1/32", "network-forward"),
		address("/lb", "10.0.0.1/32", "network-load-balancer"), address("/network", "10.0.0.1/32", "network"))}, nil)
	require.Equal(t, lines(
		"address 10.0.0.1/32 owner=dc1/lab user=/network rank=0",
		"address 10.0.0.1/32 owner=dc1/lab user=/lb rank=1",
		"address 10.0.0.1/32 owner=dc1/lab user=/forward rank=2",
		"address 10.0.0.1/32 owner=dc1/lab user=/other rank=3",
		"address 10.0.0.1/32 owner=dc1/lab user=/lease rank=4",
	), claims(got.Claims))
}

func TestSourcesKeepTheirClaims(t *testing.T) {
	a := address("/u", "10.0.0.1/32", "instance")
	got := mustCompile(t).Map([]mapping.Input{input("b", a), input("a", a)}, nil)
	require.Equal(t, lines("address 10.0.0.1/32 owner=dc1/a user=/u rank=3", "address 10.0.0.1/32 owner=dc1/b user=/u rank=3"), claims(got.Claims))
}

func TestOnlyAddressesHaveMACAndInside(t *testing.T) {
	a, p := address("/u", "10.0.0.1/32", "floating"), prefix("/u", "10.0.0.0/8", "network")
	a.MAC, p.MAC = "00:16:3e:00:00:01", "00:16:3e:00:00:01"
	a.Inside, p.Inside = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.1")
	fixed := address("/u", "192.0.2.1/32", "fixed")
	got := mustCompile(t).Map([]mapping.Input{input("lab", a, p, fixed)}, nil).Claims
	require.Equal(t, ipam.Attrs{UsedBy: "/u", Type: "network"}, got[0].Attrs)
	require.Equal(t, ipam.Attrs{UsedBy: "/u", Type: "floating", Mask: 8, MAC: a.MAC, Inside: a.Inside}, got[1].Attrs)
}

// A user that states its address twice claims it once, as what counts most.
func TestOneClaimForEachUser(t *testing.T) {
	lease, static := address("/u", "10.0.0.1/32", "instance"), address("/u", "10.0.0.1/32", "instance")
	lease.Dynamic = true
	other := address("/v", "10.0.0.1/32", "instance")
	got := mustCompile(t).Map([]mapping.Input{input("lab", lease, other, static)}, nil).Claims
	require.Len(t, got, 2, "the lease and the static address of /u are one claim, /v's is another")
	require.Equal(t, ipam.UsedBy("/u"), got[0].Attrs.UsedBy)
	require.Equal(t, uint8(3), got[0].Rank)
}

func TestProblems(t *testing.T) {
	m := mustCompile(t, mapping.Rule{Name: "tables", Set: mapping.Set{VRF: ptr("{project}")}})
	a := address("/u", "10.0.0.1/32", "instance")
	broken := address("", "10.0.0.1/32", "instance")
	got := m.Map([]mapping.Input{input("lab", a, broken), {Source: "lab", Allocations: []ipam.Allocation{a}}}, nil)
	require.Empty(t, got.Claims)
	require.Equal(t, []mapping.Problem{
		{Allocation: a, Text: "the source has no owner"},
		{Owner: "dc1/lab", Allocation: broken, Text: "used_by is empty"},
		{Owner: "dc1/lab", Allocation: a, Text: `rule 1 (tables): set.vrf: {project} comes out empty; the global table is meant by "" alone`},
	}, got.Problems)
}

// The laws of Map on random worlds: the order of what goes in means nothing,
// nothing is lost, nothing going in is changed, and claims are sorted and
// each there once.
func TestMapLaws(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	m := mustCompile(t, worldRules()...)
	kinds := [3]int{}
	for range 400 {
		inputs, known := newWorld(r)
		before := cloneInputs(inputs)
		got := m.Map(inputs, known)
		require.Equal(t, before, inputs)

		shuffled := cloneInputs(inputs)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for _, in := range shuffled {
			r.Shuffle(len(in.Allocations), func(i, j int) { in.Allocations[i], in.Allocations[j] = in.Allocations[j], in.Allocations[i] })
		}
		r.Shuffle(len(known), func(i, j int) { known[i], known[j] = known[j], known[i] })
		require.Equal(t, got, m.Map(shuffled, known))

		require.True(t, slices.IsSortedFunc(got.Claims, ipam.Claim.Compare))
		users := map[ipam.Record]bool{}
		for _, c := range got.Claims {
			user := ipam.Record{Owner: c.Owner, Place: c.Place, Attrs: ipam.Attrs{UsedBy: c.Attrs.UsedBy}}
			require.False(t, users[user], "a user claims a place once: %+v", c)
			users[user] = true
		}
		problems := 0
		for _, in := range inputs {
			for _, a := range in.Allocations {
				kind := requireFound(t, m, got, in, a)
				kinds[kind]++
				if kind == 0 {
					problems++
				}
			}
		}
		require.Equal(t, problems, countProblems(got.Problems))
	}
	for kind, n := range kinds {
		require.Greater(t, n, 50, "the worlds hold too little of outcome %d", kind)
	}
}

// countProblems is of how many allocations something is wrong.
func countProblems(list []mapping.Problem) int {
	n := 0
	for _, p := range list {
		n += 1 + p.More
	}
	return n
}

func cloneInputs(inputs []mapping.Input) []mapping.Input {
	list := slices.Clone(inputs)
	for i := range list {
		list[i].Allocations = slices.Clone(list[i].Allocations)
	}
	return list
}

// requireFound checks that a is exactly one of claimed, skipped or a problem,
// and that Explain says the same.
func requireFound(t *testing.T, m *mapping.Mapping, got mapping.Mapped, in mapping.Input, a ipam.Allocation) (kind int) {
	t.Helper()
	e := m.Explain(mapping.Input{Owner: in.Owner, Source: in.Source}, a)
	e.Claim.Attrs.Mask = 0 // which depends on what else is there
	claimed := slices.ContainsFunc(got.Claims, func(c ipam.Claim) bool {
		c.Attrs.Mask = 0
		if c.Owner != e.Claim.Owner || c.Place != e.Claim.Place || c.Attrs.UsedBy != e.Claim.Attrs.UsedBy {
			return false
		}
		// The same user may state more about the place: the strongest counts.
		return c.Rank <= e.Claim.Rank
	})
	skipped := slices.Contains(got.Skipped, mapping.Skip{Owner: in.Owner, Allocation: a, Rule: e.SkippedBy})
	problem := slices.ContainsFunc(got.Problems, func(p mapping.Problem) bool {
		return p.Owner == in.Owner && p.Text == e.Problem && p.Allocation.Compare(a) <= 0
	})
	switch {
	case e.Problem != "":
		require.True(t, problem && !skipped, "%+v", a)
		return 0
	case e.SkippedBy != "":
		require.True(t, skipped && !problem, "%+v", a)
		return 1
	}
	require.True(t, claimed && !skipped && !problem, "%+v", a)
	return 2
}
