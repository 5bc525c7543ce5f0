package libvirt

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestURI(t *testing.T) {
	for text, want := range map[string]address{
		"qemu:///system":                      {driver: "qemu", transport: "unix", path: "/system"},
		"qemu+unix:///system":                 {driver: "qemu", transport: "unix", path: "/system"},
		"qemu+unix:///system?socket=/run/x":   {driver: "qemu", transport: "unix", path: "/system", socket: "/run/x"},
		"qemu:///system?socket=/a%20b%26c":    {driver: "qemu", transport: "unix", path: "/system", socket: "/a b&c"},
		"qemu:///session?socket=/run/x":       {driver: "qemu", transport: "unix", path: "/session", socket: "/run/x"},
		"qemu:///system?mode=legacy":          {driver: "qemu", transport: "unix", path: "/system"},
		"test:///default":                     {driver: "test", transport: "unix", path: "/default"},
		"xen:///system?name=qemu:///system":   {driver: "xen", transport: "unix", path: "/system", name: "qemu:///system"},
		"qemu://kvm1/system":                  {driver: "qemu", transport: "tls", host: "kvm1", port: "16514", path: "/system"},
		"qemu+tls://kvm1:99/system":           {driver: "qemu", transport: "tls", host: "kvm1", port: "99", path: "/system"},
		"qemu+tls:///system":                  {driver: "qemu", transport: "tls", host: "localhost", port: "16514", path: "/system"},
		"qemu://[::1]/system?pkipath=/p":      {driver: "qemu", transport: "tls", host: "::1", port: "16514", path: "/system", pkiPath: "/p"},
		"qemu://[FE80::1%25eth0]:0022/system": {driver: "qemu", transport: "tls", host: "fe80::1%eth0", port: "22", path: "/system"},
		"qemu+tls://h/system?no_verify=1":     {driver: "qemu", transport: "tls", host: "h", port: "16514", path: "/system", noVerify: true},
		"qemu+tls://h/system?no_verify=0":     {driver: "qemu", transport: "tls", host: "h", port: "16514", path: "/system"},
		"lxc+tcp://10.0.0.1/system":           {driver: "lxc", transport: "tcp", host: "10.0.0.1", port: "16509", path: "/system"},
		"qemu+ssh://root@h/system":            {driver: "qemu", transport: "ssh", user: "root", host: "h", port: "22", path: "/system"},
		"qemu+libssh://root@h:2222/system?keyfile=/k&known_hosts=/h&known_hosts_verify=normal&sshauth=privkey&no_tty=1": {
			driver: "qemu", transport: "ssh", user: "root", host: "h", port: "2222", path: "/system", keyFile: "/k", knownHosts: "/h",
		},
		"qemu+libssh2://a%40b@h/system?known_hosts_verify=ignore": {driver: "qemu", transport: "ssh", user: "a@b", host: "h", port: "22", path: "/system", noVerify: true},
		"QEMU+SSH://root@h/system":                                {driver: "qemu", transport: "ssh", user: "root", host: "h", port: "22", path: "/system"},
	} {
		t.Run(text, func(t *testing.T) {
			got, err := parseURI(text)
			require.NoError(t, err)
			require.Equal(t, want, got)
			again, err := parseURI(got.String())
			require.NoError(t, err, got.String())
			require.Equal(t, got, again)
		})
	}
}

func TestRemoteURIAndSockets(t *testing.T) {
	for text, want := range map[string]string{
		"qemu:///system":                          "qemu:///system /run/libvirt/libvirt-sock-ro /run/libvirt/virtqemud-sock-ro",
		"qemu+ssh://root@h/system":                "qemu:///system /run/libvirt/libvirt-sock-ro /run/libvirt/virtqemud-sock-ro",
		"xen+ssh://root@h/system":                 "xen:///system /run/libvirt/libvirt-sock-ro /run/libvirt/virtxend-sock-ro",
		"test:///default":                         "test:///default /run/libvirt/libvirt-sock-ro",
		"test:///default?name=lxc:///system":      "lxc:///system /run/libvirt/libvirt-sock-ro /run/libvirt/virtlxcd-sock-ro",
		"qemu:///session?socket=/run/u/sock":      "qemu:///session /run/u/sock",
		"qemu+unix:///system?socket=/x&mode=auto": "qemu:///system /x",
	} {
		a, err := parseURI(text)
		require.NoError(t, err)
		require.Equal(t, want, strings.Join(append([]string{string(a.remote())}, a.sockets()...), " "))
	}
}

