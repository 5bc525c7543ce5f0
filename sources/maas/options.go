package maas

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"allocsync/sources"
)

// Bounds of the options.
const (
	defaultTimeout = time.Minute
	maxTimeout     = time.Hour

	defaultMaxBytes = 256 << 20 // a machine takes about 50 KiB in the list of nodes
	minMaxBytes     = 64 << 10
)

// Options is the configuration of one region, which may have several region
// controllers behind one address.
type Options struct {
	URL    string `yaml:"url" config:"required" doc:"Where MAAS answers, as 'maas login' takes it: http://HOST:5240/MAAS or https://HOST:5443/MAAS."`
	APIKey Key    `yaml:"api_key" config:"required,secret" doc:"API key of an administrator: three parts with colons between them, as MAAS shows it in the preferences of a user, and 'maas apikey --username NAME' prints it."`

	CAFile        string `yaml:"ca_file" doc:"PEM file of the authorities that may have signed the server's certificate. The certificate must hold the name in url."`
	TLSSkipVerify bool   `yaml:"tls_skip_verify" doc:"Accept any server certificate. Whoever can answer in MAAS's place then learns the API key, and can make up addresses."`

	Timeout  time.Duration `yaml:"timeout" doc:"How long one reading of the whole region may take, and each reservation."`
	MaxBytes int           `yaml:"max_bytes" doc:"The largest answer that is accepted, in bytes."`
}

// Key is an API key. It is never shown: fmt, JSON and YAML write [redacted].
type Key string

// Format writes [redacted], whatever the verb.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String returns [redacted].
func (Key) String() string { return redacted }

// MarshalText writes [redacted]; JSON and YAML encoders use it too.
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

const redacted = "[redacted]"

// Factory returns the kind "maas".
func Factory() sources.Factory {
	return sources.Factory{
		Kind:    "maas",
		Summary: "MAAS, over its API 2.0",
		Options: func() any { return &Options{Timeout: defaultTimeout, MaxBytes: defaultMaxBytes} },
		Open: func(options any) (sources.Source, error) {
			o, ok := options.(*Options)
			if !ok {
				return nil, fmt.Errorf("options are a %T, want *maas.Options", options)
			}
			return Open(*o)
		},
	}
}

// errURL does not repeat the URL: there may be a password in what was meant to
// be one.
var errURL = errors.New("url: want http://HOST:5240/MAAS or https://HOST:5443/MAAS, as 'maas login' takes it")

// check says which option is wrong and how to put it right. Files are looked
// at later, by Open.
func (o Options) check() error {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
		return errURL
	case u.User != nil:
		return errors.New("url: holds a user name, but MAAS knows clients by their API key: set api_key")
	case strings.Trim(u.Path, "/") == "":
		return fmt.Errorf("url %q: MAAS answers below a path: try %s/MAAS", o.URL, strings.TrimRight(o.URL, "/"))
	case u.Scheme == "http" && (o.CAFile != "" || o.TLSSkipVerify):
		return errors.New("ca_file, tls_skip_verify: mean nothing for a plain http url; remove them, or use https")
	case o.CAFile != "" && o.TLSSkipVerify:
		return errors.New("ca_file, tls_skip_verify: only one of them may say which server to trust; keep ca_file")
	case o.Timeout <= 0 || o.Timeout > maxTimeout:
		return fmt.Errorf("timeout %s: want more than 0s and at most %s", o.Timeout, maxTimeout)
	case o.MaxBytes < minMaxBytes:
		return fmt.Errorf("max_bytes %d: want at least %d", o.MaxBytes, minMaxBytes)
	}
	_, err = parseKey(o.APIKey)
	return err
}

// base is the URL below which the operations are: that of the option, whether
// it leads to MAAS or to its API.
func (o Options) base() string {
	return strings.TrimSuffix(strings.TrimRight(o.URL, "/"), "/api/2.0") + "/api/2.0/"
}

// tlsConfig reads the file that the options name; its error names the key.
func (o Options) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.TLSSkipVerify}
	if o.CAFile == "" {
		return config, nil
	}
	pool, err := sources.Authorities(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	config.RootCAs = pool
	return config, nil
}
