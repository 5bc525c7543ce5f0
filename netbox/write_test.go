package netbox

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/netbox/netboxtest"
)

// namesRows says whether refused updates say which row was wrong.
func (b *bed) namesRows() bool { return b.version == "" || b.version == netboxtest.V47 }

func mustRefuse(t *testing.T, err error) (*Error, map[int]string) {
	t.Helper()
	var e *Error
	require.ErrorAs(t, err, &e)
	named, refused := e.Refusals()
	require.True(t, refused, "%v", err)
	require.False(t, e.Unsure())
	return e, named
}

func TestRefusedCreates(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		vrf, _ := b.vrf(t, "blue")
		s := b.mustPrepare(t, Refs{VRFs: []string{vrf}, Inside: true})
		mustCreate(t, s, b.address(vrf, "10.70.0.1/24"))
		good, taken := b.address(vrf, "10.70.0.2/24"), b.address(vrf, "10.70.0.1/32")
		named := b.address(vrf, "10.70.0.3/24")
		named.Attrs.DNSName = "has space"

		t.Run("rows are named", func(t *testing.T) {
			_, err := s.Create(t.Context(), []ipam.Record{good, taken, named})
			_, rows := mustRefuse(t, err)
			require.Len(t, rows, 2)
			require.Contains(t, rows[1], "Duplicate IP address found in VRF")
			require.Contains(t, rows[2], "dns_name: Only alphanumeric characters")
		})
		t.Run("a choice that only NetBox can judge", func(t *testing.T) {
			odd := good
			odd.Attrs.Status = "weird"
			_, err := s.Create(t.Context(), []ipam.Record{odd})
			_, rows := mustRefuse(t, err)
			require.Contains(t, rows[0], "weird is not a valid choice")
		})
		t.Run("the same place twice is never sent", func(t *testing.T) {
			writes := b.requests(func() {
				_, err := s.Create(t.Context(), []ipam.Record{good, good})
				_, rows := mustRefuse(t, err)
				require.Equal(t, map[int]string{1: "the same place stands twice in one batch"}, rows)
			}).Writes
			require.Zero(t, writes)
		})
		t.Run("an inside address that is not there", func(t *testing.T) {
			outside := good
			outside.Attrs.Inside, outside.Attrs.InsideVRF = netip.MustParseAddr("10.70.0.99"), vrf
			_, err := s.Create(t.Context(), []ipam.Record{named, outside})
			_, rows := mustRefuse(t, err)
			require.Len(t, rows, 1)
			require.Equal(t, `the inside address 10.70.0.99 is not in NetBox, in VRF "`+vrf+`"`, rows[1])
		})
		own, err := s.Owned(t.Context(), []string{b.owner()})
		require.NoError(t, err)
		require.Len(t, own, 1, "a refused batch leaves nothing behind")
	})
}

func TestRefusedUpdatesAndDeletes(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		vrf, _ := b.vrf(t, "blue")
		s := b.mustPrepare(t, Refs{VRFs: []string{vrf}})
		rows := mustCreate(t, s, b.address(vrf, "10.71.0.1/24"), b.address(vrf, "10.71.0.2/24"), b.address(vrf, "10.71.0.3/24"))
		good, bad, gone := ipam.Edit{Before: rows[0], After: rows[0].Record}, ipam.Edit{Before: rows[1], After: rows[1].Record}, ipam.Edit{Before: rows[2], After: rows[2].Record}
		good.After.Attrs.Description = "good"
		bad.After.Place = rows[0].Place
		gone.After.Attrs.Description = "gone"
		gone.Before.ID = 1 << 30

		_, err := s.Update(t.Context(), []ipam.Edit{good, bad})
		e, named := mustRefuse(t, err)
		if b.namesRows() {
			require.Len(t, named, 1)
			require.Contains(t, named[1], "Duplicate IP address")
		} else {
			require.Empty(t, named)
			require.Contains(t, e.Message, "Duplicate IP address")
		}
		_, err = s.Update(t.Context(), []ipam.Edit{bad})
		_, named = mustRefuse(t, err)
		require.Contains(t, named[0], "Duplicate IP address", "of a batch of one it is clear which")

		ids, err := s.Update(t.Context(), []ipam.Edit{good, gone})
		if b.namesRows() {
			_, named = mustRefuse(t, err)
			require.Equal(t, map[int]string{1: "id: Object with ID 1073741824 does not exist"}, named)
		} else {
			require.NoError(t, err)
			require.Equal(t, []int{rows[0].ID}, ids, "older versions pass over a row that is gone")
		}
		_, err = s.Update(t.Context(), []ipam.Edit{good, good})
		_, named = mustRefuse(t, err)
		require.Equal(t, map[int]string{1: "the same row stands twice in one batch"}, named)

		err = s.Delete(t.Context(), ipam.Address, []int{rows[0].ID, 1 << 30})
		left := 2
		if b.namesRows() {
			_, named = mustRefuse(t, err)
			require.Equal(t, map[int]string{1: "id: Object with ID 1073741824 does not exist"}, named)
			left = 3
		} else {
			require.NoError(t, err)
		}
		own, err := s.Owned(t.Context(), []string{b.owner()})
		require.NoError(t, err)
		require.Len(t, own, left)
	})
}

