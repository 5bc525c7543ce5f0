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
	if err := r.Ledger.Change(p.Adopt, p.Forget); err != nil {
		x.stop(fmt.Errorf("write the ledger of reservations: %w", err))
	}
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

// source carries out the changes of one source, by their indexes.
func (x *run) source(desk sources.Desk, changes []int) {
	slices.SortStableFunc(changes, func(i, j int) int { return int(x.out[j].Change.Action) - int(x.out[i].Change.Action) })
	for _, action := range []plan.Action{plan.Delete, plan.Update, plan.Create} {
		of := slices.DeleteFunc(slices.Clone(changes), func(i int) bool { return x.out[i].Change.Action != action })
		for some := range slices.Chunk(of, batch) {
			if desk == nil || x.over() {
				return
			}
			x.batch(desk, some)
		}
	}
}

// batch notes what is about to be made, makes it, and notes what was made.
func (x *run) batch(desk sources.Desk, changes []int) {
	var intents []Entry
	for _, i := range changes {
		if e, ok := x.intent(x.out[i].Change); ok {
			intents = append(intents, e)
		}
	}
	if err := x.Ledger.Change(intents, nil); err != nil {
		x.stop(fmt.Errorf("write the ledger of reservations: %w", err))
		return
	}
	var mu sync.Mutex
	var put, forget []Entry
	var group errgroup.Group
	group.SetLimit(parallel)
	for _, i := range changes {
		group.Go(func() error {
			if x.ctx.Err() != nil {
				return nil
			}
			made, gone := x.one(desk, i)
			mu.Lock()
			put, forget = append(put, made...), append(forget, gone...)
			mu.Unlock()
			x.progress()
			return nil
		})
	}
	_ = group.Wait() // no function returns an error
	if err := x.Ledger.Change(put, forget); err != nil {
		// The intents stand there: the next pass finds out what was made.
		x.stop(fmt.Errorf("write the ledger of reservations: %w", err))
	}
}

func (x *run) progress() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.done++
	if x.Progress != nil {
		x.Progress(x.done, len(x.out))
	}
}

// intent is the entry of what a change is about to make.
func (x *run) intent(c plan.Change) (Entry, bool) {
	if c.Action == plan.Delete {
		return Entry{}, false
	}
	w := x.proposal.wishes[key{c.Owner, c.After.Place}]
	return Entry{Owner: c.Owner, Wish: w.Reservation, VRF: c.After.Place.VRF, Row: w.row.ID, Since: x.Now()}, true
}

// one carries out one change, and returns what the ledger has to say of it.
func (x *run) one(desk sources.Desk, i int) (put, forget []Entry) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx), callTime)
	defer cancel()
	c := x.out[i].Change
	if c.Action != plan.Create {
		held := x.proposal.held[key{c.Owner, c.Before.Place}]
		if err := desk.Release(ctx, held); err != nil {
			x.failed(i, err)
			if e, ok := x.intent(c); ok {
				forget = append(forget, e)
			}
			return nil, forget
		}
		forget = append(forget, Entry{Owner: c.Owner, Wish: held})
	}
	if c.Action == plan.Delete {
		x.out[i].Status = apply.Done
		return nil, forget
	}
	e, _ := x.intent(c)
	made, err := desk.Reserve(ctx, e.Wish)
	if err == nil && (made.Addr != e.Wish.Addr || made.Network != e.Wish.Network) {
		err = fmt.Errorf("the source was asked to hold %s and says that it holds %s", e.Wish, made)
	}
	if err != nil {
		x.failed(i, err)
		if unsure(err) {
			return nil, forget // the intent stays: it may be held by now
		}
		return nil, append(forget, e)
	}
	e.Wish, e.Made = made, true
	e.Wish.InUse = "" // of the moment
	x.out[i].Status, x.made[i] = apply.Done, made
	x.fill(i, made)
	return []Entry{e}, forget
}

// fill prepares what the row that asked has to say of its reservation.
func (x *run) fill(i int, made ipam.Reservation) {
	c := x.out[i].Change
	row := x.proposal.wishes[key{c.Owner, c.After.Place}].row
	x.out[i].ID = row.ID
	if row.Owner == "" {
		x.filled[i] = plan.Filled(c.Owner, row, ipam.Attrs{UsedBy: made.Ref, Type: made.Type, MAC: made.MAC})
	}
}

func (x *run) failed(i int, err error) {
	x.out[i].Status, x.out[i].Detail = apply.Refused, err.Error()
	if unsure(err) {
		x.out[i].Status = apply.Failed
	}
}

// unsure reports whether after err nobody knows what the source did.
func unsure(err error) bool {
	return !errors.Is(err, sources.ErrRefused) && !errors.Is(err, sources.ErrDenied) && !errors.Is(err, sources.ErrNoChoice)
}
