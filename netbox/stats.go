package netbox

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
)

// Stats counts what a client did since Open. Requests are counted each time
// they are sent, tries that failed included.
type Stats struct {
	Reads   int   // GET
	Writes  int   // POST, PATCH, DELETE
	Retries int   // of Reads: those that were sent again
	Pages   int   // of Reads: pages of rows (Owned, Reserved, At, Rows)
	Lookups int   // of Reads: status, custom fields, names
	Rows    int   // rows read
	Created int   // rows written
	Updated int   //
	Deleted int   //
	Bytes   int64 // of answers

	// Ended counts the requests that have ended, by method and outcome. It
	// holds what occurred and is the caller's own.
	Ended map[Request]uint64
}

// Request is a kind of request for counting: how it was sent and how it ended.
type Request struct {
	Method  string // GET, POST, PATCH, DELETE
	Outcome string // one of the constants below
}

// How a request can end.
const (
	OutcomeOK        = "ok"        // a complete answer that can be used
	OutcomeRefused   = "refused"   // a 4xx but 429: NetBox, or a proxy, said no
	OutcomeFailed    = "failed"    // any other answer: 429, 5xx, a redirect, no JSON
	OutcomeLost      = "lost"      // no answer, or not all of it
	OutcomeCancelled = "cancelled" // the caller no longer waited for it
)

// Requests returns how many requests were sent.
func (s Stats) Requests() int { return s.Reads + s.Writes }

type counters struct {
	reads, writes, retries, pages, lookups atomic.Int64
	rows, created, updated, deleted, bytes atomic.Int64

	ended [4][5]atomic.Uint64 // by the indexes that requestOf takes
}

// requestOf names a cell of counters.ended.
func requestOf(method, outcome int) Request {
	return Request{
		Method:  [...]string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete}[method],
		Outcome: [...]string{OutcomeOK, OutcomeRefused, OutcomeFailed, OutcomeLost, OutcomeCancelled}[outcome],
	}
}

// end counts a request that has ended: status is 0 where no answer came.
func (n *counters) end(ctx context.Context, method string, status int, failed *Error) {
	outcome := OutcomeFailed
	switch {
	case failed == nil:
		outcome = OutcomeOK
	case status >= 400 && status < 500 && status != http.StatusTooManyRequests:
		outcome = OutcomeRefused
	case status == 0 && errors.Is(ctx.Err(), context.Canceled):
		outcome = OutcomeCancelled
	case status == 0:
		outcome = OutcomeLost
	}
	for m := range n.ended {
		for o := range n.ended[m] {
			if requestOf(m, o) == (Request{method, outcome}) {
				n.ended[m][o].Add(1)
			}
		}
	}
}

func (n *counters) counts() map[Request]uint64 {
	counts := map[Request]uint64{}
	for m := range n.ended {
		for o := range n.ended[m] {
			if count := n.ended[m][o].Load(); count > 0 {
				counts[requestOf(m, o)] = count
			}
		}
	}
	return counts
}

// Stats returns the counts so far.
func (c *Client) Stats() Stats {
	n := &c.stats
	return Stats{
		Reads: int(n.reads.Load()), Writes: int(n.writes.Load()),
		Retries: int(n.retries.Load()), Pages: int(n.pages.Load()), Lookups: int(n.lookups.Load()),
		Rows: int(n.rows.Load()), Created: int(n.created.Load()),
		Updated: int(n.updated.Load()), Deleted: int(n.deleted.Load()), Bytes: n.bytes.Load(),
		Ended: n.counts(),
	}
}
