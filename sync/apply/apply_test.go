package apply_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/netbox"
	"allocsync/netbox/netboxtest"
	"allocsync/sync/apply"
	"allocsync/sync/plan"
)

func TestRunCarriesEverythingOut(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		rows := b.mustCreate(t, "10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24")
		network := ipam.Record{
			Owner: b.owner, Place: ipam.PlaceOf(b.vrf, ipam.Prefix, netip.MustParsePrefix("10.0.0.0/24")),
			Attrs: ipam.Attrs{UsedBy: "/n", Type: "network", Status: "active"},
		}
		inside, outside := b.address("10.0.0.9/24"), b.address("203.0.113.1/32")
		outside.Attrs.UsedBy = inside.Attrs.UsedBy
		outside.Attrs.Inside, outside.Attrs.InsideVRF = inside.Place.Prefix.Addr(), b.vrf
		var logged []apply.Outcome
		var done, total int
		o := noWait(nil)
		o.Batch = 2
		o.Log = func(o apply.Outcome) { logged = append(logged, o) }
		o.Progress = func(d, n int) { done, total = d, n }
		result := apply.Run(t.Context(), b.session, approve(t,
			b.create(outside), b.create(inside), b.create(network), // the inside address comes later in the plan
			b.update(rows[0], func(r *ipam.Record) {
				r.Place = ipam.PlaceOf(b.vrf, ipam.Address, netip.MustParsePrefix("10.0.0.8/24"))
			}),
			b.update(rows[1], func(r *ipam.Record) { r.Attrs.UsedBy = "/other" }),
			b.remove(rows[2]),
		), o)
		require.NoError(t, result.Err)
		require.Equal(t, 6, result.Count(apply.Done), summary(result))
		require.Len(t, logged, 6)
		require.Equal(t, [2]int{6, 6}, [2]int{done, total})
		for i, outcome := range result.Outcomes {
			require.NotZero(t, outcome.ID)
			require.Empty(t, outcome.Detail)
			require.Equal(t, []plan.Action{plan.Create, plan.Create, plan.Create, plan.Update, plan.Update, plan.Delete}[i], outcome.Change.Action)
		}
		var got []string
		for _, row := range b.own(t) {
			got = append(got, fmt.Sprintf("%s %s %s", row.CIDR(), row.Attrs.UsedBy, row.Attrs.Inside))
		}
		require.ElementsMatch(t, []string{
			"10.0.0.0/24 /n invalid IP", "10.0.0.8/24 /u/10.0.0.1 invalid IP", "10.0.0.2/24 /other invalid IP",
			"10.0.0.9/24 /u/10.0.0.9 invalid IP", "203.0.113.1/32 /u/10.0.0.9 10.0.0.9",
		}, got)
	})
}

// Good rows land, and each bad one is reported with NetBox's words, whether
// the version says which it was or not.
func TestGoodRowsLand(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		rows := b.mustCreate(t, "10.0.1.1/24", "10.0.1.2/24", "10.0.1.3/24", "10.0.1.4/24", "10.0.1.5/24", "10.0.1.6/24", "10.0.1.7/24")
		b.person(t, http.MethodPost, "/api/ipam/ip-addresses/", map[string]any{"address": "10.0.1.99/24", "vrf": b.vrfID})
		taken := ipam.PlaceOf(b.vrf, ipam.Address, netip.MustParsePrefix("10.0.1.99/24"))
		var changes []plan.Change
		for i := range 9 {
			record := b.address(fmt.Sprintf("10.0.1.%d/24", 10+i))
			switch i {
			case 3:
				record.Place = taken
			case 7:
				record.Attrs.DNSName = "has space"
			}
			changes = append(changes, b.create(record))
		}
		for i, row := range rows {
			changes = append(changes, b.update(row, func(r *ipam.Record) {
				r.Attrs.Description = "updated"
				if i == 4 {
					r.Place = taken
				}
			}))
		}
		result := apply.Run(t.Context(), b.session, approve(t, changes...), noWait(nil))
		require.NoError(t, result.Err)
		require.Equal(t, 3, result.Count(apply.Refused), summary(result))
		require.Equal(t, len(changes)-3, result.Count(apply.Done), summary(result))
		for _, i := range []int{3, 9 + 4} {
			require.Equal(t, apply.Refused, result.Outcomes[i].Status)
			require.Contains(t, result.Outcomes[i].Detail, "Duplicate IP address found in VRF")
		}
		require.Contains(t, result.Outcomes[7].Detail, "dns_name")
		require.Len(t, b.own(t), 7+9-2)
	})
}

