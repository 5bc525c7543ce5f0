package plan_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/sync/plan"
)

// rowKey names a row: prefixes and addresses have IDs of their own.
type rowKey struct {
	kind ipam.Kind
	id   int
}

func keyOf(s ipam.Stored) rowKey {
	if s.ID == 0 {
		return rowKey{}
	}
	return rowKey{s.Place.Kind, s.ID}
}

// netbox is a model of NetBox: rows by ID, and in every VRF but dup one row
// at most at a place, at every moment.
type netbox struct {
	rows map[rowKey]ipam.Stored
	at   map[ipam.Place]int // how many rows stand there
	made int
}

func newNetbox(tb testing.TB, rows []ipam.Stored) *netbox {
	tb.Helper()
	n := &netbox{rows: map[rowKey]ipam.Stored{}, at: map[ipam.Place]int{}}
	for _, s := range readOnce(rows) {
		n.rows[keyOf(s)] = s
		n.at[s.Place]++
		n.mustBeUnique(tb, s.Place)
	}
	return n
}

func (n *netbox) mustBeUnique(tb testing.TB, p ipam.Place) {
	tb.Helper()
	if unique[p.VRF] {
		require.LessOrEqual(tb, n.at[p], 1, "NetBox refuses a second row at %v", p)
	}
}

// mustApply carries out one change as NetBox would, and insists that the row
// is still what the plan took it to be.
func (n *netbox) mustApply(tb testing.TB, c plan.Change) {
	tb.Helper()
	if c.Action != plan.Create {
		before, ok := n.rows[keyOf(c.Before)]
		require.True(tb, ok, "no row for: %s", c)
		require.Equal(tb, c.Before, before, "another change touched the row of: %s", c)
		delete(n.rows, keyOf(before))
		n.at[before.Place]--
	}
	if c.Action == plan.Delete {
		return
	}
	after := c.Before
	if c.Action == plan.Create {
		n.made++
		after = ipam.Stored{ID: 1_000_000 + n.made}
	} else {
		require.Equal(tb, c.Before.Place.Kind, c.After.Place.Kind, "a row cannot change its kind: %s", c)
	}
	after.Record = written(after.Record, c.After)
	n.rows[keyOf(after)] = after
	n.at[after.Place]++
	n.mustBeUnique(tb, after.Place)
}

// written is what a row says after want was written over it: a field that want
// leaves unset keeps its value.
func written(row, want ipam.Record) ipam.Record {
	row.Owner, row.Place = want.Owner, want.Place
	a, w := row.Attrs, want.Attrs
	a.Mask, a.UsedBy, a.Type, a.MAC, a.GoneUnix = w.Mask, w.UsedBy, w.Type, w.MAC, w.GoneUnix
	for _, f := range []struct{ have, want *string }{
		{&a.Status, &w.Status}, {&a.Role, &w.Role}, {&a.Tenant, &w.Tenant}, {&a.DNSName, &w.DNSName}, {&a.Description, &w.Description},
	} {
		if *f.want != "" {
			*f.have = *f.want
		}
	}
	if w.Inside.IsValid() {
		a.Inside = w.Inside
	}
	a.Tags = a.Tags.Union(w.Tags)
	if a.Status == "" {
		a.Status = "active" // NetBox's own default
	}
	row.Attrs = a
	return row
}

// stored lists the rows as a read would, in the order of place and ID.
func (n *netbox) stored() []ipam.Stored {
	rows := make([]ipam.Stored, 0, len(n.rows))
	for _, s := range n.rows {
		rows = append(rows, s)
	}
	slices.SortFunc(rows, func(a, b ipam.Stored) int {
		if c := a.Record.Compare(b.Record); c != 0 {
			return c
		}
		return a.ID - b.ID
	})
	return rows
}

// state is stored without the IDs of rows that the plan made: those depend on
// the order in which it was carried out.
func (n *netbox) state() []ipam.Stored {
	rows := n.stored()
	for i := range rows {
		if rows[i].ID > 1_000_000 {
			rows[i].ID = 0
		}
	}
	return rows
}