func TestURIErrors(t *testing.T) {
	const want = "want a libvirt URI: qemu:///system, qemu+tls://HOST/system, qemu+ssh://USER@HOST/system or qemu+tcp://HOST/system"
	for text, want := range map[string]string{
		"":                     "uris[0]: " + want,
		"kvm1":                 `uris[0] "kvm1": ` + want,
		"qemu:system":          `uris[0] "qemu:system": ` + want,
		"/system":              `uris[0] "/system": ` + want,
		"qemu://h:port/system": `uris[0] "qemu://h:port/system": ` + want,
		"qemu:///system#x":     `uris[0] "qemu:///system": a libvirt URI holds no #`,
		"qemu+ext://h/system":  `uris[0] "qemu+ext://h/system": the transport ext would run a program; use unix, tls, tcp or ssh`,
		"qemu+udp://h/system":  `uris[0] "qemu+udp://h/system": the transport "udp" is not known; want unix, tls, tcp or ssh (libssh and libssh2 mean ssh)`,
		"esx://h/":             `uris[0] "esx://h/": the driver esx runs inside of libvirt's own client library, not in a daemon that could be asked`,
		"https://h/":           `uris[0] "https://h/": the driver "https" is not known; want one of bhyve, ch, lxc, qemu, test, vz, xen`,

		"qemu+tls://root:hunter2@h/system": `uris[0] "qemu+tls://…@h/system": holds a password, which libvirt URIs may not: use an ssh key (ssh_key_file) or a client certificate (client_cert_file)`,
		"qemu+tls://root%3Ahunter2@h/x":    `uris[0] "qemu+tls://…@h/x": holds a password, which libvirt URIs may not: use an ssh key (ssh_key_file) or a client certificate (client_cert_file)`,
		"qemu+tls://hun?ter2@h/":           `uris[0] "qemu+tls://…@h/": holds no path; want one, as in qemu:///system`,
		"qemu+tls://root:hun?ter2@h/":      `uris[0] "qemu+tls://…@h/": ` + want,
		"qemu:root:hunter2@h/":             `uris[0]: ` + want,

		"qemu+unix://h/system":        `uris[0] "qemu+unix://h/system": unix reaches this machine only; take out the host, or use +tls or +ssh`,
		"qemu+tls://h h/system":       `uris[0] "qemu+tls://h h/system": ` + want,
		"qemu+tls://h,h/system":       `uris[0] "qemu+tls://h,h/system": the host is neither a name nor an address; IPv6 addresses stand in brackets`,
		"qemu+tls://h:0/system":       `uris[0] "qemu+tls://h:0/system": the port is not a number from 1 to 65535`,
		"qemu+tls://h:65536/system":   `uris[0] "qemu+tls://h:65536/system": the port is not a number from 1 to 65535`,
		"qemu+ssh://h/system":         `uris[0] "qemu+ssh://h/system": names no user; want one, as in qemu+ssh://root@HOST/system`,
		"qemu+tls://root@h/system":    `uris[0] "qemu+tls://root@h/system": names a user, which only ssh has; take it out, or use +ssh`,
		"qemu+tls://h":                `uris[0] "qemu+tls://h": holds no path; want one, as in qemu:///system`,
		"qemu+tls://h/":               `uris[0] "qemu+tls://h/": the path of a qemu URI is /system or /session`,
		"xen:///%00":                  `uris[0] "xen:///%00": the path holds control characters`,
		"qemu:///session":             `uris[0] "qemu:///session": a session daemon has no place that is known; say it with socket=, as in qemu:///session?socket=/run/user/1000/libvirt/libvirt-sock`,
		"qemu:///system?pkipath=/p":   `uris[0] "qemu:///system": has a parameter that is not known with unix; want mode, name, socket`,
		"qemu+tcp://h/system?x=/p":    `uris[0] "qemu+tcp://h/system": has a parameter that is not known with tcp; want mode, name`,
		"qemu:///system?socket=x":     `uris[0] "qemu:///system": socket= wants an absolute path`,
		"qemu:///system?socket=/%00":  `uris[0] "qemu:///system": socket= wants an absolute path`,
		"qemu:///system?mode=direct":  `uris[0] "qemu:///system": mode=direct bypasses the daemon; take it out`,
		"qemu:///system?mode=x":       `uris[0] "qemu:///system": mode= wants auto or legacy`,
		"qemu:///system?a=1;b=2":      `uris[0] "qemu:///system": its parameters make no sense; want ?NAME=VALUE&NAME=VALUE, with % escapes where a value holds & or ;`,
		"qemu:///system?name=system":  `uris[0] "qemu:///system": name= wants the URI that the daemon is to open, as in name=qemu:///system`,
		"qemu:///system?name=esx:///": `uris[0] "qemu:///system": name=: the driver esx runs inside of libvirt's own client library, not in a daemon that could be asked`,

		"qemu:///system?socket=/a&socket=/b":                 `uris[0] "qemu:///system": the parameter socket stands there 2 times`,
		"qemu:///system?name=qemu://u:hunter2@h/system":      `uris[0] "qemu://…@h/system": name= wants the URI that the daemon is to open, as in name=qemu:///system`,
		"qemu:///system?name=qemu:///session":                `uris[0] "qemu:///system": a session daemon has no place that is known; say it with socket=, as in qemu:///session?socket=/run/user/1000/libvirt/libvirt-sock`,
		"qemu+tls://h/system?no_verify=yes":                  `uris[0] "qemu+tls://h/system": no_verify= wants 0 or 1`,
		"qemu+ssh://root@h/system?known_hosts_verify=auto":   `uris[0] "qemu+ssh://root@h/system": known_hosts_verify=auto would trust whoever answers first and write that down; add the host's key to ssh_known_hosts_file, with ssh-keyscan`,
		"qemu+ssh://root@h/system?known_hosts_verify=x":      `uris[0] "qemu+ssh://root@h/system": known_hosts_verify= wants normal or ignore`,
		"qemu+ssh://root@h/system?sshauth=agent,privkey":     `uris[0] "qemu+ssh://root@h/system": sshauth= wants privkey: no agent, password or keyboard is asked`,
		"qemu+ssh://root@h/system?command=/bin/sh&netcat=nc": `uris[0] "qemu+ssh://root@h/system": has a parameter that is not known with ssh; want keyfile, known_hosts, known_hosts_verify, mode, name, no_tty, no_verify, socket, sshauth`,
	} {
		t.Run(text, func(t *testing.T) {
			err := testOptions(text).check()
			require.EqualError(t, err, want)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestLabels(t *testing.T) {
	for _, test := range [][2]string{
		{"qemu:///system qemu://kvm1/system qemu+ssh://root@kvm2/system", "localhost, kvm1, kvm2"},
		{"qemu:///system qemu:///system?socket=/a qemu:///system?socket=/b", "localhost, localhost /a, localhost /b"},
		{"qemu+tcp://h/system qemu+tcp://h:99/system", "h:16509, h:99"},
		{"qemu+tcp://h/system lxc+tcp://h/system qemu://h/system", "qemu+tcp://h:16509/system, lxc+tcp://h:16509/system, h:16514"},
		{"qemu+ssh://a@h/system qemu+ssh://b@h/system", "qemu+ssh://a@h:22/system, qemu+ssh://b@h:22/system"},
		{"qemu:///system test:///default", "qemu+unix:///system, test+unix:///default"},
	} {
		var o Options
		o.URIs = strings.Fields(test[0])
		list, err := o.addresses()
		require.NoError(t, err)
		require.Equal(t, test[1], strings.Join(labelsOf(list), ", "))
	}
}

// FuzzURI: no URI panics; what parses, parses again from what it is written as;
// and no message repeats a password.
func FuzzURI(f *testing.F) {
	for _, s := range []string{
		"qemu:///system", "qemu+ssh://root@[fe80::1%25eth0]:22/system?keyfile=/k&no_verify=1", "qemu+tls://u:pass word@h/system", "test:///default?name=qemu:///x",
		"xen://h//x", "qemu+tls://u%3Asecret@h/system", "lxc+tcp://h:1/%2F?mode=auto", "qemu://u:pa?ss@h/system", "qemu+ssh://a%40b@h/session?socket=/%25",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseURI(text)
		if err == nil {
			again, err := parseURI(a.String())
			require.NoError(t, err, a.String())
			require.Equal(t, a, again)
			require.NotEmpty(t, a.sockets())
		}
		const password = "hunter2"
		if strings.Contains(text, password) || strings.ContainsAny(text, "@/") {
			return
		}
		for _, uri := range []string{
			"qemu+tls://" + text + ":" + password + "@h/system", "qemu://u:" + text + password + "@h/system", "qemu://u:" + password + text + "@h/system",
			(&url.URL{Scheme: "qemu+ssh", User: url.UserPassword("u", text+password), Host: "h", Path: "/system"}).String(),
			"qemu:///system?password=" + password + text, "qemu:///system?" + text + "=" + password,
		} {
			err := testOptions(uri).check()
			require.Error(t, err)
			require.NotContains(t, err.Error(), password)
		}
	})
}