// What people did between the plan and the run is left alone.
func TestRowsThatPeopleChangedAreKept(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		var cidrs []string
		for i := range 10 {
			cidrs = append(cidrs, fmt.Sprintf("10.0.2.%d/24", i+1))
		}
		rows := b.mustCreate(t, cidrs...)
		path := func(i int) string { return fmt.Sprintf("/api/ipam/ip-addresses/%d/", rows[i].ID) }
		renamed := func(r *ipam.Record) { r.Attrs.UsedBy = "/renamed" }
		patch := func(i int, body map[string]any) { b.person(t, http.MethodPatch, path(i), body) }
		custom := func(field, value string) map[string]any {
			return map[string]any{"custom_fields": map[string]any{field: value}}
		}
		b.person(t, http.MethodDelete, path(0), nil)
		patch(1, custom("used_by", "/by-hand"))
		patch(2, custom("sync_owner", "other/lxd"))
		patch(3, map[string]any{"comments": "a note"})
		patch(4, custom("used_by", "/renamed"))
		b.person(t, http.MethodDelete, path(5), nil)
		patch(6, map[string]any{"comments": "a note"})
		patch(7, custom("sync_owner", ""))
		result := apply.Run(t.Context(), b.session, approve(t,
			b.update(rows[0], renamed), b.update(rows[1], renamed), b.update(rows[2], renamed), b.update(rows[3], renamed), b.update(rows[4], renamed),
			b.remove(rows[5]), b.remove(rows[6]), b.remove(rows[7]), b.remove(rows[8]),
		), noWait(nil))
		require.NoError(t, result.Err)
		for i := range result.Outcomes {
			detail, _, _ := cutTime(result.Outcomes[i].Detail)
			result.Outcomes[i].Detail = detail
		}
		require.Equal(t, `update 10.0.2.1/24 kept: deleted by somebody since it was read
update 10.0.2.2/24 kept: changed by somebody since it was read: used_by is "/by-hand"
update 10.0.2.3/24 kept: it belongs to other/lxd by now, not to `+b.owner+`
update 10.0.2.4/24 done
update 10.0.2.5/24 done
delete 10.0.2.6/24 done: was gone already
delete 10.0.2.7/24 kept: changed by somebody since it was read
delete 10.0.2.8/24 kept: it belongs to nobody that syncs by now, not to `+b.owner+`
delete 10.0.2.9/24 done`, summary(result))
		comment := b.person(t, http.MethodGet, path(3), nil)
		require.Equal(t, "a note", comment["comments"])
		require.Equal(t, "/renamed", comment["custom_fields"].(map[string]any)["used_by"])
	})
}

