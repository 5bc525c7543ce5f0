package netbox

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"allocsync/ipam"
)

const (
	// maxPages bounds one list: ten million rows in pages of 1000.
	maxPages = 10_000
	// maxTarget bounds path and query of a request, in bytes. Gunicorn, which
	// serves NetBox, refuses a request line over 4094 bytes by default; the
	// line holds the method and the HTTP version besides.
	maxTarget = 4000
)

// list reads every row that filter selects, in the order of their IDs, and
// hands each to keep. filter is encoded and not empty.
//
// Pages follow each other by ID, never by offset, so rows that come and go
// meanwhile shift nothing: since 4.6 by ?start=, which spares the server the
// count, before by ?id__gte= with ?ordering=id. How many rows come back is the
// server's choice (MAX_PAGE_SIZE clips the limit without a word); the last page
// is the one that names no next.
func (s *Session) list(ctx context.Context, kind ipam.Kind, filter string, keep func(*row) error) error {
	from := 0
	for range maxPages {
		s.client.stats.pages.Add(1)
		var p page
		if err := s.client.read(ctx, pathOf(kind), s.pageQuery(kind, filter, from), &p); err != nil {
			return err
		}
		if p.Results == nil {
			return fmt.Errorf("read %s: the answer is no list", pathOf(kind))
		}
		s.client.stats.rows.Add(int64(len(p.Results)))
		for i := range p.Results {
			r := &p.Results[i]
			if r.ID < from {
				return fmt.Errorf("read %s: NetBox ignored the page asked for: row %d came after row %d", pathOf(kind), r.ID, from-1)
			}
			if err := keep(r); err != nil {
				return fmt.Errorf("read %s: %w", pathOf(kind), err)
			}
			from = r.ID + 1
		}
		if p.Next == nil {
			return nil
		}
		if len(p.Results) == 0 {
			return fmt.Errorf("read %s: an empty page names a next one", pathOf(kind))
		}
	}
	return fmt.Errorf("read %s: more than %d pages", pathOf(kind), maxPages)
}

func (s *Session) pageQuery(kind ipam.Kind, filter string, from int) string {
	var q strings.Builder
	q.WriteString(filter)
	if s.version.hasFields() {
		q.WriteString("&fields=" + s.columns(kind))
	}
	fmt.Fprintf(&q, "&limit=%d", s.client.pageSize)
	if s.version.hasCursor() {
		fmt.Fprintf(&q, "&start=%d", from)
		return q.String()
	}
	q.WriteString("&ordering=id")
	if from > 0 {
		fmt.Fprintf(&q, "&id__gte=%d", from)
	}
	return q.String()
}

// room is how many bytes of a request's target a filter may take.
func (s *Session) room(kind ipam.Kind) int {
	reserve := len("&limit=1000000&ordering=id&id__gte=9999999999&vrf_id=9999999999")
	if s.version.hasFields() {
		reserve += len("&fields=") + len(s.columns(kind))
	}
	return s.client.room(pathOf(kind)) - reserve
}

func (c *Client) room(path string) int {
	base, _ := url.Parse(c.base)
	return maxTarget - len(base.EscapedPath()) - len(path) - len("?")
}

// filters joins key=value pairs into as few filters as fit into room bytes
// each. NetBox reads a repeated filter as "one of".
func filters(key string, values []string, room int) []string {
	var out []string
	var b strings.Builder
	for _, value := range values {
		pair := key + "=" + escape(value)
		if b.Len() > 0 && b.Len()+1+len(pair) > room {
			out = append(out, b.String())
			b.Reset()
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(pair)
	}
	if b.Len() > 0 {
		out = append(out, b.String())
	}
	return out
}

// escape encodes a value for a query. Colons and slashes may stand in one as
// they are (RFC 3986, 3.4), and an IPv6 prefix has up to eight of them.
func escape(s string) string {
	return strings.NewReplacer("%3A", ":", "%2F", "/").Replace(url.QueryEscape(s))
}

func texts(ids []int) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = strconv.Itoa(id)
	}
	return out
}

// errIgnored says that a row came back that was not asked for: NetBox ignores
// a filter that it does not know, and then lists everything.
func errIgnored(filter string, id int) error {
	return fmt.Errorf("NetBox ignored the filter %s: row %d does not match it; nothing that it returned can be trusted", filter, id)
}

var errNoOwner = errors.New("no owner given: an empty filter would list every row")
