package libvirt

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	golibvirt "github.com/digitalocean/go-libvirt"
	"github.com/stretchr/testify/require"

	"allocsync/sources"
)

// TestAnsweredErrors: libvirt's own errors, and what to do about them.
func TestAnsweredErrors(t *testing.T) {
	noLeaks(t)
	var code uint32
	var text string
	p := &peer{reply: func(_ net.Conn, f frame) []byte {
		if f.procedure == procOpen || f.procedure == procAuthList {
			return usual()
		}
		return refusal(f, code, text)
	}}
	c := toPeer(t, p)
	list := func() error { _, err := c.domains(t.Context()); return err }
	for _, test := range []struct {
		code  uint32
		text  string
		cause error
		want  string
	}{
		{42, "Domain not found: no domain with matching uuid", sources.ErrUnreachable, `libvirt answers 42 "Domain not found: no domain with matching uuid"`},
		{38, "End of file while reading data\nInput/output error\n", sources.ErrUnreachable, `libvirt answers 38 "End of file while reading data\nInput/output error"`},
		{29, "operation forbidden: read only access prevents it", sources.ErrDenied, `libvirt answers 29 "operation forbidden: read only access prevents it"; run allocsync as a user who may use this socket (group libvirt), or name the read-only one: /run/libvirt/libvirt-sock-ro`},
		{45, "no", sources.ErrDenied, `libvirt answers 45 "no"; run allocsync as a user who may use this socket (group libvirt), or name the read-only one: /run/libvirt/libvirt-sock-ro`},
		{79, "no", sources.ErrDenied, `libvirt answers 79 "no"; run allocsync as a user who may use this socket (group libvirt), or name the read-only one: /run/libvirt/libvirt-sock-ro`},
		{88, "no", sources.ErrDenied, `libvirt answers 88 "no"; run allocsync as a user who may use this socket (group libvirt), or name the read-only one: /run/libvirt/libvirt-sock-ro`},
		{94, "no", sources.ErrDenied, `libvirt answers 94 "no"; run allocsync as a user who may use this socket (group libvirt), or name the read-only one: /run/libvirt/libvirt-sock-ro`},
		{39, "unknown procedure: 273", sources.ErrUnreachable, `source cannot be reached: unsupported procedure requested; its libvirt is too old for this call`},
	} {
		code, text = test.code, test.text
		err := list()
		require.EqualError(t, err, "list the domains of "+c.endpoint.label+": "+test.want)
		require.ErrorIs(t, err, test.cause)
		require.Equal(t, test.code == 42, gone(err))
		require.False(t, c.lost(), "an answer is an answer")
	}
	code, text = 43, "Network not found"
	_, err := c.networkXML(t.Context(), golibvirt.Network{Name: "default"})
	require.EqualError(t, err, `read the XML of network "default" of localhost: libvirt answers 43 "Network not found"`)
	require.True(t, gone(err))
	require.False(t, gone(nil))
	require.False(t, gone(errors.New("other")))

	// A driver without networks is no fault; a network daemon that is away is.
	code, text = 3, "this function is not supported by the connection driver: virConnectListAllNetworks"
	networks, err := c.networks(t.Context())
	require.NoError(t, err)
	require.Empty(t, networks)
	leases, err := c.leases(t.Context(), golibvirt.Network{})
	require.NoError(t, err)
	require.Empty(t, leases)
	code, text = 38, "Failed to connect socket to '/run/libvirt/virtnetworkd-sock-ro': No such file or directory"
	_, err = c.networks(t.Context())
	require.ErrorIs(t, err, sources.ErrUnreachable)
	require.ErrorContains(t, err, "; start the network daemon there (systemctl start virtnetworkd-ro.socket), or set networks: false if no host of this source has one")
	require.False(t, c.lost())
	_, err = c.subscribe(golibvirt.DomainEventIDLifecycle)
	require.ErrorContains(t, err, "subscribe to the events of localhost: libvirt answers 38 ")
}

