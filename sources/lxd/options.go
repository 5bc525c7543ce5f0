package lxd

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"allocsync/sources"
)

// Bounds of the options.
const (
	defaultTimeout = 30 * time.Second
	maxTimeout     = time.Hour

	defaultMaxBytes = 64 << 20 // about 15,000 instances in one list
	minMaxBytes     = 64 << 10 // /1.0 alone takes 10 KiB
)

// Options is the configuration of one server.
type Options struct {
	URL string `yaml:"url" doc:"Where the server answers: unix:///PATH/unix.socket or https://HOST:PORT. Incus and LXD listen on port 8443 once core.https_address is set."`

	ClientCertFile string `yaml:"client_cert_file" doc:"PEM file of the client certificate that the server trusts. Needed with https."`
	ClientKeyFile  string `yaml:"client_key_file" doc:"PEM file of the client certificate's private key. Needed with https."`

	ServerCertFile    string `yaml:"server_cert_file" doc:"PEM file of the server's own certificate. Exactly this certificate is accepted, whatever names it holds."`
	ServerFingerprint string `yaml:"server_fingerprint" doc:"SHA-256 fingerprint of the server's own certificate, as trust tokens and 'incus info' show it. Exactly this certificate is accepted, whatever names it holds."`
	CAFile            string `yaml:"ca_file" doc:"PEM file of the authorities that may have signed the server's certificate. The certificate must hold the name in url."`
	TLSSkipVerify     bool   `yaml:"tls_skip_verify" doc:"Accept any server certificate. Whoever can answer in the server's place can then make up addresses."`

	Projects   []string `yaml:"projects" doc:"The projects to read. Empty means all that the certificate may see."`
	LeaseTypes bool     `yaml:"lease_types" doc:"Ask every network for its leases, so that it is known for every address whether it is a lease. Costs one request for each network."`
	RoutedNICs bool     `yaml:"routed_nics" doc:"Also list the static addresses of routed and ipvlan NICs, which belong to no managed network."`

	Timeout  time.Duration `yaml:"timeout" doc:"How long one reading of the whole server may take."`
	MaxBytes int           `yaml:"max_bytes" doc:"The largest answer that is accepted, in bytes."`
}

// Factory returns the kind "lxd".
func Factory() sources.Factory {
	return sources.Factory{
		Kind:    "lxd",
		Summary: "Incus and LXD, over the REST API",
		Options: func() any {
			return &Options{
				URL:      "unix:///var/lib/incus/unix.socket",
				Timeout:  defaultTimeout,
				MaxBytes: defaultMaxBytes,
			}
		},
		Open: func(options any) (sources.Source, error) {
			o, ok := options.(*Options)
			if !ok {
				return nil, fmt.Errorf("options are a %T, want *lxd.Options", options)
			}
			return Open(*o)
		},
	}
}

// errURL does not repeat the URL: there may be a password in what was meant to
// be one.
var errURL = errors.New("url: want unix:///var/lib/incus/unix.socket or https://HOST:8443")

// check says which option is wrong and how to put it right. Files are looked
// at later, by Open.
func (o Options) check() error {
	u, err := url.Parse(o.URL)
	if err != nil || o.URL == "" {
		return errURL
	}
	switch u.Scheme {
	case "unix":
		err = o.checkUnix(u)
	case "https":
		err = o.checkHTTPS(u)
	case "http":
		err = errors.New("url: Incus and LXD do not serve plain HTTP: use https://HOST:8443, or unix:///PATH on the server itself")
	default:
		err = errURL
	}
	if err != nil {
		return err
	}
	if o.Timeout <= 0 || o.Timeout > maxTimeout {
		return fmt.Errorf("timeout %s: want more than 0s and at most %s", o.Timeout, maxTimeout)
	}
	if o.MaxBytes < minMaxBytes {
		return fmt.Errorf("max_bytes %d: want at least %d", o.MaxBytes, minMaxBytes)
	}
	return checkProjects(o.Projects)
}

func checkProjects(names []string) error {
	for i, name := range names {
		if name == "" || strings.ContainsAny(name, "/*") {
			return fmt.Errorf("projects[%d] %q: not a project's name; leave projects out to read all", i, name)
		}
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("projects[%d] %q: stands there twice", i, name)
		}
	}
	return nil
}

func (o Options) checkUnix(u *url.URL) error {
	if u.Host != "" || !strings.HasPrefix(u.Path, "/") || u.RawQuery != "" {
		return errors.New("url: want an absolute path after unix://, as in unix:///var/lib/incus/unix.socket")
	}
	for _, t := range append(o.trust(),
		option{"client_cert_file", o.ClientCertFile != ""}, option{"client_key_file", o.ClientKeyFile != ""},
	) {
		if t.set {
			return fmt.Errorf("%s: means nothing for a unix socket; remove it, or use an https url", t.key)
		}
	}
	return nil
}

// option is a key of the configuration, and whether it is set.
type option struct {
	key string
	set bool
}

// trust lists the options that say which server to trust.
func (o Options) trust() []option {
	return []option{
		{"server_cert_file", o.ServerCertFile != ""}, {"server_fingerprint", o.ServerFingerprint != ""},
		{"ca_file", o.CAFile != ""}, {"tls_skip_verify", o.TLSSkipVerify},
	}
}

func (o Options) checkHTTPS(u *url.URL) error {
	switch {
	case u.Hostname() == "" || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("url %q: want https://HOST:8443 and nothing after it", u.Redacted())
	case u.User != nil:
		return errors.New("url: holds a user name, but Incus and LXD know clients by certificate: set client_cert_file and client_key_file")
	case u.Port() == "":
		return fmt.Errorf("url %q: holds no port; Incus and LXD listen on %s:8443 (write :443 where a proxy stands before it)", o.URL, strings.TrimSuffix(o.URL, "/"))
	case o.ClientCertFile != "" && o.ClientKeyFile == "":
		return errors.New("client_key_file: is needed together with client_cert_file")
	case o.ClientKeyFile != "" && o.ClientCertFile == "":
		return errors.New("client_cert_file: is needed together with client_key_file")
	}
	var trust []string
	for _, t := range o.trust() {
		if t.set {
			trust = append(trust, t.key)
		}
	}
	if len(trust) > 1 {
		return fmt.Errorf("%s: only one of them may say which server to trust; keep %s", strings.Join(trust, ", "), trust[0])
	}
	return nil
}
