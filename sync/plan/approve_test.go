package plan_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/sync/plan"
)

// fleet says what one source's share of a plan is to be: of rows, some are
// deleted, marked or updated, the rest is in step; created come on top.
type fleet struct{ rows, deleted, updated, created int }

// addTo puts the fleet into a world, at addresses that belong to net alone.
func (f fleet) addTo(in *plan.Input, owner string, net int) {
	at := func(i int) string { return fmt.Sprintf("10.%d.%d.%d/24", net, i/250, 1+i%250) }
	for i := range f.rows {
		user := fmt.Sprintf("/u/%d", i)
		row(1000*net+i+1, owner, at(i), user)(in)
		switch {
		case i < f.deleted:
		case i < f.deleted+f.updated:
			claim(owner, at(i), user, wants(allocated("fixed")))(in)
		default:
			claim(owner, at(i), user)(in)
		}
	}
	for i := f.rows; i < f.rows+f.created; i++ {
		claim(owner, at(i), fmt.Sprintf("/u/%d", i))(in)
	}
}

func newFleetPlan(tb testing.TB, f fleet, parts ...part) plan.Plan {
	tb.Helper()
	parts = append(parts, func(in *plan.Input) { f.addTo(in, lxd, 1) })
	p := plan.Compute(newWorld(tb, parts...))
	require.Equal(tb, f.rows, p.Sources[0].Rows)
	require.Equal(tb, f.deleted, p.Sources[0].Delete+p.Sources[0].Marked)
	require.Equal(tb, f.updated, p.Sources[0].Update-p.Sources[0].Marked)
	require.Equal(tb, f.created, p.Sources[0].Create)
	return p
}

func TestApprove(t *testing.T) {
	defaults := plan.DefaultLimits()
	limit := func(share float64, from, count int) plan.Limits {
		return plan.Limits{Default: plan.Limit{Share: share, FromRows: from, Count: count}}
	}
	for _, c := range []struct {
		name   string
		fleet  fleet
		parts  []part
		limits plan.Limits
		want   string // "" is approved
	}{
		{"nothing to do", fleet{rows: 100}, nil, defaults, ""},
		{"no rows", fleet{}, nil, defaults, ""},
		{"creates are not limited", fleet{created: 500}, nil, defaults, ""},
		{"creates do not count", fleet{rows: 10, deleted: 3, created: 500}, nil, defaults, ""},

		{"10 rows: 30 % is not over", fleet{rows: 10, deleted: 3}, nil, defaults, ""},
		{"10 rows: 40 % is over", fleet{rows: 10, deleted: 4}, nil, defaults,
			"over the limits: lab/lxd: 4 rows of 10 would be changed (0 updated, 4 deleted), 40 % is over the limit of 30 %"},
		{"updates count as deletes do", fleet{rows: 10, updated: 4}, nil, defaults,
			"over the limits: lab/lxd: 4 rows of 10 would be changed (4 updated, 0 deleted), 40 % is over the limit of 30 %"},
		{"deletes and updates count together", fleet{rows: 10, deleted: 2, updated: 2}, nil, defaults,
			"over the limits: lab/lxd: 4 rows of 10 would be changed (2 updated, 2 deleted), 40 % is over the limit of 30 %"},
		{"deletes and updates together, not over", fleet{rows: 10, deleted: 2, updated: 1}, nil, defaults, ""},
		{"marks count", fleet{rows: 10, deleted: 4}, []part{deprecating(lxd)}, defaults,
			"over the limits: lab/lxd: 4 rows of 10 would be changed (4 updated, 0 deleted), 40 % is over the limit of 30 %"},
		{"100 rows: 30", fleet{rows: 100, deleted: 30}, nil, defaults, ""},
		{"100 rows: 31", fleet{rows: 100, deleted: 31}, nil, defaults,
			"over the limits: lab/lxd: 31 rows of 100 would be changed (0 updated, 31 deleted), 31 % is over the limit of 30 %"},
		{"29 % of 100 is 29, though floats say less", fleet{rows: 100, updated: 29}, nil, limit(0.29, 10, 3), ""},
		{"just over shows that it is", fleet{rows: 1000, updated: 301}, nil, defaults,
			"over the limits: lab/lxd: 301 rows of 1000 would be changed (301 updated, 0 deleted), 30.1 % is over the limit of 30 %"},

		{"9 rows: 3 by count", fleet{rows: 9, deleted: 3}, nil, defaults, ""},
		{"9 rows: 4 by count", fleet{rows: 9, deleted: 3, updated: 1}, nil, defaults,
			"over the limits: lab/lxd: 4 rows of 9 would be changed (1 updated, 3 deleted), over the limit of 3 for a source of fewer than 10 rows"},
		{"4 rows: 3 of them", fleet{rows: 4, deleted: 3}, nil, defaults, ""},

		{"the only row may go", fleet{rows: 1, deleted: 1}, nil, defaults, ""},
		{"both rows may not", fleet{rows: 2, deleted: 2}, nil, defaults,
			"over the limits: lab/lxd: the source lists nothing any more, and all of its 2 rows would be removed"},
		{"nor be marked", fleet{rows: 2, deleted: 2}, []part{deprecating(lxd)}, defaults,
			"over the limits: lab/lxd: the source lists nothing any more, and all of its 2 rows would be removed"},
		{"all rows may not, whatever the share", fleet{rows: 12, deleted: 12}, nil, limit(1, 10, 3),
			"over the limits: lab/lxd: the source lists nothing any more, and all of its 12 rows would be removed"},
		{"all but one may, if the share says so", fleet{rows: 12, deleted: 11}, nil, limit(1, 10, 3), ""},
		{"all replaced by others is a matter of the count", fleet{rows: 2, deleted: 2, created: 2}, nil, defaults, ""},
		{"all updated is a matter of the count", fleet{rows: 3, updated: 3}, nil, defaults, ""},
		{"claims that are held do not fill an emptied source", fleet{rows: 2, deleted: 2},
			[]part{claim(lxd, "10.9.9.9/24", "/u"), row(7, "", "10.9.9.9/24", "")}, defaults,
			"over the limits: lab/lxd: none of its 2 rows would be left, and none take their place"},

		{"a limit of its own", fleet{rows: 10, deleted: 5}, nil,
			plan.Limits{Default: plan.DefaultLimit(), Owners: map[string]plan.Limit{lxd: {Share: 0.5, FromRows: 10}}}, ""},
		{"a limit of another source", fleet{rows: 10, deleted: 5}, nil,
			plan.Limits{Default: plan.DefaultLimit(), Owners: map[string]plan.Limit{maas: {Share: 0.5, FromRows: 10}}},
			"over the limits: lab/lxd: 5 rows of 10 would be changed (0 updated, 5 deleted), 50 % is over the limit of 30 %"},
		{"no limits at all means none are met", fleet{rows: 5, updated: 1}, nil, plan.Limits{},
			"over the limits: lab/lxd: 1 row of 5 would be changed (1 updated, 0 deleted), 20 % is over the limit of 0 %"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newFleetPlan(t, c.fleet, c.parts...)
			approved, err := p.Approve(c.limits)
			if c.want == "" {
				require.NoError(t, err)
				require.Equal(t, p.Changes, approved.Changes())
				return
			}
			require.EqualError(t, err, c.want)
			var much *plan.TooMuch
			require.ErrorAs(t, err, &much)
			require.Len(t, much.Sources, 1)
			require.Equal(t, lxd, much.Sources[0].Owner)
			require.Equal(t, c.fleet.rows, much.Sources[0].Rows)
			require.Equal(t, c.fleet.deleted+c.fleet.updated, much.Sources[0].Changes)
			require.Empty(t, approved.Changes())
		})
	}
}

