package lxd_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/sources/all"
	"allocsync/sources/lxd"
)

func TestFactory(t *testing.T) {
	f := all.Factories()[0]
	require.Equal(t, "lxd", f.Kind)
	o, ok := f.Options().(*lxd.Options)
	require.True(t, ok)
	require.Equal(t, "unix:///var/lib/incus/unix.socket", o.URL)
	_, err := f.Open(o)
	require.NoError(t, err)
	require.NotSame(t, o, f.Options(), "options are shared")
	_, err = f.Open(*o)
	require.EqualError(t, err, "options are a lxd.Options, want *lxd.Options")
}

func TestOptionErrors(t *testing.T) {
	for _, test := range []struct {
		want string
		edit func(*lxd.Options)
	}{
		{`url: want unix:///var/lib/incus/unix.socket or https://HOST:8443`, func(o *lxd.Options) { o.URL = "" }},
		{`url: want unix:///var/lib/incus/unix.socket or https://HOST:8443`, func(o *lxd.Options) { o.URL = "lxd.example" }},
		{`url: want an absolute path after unix://, as in unix:///var/lib/incus/unix.socket`, func(o *lxd.Options) { o.URL = "unix://var/lib/x" }},
		{`url: Incus and LXD do not serve plain HTTP: use https://HOST:8443, or unix:///PATH on the server itself`, func(o *lxd.Options) { o.URL = "http://h:8443" }},
		{`url "https://h": holds no port; Incus and LXD listen on https://h:8443 (write :443 where a proxy stands before it)`, func(o *lxd.Options) { o.URL = "https://h" }},
		{`url "https://h:8443/1.0": want https://HOST:8443 and nothing after it`, func(o *lxd.Options) { o.URL = "https://h:8443/1.0" }},
		{`url: holds a user name, but Incus and LXD know clients by certificate: set client_cert_file and client_key_file`, func(o *lxd.Options) { o.URL = "https://me:secret@h:8443" }},
		{`client_cert_file: means nothing for a unix socket; remove it, or use an https url`, func(o *lxd.Options) { o.ClientCertFile = "c" }},
		{`tls_skip_verify: means nothing for a unix socket; remove it, or use an https url`, func(o *lxd.Options) { o.TLSSkipVerify = true }},
		{`client_key_file: is needed together with client_cert_file`, func(o *lxd.Options) { o.URL, o.ClientCertFile = "https://h:8443", "c" }},
		{`client_cert_file: is needed together with client_key_file`, func(o *lxd.Options) { o.URL, o.ClientKeyFile = "https://h:8443", "k" }},
		{`client_cert_file: open /none: no such file or directory`, func(o *lxd.Options) { o.URL, o.ClientCertFile, o.ClientKeyFile = "https://h:8443", "/none", "/none" }},
		{`server_cert_file: open /none: no such file or directory`, func(o *lxd.Options) { o.URL, o.ServerCertFile = "https://h:8443", "/none" }},
		{`ca_file: open /none: no such file or directory`, func(o *lxd.Options) { o.URL, o.CAFile = "https://h:8443", "/none" }},
		{`server_cert_file: options_test.go: holds no PEM certificate`, func(o *lxd.Options) { o.URL, o.ServerCertFile = "https://h:8443", "options_test.go" }},
		{`ca_file: options_test.go: holds no PEM certificate`, func(o *lxd.Options) { o.URL, o.CAFile = "https://h:8443", "options_test.go" }},
		{`server_fingerprint "abc": want the 64 hexadecimal digits of a SHA-256 fingerprint`, func(o *lxd.Options) { o.URL, o.ServerFingerprint = "https://h:8443", "abc" }},
		{`server_cert_file, tls_skip_verify: only one of them may say which server to trust; keep server_cert_file`, func(o *lxd.Options) { o.URL, o.ServerCertFile, o.TLSSkipVerify = "https://h:8443", "s", true }},
		{`timeout 0s: want more than 0s and at most 1h0m0s`, func(o *lxd.Options) { o.Timeout = 0 }},
		{`timeout 2h0m0s: want more than 0s and at most 1h0m0s`, func(o *lxd.Options) { o.Timeout = 2 * time.Hour }},
		{`max_bytes 1: want at least 65536`, func(o *lxd.Options) { o.MaxBytes = 1 }},
		{`projects[1] "": not a project's name; leave projects out to read all`, func(o *lxd.Options) { o.Projects = []string{"a", ""} }},
		{`projects[0] "*": not a project's name; leave projects out to read all`, func(o *lxd.Options) { o.Projects = []string{"*"} }},
		{`projects[1] "a": stands there twice`, func(o *lxd.Options) { o.Projects = []string{"a", "a"} }},
	} {
		o := lxd.Factory().Options().(*lxd.Options)
		test.edit(o)
		_, err := lxd.Open(*o)
		require.EqualError(t, err, test.want)
	}
}
