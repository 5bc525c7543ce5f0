package worker_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/mapping"
	"allocsync/netbox"
	"allocsync/netbox/netboxtest"
	"allocsync/sources"
	"allocsync/sync/apply"
	"allocsync/sync/plan"
	"allocsync/sync/worker"
)

// listing is a source that hands out what it holds.
type listing struct {
	allocations []ipam.Allocation
	missing     []sources.Missing
	err         error
}

func (l *listing) Snapshot(context.Context) (sources.Snapshot, error) {
	if l.err != nil {
		return sources.Snapshot{}, l.err
	}
	return sources.Snapshot{Allocations: l.allocations, Missing: l.missing}, nil
}

// bench is a NetBox with the custom fields made, and a client for it.
type bench struct {
	server *netboxtest.Server
	client *netbox.Client
}

func newBench(tb testing.TB, version netboxtest.Version) bench {
	tb.Helper()
	server := netboxtest.New(netboxtest.Options{Version: version, Token: "0123456789abcdef0123456789abcdef01234567"})
	web := httptest.NewServer(server)
	tb.Cleanup(web.Close)
	client, err := netbox.Open(netbox.Options{URL: web.URL, Token: "0123456789abcdef0123456789abcdef01234567"})
	require.NoError(tb, err)
	_, err = client.Setup(tb.Context(), false)
	require.NoError(tb, err)
	server.ResetRequests()
	return bench{server, client}
}

func (b bench) pass(tb testing.TB, listings map[string]*listing, names ...string) *worker.Pass {
	tb.Helper()
	rules, err := mapping.Compile(nil)
	require.NoError(tb, err)
	p := &worker.Pass{NetBox: b.client, Mapping: rules, Limits: plan.DefaultLimits(), Apply: apply.Options{Batch: 50}}
	for _, name := range names {
		p.Sources = append(p.Sources, worker.Source{Name: name, Owner: "dc1/" + name, Source: listings[name], Allow: plan.AllowAll()})
	}
	return p
}

func instances(n int) []ipam.Allocation {
	list := []ipam.Allocation{
		{UsedBy: "/1.0/networks/br0", Kind: ipam.Prefix, Prefix: netip.MustParsePrefix("10.0.0.0/8"), Type: "network", Name: "br0"},
	}
	for i := range n - 1 {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		list = append(list, ipam.Allocation{
			UsedBy: ipam.UsedBy(fmt.Sprintf("/1.0/instances/i%d", i)), Kind: ipam.Address, Prefix: ipam.HostPrefix(addr),
			Type: "instance", MAC: ipam.MAC(fmt.Sprintf("00:16:3e:%02x:%02x:%02x", i>>16&255, i>>8&255, i&255)),
		})
	}
	return list
}

func mustSync(tb testing.TB, p *worker.Pass) (*worker.Proposal, apply.Result) {
	tb.Helper()
	proposal, err := p.Plan(tb.Context())
	require.NoError(tb, err)
	result := p.Carry(tb.Context(), proposal)
	require.NoError(tb, result.Err)
	return proposal, result
}

func counted(server *netboxtest.Server) (reads map[string]int, writes int) {
	reads = map[string]int{}
	for _, r := range server.Requests() {
		if r.Method != http.MethodGet {
			writes++
			continue
		}
		switch {
		case strings.HasPrefix(r.Path, "/api/ipam/ip-addresses/") && strings.Contains(r.Query, "cf_sync_owner"):
			reads["own addresses"]++
		case strings.HasPrefix(r.Path, "/api/ipam/prefixes/") && strings.Contains(r.Query, "cf_sync_owner"):
			reads["own prefixes"]++
		case strings.HasPrefix(r.Path, "/api/ipam/ip-addresses/"), strings.HasPrefix(r.Path, "/api/ipam/prefixes/"):
			reads["places"]++
		default:
			reads["small"]++
		}
	}
	return reads, writes
}

func ceil(n, per int) int { return (n + per - 1) / per }

// The costs that the README promises, by counting.
func TestCost(t *testing.T) {
	const n = 2501 // 1 prefix, 2,500 addresses
	for _, version := range []netboxtest.Version{netboxtest.V37, netboxtest.V42, netboxtest.V47} {
		t.Run(string(version), func(t *testing.T) {
			b := newBench(t, version)
			p := b.pass(t, map[string]*listing{"lxd": {allocations: instances(n)}}, "lxd")

			mustSync(t, p)
			reads, writes := counted(b.server)
			require.Equal(t, ceil(1, 50)+ceil(n-1, 50), writes, "first sync: a write for each batch of a kind")
			require.Equal(t, 1, reads["own addresses"])
			require.Equal(t, 1, reads["own prefixes"])
			require.LessOrEqual(t, reads["small"], 6)
			require.LessOrEqual(t, reads["places"], 1+ceil(n-1, 100), "at least 100 places in one request")

			b.server.ResetRequests()
			proposal, _ := mustSync(t, p)
			require.True(t, proposal.Plan.Empty(), "%v", proposal.Plan.Changes)
			reads, writes = counted(b.server)
			require.Zero(t, writes, "nothing changed, nothing is written")
			require.Equal(t, ceil(n-1, 1000), reads["own addresses"])
			require.Equal(t, 1, reads["own prefixes"])
			require.Zero(t, reads["places"])
			require.LessOrEqual(t, reads["small"], 6)
		})
	}
}

