package apply

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"allocsync/ipam"
	"allocsync/sync/plan"
)

// Defaults and bounds of Options.
const (
	defaultBatch    = 50
	maxBatch        = 500
	defaultAttempts = 4
	defaultBackoff  = 500 * time.Millisecond
	maxBackoff      = 30 * time.Second

	// maxUnsure is how many writes in a row may end without anybody knowing
	// what became of them, before NetBox counts as unusable. Finding one bad
	// row among 500 by halving takes fewer.
	maxUnsure = 20
	// writeTimeout bounds a write, and the look at what became of it. The target
	// has its own time limits below it.
	writeTimeout = 3 * time.Minute
	defaultGrace = writeTimeout
)

// Run carries approved out on target, one batch at a time: first the creates
// and updates of rows without an inside address, then those with one (it has to
// be there before), then the deletes.
//
// Good rows land whatever happens to others: a refused batch is sent again
// without the rows that NetBox names, or in halves. A write whose answer was
// lost is only sent again after the places or rows were read. Rows are read
// just before they are updated or deleted, and kept if somebody changed them.
//
// When ctx ends, the write in flight is brought to its end within o.Grace, its
// outcome is found out and reported, and the rest is skipped. Run never retries without a
// bound and never touches a row whose owner is not the one the change names.
func Run(ctx context.Context, target Target, approved plan.Approved, o Options) Result {
	changes := approved.Changes()
	r := &runner{ctx: ctx, target: target, o: o.withDefaults(), changes: changes, out: make([]Outcome, len(changes))}
	var cancel context.CancelFunc
	r.late, cancel = outlive(ctx, r.o.Grace)
	defer cancel()
	for _, b := range r.batches() {
		r.drain([]batch{b})
	}
	for i := range r.out {
		if r.out[i].Status == 0 {
			r.settle(i, Skipped, 0, "")
		}
	}
	return Result{Outcomes: r.out, Err: r.err}
}

// drain carries a batch, and what it falls apart into, to its end. Once the run
// is over, parts that may have been carried out already are looked at.
func (r *runner) drain(queue []batch) {
	for len(queue) > 0 && r.err == nil {
		next := queue[0]
		queue = append(r.carry(next), queue[1:]...)
		r.progress()
	}
	for _, b := range queue {
		if b.doubt() {
			r.giveUp(b, r.err)
		}
	}
}

func (o Options) withDefaults() Options {
	if o.Batch <= 0 {
		o.Batch = defaultBatch
	}
	o.Batch = min(o.Batch, maxBatch)
	if o.Attempts <= 0 {
		o.Attempts = defaultAttempts
	}
	if o.Backoff <= 0 {
		o.Backoff = defaultBackoff
	}
	if o.Grace <= 0 {
		o.Grace = defaultGrace
	}
	if o.Sleep == nil {
		o.Sleep = wait
	}
	return o
}

// runner is one run.
type runner struct {
	ctx     context.Context
	late    context.Context // outlives ctx by the grace period: for what is in flight
	target  Target
	o       Options
	changes []plan.Change
	out     []Outcome // by index of the change; Status 0 while open
	settled int
	unsure  int   // writes in a row of which nobody knows what became of them
	err     error // why the run ends early
	blind   error // why rows can no longer be read: not asked again
}

// batch is some rows of one action and kind.
type batch struct {
	action plan.Action
	kind   ipam.Kind
	rows   []int       // indexes of changes
	edits  []ipam.Edit // of an update, as found by look: parallel to rows
	tries  int         // writes that ended unsure
}

// doubt says that the batch may have been carried out already.
func (b batch) doubt() bool { return b.tries > 0 }

