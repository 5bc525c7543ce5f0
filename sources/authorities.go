package sources

import (
	"crypto/x509"
	"fmt"
	"os"
)

// Authorities reads the authorities in a PEM file, which may then sign a server's
// certificate; those of this machine are not among them. An error names the
// file, and is to be wrapped with the key of the option that names it.
func Authorities(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: holds no PEM certificate", path)
	}
	return pool, nil
}
