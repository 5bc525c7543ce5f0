package maas_test

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	maasd "allocsync/fixtures/maas"
	"allocsync/ipam"
	"allocsync/sources"
	"allocsync/sources/all"
	"allocsync/sources/maas"
)

const someKey = "consumerPart:tokenPart:secretPart"

func TestFactory(t *testing.T) {
	i := slices.IndexFunc(all.Factories(), func(f sources.Factory) bool { return f.Kind == "maas" })
	require.GreaterOrEqual(t, i, 0)
	f := all.Factories()[i]
	o, ok := f.Options().(*maas.Options)
	require.True(t, ok)
	require.NotSame(t, o, f.Options(), "options are shared")
	o.URL, o.APIKey = "https://maas.example:5443/MAAS", someKey
	_, err := f.Open(o)
	require.NoError(t, err)
	_, err = f.Open(*o)
	require.EqualError(t, err, "options are a maas.Options, want *maas.Options")
}

func TestOptionErrors(t *testing.T) {
	const url = "url: want http://HOST:5240/MAAS or https://HOST:5443/MAAS, as 'maas login' takes it"
	const key = "api_key: want the three parts of an API key with colons between them, as 'maas apikey --username NAME' prints it"
	for _, test := range []struct {
		want string
		edit func(*maas.Options)
	}{
		{url, func(o *maas.Options) { o.URL = "" }},
		{url, func(o *maas.Options) { o.URL = "maas.example:5240/MAAS" }},
		{url, func(o *maas.Options) { o.URL = "ftp://maas.example/MAAS" }},
		{url, func(o *maas.Options) { o.URL = "http:///MAAS" }},
		{url, func(o *maas.Options) { o.URL = "http://maas.example/MAAS?x=1" }},
		{"url: holds a user name, but MAAS knows clients by their API key: set api_key", func(o *maas.Options) { o.URL = "http://me:secretPart@maas.example/MAAS" }},
		{`url "http://maas.example:5240/": MAAS answers below a path: try http://maas.example:5240/MAAS`, func(o *maas.Options) { o.URL = "http://maas.example:5240/" }},
		{"ca_file, tls_skip_verify: mean nothing for a plain http url; remove them, or use https", func(o *maas.Options) { o.CAFile = "c" }},
		{"ca_file, tls_skip_verify: only one of them may say which server to trust; keep ca_file", func(o *maas.Options) { o.URL, o.CAFile, o.TLSSkipVerify = "https://h/MAAS", "c", true }},
		{"ca_file: open /none: no such file or directory", func(o *maas.Options) { o.URL, o.CAFile = "https://h/MAAS", "/none" }},
		{"ca_file: options_test.go: holds no PEM certificate", func(o *maas.Options) { o.URL, o.CAFile = "https://h/MAAS", "options_test.go" }},
		{"timeout 0s: want more than 0s and at most 1h0m0s", func(o *maas.Options) { o.Timeout = 0 }},
		{"timeout 2h0m0s: want more than 0s and at most 1h0m0s", func(o *maas.Options) { o.Timeout = 2 * time.Hour }},
		{"max_bytes 1: want at least 65536", func(o *maas.Options) { o.MaxBytes = 1 }},
		{key, func(o *maas.Options) { o.APIKey = "" }},
		{key, func(o *maas.Options) { o.APIKey = "a:b" }},
		{key, func(o *maas.Options) { o.APIKey = "a:b:c:d" }},
		{key, func(o *maas.Options) { o.APIKey = "a::c" }},
		{key, func(o *maas.Options) { o.APIKey = "a:b:c\n" }},
	} {
		o := maas.Factory().Options().(*maas.Options)
		o.URL, o.APIKey = "http://maas.example:5240/MAAS", someKey
		test.edit(o)
		_, err := maas.Open(*o)
		require.EqualError(t, err, test.want)
	}
}

// TestURLs: all ways in which people write where MAAS is.
func TestURLs(t *testing.T) {
	region, url := maasd.Start(t)
	for _, at := range []string{url, url + "/", url + "/api/2.0", url + "/api/2.0/"} {
		mustSurvey(t, mustOpen(t, region, at))
	}
}

// TestTLS: the certificate is checked, unless that is switched off.
func TestTLS(t *testing.T) {
	region := maasd.New()
	server := httptest.NewUnstartedServer(region)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that do not trust it
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))

	_, err := mustOpen(t, region, server.URL+"/MAAS").Snapshot(t.Context())
	require.ErrorIs(t, err, sources.ErrUnreachable)
	require.ErrorContains(t, err, "; set ca_file to the authority that signed MAAS's certificate")
	require.Zero(t, region.Count(""), "the key went to a server that is not trusted")

	mustSurvey(t, mustOpen(t, region, server.URL+"/MAAS", func(o *maas.Options) { o.CAFile = ca }))
	skip := mustOpen(t, region, server.URL+"/MAAS", func(o *maas.Options) { o.TLSSkipVerify = true })
	mustSurvey(t, skip)
	require.Contains(t, skip.Check(t.Context()), sources.Finding{
		Text: "the server's certificate is not checked (tls_skip_verify): whoever answers in MAAS's place learns the API key",
		Fix:  "replace tls_skip_verify by ca_file, with the authority that signed MAAS's certificate",
	})
}

