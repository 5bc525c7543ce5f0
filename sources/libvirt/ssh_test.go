package libvirt

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"allocsync/sources"
)

// newKey makes a private key, in a file and as what signs.
func newKey(tb testing.TB, locked bool) (string, ssh.Signer) {
	tb.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(tb, err)
	block, err := ssh.MarshalPrivateKey(key, "test")
	require.NoError(tb, err)
	if locked {
		block = &pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: []byte("?")}
	}
	file := filepath.Join(tb.TempDir(), "key")
	require.NoError(tb, os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
	signer, err := ssh.NewSignerFromKey(key)
	require.NoError(tb, err)
	return file, signer
}

// sshd forwards unix sockets for whoever has the right key.
type sshd struct {
	config  ssh.ServerConfig
	sockets map[string]string // path as the client asks, path as it is here

	mu    sync.Mutex
	asked []string
}

func newSSHD(tb testing.TB, user ssh.PublicKey, host ...ssh.Signer) *sshd {
	tb.Helper()
	s := &sshd{sockets: map[string]string{}}
	s.config.PublicKeyCallback = func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if c.User() == "root" && string(key.Marshal()) == string(user.Marshal()) {
			return nil, nil
		}
		return nil, errors.New("no")
	}
	for _, h := range host {
		s.config.AddHostKey(h)
	}
	return s
}

// listen serves at 127.0.0.1 until the test ends and returns the address.
func (s *sshd) listen(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { s.serve(c) })
		}
	})
	tb.Cleanup(func() { _ = l.Close(); all.Wait() })
	return l.Addr().String()
}

