package netbox

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/netbox/netboxtest"
)

func TestOpenRefusesWhatCannotWork(t *testing.T) {
	for url, want := range map[string]string{
		"":                                 "no URL",
		"netbox.example":                   "has to begin with https://",
		"ftp://netbox.example":             "has to begin with https://",
		"https://":                         "names no host",
		"https://user:hunter2@nb.example/": "user name or password",
		"https://nb.example/?x=1":          "query",
		"https://nb.example:hunter2/":      "cannot be read",
	} {
		_, err := Open(Options{URL: url, Token: "t"})
		require.ErrorContains(t, err, want, url)
		require.NotContains(t, err.Error(), "hunter2")
	}
	_, err := Open(Options{URL: "https://nb.example"})
	require.ErrorContains(t, err, "no API token")
	_, err = Open(Options{URL: "https://nb.example", Token: "hunter2\n"})
	require.ErrorContains(t, err, "white space")
	require.NotContains(t, err.Error(), "hunter2")
	_, err = Open(Options{URL: "https://nb.example", Token: "t", CAFile: "/nonexistent"})
	require.ErrorContains(t, err, "read CA file")
	for url, base := range map[string]string{
		"https://nb.example":          "https://nb.example",
		"https://nb.example/":         "https://nb.example",
		"https://nb.example/api/":     "https://nb.example",
		"https://nb.example/nb/api":   "https://nb.example/nb",
		"http://[::1]:8000/netbox///": "http://[::1]:8000/netbox",
	} {
		c, err := Open(Options{URL: url, Token: "t"})
		require.NoError(t, err)
		require.Equal(t, base, c.base)
	}
}

// Reads are tried again on what passes by itself, and on nothing else.
func TestReadsAreTriedAgain(t *testing.T) {
	again := map[string]netboxtest.Fault{
		"502": {Status: 502}, "503": {Status: 503}, "504": {Status: 504}, "429": {Status: 429, Header: map[string]string{"Retry-After": "0"}},
		"cut": {Kind: netboxtest.Drop}, "cut in the middle": {Kind: netboxtest.Truncate},
	}
	for name, fault := range again {
		t.Run(name, func(t *testing.T) {
			var retries []Retry
			b := newEmbedded(t, netboxtest.V47, Options{OnRetry: func(r Retry) { retries = append(retries, r) }})
			fault.Path, fault.Times = "/api/status/", 2
			b.embedded.Fault(fault)
			n := b.requests(func() {
				_, err := b.client.Status(t.Context())
				require.NoError(t, err)
			})
			if fault.Kind != netboxtest.Drop { // there net/http itself tries once more
				require.Equal(t, 3, n.Reads)
			}
			require.Equal(t, n.Reads-1, n.Retries)
			require.Len(t, retries, n.Retries)
			require.Error(t, retries[0].Err)
			require.Equal(t, 1, retries[0].Attempt)
		})
	}
	for _, status := range []int{400, 401, 403, 404, 405, 410} {
		b := newEmbedded(t, netboxtest.V47, Options{})
		b.embedded.Fault(netboxtest.Fault{Path: "/api/status/", Times: -1, Status: status})
		n := b.requests(func() {
			_, err := b.client.Status(t.Context())
			require.Error(t, err)
		})
		require.Equal(t, 1, n.Reads, status)
	}
	t.Run("not for ever", func(t *testing.T) {
		b := newEmbedded(t, netboxtest.V47, Options{Retries: 2})
		b.embedded.Fault(netboxtest.Fault{Path: "/api/status/", Times: -1, Status: 503})
		n := b.requests(func() {
			_, err := b.client.Status(t.Context())
			require.ErrorContains(t, err, "Service Unavailable from a proxy")
		})
		require.Equal(t, 3, n.Reads)
	})
	t.Run("not once the caller is gone", func(t *testing.T) {
		b := newEmbedded(t, netboxtest.V47, Options{})
		b.client.backoff = time.Hour
		b.embedded.Fault(netboxtest.Fault{Path: "/api/status/", Times: -1, Status: 503})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := b.client.Status(ctx)
		require.Error(t, err)
		require.Less(t, time.Since(start), 5*time.Second)
	})
	t.Run("a server that does not answer", func(t *testing.T) {
		b := newEmbedded(t, netboxtest.V47, Options{Timeout: 50 * time.Millisecond, Retries: -1})
		b.embedded.Fault(netboxtest.Fault{Path: "/api/status/", Kind: netboxtest.Hang})
		_, err := b.client.Status(t.Context())
		require.ErrorContains(t, err, "no answer within 50ms")
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-3": 0, "soon": 0, "99999999": 24 * time.Hour,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second, "Fri, 02 Jan 2026 03:00:00 GMT": 0,
	} {
		require.Equal(t, want, retryAfter(header, now), header)
	}
}

// What is not NetBox says so, and what to look at.
func TestNotNetBox(t *testing.T) {
	cases := map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"a web page": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write([]byte("<html><head><title>Log  in &amp; go</title></head></html>"))
		}, `this is not the NetBox API: got HTML ("Log in & go") from http`},
		"another API":       {jsonAnswer(200, `{"version": "1"}`), "is not NetBox: the answer names no netbox-version; check netbox.url"},
		"no JSON inside":    {jsonAnswer(200, `hello`), "decode the answer"},
		"an empty answer":   {jsonAnswer(200, ``), "decode the answer"},
		"too old":           {jsonAnswer(200, `{"netbox-version": "3.6.9"}`), "NetBox 3.6.9 is too old: 3.7 or later is needed"},
		"a garbled version": {jsonAnswer(200, `{"netbox-version": "four"}`), `version "four"`},
		"a redirect to TLS": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://u:hunter2@nb.example"+r.URL.Path, http.StatusMovedPermanently)
		}, "redirected to https://nb.example/api/status/; set netbox.url"},
		"plain text": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("pong")) }, `got "text/plain" (pong)`},
		"an unknown host": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(400)
		}, "ALLOWED_HOSTS"},
		"longer than agreed": {jsonAnswer(200, `{"netbox-version": "`+strings.Repeat("4", 2000)+`"}`), "longer than 1000 bytes"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.handler)
			defer server.Close()
			_, err := mustOpen(t, Options{URL: server.URL, Token: "secret-token", MaxBytes: 1000, Retries: -1}).Status(t.Context())
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	t.Run("a redirect is not followed", func(t *testing.T) {
		var asked atomic.Int32
		elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
		defer elsewhere.Close()
		server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusFound))
		defer server.Close()
		_, err := mustOpen(t, Options{URL: server.URL, Token: "secret-token"}).Status(t.Context())
		require.Error(t, err)
		require.Zero(t, asked.Load(), "the token would have gone there")
	})
	t.Run("a certificate of an unknown authority", func(t *testing.T) {
		server := httptest.NewTLSServer(jsonAnswer(200, `{"netbox-version": "4.7.3"}`))
		defer server.Close()
		var retries int
		_, err := mustOpen(t, Options{URL: server.URL, Token: "t", OnRetry: func(Retry) { retries++ }}).Status(t.Context())
		require.ErrorContains(t, err, "set netbox.ca_file")
		require.Zero(t, retries)
		_, err = mustOpen(t, Options{URL: server.URL, Token: "t", TLSSkipVerify: true}).Status(t.Context())
		require.NoError(t, err)
	})
}