// TestRedirectsAreNotFollowed: the key would go along.
func TestRedirectsAreNotFollowed(t *testing.T) {
	asked := false
	elsewhere := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	at := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere, http.StatusTemporaryRedirect)
	}))
	source := mustOpen(t, maasd.New(), at)
	_, err := source.Snapshot(t.Context())
	require.ErrorIs(t, err, sources.ErrUnreachable)
	require.False(t, asked)
}

// TestKeyIsNeverShown: not in errors, though MAAS repeats the token, nor by
// anything that formats options, sources, surveys and desks.
func TestKeyIsNeverShown(t *testing.T) {
	parts := strings.Split(someKey, ":")
	clean := func(what, text string) {
		t.Helper()
		for _, part := range parts {
			require.NotContains(t, text, part, what)
		}
	}
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "https://x.example/"+parts[2])
		status := http.StatusUnauthorized
		if r.Method != http.MethodGet {
			status = http.StatusBadRequest
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, "Authorization Error: 'Invalid access token: %s' for %s", parts[1], r.Header.Get("Authorization"))
	})
	region := maasd.New()
	o := maas.Factory().Options().(*maas.Options)
	o.URL, o.APIKey = serve(t, echo), someKey
	broken, err := maas.Open(*o)
	require.NoError(t, err)
	_, failed := broken.Snapshot(t.Context())
	require.ErrorIs(t, failed, sources.ErrDenied)
	require.Contains(t, failed.Error(), "Invalid access token: [redacted]")

	good := mustOpen(t, region, region.Serve(t))
	survey := mustSurvey(t, good)
	parts = append(parts, strings.Split(region.Key(maasd.Admin), ":")...)
	region.Inject(maasd.Fault{On: "POST *", Kind: maasd.Lost})
	_, lost := survey.Desk.Reserve(t.Context(), ipam.Reservation{Network: subnetURI(99), Mark: mark})
	for _, v := range []any{o, *o, o.APIKey, broken, *broken, good, survey, survey.Desk, broken.Check(t.Context()), failed, errors.Unwrap(failed), lost} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			clean(verb, fmt.Sprintf(verb, v))
		}
	}
	for _, v := range []any{o, *o} {
		text, err := json.Marshal(v)
		require.NoError(t, err)
		clean("JSON", string(text))
	}
	for _, r := range region.Requests() {
		clean("request", r.String())
	}
}

// TestCheck: what is found of a MAAS with which something is wrong.
func TestCheck(t *testing.T) {
	t.Run("no administrator", func(t *testing.T) {
		region, url := maasd.Start(t)
		findings := mustOpen(t, region, url, func(o *maas.Options) { o.APIKey = maas.Key(region.Key(maasd.Operator)) }).Check(t.Context())
		require.Equal(t, sources.Finding{
			Text: "the API key is of operator, who is no administrator: nodes of others are hidden, and while any of them has an address, nothing of this source is deleted",
			Fix:  "set api_key to that of an administrator: 'maas apikey --username NAME' on the server prints it",
		}, findings[1])
		require.False(t, findings[2].OK)
		require.Equal(t, "use the API key of an administrator, or read again", findings[2].Fix)
	})
	t.Run("before 3.6", func(t *testing.T) {
		_, source := newRegion(t, before36)
		findings := source.Check(t.Context())
		require.Equal(t, sources.Finding{OK: true, Text: "MACs are reserved by making devices (MAAS before 3.6)"}, findings[len(findings)-1])
	})
	t.Run("nothing", func(t *testing.T) {
		region := maasd.Empty()
		findings := mustOpen(t, region, region.Serve(t)).Check(t.Context())
		require.Equal(t, sources.Finding{
			Text: "MAAS has no subnet that this key may see",
			Fix:  "add subnets in MAAS, or use the API key of an administrator",
		}, findings[len(findings)-1])
	})
	t.Run("nobody there", func(t *testing.T) {
		findings := mustOpen(t, maasd.New(), "http://127.0.0.1:1/MAAS").Check(t.Context())
		require.Len(t, findings, 1)
		require.Equal(t, "nothing listens there: does MAAS run, and is the port right (5240, or 5443 with TLS)?", findings[0].Fix)
	})
	t.Run("plain http to another machine", func(t *testing.T) {
		o := maas.Factory().Options().(*maas.Options)
		o.URL, o.APIKey, o.Timeout = "http://maas.invalid:5240/MAAS", someKey, time.Second
		source, err := maas.Open(*o)
		require.NoError(t, err)
		require.False(t, source.Check(t.Context())[0].OK)
	})
}

// TestDocumented: every option stands in the page of this source.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/sources/maas.md")
	require.NoError(t, err)
	_, options, found := strings.Cut(string(page), "\n## Options\n")
	require.True(t, found)
	options, _, _ = strings.Cut(options, "\n## ")
	for field := range reflect.TypeFor[maas.Options]().Fields() {
		require.NotEmpty(t, field.Tag.Get("doc"), field.Name)
		require.Contains(t, options, "`"+field.Tag.Get("yaml")+"`")
	}
}
