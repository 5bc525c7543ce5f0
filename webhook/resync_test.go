package webhook

import (
	"crypto/sha256"
	"crypto/sha512"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestResyncByToken(t *testing.T) {
	b := newBed(t, nil)
	for _, c := range []struct {
		query string
		want  []string
	}{
		{"", nil},
		{"?source=lab", []string{"lab"}},
		{"?source=other&source=lab&source=other", []string{"lab", "other"}},
	} {
		r := b.resync(t, c.query, "", "Authorization", "Bearer "+resyncToken)
		require.Equal(t, http.StatusAccepted, r.status, r.text)
		require.True(t, r.json(t).Accepted)
		told := b.told()
		require.Len(t, told, 1)
		require.Equal(t, Call{Kind: "resync", Sources: c.want, Detail: "asked for by 127.0.0.1"}, told[0])
		if c.want == nil {
			c.want = []string{"lab", "edge", "other"}
		}
		require.Equal(t, c.want, r.json(t).Sources)
	}
	require.Equal(t, http.StatusAccepted, b.resync(t, "", "", "Authorization", "bearer "+resyncToken).status, "a scheme has no case")
}

func TestResyncBySignature(t *testing.T) {
	body := `{"ref":"main"}`
	for name, headers := range map[string][]string{
		"GitHub":             {headerHub, sign256(body)},
		"NetBox":             {headerNetBox, sign(sha512.New, resyncSecret, body)},
		"plain 256":          {headerPlain, sign(sha256.New, resyncSecret, body)},
		"plain sha256=":      {headerPlain, sign256(body)},
		"plain 512":          {headerPlain, sign(sha512.New, resyncSecret, body)},
		"plain sha512=":      {headerPlain, "sha512=" + sign(sha512.New, resyncSecret, body)},
		"another scheme too": {headerHub, sign256(body), "Authorization", "Basic eDp5"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, nil)
			r := b.resync(t, "?source=edge", body, headers...)
			require.Equal(t, http.StatusAccepted, r.status, r.text)
			require.Equal(t, []string{"edge"}, b.told()[0].Sources)
		})
	}
}

func TestResyncRefused(t *testing.T) {
	body := `{}`
	for name, headers := range map[string][]string{
		"nothing":                  nil,
		"wrong token":              {"Authorization", "Bearer " + resyncToken + "x"},
		"start of the token":       {"Authorization", "Bearer " + resyncToken[:10]},
		"empty token":              {"Authorization", "Bearer "},
		"token twice":              {"Authorization", "Bearer " + resyncToken, "Authorization", "Bearer " + resyncToken},
		"another scheme":           {"Authorization", "Basic " + resyncToken},
		"wrong token, right body":  {"Authorization", "Bearer x", headerHub, sign256(body)},
		"NetBox's secret":          {headerNetBox, sign(sha512.New, netboxSecret, body)},
		"signed with the token":    {headerHub, "sha256=" + sign(sha256.New, resyncToken, body)},
		"another body":             {headerHub, sign256(body + " ")},
		"hub without sha256=":      {headerHub, sign(sha256.New, resyncSecret, body)},
		"sha1":                     {headerHub, "sha1=da39a3ee5e6b4b0d3255bfef95601890afd80709"},
		"wrong name of the hash":   {headerPlain, "sha512=" + sign(sha256.New, resyncSecret, body)},
		"no hash":                  {headerPlain, "none="},
		"first wrong, second well": {headerHub, "sha256=00", headerPlain, sign256(body)},
		"time not signed":          {headerHub, sign256(body), headerTimestamp, strconv.FormatInt(recorded().Unix(), 10)},
		"time is no number":        {headerHub, sign256("now." + body), headerTimestamp, "now"},
		"time twice":               {headerHub, sign256("1." + body), headerTimestamp, "1", headerTimestamp, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, nil)
			r := b.resync(t, "?source=nope", body, headers...)
			require.Equal(t, http.StatusUnauthorized, r.status, r.text)
			require.Equal(t, "token and signature are missing or wrong", r.json(t).Error)
			require.Empty(t, r.json(t).Sources, "strangers learn no names")
			require.Contains(t, r.header.Get("WWW-Authenticate"), "Bearer")
			require.Empty(t, b.told())
		})
	}
}

// One way alone being configured opens no other.
func TestResyncWays(t *testing.T) {
	b := newBed(t, func(o *Options) { o.Secrets = Secrets{ResyncToken: resyncToken} })
	require.Equal(t, 401, b.resync(t, "", "", headerHub, "sha256="+sign(sha256.New, "", "")).status)
	require.Equal(t, 202, b.resync(t, "", "", "Authorization", "Bearer "+resyncToken).status)
	b.server.Configure(Secrets{ResyncSecret: resyncSecret}, []string{"new"})
	require.Equal(t, 401, b.resync(t, "", "", "Authorization", "Bearer "+resyncToken).status)
	require.Equal(t, 401, b.resync(t, "", "", "Authorization", "Bearer ").status)
	r := b.resync(t, "?source=new", "", headerHub, sign256(""))
	require.Equal(t, []string{"new"}, r.json(t).Sources)
	b.server.Configure(Secrets{}, nil)
	r = b.resync(t, "", "", headerHub, sign256(""))
	require.Equal(t, 404, r.status)
	require.Contains(t, r.json(t).Error, "serve.resync_token or serve.resync_secret")
	r = b.hook(t, "{}")
	require.Equal(t, 404, r.status)
	require.Contains(t, r.json(t).Error, "serve.netbox_secret")
}

