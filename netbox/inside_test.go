package netbox

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
)

// insideID is the ID that a row of NetBox names as nat_inside; 0 for none.
func (b *bed) insideID(t testing.TB, id int) int {
	t.Helper()
	var row struct {
		Inside related `json:"nat_inside"`
	}
	require.NoError(t, b.client.read(context.Background(), fmt.Sprintf("/api/ipam/ip-addresses/%d/", id), "", &row))
	return row.Inside.ID
}

// The inside address is looked for in the VRF that the row names, and nowhere
// else: tenants of a cloud may all have the same one.
func TestInsideIsInAnotherVRF(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		public, _ := b.vrf(t, "public")
		red, _ := b.vrf(t, "red")
		blue, _ := b.vrf(t, "blue")
		green, _ := b.vrf(t, "green")
		s := b.mustPrepare(t, Refs{VRFs: []string{public, red, blue, green}, Inside: true})
		const inside = "10.90.0.5/24"
		fixed := []ipam.Record{b.address(public, inside), b.address(red, inside), b.address(blue, inside), b.address(blue, "10.90.0.6/24")}
		for i := range fixed {
			fixed[i].Attrs.UsedBy = "/ports/2"
		}
		fixed[1].Attrs.UsedBy = "/ports/1"
		made := mustCreate(t, s, fixed...)
		floating := b.address(public, "203.0.113.90/32")
		floating.Attrs.UsedBy = "/ports/1"
		floating.Attrs.Inside, floating.Attrs.InsideVRF = netip.MustParseAddr("10.90.0.5"), red
		row := mustCreate(t, s, floating)[0]
		require.Equal(t, made[1].ID, b.insideID(t, row.ID))
		require.Empty(t, row.Attrs.InsideVRF, "NetBox shows no VRF of it")
		require.True(t, ipam.InStep(&row, &floating))

		// To another user behind the very same address, in another VRF: nothing
		// but used_by differs, and still it is another row.
		after := floating
		after.Attrs.UsedBy, after.Attrs.InsideVRF = "/ports/2", blue
		cost := b.requests(func() {
			ids, err := s.Update(t.Context(), []ipam.Edit{{Before: row, After: after}})
			require.NoError(t, err)
			require.Equal(t, []int{row.ID}, ids)
		})
		require.Equal(t, [2]int{1, 1}, [2]int{cost.Reads, cost.Writes}, "one look at the inside places, one PATCH")
		require.Equal(t, made[2].ID, b.insideID(t, row.ID))

		// Another inside address of the same user.
		rows, err := s.Rows(t.Context(), ipam.Address, []int{row.ID})
		require.NoError(t, err)
		other := after
		other.Attrs.Inside = netip.MustParseAddr("10.90.0.6")
		_, err = s.Update(t.Context(), []ipam.Edit{{Before: rows[0], After: other}})
		require.NoError(t, err)
		require.Equal(t, made[3].ID, b.insideID(t, row.ID))
		rows, err = s.Rows(t.Context(), ipam.Address, []int{row.ID})
		require.NoError(t, err)
		_, err = s.Update(t.Context(), []ipam.Edit{{Before: rows[0], After: after}})
		require.NoError(t, err)
		require.Equal(t, made[2].ID, b.insideID(t, row.ID))

		// What changes nothing of the kind needs no look.
		rows, err = s.Rows(t.Context(), ipam.Address, []int{row.ID})
		require.NoError(t, err)
		after.Attrs.Type = "vip"
		cost = b.requests(func() {
			_, err = s.Update(t.Context(), []ipam.Edit{{Before: rows[0], After: after}})
			require.NoError(t, err)
		})
		require.Equal(t, [2]int{0, 1}, [2]int{cost.Reads, cost.Writes})
		require.Equal(t, made[2].ID, b.insideID(t, row.ID))

		other = b.address(public, "203.0.113.91/32")
		other.Attrs.Inside, other.Attrs.InsideVRF = floating.Attrs.Inside, green
		_, err = s.Create(t.Context(), []ipam.Record{other})
		_, named := mustRefuse(t, err)
		require.Equal(t, map[int]string{0: `the inside address 10.90.0.5 is not in NetBox, in VRF "` + green + `"`}, named)
	})
}

// Where another user of the owner has the inside address, the row names none: a
// new one does without, and one that named a row names it no longer.
func TestInsideOfAnotherUser(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		blue, _ := b.vrf(t, "blue")
		s := b.mustPrepare(t, Refs{VRFs: []string{blue}, Inside: true})
		theirs, mine := b.address(blue, "10.90.0.5/24"), b.address(blue, "10.90.0.6/24")
		theirs.Attrs.UsedBy, mine.Attrs.UsedBy = "/ports/1", "/ports/2"
		made := mustCreate(t, s, theirs, mine)
		outside := func(cidr, inside string) ipam.Record {
			r := b.address(blue, cidr)
			r.Attrs.UsedBy, r.Attrs.Inside, r.Attrs.InsideVRF = "/ports/2", netip.MustParseAddr(inside), blue
			return r
		}
		row := mustCreate(t, s, outside("203.0.113.90/32", "10.90.0.5"))[0]
		require.Zero(t, b.insideID(t, row.ID))

		row = mustCreate(t, s, outside("203.0.113.91/32", "10.90.0.6"))[0]
		require.Equal(t, made[1].ID, b.insideID(t, row.ID))
		_, err := s.Update(t.Context(), []ipam.Edit{{Before: row, After: outside("203.0.113.91/32", "10.90.0.5")}})
		require.NoError(t, err)
		require.Zero(t, b.insideID(t, row.ID))
	})
}

func TestInsideRow(t *testing.T) {
	row := func(id int, owner string, usedBy ipam.UsedBy) ipam.Stored {
		return ipam.Stored{ID: id, Record: ipam.Record{Owner: owner, Attrs: ipam.Attrs{UsedBy: usedBy}}}
	}
	for name, c := range map[string]struct {
		rows []ipam.Stored
		want int
	}{
		"nothing":                          {nil, 0},
		"the owner's own, the lowest ID":   {[]ipam.Stored{row(1, "", ""), row(2, "a/c", "/u"), row(3, "a/b", "/u"), row(4, "a/b", "/u")}, 3},
		"the owner's of another user":      {[]ipam.Stored{row(1, "a/b", "/v")}, 0},
		"that one bars others' too":        {[]ipam.Stored{row(1, "", ""), row(2, "a/c", "/u"), row(3, "a/b", "/v")}, 0},
		"both":                             {[]ipam.Stored{row(1, "a/b", "/v"), row(2, "a/b", "/u")}, 2},
		"another's of the same user":       {[]ipam.Stored{row(1, "", ""), row(2, "a/c", "/u")}, 2},
		"another's of another user":        {[]ipam.Stored{row(1, "a/c", "/v"), row(2, "a/c", "")}, 0},
		"a person's":                       {[]ipam.Stored{row(1, "", "/v"), row(2, "", ""), row(3, "", "")}, 2},
		"a person's that says whose it is": {[]ipam.Stored{row(1, "", ""), row(2, "", "/u")}, 2},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, InsideRow(c.rows, "a/b", "/u")) })
	}
}
