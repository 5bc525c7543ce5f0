package netbox

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/netbox/netboxtest"
)

// fill makes n own addresses in VRF vrf.
func (b *bed) fill(t testing.TB, s *Session, vrf string, n int) []ipam.Record {
	t.Helper()
	records := make([]ipam.Record, n)
	addr := netip.MustParseAddr("10.64.0.0")
	for i := range records {
		addr = addr.Next()
		records[i] = b.address(vrf, addr.String()+"/10")
		records[i].Attrs.MAC = ipam.MAC(fmt.Sprintf("00:16:3e:%02x:%02x:%02x", i>>16&255, i>>8&255, i&255))
		records[i].Attrs.DNSName = fmt.Sprintf("u%d.example.org", i)
		records[i].Attrs.UsedBy = ipam.UsedBy(fmt.Sprintf("/1.0/instances/u%d?project=web", i))
	}
	for at := 0; at < n; at += 500 {
		mustCreate(t, s, records[at:min(at+500, n)]...)
	}
	return records
}

// What a pass costs, in requests: exact numbers, so that a change shows.
func TestCost(t *testing.T) {
	for _, v := range []netboxtest.Version{netboxtest.V37, netboxtest.V42, netboxtest.V47} {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			b := newEmbedded(t, v, Options{})
			vrf, _ := b.vrf(t, "blue")
			b.mustMake(t, "/api/tenancy/tenants/", map[string]any{"name": "T", "slug": "t"})
			b.mustMake(t, "/api/ipam/roles/", map[string]any{"name": "R", "slug": "r"})
			b.mustMake(t, "/api/extras/tags/", map[string]any{"name": "G", "slug": "g"})
			var s *Session
			require.Equal(t, 2, b.requests(func() { s = b.mustPrepare(t, Refs{}) }).Reads, "version and custom fields")
			require.Equal(t, 3, b.requests(func() { s = b.mustPrepare(t, Refs{VRFs: []string{vrf}}) }).Reads)
			full := b.requests(func() {
				b.mustPrepare(t, Refs{VRFs: []string{vrf}, Tenants: []string{"t"}, Roles: []string{"r"}, Tags: []string{"g"}})
			})
			require.Equal(t, Stats{Reads: 6, Lookups: 6}, full)
			b.mustMake(t, "/api/ipam/vrfs/", map[string]any{"name": "other " + b.run, "rd": "65000:77"})
			full = b.requests(func() {
				b.mustPrepare(t, Refs{VRFs: []string{"65000:77"}, Tenants: []string{"T"}, Roles: []string{"r"}, Tags: []string{"g"}})
			})
			require.Equal(t, Stats{Reads: 6, Lookups: 6}, full, "by route distinguisher and by name too")
			mixed := b.requests(func() { b.mustPrepare(t, Refs{VRFs: []string{vrf, "65000:77"}}) })
			require.Equal(t, Stats{Reads: 4, Lookups: 4}, mixed, "two spellings take two")

			records := b.fill(t, s, vrf, 2500)
			owned := b.requests(func() {
				own, err := s.Owned(t.Context(), []string{b.owner(), "dc1/other"})
				require.NoError(t, err)
				require.Len(t, own, 2500)
			})
			require.Equal(t, Stats{Reads: 3 + 1, Pages: 3 + 1, Rows: 2500}, owned, "pages of addresses and of prefixes")

			places := make([]ipam.Place, len(records))
			for i, record := range records {
				places[i] = record.Place
			}
			at := b.requests(func() {
				rows, err := s.At(t.Context(), places)
				require.NoError(t, err)
				require.Len(t, rows, len(places))
			})
			require.LessOrEqual(t, at.Reads, 14, "about 190 places per request")
			for _, request := range b.embedded.Requests() {
				line := len(request.Method) + 1 + len(request.Path) + 1 + len(request.Query) + len(" HTTP/1.1")
				require.LessOrEqual(t, line, 4094, "gunicorn's limit")
			}
		})
	}
}

// A whole sync of 100,000 rows must fit into 250 MB, planner included: what is
// read and kept may take a fifth of that.
func TestMemoryPerRow(t *testing.T) {
	const n = 10_000
	b := newEmbedded(t, netboxtest.V47, Options{})
	vrf, _ := b.vrf(t, "blue")
	s := b.mustPrepare(t, Refs{VRFs: []string{vrf}})
	b.fill(t, s, vrf, n)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	own, err := s.Owned(t.Context(), []string{b.owner()})
	require.NoError(t, err)
	require.Len(t, own, n)
	runtime.GC()
	runtime.ReadMemStats(&after)
	kept := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n
	t.Logf("%d bytes per row", kept)
	require.Less(t, kept, int64(500))
	runtime.KeepAlive(own)
}

func BenchmarkDecodePage(b *testing.B) {
	bed := newEmbedded(b, netboxtest.V47, Options{})
	s := bed.mustPrepare(b, Refs{})
	bed.fill(b, s, "", 1000)
	a, failed := bed.client.send(b.Context(), "GET", "/api/ipam/ip-addresses/", s.pageQuery(ipam.Address, "cf_sync_owner="+bed.owner(), 0), nil)
	if failed != nil {
		b.Fatal(failed)
	}
	b.SetBytes(int64(len(a.body)))
	b.ReportAllocs()
	for b.Loop() {
		var p page
		if err := bed.client.decode("", a, &p); err != nil {
			b.Fatal(err)
		}
		strings := interner{}
		for i := range p.Results {
			if _, err := s.stored(ipam.Address, &p.Results[i], strings); err != nil {
				b.Fatal(err)
			}
		}
	}
}
