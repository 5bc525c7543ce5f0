package libvirt

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	golibvirt "github.com/digitalocean/go-libvirt"
)

// The ways to a daemon. libssh and libssh2 of libvirt are ssh here.
const (
	overUnix = "unix"
	overTLS  = "tls"
	overTCP  = "tcp"
	overSSH  = "ssh"
)

// address is a libvirt URI taken apart (https://libvirt.org/uri.html). Two URIs
// that mean the same are the same address.
type address struct {
	driver     string // qemu
	transport  string // unix, tls, tcp or ssh
	user       string // with ssh
	host, port string // without brackets; empty with unix
	path       string // /system

	socket     string // socket=, empty for the places that libvirt uses
	pkiPath    string // pkipath=
	keyFile    string // keyfile=
	knownHosts string // known_hosts=
	name       string // name=, the URI that the daemon is asked to open
	noVerify   bool   // no_verify=1, known_hosts_verify=ignore
}

// hostName keeps out what url.Parse lets through: spaces, quotes, other scripts.
var hostName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// daemonURI is what name= may say: a URI without a host, a user or parameters.
var daemonURI = regexp.MustCompile(`^([a-z]+):///[A-Za-z0-9._/-]*$`)

// daemons lists libvirt's drivers that a daemon runs, each with the name of its
// modular daemon (https://libvirt.org/daemons.html); test is in libvirtd only.
func daemons() map[string]string {
	return map[string]string{
		"qemu": "virtqemud", "lxc": "virtlxcd", "xen": "virtxend", "ch": "virtchd", "bhyve": "virtbhyved", "vz": "virtvzd", "test": "",
	}
}

// checkDriver refuses what no daemon answers for.
func checkDriver(name string) error {
	known := daemons()
	if _, ok := known[name]; ok {
		return nil
	}
	switch name {
	case "esx", "vpx", "gsx", "vmware", "hyperv", "vbox", "openvz", "phyp":
		return fmt.Errorf("the driver %s runs inside of libvirt's own client library, not in a daemon that could be asked", name)
	}
	list := make([]string, 0, len(known))
	for name := range known {
		list = append(list, name)
	}
	slices.Sort(list)
	return fmt.Errorf("the driver %q is not known; want one of %s", name, strings.Join(list, ", "))
}

// parseURI takes a libvirt URI apart. Its errors never repeat what could be a
// password.
func parseURI(text string) (address, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme == "" || u.Opaque != "":
		return address{}, errors.New("want a libvirt URI: qemu:///system, qemu+tls://HOST/system, qemu+ssh://USER@HOST/system or qemu+tcp://HOST/system")
	case u.Fragment != "" || strings.Contains(text, "#"):
		return address{}, errors.New("a libvirt URI holds no #")
	}
	if _, set := u.User.Password(); set || strings.Contains(u.User.Username(), ":") {
		return address{}, errors.New("holds a password, which libvirt URIs may not: use an ssh key (ssh_key_file) or a client certificate (client_cert_file)")
	}
	driver, transport, explicit := strings.Cut(u.Scheme, "+")
	a := address{driver: driver, user: u.User.Username(), host: u.Hostname(), port: u.Port(), path: u.Path}
	if err := checkDriver(driver); err != nil {
		return address{}, err
	}
	switch {
	case !explicit && u.Host == "":
		a.transport = overUnix
	case !explicit:
		a.transport = overTLS
	case transport == "libssh" || transport == "libssh2":
		a.transport = overSSH
	default:
		a.transport = transport
	}
	for _, step := range []func(url.Values) error{a.checkHost, a.checkPath, a.takeParameters, a.checkSession} {
		query, err := url.ParseQuery(u.RawQuery)
		if err != nil {
			return address{}, errors.New("its parameters make no sense; want ?NAME=VALUE&NAME=VALUE, with % escapes where a value holds & or ;")
		}
		if err := step(query); err != nil {
			return address{}, err
		}
	}
	return a, nil
}

