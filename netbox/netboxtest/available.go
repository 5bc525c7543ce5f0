package netboxtest

import (
	"fmt"
	"net/http"
	"net/netip"
)

// available answers PREFIX/available-ips/: GET lists free hosts, POST takes the
// next ones.
func (s *Server) available(q *request, id int) *response {
	r, ok := s.prefixes.get(id)
	if !ok || !q.user.may("view", s.prefixes) {
		return s.notFound(s.prefixes)
	}
	p := r.(*prefix)
	if q.Method == http.MethodPost {
		return s.takeAvailable(q, p)
	}
	limit := defaultPage
	most := s.options.MaxPageSize
	if text, ok := q.query.last("limit"); ok {
		if n, ok := parsePyInt(text); ok {
			limit = n
			if n <= 0 {
				limit = max(most, 0)
			}
		}
	}
	if most > 0 {
		limit = min(limit, most)
	}
	w := &writer{s: s, base: q.base, b: []byte{'['}}
	free := s.free(p, limit)
	for i, a := range free {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.key("family", true)
		w.int(family(a))
		w.key("address", false)
		w.text(fmt.Sprintf("%s/%d", addrText(a), p.net.Bits()))
		w.key("vrf", false)
		w.related(s.vrfs, p.vrf, s.vrfs.nested)
		w.raw("}")
	}
	w.raw("]")
	answer := jsonAnswer(http.StatusOK, w.b)
	answer.rows = len(free)
	return answer
}

// free gives the first usable hosts of p that no address of its VRF holds (of
// any VRF, for a container in the global table); n 0 means all.
func (s *Server) free(p *prefix, n int) []netip.Addr {
	first, last := usable(p)
	taken := map[netip.Addr]bool{}
	for r := range s.hosts.seek(func(r row) int { return r.(*address).host.Compare(first) }) {
		a := r.(*address)
		if last.Less(a.host) {
			break
		}
		if a.vrf == p.vrf || p.vrf == 0 && p.status == "container" {
			taken[a.host] = true
		}
	}
	var hosts []netip.Addr
	const most = 1 << 16 // without a page size, NetBox would list all of a /64
	for a := first; a.IsValid() && !last.Less(a) && len(hosts) < most && (n <= 0 || len(hosts) < n); a = a.Next() {
		if !taken[a] {
			hosts = append(hosts, a)
		}
	}
	return hosts
}

// usable bounds what may be handed out: not the network's own and broadcast
// address (IPv6: only the former), except in pools and point-to-point networks.
func usable(p *prefix) (first, last netip.Addr) {
	first = p.net.Masked().Addr()
	b := first.AsSlice()
	for i := p.net.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	last, _ = netip.AddrFromSlice(b)
	if p.pool || p.net.Bits() >= first.BitLen()-1 {
		return first, last
	}
	if first.Is4() {
		last = last.Prev()
	}
	return first.Next(), last
}

func (s *Server) takeAvailable(q *request, p *prefix) *response {
	items, isList := q.body.([]any)
	if !isList {
		items = []any{q.body}
		if !q.hasBody {
			items = []any{newObject()}
		}
	}
	bits, refused := s.requestedBits(p, items)
	if refused != nil {
		return refused
	}
	free := s.free(p, len(items))
	if len(free) < len(items) {
		return detail(http.StatusConflict, "Insufficient resources are available to satisfy the request")
	}
	drafts := make([]*draft, len(items))
	aligned := make([]any, len(items))
	bad := false
	for i, item := range items {
		o := item.(*object).without("prefix_length")
		o.set("address", fmt.Sprintf("%s/%d", addrText(free[i]), bits[i]))
		o.set("vrf", nil)
		if p.vrf != 0 {
			o.set("vrf", int64(p.vrf))
		}
		d := s.prepare(q.user, s.ips, nil, o, false, false)
		if d.crash != nil {
			return d.crash
		}
		drafts[i], aligned[i] = d, newObject()
		if d.errs != nil {
			aligned[i], bad = d.errs, true
		}
	}
	if bad {
		// By position, in every version; a single object's are not in a list.
		if !isList {
			return valueAnswer(http.StatusBadRequest, aligned[0])
		}
		return valueAnswer(http.StatusBadRequest, aligned)
	}
	if refused := s.readOnlyNow(); refused != nil {
		return refused
	}
	t := s.begin(q)
	allowed := true
	for _, d := range drafts {
		allowed = t.store(s.ips, d) && allowed
	}
	if !allowed {
		t.rollback()
		return detail(http.StatusForbidden, noPermission)
	}
	if isList {
		return s.stored(q, s.ips, drafts)
	}
	s.trim()
	answer := s.one(q, s.ips, http.StatusCreated, drafts[0].now, s.ips.columns)
	delete(answer.header, "ETag") // the view is none of a single object
	return answer
}

// requestedBits reads each object's prefix_length (4.7); default the prefix's.
func (s *Server) requestedBits(p *prefix, items []any) ([]int, *response) {
	bits := make([]int, len(items))
	aligned := make([]any, len(items))
	bad := false
	for i, item := range items {
		bits[i], aligned[i] = p.net.Bits(), newObject()
		o, ok := item.(*object)
		if !ok {
			aligned[i], bad = newObject(s.version.nonField(), texts("Invalid data. Expected a dictionary, but got "+typeName(item)+".")), true
			continue
		}
		v, ok := o.vals["prefix_length"]
		if !ok || !s.version.since(V47) {
			continue
		}
		n, ok := drfInt(v)
		switch {
		case !ok:
			aligned[i], bad = newObject("prefix_length", texts("A valid integer is required.")), true
		case n < p.net.Bits():
			aligned[i], bad = newObject("prefix_length", fmt.Sprintf("Prefix length must be greater than or equal to the parent mask length (%d)", p.net.Bits())), true
		case n > p.net.Addr().BitLen():
			// NetBox mixes the families up in these two messages.
			aligned[i], bad = newObject("prefix_length", fmt.Sprintf("Invalid prefix length (%d) for IPv%d", n, 10-family(p.net.Addr()))), true
		}
		bits[i] = n
	}
	if bad {
		return nil, valueAnswer(http.StatusBadRequest, aligned)
	}
	return bits, nil
}
