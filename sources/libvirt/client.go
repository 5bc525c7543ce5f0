package libvirt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"allocsync/sources"
)

// maxInFlight is how many calls one connection has under way at once. libvirt
// answers no faster when there are more; it works on five of one client at a
// time by default (max_client_requests).
const maxInFlight = 64

// connection is an open connection to one daemon: read-only, unless its endpoint
// is for writing.
// It is safe for concurrent use.
type connection struct {
	endpoint endpoint
	options  Options
	remote   *golibvirt.Libvirt
	guard    *guard
	slots    chan struct{} // holds one element for each call under way
}

// dialed is a dialer for a connection that exists already.
type dialed struct{ net.Conn }

func (d dialed) Dial() (net.Conn, error) { return d.Conn, nil }

// connect opens a connection. It takes no longer than call_timeout.
func connect(ctx context.Context, e endpoint, o Options) (*connection, error) {
	const call = "connect to"
	if ctx.Err() != nil {
		return nil, e.failed(call, over(ctx, o))
	}
	limited, cancel := context.WithTimeoutCause(ctx, o.CallTimeout, errNoAnswer)
	defer cancel()
	raw, err := e.dial(limited)
	if err != nil {
		if limited.Err() != nil {
			err = over(ctx, o)
		}
		return nil, e.failed(call, err)
	}
	c := &connection{
		endpoint: e, options: o, guard: newGuard(raw, o.MaxBytes), slots: make(chan struct{}, maxInFlight),
	}
	if e.writing {
		c.guard.allowReserving()
	}
	c.remote = golibvirt.NewWithDialer(dialed{c.guard})
	done := make(chan error, 1)
	go func() {
		err := c.remote.ConnectToURI(e.remote())
		c.guard.settled()
		done <- err
	}()
	select {
	case err = <-done:
	case <-limited.Done():
		c.close()
		return nil, e.failed(call, over(ctx, o))
	}
	if cause, lost := c.guard.lost(); lost && (err == nil || !libvirtSays(err)) {
		err = cause
	}
	if err != nil {
		c.close()
		return nil, e.failed(call, err)
	}
	return c, nil
}

// libvirtSays reports whether an error is libvirt's own answer.
func libvirtSays(err error) bool {
	return errors.As(err, new(golibvirt.Error)) || errors.Is(err, golibvirt.ErrUnsupported)
}

// close ends the connection and all calls under way; it may be called twice.
// go-libvirt's own Disconnect is a call to the daemon, and would wait for one
// that hangs.
func (c *connection) close() { c.guard.end(errClosed) }

// ended is closed when the connection is lost or closed.
func (c *connection) ended() <-chan struct{} { return c.guard.over }

// lost reports whether the connection is lost or closed: all later calls fail.
func (c *connection) lost() bool {
	_, lost := c.guard.lost()
	return lost
}

// answer is what a call of go-libvirt returned.
type answer[T any] struct {
	value T
	err   error
}

// call makes one call; what says which, before the host's label.
//
// go-libvirt knows no contexts: a call of it ends when its answer comes or the
// connection ends. So where the caller goes, or the daemon says nothing at all
// for the time that a call may take, the connection is closed. Where it still
// answers other calls, only this one fails: the lock of one domain, say, is
// held by a QEMU that hangs.
func call[T any](ctx context.Context, c *connection, what string, do func() (T, error)) (T, error) {
	value, err := exchange(ctx, c, do)
	if err != nil {
		return value, c.endpoint.failed(what, err)
	}
	return value, nil
}

func exchange[T any](ctx context.Context, c *connection, do func() (T, error)) (none T, err error) {
	if ctx.Err() != nil {
		return none, over(ctx, c.options)
	}
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return none, over(ctx, c.options)
	case <-c.guard.over:
		return none, c.reason(ctx, errClosed)
	}
	begun := time.Now()
	done := make(chan answer[T], 1)
	go func() {
		value, err := do()
		done <- answer[T]{value, err}
		<-c.slots // only now: a call that was given up is still under way
	}()
	deadline := time.NewTimer(c.options.CallTimeout)
	defer deadline.Stop()
	select {
	case a := <-done:
		if a.err == nil || libvirtSays(a.err) {
			return a.value, a.err
		}
		return none, c.reason(ctx, a.err)
	case <-ctx.Done():
		c.guard.end(errClosed)
		return none, over(ctx, c.options)
	case <-deadline.C:
		err := noAnswer(c.options.CallTimeout)
		if c.guard.silent(begun) {
			c.guard.end(err)
		}
		return none, err
	}
}

// reason is why a call failed that found the connection ended: because of its
// own context, which another call with that context noticed first, or because
// of what the guard saw.
func (c *connection) reason(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return over(ctx, c.options)
	}
	if cause, lost := c.guard.lost(); lost {
		return cause
	}
	return err
}

// hostname returns the host's own name, as virConnectGetHostname does.
func (c *connection) hostname(ctx context.Context) (string, error) {
	return call(ctx, c, "read the host name of", c.remote.ConnectGetHostname)
}

