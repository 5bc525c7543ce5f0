package lxd

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"allocsync/sources"
)

// fingerprint is the SHA-256 of a certificate, the way trust tokens and
// /1.0 (environment.certificate_fingerprint) write it: 64 digits, lower case.
type fingerprint string

func fingerprintOf(der []byte) fingerprint {
	sum := sha256.Sum256(der)
	return fingerprint(hex.EncodeToString(sum[:]))
}

// parseFingerprint also takes the form of openssl: upper case, with colons.
func parseFingerprint(s string) (fingerprint, error) {
	digits := strings.ToLower(strings.ReplaceAll(strings.TrimSpace(s), ":", ""))
	if raw, err := hex.DecodeString(digits); err != nil || len(raw) != sha256.Size {
		return "", fmt.Errorf("%q: want the 64 hexadecimal digits of a SHA-256 fingerprint", s)
	}
	return fingerprint(digits), nil
}

// pinError says that the server showed another certificate than the pinned one.
type pinError struct {
	key       string // the option that pins
	want, got fingerprint
}

func (e *pinError) Error() string {
	return fmt.Sprintf("the server shows the certificate %s, but %s allows only %s; if the server's certificate was renewed on purpose, update %s", e.got, e.key, e.want, e.key)
}

// tlsConfig reads the files that the options name; its errors name the key.
// The returned fingerprint is that of the client certificate, "" without one.
func (o Options) tlsConfig() (*tls.Config, fingerprint, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	var client fingerprint
	if o.ClientCertFile != "" {
		pair, err := o.clientPair()
		if err != nil {
			return nil, "", err
		}
		config.Certificates = []tls.Certificate{pair}
		client = fingerprintOf(pair.Certificate[0])
	}
	switch {
	case o.ServerCertFile != "":
		pinned, err := leafFile(o.ServerCertFile)
		if err != nil {
			return nil, "", fmt.Errorf("server_cert_file: %w", err)
		}
		pin(config, "server_cert_file", pinned)
	case o.ServerFingerprint != "":
		pinned, err := parseFingerprint(o.ServerFingerprint)
		if err != nil {
			return nil, "", fmt.Errorf("server_fingerprint %w", err)
		}
		pin(config, "server_fingerprint", pinned)
	case o.CAFile != "":
		pool, err := sources.Authorities(o.CAFile)
		if err != nil {
			return nil, "", fmt.Errorf("ca_file: %w", err)
		}
		config.RootCAs = pool
	case o.TLSSkipVerify:
		config.InsecureSkipVerify = true
	}
	return config, client, nil
}

// pin accepts exactly one server certificate. Names and dates are not looked
// at: the certificates that Incus and LXD make for themselves hold the name of
// the host and 127.0.0.1, seldom the name by which they are reached.
func pin(config *tls.Config, key string, want fingerprint) {
	config.InsecureSkipVerify = true // the check below stands in its place
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errors.New("the server shows no certificate")
		}
		if got := fingerprintOf(state.PeerCertificates[0].Raw); got != want {
			return &pinError{key: key, want: want, got: got}
		}
		return nil
	}
}

func (o Options) clientPair() (tls.Certificate, error) {
	cert, err := os.ReadFile(o.ClientCertFile)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("client_cert_file: %w", err)
	}
	key, err := os.ReadFile(o.ClientKeyFile)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("client_key_file: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("client_cert_file, client_key_file: %w; want two PEM files that belong together", err)
	}
	return pair, nil
}

// leafFile returns the fingerprint of the first certificate of a PEM file.
func leafFile(path string) (fingerprint, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
		return fingerprintOf(block.Bytes), nil
	}
	return "", fmt.Errorf("%s: holds no PEM certificate", path)
}
