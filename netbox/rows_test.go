package netbox

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/netbox/netboxtest"
)

func TestRowsRoundTrip(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		vrf, _ := b.vrf(t, "blue")
		b.mustMake(t, "/api/tenancy/tenants/", map[string]any{"name": b.run + " tenant", "slug": b.run + "-tenant"})
		b.mustMake(t, "/api/ipam/roles/", map[string]any{"name": b.run + " role", "slug": b.run + "-role"})
		b.mustMake(t, "/api/extras/tags/", map[string]any{"name": b.run + " tag", "slug": b.run + "-tag"})
		tenant := b.run + "-tenant"
		if b.version == netboxtest.V42 {
			tenant = b.run + " tenant" // by name
		}
		s := b.mustPrepare(t, Refs{
			VRFs: []string{vrf, ""}, Tenants: []string{tenant}, Roles: []string{b.run + "-role"},
			Tags: []string{b.run + "-tag"}, Inside: true, Deprecate: true, Reservable: true,
		})
		tags := ipam.TagsOf(b.run + "-tag")

		network := b.prefix(vrf, "10.20.0.0/16")
		network.Attrs.Role, network.Attrs.Tenant, network.Attrs.Tags, network.Attrs.Description = b.run+"-role", tenant, tags, "the network"
		network.Attrs.Status = "container"
		six := b.prefix(vrf, "fd00:20::/64")
		prefixes := mustCreate(t, s, network, six)
		require.Equal(t, network, prefixes[0].Record)
		require.Equal(t, six, prefixes[1].Record)

		inside := b.address(vrf, "10.20.0.5/16")
		inside.Attrs.UsedBy = "/servers/ü"
		mustCreate(t, s, inside)
		outside := b.address(vrf, "203.0.113.9/32")
		outside.Attrs = ipam.Attrs{
			Mask: 32, UsedBy: "/servers/ü", Type: "floating", MAC: "00:16:3e:04:f0:95", Status: "dhcp", Role: "vip",
			Tenant: tenant, DNSName: "u1.example.org", Description: "“quoted”", Tags: tags,
			Inside: netip.MustParseAddr("10.20.0.5"), InsideVRF: vrf, GoneUnix: 1700000000,
		}
		v6 := b.address(vrf, "fd00:20::216:3eff:fe04:f095/64")
		made := mustCreate(t, s, outside, v6)
		outside.Attrs.InsideVRF = "" // which NetBox does not show
		require.Equal(t, outside, made[0].Record)
		require.Equal(t, v6, made[1].Record)

		own, err := s.Owned(t.Context(), []string{b.owner(), b.run + "/other"})
		require.NoError(t, err)
		require.Len(t, own, 5)
		require.Equal(t, prefixes, own[:2])
		require.Equal(t, made, own[3:])

		again, err := s.Rows(t.Context(), ipam.Address, []int{made[1].ID, made[0].ID, made[0].ID, 1 << 30})
		require.NoError(t, err)
		require.Equal(t, made, again)

		// An update sends what differs and nothing else, and can clear.
		after := made[0].Record
		after.Place = ipam.PlaceOf(vrf, ipam.Address, netip.MustParsePrefix("203.0.113.10/32"))
		after.Attrs.Type, after.Attrs.MAC, after.Attrs.GoneUnix = "other", "", 0
		after.Attrs.Status, after.Attrs.Role, after.Attrs.Inside = "reserved", "anycast", netip.MustParseAddr("10.20.0.5")
		after.Attrs.InsideVRF = vrf
		ids, err := s.Update(t.Context(), []ipam.Edit{{Before: made[0], After: after}})
		require.NoError(t, err)
		require.Equal(t, []int{made[0].ID}, ids)
		again, err = s.Rows(t.Context(), ipam.Address, ids)
		require.NoError(t, err)
		after.Attrs.InsideVRF = ""
		require.Equal(t, after, again[0].Record)
		require.True(t, again[0].LastUpdated.After(made[0].LastUpdated))

		require.NoError(t, s.Delete(t.Context(), ipam.Address, []int{made[0].ID, made[1].ID}))
		again, err = s.Rows(t.Context(), ipam.Address, []int{made[0].ID, made[1].ID})
		require.NoError(t, err)
		require.Empty(t, again)
	})
}

