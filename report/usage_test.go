package report_test

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"allocsync/ipam"
	"allocsync/mapping"
	"allocsync/report"

	"github.com/stretchr/testify/require"
)

func address(source, network, typ, cidr string) report.Allocation {
	return report.Allocation{Source: source, Allocation: ipam.Allocation{
		UsedBy: ipam.UsedBy("/" + typ + cidr), Kind: ipam.Address, Type: typ, Network: network, Prefix: netip.MustParsePrefix(cidr),
	}}
}

func TestUsageOf(t *testing.T) {
	cases := []struct {
		name    string
		in      []report.Allocation
		used    map[string]int // network and prefix
		outside int
	}{
		{"a network and its users", []report.Allocation{
			address("a", "n", "network", "10.0.0.1/24"), address("a", "n", "instance", "10.0.0.2/32"), address("a", "n", "instance", "10.0.1.2/32"),
		}, map[string]int{"n 10.0.0.0/24": 2}, 1},
		{"two users of one address count once", []report.Allocation{
			address("a", "n", "network", "10.0.0.1/24"), address("a", "n", "instance", "10.0.0.2/32"), address("a", "n", "network-forward", "10.0.0.2/32"),
		}, map[string]int{"n 10.0.0.0/24": 2}, 0},
		{"the longest prefix holds it", []report.Allocation{
			address("a", "n", "network", "10.0.0.1/16"), address("a", "m", "network", "10.0.5.1/24"), address("a", "", "instance", "10.0.5.9/32"),
		}, map[string]int{"n 10.0.0.0/16": 1, "m 10.0.5.0/24": 2}, 0},
		{"its own network before another", []report.Allocation{
			address("a", "n", "network", "10.0.0.1/24"), address("a", "m", "network", "10.0.0.1/24"), address("a", "m", "instance", "10.0.0.9/32"),
		}, map[string]int{"n 10.0.0.0/24": 1, "m 10.0.0.0/24": 2}, 0},
		{"two networks have the prefix and none is named", []report.Allocation{
			address("a", "n", "network", "10.0.0.1/24"), address("a", "m", "network", "10.0.0.1/24"), address("a", "", "instance", "10.0.0.9/32"),
		}, map[string]int{"n 10.0.0.0/24": 1, "m 10.0.0.0/24": 1}, 1},
		{"another source's prefix is not asked", []report.Allocation{
			address("a", "n", "network", "10.0.0.1/24"), address("b", "", "instance", "10.0.0.9/32"),
		}, map[string]int{"n 10.0.0.0/24": 1}, 1},
		{"IPv6", []report.Allocation{
			address("a", "n", "network", "fd00::1/64"), address("a", "n", "instance", "fd00::2/128"),
		}, map[string]int{"n fd00::/64": 2}, 0},
		{"an instance's mask makes no network", []report.Allocation{address("a", "n", "fixed", "10.0.0.9/24")}, map[string]int{}, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			u := report.UsageOf(c.in)
			used := map[string]int{}
			for _, p := range u.Prefixes {
				used[p.Network+" "+p.Prefix.String()] = p.Used
				sum := 0
				for _, typ := range p.ByType {
					sum += typ.Used
				}
				require.Equal(t, p.Used, sum)
			}
			require.Equal(t, c.used, used)
			require.Equal(t, c.outside, u.Outside)
		})
	}
}

func TestUsageOfAnyOrder(t *testing.T) {
	list := exampleAllocations()
	want := report.UsageOf(list)
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		require.Equal(t, want, report.UsageOf(list))
	}
}

func TestCapacity(t *testing.T) {
	for _, c := range []struct {
		prefix                      string
		used                        int
		capacity, free, utilisation string
	}{
		{"10.0.0.0/24", 0, "254", "254", "0 %"},
		{"10.0.0.0/24", 1, "254", "253", "0.4 %"},
		{"10.0.0.0/24", 253, "254", "1", "> 99 %"},
		{"10.0.0.0/24", 254, "254", "0", "100 %"},
		{"10.0.0.0/24", 256, "254", "0", "100 %"}, // somebody uses the network's own address
		{"10.0.0.0/31", 1, "2", "1", "50 %"},
		{"10.0.0.0/30", 1, "2", "1", "50 %"},
		{"10.0.0.0/8", 1, "16,777,214", "16,777,213", "< 0.1 %"},
		{"fd00::/64", 12, "2^64", "about 2^64", "< 0.1 %"},
		{"fd00::/120", 128, "256", "128", "50 %"},
	} {
		u := report.Utilisation{Prefix: netip.MustParsePrefix(c.prefix), Used: c.used}
		require.Equal(t, []string{c.capacity, c.free, c.utilisation}, []string{u.CapacityText(), u.FreeText(), u.ShareText()}, c.prefix)
	}
}

