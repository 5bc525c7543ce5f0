package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"allocsync/ipam"
	"allocsync/sync/plan"
)

// planning measures Compute over rows of which one in a hundred has changed,
// against sorting the same claims and rows by place: no planner can do with
// less than bringing them together.
func planning(context.Context) ([]figure, error) {
	var figures []figure
	perRow := map[int]time.Duration{}
	for _, n := range []int{100_000, 1_000_000} {
		claims, stored := claimsAndStored(n)
		for i := 0; i < n; i += 100 {
			stored[i].Attrs.MAC = "00:16:3e:00:00:01"
		}
		in := plan.Input{Sources: []plan.Source{{Owner: "bench/lxd", Allow: plan.AllowAll()}}, Claims: claims, Current: stored}
		var times, floors []time.Duration
		var bytes uint64
		for range 3 {
			floors = append(floors, sorting(claims, stored))
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			took, _ := elapsed(func() error { _ = plan.Compute(in); return nil })
			runtime.ReadMemStats(&after)
			times, bytes = append(times, took), after.TotalAlloc-before.TotalAlloc
		}
		perRow[n] = median(times) / time.Duration(n)
		figures = append(figures, figure{
			what:     fmt.Sprintf("plan of %d rows, 1 %% changed", n),
			measured: fmt.Sprintf("%s, %s and %d B a row", median(times).Round(time.Millisecond), perRow[n], bytes/uint64(n)),
			floor:    fmt.Sprintf("sorting them by place, %s", median(floors).Round(time.Millisecond)),
			ratio:    fmt.Sprintf("%.2f", float64(median(times))/float64(median(floors))),
			ok:       true,
		})
	}
	growth := float64(perRow[1_000_000]) / float64(perRow[100_000])
	figures = append(figures, figure{
		what: "growth of the plan's cost", measured: fmt.Sprintf("%s a row at 1,000,000", perRow[1_000_000]),
		floor: fmt.Sprintf("%s a row at 100,000", perRow[100_000]),
		ratio: fmt.Sprintf("%.2f", growth), limit: "2", ok: growth <= 2,
	})
	return figures, nil
}

func sorting(claims []ipam.Claim, stored []ipam.Stored) time.Duration {
	a, b := make([]int32, len(claims)), make([]int32, len(stored))
	for i := range a {
		a[i], b[i] = int32(i), int32(i)
	}
	took, _ := elapsed(func() error {
		slices.SortFunc(a, func(i, j int32) int { return claims[i].Place.Compare(claims[j].Place) })
		slices.SortFunc(b, func(i, j int32) int { return stored[i].Place.Compare(stored[j].Place) })
		return nil
	})
	return took
}
