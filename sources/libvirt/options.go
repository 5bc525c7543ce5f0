package libvirt

import (
	"errors"
	"fmt"
	"time"
)

// Bounds of the options.
const (
	defaultHostsAtOnce = 8
	maxHostsAtOnce     = 64

	defaultCallTimeout = 10 * time.Second
	defaultTimeout     = time.Minute
	maxTimeout         = time.Hour

	// libvirt's own largest message, VIR_NET_MESSAGE_MAX
	// (src/rpc/virnetprotocol.x).
	maxMaxBytes = 32 << 20
	minMaxBytes = 64 << 10 // the XML of one domain with many devices takes 40 KiB
)

// The values of the option project.
const (
	projectName = "name"
	projectID   = "id"
)

// Options is the configuration of a set of libvirt hosts.
type Options struct {
	URIs []string `yaml:"uris" doc:"The hosts, each by its libvirt URI: qemu:///system for this machine, qemu+tls://HOST/system, qemu+ssh://USER@HOST/system, qemu+tcp://HOST/system. They are opened read-only, but to reserve. List all hosts among which domains migrate in one source."`

	CAFile         string `yaml:"ca_file" doc:"PEM file of the authorities that sign the certificates of tls hosts. A URI's pkipath= goes before it."`
	ClientCertFile string `yaml:"client_cert_file" doc:"PEM file of the client certificate for tls hosts. A URI's pkipath= goes before it."`
	ClientKeyFile  string `yaml:"client_key_file" doc:"PEM file of the client certificate's private key. A URI's pkipath= goes before it."`
	TLSSkipVerify  bool   `yaml:"tls_skip_verify" doc:"Accept any certificate of tls hosts. Whoever can answer in a host's place can then make up addresses. no_verify=1 in a URI says so of one host."`

	SSHKeyFile        string `yaml:"ssh_key_file" doc:"Private key for ssh hosts, without a passphrase. Needed with ssh, unless the URI has keyfile=."`
	SSHKnownHostsFile string `yaml:"ssh_known_hosts_file" doc:"The keys of ssh hosts, in the form of OpenSSH's known_hosts. It is never written to. A URI's known_hosts= goes before it."`

	Networks     bool   `yaml:"networks" doc:"Also read libvirt's own networks, their static hosts and leases. Set it to false where no network daemon runs."`
	Project      string `yaml:"project" enum:"name|id" doc:"What stands as the project of an address of Nova's: the project's name, or its id."`
	RequirePorts bool   `yaml:"require_ports" doc:"Take a domain whose Nova metadata lists no ports for one that could not be read. Nova lists them since Wallaby, in the metadata of instances that were started or changed since then."`

	HostsAtOnce int           `yaml:"hosts_at_once" doc:"How many hosts are read at the same time."`
	CallTimeout time.Duration `yaml:"call_timeout" doc:"How long connecting to a host, and each call to it, may take."`
	Timeout     time.Duration `yaml:"timeout" doc:"How long one reading of all hosts may take."`
	MaxBytes    int           `yaml:"max_bytes" doc:"The largest message that is accepted from a host, in bytes. libvirt itself sends none above 32 MiB."`
}

// defaults returns the options as they are where nothing is configured. The
// places of the TLS files are libvirt's own
// (https://libvirt.org/kbase/tlscerts.html).
func defaults() Options {
	return Options{
		URIs:              []string{"qemu:///system"},
		CAFile:            "/etc/pki/CA/cacert.pem",
		ClientCertFile:    "/etc/pki/libvirt/clientcert.pem",
		ClientKeyFile:     "/etc/pki/libvirt/private/clientkey.pem",
		SSHKnownHostsFile: "/etc/ssh/ssh_known_hosts",
		Networks:          true,
		Project:           projectName,
		HostsAtOnce:       defaultHostsAtOnce,
		CallTimeout:       defaultCallTimeout,
		Timeout:           defaultTimeout,
		MaxBytes:          maxMaxBytes,
	}
}

// check says which option is wrong and how to put it right. Files are looked
// at later, by endpoints.
func (o Options) check() error {
	if _, err := o.addresses(); err != nil {
		return err
	}
	switch {
	case o.Project != projectName && o.Project != projectID:
		return fmt.Errorf("project %q: want %s or %s", o.Project, projectName, projectID)
	case o.HostsAtOnce < 1 || o.HostsAtOnce > maxHostsAtOnce:
		return fmt.Errorf("hosts_at_once %d: want 1 to %d", o.HostsAtOnce, maxHostsAtOnce)
	case o.Timeout <= 0 || o.Timeout > maxTimeout:
		return fmt.Errorf("timeout %s: want more than 0s and at most %s", o.Timeout, maxTimeout)
	case o.CallTimeout <= 0 || o.CallTimeout > o.Timeout:
		return fmt.Errorf("call_timeout %s: want more than 0s and at most the %s of timeout", o.CallTimeout, o.Timeout)
	case o.MaxBytes < minMaxBytes || o.MaxBytes > maxMaxBytes:
		return fmt.Errorf("max_bytes %d: want %d to %d, which is libvirt's own limit", o.MaxBytes, minMaxBytes, maxMaxBytes)
	}
	return nil
}

// addresses parses the URIs.
func (o Options) addresses() ([]address, error) {
	if len(o.URIs) == 0 {
		return nil, errors.New("uris: names no host; qemu:///system is this machine")
	}
	seen := map[address]int{}
	list := make([]address, 0, len(o.URIs))
	for i, text := range o.URIs {
		a, err := parseURI(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", keyOf(i, text), err)
		}
		if first, twice := seen[a]; twice {
			return nil, fmt.Errorf("%s: names the same as uris[%d]; remove one of them", keyOf(i, text), first)
		}
		seen[a] = i
		list = append(list, a)
	}
	return list, nil
}

// keyOf is how messages call an element of uris.
func keyOf(i int, text string) string {
	if shown := shownURI(text); shown != "" {
		return fmt.Sprintf("uris[%d] %q", i, shown)
	}
	return fmt.Sprintf("uris[%d]", i)
}
