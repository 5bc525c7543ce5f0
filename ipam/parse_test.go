package ipam_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
)

func TestParsePrefix(t *testing.T) {
	for in, want := range map[string]string{
		"10.1.2.3/24":         "10.1.2.3/24", // host bits stay: a gateway keeps its mask
		"10.1.2.3":            "10.1.2.3/32",
		"FD00::0001/64":       "fd00::1/64",
		"fd00::1":             "fd00::1/128",
		"::ffff:10.1.2.3":     "10.1.2.3/32",
		"::ffff:10.1.2.3/96":  "10.1.2.3/0",
		"::ffff:10.1.2.3/120": "10.1.2.3/24",
		"0.0.0.0/0":           "0.0.0.0/0",
		"::/0":                "::/0",
	} {
		p, err := ipam.ParsePrefix(in)
		require.NoError(t, err, in)
		require.Equal(t, want, p.String(), in)
	}
	for _, in := range []string{
		"", "/", "10.1.2", "10.1.2.3/33", "10.1.2.3/", "10.1.2.3/-1", "10.1.2.3/024", "010.1.2.3", "fd00::1%eth0", "fd00::1%eth0/64",
		"::ffff:10.1.2.3/95", "::ffff:10.1.2.3/24", " 10.1.2.3", "10.1.2.3/24 ", "x",
	} {
		_, err := ipam.ParsePrefix(in)
		require.Error(t, err, in)
	}
}

func TestLastAddr(t *testing.T) {
	for prefix, want := range map[string]string{
		"10.0.0.0/8": "10.255.255.255", "10.9.9.0/29": "10.9.9.7", "10.9.9.3/29": "10.9.9.7", "10.0.0.0/31": "10.0.0.1", "10.0.0.4/32": "10.0.0.4", "0.0.0.0/0": "255.255.255.255",
		"fd00::1/64": "fd00::ffff:ffff:ffff:ffff", "fd00::/127": "fd00::1", "fd00::1/128": "fd00::1", "::/0": "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	} {
		require.Equal(t, want, ipam.LastAddr(netip.MustParsePrefix(prefix)).String())
	}
	require.Zero(t, ipam.LastAddr(netip.Prefix{}))
	require.Zero(t, ipam.LastAddr(netip.PrefixFrom(netip.MustParseAddr("10.0.0.1"), 33)))
}

func TestParseUsedBy(t *testing.T) {
	for _, in := range []string{
		"/1.0/instances/u1?project=web", "/1.0/networks/n/forwards/fd00::1", "urn:x", "ü", "a b", "%20", "/a//b/../c?x=1&x=2#f",
		strings.Repeat("x", ipam.MaxUsedBy),
	} {
		u, err := ipam.ParseUsedBy(in)
		require.NoError(t, err, in)
		require.Equal(t, in, string(u))
	}
	for in, why := range map[string]string{
		"":                                    "empty",
		strings.Repeat("x", ipam.MaxUsedBy+1): "8193 bytes long",
		"\xff":                                "UTF-8",
		" /a":                                 "white space",
		"/a\n":                                "white space",
		"/a\u00a0":                            "white space",
		"/a\x00b":                             "control character",
		"/a\x7fb":                             "control character",
	} {
		_, err := ipam.ParseUsedBy(in)
		require.ErrorContains(t, err, why)
	}
}

func TestUsedByParts(t *testing.T) {
	u := ipam.UsedBy("/1.0/instances/a%20b?project=we%20b&x=1&project=second&bad=%zz")
	require.Equal(t, "/1.0/instances/a%20b", u.Path())
	require.Equal(t, "we b", u.Query("project"))
	require.Equal(t, "1", u.Query("x"))
	require.Empty(t, u.Query("bad"))
	require.Empty(t, u.Query("absent"))
	require.Empty(t, ipam.UsedBy("/a").Query("project"))
}

