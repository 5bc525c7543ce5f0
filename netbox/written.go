package netbox

import (
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"sync"
)

// maxWritten is how many of its own writes a client remembers: half a megabyte
// at most, and half a million rows in batches of 50.
const maxWritten = 10_000

// requestHeader is the header by which NetBox names a request: the request_id
// of the object changes and request.id of the webhooks that the request caused.
const requestHeader = "X-Request-ID"

// requestID is the UUID that NetBox gives each request.
type requestID [16]byte

// parseRequestID reads the usual form of a UUID, in either case. Whatever else a
// proxy may have put into the header names no request of NetBox's.
func parseRequestID(s string) (id requestID, ok bool) {
	const form = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
	if len(s) != len(form) || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, false
	}
	digits := strings.ReplaceAll(s, "-", "")
	if len(digits) != 2*len(id) {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(digits))
	return id, err == nil
}

// written remembers the latest writes, in a ring. The zero value is empty.
type written struct {
	mu    sync.Mutex
	ring  []requestID // in the order of the answers; from next on the oldest, once it is full
	next  int
	known map[requestID]struct{}
}

func (w *written) add(id requestID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known == nil {
		w.known = map[requestID]struct{}{}
	}
	if _, again := w.known[id]; again { // one place in the ring each
		return
	}
	if len(w.ring) < maxWritten {
		w.ring = append(w.ring, id)
	} else {
		delete(w.known, w.ring[w.next])
		w.ring[w.next] = id
		w.next = (w.next + 1) % maxWritten
	}
	w.known[id] = struct{}{}
}

func (w *written) has(id requestID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, known := w.known[id]
	return known
}

// Wrote reports whether requestID is that of a write of this client: the
// X-Request-ID of the answer to a POST, PATCH or DELETE, and so the request_id
// of the object changes and the request.id of the webhooks that came of it. It
// remembers the last 10,000, however long ago: NetBox's worker sends a webhook
// for each row, and after a large first sync it may lag far behind.
//
// A webhook may arrive before the answer to its write has been read; a write
// whose answer got lost is never known.
func (c *Client) Wrote(requestID string) bool {
	id, ok := parseRequestID(requestID)
	return ok && c.written.has(id)
}

// Inherit takes over from a client that is no longer used, one to the same
// NetBox with another configuration, what it wrote: NetBox may tell of that
// only hours later. It also closes the connections that old keeps.
func (c *Client) Inherit(old *Client) {
	old.written.mu.Lock()
	ring, next, known := slices.Clone(old.written.ring), old.written.next, maps.Clone(old.written.known)
	old.written.mu.Unlock()
	c.written.mu.Lock()
	defer c.written.mu.Unlock()
	c.written.ring, c.written.next, c.written.known = ring, next, known
	old.http.GetClient().CloseIdleConnections()
}
