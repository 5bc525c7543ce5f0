package libvirt

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/sources"
)

// realLibvirt is the daemon that testbed/libvirt starts.
type realLibvirt struct {
	readOnly, readWrite, tcp, tls, pki, ssh, sshKey, knownHosts string
}

// mustLibvirt skips where there is no daemon, unless MUST_RUN names libvirt.
func mustLibvirt(tb testing.TB) realLibvirt {
	tb.Helper()
	var l realLibvirt
	for name, field := range map[string]*string{
		"SOCKET_RO": &l.readOnly, "SOCKET": &l.readWrite, "TCP": &l.tcp, "TLS": &l.tls, "PKI": &l.pki,
		"SSH": &l.ssh, "SSH_KEY": &l.sshKey, "KNOWN_HOSTS": &l.knownHosts,
	} {
		name = "ALLOCSYNC_TEST_LIBVIRT_" + name
		if *field = os.Getenv(name); *field != "" {
			continue
		}
		if slices.Contains(strings.Split(os.Getenv("MUST_RUN"), ","), "libvirt") {
			tb.Fatalf("MUST_RUN names libvirt, but %s is not set: run testbed/libvirt start, and take its env", name)
		}
		tb.Skipf("%s is not set: testbed/libvirt starts a real daemon", name)
	}
	return l
}

// TestRealTransports: every way to a real daemon tells the same, and none may
// change anything.
func TestRealTransports(t *testing.T) {
	l := mustLibvirt(t)
	noLeaks(t)
	want, err := mustConnect(t, testOptions("qemu:///system?socket="+l.readOnly)).hostname(t.Context())
	require.NoError(t, err)
	for _, uri := range []string{
		"qemu:///system?socket=" + l.readOnly, "qemu:///system?socket=" + l.readWrite, "qemu+tcp://" + l.tcp + "/system",
		"qemu+tls://" + l.tls + "/system?pkipath=" + l.pki, "qemu+tls://" + l.tls + "/system?no_verify=1&pkipath=" + l.pki,
		"qemu+ssh://" + l.ssh + "/system?socket=" + l.readOnly + "&keyfile=" + l.sshKey + "&known_hosts=" + l.knownHosts,
		"qemu+ssh://" + l.ssh + "/system?socket=" + l.readOnly + "&no_verify=1&keyfile=" + l.sshKey,
		"test:///default?socket=" + l.readOnly,
	} {
		t.Run(uri, func(t *testing.T) {
			c := mustConnect(t, testOptions(uri))
			name, err := c.hostname(t.Context())
			require.NoError(t, err)
			require.Equal(t, want, name)
			version, err := c.version(t.Context())
			require.NoError(t, err)
			require.Regexp(t, `^[1-9][0-9]*\.[0-9]+\.[0-9]+$`, version)
			domains, err := c.domains(t.Context())
			require.NoError(t, err)
			require.NotEmpty(t, domains)
			for _, d := range domains {
				text, err := c.domainXML(t.Context(), d)
				require.NoError(t, err)
				require.Contains(t, text, "<name>"+d.Name+"</name>")
			}
			networks, err := c.networks(t.Context())
			require.NoError(t, err)
			for _, n := range networks {
				text, err := c.networkXML(t.Context(), n)
				require.NoError(t, err)
				require.Contains(t, text, "<name>"+n.Name+"</name>")
				_, err = c.leases(t.Context(), n)
				require.NoError(t, err)
			}
			// Past the guard's own list of calls, the daemon itself refuses.
			c.guard.answers[procSetAutostart] = ""
			err = c.remote.DomainSetAutostart(domains[0], 0)
			require.Error(t, err)
			require.Contains(t, err.Error(), "read only")
			require.False(t, c.lost())
		})
	}
	t.Run("a client that is not trusted", func(t *testing.T) {
		_, err := tryConnect(t, testOptions("qemu+tls://"+l.tls+"/system?no_verify=1&pkipath="+newAuthority(t, "stranger").pki(t, "stranger", "")))
		require.ErrorIs(t, err, sources.ErrDenied)
		require.ErrorContains(t, err, "the daemon does not accept the client certificate")
	})
	t.Run("a host that is not trusted", func(t *testing.T) {
		_, err := tryConnect(t, testOptions("qemu+tls://"+l.tls+"/system?pkipath="+newAuthority(t, "stranger").pki(t, "stranger", "")))
		require.ErrorIs(t, err, sources.ErrUnreachable)
		require.ErrorContains(t, err, "set ca_file")
	})
	t.Run("an ssh key that is not known", func(t *testing.T) {
		file, _ := newKey(t, false)
		_, err := tryConnect(t, testOptions("qemu+ssh://"+l.ssh+"/system?keyfile="+file+"&known_hosts="+l.knownHosts))
		require.ErrorIs(t, err, sources.ErrDenied)
	})
	t.Run("no such socket over ssh", func(t *testing.T) {
		_, err := tryConnect(t, testOptions("qemu+ssh://"+l.ssh+"/system?socket=/none&keyfile="+l.sshKey+"&known_hosts="+l.knownHosts))
		require.ErrorIs(t, err, sources.ErrUnreachable)
		require.ErrorContains(t, err, "sshd forwards no socket of libvirt's")
	})
}

// procSetAutostart is REMOTE_PROC_DOMAIN_SET_AUTOSTART.
const procSetAutostart = 29