func TestAllocations(t *testing.T) {
	extension := map[string]string{"table": "txt", "csv": "csv", "json": "json", "markdown": "md"}
	list := exampleAllocations()[:4]
	list[2].MAC, list[2].Project = "00:16:3e:04:f0:95", "shop"
	list = append(list, address("=evil", "@n", "+type", "192.0.2.1/32"))
	for _, format := range report.AllocationFormats() {
		t.Run(format, func(t *testing.T) {
			var got bytes.Buffer
			require.NoError(t, report.Allocations(&got, format, list, report.Options{}))
			requireGolden(t, "allocations."+extension[format], got.Bytes())
			got.Reset()
			require.NoError(t, report.Summary(&got, format, report.UsageOf(exampleAllocations()), report.Options{}))
			requireGolden(t, "summary."+extension[format], got.Bytes())
		})
	}
}

func TestFindings(t *testing.T) {
	var got bytes.Buffer
	require.NoError(t, report.Findings(&got, []report.Finding{
		{Section: "configuration", OK: true, Text: "/etc/allocsync.yaml"},
		{Section: "NetBox", OK: true, Text: "version 4.7.3"},
		{Section: "NetBox", Text: "custom fields: used_by, sync_owner, sync_type, hwaddr, gone_since and reserve_at are not there, so nothing can be marked as ours", Fix: "allocsync setup"},
		{Section: "source prod/lxd", OK: true, Text: "Incus 6.0.4, API extension network_allocations: yes"},
	}, report.Options{Width: 80}))
	requireGolden(t, "findings.txt", got.Bytes())
}

func TestExplain(t *testing.T) {
	a := exampleAllocations()[2].Allocation
	claim := ipam.Claim{Rank: 3, Record: record(lxd, "blue", ipam.Address, "10.1.2.2/24", string(a.UsedBy), a.Type)}
	claim.Attrs.Status = "active"
	rules := []mapping.RuleResult{
		{Rule: "built in (reservations)", Failed: []mapping.Mismatch{{Key: "type", Wants: "reservation", Actual: "instance"}}},
		{Rule: "rule 1 (all)", Set: []mapping.Setting{{Key: "status", Value: "reserved", Void: "overridden by rule 2 (blue)"}}},
		{Rule: "rule 2 (blue)", Set: []mapping.Setting{{Key: "vrf", Value: "blue"}, {Key: "status", Value: "active"}, {Key: "tenant"}}},
	}
	var got bytes.Buffer
	for _, e := range []mapping.Explanation{
		{Owner: lxd, Allocation: a, Rules: rules, Claim: claim},
		{Owner: lxd, Allocation: a, SkippedBy: "rule 3 (nat)"},
		{Owner: lxd, Allocation: a, Problem: "rule 2 (tenants): set.vrf: {project} comes out empty"},
	} {
		require.NoError(t, report.Explain(&got, e, report.Options{}))
	}
	requireGolden(t, "explain.txt", got.Bytes())
}

func TestMarkdownLimit(t *testing.T) {
	r := many(5000)
	var all bytes.Buffer
	require.NoError(t, report.Markdown(&all, r, report.Options{}))
	require.Greater(t, all.Len(), report.CommentLimit)
	for _, limit := range []int{8_000, 20_000, report.CommentLimit, 1 << 30} {
		var got bytes.Buffer
		require.NoError(t, report.Markdown(&got, r, report.Options{Limit: limit}))
		require.LessOrEqual(t, got.Len(), limit)
		require.Contains(t, got.String(), "allocsync sync --approve 9f2c1b7a4d3e8860")
		if limit > all.Len() {
			require.Equal(t, all.String(), got.String())
			continue
		}
		require.Contains(t, got.String(), "rows not listed here:**")
		require.Contains(t, got.String(), "Printer, 2nd floor", "what is held comes first")
	}
}
