package lxd_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/fixtures"
	"allocsync/sources"
	"allocsync/sources/lxd"
)

// identity is a certificate with its key, as PEM files. Like the ones that
// Incus makes, it is self-signed and names no host.
type identity struct {
	certFile, keyFile string
	pair              tls.Certificate
	fingerprint       string
}

func newIdentity(tb testing.TB, name string) identity {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(tb, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(tb, err)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	i := identity{certFile: filepath.Join(tb.TempDir(), "crt"), keyFile: filepath.Join(tb.TempDir(), "key")}
	require.NoError(tb, os.WriteFile(i.certFile, cert, 0o600))
	require.NoError(tb, os.WriteFile(i.keyFile, private, 0o600))
	i.pair, err = tls.X509KeyPair(cert, private)
	require.NoError(tb, err)
	sum := sha256.Sum256(der)
	i.fingerprint = hex.EncodeToString(sum[:])
	return i
}

// newTLSServer serves a scenario to clients that show the trusted certificate,
// which is restricted to the given projects if there are any; to others it
// answers as Incus does to those it does not trust.
func newTLSServer(tb testing.TB, own, trusted identity, scenario string, projects ...string) string {
	tb.Helper()
	world := fixtures.LXD(scenario)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown := r.TLS.PeerCertificates
		switch {
		case len(shown) == 1 && shown[0].Equal(trusted.pair.Leaf) && r.URL.Path == "/1.0/certificates/"+trusted.fingerprint:
			answer := map[string]any{"name": "allocsync", "restricted": len(projects) > 0, "projects": projects}
			_ = json.NewEncoder(w).Encode(map[string]any{"type": "sync", "metadata": answer})
		case len(shown) == 1 && shown[0].Equal(trusted.pair.Leaf):
			world.ServeHTTP(w, r)
		case r.URL.Path == "/1.0":
			fmt.Fprint(w, `{"type":"sync","metadata":{"auth":"untrusted","api_extensions":["network_allocations"]}}`)
		default:
			refuse(w, r)
		}
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{own.pair}, ClientAuth: tls.RequestClientCert}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of refused handshakes
	server.StartTLS()
	tb.Cleanup(server.Close)
	return server.URL
}