// version returns the version of the daemon: "9.0.0".
func (c *connection) version(ctx context.Context) (string, error) {
	n, err := call(ctx, c, "read the version of", c.remote.ConnectGetLibVersion)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d.%d.%d", n/1_000_000, n/1000%1000, n%1000), nil
}

// domains lists all domains, running or not.
func (c *connection) domains(ctx context.Context) ([]golibvirt.Domain, error) {
	return call(ctx, c, "list the domains of", func() ([]golibvirt.Domain, error) {
		list, n, err := c.remote.ConnectListAllDomains(1, golibvirt.ConnectListDomainsActive|golibvirt.ConnectListDomainsInactive)
		return list, counted(len(list), n, err)
	})
}

// counted compares the length of a list with what the answer says it is.
func counted(have int, want uint32, err error) error {
	if err == nil && uint32(have) != want {
		return garbled("a list of %d says that it has %d", have, want)
	}
	return err
}

// domainXML returns the XML of a domain: of the running one where it runs.
func (c *connection) domainXML(ctx context.Context, d golibvirt.Domain) (string, error) {
	return call(ctx, c, fmt.Sprintf("read the XML of domain %q of", d.Name), func() (string, error) {
		return c.remote.DomainGetXMLDesc(d, 0)
	})
}

// networks lists all networks, active or not: none where the driver knows no
// networks.
func (c *connection) networks(ctx context.Context) ([]golibvirt.Network, error) {
	list, err := call(ctx, c, "list the networks of", func() ([]golibvirt.Network, error) {
		list, n, err := c.remote.ConnectListAllNetworks(1, golibvirt.ConnectListNetworksActive|golibvirt.ConnectListNetworksInactive)
		return list, counted(len(list), n, err)
	})
	if notOffered(err) {
		return nil, nil
	}
	if e, ok := errors.AsType[*sources.Failure](err); ok && answered(err, golibvirt.ErrSystemError) {
		// A modular daemon asks virtnetworkd, which does not run.
		e.Advice = "start the network daemon there (systemctl start virtnetworkd-ro.socket), or set networks: false if no host of this source has one"
	}
	return list, err
}

// networkXML returns the XML of a network.
func (c *connection) networkXML(ctx context.Context, n golibvirt.Network) (string, error) {
	return c.networkXMLOf(ctx, n, 0)
}

func (c *connection) networkXMLOf(ctx context.Context, n golibvirt.Network, flags golibvirt.NetworkXMLFlags) (string, error) {
	return call(ctx, c, fmt.Sprintf("read the XML of network %q of", n.Name), func() (string, error) {
		return c.remote.NetworkGetXMLDesc(n, uint32(flags))
	})
}

// leases lists the DHCP leases of a network: none where the driver knows no
// leases.
func (c *connection) leases(ctx context.Context, n golibvirt.Network) ([]golibvirt.NetworkDhcpLease, error) {
	list, err := call(ctx, c, fmt.Sprintf("list the leases of network %q of", n.Name), func() ([]golibvirt.NetworkDhcpLease, error) {
		list, count, err := c.remote.NetworkGetDhcpLeases(n, nil, 1, 0)
		return list, counted(len(list), count, err)
	})
	if notOffered(err) {
		return nil, nil
	}
	return list, err
}

// subscribe asks for events of all domains, and returns those that come until
// the connection ends, which closes the channel. There is no other way to end
// it: go-libvirt stands still for good where a subscription is ended while an
// event arrives (digitalocean/go-libvirt#191). Events wait in memory until they
// are received.
//
// It waits for its answer until the connection ends, however long. The caller
// must not end it before: libvirtd 9.0.0 crashes, with some luck, where a client
// that has subscriptions hangs up while a call of it is under way (seen after
// 24, 232 and 1,712 of such connections; never in 40,000 of those without).
func (c *connection) subscribe(id golibvirt.DomainEventID) (<-chan any, error) {
	if _, known := events()[id]; !known {
		return nil, fmt.Errorf("subscribe to event %d of %s: it is not one that the guard lets through", id, c.endpoint.label)
	}
	from, err := c.remote.SubscribeEvents(c.lifetime(), id, nil)
	if err != nil {
		if cause, lost := c.guard.lost(); lost && !libvirtSays(err) {
			err = cause
		}
		return nil, c.endpoint.failed("subscribe to the events of", err)
	}
	to := make(chan any)
	go func() {
		defer close(to)
		for e := range from { // to its end, or go-libvirt would wait for ever
			select {
			case to <- e:
			case <-c.guard.over:
			}
		}
	}()
	return to, nil
}

// lifetime is a context that ends when go-libvirt has done away with the
// connection. Not before: see subscribe. A subscription that is made at that
// very moment is done away with by nothing else.
func (c *connection) lifetime() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-c.remote.Disconnected()
		cancel()
	}()
	return ctx
}