// A patch holds the ID and what differs, in the form in which NetBox takes it.
func TestPatchHoldsOnlyWhatDiffers(t *testing.T) {
	s := &Session{names: names{vrfs: map[string]int{"blue": 7}, tenants: map[string]int{"acme": 8}, roles: map[string]int{"lan": 9}}}
	before := ipam.Stored{ID: 5, Record: ipam.Record{
		Owner: "dc1/a", Place: ipam.PlaceOf("blue", ipam.Address, netip.MustParsePrefix("10.0.0.1/24")),
		Attrs: ipam.Attrs{Mask: 24, UsedBy: "/u", Type: "instance", MAC: "00:16:3e:00:00:01", Status: "active", Tags: "old", GoneUnix: 5, DNSName: "theirs", Description: "theirs"},
	}}
	same, err := s.patch(ipam.Edit{Before: before, After: before.Record}, 0)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"id": 5}, same)

	after := ipam.Record{
		Owner: "dc1/b", Place: ipam.PlaceOf("", ipam.Address, netip.MustParsePrefix("10.0.0.2/25")),
		Attrs: ipam.Attrs{Mask: 25, UsedBy: "/v", Type: "instance", Status: "dhcp", Role: "vip", Tenant: "acme", Tags: "new", Inside: netip.MustParseAddr("10.0.0.3")},
	}
	body, err := s.patch(ipam.Edit{Before: before, After: after}, 11)
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"id": 5, "address": "10.0.0.2/25", "vrf": nil, "status": "dhcp", "role": "vip", "tenant": 8, "nat_inside": 11,
		"tags":          []map[string]string{{"slug": "new"}, {"slug": "old"}},
		"custom_fields": map[string]any{"sync_owner": "dc1/b", "used_by": "/v", "hwaddr": nil, "gone_since": nil},
	}, body)

	wanted := ipam.Record{Owner: "dc1/a", Place: ipam.PlaceOf("blue", ipam.Prefix, netip.MustParsePrefix("10.0.0.0/24")), Attrs: ipam.Attrs{Role: "lan"}}
	body, err = s.patch(ipam.Edit{Before: ipam.Stored{ID: 6, Record: ipam.Record{Owner: "dc1/a", Place: ipam.PlaceOf("", ipam.Prefix, netip.MustParsePrefix("10.1.0.0/24"))}}, After: wanted}, 0)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"id": 6, "prefix": "10.0.0.0/24", "vrf": 7, "role": 9}, body)

	wanted.Place.VRF = "green"
	_, err = s.patch(ipam.Edit{Before: ipam.Stored{ID: 6}, After: wanted}, 0)
	require.ErrorContains(t, err, `VRF "green" was not among the names`)
}

// The 500 that versions before 4.7 give for an address they cannot read is a
// refusal; from 4.7 on, and without it, nobody knows what happened.
func TestKeyErrorBefore47IsARefusal(t *testing.T) {
	for _, v := range []netboxtest.Version{netboxtest.V37, netboxtest.V42, netboxtest.V47} {
		b := newEmbedded(t, v, Options{})
		s := b.mustPrepare(t, Refs{})
		b.embedded.Fault(netboxtest.Fault{
			Method: "POST", Path: "/api/ipam/", Times: 2, Kind: netboxtest.Answer, Status: 500,
			Header: map[string]string{"Content-Type": "application/json"},
			Body:   `{"error": "'data'", "exception": "KeyError", "netbox_version": "x", "python_version": "y"}`,
		})
		_, err := s.Create(t.Context(), []ipam.Record{b.address("", "10.0.0.1/24"), b.address("", "10.0.0.2/24")})
		var e *Error
		require.ErrorAs(t, err, &e)
		named, refused := e.Refusals()
		require.Equal(t, v != netboxtest.V47, refused)
		require.Equal(t, v == netboxtest.V47, e.Unsure())
		require.Empty(t, named)
		_, err = s.Create(t.Context(), []ipam.Record{b.address("", "10.0.0.1/24")})
		require.ErrorAs(t, err, &e)
		named, _ = e.Refusals()
		require.Equal(t, v != netboxtest.V47, len(named) == 1)
	}
}