// batches cuts the changes into batches in the order in which they are sent.
// What the guard turns down is settled and in none.
func (r *runner) batches() []batch {
	var order []int
	for i, c := range r.changes {
		r.out[i].Change = c
		if reason := guard(c); reason != "" {
			r.settle(i, Refused, c.Before.ID, reason)
			continue
		}
		order = append(order, i)
	}
	slices.SortStableFunc(order, func(i, j int) int {
		a, b := r.changes[i], r.changes[j]
		return cmp.Or(
			cmp.Compare(stage(a), stage(b)),
			cmp.Compare(a.Action, b.Action),
			cmp.Compare(kindOf(a), kindOf(b)),
		)
	})
	var out []batch
	for _, i := range order {
		c := r.changes[i]
		last := len(out) - 1
		if last >= 0 && out[last].action == c.Action && out[last].kind == kindOf(c) &&
			stage(r.changes[out[last].rows[0]]) == stage(c) && len(out[last].rows) < r.o.Batch {
			out[last].rows = append(out[last].rows, i)
			continue
		}
		out = append(out, batch{action: c.Action, kind: kindOf(c), rows: []int{i}})
	}
	return out
}

// stage orders the changes: an inside address has to exist before the row that
// names it, and to outlive it: NetBox clears nat_inside when it is deleted, and
// the outside row would look as if somebody had changed it.
func stage(c plan.Change) int {
	switch {
	case c.Action != plan.Delete && !c.After.Attrs.Inside.IsValid():
		return 1
	case c.Action != plan.Delete:
		return 2
	case c.Before.Attrs.Inside.IsValid():
		return 3
	}
	return 4
}

func kindOf(c plan.Change) ipam.Kind {
	if c.Action == plan.Delete {
		return c.Before.Place.Kind
	}
	return c.After.Place.Kind
}

// carry tries one batch once and returns what is left of it to try again.
func (r *runner) carry(b batch) []batch {
	if r.ctx.Err() != nil {
		r.stop(b, r.ctx.Err())
		return nil
	}
	b, err := r.look(r.ctx, b)
	if err != nil {
		if r.ctx.Err() == nil {
			r.blind = err
		}
		r.stop(b, err)
		return nil
	}
	if len(b.rows) == 0 {
		return nil
	}
	if r.ctx.Err() != nil { // while the rows were looked at
		r.stop(b, r.ctx.Err())
		return nil
	}
	ctx, cancel := context.WithTimeout(r.late, writeTimeout)
	defer cancel()
	if err = r.write(ctx, b); err == nil {
		r.unsure = 0
		return nil
	}
	if named, ok := refusals(err); ok {
		r.unsure = 0
		return r.refused(b, named, err)
	}
	if isUnsure(err) {
		return r.lost(b, err)
	}
	for _, i := range b.rows {
		r.settle(i, Refused, r.changes[i].Before.ID, err.Error())
	}
	r.err = fmt.Errorf("%s %ss: %w", b.action, b.kind, err)
	return nil
}

// look settles what needs no writing, or must not be written, and returns the
// rest.
func (r *runner) look(ctx context.Context, b batch) (batch, error) {
	switch b.action {
	case plan.Create:
		return r.lookCreate(ctx, b)
	case plan.Update:
		return r.lookUpdate(ctx, b)
	}
	return r.lookDelete(ctx, b)
}

// write sends a batch and settles its rows if that went well.
func (r *runner) write(ctx context.Context, b batch) error {
	switch b.action {
	case plan.Create:
		return r.create(ctx, b)
	case plan.Update:
		return r.update(ctx, b)
	}
	return r.remove(ctx, b)
}