// TestApproveEmptied: a row that already waits does not keep a source filled.
func TestApproveEmptied(t *testing.T) {
	p := plan.Compute(newWorld(t,
		deprecating(lxd),
		row(1, lxd, "10.1.2.1/24", "/u/1", has(status("deprecated")), gone(short)),
		row(2, lxd, "10.1.2.2/24", "/u/2"),
	))
	_, err := p.Approve(plan.DefaultLimits())
	require.EqualError(t, err, "over the limits: lab/lxd: the source lists nothing any more, and 1 of its 2 rows would be removed")

	p = plan.Compute(newWorld(t,
		deprecating(lxd),
		row(1, lxd, "10.1.2.1/24", "/u/1", has(status("deprecated")), gone(short)),
		row(2, lxd, "10.1.2.2/24", "/u/2"),
		claim(lxd, "10.9.9.9/24", "/u"), row(7, "", "10.9.9.9/24", ""),
	))
	_, err = p.Approve(plan.DefaultLimits())
	require.EqualError(t, err, "over the limits: lab/lxd: none of its 2 rows would be left, and none take their place")
}

func TestApproveOthers(t *testing.T) {
	const third = "lab/bgp"
	in := newWorld(t,
		func(in *plan.Input) {
			in.Sources = append(in.Sources, plan.Source{Owner: third, Allow: plan.AllowAll()})
			fleet{rows: 10, deleted: 4, created: 1}.addTo(in, lxd, 1)
			fleet{rows: 10, deleted: 1, updated: 1, created: 1}.addTo(in, maas, 2)
			fleet{rows: 5, updated: 4}.addTo(in, third, 3)
		},
		// Two handovers, of which each involves lxd on another side.
		claim(maas, "10.8.0.1/24", "/m/1"), row(1, lxd, "10.8.0.1/24", "/l/1"),
		claim(lxd, "10.8.0.2/24", "/l/2"), row(2, maas, "10.8.0.2/24", "/m/2"),
	)
	p := plan.Compute(in)
	before := plan.Compute(in)

	approved, err := p.Approve(plan.DefaultLimits())
	require.EqualError(t, err, "over the limits: "+
		"lab/lxd: 5 rows of 11 would be changed (1 updated, 4 deleted), 45.5 % is over the limit of 30 %; "+
		"lab/bgp: 4 rows of 5 would be changed (4 updated, 0 deleted), over the limit of 3 for a source of fewer than 10 rows")
	require.Equal(t, before, p, "Approve changed the plan")

	var have []string
	for _, c := range approved.Changes() {
		require.Equal(t, maas, c.Owner)
		have = append(have, c.Action.String()+" "+c.Record().CIDR().String())
	}
	require.Equal(t, []string{"create 10.2.0.11/24", "update 10.2.0.2/24", "delete 10.2.0.1/24"}, have)

	all, err := p.ApproveDigest(p.Digest())
	require.NoError(t, err)
	require.Equal(t, p.Changes, all.Changes())
}