// TestRefusedOpen: the daemon answers, but opens no connection.
func TestRefusedOpen(t *testing.T) {
	noLeaks(t)
	p := &peer{reply: func(_ net.Conn, f frame) []byte {
		if f.procedure == procOpen {
			return refusal(f, 38, "Cannot find suitable driver")
		}
		return usual()
	}}
	_, err := tryConnect(t, testOptions("xen:///system?socket="+newPeer(t, p)))
	require.EqualError(t, err, `connect to localhost: libvirt answers 38 "Cannot find suitable driver"`)
	require.ErrorIs(t, err, sources.ErrUnreachable)
}

func TestSocketErrors(t *testing.T) {
	dir := t.TempDir()
	_, err := tryConnect(t, testOptions("qemu:///system?socket="+dir+"/none"))
	require.ErrorIs(t, err, sources.ErrUnreachable)
	require.EqualError(t, err, "connect to localhost: source cannot be reached: dial unix "+dir+"/none: connect: no such file or directory; no such socket: is libvirt running, and its socket mounted into the container? systemctl start libvirtd-ro.socket, or virtqemud-ro.socket where the daemons are modular")

	l, err := net.Listen("unix", filepath.Join(dir, "dead"))
	require.NoError(t, err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	_, err = tryConnect(t, testOptions("qemu:///system?socket="+dir+"/dead"))
	require.ErrorIs(t, err, sources.ErrUnreachable)
	require.ErrorContains(t, err, "; nothing listens on the socket: is libvirt running?")

	e := endpoint{address: address{transport: overUnix}, label: "localhost"}
	err = e.failed("connect to", &net.OpError{Op: "dial", Err: os.ErrPermission})
	require.ErrorIs(t, err, sources.ErrDenied)
	require.ErrorContains(t, err, "; the read-only socket is open to everyone by default: see unix_sock_ro_perms in libvirtd.conf, or run allocsync as a user of its group")
	if os.Geteuid() != 0 { // root may connect to any socket
		require.NoError(t, os.Chmod(dir, 0))
		_, err = tryConnect(t, testOptions("qemu:///system?socket="+dir+"/dead"))
		require.NoError(t, os.Chmod(dir, 0o700)) // or it cannot be removed
		require.ErrorIs(t, err, sources.ErrDenied)
	}

	l, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	_, err = tryConnect(t, testOptions("qemu+tcp://"+l.Addr().String()+"/system"))
	require.ErrorIs(t, err, sources.ErrUnreachable)
	require.ErrorContains(t, err, "; nothing listens there: on the host, systemctl start libvirtd-tcp.socket (or virtproxyd-tcp.socket); prefer tls")
}

// TestPlacesOfSockets: a daemon that is not there is looked for in the next
// place; one that must not be used is not.
func TestPlacesOfSockets(t *testing.T) {
	dir := t.TempDir()
	socket := newPeer(t, &peer{})
	l, err := net.Listen("unix", filepath.Join(dir, "dead"))
	require.NoError(t, err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	c, err := dialUnix(t.Context(), []string{dir + "/none", dir + "/dead", socket})
	require.NoError(t, err)
	require.NoError(t, c.Close())
	_, err = dialUnix(t.Context(), []string{dir + "/none", dir + "/dead"})
	require.EqualError(t, err, "dial unix "+dir+"/none: connect: no such file or directory, dial unix "+dir+"/dead: connect: connection refused")
	require.NoError(t, os.WriteFile(dir+"/file", nil, 0o600))
	_, err = dialUnix(t.Context(), []string{dir + "/file/none", socket})
	require.ErrorContains(t, err, "not a directory")
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	(&peer{}).accept(t, l)
	name, err := mustConnect(t, testOptions("qemu+tcp://"+l.Addr().String()+"/system")).hostname(t.Context())
	require.NoError(t, err)
	require.Equal(t, "kvm1.example", name)
}
