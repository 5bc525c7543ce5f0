package lxd_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/fixtures"
	"allocsync/sources/lxd"
)

var (
	record   = flag.Bool("record", false, "record the server at ALLOCSYNC_TEST_INCUS_SOCKET into fixtures/lxd")
	scenario = flag.String("scenario", "", "with -record: the scenario's name, instead of the server's name and version")
	https    = flag.Bool("https", false, "with -record: ask ALLOCSYNC_TEST_INCUS_URL with the certificate ALLOCSYNC_TEST_INCUS_CERT, _KEY, for what a restricted one is shown")
	update   = flag.Bool("update", false, "write the golden files anew; read the difference")
)

const recordings = "../../fixtures/lxd"

// TestRecord keeps every answer that the source asks a real server for, in all
// the ways in which it asks. The server is only read.
func TestRecord(t *testing.T) {
	if !*record {
		t.Skip("runs with -record")
	}
	real := recordedServer(t)
	proxy := &recorder{real: real, dir: filepath.Join(recordings, *scenario)}
	if *scenario == "" {
		proxy.dir = filepath.Join(recordings, real.name(t))
	}
	require.NoError(t, os.RemoveAll(filepath.Join(proxy.dir, "1.0")))

	at := serve(t, proxy)
	mustSnapshot(t, mustOpen(t, at))
	mustSnapshot(t, mustOpen(t, at, func(o *lxd.Options) { o.LeaseTypes, o.RoutedNICs = true, true }))
	for _, p := range real.projects(t) {
		mustSnapshot(t, mustOpen(t, at, func(o *lxd.Options) { o.Projects = []string{p} }))
	}
	mustSnapshot(t, mustOpen(t, at, func(o *lxd.Options) { o.Projects = real.projects(t) }))
	mustSurvey(t, mustOpen(t, at))
	for _, p := range real.projects(t) {
		mustSurvey(t, mustOpen(t, at, func(o *lxd.Options) { o.Projects = []string{p} }))
	}
	_, err := mustOpen(t, at, func(o *lxd.Options) { o.Projects = []string{"nope"} }).Snapshot(t.Context())
	require.Error(t, err)
	mustOpen(t, at).Check(t.Context())
}

// realServer is a server to record.
type realServer struct {
	base      *url.URL
	transport *http.Transport
}

func recordedServer(tb testing.TB) realServer {
	tb.Helper()
	if *https {
		base, err := url.Parse(os.Getenv("ALLOCSYNC_TEST_INCUS_URL"))
		require.NoError(tb, err)
		pair, err := tls.LoadX509KeyPair(os.Getenv("ALLOCSYNC_TEST_INCUS_CERT"), os.Getenv("ALLOCSYNC_TEST_INCUS_KEY"))
		require.NoError(tb, err)
		config := &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true}
		return realServer{base: base, transport: &http.Transport{TLSClientConfig: config}}
	}
	socket := os.Getenv("ALLOCSYNC_TEST_INCUS_SOCKET")
	require.NotEmpty(tb, socket, "ALLOCSYNC_TEST_INCUS_SOCKET names the socket of the server to record")
	return realServer{
		base: &url.URL{Scheme: "http", Host: "unix"},
		transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}},
	}
}

// recorder passes requests on to a real server and writes the answers down.
type recorder struct {
	real realServer
	dir  string
}

// private is what a recording does without: the server's certificate, and the
// paths of its OVN databases.
var private = regexp.MustCompile(`("certificate"|"network\.ov[ns]\.[a-z_]*"):"[^"]*"`)

func (p *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	proxy := httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(p.real.base) },
		Transport: p.real.transport,
		ModifyResponse: func(answer *http.Response) error {
			body, err := io.ReadAll(answer.Body)
			if err != nil {
				return err
			}
			answer.Body = io.NopCloser(bytes.NewReader(body))
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, private.ReplaceAll(body, []byte(`$1:""`)), "", "  "); err != nil {
				return err
			}
			name := filepath.Join(p.dir, filepath.FromSlash(fixtures.FileName(r)))
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				return err
			}
			return os.WriteFile(name, append(bytes.TrimSpace(pretty.Bytes()), '\n'), 0o644)
		},
	}
	proxy.ServeHTTP(w, r)
}

// ask reads the metadata of one answer.
func (s realServer) ask(tb testing.TB, target string, into any) {
	tb.Helper()
	answer, err := (&http.Client{Transport: s.transport}).Get(s.base.String() + target)
	require.NoError(tb, err)
	defer func() { _ = answer.Body.Close() }()
	var envelope struct{ Metadata json.RawMessage }
	require.NoError(tb, json.NewDecoder(answer.Body).Decode(&envelope))
	require.NoError(tb, json.Unmarshal(envelope.Metadata, into))
}

func (s realServer) name(tb testing.TB) string {
	tb.Helper()
	var about struct {
		Environment struct {
			Server  string `json:"server"`
			Version string `json:"server_version"`
		} `json:"environment"`
	}
	s.ask(tb, "/1.0", &about)
	return fmt.Sprintf("%s-%s", about.Environment.Server, about.Environment.Version)
}

func (s realServer) projects(tb testing.TB) []string {
	tb.Helper()
	var uris, names []string
	s.ask(tb, "/1.0/projects", &uris)
	for _, uri := range uris {
		name, err := url.PathUnescape(strings.TrimPrefix(uri, "/1.0/projects/"))
		require.NoError(tb, err)
		names = append(names, name)
	}
	return names
}