func TestApproveDigest(t *testing.T) {
	p := newFleetPlan(t, fleet{rows: 10, deleted: 9})
	other := newFleetPlan(t, fleet{rows: 10, deleted: 10})
	for _, digest := range []string{"", "0", other.Digest(), p.Digest() + " ", p.Digest()[:8]} {
		approved, err := p.ApproveDigest(digest)
		require.ErrorContains(t, err, "dry run")
		require.ErrorContains(t, err, p.Digest())
		require.Empty(t, approved.Changes())
	}
	approved, err := p.ApproveDigest(p.Digest())
	require.NoError(t, err)
	require.Equal(t, p.Changes, approved.Changes())

	nothing, err := plan.Plan{}.ApproveDigest(plan.Plan{}.Digest())
	require.NoError(t, err)
	require.Empty(t, nothing.Changes())
}

// TestApproveWorlds: what is approved is a part of the plan, in its order,
// without any change of a source that is over, and settles like the whole.
func TestApproveWorlds(t *testing.T) {
	for seed := range uint64(1000) {
		in := newRandomWorld(seed, small)
		p := plan.Compute(in)
		approved, err := p.Approve(plan.Limits{Default: plan.Limit{Share: 0.3, FromRows: 5, Count: 1}})
		over := map[string]bool{}
		if err != nil {
			var much *plan.TooMuch
			require.ErrorAs(t, err, &much)
			for _, s := range much.Sources {
				over[s.Owner] = true
			}
		}
		n := newNetbox(t, in.Current)
		rest := approved.Changes()
		for _, c := range p.Changes {
			if over[c.Owner] || over[c.Before.Owner] {
				continue
			}
			require.NotEmpty(t, rest)
			require.Equal(t, c, rest[0])
			rest = rest[1:]
			n.mustApply(t, c)
		}
		require.Empty(t, rest)
	}
}

// What was lost shortly before counts where more would be removed, so that a
// source which dwindles in small steps is not emptied without a person.
func TestLostRowsCount(t *testing.T) {
	plan20 := func(deletes, updates int) plan.Plan {
		var world []part
		for i := range 20 {
			address, user := fmt.Sprintf("10.1.2.%d/24", i+1), fmt.Sprintf("/1.0/instances/u%d", i)
			world = append(world, row(i+1, lxd, address, user))
			switch {
			case i < deletes:
			case i < deletes+updates:
				world = append(world, claim(lxd, address, user, wants(dnsName("new.example"))))
			default:
				world = append(world, claim(lxd, address, user))
			}
		}
		return plan.Compute(newWorld(t, world...))
	}
	for _, c := range []struct {
		deletes, updates, lost int
		want                   string
	}{
		{5, 0, 0, ""},
		{5, 0, 1, ""},
		{5, 0, 2, "5 rows of 20 would be changed (0 updated, 5 deleted), after 2 rows lost shortly before, 31.9 % is over the limit of 30 %"},
		{0, 5, 20, ""}, // nothing more is lost
		{1, 0, 8, "1 row of 20 would be changed (0 updated, 1 deleted), after 8 rows lost shortly before, 32.2 % is over the limit of 30 %"},
	} {
		limits := plan.DefaultLimits()
		limits.Lost = map[string]int{lxd: c.lost}
		_, err := plan20(c.deletes, c.updates).Approve(limits)
		if c.want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, c.want)
	}
}

// The same for what a source holds for NetBox: each direction has its own.
func TestReleasedReservationsCount(t *testing.T) {
	p := plan.Plan{
		Sources:      []plan.Summary{{Owner: lxd, Claims: 20, Rows: 20, InStep: 20}},
		Reservations: &plan.Plan{Sources: []plan.Summary{{Owner: lxd, Claims: 8, Rows: 10, InStep: 8, Delete: 2}}},
	}
	for released, want := range map[int]string{
		1: "",
		2: "2 reservations of 10 would be changed (0 updated, 2 released), after 2 reservations released shortly before, 33.4 % is over the limit of 30 %",
	} {
		limits := plan.DefaultLimits()
		limits.Lost, limits.Released = map[string]int{lxd: 50}, map[string]int{lxd: released}
		_, err := p.Approve(limits)
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.EqualError(t, err, "over the limits: "+lxd+": "+want)
	}
}
