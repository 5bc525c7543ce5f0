package plan_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/sync/plan"
)

// TestWorldsReachEverything: laws say something only about what happens. Every
// reason, done and held, has to happen often in the worlds that are drawn.
func TestWorldsReachEverything(t *testing.T) {
	const worlds, often = 1500, 15
	done, held := map[plan.Reason]int{}, map[plan.Reason]int{}
	waiting, inStep, empty := 0, 0, 0
	for seed := range uint64(worlds) {
		p := plan.Compute(newRandomWorld(seed, tiny))
		for _, c := range p.Changes {
			done[c.Reason]++
		}
		for _, h := range p.Held {
			held[h.Reason]++
		}
		for _, s := range p.Sources {
			waiting += s.Waiting
			inStep += s.InStep
		}
		if p.Empty() {
			empty++
		}
	}
	for _, r := range []plan.Reason{plan.New, plan.Changed, plan.Renumbered, plan.Moved, plan.Handover, plan.Revived, plan.NowGone, plan.GoneLong, plan.Duplicate, plan.Reserved} {
		require.Greater(t, done[r], often, "%s", r)
	}
	for _, r := range []plan.Reason{plan.Unmanaged, plan.OtherOwner, plan.UnknownOwner, plan.Contested, plan.Incomplete, plan.NotAllowed} {
		require.Greater(t, held[r], often, "%s", r)
	}
	require.Greater(t, waiting, often)
	require.Greater(t, inStep, often)
	require.Less(t, empty, worlds/2, "most worlds have nothing to do")
	t.Log("done", done, "held", held, "waiting", waiting, "in step", inStep, "empty", empty)
}
