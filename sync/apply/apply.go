// Package apply carries an approved plan out: in batches, splitting those that
// NetBox refuses, reading again before anything is sent a second time, and
// looking at every row once more before it is updated or deleted.
package apply

import (
	"context"
	"time"

	"allocsync/ipam"
	"allocsync/sync/plan"
)

// Reader reads rows again, just before and after they are written.
type Reader interface {
	// Rows returns those of the given rows that still exist, in any order.
	Rows(ctx context.Context, kind ipam.Kind, ids []int) ([]ipam.Stored, error)
	// At returns every row, whoever owns it, that stands at one of places.
	At(ctx context.Context, places []ipam.Place) ([]ipam.Stored, error)
}

// Writer writes one batch, all rows of one kind, all or nothing.
//
// An error that has the method Refusals() (map[int]string, bool) with true
// says that NetBox refused the batch and did nothing: the map holds NetBox's
// words for the rows that were wrong by their index in the batch, and is empty
// where NetBox did not say which row it was. An error that has the method
// Unsure() bool with true says that nobody knows whether the batch was carried
// out. RetryAfter() time.Duration is how long NetBox asks to be left alone, 0
// where it does not say. Any other error ends the run.
type Writer interface {
	// Create returns the new rows in the order of the batch.
	Create(ctx context.Context, batch []ipam.Record) ([]ipam.Stored, error)
	// Update sends what differs and returns the IDs that were changed: some
	// versions of NetBox pass over a row that is gone without a word.
	Update(ctx context.Context, batch []ipam.Edit) ([]int, error)
	Delete(ctx context.Context, kind ipam.Kind, ids []int) error
}

// Target is what a plan is applied to; the NetBox client is one.
type Target interface {
	Reader
	Writer
}

// Status is what became of one change.
type Status uint8

// What can become of a change.
const (
	Done    Status = iota + 1
	Kept           // the row was changed by somebody since it was read, and left alone
	Refused        // NetBox refused it
	Failed         // it is not known whether it was done, or NetBox could not be reached
	Skipped        // not tried: the run was stopped before
)

// String returns "done", "kept", "refused", "failed" or "skipped".
func (s Status) String() string {
	return [...]string{"unknown", "done", "kept", "refused", "failed", "skipped"}[min(int(s), 5)]
}

// MarshalText writes the status as String does.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Outcome is what became of one change.
type Outcome struct {
	Change plan.Change
	Status Status
	ID     int    // the row's ID in NetBox; 0 where none was made
	Detail string // NetBox's words, or why it was kept; "" where it was done
	Denied bool   // it was refused for want of rights
}

// Result is what became of a plan: one Outcome for every change, in the order
// of the plan, whatever happened in between.
type Result struct {
	Outcomes []Outcome

	// Reservations is what became of the way back, one Outcome for each change at
	// a source. Run leaves it nil: see package sync/reserve.
	Reservations []Outcome

	// Err is why the run ended early: the context's error, or a NetBox that
	// could not be used any more. Nil where everything was tried.
	Err error
}

// Count returns how many outcomes have the given status, reservations included.
func (r Result) Count(s Status) int {
	n := 0
	for _, list := range [][]Outcome{r.Outcomes, r.Reservations} {
		for _, o := range list {
			if o.Status == s {
				n++
			}
		}
	}
	return n
}

// Len is how many outcomes there are, reservations included.
func (r Result) Len() int { return len(r.Outcomes) + len(r.Reservations) }

// Options bound a run. The zero value means the defaults.
type Options struct {
	Batch    int                                        // rows per write, default 50, at most 500
	Attempts int                                        // how often one batch is tried, default 4
	Backoff  time.Duration                              // first wait between attempts, default 500ms, doubled each time, at most 30s
	Progress func(done, total int)                      // called after every batch; may be nil
	Log      func(o Outcome)                            // called once for every outcome; may be nil
	Sleep    func(context.Context, time.Duration) error // for tests; nil waits for real

	// Grace is how long the batch in flight, and the look at what became of it,
	// may go on once ctx has ended; default 3 minutes. After that it is given
	// up, and its rows are Failed: nobody knows what became of them.
	Grace time.Duration
}