// A row is only touched in the name of the owner that it has.
func TestGuard(t *testing.T) {
	b := newBed(t, netboxtest.V47)
	row := b.mustCreate(t, "10.0.3.1/24")[0]
	foreign := row
	foreign.Owner = ""
	reserved := foreign
	reserved.ReserveAt, reserved.Attrs.UsedBy, reserved.Attrs.Type = b.owner, "", ""
	fill := func(r *ipam.Record) {
		r.Attrs.UsedBy, r.Attrs.Type, r.Attrs.MAC = "/u", "instance", "00:16:3e:00:00:01"
	}
	update := func(before ipam.Stored, reason plan.Reason, change func(*ipam.Record)) plan.Change {
		c := b.update(before, change)
		c.Owner, c.Reason = b.owner, reason
		return c
	}
	otherInstallation := row
	otherInstallation.Owner = "other/lxd"
	cases := []struct {
		name   string
		change plan.Change
		want   string
	}{
		{"delete a foreign row", plan.Change{Action: plan.Delete, Owner: b.owner, Before: foreign}, `the row belongs to "", not to`},
		{"delete another's row", plan.Change{Action: plan.Delete, Owner: b.owner, Before: otherInstallation}, `the row belongs to "other/lxd"`},
		{"delete without an owner", plan.Change{Action: plan.Delete, Before: foreign}, "is no owner of the form"},
		{"create in another's name", plan.Change{Action: plan.Create, Owner: b.owner, After: otherInstallation.Record}, `in the name of`},
		{"update a foreign row", update(foreign, plan.Changed, fill), "the row is somebody else's"},
		{"take a foreign row", update(foreign, plan.Changed, func(r *ipam.Record) { r.Owner = b.owner }), "the row is somebody else's"},
		{"update another installation's row", update(otherInstallation, plan.Handover, func(r *ipam.Record) { r.Owner = b.owner }), "another installation"},
		{"give a row away", update(row, plan.Handover, func(r *ipam.Record) { r.Owner = "other/lxd" }), "would be given to"},
		{"reserved, but elsewhere", func() plan.Change {
			c := update(reserved, plan.Reserved, fill)
			c.Before.ReserveAt = "other/maas"
			return c
		}(), "the row is somebody else's"},
		{"reserved, takes ownership", update(reserved, plan.Reserved, func(r *ipam.Record) { r.Owner = b.owner }), "its sync_owner is not empty or not allocsync's to fill"},
		{"reserved, changes the status", update(reserved, plan.Reserved, func(r *ipam.Record) { r.Attrs.Status = "active"; r.Attrs.Status = "dhcp" }), "its status is not empty"},
		{"reserved, overwrites", func() plan.Change {
			c := update(reserved, plan.Reserved, fill)
			c.Before.Attrs.UsedBy = "/by-hand"
			return c
		}(), "its used_by is not empty"},
		{"another kind", update(row, plan.Renumbered, func(r *ipam.Record) { r.Place = ipam.PlaceOf(b.vrf, ipam.Prefix, r.Place.Prefix) }), "cannot change its kind"},
		{"no action", plan.Change{Owner: b.owner, After: row.Record}, "unknown action"},
	}
	b.embedded.ResetRequests()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			result := apply.Run(t.Context(), b.session, approve(t, c.change), noWait(nil))
			require.Equal(t, apply.Refused, result.Outcomes[0].Status)
			require.Contains(t, result.Outcomes[0].Detail, c.want)
		})
	}
	require.Empty(t, b.embedded.Requests(), "nothing was even read")
}

// A person's row whose reservation is in use is filled in, where it is empty.
func TestReservedRowsAreFilledIn(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		for _, address := range []string{"10.0.4.1/24", "10.0.4.2/24"} {
			b.person(t, http.MethodPost, "/api/ipam/ip-addresses/", map[string]any{
				"address": address, "vrf": b.vrfID, "status": "reserved", "custom_fields": map[string]any{"reserve_at": b.owner},
			})
		}
		rows, err := b.session.Reserved(t.Context(), []string{b.owner})
		require.NoError(t, err)
		require.Len(t, rows, 2)
		var changes []plan.Change
		for _, row := range rows {
			c := b.update(row, func(r *ipam.Record) { r.Attrs.UsedBy, r.Attrs.Type = "/u", "instance" })
			c.Owner, c.Reason = b.owner, plan.Reserved
			changes = append(changes, c)
		}
		b.person(t, http.MethodPatch, fmt.Sprintf("/api/ipam/ip-addresses/%d/", rows[1].ID), map[string]any{"custom_fields": map[string]any{"used_by": "/by-hand"}})
		result := apply.Run(t.Context(), b.session, approve(t, changes...), noWait(nil))
		require.Equal(t, apply.Done, result.Outcomes[0].Status, summary(result))
		require.Equal(t, apply.Kept, result.Outcomes[1].Status, summary(result))
		again, err := b.session.Reserved(t.Context(), []string{b.owner})
		require.NoError(t, err)
		require.Equal(t, "/u", string(again[0].Attrs.UsedBy))
		require.Equal(t, "reserved", again[0].Attrs.Status)
		require.Empty(t, again[0].Owner)
		require.Equal(t, "/by-hand", string(again[1].Attrs.UsedBy))
	})
}

