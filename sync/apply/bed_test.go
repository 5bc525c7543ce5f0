package apply_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/netbox"
	"allocsync/netbox/netboxtest"
	"allocsync/sync/apply"
	"allocsync/sync/plan"
)

// bed is a NetBox, embedded or real, with a VRF and an owner of the test's own.
type bed struct {
	url, token string
	embedded   *netboxtest.Server // nil for the real one
	client     *netbox.Client
	session    *netbox.Session
	owner, vrf string
	vrfID      int
}

const testToken = "0123456789abcdef0123456789abcdef01234567"

func newBed(t testing.TB, v netboxtest.Version) *bed {
	t.Helper()
	server := netboxtest.New(netboxtest.Options{Version: v, Token: testToken})
	web := httptest.NewServer(server)
	t.Cleanup(web.Close)
	b := &bed{url: web.URL, token: testToken, embedded: server}
	b.start(t)
	server.ResetRequests()
	return b
}

// newRealBed uses the real NetBox of the tests; without one the test is
// skipped, or fails where MUST_RUN names netbox.
func newRealBed(t testing.TB) *bed {
	t.Helper()
	b := &bed{url: os.Getenv("ALLOCSYNC_TEST_NETBOX_URL"), token: os.Getenv("ALLOCSYNC_TEST_NETBOX_TOKEN")}
	if b.url == "" || b.token == "" {
		const why = "ALLOCSYNC_TEST_NETBOX_URL and ALLOCSYNC_TEST_NETBOX_TOKEN are not set"
		if slices.Contains(strings.Split(os.Getenv("MUST_RUN"), ","), "netbox") {
			t.Fatal(why + ", and MUST_RUN names netbox")
		}
		t.Skip(why)
	}
	b.start(t)
	t.Cleanup(func() { b.clean(t) })
	return b
}

func onEveryNetBox(t *testing.T, test func(t *testing.T, b *bed)) {
	for _, v := range []netboxtest.Version{netboxtest.V37, netboxtest.V42, netboxtest.V47} {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			test(t, newBed(t, v))
		})
	}
	t.Run("real", func(t *testing.T) { test(t, newRealBed(t)) })
}

func (b *bed) start(t testing.TB) {
	t.Helper()
	var err error
	b.client, err = netbox.Open(netbox.Options{URL: b.url, Token: netbox.Token(b.token), Retries: 1})
	require.NoError(t, err)
	_, err = b.client.Setup(context.Background(), false)
	require.NoError(t, err)
	var run [6]byte
	_, _ = rand.Read(run[:])
	name := "a" + hex.EncodeToString(run[:])
	b.owner, b.vrf = name+"/lxd", name
	b.vrfID = int(b.person(t, http.MethodPost, "/api/ipam/vrfs/", map[string]any{"name": name, "enforce_unique": true})["id"].(float64))
	b.session, err = b.client.Prepare(context.Background(), netbox.Refs{VRFs: []string{b.vrf}, Inside: true, Reservable: true, Deprecate: true})
	require.NoError(t, err)
}

// person does something in NetBox behind allocsync's back.
func (b *bed) person(t testing.TB, method, path string, body any) map[string]any {
	t.Helper()
	var text []byte
	if body != nil {
		var err error
		text, err = json.Marshal(body)
		require.NoError(t, err)
	}
	request, err := http.NewRequestWithContext(context.Background(), method, b.url+path, bytes.NewReader(text))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Token "+b.token)
	if strings.HasPrefix(b.token, "nbt_") {
		request.Header.Set("Authorization", "Bearer "+b.token)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	text, err = io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Less(t, response.StatusCode, 300, "%s", text)
	var answer map[string]any
	if len(text) > 0 && text[0] == '{' {
		require.NoError(t, json.Unmarshal(text, &answer))
	}
	return answer
}

func (b *bed) clean(t testing.TB) {
	for _, path := range []string{"/api/ipam/ip-addresses/", "/api/ipam/prefixes/"} {
		rows := b.person(t, http.MethodGet, fmt.Sprintf("%s?vrf_id=%d&limit=1000&fields=id", path, b.vrfID), nil)["results"].([]any)
		for part := range slices.Chunk(rows, 200) {
			b.person(t, http.MethodDelete, path, part)
		}
	}
	b.person(t, http.MethodDelete, fmt.Sprintf("/api/ipam/vrfs/%d/", b.vrfID), nil)
}

func (b *bed) address(cidr string) ipam.Record {
	p := netip.MustParsePrefix(cidr)
	return ipam.Record{
		Owner: b.owner, Place: ipam.PlaceOf(b.vrf, ipam.Address, p),
		Attrs: ipam.Attrs{Mask: p.Bits(), UsedBy: ipam.UsedBy("/u/" + p.Addr().String()), Type: "instance", Status: "active"},
	}
}

func (b *bed) create(record ipam.Record) plan.Change {
	return plan.Change{Action: plan.Create, Reason: plan.New, Owner: record.Owner, After: record}
}

func (b *bed) update(row ipam.Stored, change func(*ipam.Record)) plan.Change {
	after := row.Record
	change(&after)
	return plan.Change{Action: plan.Update, Reason: plan.Changed, Owner: after.Owner, Before: row, After: after}
}

func (b *bed) remove(row ipam.Stored) plan.Change {
	return plan.Change{Action: plan.Delete, Reason: plan.NowGone, Owner: row.Owner, Before: row}
}

func (b *bed) mustCreate(t testing.TB, cidrs ...string) []ipam.Stored {
	t.Helper()
	var records []ipam.Record
	for _, cidr := range cidrs {
		records = append(records, b.address(cidr))
	}
	rows, err := b.session.Create(context.Background(), records)
	require.NoError(t, err)
	return rows
}

func (b *bed) own(t testing.TB) []ipam.Stored {
	t.Helper()
	rows, err := b.session.Owned(context.Background(), []string{b.owner})
	require.NoError(t, err)
	return rows
}

func approve(t testing.TB, changes ...plan.Change) plan.Approved {
	t.Helper()
	p := plan.Plan{Changes: changes}
	approved, err := p.ApproveDigest(p.Digest())
	require.NoError(t, err)
	return approved
}

// noWait are options under which waiting takes no time; waits collects it.
func noWait(waits *[]time.Duration) apply.Options {
	return apply.Options{Sleep: func(ctx context.Context, d time.Duration) error {
		if waits != nil {
			*waits = append(*waits, d)
		}
		return ctx.Err()
	}}
}

// summary is the outcomes as text, one line each.
func summary(r apply.Result) string {
	var lines []string
	for _, o := range r.Outcomes {
		line := fmt.Sprintf("%s %s %s", o.Change.Action, o.Change.Record().CIDR(), o.Status)
		if o.Detail != "" {
			line += ": " + o.Detail
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// cutTime takes the time off the end of a detail.
func cutTime(detail string) (before, after string, found bool) {
	return strings.Cut(detail, " (20")
}
