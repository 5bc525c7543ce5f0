package netbox

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
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
	"allocsync/netbox/netboxtest"
)

// needRealNetBox returns where the real NetBox of the tests is. Without one the
// test is skipped, or fails where MUST_RUN names netbox.
func needRealNetBox(t testing.TB) (url string, token Token) {
	t.Helper()
	url, token = os.Getenv("ALLOCSYNC_TEST_NETBOX_URL"), Token(os.Getenv("ALLOCSYNC_TEST_NETBOX_TOKEN"))
	if url != "" && token != "" {
		return url, token
	}
	const why = "ALLOCSYNC_TEST_NETBOX_URL and ALLOCSYNC_TEST_NETBOX_TOKEN are not set"
	if slices.Contains(strings.Split(os.Getenv("MUST_RUN"), ","), "netbox") {
		t.Fatal(why + ", and MUST_RUN names netbox")
	}
	t.Skip(why)
	return "", ""
}

// bed is a NetBox to test against, with VRFs and owners of the test's own.
type bed struct {
	client   *Client
	embedded *netboxtest.Server // nil for the real one
	version  netboxtest.Version // "" for the real one
	run      string             // unique: begins the names of all that the test makes
}

// onEveryNetBox runs a test on the embedded NetBox of each version and on the
// real one.
func onEveryNetBox(t *testing.T, test func(t *testing.T, b *bed)) {
	for _, v := range []netboxtest.Version{netboxtest.V37, netboxtest.V42, netboxtest.V47} {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			test(t, newEmbedded(t, v, Options{}))
		})
	}
	t.Run("real", func(t *testing.T) { test(t, newReal(t)) })
}

// newReal uses the real NetBox and cleans up after the test.
func newReal(t testing.TB) *bed {
	t.Helper()
	url, token := needRealNetBox(t)
	b := &bed{client: mustOpen(t, Options{URL: url, Token: token}), run: runName()}
	_, err := b.client.Setup(context.Background(), false)
	require.NoError(t, err)
	t.Cleanup(func() { b.clean(t) })
	return b
}

// newEmbedded starts an embedded NetBox with the custom fields in place.
func newEmbedded(t testing.TB, v netboxtest.Version, o Options) *bed {
	t.Helper()
	const token = "0123456789abcdef0123456789abcdef01234567"
	server := netboxtest.New(netboxtest.Options{Version: v, Token: token})
	web := httptest.NewServer(server)
	t.Cleanup(web.Close)
	o.URL, o.Token = web.URL, token
	b := &bed{client: mustOpen(t, o), embedded: server, version: v, run: runName()}
	_, err := b.client.Setup(context.Background(), false)
	require.NoError(t, err)
	server.ResetRequests()
	return b
}

func mustOpen(t testing.TB, o Options) *Client {
	t.Helper()
	c, err := Open(o)
	require.NoError(t, err)
	c.backoff = time.Millisecond
	return c
}

func runName() string {
	var b [6]byte
	_, _ = rand.Read(b[:])
	return "t" + hex.EncodeToString(b[:])
}

func (b *bed) owner() string { return b.run + "/lxd" }

// mustMake creates one object of any type and returns its ID.
func (b *bed) mustMake(t testing.TB, path string, body map[string]any) int {
	t.Helper()
	a, failed := b.client.write(context.Background(), http.MethodPost, path, body)
	if failed != nil {
		t.Fatal(failed)
	}
	var made struct {
		ID int `json:"id"`
	}
	require.NoError(t, json.Unmarshal(a.body, &made))
	return made.ID
}

// vrf makes a VRF that enforces uniqueness and returns its name.
func (b *bed) vrf(t testing.TB, suffix string) (name string, id int) {
	t.Helper()
	name = b.run + "-" + suffix
	return name, b.mustMake(t, "/api/ipam/vrfs/", map[string]any{"name": name, "enforce_unique": true})
}

func (b *bed) mustPrepare(t testing.TB, refs Refs) *Session {
	t.Helper()
	s, err := b.client.Prepare(context.Background(), refs)
	require.NoError(t, err)
	return s
}

// address is a wanted row with every field that is always allocsync's.
func (b *bed) address(vrf, cidr string) ipam.Record {
	p := netip.MustParsePrefix(cidr)
	return ipam.Record{
		Owner: b.owner(),
		Place: ipam.PlaceOf(vrf, ipam.Address, p),
		Attrs: ipam.Attrs{Mask: p.Bits(), UsedBy: ipam.UsedBy("/1.0/instances/" + p.Addr().String()), Type: "instance", Status: "active"},
	}
}

func (b *bed) prefix(vrf, cidr string) ipam.Record {
	p := netip.MustParsePrefix(cidr)
	return ipam.Record{
		Owner: b.owner(),
		Place: ipam.PlaceOf(vrf, ipam.Prefix, p),
		Attrs: ipam.Attrs{UsedBy: "/1.0/networks/br0", Type: "network", Status: "active"},
	}
}

func mustCreate(t testing.TB, s *Session, records ...ipam.Record) []ipam.Stored {
	t.Helper()
	rows, err := s.Create(context.Background(), records)
	require.NoError(t, err)
	require.Len(t, rows, len(records))
	return rows
}

// clean removes all that the test made on the real NetBox: rows in its VRFs
// first, then everything that its run name begins.
func (b *bed) clean(t testing.TB) {
	ctx := context.Background()
	type object struct {
		ID   int    `json:"id"`
		Name string `json:"name"`
	}
	list := func(path, query string) []object {
		var answer struct {
			Results []object `json:"results"`
		}
		require.NoError(t, b.client.read(ctx, path, query+"&limit=1000", &answer))
		return answer.Results
	}
	remove := func(path string, objects []object) {
		for part := range slices.Chunk(objects, 200) {
			if _, failed := b.client.write(ctx, http.MethodDelete, path, part); failed != nil {
				t.Errorf("clean up: %v", failed)
			}
		}
	}
	vrfs := list("/api/ipam/vrfs/", "name__isw="+b.run)
	for _, path := range []string{"/api/ipam/ip-addresses/", "/api/ipam/prefixes/"} {
		for _, vrf := range vrfs {
			remove(path, list(path, fmt.Sprintf("vrf_id=%d", vrf.ID)))
		}
		remove(path, list(path, "cf_sync_owner="+b.owner()))
	}
	for _, path := range []string{"/api/ipam/vrfs/", "/api/tenancy/tenants/", "/api/ipam/roles/", "/api/extras/tags/"} {
		remove(path, list(path, "name__isw="+b.run))
	}
}

// requests counts what f sends.
func (b *bed) requests(f func()) Stats {
	before := b.client.Stats()
	f()
	after := b.client.Stats()
	return Stats{
		Reads: after.Reads - before.Reads, Writes: after.Writes - before.Writes, Pages: after.Pages - before.Pages,
		Lookups: after.Lookups - before.Lookups, Rows: after.Rows - before.Rows, Retries: after.Retries - before.Retries,
	}
}
