package reserve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"allocsync/ipam"
	"allocsync/sources"
	"allocsync/sync/apply"
	"allocsync/sync/plan"
)

const (
	// batch is how many reservations are noted in the ledger at once, before
	// and after the source is asked: each note waits for the disk.
	batch = 50
	// parallel is how many reservations of one source are made at once.
	parallel = 4
	// callTime bounds one reservation, also once the run is told to stop: what
	// was begun at the source is brought to its end.
	callTime = 2 * time.Minute
)

// Runner carries out what was approved.
type Runner struct {
	Ledger   Ledger
	Desks    map[string]sources.Desk // by owner
	Now      func() time.Time
	Progress func(done, total int) // may be nil
	Log      func(apply.Outcome)   // called once for every outcome; may be nil
}

// Result is what became of it: one outcome for each change, in the order of the
// plan, and the changes to the rows of NetBox whose reservations were made.
type Result struct {
	apply.Result
	Made   []ipam.Reservation // in the order of the plan
	Filled []plan.Change
}

// Run releases, then changes, then reserves: an address or a MAC has to be free
// before another can have it. Sources are dealt with side by side. When ctx
// ends, what is under way is brought to its end, and the rest is skipped.
func (r Runner) Run(ctx context.Context, p Proposal, approved []plan.Change) Result {
	x := &run{Runner: r, ctx: ctx, proposal: p, out: make([]apply.Outcome, len(approved)), filled: make([]plan.Change, len(approved)), made: make([]ipam.Reservation, len(approved))}
	x.record(p.Adopt, p.Forget)
	owners := map[string][]int{}
	for i, c := range approved {
		x.out[i] = apply.Outcome{Change: c, Status: apply.Skipped}
		owners[c.Owner] = append(owners[c.Owner], i)
	}
	var group sync.WaitGroup
	for owner, changes := range owners {
		group.Go(func() { x.source(r.Desks[owner], changes) })
	}
	group.Wait()
	for _, o := range x.out {
		if r.Log != nil {
			r.Log(o)
		}
	}
	result := Result{Result: apply.Result{Outcomes: x.out, Err: x.err}}
	for i, c := range x.filled {
		if c.Action != 0 {
			result.Filled = append(result.Filled, c)
		}
		if x.made[i].Addr.IsValid() {
			result.Made = append(result.Made, x.made[i])
		}
	}
	if ctx.Err() != nil && result.Count(apply.Skipped) > 0 {
		result.Err = errors.Join(result.Err, ctx.Err())
	}
	return result
}

// run is one Run.
type run struct {
	Runner
	ctx      context.Context
	proposal Proposal

	// Parallel to the approved changes; each is written by one goroutine.
	out    []apply.Outcome
	filled []plan.Change
	made   []ipam.Reservation

	mu   sync.Mutex
	err  error
	done int
}

func (x *run) stop(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.err = errors.Join(x.err, err)
}

func (x *run) over() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.err != nil || x.ctx.Err() != nil
}

// source carries out the changes of one source, by their indexes: what is to be
// given up first.
func (x *run) source(desk sources.Desk, changes []int) {
	if desk == nil {
		return
	}
	is := func(actions ...plan.Action) []int {
		return slices.DeleteFunc(slices.Clone(changes), func(i int) bool { return !slices.Contains(actions, x.out[i].Change.Action) })
	}
	x.batches(is(plan.Delete, plan.Update), func(some []int) { x.releases(desk, some) })
	wanted := slices.DeleteFunc(is(plan.Update, plan.Create), func(i int) bool { return x.out[i].Status != apply.Skipped })
	x.batches(wanted, func(some []int) { x.reserves(desk, some) })
}

func (x *run) batches(changes []int, do func([]int)) {
	for some := range slices.Chunk(changes, batch) {
		if x.over() {
			return
		}
		do(some)
	}
}