func (s *sshd) serve(raw net.Conn) {
	defer raw.Close()
	_, channels, requests, err := ssh.NewServerConn(raw, &s.config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for channel := range channels {
		var asked struct {
			Path, Reserved0 string
			Reserved1       uint32
		}
		if channel.ChannelType() != "direct-streamlocal@openssh.com" || ssh.Unmarshal(channel.ExtraData(), &asked) != nil {
			_ = channel.Reject(ssh.UnknownChannelType, "not here")
			continue
		}
		s.mu.Lock()
		s.asked = append(s.asked, asked.Path)
		s.mu.Unlock()
		to, err := net.Dial("unix", s.sockets[asked.Path])
		if err != nil {
			_ = channel.Reject(ssh.ConnectionFailed, "open failed") // as OpenSSH says it
			continue
		}
		from, requests, err := channel.Accept()
		if err != nil {
			return
		}
		go ssh.DiscardRequests(requests)
		go func() { _, _ = io.Copy(to, from); _ = to.Close() }()
		go func() { _, _ = io.Copy(from, to); _ = from.Close() }()
	}
}

// knownHosts writes a file with keys of a host.
func knownHosts(tb testing.TB, at string, keys ...ssh.PublicKey) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "known_hosts")
	text := "# the hosts\n"
	for _, key := range keys {
		text += knownhosts.Line([]string{at}, key) + "\n"
	}
	require.NoError(tb, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func TestSSH(t *testing.T) {
	noLeaks(t)
	keyFile, key := newKey(t, false)
	otherFile, other := newKey(t, false)
	_, host := newKey(t, false)
	second, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	secondHost, err := ssh.NewSignerFromKey(second)
	require.NoError(t, err)
	p := &peer{}
	socket := newPeer(t, p)
	server := newSSHD(t, key.PublicKey(), host, secondHost)
	server.sockets["/run/libvirt/virtqemud-sock-ro"] = socket
	server.sockets["/run/mine"] = socket
	at := server.listen(t)
	shown := host.PublicKey().Type() + " " + ssh.FingerprintSHA256(host.PublicKey())
	_, port, err := net.SplitHostPort(at)
	require.NoError(t, err)
	known := knownHosts(t, at, host.PublicKey())
	over := func(query string, edit ...func(*Options)) Options {
		return testOptions("qemu+ssh://root@"+at+"/system"+query, append([]func(*Options){func(o *Options) {
			o.SSHKeyFile, o.SSHKnownHostsFile = keyFile, known
		}}, edit...)...)
	}

	t.Run("the places of the daemons", func(t *testing.T) {
		c := mustConnect(t, over(""))
		name, err := c.hostname(t.Context())
		require.NoError(t, err)
		require.Equal(t, "kvm1.example", name)
		require.Equal(t, []string{"/run/libvirt/libvirt-sock-ro", "/run/libvirt/virtqemud-sock-ro"}, server.asked)
		c.close()
		_, err = c.hostname(t.Context())
		require.ErrorIs(t, err, sources.ErrUnreachable)
	})
	t.Run("another place", func(t *testing.T) {
		mustConnect(t, over("?socket=/run/mine"))
	})
	t.Run("files in the URI", func(t *testing.T) {
		mustConnect(t, over("?keyfile="+keyFile+"&known_hosts="+known, func(o *Options) { o.SSHKeyFile, o.SSHKnownHostsFile = "/none", "/none" }))
	})
	t.Run("the second of the host's keys is known", func(t *testing.T) {
		mustConnect(t, over("", func(o *Options) { o.SSHKnownHostsFile = knownHosts(t, at, secondHost.PublicKey()) }))
	})
	t.Run("no such socket", func(t *testing.T) {
		_, err := tryConnect(t, over("?socket=/none"))
		require.ErrorIs(t, err, sources.ErrUnreachable)
		require.EqualError(t, err, "connect to 127.0.0.1: source cannot be reached: sshd forwards no socket of libvirt's: /none: ssh: rejected: connect failed (\"open failed\"); see that libvirt runs there, that root may use its socket, and that sshd_config has AllowStreamLocalForwarding yes; name the socket with socket= if it is elsewhere")
	})
	t.Run("another key", func(t *testing.T) {
		_, err := tryConnect(t, over("", func(o *Options) { o.SSHKeyFile = otherFile }))
		require.ErrorIs(t, err, sources.ErrDenied)
		require.ErrorContains(t, err, "connect to 127.0.0.1: access denied: sshd refuses the key: ")
		require.ErrorContains(t, err, "; add the public key of ssh_key_file to the authorized_keys of root on the host, with restrict,port-forwarding before it")
	})
	advice := func(file string) string {
		return "; compare it with what ssh-keygen -lf says of the files /etc/ssh/ssh_host_*_key.pub on the host, then put the line that ssh-keyscan -p " + port + " 127.0.0.1 prints into " + file
	}
	t.Run("unknown host", func(t *testing.T) {
		file := knownHosts(t, "elsewhere", host.PublicKey())
		o := over("", func(o *Options) { o.SSHKnownHostsFile = file })
		_, err := tryConnect(t, o)
		require.ErrorIs(t, err, sources.ErrUnreachable)
		require.ErrorContains(t, err, "its key (")
		require.ErrorContains(t, err, ") is not in "+file+advice(file))
		o.URIs = []string{o.URIs[0] + "?no_verify=1"}
		mustConnect(t, o)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NotContains(t, string(text), "127.0.0.1", "it is never written to")
	})
	t.Run("changed host", func(t *testing.T) {
		file := knownHosts(t, at, other.PublicKey())
		_, err := tryConnect(t, over("", func(o *Options) { o.SSHKnownHostsFile = file }))
		require.ErrorIs(t, err, sources.ErrUnreachable)
		require.ErrorContains(t, err, "its key ("+shown+") is another one than line 2 of "+file+" has: either the host was set up anew, or something else answers in its place"+advice(file))
	})
	t.Run("revoked", func(t *testing.T) {
		file := knownHosts(t, at, host.PublicKey())
		require.NoError(t, os.WriteFile(file, []byte("@revoked * "+string(ssh.MarshalAuthorizedKey(host.PublicKey()))+knownhosts.Line([]string{at}, host.PublicKey())), 0o600))
		_, err := tryConnect(t, over("", func(o *Options) { o.SSHKnownHostsFile = file }))
		require.ErrorIs(t, err, sources.ErrUnreachable)
		require.ErrorContains(t, err, "is refused by "+file)
	})
	t.Run("known by who signed the key", func(t *testing.T) {
		_, signer := newKey(t, false)
		cert := &ssh.Certificate{Key: host.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{"127.0.0.1"}, ValidBefore: ssh.CertTimeInfinity}
		require.NoError(t, cert.SignCert(rand.Reader, signer))
		certified, err := ssh.NewCertSigner(cert, host)
		require.NoError(t, err)
		server := newSSHD(t, key.PublicKey(), host, certified)
		server.sockets["/run/mine"] = socket
		at := server.listen(t)
		for line, want := range map[string]error{
			"@cert-authority " + knownhosts.Line([]string{at}, signer.PublicKey()): nil,
			"@cert-authority " + knownhosts.Line([]string{at}, other.PublicKey()):  sources.ErrUnreachable,
			knownhosts.Line([]string{at}, host.PublicKey()):                        nil,
		} {
			file := knownHosts(t, at)
			require.NoError(t, os.WriteFile(file, []byte(line+"\n"), 0o600))
			_, err := tryConnect(t, testOptions("qemu+ssh://root@"+at+"/system?socket=/run/mine", func(o *Options) { o.SSHKeyFile, o.SSHKnownHostsFile = keyFile, file }))
			require.ErrorIs(t, err, want)
		}
	})
	t.Run("kinds of keys that the host no longer has", func(t *testing.T) {
		only := newSSHD(t, key.PublicKey(), secondHost).listen(t)
		o := testOptions("qemu+ssh://root@"+only+"/system", func(o *Options) {
			o.SSHKeyFile, o.SSHKnownHostsFile = keyFile, knownHosts(t, only, host.PublicKey())
		})
		_, err := tryConnect(t, o)
		require.ErrorIs(t, err, sources.ErrUnreachable)
		require.ErrorContains(t, err, "; the known keys of the host are of kinds that it no longer has: ")
	})
	t.Run("silence", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		o := testOptions("qemu+ssh://root@"+l.Addr().String()+"/system", func(o *Options) {
			o.SSHKeyFile, o.SSHKnownHostsFile, o.CallTimeout = keyFile, known, 200*time.Millisecond
		})
		_, err = tryConnect(t, o)
		require.EqualError(t, err, "connect to 127.0.0.1: source cannot be reached: no answer within 200ms")
	})
	t.Run("the daemon dies", func(t *testing.T) {
		c := mustConnect(t, over("?socket=/run/mine"))
		p.hangUp()
		select {
		case <-c.ended():
		case <-time.After(5 * time.Second):
			require.FailNow(t, "the connection is not over")
		}
		c.close()
	})
}
