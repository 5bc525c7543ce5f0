package libvirt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"allocsync/sources"
)

// parting is how long a TLS connection may take to say goodbye.
const parting = 250 * time.Millisecond

// errCertificate: libvirt closes the connection where it does not accept the
// client's certificate, and says why in its own log only.
var errCertificate = fmt.Errorf("%w: the daemon does not accept the client certificate", sources.ErrDenied)

// namedFile is a file, and the key that names it.
type namedFile struct{ key, path string }

func (f namedFile) read() ([]byte, error) {
	text, err := os.ReadFile(f.path)
	if err != nil {
		return nil, f.wrong(err)
	}
	return text, nil
}

func (f namedFile) wrong(err error) error {
	if pathError := (*os.PathError)(nil); errors.As(err, &pathError) {
		return fmt.Errorf("%s: %w", f.key, err) // it names the path
	}
	return fmt.Errorf("%s: %s: %w", f.key, f.path, err)
}

// tlsFiles lists the files for a host: authorities, certificate, key.
func (o Options) tlsFiles(e endpoint) (ca, cert, key namedFile) {
	if e.pkiPath != "" {
		in := func(name string) namedFile {
			return namedFile{e.key + ": pkipath=", filepath.Join(e.pkiPath, name)}
		}
		return in("cacert.pem"), in("clientcert.pem"), in("clientkey.pem")
	}
	return namedFile{"ca_file", o.CAFile}, namedFile{"client_cert_file", o.ClientCertFile}, namedFile{"client_key_file", o.ClientKeyFile}
}

// tlsConfig reads the files for a host.
func (o Options) tlsConfig(e endpoint) (*tls.Config, error) {
	ca, cert, key := o.tlsFiles(e)
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: e.host}
	if e.noVerify || o.TLSSkipVerify {
		config.InsecureSkipVerify = true
	} else {
		text, err := ca.read()
		if err != nil {
			return nil, needed(e, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, ca.wrong(errors.New("holds no PEM certificate"))
		}
	}
	certText, err := cert.read()
	if err != nil {
		return nil, needed(e, err)
	}
	keyText, err := key.read()
	if err != nil {
		return nil, needed(e, err)
	}
	pair, err := tls.X509KeyPair(certText, keyText)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w; want two PEM files that belong together", cert.key, key.key, err)
	}
	// Go would send none where the host's authorities have not signed it; the
	// host's log then says nothing about the certificate that it refuses.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return config, nil
}

// needed says which host a file is for.
func needed(e endpoint, err error) error {
	return fmt.Errorf("%w (needed for %s)", err, e.key)
}

func (e endpoint) dialTLS(ctx context.Context) (net.Conn, error) {
	raw, err := dialer().DialContext(ctx, "tcp", net.JoinHostPort(e.host, e.port))
	if err != nil {
		return nil, err
	}
	c := tlsConn{tls.Client(raw, e.tls)}
	stop := closingAtEnd(ctx, raw)
	err = refused(c.HandshakeContext(ctx)) // TLS 1.2 tells here
	if err == nil {
		err = accepted(c)
	}
	if !stop() && err == nil { // ctx has ended, and closed it
		err = ctx.Err()
	}
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	return c, nil
}

// accepted waits for the byte 1 with which libvirt says that it accepts the
// client's certificate (virNetServerClientCheckAccess in
// src/rpc/virnetserverclient.c); otherwise it closes the connection.
func accepted(c net.Conn) error {
	var answer [1]byte
	_, err := io.ReadFull(c, answer[:])
	switch {
	case errors.Is(err, io.EOF):
		return errCertificate
	case err != nil:
		return refused(err) // TLS 1.3 tells here
	case answer[0] != 1:
		return errCertificate
	}
	return nil
}

// refused wraps an error in errCertificate where it is the host's word that it
// does not like the client's certificate (RFC 8446, section 6.2).
func refused(err error) error {
	// The type of alerts is not exported; their texts hold this word.
	alert, ok := errors.AsType[*net.OpError](err)
	if ok && alert.Op == "remote error" && (strings.Contains(alert.Err.Error(), "certificate") || strings.Contains(alert.Err.Error(), "access denied")) {
		return fmt.Errorf("%w: %w", errCertificate, err)
	}
	return err
}

// tlsConn closes in bounded time, also where nobody reads its goodbye.
type tlsConn struct{ *tls.Conn }

func (c tlsConn) Close() error {
	cut := time.AfterFunc(parting, func() { _ = c.NetConn().Close() })
	defer cut.Stop()
	return c.Conn.Close()
}