// releases gives reservations up, and forgets those that are gone.
func (x *run) releases(desk sources.Desk, changes []int) {
	var gone []Entry
	x.each(changes, func(ctx context.Context, i int) {
		c := x.out[i].Change
		held := x.proposal.held[c.Before.ID]
		if err := desk.Release(ctx, held); err != nil {
			x.failed(i, err)
			return
		}
		if c.Action == plan.Delete {
			x.out[i].Status = apply.Done
		} else {
			x.out[i].Detail = "released, and not reserved anew; the next pass does"
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		gone = append(gone, Entry{Owner: c.Owner, Wish: held})
	})
	x.record(nil, gone)
}

// reserves notes what is about to be made, makes it, and notes what was made.
func (x *run) reserves(desk sources.Desk, changes []int) {
	intents := make(map[int]Entry, len(changes))
	var list []Entry
	for _, i := range changes {
		intents[i] = x.intent(x.out[i].Change)
		list = append(list, intents[i])
	}
	if !x.record(list, nil) {
		return
	}
	var made, refused []Entry
	x.each(changes, func(ctx context.Context, i int) {
		e := intents[i]
		held, err := desk.Reserve(ctx, e.Wish)
		if err == nil && (held.Addr != e.Wish.Addr || held.Network != e.Wish.Network) {
			err = fmt.Errorf("the source was asked to hold %s and says that it holds %s", e.Wish, held)
		}
		if err == nil {
			x.succeeded(i, held)
		} else {
			x.failed(i, err)
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		switch {
		case err == nil && !held.Unmarkable && held.Mark != e.Wish.Mark: // made by somebody else meanwhile
			refused = append(refused, e)
		case err == nil:
			held.InUse = "" // of the moment
			e.Wish, e.Made = held, true
			made = append(made, e)
		case !unsure(err): // else the intent stays: it may be held by now
			refused = append(refused, e)
		}
	})
	for _, i := range changes {
		if x.out[i].Status == apply.Skipped { // was not begun
			refused = append(refused, intents[i])
		}
	}
	// Where this cannot be written the intents stand there, and the next pass
	// finds out what was made.
	x.record(made, refused)
}

// each does something for every change, some side by side. Once the run is told
// to stop, it begins no more.
func (x *run) each(changes []int, do func(context.Context, int)) {
	var group errgroup.Group
	group.SetLimit(parallel)
	for _, i := range changes {
		group.Go(func() error {
			if x.ctx.Err() != nil {
				return nil
			}
			ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx), callTime)
			defer cancel()
			do(ctx, i)
			x.progress(i)
			return nil
		})
	}
	_ = group.Wait() // no function returns an error
}

// record writes the ledger, and ends the run where that cannot be done.
func (x *run) record(put, forget []Entry) bool {
	if len(put)+len(forget) == 0 {
		return true
	}
	if err := x.Ledger.Change(put, forget); err != nil {
		x.stop(fmt.Errorf("write the ledger of reservations: %w", err))
		return false
	}
	return true
}

func (x *run) progress(i int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.out[i].Status == apply.Skipped { // the first half of an update
		return
	}
	x.done++
	if x.Progress != nil {
		x.Progress(x.done, len(x.out))
	}
}

// intent is the entry of what a change is about to make.
func (x *run) intent(c plan.Change) Entry {
	w := x.proposal.wishes[key{c.Owner, c.After.Place}]
	return Entry{Owner: c.Owner, Wish: w.Reservation, VRF: c.After.Place.VRF, Row: w.row.ID, Since: x.Now()}
}

// succeeded notes what was made, and what the row that asked has to say of it.
func (x *run) succeeded(i int, made ipam.Reservation) {
	x.out[i].Status, x.out[i].Detail, x.made[i] = apply.Done, "", made
	c := x.out[i].Change
	row := x.proposal.wishes[key{c.Owner, c.After.Place}].row
	x.out[i].ID = row.ID
	if row.Owner == "" {
		x.filled[i] = plan.Filled(c.Owner, row, ipam.Attrs{UsedBy: made.Ref, Type: made.Type, MAC: made.MAC})
	}
}

func (x *run) failed(i int, err error) {
	x.out[i].Status, x.out[i].Detail = apply.Refused, err.Error()
	x.out[i].Denied = errors.Is(err, sources.ErrDenied)
	if unsure(err) {
		x.out[i].Status = apply.Failed
	}
}

// unsure reports whether after err nobody knows what the source did.
func unsure(err error) bool {
	return !errors.Is(err, sources.ErrRefused) && !errors.Is(err, sources.ErrDenied) && !errors.Is(err, sources.ErrNoChoice)
}
