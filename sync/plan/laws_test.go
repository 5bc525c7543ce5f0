package plan_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/sync/plan"
)

func TestLaws(t *testing.T) {
	for _, c := range []struct {
		name   string
		size   size
		worlds uint64
	}{{"tiny", tiny, 1000}, {"crowd", crowd, 500}, {"small", small, 250}, {"large", large, 1}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for seed := range c.worlds {
				in := newRandomWorld(seed, c.size)
				mustKeepLaws(&world{TB: t, seed: seed, in: in}, in, seed)
			}
		})
	}
}

// TestOracle compares with the slow planner. Laws alone let a planner pass
// that does nothing.
func TestOracle(t *testing.T) {
	for _, c := range []struct {
		name   string
		size   size
		worlds uint64
	}{{"tiny", tiny, 2000}, {"crowd", crowd, 1000}, {"small", small, 250}, {"large", large, 1}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for seed := range c.worlds {
				in := newRandomWorld(seed, c.size)
				mustEqualOracle(&world{TB: t, seed: seed, in: in}, in)
			}
		})
	}
}

func mustEqualOracle(tb testing.TB, in plan.Input) {
	tb.Helper()
	p := plan.Compute(in)
	want, rest := ask(in)
	if have := verdictsOf(p); !slices.Equal(want, have) {
		tb.Fatalf("the oracle (-) and Compute (+) differ:\n%s", diff(want, have))
	}
	for _, s := range p.Sources {
		require.Equal(tb, *rest[s.Owner], counted{s.InStep, s.Waiting}, "in step and waiting of %s", s.Owner)
	}
}

// world is a test that shows the world when it fails.
type world struct {
	testing.TB
	seed uint64
	in   plan.Input
}

func (w *world) show() {
	w.Logf("world of seed %d:", w.seed)
	for _, s := range w.in.Sources {
		w.Logf("  source %+v", s)
	}
	if len(w.in.Claims)+len(w.in.Current) > 40 {
		return
	}
	for _, c := range w.in.Claims {
		w.Logf("  claim %+v", c)
	}
	for _, s := range w.in.Current {
		w.Logf("  row %d reserve_at %q %+v", s.ID, s.ReserveAt, s.Record)
	}
}

func (w *world) FailNow() {
	w.show()
	w.TB.FailNow()
}

func (w *world) Fatalf(format string, args ...any) {
	w.show()
	w.TB.Fatalf(format, args...)
}

// mustKeepLaws checks everything that has to hold whatever the world is.
func mustKeepLaws(tb testing.TB, in plan.Input, seed uint64) {
	tb.Helper()
	copied := newCopy(in)
	p := plan.Compute(in)
	require.Equal(tb, copied, in, "the input was changed")
	require.Equal(tb, p, plan.Compute(newShuffled(in, seed)), "another order of the input gave another plan")
	for i, s := range p.Sources {
		if len(s.Missing) > 0 {
			require.NotSame(tb, &in.Sources[i].Missing[0], &s.Missing[0], "the plan shares memory with its input")
		}
	}
	require.True(tb, slices.IsSortedFunc(p.Changes, plan.Change.Compare), "changes are out of order")
	require.True(tb, slices.IsSortedFunc(p.Held, plan.Held.Compare), "what is held is out of order")
	mustTouchOnce(tb, p)
	mustRespectOwners(tb, in, p)
	mustRespectFields(tb, in, p)
	mustLoseNothing(tb, in, p)
	mustAddUp(tb, in, p)
	mustSettle(tb, in, p, seed)
}

// mustTouchOnce: no row is in two changes, and no place is the target of one
// change and touched by another; that is why the order does not matter. In a
// VRF that lets rows share a place, rows may leave it or be deleted together.
func mustTouchOnce(tb testing.TB, p plan.Plan) {
	tb.Helper()
	type touch struct{ arrives, stays, leaves int }
	rows, places := map[rowKey]int{}, map[ipam.Place]touch{}
	for _, c := range p.Changes {
		from, to := c.Before.Place, c.After.Place
		if c.Action != plan.Create {
			rows[keyOf(c.Before)]++
		}
		switch {
		case c.Action == plan.Create:
			places[to] = touch{places[to].arrives + 1, places[to].stays, places[to].leaves}
		case c.Action == plan.Delete:
			places[from] = touch{places[from].arrives, places[from].stays, places[from].leaves + 1}
		case from != to:
			places[to] = touch{places[to].arrives + 1, places[to].stays, places[to].leaves}
			places[from] = touch{places[from].arrives, places[from].stays, places[from].leaves + 1}
		default:
			places[to] = touch{places[to].arrives, places[to].stays + 1, places[to].leaves}
		}
	}
	for key, n := range rows {
		require.Equal(tb, 1, n, "row %v is in %d changes", key, n)
	}
	for place, t := range places {
		if unique[place.VRF] || t.arrives > 0 {
			require.Equal(tb, 1, t.arrives+t.stays+t.leaves, "%v is touched more than once: %+v", place, t)
		}
	}
}

