package plan_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/sync/plan"
)

// newFullWorld has n rows of two sources, in the order of a read by ID: n/step
// of them differ from their claims, the others are in step. step 0: all in step.
func newFullWorld(n, step int) plan.Input {
	in := plan.Input{Now: now, Sources: []plan.Source{{Owner: lxd, Allow: plan.AllowAll()}, {Owner: maas, Allow: plan.AllowAll()}}}
	in.Claims, in.Current = make([]ipam.Claim, n), make([]ipam.Stored, n)
	vrfs := []string{"", "red", "blue"}
	for i := range n {
		j := int(uint64(i) * 2654435761 % (1 << 24)) // the IDs are not in the order of the addresses
		r := ipam.Record{
			Owner: in.Sources[i%2].Owner,
			Place: ipam.PlaceOf(vrfs[i%3], ipam.Address, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(j >> 16), byte(j >> 8), byte(j)}), 24)),
			Attrs: ipam.Attrs{Mask: 24, UsedBy: ipam.UsedBy(fmt.Sprintf("/1.0/instances/u%d?project=web", i)), Type: "instance", MAC: "00:16:3e:04:f0:95", Status: "active"},
		}
		in.Claims[i] = ipam.Claim{Record: r}
		in.Current[i] = ipam.Stored{ID: i + 1, LastUpdated: now, Record: r}
		if step > 0 && i%step == 0 {
			in.Current[i].Attrs.Type = "fixed"
		}
	}
	return in
}

// TestCostGrowsWithRows: a row costs as much memory when there are ten times as
// many, but for what slices that grow leave behind. It counts and does not measure time, so it holds on any
// machine.
func TestCostGrowsWithRows(t *testing.T) {
	for _, step := range []int{0, 10} {
		t.Run(fmt.Sprintf("one in %d differs", step), func(t *testing.T) {
			fewAllocs, fewBytes := perRow(10_000, step)
			manyAllocs, manyBytes := perRow(100_000, step)
			require.LessOrEqual(t, manyAllocs, 1.1*fewAllocs+0.01, "allocations per row: %.3f at 10,000 rows, %.3f at 100,000", fewAllocs, manyAllocs)
			require.LessOrEqual(t, manyBytes, 2*fewBytes, "bytes per row: %.0f at 10,000 rows, %.0f at 100,000", fewBytes, manyBytes)
			if step == 0 {
				require.Less(t, manyAllocs, 0.01, "a row in step allocates")
				require.Less(t, manyBytes, 64.0, "a row in step is copied")
			}
		})
	}
}

func perRow(n, step int) (allocs, bytes float64) {
	in := newFullWorld(n, step)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p := plan.Compute(in)
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(p)
	return float64(after.Mallocs-before.Mallocs) / float64(n), float64(after.TotalAlloc-before.TotalAlloc) / float64(n)
}

func BenchmarkCompute(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		for _, step := range []int{0, 10} {
			b.Run(fmt.Sprintf("rows=%d/differ=%d", n, step), func(b *testing.B) {
				in := newFullWorld(n, step)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				for b.Loop() {
					plan.Compute(in)
				}
				runtime.ReadMemStats(&after)
				rows := float64(b.N) * float64(n)
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/rows, "ns/row")
				b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/rows, "B/row")
			})
		}
	}
}