// What a source writes as the user comes back byte for byte.
func TestUsedByComesBackByteForByte(t *testing.T) {
	values := []ipam.UsedBy{
		"/1.0/instances/u1?project=web&target=a#b",
		"/1.0/instances/ünï/日本語/\U0001F600",
		`quotes " ' ` + "`" + ` \ and <b>&amp;</b>`,
		"percent %20 %zz 100%",
		"two  spaces   inside, comma; semicolon = equals + plus",
		ipam.UsedBy("/long/" + strings.Repeat("abcdefghij", 200)),
		"null", "None", "[]", "{}", "0", "true",
		"e\u0301 is not é", "x\u00a0inside\u00a0x",
	}
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		vrf, _ := b.vrf(t, "bytes")
		s := b.mustPrepare(t, Refs{VRFs: []string{vrf}})
		var records []ipam.Record
		for i, value := range values {
			_, err := ipam.ParseUsedBy(string(value))
			require.NoError(t, err)
			record := b.address(vrf, fmt.Sprintf("10.30.0.%d/24", i+1))
			record.Attrs.UsedBy = value
			records = append(records, record)
		}
		made := mustCreate(t, s, records...)
		own, err := s.Owned(t.Context(), []string{b.owner()})
		require.NoError(t, err)
		for i, value := range values {
			require.Equal(t, value, made[i].Attrs.UsedBy)
			require.Equal(t, value, own[i].Attrs.UsedBy)
		}
		// And through an update.
		edits := make([]ipam.Edit, len(own))
		for i, row := range own {
			edits[i] = ipam.Edit{Before: row, After: row.Record}
			edits[i].After.Attrs.UsedBy = values[(i+1)%len(values)]
		}
		_, err = s.Update(t.Context(), edits)
		require.NoError(t, err)
		own, err = s.Owned(t.Context(), []string{b.owner()})
		require.NoError(t, err)
		for i := range values {
			require.Equal(t, values[(i+1)%len(values)], own[i].Attrs.UsedBy)
		}
	})
}

// Every place finds its own rows and no others: by VRF, by host whatever the
// mask, by exact prefix.
func TestAt(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		blue, _ := b.vrf(t, "blue")
		red, redID := b.vrf(t, "red")
		s := b.mustPrepare(t, Refs{VRFs: []string{blue, red}, Reservable: true})
		mustCreate(t, s, b.address(blue, "10.40.0.1/24"), b.address(blue, "10.40.0.2/24"), b.address(blue, "fd00:40::1/64"), b.address(red, "10.40.0.1/32"))
		mustCreate(t, s, b.prefix(blue, "10.40.0.0/24"), b.prefix(red, "10.40.0.0/24"), b.prefix(blue, "10.40.0.0/25"))
		b.mustMake(t, "/api/ipam/ip-addresses/", map[string]any{
			"address": "10.40.0.9/16", "vrf": redID,
			"custom_fields": map[string]any{ipam.ReserveAtField: b.run + "/maas"},
		})
		place := func(vrf string, kind ipam.Kind, p string) ipam.Place {
			return ipam.PlaceOf(vrf, kind, netip.MustParsePrefix(p))
		}
		rows, err := s.At(t.Context(), []ipam.Place{
			place(red, ipam.Address, "10.40.0.9/32"),
			place(blue, ipam.Address, "10.40.0.1/32"),
			place(blue, ipam.Address, "10.40.0.1/32"),
			place(red, ipam.Address, "10.40.0.2/32"),
			place(blue, ipam.Address, "fd00:40::1/128"),
			place(blue, ipam.Prefix, "10.40.0.0/24"),
			place(red, ipam.Prefix, "10.40.0.0/25"),
			place("", ipam.Prefix, "10.40.0.0/25"),
		})
		require.NoError(t, err)
		var got []string
		for _, row := range rows {
			got = append(got, fmt.Sprintf("%s %s %s %s", row.Place.VRF, row.CIDR(), row.Owner, row.ReserveAt))
		}
		require.Equal(t, []string{
			blue + " 10.40.0.0/24 " + b.owner() + " ",
			blue + " 10.40.0.1/24 " + b.owner() + " ",
			blue + " fd00:40::1/64 " + b.owner() + " ",
			red + " 10.40.0.9/16  " + b.run + "/maas",
		}, got)

		reserved, err := s.Reserved(t.Context(), []string{b.run + "/maas"})
		require.NoError(t, err)
		require.Len(t, reserved, 1)
		require.Equal(t, "10.40.0.9/16", reserved[0].CIDR().String())
	})
}

// Rows that ask an installation for a reservation and none of its sources: in
// any case of letters, and none of another installation.
func TestReservedElsewhere(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		s := b.mustPrepare(t, Refs{Reservable: true})
		for i, at := range []string{"/maas", "/mass", "/LAB", "0/lab", "/lab", "/", ""} {
			b.mustMake(t, "/api/ipam/ip-addresses/", map[string]any{
				"address": fmt.Sprintf("10.41.0.%d/24", i+1), "custom_fields": map[string]any{ipam.ReserveAtField: b.run + at},
			})
		}
		for _, start := range []string{b.run + "/", strings.ToUpper(b.run) + "/"} {
			rows, err := s.ReservedElsewhere(t.Context(), start, []string{b.run + "/maas", b.run + "/lab"})
			require.NoError(t, err)
			var got []string
			for _, row := range rows {
				got = append(got, row.CIDR().String()+" "+strings.TrimPrefix(row.ReserveAt, b.run))
			}
			require.Equal(t, []string{"10.41.0.2/24 /mass", "10.41.0.3/24 /LAB", "10.41.0.6/24 /"}, got)
		}

		many := []string{b.run + "/lab"}
		for i := range 1000 { // more than a URL has room for
			many = append(many, fmt.Sprintf("%s/%d-%s", b.run, i, strings.Repeat("x", 40)))
		}
		rows, err := s.ReservedElsewhere(t.Context(), b.run+"/", many)
		require.NoError(t, err)
		require.Len(t, rows, 4, "lab sorts after what there is room for")
	})
}

