package lxd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"

	"allocsync/sources"
)

// How Watch listens, and how it comes back to a server that is away.
const (
	firstPause = 500 * time.Millisecond
	maxPause   = time.Minute // and how long a connection lasts that was a good one

	// maxSilence is how long nothing may come: the server pings every 10 s.
	maxSilence = 30 * time.Second
	// maxUnheard is how long to wait for the first ping. The server sends it
	// when it has put the listener on its list, a little after the upgrade.
	maxUnheard = time.Second

	maxMessage = 1 << 20 // bytes; real ones take some hundred

	// rest is the shortest time from one call of changed to the next: a
	// thousand events in a second are a few calls.
	rest = 250 * time.Millisecond
)

// looks says when to look again after an event that may be followed by a
// lease, which no event tells of: 2, 6, 15 and 40 s after it, each from the
// one before. Incus lets dnsmasq hand out a lease without trying the address
// first, so a container that boots fast has it half a second after its start
// (measured with Incus 6.0.4), a virtual machine when it has booted.
func looks() []time.Duration {
	return []time.Duration{2 * time.Second, 4 * time.Second, 9 * time.Second, 25 * time.Second}
}

// Watch calls changed when the server tells of something that addresses can
// change with, once after it has begun to listen, and four times in the 40 s
// after an instance has started, since the server does not tell of leases.
// Calls are at least 250 ms apart.
//
// It returns when ctx ends, with ctx.Err(), or when the server knows no events.
// To a server that does not trust this client it comes back each minute.
func (s *Source) Watch(ctx context.Context, changed func(), listening func(error)) error {
	heard := news{change: make(chan struct{}, 1), start: make(chan struct{}, 1)}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.listen(ctx, heard, listening) })
	group.Go(func() error { return heard.pass(ctx, changed) })
	return group.Wait()
}

// meaning is what a message means for the addresses.
type meaning int

const (
	idle   meaning = iota // nothing
	change                // the list may be another one now
	start                 // and again in a while, when a lease has been taken
)

// news is what was heard and not yet passed on. Each channel holds one
// element: that there is something, not how often it was said.
type news struct{ change, start chan struct{} }

// add never blocks: the server drops a listener that does not read for 5 s.
func (n news) add(m meaning) {
	if m == idle {
		return
	}
	if m == start {
		select {
		case n.start <- struct{}{}:
		default:
		}
	}
	select {
	case n.change <- struct{}{}:
	default:
	}
}

// pass calls changed, never twice at the same time, until ctx ends.
func (n news) pass(ctx context.Context, changed func()) error {
	var later []time.Duration
	look := time.NewTimer(0)
	look.Stop()
	defer look.Stop()
	for {
		next := false // the timer is to be set
		select {
		case <-n.change:
		case <-look.C:
			later, next = later[1:], true
		case <-ctx.Done():
		}
		// One call stands for all that is there by now.
		select {
		case <-n.change:
		default:
		}
		select {
		case <-n.start:
			later, next = looks(), true
		default:
		}
		if next && len(later) > 0 {
			look.Reset(later[0])
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		changed()
		select {
		case <-time.After(rest):
		case <-ctx.Done():
		}
	}
}

// listen listens until ctx ends or the server turns out to know no events.
func (s *Source) listen(ctx context.Context, heard news, listening func(error)) error {
	pause, first := firstPause, change
	said := "" // why it does not listen
	for {
		lasted, err := s.connect(ctx, heard.add, first, func() {
			said = ""
			listening(nil)
		})
		unknown, refused := errors.AsType[*answerError](err)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case refused && unknown.code == http.StatusNotFound && unknown.text != "":
			// Said by the server itself, not by a proxy before one that is away.
			return fmt.Errorf("watch %s: %w; this server does not tell of changes: they are found on schedule", s.client.url, err)
		case errors.Is(err, sources.ErrDenied): // it may be trusted later
			pause = maxPause
		case lasted > maxPause:
			pause = firstPause
		}
		if err.Error() != said {
			said = err.Error()
			listening(err)
		}
		if lasted > 0 {
			first = start // an instance may have started while nobody listened
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2)): // not all installations at once
		case <-ctx.Done():
			return ctx.Err()
		}
		pause = min(2*pause, maxPause)
	}
}

