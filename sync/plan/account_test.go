package plan_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/sync/plan"
)

// mustLoseNothing: every claim and every row of a configured source is in
// step, waiting, in a change or held, by name and not only by number.
func mustLoseNothing(tb testing.TB, in plan.Input, p plan.Plan) {
	tb.Helper()
	settled := map[rowKey]bool{}
	met := map[ipam.Claim]bool{}
	at := map[ipam.Place][]ipam.Claim{}
	rowsAt := map[ipam.Place][]ipam.Stored{}
	for _, c := range in.Claims {
		at[c.Place] = append(at[c.Place], c)
	}
	for _, r := range readOnce(in.Current) {
		rowsAt[r.Place] = append(rowsAt[r.Place], r)
	}
	account := func(c plan.Change) {
		settled[keyOf(c.Before)] = true
		if c.Action == plan.Delete || marks(c) {
			return
		}
		for _, d := range at[c.After.Place] {
			if d.Owner == c.Owner && (c.Reason == plan.Reserved || fits(c.After, d)) {
				met[d] = true
			}
		}
	}
	for _, c := range p.Changes {
		account(c)
	}
	for _, h := range p.Held {
		account(h.Change)
		settled[keyOf(h.Row)] = true
	}
	for _, d := range in.Claims {
		for _, r := range rowsAt[d.Place] {
			if r.Owner == d.Owner && (ipam.Edit{Before: r, After: d.Record}).InStep() {
				met[d], settled[keyOf(r)] = true, true
			}
			if r.Owner == "" && r.ReserveAt == d.Owner {
				met[d] = true
			}
		}
		require.True(tb, met[d], "claim is lost: %+v", d)
	}
	for _, r := range readOnce(in.Current) {
		i := slices.IndexFunc(in.Sources, func(s plan.Source) bool { return s.Owner == r.Owner })
		if i < 0 {
			continue
		}
		waiting := in.Sources[i].Gone.Deprecate && r.Attrs.GoneUnix != 0 && in.Sources[i].Complete()
		require.True(tb, settled[keyOf(r)] || waiting, "row is lost: %d %+v", r.ID, r.Record)
	}
}

// mustAddUp: the summaries count what is in the plan, and their numbers add up
// to the claims that came in.
func mustAddUp(tb testing.TB, in plan.Input, p plan.Plan) {
	tb.Helper()
	require.Len(tb, p.Sources, len(in.Sources))
	for i, s := range p.Sources {
		want := plan.Summary{Owner: in.Sources[i].Owner, Missing: in.Sources[i].Missing, InStep: s.InStep, Waiting: s.Waiting}
		claimsHeld := 0
		for _, c := range in.Claims {
			if c.Owner == s.Owner {
				want.Claims++
			}
		}
		for _, r := range readOnce(in.Current) {
			if r.Owner == s.Owner {
				want.Rows++
			}
		}
		for _, c := range p.Changes {
			if c.Owner != s.Owner {
				continue
			}
			switch c.Action {
			case plan.Create:
				want.Create++
			case plan.Update:
				want.Update++
			case plan.Delete:
				want.Delete++
			}
			if marks(c) {
				want.Marked++
			}
		}
		for _, h := range p.Held {
			if h.Change.Owner != s.Owner {
				continue
			}
			want.Held++
			if h.Change.Action != plan.Delete && !marks(h.Change) {
				claimsHeld++
			}
		}
		require.Equal(tb, want, s)
		require.Equal(tb, s.Claims, s.InStep+s.Create+s.Update-s.Marked+claimsHeld, "claims of %s do not add up: %+v", s.Owner, s)
	}
}