// What happens to a write on its way decides whether it may be sent again.
func TestWritesThatFail(t *testing.T) {
	html := map[string]string{"Content-Type": "text/html"}
	cases := map[string]struct {
		fault   netboxtest.Fault
		refused bool
		unsure  bool
		denied  bool
		after   string
	}{
		"carried out, connection cut": {fault: netboxtest.Fault{Kind: netboxtest.LostAnswer}, unsure: true},
		"carried out, 504":            {fault: netboxtest.Fault{Kind: netboxtest.LostAnswer, Status: 504, Header: html, Body: "<html>"}, unsure: true},
		"carried out, answer cut off": {fault: netboxtest.Fault{Kind: netboxtest.Truncate}, unsure: true},
		"never seen":                  {fault: netboxtest.Fault{Kind: netboxtest.Drop}, unsure: true},
		"login page":                  {fault: netboxtest.Fault{Kind: netboxtest.HTMLPage}, unsure: true},
		"too many requests":           {fault: netboxtest.Fault{Status: 429, Header: map[string]string{"Retry-After": "7"}}, unsure: true, after: "7s"},
		"unavailable":                 {fault: netboxtest.Fault{Status: 503, Header: html, Body: "<html>"}, unsure: true},
		"server error":                {fault: netboxtest.Fault{Status: 500, Header: map[string]string{"Content-Type": "application/json"}, Body: `{"error":"redis is down","exception":"ConnectionError"}`}, unsure: true},
		"too large for the proxy":     {fault: netboxtest.Fault{Status: 413, Header: html, Body: "<html>"}, refused: true},
		"denied":                      {fault: netboxtest.Fault{Status: 403, Header: map[string]string{"Content-Type": "application/json"}, Body: `{"detail":"no"}`}, denied: true},
		"not found":                   {fault: netboxtest.Fault{Status: 404, Header: html, Body: "<html><title>Page Not Found</title>"}},
		"redirect":                    {fault: netboxtest.Fault{Status: 301, Header: map[string]string{"Location": "https://elsewhere.example/api/"}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := newEmbedded(t, netboxtest.V47, Options{})
			s := b.mustPrepare(t, Refs{})
			c.fault.Method, c.fault.Path = "POST", "/api/ipam/"
			b.embedded.Fault(c.fault)
			writes := b.requests(func() {
				_, err := s.Create(t.Context(), []ipam.Record{b.address("", "10.0.0.1/24"), b.address("", "10.0.0.2/24")})
				var e *Error
				require.ErrorAs(t, err, &e)
				_, refused := e.Refusals()
				require.Equal(t, c.refused, refused, err)
				require.Equal(t, c.unsure, e.Unsure(), err)
				require.Equal(t, c.denied, errors.Is(err, ErrDenied), err)
				if c.after != "" {
					require.Equal(t, c.after, e.RetryAfter().String())
				}
				require.False(t, strings.Contains(err.Error(), string(b.client.token)))
			}).Writes
			require.Equal(t, 1, writes, "a write is sent once")
		})
	}
}

// In maintenance mode NetBox can be read and not written.
func TestMaintenanceMode(t *testing.T) {
	b := newEmbedded(t, netboxtest.V47, Options{})
	s := b.mustPrepare(t, Refs{})
	b.embedded.SetMaintenance(true)
	_, err := s.Create(t.Context(), []ipam.Record{b.address("", "10.0.0.1/24")})
	var e *Error
	require.ErrorAs(t, err, &e)
	_, refused := e.Refusals()
	require.False(t, refused)
	require.False(t, e.Unsure(), "nothing was done, and trying again does not help")
	require.ErrorContains(t, err, "NetBox is in maintenance mode: it can be read, not written")
	_, err = s.Owned(t.Context(), []string{b.owner()})
	require.NoError(t, err)
}