func TestParseMAC(t *testing.T) {
	for in, want := range map[string]ipam.MAC{
		"":                        "",
		"00:16:3E:04:F0:95":       "00:16:3e:04:f0:95",
		"00-16-3e-04-f0-95":       "00:16:3e:04:f0:95",
		"0016.3e04.f095":          "00:16:3e:04:f0:95",
		"02:00:5e:10:00:00:00:01": "02:00:5e:10:00:00:00:01",
	} {
		got, err := ipam.ParseMAC(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got)
	}
	for _, in := range []string{"x", "00:16:3e", "00:16:3e:04:f0:9g", "00:16-3e:04:f0:95", " "} {
		_, err := ipam.ParseMAC(in)
		require.Error(t, err, in)
	}
}

func TestParseGone(t *testing.T) {
	require.Equal(t, int64(0), ipam.ParseGone(""))
	require.Equal(t, int64(0), ipam.ParseGone("yesterday"))
	require.Equal(t, int64(0), ipam.ParseGone("1960-01-01T00:00:00Z"))
	require.Equal(t, int64(1753776000), ipam.ParseGone("2025-07-29T10:00:00+02:00"))
	require.Equal(t, "2025-07-29T08:00:00Z", ipam.FormatGone(1753776000))
	require.Empty(t, ipam.FormatGone(0))
}

func TestKindText(t *testing.T) {
	for _, k := range []ipam.Kind{ipam.Prefix, ipam.Address} {
		text, err := k.MarshalText()
		require.NoError(t, err)
		var back ipam.Kind
		require.NoError(t, back.UnmarshalText(text))
		require.Equal(t, k, back)
	}
	var k ipam.Kind
	require.EqualError(t, k.UnmarshalText([]byte("Prefix")), `kind "Prefix": want prefix or address`)
	require.Equal(t, "kind(0)", k.String())
}

func TestCheck(t *testing.T) {
	good := ipam.Allocation{UsedBy: "/a", Kind: ipam.Address, Prefix: netip.MustParsePrefix("10.1.2.3/24"), Type: "instance"}
	require.NoError(t, good.Check())
	for why, change := range map[string]func(*ipam.Allocation){
		"used_by is empty": func(a *ipam.Allocation) { a.UsedBy = "" },
		"unknown kind":     func(a *ipam.Allocation) { a.Kind = 0 },
		"no address":       func(a *ipam.Allocation) { a.Prefix = netip.Prefix{} },
		"canonical":        func(a *ipam.Allocation) { a.Prefix = netip.MustParsePrefix("::ffff:10.1.2.3/128") },
		"host bits":        func(a *ipam.Allocation) { a.Kind = ipam.Prefix },
		"no type":          func(a *ipam.Allocation) { a.Type = "" },
	} {
		bad := good
		change(&bad)
		require.ErrorContains(t, bad.Check(), why)
	}
	zoned := good
	zoned.Prefix = netip.PrefixFrom(netip.MustParseAddr("fe80::1%eth0"), 64) // drops the zone
	require.NoError(t, zoned.Check())
}

func TestPlaceOf(t *testing.T) {
	p := netip.MustParsePrefix("10.1.2.3/24")
	require.Equal(t, "10.1.2.3/32", ipam.PlaceOf("red", ipam.Address, p).Prefix.String())
	require.Equal(t, "10.1.2.0/24", ipam.PlaceOf("red", ipam.Prefix, p).Prefix.String())
	a := ipam.Record{Place: ipam.PlaceOf("", ipam.Address, p), Attrs: ipam.Attrs{Mask: 24}}
	require.Equal(t, p, a.CIDR())
	require.Equal(t, "10.1.2.0/24", ipam.Record{Place: ipam.PlaceOf("", ipam.Prefix, p)}.CIDR().String())
}

func TestTags(t *testing.T) {
	require.Equal(t, ipam.Tags("a,b"), ipam.TagsOf("b", "a", "", "b"))
	require.Empty(t, ipam.TagsOf())
	require.Nil(t, ipam.Tags("").Slugs())
	require.True(t, ipam.Tags("a,b").Contains(""))
	require.True(t, ipam.Tags("a,b").Contains("b"))
	require.False(t, ipam.Tags("ab").Contains("a"), "a slug is not a piece of text")
	require.Equal(t, ipam.Tags("a,b,c"), ipam.Tags("a,c").Union("b,c"))
}
