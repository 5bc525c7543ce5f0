package ipam_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
)

func names(fields []ipam.Field) []string {
	var list []string
	for _, f := range fields {
		list = append(list, f.Name)
	}
	return list
}

// What people put into a row stays theirs as long as no rule sets the field.
func TestEditNeverComparesUnmanagedFields(t *testing.T) {
	after := ipam.Record{
		Owner: "dc1/lab", Place: ipam.PlaceOf("", ipam.Address, netip.MustParsePrefix("10.1.2.3/32")),
		Attrs: ipam.Attrs{Mask: 24, UsedBy: "/u", Type: "instance", MAC: "00:16:3e:00:00:01"},
	}
	before := ipam.Stored{ID: 7, Record: after}
	before.Attrs.Status = "reserved"
	before.Attrs.Role = "vip"
	before.Attrs.Tenant = "team"
	before.Attrs.DNSName = "x.example.org"
	before.Attrs.Description = "by hand"
	before.Attrs.Tags = "mine"
	before.Attrs.Inside = netip.MustParseAddr("10.0.0.1")
	require.Empty(t, ipam.Edit{Before: before, After: after}.Fields())
}

func TestEditFields(t *testing.T) {
	base := ipam.Record{
		Owner: "dc1/lab", Place: ipam.PlaceOf("", ipam.Address, netip.MustParsePrefix("10.1.2.3/32")),
		Attrs: ipam.Attrs{Mask: 24, UsedBy: "/u", Type: "instance"},
	}
	for name, c := range map[string]struct {
		change func(before *ipam.Stored, after *ipam.Record)
		want   []ipam.Field
	}{
		"mask": {func(_ *ipam.Stored, a *ipam.Record) { a.Attrs.Mask = 25 },
			[]ipam.Field{{Name: "address", Old: "10.1.2.3/24", New: "10.1.2.3/25"}}},
		"vrf to global": {func(b *ipam.Stored, _ *ipam.Record) { b.Place.VRF = "red" },
			[]ipam.Field{{Name: "vrf", Old: "red"}}},
		"owner": {func(b *ipam.Stored, _ *ipam.Record) { b.Owner = "dc1/other" },
			[]ipam.Field{{Name: "sync_owner", Old: "dc1/other", New: "dc1/lab"}}},
		"user, type, MAC": {func(b *ipam.Stored, a *ipam.Record) {
			b.Attrs.UsedBy, b.Attrs.Type, b.Attrs.MAC = "/v", "network", "00:16:3e:00:00:01"
		}, []ipam.Field{{Name: "used_by", Old: "/v", New: "/u"}, {Name: "sync_type", Old: "network", New: "instance"}, {Name: "hwaddr", Old: "00:16:3e:00:00:01"}}},
		"a managed field": {func(b *ipam.Stored, a *ipam.Record) { b.Attrs.Status, a.Attrs.Status = "reserved", "active" },
			[]ipam.Field{{Name: "status", Old: "reserved", New: "active"}}},
		"tags are contained": {func(b *ipam.Stored, a *ipam.Record) { b.Attrs.Tags, a.Attrs.Tags = "a,b,z", "a,b" }, nil},
		"a tag is missing": {func(b *ipam.Stored, a *ipam.Record) { b.Attrs.Tags, a.Attrs.Tags = "z", "a" },
			[]ipam.Field{{Name: "tags", Old: "z", New: "a,z"}}},
		"nat_inside": {func(_ *ipam.Stored, a *ipam.Record) { a.Attrs.Inside = netip.MustParseAddr("10.0.0.1") },
			[]ipam.Field{{Name: "nat_inside", New: "10.0.0.1"}}},
		"back again": {func(b *ipam.Stored, _ *ipam.Record) { b.Attrs.GoneUnix = 1753776000 },
			[]ipam.Field{{Name: "gone_since", Old: "2025-07-29T08:00:00Z"}}},
		"a prefix is called so": {func(b *ipam.Stored, a *ipam.Record) {
			b.Place = ipam.PlaceOf("", ipam.Prefix, netip.MustParsePrefix("10.1.0.0/24"))
			a.Place = ipam.PlaceOf("", ipam.Prefix, netip.MustParsePrefix("10.1.0.0/16"))
		}, []ipam.Field{{Name: "prefix", Old: "10.1.0.0/24", New: "10.1.0.0/16"}}},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := ipam.Stored{Record: base}, base
			c.change(&before, &after)
			require.Equal(t, c.want, ipam.Edit{Before: before, After: after}.Fields())
		})
	}
}

// NetBox shows no VRF of an inside address, so a row cannot differ in it.
func TestInsideVRFIsNotCompared(t *testing.T) {
	after := ipam.Record{
		Owner: "dc1/lab", Place: ipam.PlaceOf("", ipam.Address, netip.MustParsePrefix("203.0.113.1/32")),
		Attrs: ipam.Attrs{Mask: 32, UsedBy: "/u", Type: "floating", Inside: netip.MustParseAddr("10.0.0.1"), InsideVRF: "web"},
	}
	before := ipam.Stored{ID: 7, Record: after}
	before.Attrs.InsideVRF = ""
	require.Empty(t, ipam.Edit{Before: before, After: after}.Fields())
	require.True(t, ipam.InStep(&before, &after))
}

// An edit to what NetBox then holds is empty: whatever Fields lists, carrying
// it out brings the row in step.
func TestEditCarriedOutIsEmpty(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		after := randomClaim(r).Record
		before := ipam.Stored{Record: randomClaim(r).Record}
		before.Place.Kind = after.Place.Kind
		if after.Place.Kind == ipam.Address && after.Attrs.Mask > after.Place.Prefix.Addr().BitLen() {
			continue
		}
		fields := ipam.Edit{Before: before, After: after}.Fields()
		held := before
		held.Owner, held.Place = after.Owner, after.Place
		held.Attrs = carriedOut(before.Attrs, after.Attrs)
		require.Empty(t, ipam.Edit{Before: held, After: after}.Fields(), "%v", names(fields))
		if before.Record == after {
			require.Empty(t, fields)
		}
	}
}

// carriedOut is what a row holds after NetBox was sent what a sets.
func carriedOut(b, a ipam.Attrs) ipam.Attrs {
	keep := func(after, before string) string {
		if after == "" {
			return before
		}
		return after
	}
	held := a
	held.Status, held.Role, held.Tenant = keep(a.Status, b.Status), keep(a.Role, b.Role), keep(a.Tenant, b.Tenant)
	held.DNSName, held.Description = keep(a.DNSName, b.DNSName), keep(a.Description, b.Description)
	held.Tags = b.Tags.Union(a.Tags)
	if !a.Inside.IsValid() {
		held.Inside = b.Inside
	}
	return held
}
