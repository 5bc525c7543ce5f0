package libvirt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"allocsync/sources"
)

// login is how to log in to a host by ssh, without a shell or a program there:
// sshd forwards the daemon's socket (direct-streamlocal@openssh.com, OpenSSH
// 6.7 and later).
type login struct {
	signer      ssh.Signer
	known       ssh.HostKeyCallback // nil: any key is taken
	file        string              // where known comes from
	authorities bool                // some hosts are known by who signed their keys
}

// login reads the files for a host.
func (o Options) login(e endpoint) (*login, error) {
	key := namedFile{"ssh_key_file", o.SSHKeyFile}
	if e.keyFile != "" {
		key = namedFile{e.key + ": keyfile=", e.keyFile}
	}
	if key.path == "" {
		return nil, fmt.Errorf("ssh_key_file: is needed for %s", e.key)
	}
	text, err := key.read()
	if err != nil {
		return nil, needed(e, err)
	}
	l := &login{}
	if l.signer, err = ssh.ParsePrivateKey(text); err != nil {
		if locked := (*ssh.PassphraseMissingError)(nil); errors.As(err, &locked) {
			err = errors.New("is locked with a passphrase, for which nobody is asked; use a key of its own, which authorized_keys restricts (restrict,port-forwarding)")
		}
		return nil, key.wrong(err)
	}
	if e.noVerify {
		return l, nil
	}
	hosts := namedFile{"ssh_known_hosts_file", o.SSHKnownHostsFile}
	if e.knownHosts != "" {
		hosts = namedFile{e.key + ": known_hosts=", e.knownHosts}
	}
	if text, err = hosts.read(); err != nil {
		return nil, needed(e, fmt.Errorf("%w; make it, with the keys that %s prints", err, keyscan(e.address)))
	}
	if l.known, err = knownhosts.New(hosts.path); err != nil {
		return nil, hosts.wrong(err)
	}
	l.file, l.authorities = hosts.path, bytes.Contains(text, []byte("@cert-authority"))
	return l, nil
}

// keyscan is the command that prints the keys of a host.
func keyscan(a address) string {
	if a.port == "22" {
		return "ssh-keyscan " + a.host
	}
	return "ssh-keyscan -p " + a.port + " " + a.host
}

// hostKeyError says that a host shows a key that is not the known one.
type hostKeyError struct {
	shown ssh.PublicKey
	file  string
	fault error // of knownhosts
}

func (e *hostKeyError) Error() string {
	shown := e.shown.Type() + " " + ssh.FingerprintSHA256(e.shown)
	if k := (*knownhosts.KeyError)(nil); errors.As(e.fault, &k) {
		if len(k.Want) == 0 {
			return fmt.Sprintf("its key (%s) is not in %s", shown, e.file)
		}
		return fmt.Sprintf("its key (%s) is another one than line %d of %s has: either the host was set up anew, or something else answers in its place", shown, k.Want[0].Line, e.file)
	}
	return fmt.Sprintf("its key (%s) is refused by %s: %s", shown, e.file, e.fault)
}

func (e *hostKeyError) Unwrap() error { return e.fault }

// config is made for each connection. Of a host of which some keys are known,
// only such are asked for: it may have others, and show one of those first.
func (l *login) config(a address) *ssh.ClientConfig {
	c := &ssh.ClientConfig{User: a.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(l.signer)}}
	if l.known == nil {
		c.HostKeyCallback = ssh.InsecureIgnoreHostKey()
		return c
	}
	c.HostKeyCallback = func(host string, remote net.Addr, shown ssh.PublicKey) error {
		if err := l.known(host, remote, shown); err != nil {
			return &hostKeyError{shown: shown, file: l.file, fault: err}
		}
		return nil
	}
	c.HostKeyAlgorithms = l.algorithms(a)
	return c
}

// algorithms lists the kinds of key that are known of a host, nil for none.
// knownhosts tells them when it is shown a key that cannot be among them.
func (l *login) algorithms(a address) []string {
	at := net.JoinHostPort(a.host, a.port)
	var mismatch *knownhosts.KeyError
	if !errors.As(l.known(at, &net.TCPAddr{}, l.signer.PublicKey()), &mismatch) {
		return nil
	}
	var list []string
	if l.authorities && len(mismatch.Want) > 0 { // some of these may be authorities' keys; knownhosts does not tell
		list = append(list, ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01, ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01)
	}
	for _, known := range mismatch.Want {
		kind := known.Key.Type()
		switch {
		case slices.Contains(list, kind):
		case kind == ssh.KeyAlgoRSA:
			list = append(list, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA)
		default:
			list = append(list, kind)
		}
	}
	return list
}

func (e endpoint) dialSSH(ctx context.Context) (net.Conn, error) {
	at := net.JoinHostPort(e.host, e.port)
	raw, err := dialer().DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, err
	}
	stop := closingAtEnd(ctx, raw)
	c, err := e.forward(raw, at)
	if !stop() && err == nil { // ctx has ended, and closed it
		err = ctx.Err()
	}
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	return c, nil
}

// forward logs in and lets sshd connect to the daemon's socket.
func (e endpoint) forward(raw net.Conn, at string) (net.Conn, error) {
	c, channels, requests, err := ssh.NewClientConn(raw, at, e.login.config(e.address))
	if err != nil {
		if strings.Contains(err.Error(), "unable to authenticate") { // it has no type
			return nil, fmt.Errorf("%w: %w", errLogin, err)
		}
		return nil, err
	}
	client := ssh.NewClient(c, channels, requests)
	var errs []error
	for _, socket := range e.sockets() {
		stream, err := client.Dial("unix", socket)
		if err == nil {
			return forwarded{stream, client}, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", socket, err))
		refusal := (*ssh.OpenChannelError)(nil)
		if !errors.As(err, &refusal) {
			break
		}
	}
	_ = client.Close()
	return nil, fmt.Errorf("%w: %w", errForward, oneLine(errs))
}

// errLogin: sshd does not know the key.
var errLogin = fmt.Errorf("%w: sshd refuses the key", sources.ErrDenied)

// errForward: sshd does not say whether it must not, or there is no such
// socket, or the user may not use it.
var errForward = errors.New("sshd forwards no socket of libvirt's")

// forwarded is a socket of the host; closing it closes the ssh connection.
type forwarded struct {
	net.Conn
	client *ssh.Client
}

func (f forwarded) Close() error { return f.client.Close() }
