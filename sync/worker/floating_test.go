package worker_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/mapping"
	"allocsync/netbox/netboxtest"
	"allocsync/sources"
	"allocsync/sync/worker"
)

// port is a port of a cloud: its fixed address, and the floating one before it
// where it has one. None has a MAC: it is not plugged in anywhere.
func port(id, project, fixed, floating string) []ipam.Allocation {
	a := ipam.Allocation{
		UsedBy: ipam.UsedBy("/servers/s?port=" + id), Kind: ipam.Address, Prefix: ipam.HostPrefix(netip.MustParseAddr(fixed)),
		Type: "fixed", Project: project,
	}
	list := []ipam.Allocation{a}
	if floating != "" {
		a.Type, a.Inside, a.Prefix = "floating", a.Prefix.Addr(), ipam.HostPrefix(netip.MustParseAddr(floating))
		list = append(list, a)
	}
	return list
}

func (b bench) vrfs(names ...string) {
	for _, name := range names {
		b.server.MustPOST("/api/ipam/vrfs/", map[string]any{"name": name, "enforce_unique": true})
	}
}

// projects is a pass over one cloud whose tenants' addresses overlap.
func (b bench) projects(tb testing.TB, l *listing) *worker.Pass {
	tb.Helper()
	p := b.pass(tb, map[string]*listing{"nova": l}, "nova")
	var err error
	table := "{project}"
	p.Mapping, err = mapping.Compile([]mapping.Rule{{Match: mapping.Match{Type: []string{"fixed"}}, Set: mapping.Set{VRF: &table}}})
	require.NoError(tb, err)
	return p
}