// NetBox's own limit, not the one asked for, decides how long a page is.
func TestPages(t *testing.T) {
	for _, v := range []netboxtest.Version{netboxtest.V37, netboxtest.V42, netboxtest.V47} {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			b := newEmbedded(t, v, Options{PageSize: 500})
			b.embedded.SetMaxPageSize(7)
			s := b.mustPrepare(t, Refs{})
			var records []ipam.Record
			for i := range 20 {
				// Not in the order of their IDs by address.
				records = append(records, b.address("", fmt.Sprintf("10.50.0.%d/24", 200-i)))
			}
			made := mustCreate(t, s, records...)
			var own []ipam.Stored
			n := b.requests(func() {
				var err error
				own, err = s.Owned(t.Context(), []string{b.owner()})
				require.NoError(t, err)
			})
			require.Equal(t, made, own)
			require.Equal(t, 3+1, n.Reads, "pages of addresses and of prefixes")
			require.Equal(t, 20, n.Rows)
		})
	}
}

// Rows of a VRF that the configuration does not name are told apart, also by
// name, and can be looked up and deleted.
func TestVRFNotNamed(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		vrf, id := b.vrf(t, "old")
		before := b.mustPrepare(t, Refs{VRFs: []string{vrf}})
		made := mustCreate(t, before, b.address(vrf, "10.60.0.1/24"))
		s := b.mustPrepare(t, Refs{})
		own, err := s.Owned(t.Context(), []string{b.owner()})
		require.NoError(t, err)
		require.Len(t, own, 1)
		require.Equal(t, fmt.Sprintf("%s (#%d)", vrf, id), own[0].Place.VRF)
		at, err := s.At(t.Context(), []ipam.Place{own[0].Place})
		require.NoError(t, err)
		require.Equal(t, own, at)
		require.Equal(t, made[0].ID, own[0].ID)
		require.NoError(t, s.Delete(t.Context(), ipam.Address, []int{own[0].ID}))
	})
}

// NetBox's change log says who it was, where it takes a word.
func TestChangeLogMessage(t *testing.T) {
	b := newReal(t)
	vrf, _ := b.vrf(t, "log")
	s := b.mustPrepare(t, Refs{VRFs: []string{vrf}})
	row := mustCreate(t, s, b.address(vrf, "10.90.0.1/24"))[0]
	after := row.Record
	after.Attrs.UsedBy = "/other"
	_, err := s.Update(t.Context(), []ipam.Edit{{Before: row, After: after}})
	require.NoError(t, err)
	require.NoError(t, s.Delete(t.Context(), ipam.Address, []int{row.ID}))
	var changes struct {
		Results []struct {
			Message string `json:"message"`
		} `json:"results"`
	}
	require.NoError(t, b.client.read(t.Context(), "/api/core/object-changes/", fmt.Sprintf("changed_object_id=%d&changed_object_type=ipam.ipaddress&ordering=id", row.ID), &changes))
	require.Len(t, changes.Results, 3)
	require.Equal(t, "allocsync: "+b.owner(), changes.Results[0].Message)
	require.Equal(t, "allocsync: "+b.owner(), changes.Results[1].Message)
	require.Equal(t, "allocsync", changes.Results[2].Message)
}

// Of other owners the prefixes are read and no address.
func TestOwnedAndPrefixesOfOthers(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		s := b.mustPrepare(t, Refs{})
		others := []ipam.Record{b.address("", "10.42.0.2/24"), b.prefix("", "10.42.0.0/24")}
		for i := range others {
			others[i].Owner = b.run + "/other"
			mustCreate(t, s, others[i])
		}
		mine := mustCreate(t, s, b.address("", "10.42.0.1/24"))
		own, err := s.Owned(t.Context(), []string{b.owner()}, b.run+"/other", b.run+"/none")
		require.NoError(t, err)
		require.Len(t, own, 2)
		require.Equal(t, []string{"10.42.0.0/24", b.run + "/other"}, []string{own[0].CIDR().String(), own[0].Owner})
		require.Equal(t, mine[0], own[1])
	})
}
