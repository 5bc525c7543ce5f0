package libvirt

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDefaultsAreRight(t *testing.T) {
	o := defaults()
	require.NoError(t, o.check())
	list, err := o.endpoints()
	require.NoError(t, err)
	require.Equal(t, []endpoint{{
		address: address{driver: "qemu", transport: "unix", path: "/system"}, label: "localhost", key: `uris[0] "qemu:///system"`,
	}}, list)
	require.True(t, o.Networks)
}

func TestOptionErrors(t *testing.T) {
	over := func(uris ...string) func(*Options) { return func(o *Options) { o.URIs = uris } }
	for _, test := range []struct {
		want string
		edit func(*Options)
	}{
		{`uris: names no host; qemu:///system is this machine`, over()},
		{`uris[1] "qemu+ext://h/system": the transport ext would run a program; use unix, tls, tcp or ssh`, over("qemu:///system", "qemu+ext://h/system")},
		{`uris[1] "qemu+unix:///system": names the same as uris[0]; remove one of them`, over("qemu:///system", "qemu+unix:///system")},
		{`uris[2] "qemu+tls://h:16514/system": names the same as uris[1]; remove one of them`, over("qemu:///system", "qemu://h/system", "qemu+tls://h:16514/system")},
		{`project "both": want name or id`, func(o *Options) { o.Project = "both" }},
		{`hosts_at_once 0: want 1 to 64`, func(o *Options) { o.HostsAtOnce = 0 }},
		{`hosts_at_once 65: want 1 to 64`, func(o *Options) { o.HostsAtOnce = 65 }},
		{`timeout 0s: want more than 0s and at most 1h0m0s`, func(o *Options) { o.Timeout = 0 }},
		{`timeout 2h0m0s: want more than 0s and at most 1h0m0s`, func(o *Options) { o.Timeout = 2 * time.Hour }},
		{`call_timeout -1s: want more than 0s and at most the 1m0s of timeout`, func(o *Options) { o.CallTimeout = -time.Second }},
		{`call_timeout 1m1s: want more than 0s and at most the 1m0s of timeout`, func(o *Options) { o.CallTimeout = 61 * time.Second }},
		{`max_bytes 65535: want 65536 to 33554432, which is libvirt's own limit`, func(o *Options) { o.MaxBytes = 64<<10 - 1 }},
		{`max_bytes 33554433: want 65536 to 33554432, which is libvirt's own limit`, func(o *Options) { o.MaxBytes = 32<<20 + 1 }},
	} {
		o := defaults()
		test.edit(&o)
		require.EqualError(t, o.check(), test.want)
	}
}

func TestFileErrors(t *testing.T) {
	pki := newAuthority(t, "a").pki(t, "client", "")
	other := newAuthority(t, "b").pki(t, "client", "")
	key, _ := newKey(t, false)
	locked, _ := newKey(t, true)
	const tlsURI, sshURI = "qemu+tls://h/system", "qemu+ssh://root@h/system"
	for _, test := range []struct {
		want string
		uri  string
		edit func(*Options)
	}{
		{`ca_file: open /none: no such file or directory (needed for uris[0] "qemu+tls://h/system")`, tlsURI, func(o *Options) { o.CAFile = "/none" }},
		{`client_cert_file: open /none: no such file or directory (needed for uris[0] "qemu+tls://h/system")`, tlsURI, func(o *Options) { o.ClientCertFile = "/none" }},
		{`client_cert_file: open /none: no such file or directory (needed for uris[0] "qemu+tls://h/system")`, tlsURI, func(o *Options) { o.CAFile, o.TLSSkipVerify, o.ClientCertFile = "/nor-this", true, "/none" }},
		{`client_key_file: open /none: no such file or directory (needed for uris[0] "qemu+tls://h/system")`, tlsURI, func(o *Options) { o.ClientKeyFile = "/none" }},
		{`ca_file: options_test.go: holds no PEM certificate`, tlsURI, func(o *Options) { o.CAFile = "options_test.go" }},
		{`client_cert_file, client_key_file: tls: private key does not match public key; want two PEM files that belong together`, tlsURI, func(o *Options) { o.ClientKeyFile = other + "/clientkey.pem" }},
		{`uris[0] "qemu+tls://h/system": pkipath=: open /none/cacert.pem: no such file or directory (needed for uris[0] "qemu+tls://h/system")`, tlsURI + "?pkipath=/none", func(*Options) {}},

		{`ssh_key_file: is needed for uris[0] "qemu+ssh://root@h/system"`, sshURI, func(o *Options) { o.SSHKeyFile = "" }},
		{`ssh_key_file: open /none: no such file or directory (needed for uris[0] "qemu+ssh://root@h/system")`, sshURI, func(o *Options) { o.SSHKeyFile = "/none" }},
		{`uris[0] "qemu+ssh://root@h/system": keyfile=: open /none: no such file or directory (needed for uris[0] "qemu+ssh://root@h/system")`, sshURI + "?keyfile=/none", func(*Options) {}},
		{`ssh_key_file: options_test.go: ssh: no key found`, sshURI, func(o *Options) { o.SSHKeyFile = "options_test.go" }},
		{`ssh_key_file: ` + locked + `: is locked with a passphrase, for which nobody is asked; use a key of its own, which authorized_keys restricts (restrict,port-forwarding)`, sshURI, func(o *Options) { o.SSHKeyFile = locked }},
		{`ssh_known_hosts_file: open /none: no such file or directory; make it, with the keys that ssh-keyscan h prints (needed for uris[0] "qemu+ssh://root@h/system")`, sshURI, func(o *Options) { o.SSHKnownHostsFile = "/none" }},
		{`ssh_known_hosts_file: ` + key + `: knownhosts: ` + key + `:1: illegal base64 data at input byte 4`, sshURI, func(o *Options) { o.SSHKnownHostsFile = key }},
		{`uris[0] "qemu+ssh://root@h:2222/system": known_hosts=: open /none: no such file or directory; make it, with the keys that ssh-keyscan -p 2222 h prints (needed for uris[0] "qemu+ssh://root@h:2222/system")`, "qemu+ssh://root@h:2222/system?known_hosts=/none", func(*Options) {}},
	} {
		o := testOptions(test.uri, func(o *Options) {
			o.CAFile, o.ClientCertFile, o.ClientKeyFile, o.SSHKeyFile = pki+"/cacert.pem", pki+"/clientcert.pem", pki+"/clientkey.pem", key
		}, test.edit)
		require.NoError(t, o.check())
		_, err := o.endpoints()
		require.EqualError(t, err, test.want)
	}
}
