package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"allocsync/netbox"
	"allocsync/sources"
	"allocsync/sync/worker"
	"allocsync/webhook"
)

const (
	// turnTime is how long a request waits for a pass that is under way, and for
	// the requests before it.
	turnTime = time.Minute
	// deskTime is how long it may take then.
	deskTime = 2 * time.Minute
	// laterTime is what a caller is told to wait who came at a bad time.
	laterTime = 15 * time.Second
)

// counter takes requests for reservations from outside, one at a time and never
// while a pass runs: both would read the same and then each write its part.
type counter struct {
	*service
	turn chan struct{} // held by the request that waits for the passes, or works
	wait time.Duration // as turnTime
}

func (s *service) reservations() *webhook.Reservations {
	c := &counter{s, make(chan struct{}, 1), turnTime}
	return &webhook.Reservations{List: c.list, Reserve: c.reserve, Release: c.release}
}

// enter waits until nothing else runs, and returns what is in force then. What
// was entered is to be left.
func (c *counter) enter(ctx context.Context) (g *generation, leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, c.wait)
	defer cancel()
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, busy()
	}
	end := func() { c.passing.Unlock(); <-c.turn }
	locked := make(chan struct{})
	go func() { c.passing.Lock(); close(locked) }()
	select {
	case <-locked:
	case <-ctx.Done():
		go func() { <-locked; end() }() // the turn is kept until then: one goroutine waits, not many
		return nil, nil, busy()
	}
	if g = c.current(); g.over.Err() != nil {
		end()
		return nil, nil, &webhook.Problem{Status: http.StatusServiceUnavailable, Text: "allocsync ends, or takes a new configuration; nothing was done", Wait: laterTime}
	}
	return g, end, nil
}

func busy() error {
	return &webhook.Problem{Status: http.StatusServiceUnavailable, Text: "a pass, or another request, is under way and takes its time; nothing was done", Wait: laterTime}
}

// desk does one request under the configuration g, and ends with it.
func (c *counter) desk(ctx context.Context, g *generation, what string) (context.Context, func(), desk) {
	ctx, cancel := context.WithTimeout(ctx, deskTime)
	stop := context.AfterFunc(g.over, cancel)
	logged := newLogged(c.log.With().Str("request", what).Logger(), c.program.stderr)
	return ctx, func() { stop(); cancel() }, localDesk{g.setting, func(only []string) *worker.Pass {
		pass := g.pass(only, logged)
		pass.Apply.Grace = g.config.Serve.Grace
		return pass
	}}
}

func (c *counter) list(ctx context.Context, source, address string) (list webhook.ReservationList, err error) {
	if _, err := addressOf(address); err != nil {
		return list, malformed(err)
	}
	g, leave, err := c.enter(ctx)
	if err != nil {
		return list, err
	}
	defer leave()
	ctx, cancel, d := c.desk(ctx, g, "reservations")
	defer cancel()
	list, err = d.list(ctx, source, address)
	return list, problemOf(err)
}

func (c *counter) reserve(ctx context.Context, wanted webhook.ReservationRequest) (made webhook.Reservation, fresh bool, err error) {
	if _, err := requestOf(wanted); err != nil {
		return made, false, malformed(err)
	}
	g, leave, err := c.enter(ctx)
	if err != nil {
		return made, false, err
	}
	defer leave()
	// From here on it goes to its end, whether the caller waits for it or not.
	ctx, cancel, d := c.desk(context.WithoutCancel(ctx), g, "reserve")
	defer cancel()
	made, fresh, err = d.reserve(ctx, wanted)
	if err == nil && fresh {
		c.changed(wanted.Source, made.Address+" was reserved")
	}
	if errors.Is(err, worker.ErrUnfinished) {
		c.changed(wanted.Source, "a reservation is to be finished")
	}
	return made, fresh, problemOf(err)
}

func (c *counter) release(ctx context.Context, source, address string) (gone webhook.Reservation, err error) {
	if _, err := addressOf(address); err != nil {
		return gone, malformed(err)
	}
	g, leave, err := c.enter(ctx)
	if err != nil {
		return gone, err
	}
	defer leave()
	ctx, cancel, d := c.desk(context.WithoutCancel(ctx), g, "release")
	defer cancel()
	gone, err = d.release(ctx, source, address)
	switch {
	case err == nil:
		c.changed(source, gone.Address+" was released")
	case errors.Is(err, worker.ErrUnfinished):
		c.changed(source, "a release is to be finished")
	}
	return gone, problemOf(err)
}

// changed has a pass bring page and metrics up to date, and NetBox where the
// source now hands out something else.
func (c *counter) changed(source, what string) {
	c.loop.Want(worker.Trigger{Kind: worker.KindWebhook, Detail: "API: " + what, Sources: []string{source}})
}

func malformed(err error) error {
	return &webhook.Problem{Status: http.StatusBadRequest, Text: err.Error()}
}

// problemOf says what the caller is told of an error. One that is in no list is
// told to nobody but the log.
func problemOf(err error) error {
	if err == nil {
		return nil
	}
	p := &webhook.Problem{Text: err.Error()}
	var server *netbox.Error
	is := func(causes ...error) bool {
		for _, cause := range causes {
			if errors.Is(err, cause) {
				return true
			}
		}
		return false
	}
	switch {
	case is(worker.ErrUnfinished):
		p.Status, p.Unfinished, p.Wait = http.StatusServiceUnavailable, true, laterTime
	case is(worker.ErrRequest, sources.ErrRefused, sources.ErrNoChoice, netbox.ErrFull):
		p.Status = http.StatusConflict
	case is(sources.ErrUnreachable, sources.ErrDenied):
		p.Status = http.StatusBadGateway
	case is(context.Canceled, context.DeadlineExceeded):
		p.Status, p.Wait = http.StatusServiceUnavailable, laterTime
	case is(netbox.ErrDenied, netbox.ErrFields), errors.As(err, &server):
		p.Status = http.StatusBadGateway
	default:
		return err
	}
	return p
}
