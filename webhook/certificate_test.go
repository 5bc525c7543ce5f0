package webhook

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// mustPair makes a certificate for 127.0.0.1 and its key, as PEM.
func mustPair(t testing.TB, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}}, &private.PublicKey, private)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// mustChange writes a file so that its time is another one than before.
func mustChange(t testing.TB, name string, text []byte, at time.Time) {
	t.Helper()
	require.NoError(t, os.WriteFile(name, text, 0o600))
	require.NoError(t, os.Chtimes(name, at, at))
}

// presented returns the name in the certificate that the server shows.
func presented(t testing.TB, address string) string {
	t.Helper()
	c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, err)
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	at := time.Now().Add(-time.Hour)
	first, firstKey := mustPair(t, "first")
	mustChange(t, certFile, first, at)
	mustChange(t, keyFile, firstKey, at)
	b := newBed(t, func(o *Options) {
		o.TLSCertFile, o.TLSKeyFile, o.MetricsListen, o.Metrics = certFile, keyFile, "127.0.0.1:0", said("the metrics")
	})
	trusted := x509.NewCertPool()
	require.True(t, trusted.AppendCertsFromPEM(first))
	b.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}
	require.Equal(t, 202, b.resync(t, "", "", "Authorization", "Bearer "+resyncToken).status)
	require.Equal(t, "first", presented(t, b.server.MetricsAddr()), "metrics too")

	_, err := tls.Dial("tcp", b.server.Addr(), &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	require.ErrorContains(t, err, "protocol version")
	plain, err := http.Get("http://" + b.server.Addr() + "/healthz")
	require.NoError(t, err)
	plain.Body.Close()
	require.Equal(t, http.StatusBadRequest, plain.StatusCode)

	// A half-written pair: the old one stays, and that is told once.
	second, secondKey := mustPair(t, "second")
	mustChange(t, certFile, second, at.Add(time.Minute))
	require.Equal(t, "first", presented(t, b.server.Addr()), "looked at a moment ago")
	for range 3 {
		b.pass(2 * time.Second)
		require.Equal(t, "first", presented(t, b.server.Addr()))
	}
	require.Equal(t, 1, strings.Count(b.log.String(), "the old one stays"), b.log.String())
	mustChange(t, keyFile, secondKey, at.Add(time.Minute))
	b.pass(2 * time.Second)
	require.Equal(t, "second", presented(t, b.server.Addr()))
	require.Equal(t, 1, strings.Count(b.log.String(), "read anew"))

	// Gone, then garbage: told once each.
	require.NoError(t, os.Remove(keyFile))
	b.pass(2 * time.Second)
	require.Equal(t, "second", presented(t, b.server.Addr()))
	mustChange(t, keyFile, []byte("no key"), at)
	b.pass(2 * time.Second)
	require.Equal(t, "second", presented(t, b.server.Addr()))
	require.Equal(t, 3, strings.Count(b.log.String(), "the old one stays"))
	require.NotContains(t, b.log.String(), "no key")
}

// What is mounted from elsewhere is often a link that is turned to a new
// folder.
func TestTLSFilesBehindALink(t *testing.T) {
	dir := t.TempDir()
	at := time.Now().Add(-time.Hour)
	for _, name := range []string{"first", "second"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		cert, key := mustPair(t, name)
		mustChange(t, filepath.Join(dir, name, "cert.pem"), cert, at)
		mustChange(t, filepath.Join(dir, name, "key.pem"), key, at)
		at = at.Add(time.Minute)
	}
	link := filepath.Join(dir, "now")
	require.NoError(t, os.Symlink("first", link))
	b := newBed(t, func(o *Options) {
		o.TLSCertFile, o.TLSKeyFile = filepath.Join(link, "cert.pem"), filepath.Join(link, "key.pem")
	})
	require.Equal(t, "first", presented(t, b.server.Addr()))
	require.NoError(t, os.Symlink("second", link+".new"))
	require.NoError(t, os.Rename(link+".new", link))
	b.pass(2 * time.Second)
	require.Equal(t, "second", presented(t, b.server.Addr()))
}

func TestTLSFilesMustFit(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	open := func() error {
		_, err := Open(Options{Listen: "127.0.0.1:0", TLSCertFile: cert, TLSKeyFile: key})
		return err
	}
	require.ErrorContains(t, open(), "read serve.tls_cert_file and its key: open "+cert)
	one, _ := mustPair(t, "one")
	_, other := mustPair(t, "other")
	mustChange(t, cert, one, time.Now())
	mustChange(t, key, other, time.Now())
	err := open()
	require.ErrorContains(t, err, "does not match")
	noSecret(t, err.Error())
}
