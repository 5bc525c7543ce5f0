package netbox

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/netbox/netboxtest"
)

// newScripted is a session with a server that gives one answer to everything.
func newScripted(t testing.TB, status int, body string) *Session {
	t.Helper()
	server := httptest.NewServer(jsonAnswer(status, body))
	t.Cleanup(server.Close)
	return &Session{
		client: mustOpen(t, Options{URL: server.URL, Token: "scripted-token", Retries: -1}), version: Version{Major: 4, Minor: 7},
		strange: map[string]int{}, strangeRefs: map[int]string{},
	}
}

// A look-up whose filter was ignored is an error, not a row that nobody asked
// for.
func TestLookUpsThatCannotBeTrusted(t *testing.T) {
	const body = `{"next": null, "results": [{"id": 5, "address": "10.0.0.5/24", "prefix": "10.0.5.0/24", "custom_fields": {}}]}`
	s := newScripted(t, 200, body)
	for _, place := range []ipam.Place{
		ipam.PlaceOf("", ipam.Address, netip.MustParsePrefix("10.0.0.6/24")),
		ipam.PlaceOf("", ipam.Prefix, netip.MustParsePrefix("10.0.0.0/24")),
	} {
		rows, err := s.At(t.Context(), []ipam.Place{place})
		require.ErrorContains(t, err, "NetBox ignored the filter")
		require.Empty(t, rows)
	}
	_, err := s.Rows(t.Context(), ipam.Address, []int{6})
	require.ErrorContains(t, err, "NetBox ignored the filter id: row 5")
	rows, err := s.Rows(t.Context(), ipam.Address, []int{5})
	require.NoError(t, err)
	require.Len(t, rows, 1)
}

// A write that answers with other rows than were sent: nobody knows what was
// done.
func TestWritesThatAnswerOtherRows(t *testing.T) {
	unsure := func(err error, want string) {
		t.Helper()
		var e *Error
		require.ErrorAs(t, err, &e)
		require.True(t, e.Unsure())
		require.ErrorContains(t, err, want)
	}
	b := &bed{run: "dc1"}
	ours := `{"id": 5, "address": "10.0.0.5/24", "custom_fields": {"sync_owner": "dc1/lxd"}}`
	batch := []ipam.Record{b.address("", "10.0.0.5/24"), b.address("", "10.0.0.6/24")}
	for body, want := range map[string]string{
		`[` + ours + `]`:              "2 rows were sent to be created, 1 came back",
		`[` + ours + `,` + ours + `]`: "10.0.0.6/24 was sent to be created, and did not come back",
		`[` + ours + `, {"id": 6, "address": "10.0.0.6/24", "custom_fields": {"sync_owner": "dc2/lxd"}}]`: "10.0.0.6/24 was sent to be created, and did not come back",
		`{"id": 5}`: "decode the created rows",
	} {
		_, err := newScripted(t, 201, body).Create(t.Context(), batch)
		unsure(err, want)
	}
	row := ipam.Stored{ID: 5, Record: batch[0]}
	after := row.Record
	after.Attrs.UsedBy = "/x"
	for body, want := range map[string]string{`[{"id": 6}]`: "row 6 came back, which was not sent", `{}`: "read the updated rows"} {
		_, err := newScripted(t, 200, body).Update(t.Context(), []ipam.Edit{{Before: row, After: after}})
		unsure(err, want)
	}
}

// NetBox keeps ::ffff:10.0.0.1 apart from 10.0.0.1.
func TestMappedAddressIsAnotherPlace(t *testing.T) {
	s := &Session{strange: map[string]int{}, strangeRefs: map[int]string{}}
	mapped, err := s.stored(ipam.Address, &row{ID: 1, Address: "::ffff:10.0.0.1/128"}, interner{})
	require.NoError(t, err)
	plain, err := s.stored(ipam.Address, &row{ID: 2, Address: "10.0.0.1/32"}, interner{})
	require.NoError(t, err)
	require.NotEqual(t, plain.Place, mapped.Place)
}

// The token is taken out before a long text is cut, which could leave a part
// of it; and out of the words for single rows.
func TestTokenIsNotCutInHalf(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef01234567"
	for lead := maxWords - 45; lead < maxWords+5; lead++ {
		text, err := json.Marshal([]map[string]any{{"address": []string{strings.Repeat("x", lead) + secret}}})
		require.NoError(t, err)
		s := newScripted(t, http.StatusBadRequest, string(text))
		s.client.token = secret
		_, err = s.Create(t.Context(), []ipam.Record{(&bed{run: "dc1"}).address("", "10.0.0.5/24")})
		_, rows := mustRefuse(t, err)
		require.NotContains(t, rows[0]+err.Error(), secret[:6])
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	var waits []time.Duration
	b := newEmbedded(t, netboxtest.V47, Options{OnRetry: func(r Retry) { waits = append(waits, r.Wait) }})
	b.embedded.Fault(netboxtest.Fault{Path: "/api/status/", Status: 429, Header: map[string]string{"Retry-After": "1"}})
	_, err := b.client.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, []time.Duration{time.Second}, waits)
}