// held lists the addresses that NetBox holds, "ID address vrf -> inside vrf".
func (b bench) held() string {
	byID := map[float64]map[string]any{}
	var order []float64
	for _, row := range b.server.MustGET("/api/ipam/ip-addresses/?limit=1000&ordering=id")["results"].([]any) {
		r := row.(map[string]any)
		byID[r["id"].(float64)] = r
		order = append(order, r["id"].(float64))
	}
	table := func(r map[string]any) string {
		if vrf, ok := r["vrf"].(map[string]any); ok {
			return " in " + vrf["name"].(string)
		}
		return ""
	}
	var lines []string
	for _, id := range order {
		r := byID[id]
		line := fmt.Sprintf("%v %v%s", id, r["address"], table(r))
		if inside, ok := r["nat_inside"].(map[string]any); ok {
			line += fmt.Sprintf(" -> %v%s", inside["address"], table(byID[inside["id"].(float64)]))
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// Tenants of a cloud have the same fixed addresses, each in a VRF of its own,
// and floating ones in the global table. A floating address that goes from one
// port to another keeps its row, and points to the right one of them.
func TestFloatingAddresses(t *testing.T) {
	for _, version := range []netboxtest.Version{netboxtest.V37, netboxtest.V42, netboxtest.V47} {
		t.Run(string(version), func(t *testing.T) {
			b := newBench(t, version)
			b.vrfs("web", "db", "app")
			l := &listing{}
			p := b.projects(t, l)
			list := func(web, db, app string) {
				l.allocations = nil
				l.allocations = append(l.allocations, port("1", "web", "10.0.0.5", web)...)
				l.allocations = append(l.allocations, port("2", "db", "10.0.0.5", db)...)
				l.allocations = append(l.allocations, port("3", "app", "10.0.0.9", app)...)
			}
			const outside = "203.0.113.1"
			fixed := "\n2 10.0.0.5/32 in db\n3 10.0.0.5/32 in web"

			list(outside, "", "") // all in one pass
			mustSync(t, p)
			require.Equal(t, "1 10.0.0.9/32 in app"+fixed+"\n4 203.0.113.1/32 -> 10.0.0.5/32 in web", b.held())

			for _, move := range []struct{ web, db, app, want, changes string }{
				{"", outside, "", "10.0.0.5/32 in db", `used_by "/servers/s?port=1" -> "/servers/s?port=2"`},
				{"", "", outside, "10.0.0.9/32 in app", `used_by "/servers/s?port=2" -> "/servers/s?port=3", nat_inside "10.0.0.5" -> "10.0.0.9"`},
				{outside, "", "", "10.0.0.5/32 in web", `used_by "/servers/s?port=3" -> "/servers/s?port=1", nat_inside "10.0.0.9" -> "10.0.0.5"`},
			} {
				list(move.web, move.db, move.app)
				b.server.ResetRequests()
				proposal, _ := mustSync(t, p)
				require.Len(t, proposal.Plan.Changes, 1)
				require.True(t, strings.HasSuffix(proposal.Plan.Changes[0].String(), "changed at the source: "+move.changes), "%s", proposal.Plan.Changes[0])
				var writes []string
				for _, r := range b.server.Requests() {
					if r.Method != http.MethodGet {
						writes = append(writes, r.Method)
					}
				}
				require.Equal(t, []string{http.MethodPatch}, writes)
				require.Equal(t, "1 10.0.0.9/32 in app"+fixed+"\n4 203.0.113.1/32 -> "+move.want, b.held())
				proposal, _ = mustSync(t, p)
				require.Empty(t, proposal.Plan.Changes)
			}
		})
	}
}

// Where a rule leaves the fixed addresses out, the floating ones are there all
// the same, and what a person says of them stays.
func TestFloatingAddressesWithoutFixedOnes(t *testing.T) {
	b := newBench(t, netboxtest.V47)
	l := &listing{allocations: port("1", "web", "10.0.0.5", "203.0.113.1")}
	p := b.projects(t, l)
	var err error
	yes := true
	p.Mapping, err = mapping.Compile([]mapping.Rule{{Match: mapping.Match{Type: []string{"fixed"}}, Set: mapping.Set{Skip: &yes}}})
	require.NoError(t, err)
	mustSync(t, p)
	require.Equal(t, "1 203.0.113.1/32", b.held())
	b.server.MustPOST("/api/ipam/ip-addresses/", map[string]any{"address": "10.0.0.5/24"})
	b.server.MustPATCH("/api/ipam/ip-addresses/1/", map[string]any{"nat_inside": 2})
	proposal, _ := mustSync(t, p)
	require.Empty(t, proposal.Plan.Changes)
	require.Equal(t, "1 203.0.113.1/32 -> 10.0.0.5/24\n2 10.0.0.5/24", b.held())
}

// Two ports have one fixed address and no rule tells them apart: a floating
// address names only its own port's row, and the others name none.
func TestFloatingAddressOfAnAddressThatTwoHave(t *testing.T) {
	b := newBench(t, netboxtest.V47)
	l := &listing{allocations: slices.Concat(port("1", "web", "10.0.0.5", "203.0.113.1"), port("2", "db", "10.0.0.5", "203.0.113.2"), port("3", "db", "10.0.0.7", "203.0.113.3"))}
	p := b.pass(t, map[string]*listing{"nova": l}, "nova")
	mustSync(t, p)
	require.Equal(t, "1 10.0.0.5/32\n2 10.0.0.7/32\n3 203.0.113.2/32\n4 203.0.113.1/32 -> 10.0.0.5/32\n5 203.0.113.3/32 -> 10.0.0.7/32", b.held())
	quiet := func() {
		t.Helper()
		proposal, _ := mustSync(t, p)
		require.Empty(t, proposal.Plan.Changes)
	}
	quiet()

	// A floating address goes to the port that lost its address: it names the
	// other's row no longer, nor the one of the port that it comes from.
	l.allocations = slices.Concat(port("1", "web", "10.0.0.5", ""), port("2", "db", "10.0.0.5", "203.0.113.1"), port("2", "db", "10.0.0.5", "203.0.113.3"), port("3", "db", "10.0.0.7", ""))
	mustSync(t, p)
	require.NotContains(t, b.held(), "->")
	quiet()

	// The port that had the address goes: the other gets it, and all point there.
	l.allocations = slices.Concat(port("2", "db", "10.0.0.5", "203.0.113.1"), port("2", "db", "10.0.0.5", "203.0.113.3"), port("3", "db", "10.0.0.7", ""))
	mustSync(t, p)
	require.Equal(t, 2, strings.Count(b.held(), "-> 10.0.0.5/32"))
	quiet()
}

// A person's row, and another source's, at the inside address.
func TestFloatingAddressBeforeAForeignRow(t *testing.T) {
	for name, c := range map[string]struct {
		fields map[string]any
		want   string
	}{
		"a person's":               {map[string]any{}, "1 10.0.0.5/24\n2 203.0.113.1/32 -> 10.0.0.5/24"},
		"of the same user":         {map[string]any{"sync_owner": "dc2/nova", "used_by": "/servers/s?port=1"}, "1 10.0.0.5/24\n2 203.0.113.1/32 -> 10.0.0.5/24"},
		"of another user":          {map[string]any{"sync_owner": "dc2/nova", "used_by": "/servers/s?port=2"}, "1 10.0.0.5/24\n2 203.0.113.1/32"},
		"a person's, of another's": {map[string]any{"used_by": "/servers/s?port=2"}, "1 10.0.0.5/24\n2 203.0.113.1/32"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, netboxtest.V47)
			b.server.MustPOST("/api/ipam/ip-addresses/", map[string]any{"address": "10.0.0.5/24", "custom_fields": c.fields})
			p := b.pass(t, map[string]*listing{"nova": {allocations: port("1", "web", "10.0.0.5", "203.0.113.1")}}, "nova")
			mustSync(t, p)
			require.Equal(t, c.want, b.held())
			proposal, _ := mustSync(t, p)
			require.Empty(t, proposal.Plan.Changes)
		})
	}
}

// The port that has the address is on a host that cannot be read: the other's
// floating address does without, in every pass until the host is back.
func TestFloatingAddressWhileTheOtherIsAway(t *testing.T) {
	b := newBench(t, netboxtest.V47)
	first, second := port("1", "web", "10.0.0.5", ""), port("2", "db", "10.0.0.5", "203.0.113.2")
	l := &listing{allocations: first}
	p := b.pass(t, map[string]*listing{"nova": l}, "nova")
	mustSync(t, p)
	l.allocations, l.missing = second, []sources.Missing{{Part: "host kvm1", Err: errors.New("no answer")}}
	mustSync(t, p)
	require.Equal(t, "1 10.0.0.5/32\n2 203.0.113.2/32", b.held())
	proposal, _ := mustSync(t, p)
	require.Empty(t, proposal.Plan.Changes)
	l.missing = nil
	mustSync(t, p)
	require.Equal(t, "1 10.0.0.5/32\n2 203.0.113.2/32 -> 10.0.0.5/32", b.held())
}