func jsonAnswer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// A list that is not what was asked for is an error, and no part of it is used.
func TestListsThatCannotBeTrusted(t *testing.T) {
	const ours = `{"id": %d, "address": "10.0.0.1/24", "prefix": "10.0.0.0/24", "custom_fields": {"sync_owner": "dc1/a"}}`
	cases := map[string]struct{ body, want string }{
		"somebody else's row":   {`{"count": 1, "next": null, "results": [{"id": 3, "address": "10.0.0.1/24", "prefix": "10.0.0.0/24", "custom_fields": {"sync_owner": null}}]}`, "NetBox ignored the filter cf_sync_owner: row 3 does not match it"},
		"another owner's row":   {`{"count": 1, "next": null, "results": [` + fmt.Sprintf(ours, 3) + `, {"id": 4, "address": "10.0.0.2/24", "prefix": "10.0.1.0/24", "custom_fields": {"sync_owner": "dc1/b"}}]}`, "NetBox ignored the filter"},
		"the same page again":   {`{"count": 9, "next": "x", "results": [` + fmt.Sprintf(ours, 3) + `]}`, "NetBox ignored the page asked for"},
		"no order":              {`{"count": 2, "next": null, "results": [` + fmt.Sprintf(ours, 3) + `,` + fmt.Sprintf(ours, 2) + `]}`, "NetBox ignored the page asked for"},
		"an endless empty list": {`{"count": 9, "next": "x", "results": []}`, "an empty page names a next one"},
		"no list":               {`{"detail": "hello"}`, "the answer is no list"},
		"results null":          {`{"results": null}`, "the answer is no list"},
		"a garbled address":     {`{"results": [{"id": 3, "address": "10.0.0/24", "prefix": "x", "custom_fields": {"sync_owner": "dc1/a"}}]}`, "is not an address with a length"},
		"a number for an owner": {`{"results": [{"id": 3, "custom_fields": {"sync_owner": 7}}]}`, "decode the answer"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(jsonAnswer(200, c.body))
			defer server.Close()
			s := &Session{client: mustOpen(t, Options{URL: server.URL, Token: "t"}), version: Version{Major: 4, Minor: 7}, strange: map[string]int{}, strangeRefs: map[int]string{}}
			rows, err := s.Owned(t.Context(), []string{"dc1/a"})
			require.ErrorContains(t, err, c.want)
			require.Empty(t, rows)
		})
	}
	s := &Session{client: mustOpen(t, Options{URL: "http://127.0.0.1:1", Token: "t"})}
	for _, owners := range [][]string{nil, {}, {""}, {"dc1/a", ""}} {
		_, err := s.Owned(t.Context(), owners)
		require.ErrorIs(t, err, errNoOwner)
	}
}