// checkHost checks the part before the path, and fills in what libvirt does
// where it is left out.
func (a *address) checkHost(url.Values) error {
	port := ""
	switch a.transport {
	case overUnix:
		if a.host != "" || a.port != "" || a.user != "" {
			return errors.New("unix reaches this machine only; take out the host, or use +tls or +ssh")
		}
		return nil
	case overTLS:
		port = "16514"
	case overTCP:
		port = "16509"
	case overSSH:
		port = "22"
	case "ext":
		return errors.New("the transport ext would run a program; use unix, tls, tcp or ssh")
	default:
		return fmt.Errorf("the transport %q is not known; want unix, tls, tcp or ssh (libssh and libssh2 mean ssh)", a.transport)
	}
	if a.host == "" {
		a.host = "localhost" // as libvirt does
	}
	if ip, err := netip.ParseAddr(a.host); err == nil {
		a.host = ip.String()
	} else if !hostName.MatchString(a.host) {
		return errors.New("the host is neither a name nor an address; IPv6 addresses stand in brackets")
	}
	if a.port == "" {
		a.port = port
	}
	n, err := strconv.ParseUint(a.port, 10, 16)
	if err != nil || n == 0 {
		return errors.New("the port is not a number from 1 to 65535")
	}
	a.port = strconv.FormatUint(n, 10)
	switch {
	case a.transport == overSSH && a.user == "":
		return errors.New("names no user; want one, as in qemu+ssh://root@HOST/system")
	case a.transport != overSSH && a.user != "":
		return errors.New("names a user, which only ssh has; take it out, or use +ssh")
	}
	return nil
}

func (a *address) checkPath(url.Values) error {
	switch {
	case !strings.HasPrefix(a.path, "/"):
		return errors.New("holds no path; want one, as in qemu:///system")
	case strings.ContainsFunc(a.path, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("the path holds control characters")
	case a.driver == "qemu" && a.path != "/system" && a.path != "/session":
		return errors.New("the path of a qemu URI is /system or /session")
	}
	return nil
}

// checkSession: a daemon of one user has no read-only socket, and its place
// depends on that user's environment.
func (a *address) checkSession(url.Values) error {
	if path.Base(string(a.remote())) == "session" && a.socket == "" && (a.transport == overUnix || a.transport == overSSH) {
		return errors.New("a session daemon has no place that is known; say it with socket=, as in qemu:///session?socket=/run/user/1000/libvirt/libvirt-sock")
	}
	return nil
}

// remote is the URI that the daemon is asked to open.
func (a address) remote() golibvirt.ConnectURI {
	return golibvirt.RemoteURI(a.url())
}

// String writes the address as a URI that parses to the same address.
func (a address) String() string { return a.url().String() }

func (a address) url() *url.URL {
	query := url.Values{}
	for _, p := range []struct{ name, value string }{
		{"socket", a.socket}, {"pkipath", a.pkiPath}, {"keyfile", a.keyFile}, {"known_hosts", a.knownHosts}, {"name", a.name},
	} {
		if p.value != "" {
			query.Set(p.name, p.value)
		}
	}
	if a.noVerify {
		query.Set("no_verify", "1")
	}
	u := &url.URL{Scheme: a.driver + "+" + a.transport, Path: a.path, RawQuery: query.Encode()}
	if a.user != "" {
		u.User = url.User(a.user)
	}
	if a.host != "" {
		u.Host = net.JoinHostPort(a.host, a.port)
	}
	return u
}

// sockets lists the places where the daemon may listen for read-only
// connections, to be tried in this order: libvirtd's, then the driver's own
// modular daemon's.
func (a address) sockets() []string {
	if a.socket != "" {
		return []string{a.socket}
	}
	list := []string{"/run/libvirt/libvirt-sock-ro"}
	driver, _, _ := strings.Cut(string(a.remote()), ":")
	if daemon := daemons()[driver]; daemon != "" {
		list = append(list, "/run/libvirt/"+daemon+"-sock-ro")
	}
	return list
}

// shownURI is as much of a URI as a message may repeat: without parameters,
// and without what may be a password; empty where that cannot be told.
func shownURI(text string) string {
	if at := strings.LastIndex(text, "@"); at >= 0 {
		scheme, rest, found := strings.Cut(text[:at], "://")
		if !found {
			return ""
		}
		if strings.ContainsAny(rest, ":%?#/") {
			rest = "…"
		}
		text = scheme + "://" + rest + text[at:]
	}
	text, _, _ = strings.Cut(text, "?")
	text, _, _ = strings.Cut(text, "#")
	return text
}
