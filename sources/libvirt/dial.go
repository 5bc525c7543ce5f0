package libvirt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
)

// endpoint is a host, and all that is needed to reach it.
type endpoint struct {
	address
	label string      // how reports call the host; no two have the same
	key   string      // the element of uris, for messages
	tls   *tls.Config // with tls
	login *login      // with ssh

	writing bool // connections to it may write
}

// forWriting is the same host, for a connection that may write.
func (e endpoint) forWriting() endpoint {
	e.writing = true
	return e
}

// sockets lists the places where the daemon may listen, to be tried in this
// order. A socket that the configuration names is the only one.
func (e endpoint) sockets() []string {
	list := e.address.sockets()
	if e.writing && e.socket == "" {
		for i, socket := range list {
			list[i] = strings.TrimSuffix(socket, readOnlySuffix)
		}
	}
	return list
}

// readOnlySuffix is how libvirt calls the sockets that take no writes.
const readOnlySuffix = "-ro"

// onlyReads reports whether the configuration names a socket of which libvirt's
// own names say that it takes no writes.
func (e endpoint) onlyReads() bool { return strings.HasSuffix(e.socket, "-sock"+readOnlySuffix) }

// endpoints reads the files that the options name; its errors name the key.
func (o Options) endpoints() ([]endpoint, error) {
	addresses, err := o.addresses()
	if err != nil {
		return nil, err
	}
	labels := labelsOf(addresses)
	list := make([]endpoint, 0, len(addresses))
	for i, a := range addresses {
		e := endpoint{address: a, label: labels[i], key: keyOf(i, o.URIs[i])}
		switch a.transport {
		case overTLS:
			e.tls, err = o.tlsConfig(e)
		case overSSH:
			e.login, err = o.login(e)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// labelsOf names hosts, each as shortly as tells it from the others: by its
// host name, with its port or socket, by the whole URI.
func labelsOf(list []address) []string {
	labels := make([]string, len(list))
	for _, write := range []func(address) string{address.shortLabel, address.longLabel, address.fullLabel, address.String} {
		count := map[string]int{}
		for i, a := range list {
			if labels[i] == "" {
				count[write(a)]++
			}
		}
		for i, a := range list {
			if label := write(a); labels[i] == "" && count[label] == 1 {
				labels[i] = label
			}
		}
	}
	return labels
}

func (a address) shortLabel() string {
	if a.host == "" {
		return "localhost"
	}
	return a.host
}

func (a address) longLabel() string {
	if a.transport == overUnix {
		return strings.TrimSpace("localhost " + a.socket)
	}
	return net.JoinHostPort(a.host, a.port)
}

func (a address) fullLabel() string {
	a.user = ""
	text, _, _ := strings.Cut(a.String(), "?")
	return strings.TrimSpace(text + " " + a.socket)
}

// dialer notices within half a minute that a machine is gone: go-libvirt speaks
// nothing of libvirt's own keepalive.
func dialer() *net.Dialer {
	return &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
}

// dial reaches the daemon. It returns soon after ctx ends; closing what it
// returns closes all that it has opened.
func (e endpoint) dial(ctx context.Context) (net.Conn, error) {
	switch e.transport {
	case overUnix:
		return dialUnix(ctx, e.sockets())
	case overTLS:
		return e.dialTLS(ctx)
	case overSSH:
		return e.dialSSH(ctx)
	}
	return dialer().DialContext(ctx, "tcp", net.JoinHostPort(e.host, e.port))
}

// dialUnix tries the places where the daemon may listen.
func dialUnix(ctx context.Context, sockets []string) (net.Conn, error) {
	var errs []error
	for _, socket := range sockets {
		c, err := dialer().DialContext(ctx, "unix", socket)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
		if !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ECONNREFUSED) {
			break
		}
	}
	return nil, oneLine(errs)
}

// oneLine joins errors; unlike errors.Join in one line.
func oneLine(errs []error) error {
	err := errs[0]
	for _, next := range errs[1:] {
		err = fmt.Errorf("%w, %w", err, next)
	}
	return err
}

// closingAtEnd closes a connection when ctx ends, which frees whoever reads or
// writes. The function that it returns ends that.
func closingAtEnd(ctx context.Context, c net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = c.Close() })
}
