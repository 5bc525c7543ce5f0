package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	bar "github.com/jedib0t/go-pretty/v6/progress"
	"github.com/rs/zerolog"

	"allocsync/ipam"
	"allocsync/netbox"
	"allocsync/report"
	"allocsync/sync/apply"
	"allocsync/sync/plan"
	"allocsync/sync/worker"
)

// progress tells on standard error what a pass is doing: in words and with a
// bar where a person looks at a terminal, and as JSON lines elsewhere. It may
// be used by several goroutines at once.
type progress struct {
	mu     sync.Mutex
	person bool
	w      io.Writer
	log    zerolog.Logger

	bar     bar.Writer
	tracker *bar.Tracker
}

func newProgress(w io.Writer) *progress {
	return &progress{
		person: terminal(w),
		w:      w,
		log:    zerolog.New(zerolog.SyncWriter(w)).With().Timestamp().Logger(),
	}
}

// phase says what is being done.
func (p *progress) phase(ph worker.Phase) {
	switch {
	case p.person && ph.Err != nil:
		p.say("! " + ph.Text + ": " + ph.Err.Error())
	case p.person:
		p.say("  " + ph.Text)
	case ph.Err != nil:
		p.log.Error().Err(ph.Err).Msg(ph.Text)
	default:
		p.log.Info().Msg(ph.Text)
	}
}

func (p *progress) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(p.w, report.Printable(text))
}

// retry says that NetBox is asked once more.
func (p *progress) retry(r netbox.Retry) {
	if p.person {
		p.say(fmt.Sprintf("  NetBox: %v; trying again in %s", r.Err, r.Wait.Round(time.Millisecond)))
		return
	}
	p.log.Warn().Err(r.Err).Int("attempt", r.Attempt).Dur("wait_ms", r.Wait).Msg("NetBox is asked again")
}

// batch moves the bar. It draws nothing where no person looks: there every row
// has a line of its own.
func (p *progress) batch(done, total int) {
	if !p.person {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil {
		p.bar = bar.NewWriter()
		p.bar.SetOutputWriter(p.w)
		p.bar.SetAutoStop(false)
		p.bar.SetUpdateFrequency(100 * time.Millisecond)
		p.tracker = &bar.Tracker{Message: "Writing to NetBox", Total: int64(total)}
		p.bar.AppendTracker(p.tracker)
		go p.bar.Render()
	}
	p.tracker.SetValue(int64(done))
}

// stop ends the bar, so that the report starts on a line of its own. All says
// whether everything was tried.
func (p *progress) stop(all bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil {
		return
	}
	if all {
		p.tracker.MarkAsDone()
	} else {
		p.tracker.MarkAsErrored()
	}
	for !p.bar.IsRenderInProgress() {
		time.Sleep(time.Millisecond) // Render runs in its own goroutine and may not have begun
	}
	p.bar.Stop()
	for p.bar.IsRenderInProgress() {
		time.Sleep(time.Millisecond)
	}
	p.bar, p.tracker = nil, nil
}

// outcome logs one change in NetBox with its before and after, where no person
// looks.
func (p *progress) outcome(o apply.Outcome) {
	if p.person {
		return
	}
	event := p.log.Info()
	if o.Status != apply.Done {
		event = p.log.Warn()
	}
	c := o.Change
	r := c.Record()
	event = event.
		Str("action", c.Action.String()).
		Str("status", o.Status.String()).
		Str("address", r.CIDR().String()).
		Str("kind", r.Place.Kind.String()).
		Str("used_by", string(r.Attrs.UsedBy)).
		Str("owner", c.Owner).
		Str("reason", string(c.Reason)).
		Int("id", o.ID)
	if r.Place.VRF != "" {
		event = event.Str("vrf", r.Place.VRF)
	}
	if fields := c.Fields(); len(fields) > 0 {
		before, after := zerolog.Dict(), zerolog.Dict()
		for _, f := range fields {
			before, after = before.Str(f.Name, f.Old), after.Str(f.Name, f.New)
		}
		if c.Before.ID != 0 {
			event = event.Dict("before", before)
		}
		event = event.Dict("after", after)
	} else {
		event = event.Dict("before", dictOf(c.Before.Record))
	}
	if o.Detail != "" {
		event = event.Str("detail", o.Detail)
	}
	event.Msg("row " + o.Status.String())
}

// reservation logs one change at a source, where no person looks. The number
// that the planner gave the reservation means nothing outside.
func (p *progress) reservation(o apply.Outcome) {
	if p.person {
		return
	}
	c := o.Change
	r := c.Record()
	action, done := report.Deed(c.Action)
	event, text := p.log.Info(), done
	if o.Status != apply.Done {
		event, text = p.log.Warn(), "reservation "+o.Status.String()
	}
	event = event.
		Str("action", action).
		Str("status", o.Status.String()).
		Str("address", r.CIDR().String()).
		Str("for", string(r.Attrs.UsedBy)).
		Str("source", c.Owner).
		Str("reason", string(c.Reason))
	if o.ID != 0 {
		event = event.Int("id", o.ID)
	}
	if r.Place.VRF != "" {
		event = event.Str("vrf", r.Place.VRF)
	}
	if c.Action != plan.Create {
		event = event.Dict("before", reservationDict(c.Before.Record))
	}
	if c.Action != plan.Delete {
		event = event.Dict("after", reservationDict(c.After))
	}
	if o.Detail != "" {
		event = event.Str("detail", o.Detail)
	}
	event.Msg(text)
}

// reservationDict is a reservation in the log.
func reservationDict(r ipam.Record) *zerolog.Event {
	d := zerolog.Dict().Str("address", r.CIDR().String()).Str("for", string(r.Attrs.UsedBy))
	if r.Attrs.MAC != "" {
		d = d.Str("hwaddr", string(r.Attrs.MAC))
	}
	return d
}

// dictOf is a row as it was before it was deleted.
func dictOf(r ipam.Record) *zerolog.Event {
	d := zerolog.Dict()
	empty := ipam.Stored{Record: ipam.Record{Place: r.Place, Attrs: ipam.Attrs{Mask: r.Attrs.Mask}}}
	for _, f := range (ipam.Edit{Before: empty, After: r}).Fields() {
		d = d.Str(f.Name, f.New)
	}
	return d
}