// mustRespectOwners: rows of others are never written, and an incomplete
// source loses nothing.
func mustRespectOwners(tb testing.TB, in plan.Input, p plan.Plan) {
	tb.Helper()
	sources := map[string]plan.Source{}
	for _, s := range in.Sources {
		sources[s.Owner] = s
	}
	for _, c := range p.Changes {
		s, ok := sources[c.Owner]
		require.True(tb, ok, "a change for an owner that is not configured: %s", c)
		require.True(tb, map[plan.Action]bool{plan.Create: s.Allow.Create, plan.Update: s.Allow.Update, plan.Delete: s.Allow.Delete}[c.Action], "not allowed: %s", c)
		if c.Action == plan.Create {
			require.Zero(tb, c.Before, "a create with a row before: %s", c)
			continue
		}
		if c.Reason == plan.Reserved {
			require.Equal(tb, c.Owner, c.Before.ReserveAt, "%s", c)
			require.Empty(tb, c.Before.Owner, "%s", c)
			for _, f := range c.Fields() {
				require.Contains(tb, []string{ipam.UsedByField, ipam.TypeField, ipam.MACField}, f.Name, "%s", c)
				require.Empty(tb, f.Old, "%s", c)
			}
			continue
		}
		from, ok := sources[c.Before.Owner]
		require.True(tb, ok, "a row of somebody else is written: %s", c)
		if c.Action == plan.Delete || marks(c) || c.Before.Place != c.After.Place || c.Before.Owner != c.After.Owner {
			require.True(tb, from.Complete(), "the source did not answer in full, and loses a row: %s", c)
		}
		if c.Action == plan.Delete {
			require.Zero(tb, c.After, "a delete with a row after: %s", c)
		}
	}
}

func marks(c plan.Change) bool { return c.Action == plan.Update && c.Reason == plan.NowGone }

// mustRespectFields: a field that no rule sets is in no change, but for the
// status of a row that goes or comes back.
func mustRespectFields(tb testing.TB, in plan.Input, p plan.Plan) {
	tb.Helper()
	for _, c := range p.Changes {
		if c.Action != plan.Update {
			continue
		}
		require.NotEmpty(tb, c.Fields(), "an update of nothing: %s", c)
		if marks(c) {
			for _, f := range c.Fields() {
				require.Contains(tb, []string{ipam.StatusField, ipam.GoneSinceField}, f.Name, "%s", c)
			}
			continue
		}
		if c.Reason == plan.Reserved {
			continue
		}
		if c.Reason == plan.Renumbered {
			require.Equal(tb, c.Before.Attrs.Type, c.After.Attrs.Type, "renumbered into something else: %s", c)
		}
		i := slices.IndexFunc(in.Claims, func(d ipam.Claim) bool { return fits(c.After, d) })
		require.GreaterOrEqual(tb, i, 0, "nobody claims: %s", c)
		a := in.Claims[i].Attrs
		for _, f := range c.Fields() {
			switch f.Name {
			case ipam.StatusField:
				back := c.Before.Attrs.GoneUnix != 0 && c.Before.Attrs.Status == "deprecated" && f.New == "active"
				require.True(tb, f.New == a.Status || a.Status == "" && back, "%s", c)
			case ipam.RoleField:
				require.Equal(tb, a.Role, f.New, "%s", c)
			case ipam.TenantField:
				require.Equal(tb, a.Tenant, f.New, "%s", c)
			case ipam.DNSNameField:
				require.Equal(tb, a.DNSName, f.New, "%s", c)
			case ipam.DescriptionField:
				require.Equal(tb, a.Description, f.New, "%s", c)
			case ipam.TagsField:
				require.NotEmpty(tb, a.Tags, "%s", c)
				require.True(tb, ipam.Tags(f.New).Contains(c.Before.Attrs.Tags), "tags are lost: %s", c)
			case ipam.InsideField:
				require.True(tb, a.Inside.IsValid(), "%s", c)
			}
		}
	}
}

// fits says whether r, which a plan writes, is what claim d wants.
func fits(r ipam.Record, d ipam.Claim) bool {
	a := r.Attrs
	a.Status = d.Attrs.Status // a row that comes back may get another
	return r.Owner == d.Owner && r.Place == d.Place && a == d.Attrs && (r.Attrs.Status == d.Attrs.Status || r.Attrs.Status == "active")
}

// mustSettle: in whatever order the plan is carried out, NetBox takes every
// step and ends up the same, rows of others are as they were, and then there
// is nothing left to do.
func mustSettle(tb testing.TB, in plan.Input, p plan.Plan, seed uint64) {
	tb.Helper()
	var end []ipam.Stored
	var last *netbox
	for try := range 3 {
		n := newNetbox(tb, in.Current)
		changes := slices.Clone(p.Changes)
		switch r := rand.New(rand.NewPCG(seed, 2)); try {
		case 0:
		case 1:
			slices.Reverse(changes)
		default:
			r.Shuffle(len(changes), func(i, j int) { changes[i], changes[j] = changes[j], changes[i] })
		}
		for _, c := range changes {
			n.mustApply(tb, c)
		}
		if try > 0 {
			require.Equal(tb, end, n.state(), "another order ended in another state")
		}
		end, last = n.state(), n
	}
	for _, r := range readOnce(in.Current) {
		if !slices.ContainsFunc(in.Sources, func(s plan.Source) bool { return s.Owner == r.Owner }) {
			after := last.rows[keyOf(r)]
			if r.ReserveAt != "" && r.Owner == "" {
				a := after.Attrs
				a.UsedBy, a.Type, a.MAC = r.Attrs.UsedBy, r.Attrs.Type, r.Attrs.MAC
				after.Attrs = a
			}
			require.Equal(tb, r, after, "somebody else's row was changed")
		}
	}
	again := in
	again.Current = last.stored()
	require.Empty(tb, changeLines(plan.Compute(again)), "a second pass finds work:\nfirst:\n%s", lines(p))
}

func changeLines(p plan.Plan) []string {
	var all []string
	for _, c := range p.Changes {
		all = append(all, fmt.Sprintf("%s (ID %d)", c, c.Before.ID))
	}
	return all
}
