package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

// The secrets of the tests. They are looked for in every answer and log line.
const (
	netboxSecret = "netbox-secret-7Qp2mVx9"
	resyncToken  = "resync-token-Lw83hTzk"
	resyncSecret = "resync-secret-B5nKc0ad"
)

// recorded is when the bodies in testdata were made.
func recorded() time.Time { return time.Date(2026, 11, 21, 16, 51, 30, 0, time.UTC) }

// bed is a server that answers, and what it told the program and the log.
type bed struct {
	server *Server
	url    string
	client *http.Client

	mu    sync.Mutex
	calls []Call
	at    time.Time
	log   lines
}

type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newBed serves on loopback until the test ends, with a clock of the bed's own
// that stands at the time of the recordings. The test's end sees to it that no
// secret was told.
func newBed(t testing.TB, change func(*Options)) *bed {
	t.Helper()
	b := &bed{at: recorded(), client: &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}}
	o := Options{
		Listen:       "127.0.0.1:0",
		Installation: "dc1",
		Sources:      []string{"lab", "edge", "other"},
		Secrets:      Secrets{NetBox: netboxSecret, ResyncToken: resyncToken, ResyncSecret: resyncSecret},
		Accept: func(c Call) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.calls = append(b.calls, c)
		},
		Log: zerolog.New(&b.log),
		Now: b.now,
	}
	if change != nil {
		change(&o)
	}
	var err error
	b.server, err = Open(o)
	require.NoError(t, err)
	scheme := "http://"
	if o.TLSCertFile != "" {
		scheme = "https://"
	}
	b.url = scheme + b.server.Addr()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.server.Serve(ctx) }()
	t.Cleanup(func() {
		b.client.CloseIdleConnections()
		cancel()
		require.NoError(t, <-done)
		noSecret(t, b.log.String())
	})
	return b
}

func withKnobs(change func(*knobs)) func(*Options) {
	return func(o *Options) {
		k := usualKnobs()
		change(&k)
		o.knobs = &k
	}
}

func (b *bed) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.at
}

func (b *bed) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at = b.at.Add(d)
}

// told returns the calls since it was asked last.
func (b *bed) told() []Call {
	b.mu.Lock()
	defer b.mu.Unlock()
	calls := b.calls
	b.calls = nil
	return calls
}

func noSecret(t testing.TB, text string) {
	t.Helper()
	for _, s := range []string{netboxSecret, resyncToken, resyncSecret, sign(sha512.New, netboxSecret, ""), "PRIVATE KEY"} {
		require.NotContains(t, text, s)
	}
}

// reply is an answer, read whole.
type reply struct {
	status int
	header http.Header
	text   string
}

func (r reply) json(t testing.TB) (v struct {
	Accepted bool
	Sources  []string
	Reason   string
	Error    string
}) {
	t.Helper()
	require.Equal(t, "application/json", r.header.Get("Content-Type"), r.text)
	require.NoError(t, json.Unmarshal([]byte(r.text), &v), r.text)
	return v
}

// send makes a request; headers are NAME, VALUE, NAME, VALUE.
func (b *bed) send(t testing.TB, method, path, body string, headers ...string) reply {
	t.Helper()
	request, err := http.NewRequest(method, b.url+path, strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	response, err := b.client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	out := reply{status: response.StatusCode, header: response.Header, text: string(text)}
	noSecret(t, out.text)
	for _, name := range []string{"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "Cache-Control", "X-Frame-Options"} {
		require.NotEmpty(t, out.header.Get(name), "%s %s: %s", method, path, name)
	}
	return out
}

// hook sends NetBox's hook, rightly signed.
func (b *bed) hook(t testing.TB, body string) reply {
	t.Helper()
	return b.send(t, http.MethodPost, "/hooks/netbox", body, headerNetBox, sign(sha512.New, netboxSecret, body))
}

func (b *bed) resync(t testing.TB, query, body string, headers ...string) reply {
	t.Helper()
	return b.send(t, http.MethodPost, "/hooks/resync"+query, body, headers...)
}

// sign is an HMAC in hex, made without the code under test.
func sign(h func() hash.Hash, secret, body string) string {
	m := hmac.New(h, []byte(secret))
	io.WriteString(m, body)
	return hex.EncodeToString(m.Sum(nil))
}

func sign256(body string) string { return "sha256=" + sign(sha256.New, resyncSecret, body) }

func mustRead(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(text)
}
