package webhook

import (
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// Whatever a body says: no crash, only sources that there are, in order, and
// one short line for people.
func FuzzNetBoxBody(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	require.NoError(f, err)
	require.NotEmpty(f, files)
	for _, name := range files {
		text, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(text)
	}
	f.Add([]byte(`{"event":"deleted","model":"prefix","timestamp":"2026-11-21 16:51:15+00:00","data":null,"snapshots":null}`))
	f.Add([]byte(`{"event":1,"object_type":["x"],"data":[],"request":"x"}`))
	sources := []string{"lab", "edge", "other"}
	f.Fuzz(func(t *testing.T, body []byte) {
		c, at, err := parseChange(body)
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		require.False(t, at.IsZero())
		of := c.concerns("dc1", sources)
		require.False(t, of.all && len(of.sources) > 0)
		rest := sources
		for _, s := range of.sources {
			i := slices.Index(rest, s)
			require.GreaterOrEqual(t, i, 0)
			rest = rest[i+1:]
		}
		call := c.call(of)
		for _, text := range []string{call.Detail, call.User, call.RequestID} {
			require.LessOrEqual(t, len([]rune(text)), 5*maxText)
			require.NotContains(t, text, "\n")
			for _, r := range text {
				require.True(t, unicode.IsPrint(r), "%q", text)
			}
		}
	})
}

// What is taken for a signature is one: whole, of a known length, and the same
// when it is written again.
func FuzzSignatureHeaders(f *testing.F) {
	f.Add(sign256(""), "1795279875")
	f.Add(strings.Repeat("aB", 64), "-1")
	f.Add("sha512="+strings.Repeat("0", 128), "99999999999999999999")
	f.Add("sha256=", "")
	f.Fuzz(func(t *testing.T, text, stamp string) {
		for _, name := range []string{headerHub, headerNetBox, headerPlain} {
			given, ok := resyncSignature(http.Header{name: {text}})
			require.False(t, given.signs("", []byte("x")))
			if !ok {
				require.False(t, given.signs("secret", []byte("x")))
				continue
			}
			require.Len(t, given.mac, given.hash().Size())
			require.True(t, strings.HasSuffix(strings.ToLower(text), hex.EncodeToString(given.mac)))
		}
		if given, ok := netboxSignature(http.Header{headerNetBox: {text}}); ok {
			require.Len(t, given.mac, 64)
			require.Len(t, text, 128)
		}
		if at, ok := timestamp(stamp); ok {
			require.GreaterOrEqual(t, at.Unix(), int64(0))
		}
		if token, ok := bearer(http.Header{"Authorization": {text}}); ok {
			require.False(t, sameToken(token, ""))
			require.True(t, sameToken(token, token) == (token != ""))
		}
	})
}