func TestTLS(t *testing.T) {
	server, client, other := newIdentity(t, "server"), newIdentity(t, "client"), newIdentity(t, "other")
	at := newTLSServer(t, server, client, "demo")
	as := func(i identity) func(*lxd.Options) {
		return func(o *lxd.Options) { o.ClientCertFile, o.ClientKeyFile = i.certFile, i.keyFile }
	}
	pinned := func(o *lxd.Options) { o.ServerCertFile = server.certFile }

	t.Run("pinned by file", func(t *testing.T) {
		require.NotEmpty(t, mustSnapshot(t, mustOpen(t, at, as(client), pinned)))
	})
	t.Run("pinned by fingerprint", func(t *testing.T) {
		require.NotEmpty(t, mustSnapshot(t, mustOpen(t, at, as(client), func(o *lxd.Options) { o.ServerFingerprint = server.fingerprint })))
	})
	t.Run("pinned by a fingerprint in the form of openssl", func(t *testing.T) {
		var pairs []string
		for i := 0; i < len(server.fingerprint); i += 2 {
			pairs = append(pairs, strings.ToUpper(server.fingerprint[i:i+2]))
		}
		require.NotEmpty(t, mustSnapshot(t, mustOpen(t, at, as(client), func(o *lxd.Options) { o.ServerFingerprint = strings.Join(pairs, ":") })))
	})
	t.Run("not checked", func(t *testing.T) {
		require.NotEmpty(t, mustSnapshot(t, mustOpen(t, at, as(client), func(o *lxd.Options) { o.TLSSkipVerify = true })))
	})
	t.Run("another server", func(t *testing.T) {
		_, err := mustOpen(t, at, as(client), func(o *lxd.Options) { o.ServerCertFile = other.certFile }).Snapshot(t.Context())
		require.ErrorIs(t, err, sources.ErrUnreachable)
		require.ErrorContains(t, err, fmt.Sprintf("the server shows the certificate %s, but server_cert_file allows only %s; if the server's certificate was renewed on purpose, update server_cert_file", server.fingerprint, other.fingerprint))
	})
	t.Run("unknown authority", func(t *testing.T) {
		_, err := mustOpen(t, at, as(client)).Snapshot(t.Context())
		require.ErrorIs(t, err, sources.ErrUnreachable)
		require.ErrorContains(t, err, "pin the server's own certificate: set server_cert_file")
	})
	t.Run("no such name", func(t *testing.T) {
		_, err := mustOpen(t, at, as(client), func(o *lxd.Options) { o.CAFile = server.certFile }).Snapshot(t.Context())
		require.ErrorIs(t, err, sources.ErrUnreachable)
		require.ErrorContains(t, err, "pin the server's own certificate")
	})
	t.Run("no client certificate", func(t *testing.T) {
		_, err := mustOpen(t, at, pinned).Snapshot(t.Context())
		require.ErrorIs(t, err, sources.ErrDenied)
		require.ErrorContains(t, err, "incus config trust add-certificate client.crt --name allocsync")
	})
	t.Run("a client certificate that is not trusted", func(t *testing.T) {
		_, err := mustOpen(t, at, as(other), pinned).Snapshot(t.Context())
		require.ErrorIs(t, err, sources.ErrDenied)
		require.ErrorContains(t, err, "let the server trust the certificate in client_cert_file")
	})
	t.Run("key of another certificate", func(t *testing.T) {
		o := lxd.Factory().Options().(*lxd.Options)
		o.URL, o.ClientCertFile, o.ClientKeyFile = at, client.certFile, other.keyFile
		_, err := lxd.Open(*o)
		require.ErrorContains(t, err, "client_cert_file, client_key_file: ")
		require.ErrorContains(t, err, "want two PEM files that belong together")
	})
	t.Run("restricted", func(t *testing.T) {
		at := newTLSServer(t, server, client, "demo", "web", "lab")
		snapshot, err := mustOpen(t, at, as(client), pinned).Snapshot(t.Context())
		require.NoError(t, err)
		require.Len(t, snapshot.Missing, 1, "what the certificate hides is not taken to be gone")
		require.ErrorIs(t, snapshot.Missing[0].Err, sources.ErrDenied)
		require.ErrorContains(t, snapshot.Missing[0].Err, "set projects: [lab, web]")
		named := mustOpen(t, at, as(client), pinned, func(o *lxd.Options) { o.Projects = []string{"web", "lab"} })
		require.NotEmpty(t, mustSnapshot(t, named))
	})
	t.Run("check", func(t *testing.T) {
		at := newTLSServer(t, server, client, "demo", "web", "lab")
		source := mustOpen(t, at, as(client), func(o *lxd.Options) { o.TLSSkipVerify = true })
		require.Equal(t, []sources.Finding{
			{OK: true, Text: "Incus 6.0.4 answers at " + at + " and trusts this client"},
			{
				Text: "the server's certificate is not checked (tls_skip_verify)",
				Fix:  "make sure that the server's fingerprint is " + demoFingerprint(t) + " (incus info), then replace tls_skip_verify by server_fingerprint: " + demoFingerprint(t),
			},
			{OK: true, Text: "it lists allocations itself (API extension network_allocations)"},
			{
				Text: "the client certificate (allocsync in the server's trust list) is restricted to the projects [lab, web], but projects names none: what it hides cannot be told from what is gone, so nothing of this source is ever deleted",
				Fix:  "set projects: [lab, web]",
			},
			{OK: true, Text: "it hands out 5 prefixes and 29 addresses in the projects default, lab, web"},
		}, source.Check(t.Context()))
	})
}

// demoFingerprint is the fingerprint that the recorded server says it has.
func demoFingerprint(tb testing.TB) string {
	tb.Helper()
	text, err := os.ReadFile("../../fixtures/lxd/demo/1.0.json")
	require.NoError(tb, err)
	_, after, found := strings.Cut(string(text), `"certificate_fingerprint": "`)
	require.True(tb, found)
	return after[:64]
}
