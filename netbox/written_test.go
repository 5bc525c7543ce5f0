package netbox

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/netbox/netboxtest"
)

// objectChanges lists the request IDs of the changes of an address, the newest
// first.
func (b *bed) objectChanges(t testing.TB, address int) []string {
	t.Helper()
	path := "/api/core/object-changes/"
	if b.version == netboxtest.V37 {
		path = "/api/extras/object-changes/"
	}
	var answer struct {
		Results []struct {
			RequestID string `json:"request_id"`
			Type      string `json:"changed_object_type"`
		} `json:"results"`
	}
	require.NoError(t, b.client.read(t.Context(), path, fmt.Sprintf("limit=50&ordering=-id&changed_object_id=%d", address), &answer))
	var ids []string
	for _, r := range answer.Results {
		if r.Type == "ipam.ipaddress" {
			ids = append(ids, r.RequestID)
		}
	}
	return ids
}

// What the change log says of our own writes is known as ours; what somebody
// else wrote is not.
func TestWrote(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		vrf, _ := b.vrf(t, "wrote")
		other := mustOpen(t, Options{URL: b.client.base, Token: b.client.token})
		s := b.mustPrepare(t, Refs{VRFs: []string{vrf}})
		rows := mustCreate(t, s, b.address(vrf, "10.77.0.1/24"), b.address(vrf, "10.77.0.2/24"))
		after := rows[0].Record
		after.Attrs.UsedBy = "/x"
		_, err := s.Update(t.Context(), []ipam.Edit{{Before: rows[0], After: after}})
		require.NoError(t, err)
		require.NoError(t, s.Delete(t.Context(), ipam.Address, []int{rows[1].ID}))

		seen := map[string]bool{}
		for _, row := range rows {
			ids := b.objectChanges(t, row.ID)
			require.Len(t, ids, 2)
			for _, id := range ids {
				seen[id] = true
				require.True(t, b.client.Wrote(id), id)
				require.True(t, b.client.Wrote(strings.ToUpper(id)))
				require.False(t, other.Wrote(id))
			}
		}
		require.Len(t, seen, 3, "a request each for create, update and delete")

		_, failed := other.write(t.Context(), http.MethodPatch, fmt.Sprintf("/api/ipam/ip-addresses/%d/", rows[0].ID), map[string]any{"description": "by a person"})
		require.Nil(t, failed)
		theirs := b.objectChanges(t, rows[0].ID)[0]
		require.False(t, b.client.Wrote(theirs))
		require.True(t, other.Wrote(theirs))
		for _, id := range []string{"", "x", strings.Repeat("0", 36), "00000000-0000-0000-0000-000000000000"} {
			require.False(t, b.client.Wrote(id))
		}
	})
}

// A write that answers late, or with an error, may have been carried out.
func TestWroteThoughTheAnswerIsBad(t *testing.T) {
	const id = "6fa459ea-ee8a-3ca4-894e-db77e160355e"
	b := newEmbedded(t, netboxtest.V47, Options{})
	s := b.mustPrepare(t, Refs{})
	b.embedded.Fault(netboxtest.Fault{Method: http.MethodPost, Status: 500, Header: map[string]string{"X-Request-ID": id}})
	_, err := s.Create(t.Context(), []ipam.Record{b.address("", "10.0.0.5/24")})
	require.Error(t, err)
	require.True(t, b.client.Wrote(id))

	const read = "7fa459ea-ee8a-3ca4-894e-db77e160355e"
	b.embedded.Fault(netboxtest.Fault{Method: http.MethodGet, Status: 404, Header: map[string]string{"X-Request-ID": read}})
	_, err = b.client.Status(t.Context())
	require.Error(t, err)
	require.False(t, b.client.Wrote(read), "a read causes no webhook")
}

func TestWrittenIsBounded(t *testing.T) {
	id := func(n int) requestID { return requestID{byte(n >> 16), byte(n >> 8), byte(n)} }
	var w written
	for n := range 3*maxWritten + 17 {
		w.add(id(n))
		w.add(id(n)) // twice is once
	}
	require.Len(t, w.ring, maxWritten)
	require.Len(t, w.known, maxWritten)
	require.False(t, w.has(id(2*maxWritten+16)))
	require.True(t, w.has(id(2*maxWritten+17)))
	require.True(t, w.has(id(3*maxWritten+16)))
	require.True(t, w.has(id(3*maxWritten)))

	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for n := range 2_000 {
				w.add(id(g<<12 + n))
				w.has(id(n))
			}
		})
	}
	group.Wait()
}

func TestParseRequestID(t *testing.T) {
	for _, s := range []string{
		"6fa459ea-ee8a-3ca4-894e-db77e160355", "6fa459ea-ee8a-3ca4-894e-db77e160355ee", "6fa459eaee8a3ca4894edb77e160355e",
		"6fa459eg-ee8a-3ca4-894e-db77e160355e", "6fa459e--ee8a-3ca4-894e-db77e160355e", "6fa459eaee-8a-3ca4-894e-db77e160355e",
	} {
		_, ok := parseRequestID(s)
		require.False(t, ok, s)
	}
}

func TestRequestsByOutcome(t *testing.T) {
	b := newEmbedded(t, netboxtest.V47, Options{Retries: -1, Timeout: 100 * time.Millisecond})
	before := b.client.Stats().Ended
	status := func(ctx context.Context, f netboxtest.Fault) {
		f.Path, f.Times = "/api/status/", -1
		b.embedded.Fault(f)
		_, err := b.client.Status(ctx)
		require.Error(t, err)
		b.embedded.ClearFaults()
	}
	_, err := b.client.Status(t.Context())
	require.NoError(t, err)
	for _, code := range []int{403, 404, 400} {
		status(t.Context(), netboxtest.Fault{Status: code})
	}
	for _, code := range []int{429, 500, 502, 302} {
		status(t.Context(), netboxtest.Fault{Status: code})
	}
	status(t.Context(), netboxtest.Fault{Kind: netboxtest.HTMLPage})
	status(t.Context(), netboxtest.Fault{Kind: netboxtest.Drop})
	status(t.Context(), netboxtest.Fault{Kind: netboxtest.Hang})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	status(gone, netboxtest.Fault{})

	s := b.mustPrepare(t, Refs{})
	rows := mustCreate(t, s, b.address("", "10.0.0.5/24"))
	_, err = s.Create(t.Context(), []ipam.Record{b.address("", "10.0.0.5/24")})
	require.Error(t, err)
	b.embedded.Fault(netboxtest.Fault{Method: http.MethodDelete, Kind: netboxtest.LostAnswer})
	require.Error(t, s.Delete(t.Context(), ipam.Address, []int{rows[0].ID}))

	after := b.client.Stats()
	got, sum := map[Request]uint64{}, uint64(0)
	for r, n := range after.Ended {
		sum += n
		if n -= before[r]; n > 0 {
			got[r] = n
		}
	}
	require.Equal(t, uint64(after.Requests()), sum, "every request ends in one way")
	require.Equal(t, map[Request]uint64{
		{"GET", OutcomeOK}: 1 + 2, {"GET", OutcomeRefused}: 3, {"GET", OutcomeFailed}: 5, {"GET", OutcomeLost}: 2, {"GET", OutcomeCancelled}: 1,
		{"POST", OutcomeOK}: 1, {"POST", OutcomeRefused}: 1, {"DELETE", OutcomeLost}: 1,
	}, got)
}
