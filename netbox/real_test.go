package netbox

import (
	"context"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
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

func TestSmoke(t *testing.T) {
	url, token := needRealNetBox(t)
	c, err := Open(Options{URL: url, Token: token})
	require.NoError(t, err)
	ctx := context.Background()
	steps, err := c.Setup(ctx, false)
	require.NoError(t, err)
	t.Log(steps)
	s, err := c.Prepare(ctx, Refs{Inside: true, Deprecate: true, Reservable: true})
	require.NoError(t, err)
	t.Log(s.Version())
	owner := "smoke/lxd"
	rec := func(a string) ipam.Record {
		p := netip.MustParsePrefix(a)
		return ipam.Record{Owner: owner, Place: ipam.PlaceOf("", ipam.Address, p), Attrs: ipam.Attrs{Mask: p.Bits(), UsedBy: "/1.0/instances/ü?x=1&y=%20#", Type: "instance", MAC: "00:16:3e:04:f0:95", Status: "active"}}
	}
	made, err := s.Create(ctx, []ipam.Record{rec("198.18.200.1/24"), rec("198.18.200.2/24")})
	require.NoError(t, err)
	rows, err := s.Owned(ctx, []string{owner})
	require.NoError(t, err)
	require.Equal(t, made, rows)
	after := rows[0].Record
	after.Attrs.Inside = rows[1].Place.Prefix.Addr()
	after.Attrs.UsedBy = "/other"
	after.Attrs.MAC = ""
	after.Attrs.GoneUnix = 1700000000
	ids, err := s.Update(ctx, []ipam.Edit{{Before: rows[0], After: after}})
	require.NoError(t, err)
	require.Equal(t, []int{rows[0].ID}, ids)
	at, err := s.At(ctx, []ipam.Place{rows[0].Place, rows[1].Place})
	require.NoError(t, err)
	require.Equal(t, after, at[0].Record)
	require.NoError(t, s.Delete(ctx, ipam.Address, []int{rows[0].ID, rows[1].ID}))
	_, err = s.Create(ctx, []ipam.Record{rec("198.18.200.1/24"), {Owner: owner, Place: rec("198.18.200.3/24").Place, Attrs: ipam.Attrs{Mask: 24, UsedBy: "x", Type: "y", Status: "weird"}}})
	t.Log(err)
	rows, err = s.Owned(ctx, []string{owner})
	require.NoError(t, err)
	require.Empty(t, rows)
	t.Logf("%+v", c.Stats())
}