func TestResyncSources(t *testing.T) {
	b := newBed(t, nil)
	for _, query := range []string{"?source=nope", "?source=lab&source=nope", "?source=", "?sources=lab", "?source=lab&token=x", "?source=LAB"} {
		r := b.resync(t, query, "", "Authorization", "Bearer "+resyncToken)
		require.Equal(t, 400, r.status, query)
		require.Equal(t, []string{"lab", "edge", "other"}, r.json(t).Sources, query)
		require.NotContains(t, r.json(t).Error, "nope")
	}
	require.Empty(t, b.told())

	// A mistake does not use up the body.
	require.Equal(t, 400, b.resync(t, "?source=nope", "x", headerHub, sign256("x")).status)
	require.Equal(t, 202, b.resync(t, "?source=lab", "x", headerHub, sign256("x")).status)
}

func TestResyncReplay(t *testing.T) {
	b := newBed(t, nil)
	stamp := func(at time.Time) []string {
		text := strconv.FormatInt(at.Unix(), 10)
		return []string{headerHub, sign256(text + ".body"), headerTimestamp, text}
	}
	// Without a time: once in five minutes, whatever stands beside it.
	require.Equal(t, 202, b.resync(t, "", "body", headerHub, sign256("body")).status)
	r := b.resync(t, "?source=lab", "body", headerPlain, strings.ToUpper(strings.TrimPrefix(sign256("body"), "sha256=")))
	require.Equal(t, 409, r.status)
	require.Contains(t, r.json(t).Error, headerTimestamp)
	b.pass(5*time.Minute - time.Second)
	require.Equal(t, 409, b.resync(t, "", "body", headerHub, sign256("body")).status)
	b.pass(2 * time.Second)
	require.Equal(t, 202, b.resync(t, "", "body", headerHub, sign256("body")).status)

	// With a time: once, ever.
	made := b.now()
	require.Equal(t, 202, b.resync(t, "", "body", stamp(made)...).status)
	require.Equal(t, 202, b.resync(t, "", "body", stamp(made.Add(time.Second))...).status, "asked again")
	for range 3 {
		require.Equal(t, 409, b.resync(t, "", "body", stamp(made)...).status)
		b.pass(100 * time.Second)
	}
	b.pass(time.Second)
	r = b.resync(t, "", "body", stamp(made)...)
	require.Equal(t, 401, r.status)
	require.Contains(t, r.json(t).Error, "5m0s")

	// Made by a clock that is ahead: remembered until it is too old.
	ahead := b.now().Add(4 * time.Minute)
	require.Equal(t, 202, b.resync(t, "", "body", stamp(ahead)...).status)
	b.pass(8 * time.Minute)
	require.Equal(t, 409, b.resync(t, "", "body", stamp(ahead)...).status)
	b.pass(2 * time.Minute)
	require.Equal(t, 401, b.resync(t, "", "body", stamp(ahead)...).status)
	require.Equal(t, 401, b.resync(t, "", "body", stamp(b.now().Add(6*time.Minute))...).status)
	require.Len(t, b.told(), 5)
}

func TestMemoryIsBounded(t *testing.T) {
	m := newMemory(3)
	now := recorded()
	seen := func(name string) bool { return m.repeated([]byte(name), now, time.Minute) }
	require.False(t, seen("a"))
	require.False(t, seen("b"))
	now = now.Add(2 * time.Minute)
	require.False(t, seen("a"), "forgotten, and remembered again")
	require.False(t, seen("c"))
	require.False(t, seen("d"))
	require.True(t, seen("a"), "its older entry made room, not this one")
	require.True(t, seen("d"))
	for i := range 1000 {
		require.False(t, seen(strconv.Itoa(i)))
	}
	require.Len(t, m.ring, 3)
	require.LessOrEqual(t, len(m.at), 3)
}

// No key, no proof: not even where a caller forgets to ask whether there is one.
func TestEmptySecretSignsNothing(t *testing.T) {
	given, ok := parseSignature(sign(sha256.New, "", "body"))
	require.True(t, ok)
	require.False(t, given.signs("", []byte("body")))
	given, ok = parseSignature(sign(sha256.New, "key", "body"))
	require.True(t, ok)
	require.True(t, given.signs("key", []byte("bo"), []byte("dy")))
	require.False(t, signature{}.signs("key", []byte("body")))
}
