package netbox

import "sync/atomic"

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
}

// Requests returns how many requests were sent.
func (s Stats) Requests() int { return s.Reads + s.Writes }

type counters struct {
	reads, writes, retries, pages, lookups atomic.Int64
	rows, created, updated, deleted, bytes atomic.Int64
}

// Stats returns the counts so far.
func (c *Client) Stats() Stats {
	n := &c.stats
	return Stats{
		Reads: int(n.reads.Load()), Writes: int(n.writes.Load()),
		Retries: int(n.retries.Load()), Pages: int(n.pages.Load()), Lookups: int(n.lookups.Load()),
		Rows: int(n.rows.Load()), Created: int(n.created.Load()),
		Updated: int(n.updated.Load()), Deleted: int(n.deleted.Load()), Bytes: n.bytes.Load(),
	}
}