// refused settles the rows that NetBox named, and returns the others; where it
// named none, both halves.
func (r *runner) refused(b batch, named map[int]string, err error) []batch {
	if len(named) == 0 {
		if len(b.rows) > 1 {
			return b.halves()
		}
		named = map[int]string{0: err.Error()}
	}
	rest := batch{action: b.action, kind: b.kind, tries: b.tries}
	bad := rest
	words := map[int]string{}
	for at, i := range b.rows {
		if text, ok := named[at]; ok {
			bad.rows = append(bad.rows, i)
			words[i] = text
			continue
		}
		rest.rows = append(rest.rows, i)
	}
	if len(bad.rows) == 0 { // only indexes outside the batch: not to be believed
		return r.refused(b, nil, err)
	}
	// A row may be refused because somebody deleted it a moment ago, because a
	// write whose answer was lost has made it after all, or because another run
	// of this installation has just made the very same one.
	ctx, cancel := context.WithTimeout(r.late, writeTimeout)
	defer cancel()
	look := r.look
	if bad.action == plan.Create && !bad.doubt() {
		look = r.lookTwins
	}
	bad.tries = max(bad.tries, 1)
	if left, err := look(ctx, bad); err == nil {
		bad = left
	}
	for _, i := range bad.rows {
		r.settle(i, Refused, r.changes[i].Before.ID, words[i])
	}
	if len(rest.rows) == 0 {
		return nil
	}
	return []batch{rest}
}

// lost deals with a write of which nobody knows what became of it: wait, and
// return the batch to be looked at and sent again; from the second time on in
// halves, so that one row on which NetBox chokes does not take the others with
// it.
func (r *runner) lost(b batch, err error) []batch {
	b.tries++
	r.unsure++
	b.edits = nil
	if r.unsure >= maxUnsure {
		r.giveUp(b, err)
		r.err = fmt.Errorf("%s %ss: %d writes in a row failed: %w", b.action, b.kind, r.unsure, err)
		return nil
	}
	if len(b.rows) == 1 && b.tries >= r.o.Attempts || r.ctx.Err() != nil {
		r.giveUp(b, err)
		return nil
	}
	if r.o.Sleep(r.ctx, r.pause(err)) != nil {
		r.giveUp(b, err)
		return nil
	}
	if b.tries > 1 && len(b.rows) > 1 {
		return b.halves()
	}
	return []batch{b}
}

// pause is how long to wait after the unsure write that was just counted.
func (r *runner) pause(err error) time.Duration {
	pause := r.o.Backoff
	for i := 1; i < r.unsure && pause < maxBackoff; i++ {
		pause *= 2
	}
	return max(min(pause, maxBackoff), min(retryAfter(err), 2*maxBackoff))
}

// giveUp finds out what became of a batch and settles it for good. It does so
// also when the run was cancelled: the write was in flight by then.
func (r *runner) giveUp(b batch, err error) {
	ctx, cancel := context.WithTimeout(r.late, writeTimeout)
	defer cancel()
	left, text := b, err.Error()
	if r.blind == nil {
		left, r.blind = r.look(ctx, b)
	}
	if r.blind != nil {
		left, text = b, fmt.Sprintf("it is not known whether this was done: %s; and it could not be looked up: %s", err, r.blind)
		r.err = cmp.Or(r.err, fmt.Errorf("%s %ss: %w", b.action, b.kind, r.blind))
	}
	for _, i := range left.rows {
		r.settle(i, Failed, r.changes[i].Before.ID, text)
	}
	if r.ctx.Err() != nil {
		r.err = r.ctx.Err()
	}
}

// stop ends the run before b could be sent (again).
func (r *runner) stop(b batch, err error) {
	if r.ctx.Err() != nil {
		err = r.ctx.Err()
	}
	r.err = err
	if b.doubt() {
		r.giveUp(b, err)
	}
}

func (b batch) halves() []batch {
	middle := len(b.rows) / 2
	first, second := b, b
	first.rows, second.rows = b.rows[:middle:middle], b.rows[middle:]
	first.edits, second.edits = nil, nil
	return []batch{first, second}
}

// settle writes down what became of a change, once.
func (r *runner) settle(i int, status Status, id int, detail string) {
	r.out[i] = Outcome{Change: r.changes[i], Status: status, ID: id, Detail: detail}
	r.settled++
	if r.o.Log != nil {
		r.o.Log(r.out[i])
	}
}

func (r *runner) progress() {
	if r.o.Progress != nil {
		r.o.Progress(r.settled, len(r.out))
	}
}
