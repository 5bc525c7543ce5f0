package libvirt

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"allocsync/sources"
)

// keptOpen is how long a connection that may write stays open after its last
// use: for as long as a batch of reservations goes on, and not much longer.
const keptOpen = 3 * time.Second

// maxWaiting is how many jobs may wait for one host.
const maxWaiting = 1024

// clerk does the jobs that write to one host, one after the other, on one
// connection that may write, which is made for the first job and closed when
// there has been none for a while. It is safe for concurrent use.
//
// More than one at a time would be no faster: libvirtd holds one lock for all
// of its firewall rules, which it removes and loads again for each change of a
// running network. Ten changes took 2.7 s in a row, at once on one connection,
// at once on five, and at once on two networks (libvirt 9.0.0). It takes one
// <host> in a call.
type clerk struct {
	endpoint endpoint
	options  Options
	keep     time.Duration
	turn     chan struct{} // holds an element while somebody has the turn
	waiting  atomic.Int32

	// Whose turn it is may touch these.
	connection *connection
	closing    *time.Timer
	fault      error // the host does not answer: the next Survey tries again
}

func newClerk(e endpoint, o Options) *clerk {
	return &clerk{endpoint: e.forWriting(), options: o, keep: keptOpen, turn: make(chan struct{}, 1)}
}

// do does a job when it is its turn. It returns soon after ctx ends. The job
// itself goes on then, to the end of the call that it is making, so that no
// other job's connection is closed; it gets ctx to look whether it may begin
// another.
func do[T any](ctx context.Context, c *clerk, job func(context.Context, *connection) (T, error)) (none T, err error) {
	if ctx.Err() != nil {
		return none, ctx.Err()
	}
	defer c.waiting.Add(-1)
	if c.waiting.Add(1) > maxWaiting {
		return none, fmt.Errorf("%w: %d reservations wait for %s already", sources.ErrUnreachable, maxWaiting, c.endpoint.label)
	}
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return none, ctx.Err()
	}
	if ctx.Err() != nil { // both were the case
		<-c.turn
		return none, ctx.Err()
	}
	done := make(chan answer[T], 1)
	go func() {
		value, err := work(ctx, c, job)
		<-c.turn
		done <- answer[T]{value, err}
	}()
	select {
	case a := <-done:
		return a.value, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// work does a job now.
func work[T any](ctx context.Context, c *clerk, job func(context.Context, *connection) (T, error)) (none T, err error) {
	if c.fault != nil {
		return none, c.fault
	}
	if err := c.open(ctx); err != nil {
		return none, err
	}
	defer func() { c.closing = time.AfterFunc(c.keep, c.hangUp) }()
	value, err := job(ctx, c.connection)
	if errors.As(err, new(*silenceError)) {
		// Whoever waits would wait as long, one after the other.
		c.fault = err
	}
	return value, err
}

// open makes the connection where there is none.
func (c *clerk) open(ctx context.Context) error {
	if c.closing != nil {
		c.closing.Stop()
	}
	if c.connection != nil && !c.connection.lost() {
		return nil
	}
	c.connection = nil
	made, err := connect(context.WithoutCancel(ctx), c.endpoint, c.options)
	if err != nil {
		c.fault = err
		return err
	}
	c.connection = made
	return nil
}

// hangUp closes the connection, unless a job is using it.
func (c *clerk) hangUp() {
	select {
	case c.turn <- struct{}{}:
	default:
		return
	}
	if c.connection != nil {
		c.connection.close()
		c.connection = nil
	}
	<-c.turn
}

// definitions is what a network is now, and what it will be when it is started
// again.
type definitions struct {
	live   *networkState // nil for a network that does not run
	config *networkState // nil for one that is gone when it is stopped
}

// each calls do with every definition there is, and with the flag by which
// virNetworkUpdate changes it.
func (d definitions) each(do func(networkState, golibvirt.NetworkUpdateFlags) error) error {
	if d.live != nil {
		if err := do(*d.live, golibvirt.NetworkUpdateAffectLive); err != nil {
			return err
		}
	}
	if d.config != nil {
		return do(*d.config, golibvirt.NetworkUpdateAffectConfig)
	}
	return nil
}

// current is the definition that Snapshot reads.
func (d definitions) current() networkState {
	if d.live != nil {
		return *d.live
	}
	return *d.config
}

// definitions reads a network: whether it runs and is kept, its XML, once or
// twice, and its leases if it runs.
func (c *connection) definitions(ctx context.Context, n golibvirt.Network) (definitions, error) {
	var d definitions
	active, err := c.networkIs(ctx, n, "active", c.remote.NetworkIsActive)
	if err != nil {
		return d, err
	}
	persistent, err := c.networkIs(ctx, n, "persistent", c.remote.NetworkIsPersistent)
	if err != nil {
		return d, err
	}
	if active {
		if d.live, err = c.definition(ctx, n, 0); err != nil {
			return d, err
		}
		list, err := c.leases(ctx, n)
		if err != nil {
			return d, err
		}
		for _, l := range list {
			d.live.leases = append(d.live.leases, leaseOf(l))
		}
	}
	if persistent {
		if d.config, err = c.definition(ctx, n, golibvirt.NetworkXMLInactive); err != nil {
			return d, err
		}
	}
	if d.live == nil && d.config == nil {
		return d, refuse("the network is being taken away")
	}
	return d, nil
}

func (c *connection) networkIs(ctx context.Context, n golibvirt.Network, what string, is func(golibvirt.Network) (int32, error)) (bool, error) {
	yes, err := call(ctx, c, fmt.Sprintf("ask whether network %q is %s of", n.Name, what), func() (int32, error) { return is(n) })
	if gone(err) {
		err = refuse("the network is gone")
	}
	return yes != 0, err
}

func (c *connection) definition(ctx context.Context, n golibvirt.Network, flags golibvirt.NetworkXMLFlags) (*networkState, error) {
	text, err := c.networkXMLOf(ctx, n, flags)
	if gone(err) {
		return nil, refuse("the network is gone")
	}
	if err != nil {
		return nil, err
	}
	parsed, err := parseNetwork(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", sources.ErrUnreachable, err)
	}
	return &networkState{network: parsed}, nil
}

// update adds a <host> to the static hosts of a network, or deletes it. An error
// of the daemon that says what it does not like means that nothing changed;
// after any other one that is not known.
func (c *connection) update(ctx context.Context, n golibvirt.Network, command golibvirt.NetworkUpdateCommand, index int, host string, flags golibvirt.NetworkUpdateFlags) error {
	_, err := call(ctx, c, fmt.Sprintf("update network %q of", n.Name), func() (struct{}, error) {
		return struct{}{}, c.remote.NetworkUpdateCompat(n, command, golibvirt.NetworkSectionIPDhcpHost, int32(index), host, flags)
	})
	e, ok := errors.AsType[*answerError](err)
	if !ok {
		return err
	}
	switch golibvirt.ErrorNumber(e.answer.Code) {
	case golibvirt.ErrOperationInvalid, golibvirt.ErrXMLError, golibvirt.ErrXMLDetail, golibvirt.ErrInvalidArg, golibvirt.ErrNoNetwork,
		golibvirt.ErrConfigUnsupported, golibvirt.ErrNoSupport, golibvirt.ErrOperationUnsupported:
		return refuse("%s", e)
	}
	return err
}
