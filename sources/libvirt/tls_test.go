package libvirt

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
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/sources"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(tb testing.TB, name string) authority {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(tb, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(tb, err)
	return authority{cert, key}
}

// pair signs a certificate for a host name, "" for none.
func (a authority) pair(tb testing.TB, name, host string, until time.Duration) (cert, key []byte) {
	tb.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(until),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else if host != "" {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	require.NoError(tb, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(tb, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// pki makes a folder as pkipath= wants it.
func (a authority) pki(tb testing.TB, name, host string) string {
	tb.Helper()
	dir := tb.TempDir()
	cert, key := a.pair(tb, name, host, time.Hour)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	for file, text := range map[string][]byte{"cacert.pem": ca, "clientcert.pem": cert, "clientkey.pem": key} {
		require.NoError(tb, os.WriteFile(filepath.Join(dir, file), text, 0o600))
	}
	return dir
}

// tlsPeer is a peer behind TLS that greets as it is told: libvirt sends the
// byte 1.
type tlsPeer struct {
	peer
	config tls.Config
	greet  func(c net.Conn) bool // reports whether it goes on
}

// listen serves at 127.0.0.1 and returns the address.
func (p *tlsPeer) listen(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	p.accept(tb, greeting{l, p})
	return l.Addr().String()
}

// greeting is a listener whose connections are greeted.
type greeting struct {
	net.Listener
	p *tlsPeer
}

func (l greeting) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := tls.Server(raw, &l.p.config)
		_ = raw.SetDeadline(time.Now().Add(10 * time.Second))
		if c.Handshake() == nil && l.p.greet(c) {
			return c, nil
		}
		_ = c.Close()
	}
}

func greetWith(b ...byte) func(net.Conn) bool {
	return func(c net.Conn) bool { _, err := c.Write(b); return err == nil && len(b) > 0 && b[0] == 1 }
}

// newTLSPeer is a libvirt that trusts the clients of an authority.
func newTLSPeer(tb testing.TB, own, clients authority, host string, until time.Duration) *tlsPeer {
	tb.Helper()
	cert, key := own.pair(tb, "server", host, until)
	pair, err := tls.X509KeyPair(cert, key)
	require.NoError(tb, err)
	pool := x509.NewCertPool()
	pool.AddCert(clients.cert)
	return &tlsPeer{config: tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}, greet: greetWith(1)}
}

func TestTLS(t *testing.T) {
	noLeaks(t)
	own, stranger := newAuthority(t, "own"), newAuthority(t, "stranger")
	pki := own.pki(t, "client", "")
	strangerPKI := stranger.pki(t, "client", "")
	good := newTLSPeer(t, own, own, "127.0.0.1", time.Hour)
	at := good.listen(t)
	const denied = "connect to 127.0.0.1: access denied: the daemon does not accept the client certificate"

	t.Run("pkipath", func(t *testing.T) {
		name, err := mustConnect(t, testOptions("qemu://"+at+"/system?pkipath="+pki)).hostname(t.Context())
		require.NoError(t, err)
		require.Equal(t, "kvm1.example", name)
	})
	t.Run("files", func(t *testing.T) {
		mustConnect(t, testOptions("qemu+tls://"+at+"/system", func(o *Options) {
			o.CAFile, o.ClientCertFile, o.ClientKeyFile = pki+"/cacert.pem", pki+"/clientcert.pem", pki+"/clientkey.pem"
		}))
	})
	t.Run("TLS 1.2", func(t *testing.T) {
		p := newTLSPeer(t, own, own, "127.0.0.1", time.Hour)
		p.config.MaxVersion = tls.VersionTLS12
		mustConnect(t, testOptions("qemu://"+p.listen(t)+"/system?pkipath="+pki))
	})
	t.Run("TLS 1.1", func(t *testing.T) {
		p := newTLSPeer(t, own, own, "127.0.0.1", time.Hour)
		p.config.MinVersion, p.config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		_, err := tryConnect(t, testOptions("qemu://"+p.listen(t)+"/system?no_verify=1&pkipath="+pki))
		require.ErrorIs(t, err, sources.ErrUnreachable)
	})
	t.Run("unknown authority", func(t *testing.T) {
		o := testOptions("qemu://"+at+"/system", func(o *Options) {
			o.CAFile, o.ClientCertFile, o.ClientKeyFile = strangerPKI+"/cacert.pem", pki+"/clientcert.pem", pki+"/clientkey.pem"
		})
		_, err := tryConnect(t, o)
		require.ErrorIs(t, err, sources.ErrUnreachable)
		require.ErrorContains(t, err, "certificate signed by unknown authority")
		require.ErrorContains(t, err, "; set ca_file (or pkipath= in the URI) to the authority that signed the host's certificate")
		o.TLSSkipVerify = true
		mustConnect(t, o)
		o.TLSSkipVerify, o.URIs = false, []string{o.URIs[0] + "?no_verify=1"}
		mustConnect(t, o)
	})
	t.Run("another name", func(t *testing.T) {
		p := newTLSPeer(t, own, own, "kvm9", time.Hour)
		_, err := tryConnect(t, testOptions("qemu://"+p.listen(t)+"/system?pkipath="+pki))
		require.ErrorIs(t, err, sources.ErrUnreachable)
		require.ErrorContains(t, err, "; name the host in uris as its certificate does")
	})
	t.Run("expired", func(t *testing.T) {
		p := newTLSPeer(t, own, own, "127.0.0.1", -time.Minute)
		_, err := tryConnect(t, testOptions("qemu://"+p.listen(t)+"/system?pkipath="+pki))
		require.ErrorIs(t, err, sources.ErrUnreachable)
		require.ErrorContains(t, err, "; renew the host's certificate, or set this machine's clock")
	})
	t.Run("client of a stranger", func(t *testing.T) {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			p := newTLSPeer(t, own, own, "127.0.0.1", time.Hour)
			p.config.MaxVersion = version
			_, err := tryConnect(t, testOptions("qemu://"+p.listen(t)+"/system?no_verify=1&pkipath="+strangerPKI))
			require.ErrorIs(t, err, sources.ErrDenied)
			require.ErrorContains(t, err, denied)
		}
	})
	for name, greeting := range map[string]func(net.Conn) bool{"closed": greetWith(), "byte 0": greetWith(0)} {
		t.Run("client refused: "+name, func(t *testing.T) {
			p := newTLSPeer(t, own, own, "127.0.0.1", time.Hour)
			p.greet = greeting
			_, err := tryConnect(t, testOptions("qemu://"+p.listen(t)+"/system?pkipath="+pki))
			require.ErrorIs(t, err, sources.ErrDenied)
			require.EqualError(t, err, denied+"; its log says why: see that the certificate is signed by an authority in the host's ca_file, is not expired and may be used by clients, and that tls_allowed_dn_list in the host's libvirtd.conf lets it in")
		})
	}
	t.Run("no greeting", func(t *testing.T) {
		p := newTLSPeer(t, own, own, "127.0.0.1", time.Hour)
		p.greet = func(c net.Conn) bool { _, _ = c.Read(make([]byte, 1)); return false }
		_, err := tryConnect(t, testOptions("qemu://"+p.listen(t)+"/system?pkipath="+pki, func(o *Options) { o.CallTimeout = 200 * time.Millisecond }))
		require.EqualError(t, err, "connect to 127.0.0.1: source cannot be reached: no answer within 200ms")
	})
	t.Run("no handshake", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		_, err = tryConnect(t, testOptions("qemu://"+l.Addr().String()+"/system?pkipath="+pki, func(o *Options) { o.CallTimeout = 200 * time.Millisecond }))
		require.EqualError(t, err, "connect to 127.0.0.1: source cannot be reached: no answer within 200ms")
	})
	t.Run("no TLS", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		go func() {
			if c, err := l.Accept(); err == nil {
				_, _ = c.Write([]byte("SSH-2.0-OpenSSH_9.2\r\n"))
				_, _ = c.Read(make([]byte, 1<<10))
				_ = c.Close()
			}
		}()
		_, err = tryConnect(t, testOptions("qemu://"+l.Addr().String()+"/system?pkipath="+pki))
		require.ErrorIs(t, err, sources.ErrUnreachable)
		require.ErrorContains(t, err, "; what answers there does not speak TLS: is it libvirt's TLS port, 16514?")
	})
	t.Run("nothing listens", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		require.NoError(t, l.Close())
		_, err = tryConnect(t, testOptions("qemu://"+l.Addr().String()+"/system?pkipath="+pki))
		require.ErrorIs(t, err, sources.ErrUnreachable)
		require.ErrorContains(t, err, "; nothing listens there: on the host, systemctl start libvirtd-tls.socket (or virtproxyd-tls.socket)")
	})
}