func TestDeadSourceKeepsItsRows(t *testing.T) {
	b := newBench(t, netboxtest.V47)
	listings := map[string]*listing{"a": {allocations: instances(5)}, "b": {allocations: []ipam.Allocation{
		{UsedBy: "/1.0/instances/other", Kind: ipam.Address, Prefix: netip.MustParsePrefix("192.0.2.7/32"), Type: "instance"},
	}}}
	p := b.pass(t, listings, "a", "b")
	mustSync(t, p)

	listings["a"].err = errors.New("connection refused")
	listings["b"].allocations[0].MAC = "00:16:3e:00:00:99"
	proposal, result := mustSync(t, p)
	require.Len(t, result.Outcomes, 1)
	require.Equal(t, `update 192.0.2.7/32, /1.0/instances/other of dc1/b: changed at the source: hwaddr "" -> "00:16:3e:00:00:99"`, result.Outcomes[0].Change.String())
	require.Equal(t, []string{"connection refused"}, proposal.Plan.Sources[0].Missing)
	require.Equal(t, 5, proposal.Plan.Sources[0].Held)
}

func TestUnaskedSourceIsLeftAlone(t *testing.T) {
	b := newBench(t, netboxtest.V47)
	listings := map[string]*listing{"a": {allocations: instances(5)}, "b": {allocations: instances(3)}}
	mustSync(t, b.pass(t, map[string]*listing{"a": listings["a"]}, "a"))

	p := b.pass(t, listings, "a", "b")
	p.Only = []string{"b"}
	proposal, _ := mustSync(t, p)
	require.True(t, proposal.Plan.Empty(), "%v", proposal.Plan.Changes)
	require.Len(t, proposal.Plan.Sources, 1)
	require.Len(t, proposal.Plan.Held, 3)
	require.Equal(t, plan.OtherOwner, proposal.Plan.Held[0].Reason)

	p.Only = []string{"c"}
	_, err := p.Plan(t.Context())
	require.EqualError(t, err, `source "c" is not configured; there are: a, b`)
}

func TestNoSourceAnswers(t *testing.T) {
	b := newBench(t, netboxtest.V47)
	p := b.pass(t, map[string]*listing{"a": {err: errors.New("gone")}}, "a")
	proposal, err := p.Plan(t.Context())
	require.ErrorIs(t, err, worker.ErrNoSource)
	require.EqualError(t, proposal.Readings[0].Err, "gone")
	for _, r := range b.server.Requests() {
		require.NotContains(t, r.Path, "/api/ipam/", "no row is read in vain")
	}
}

func TestEmptySourceDeletesNothing(t *testing.T) {
	b := newBench(t, netboxtest.V47)
	listings := map[string]*listing{"a": {allocations: instances(20)}, "b": {allocations: []ipam.Allocation{
		{UsedBy: "/1.0/instances/other", Kind: ipam.Address, Prefix: netip.MustParsePrefix("192.0.2.7/32"), Type: "instance"},
	}}}
	p := b.pass(t, listings, "a", "b")
	mustSync(t, p)

	listings["a"].allocations = nil
	listings["b"].allocations[0].MAC = "00:16:3e:00:00:99"
	proposal, result := mustSync(t, p)
	require.Len(t, proposal.Excess.Sources, 1)
	require.Equal(t, "the source lists nothing any more, and all of its 20 rows would be removed", proposal.Excess.Sources[0].Text)
	require.Len(t, result.Outcomes, 1, "the other source is kept in step")

	require.NoError(t, proposal.Confirm(proposal.Plan.Digest()))
	require.Nil(t, proposal.Excess)
}

func TestIncompleteSourceKeepsMasks(t *testing.T) {
	b := newBench(t, netboxtest.V47)
	l := &listing{allocations: instances(5)}
	p := b.pass(t, map[string]*listing{"a": l}, "a")
	mustSync(t, p)

	l.allocations = l.allocations[1:] // the network is not listed, its instances are
	l.missing = []sources.Missing{{Part: "networks", Err: errors.New("500")}}
	proposal, _ := mustSync(t, p)
	require.Empty(t, proposal.Plan.Changes, "the addresses keep the mask of the prefix that NetBox still holds")
	require.Len(t, proposal.Plan.Held, 1)
	require.Equal(t, plan.Incomplete, proposal.Plan.Held[0].Reason)
}

// A source asked alone finds its addresses in the network of another one.
func TestMaskOfAnUnaskedSource(t *testing.T) {
	b := newBench(t, netboxtest.V47)
	listings := map[string]*listing{"a": {allocations: instances(1)}, "b": {allocations: []ipam.Allocation{
		{UsedBy: "/1.0/instances/shared", Kind: ipam.Address, Prefix: netip.MustParsePrefix("10.9.9.9/32"), Type: "instance"},
	}}}
	p := b.pass(t, listings, "a", "b")
	mustSync(t, p)
	p.Only = []string{"b"}
	proposal, _ := mustSync(t, p)
	require.Empty(t, proposal.Plan.Changes, "the address keeps its mask")
	require.Equal(t, 1, proposal.Plan.Sources[0].InStep)
}