// A person who takes a reservation back while it is filled in keeps the row as
// it is.
func TestReservationTakenBack(t *testing.T) {
	b := newBed(t, netboxtest.V47)
	b.person(t, http.MethodPost, "/api/ipam/ip-addresses/", map[string]any{"address": "10.0.4.3/24", "vrf": b.vrfID, "custom_fields": map[string]any{"reserve_at": b.owner}})
	rows, err := b.session.Reserved(t.Context(), []string{b.owner})
	require.NoError(t, err)
	c := b.update(rows[0], func(r *ipam.Record) { r.Attrs.UsedBy = "/u" })
	c.Owner, c.Reason = b.owner, plan.Reserved
	b.person(t, http.MethodPatch, fmt.Sprintf("/api/ipam/ip-addresses/%d/", rows[0].ID), map[string]any{"custom_fields": map[string]any{"reserve_at": nil}})
	result := apply.Run(t.Context(), b.session, approve(t, c), noWait(nil))
	require.Equal(t, "update 10.0.4.3/24 kept: its reserve_at was changed by somebody since it was read", summary(result))
}

// A tag that somebody adds meanwhile neither stops an update nor gets lost.
func TestTagsOfPeopleSurvive(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		name := strings.TrimSuffix(b.owner, "/lxd")
		for _, suffix := range []string{"-ours", "-theirs"} {
			id := b.person(t, http.MethodPost, "/api/extras/tags/", map[string]any{"name": name + suffix, "slug": name + suffix})["id"]
			t.Cleanup(func() { b.person(t, http.MethodDelete, fmt.Sprintf("/api/extras/tags/%.0f/", id), nil) })
		}
		session, err := b.client.Prepare(t.Context(), netbox.Refs{VRFs: []string{b.vrf}, Tags: []string{name + "-ours"}})
		require.NoError(t, err)
		b.mustCreate(t, "10.0.6.1/24")
		rows, err := session.Owned(t.Context(), []string{b.owner})
		require.NoError(t, err)
		c := b.update(rows[0], func(r *ipam.Record) { r.Attrs.Tags = ipam.TagsOf(name + "-ours") })
		b.person(t, http.MethodPatch, fmt.Sprintf("/api/ipam/ip-addresses/%d/", rows[0].ID), map[string]any{"tags": []map[string]string{{"slug": name + "-theirs"}}})
		result := apply.Run(t.Context(), session, approve(t, c), noWait(nil))
		require.Equal(t, "update 10.0.6.1/24 done", summary(result))
		rows, err = session.Owned(t.Context(), []string{b.owner})
		require.NoError(t, err)
		require.Equal(t, ipam.TagsOf(name+"-ours", name+"-theirs"), rows[0].Attrs.Tags)
	})
}

// An outside address goes before its inside one: NetBox clears nat_inside when
// that is deleted, and the row would look as if somebody had changed it.
func TestOutsideIsDeletedBeforeInside(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		inside := b.mustCreate(t, "10.0.7.1/24")[0]
		record := b.address("203.0.113.7/32")
		record.Attrs.UsedBy = inside.Attrs.UsedBy
		record.Attrs.Inside, record.Attrs.InsideVRF = inside.Place.Prefix.Addr(), b.vrf
		outside, err := b.session.Create(t.Context(), []ipam.Record{record})
		require.NoError(t, err)
		o := noWait(nil)
		o.Batch = 1
		result := apply.Run(t.Context(), b.session, approve(t, b.remove(inside), b.remove(outside[0])), o)
		require.Equal(t, "delete 10.0.7.1/24 done\ndelete 203.0.113.7/32 done", summary(result))
	})
}

func TestOptionsAreBounded(t *testing.T) {
	b := newBed(t, netboxtest.V47)
	var changes []plan.Change
	for i := range 120 {
		changes = append(changes, b.create(b.address(fmt.Sprintf("10.0.5.%d/24", i+1))))
	}
	b.embedded.ResetRequests()
	result := apply.Run(t.Context(), b.session, approve(t, changes...), apply.Options{})
	require.NoError(t, result.Err)
	require.Equal(t, 120, result.Count(apply.Done))
	require.Len(t, b.embedded.Requests(), 3, "batches of 50, and nothing read before a create")
	b.embedded.ResetRequests()
	changes = nil
	for _, row := range b.own(t) {
		changes = append(changes, b.remove(row))
	}
	b.embedded.ResetRequests()
	result = apply.Run(t.Context(), b.session, approve(t, changes...), apply.Options{Batch: 1 << 30})
	require.Equal(t, 120, result.Count(apply.Done))
	require.Len(t, b.embedded.Requests(), 2, "one read, one delete")
	require.Empty(t, apply.Run(context.Background(), b.session, plan.Approved{}, apply.Options{}).Outcomes)
}