// connect listens over one connection until it is lost, and returns how long
// it lasted, 0 if it never stood. It calls up when it stands, and tells of first
// when the server listens.
func (s *Source) connect(ctx context.Context, tell func(meaning), first meaning, up func()) (time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	begin := sync.OnceFunc(func() { tell(first) })
	silence := time.AfterFunc(s.options.Timeout, func() { cancel(sources.ErrOutOfTime) })
	defer silence.Stop()
	alive := func() {
		silence.Reset(maxSilence)
		begin()
	}
	connection, err := s.client.dial(ctx, alive)
	if err != nil {
		return 0, err
	}
	defer func() { _ = connection.CloseNow() }() // it is lost already, or nobody wants it any more
	since := time.Now()
	up()
	silence.Reset(maxSilence)
	unheard := time.AfterFunc(maxUnheard, begin)
	defer unheard.Stop()
	for {
		_, message, err := connection.Read(ctx)
		if err != nil {
			return max(time.Since(since), 1), err
		}
		alive()
		tell(s.meaning(message))
	}
}

// dial asks for the events of all projects. A restricted certificate is sent
// those of its own projects (Incus 6.0.4). alive is called at each ping.
// https://linuxcontainers.org/incus/docs/main/events/
func (c *client) dial(ctx context.Context, alive func()) (*websocket.Conn, error) {
	target := at("events") + "?" + url.Values{"type": {"lifecycle"}, "all-projects": {"true"}}.Encode()
	connection, answer, err := websocket.Dial(ctx, c.rest.BaseURL+target, &websocket.DialOptions{
		HTTPClient:     c.events,
		HTTPHeader:     http.Header{"User-Agent": {"allocsync"}},
		OnPingReceived: func(context.Context, []byte) bool { alive(); return true },
	})
	if err == nil {
		connection.SetReadLimit(maxMessage)
		return connection, nil
	}
	switch {
	case ctx.Err() != nil:
		err = sources.Ended(ctx, c.timeout)
	case answer != nil && answer.StatusCode != http.StatusSwitchingProtocols:
		body, _ := io.ReadAll(answer.Body) // at most 1 KiB, which the library has read already
		if err = decode(answer.StatusCode, body, new(any)); err == nil {
			err = fmt.Errorf("%w: it answers %d and no websocket", sources.ErrUnreachable, answer.StatusCode)
		}
	default:
		err = reached(err)
	}
	return nil, c.failed("read", target, err)
}

// event is what is used of one message.
// https://linuxcontainers.org/incus/docs/main/events/#event-structure
type event struct {
	Type     string `json:"type"`
	Project  string `json:"project"` // "" for what belongs to no project
	Metadata struct {
		Action string `json:"action"`
	} `json:"metadata"`
}

// parse reads a message, and reports whether it is understood.
func parse(message []byte) (event, bool) {
	var e event
	if err := json.Unmarshal(message, &e); err != nil {
		return event{}, false
	}
	return e, e.Metadata.Action != "" || !e.lifecycle()
}

func (e event) lifecycle() bool { return e.Type == "" || e.Type == "lifecycle" }

// meaning judges a message. One that is not understood may mean anything: a
// pass too many is better than one too few.
func (s *Source) meaning(message []byte) meaning {
	e, known := parse(message)
	switch {
	case !known:
		return start
	case e.lifecycle() && s.concerns(e):
		return e.meaning()
	}
	return idle
}

// concerns reports whether an event can be of a project that is read. The
// default project always counts: others use its networks and profiles.
func (s *Source) concerns(e event) bool {
	if len(s.options.Projects) == 0 || e.Project == "" || e.Project == defaultProject || slices.Contains(s.options.Projects, e.Project) {
		return true
	}
	return !slices.ContainsFunc([]string{"instance-", "network-", "profile-"}, func(prefix string) bool {
		return strings.HasPrefix(e.Metadata.Action, prefix)
	})
}

// meaning goes by the names of the actions. What is not known, such as an
// action of a later version, counts as a change.
func (e event) meaning() meaning {
	action := e.Metadata.Action
	if slices.ContainsFunc(idleActions(), func(prefix string) bool { return strings.HasPrefix(action, prefix) }) {
		return idle
	}
	switch action {
	case "instance-deleted", "instance-renamed", "instance-stopped", "instance-shutdown":
		return change
	case "profile-updated": // it may plug NICs into instances that run
		return start
	}
	if strings.HasPrefix(action, "instance-") {
		return start
	}
	return change
}

// idleActions lists the beginnings of the actions that no address changes with.
// https://linuxcontainers.org/incus/docs/main/events/#supported-life-cycle-events
func idleActions() []string {
	return []string{
		"image-", "operation-", "storage-", "warning-", "cluster-token-", "cluster-group-", "placement-group-",
		"instance-backup-", "instance-console", "instance-exec", "instance-file-", "instance-log-", "instance-metadata-",
		"instance-paused", "instance-snapshot-",
		"network-acl-", "network-address-set-", "network-integration-", "network-peer-", "network-zone-",
	}
}
