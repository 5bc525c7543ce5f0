package libvirt

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
)

// How Watch comes back to a host that is away. That a machine without power is,
// is found out by TCP's keepalive; see dialer.
const (
	firstPause = 500 * time.Millisecond
	maxPause   = time.Minute
)

// watched lists the events that addresses can change with: domains that come,
// go, start and stop; Nova's metadata; interfaces that are plugged in and out.
// Networks have events too, which go-libvirt does not decode: what changes in a
// network, and its leases, is found by the next pass.
func watched() []golibvirt.DomainEventID {
	return []golibvirt.DomainEventID{
		golibvirt.DomainEventIDLifecycle,
		golibvirt.DomainEventIDMetadataChange,
		golibvirt.DomainEventIDDeviceAdded,
		golibvirt.DomainEventIDDeviceRemoved,
	}
}

// Watch calls changed whenever a host says that a domain changed, and once
// after it has connected to a host, since what changed before is not told. It
// keeps one connection to each host, of its own, and comes back to a host that
// is away. It calls listening with the error of the first host, in the order of
// the configuration, that is. It returns when ctx ends.
func (s *Source) Watch(ctx context.Context, changed func(), listening func(error)) error {
	signal := make(chan struct{}, 1) // one element: that something changed since
	tell := func() {
		select {
		case signal <- struct{}{}:
		default:
		}
	}
	var hosts sync.WaitGroup
	defer hosts.Wait()
	state := &listeners{errs: make([]error, len(s.endpoints)), tell: listening}
	for i := range state.errs {
		state.errs[i] = errNotYet
	}
	for i, e := range s.endpoints {
		hosts.Go(func() { s.watchHost(ctx, e, tell, func(err error) { state.set(i, err) }) })
	}
	for {
		select {
		case <-signal:
			changed()
		case <-ctx.Done():
			return fmt.Errorf("watch: %w", ctx.Err())
		}
	}
}

// errNotYet is how it stands with a host before it has been tried.
var errNotYet = errors.New("not tried yet")

// listeners knows which hosts are listened to.
type listeners struct {
	mu   sync.Mutex
	errs []error // nil for a host that is listened to
	said string
	tell func(error)
}

// set notes how it stands with a host, and tells how it stands with all.
func (l *listeners) set(host int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs[host] = err
	first, text := error(nil), ""
	for _, e := range l.errs {
		if errors.Is(e, errNotYet) {
			return
		}
		if first == nil && e != nil {
			first, text = e, e.Error()
		}
	}
	if first == nil || text != l.said {
		l.said = text
		l.tell(first)
	}
}

// watchHost watches one host until ctx ends.
func (s *Source) watchHost(ctx context.Context, e endpoint, tell func(), state func(error)) {
	pause := firstPause
	for ctx.Err() == nil {
		connected := time.Now()
		watched, err := s.watchOnce(ctx, e, func() { state(nil); tell() }, tell)
		if watched && time.Since(connected) > maxPause {
			pause = firstPause
		}
		if ctx.Err() == nil {
			state(err)
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2)): // not all hosts, nor all installations, at once
		case <-ctx.Done():
		}
		pause = min(2*pause, maxPause)
	}
}

// watchOnce watches one host until its connection is lost, and reports whether
// it was watched at all, and why it is no longer. It calls up when it is.
func (s *Source) watchOnce(ctx context.Context, e endpoint, up, tell func()) (bool, error) {
	c, err := connect(ctx, e, s.options)
	if err != nil {
		return false, err
	}
	subscribed := make(chan error, 1)
	go func() { subscribed <- c.subscribeAll(tell) }()
	deadline := time.NewTimer(s.options.CallTimeout)
	defer deadline.Stop()
	select {
	case err = <-subscribed:
	case <-ctx.Done():
		go c.closeAfter(subscribed)
		return false, ctx.Err()
	case <-deadline.C:
		go c.closeAfter(subscribed)
		return false, e.failed("subscribe to the events of", noAnswer(s.options.CallTimeout))
	}
	defer c.close()
	if err != nil {
		return false, err
	}
	up()
	// No call is made any more on this connection, so that none is under way
	// when it ends.
	select {
	case <-c.ended():
		cause, _ := c.guard.lost()
		return true, e.failed("watch", cause)
	case <-ctx.Done():
		return true, ctx.Err()
	}
}

// subscribeAll calls tell at every event of those that are watched, until the
// connection ends.
func (c *connection) subscribeAll(tell func()) error {
	for _, id := range watched() {
		events, err := c.subscribe(id)
		if err != nil {
			return err
		}
		go func() {
			for range events {
				tell()
			}
		}()
	}
	return nil
}

// closeAfter closes the connection when the subscriptions have their answers:
// of a daemon that stands still, when it goes on or ends.
func (c *connection) closeAfter(subscribed <-chan error) {
	<-subscribed
	c.close()
}
