package main

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"allocsync/ipam"
	"allocsync/page"
	"allocsync/report"
	"allocsync/state"
	"allocsync/sync/worker"
)

// begin and doing say on the page that a pass runs.
func (s *service) begin() {
	s.metrics.Running(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.board.running, s.board.since, s.cached = true, time.Now(), nil
}

// rest says that no pass runs.
func (s *service) rest() {
	s.metrics.Running(false)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.board.running, s.board.doing, s.cached = false, "", nil
}

func (s *service) doing(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.board.doing = text
}

// fresh is how long a view is shown again: an open page asks every few seconds,
// and histories are read from the disk.
const fresh = time.Second

// view is what the page shows now.
func (s *service) view() page.View {
	s.mu.Lock()
	if s.cached != nil && time.Since(s.cached.Now) < fresh {
		v := *s.cached
		s.mu.Unlock()
		return v
	}
	s.mu.Unlock()
	v := s.newView()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cached = &v
	return v
}

func (s *service) newView() page.View {
	s.mu.Lock()
	g, b := s.generation, s.board
	b.passes, b.pending, b.sources = slices.Clone(b.passes), slices.Clone(b.pending), slices.Clone(b.sources)
	notices := slices.Collect(maps.Values(s.notices))
	s.mu.Unlock()
	slices.Sort(notices)
	now := time.Now()
	v := page.View{
		Installation: g.config.Installation, Version: programVersion(),
		NetBoxURL: g.config.NetBox.URL, NetBoxVersion: b.version,
		Now: now, Running: b.running, Since: b.since, Doing: b.doing, Notices: notices,
	}
	for _, one := range b.sources {
		v.Sources = append(v.Sources, one.view(g))
		v.Plan.Held = append(append(v.Plan.Held, views(one.heldBack, reservationHeldView)...), views(one.held, heldView)...)
		v.Plan.Changes = append(append(v.Plan.Changes, views(one.undoneBack, reservationView)...), views(one.undone, changeView)...)
		if one.asked.After(v.Plan.At) {
			v.Plan.At = one.asked
		}
		if !one.next.IsZero() && (v.Next.IsZero() || one.next.Before(v.Next)) {
			v.Next = one.next
		}
	}
	for _, p := range b.passes {
		v.Passes = append(v.Passes, passView(p))
	}
	for _, p := range b.pending {
		v.Pending = append(v.Pending, pendingView(p))
	}
	slices.SortStableFunc(v.Plan.Held, func(a, b page.Held) int {
		return cmp.Or(cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.Reason, b.Reason))
	})
	v.Networks, v.Types = s.networksView(b.networks), s.typesView(b.counts)
	return v
}

func (s boardSource) view(g *generation) page.Source {
	return page.Source{
		Name: s.name, Owner: s.owner, Kind: s.kind,
		Answer: s.last.Answer, Reasons: s.last.Missing, Asked: s.asked, Success: s.success, Took: s.last.Took,
		Allocations: s.last.Allocations, Rows: s.last.Rows, InStep: s.last.InStep,
		Created: s.last.Created, Updated: s.last.Updated, Deleted: s.last.Deleted, Held: s.last.Held, Failed: s.last.Failed,
		LastCreated: s.changed.Created, LastUpdated: s.changed.Updated, LastDeleted: s.changed.Deleted, Changed: s.when,
		LastReserved: s.changed.Reserved, LastReleased: s.changed.Released,
		Reserves: s.reserves || s.back.Takes, AskedFor: s.back.Asked, Unmet: s.back.Unmet, Ours: s.back.Own,
		Next: s.next, Schedule: g.scheduleOf(s.name).String(), Watch: s.watch, WatchBroken: s.deaf,
	}
}

func changeView(c report.DocumentChange) page.Change {
	return page.Change{
		Owner: c.Owner, Action: c.Action, Kind: c.Kind, Address: c.Address, VRF: c.VRF, UsedBy: c.UsedBy,
		Reason: c.Reason, Fields: fieldsView(c.Fields), RowID: c.ID, Status: c.Status, Detail: c.Detail,
	}
}

// views makes something to show of each in a list.
func views[T, View any](list []T, view func(T) View) []View {
	out := make([]View, len(list))
	for i, one := range list {
		out[i] = view(one)
	}
	return out
}

func heldView(h report.DocumentHeld) page.Held {
	v := page.Held{Change: changeView(h.Change), Advice: h.Advice, Note: h.Note}
	v.Reason, v.Status = h.Reason, ""
	if h.Row != nil {
		v.InTheWay = page.Row{Kind: h.Change.Kind, ID: h.Row.ID, Fields: fieldsView(h.Row.Fields)}
	}
	return v
}

// reservationView is a change at a source. What of it changes, and the MAC, are
// its fields.
func reservationView(c report.DocumentReservation) page.Change {
	v := page.Change{
		Owner: c.Owner, Action: c.Action, Kind: page.KindAddress, Address: c.Address, VRF: c.VRF, UsedBy: c.For,
		Reason: c.Reason, RowID: c.ID, Status: c.Status, Detail: c.Detail,
	}
	changed := c.Was != ""
	if changed && c.Was != c.Address {
		v.Fields = append(v.Fields, page.Field{Name: "address", Old: c.Was, New: c.Address})
	}
	if changed && c.WasFor != c.For {
		v.Fields = append(v.Fields, page.Field{Name: "for", Old: c.WasFor, New: c.For})
	}
	if changed && c.WasMAC != c.MAC || c.MAC != "" && c.MAC != c.For {
		v.Fields = append(v.Fields, page.Field{Name: ipam.MACField, Old: c.WasMAC, New: c.MAC})
	}
	return v
}

func reservationHeldView(h report.DocumentReservationHeld) page.Held {
	v := page.Held{Change: reservationView(h.Change), Advice: h.Advice, Note: h.Note}
	v.Reason, v.Status = h.Reason, ""
	return v
}

func fieldsView(list []report.DocumentField) []page.Field {
	return views(list, func(f report.DocumentField) page.Field { return page.Field(f) })
}

func passView(p state.Pass) page.Pass {
	v := page.Pass{
		ID: p.ID, Start: p.Start, End: p.End, Trigger: p.Trigger, Detail: p.Detail, Asked: p.Asked,
		Requests: p.Requests, RowsRead: p.RowsRead, RowsWritten: p.RowsWritten, Outcome: p.Outcome, Error: p.Error, Digest: p.Digest,
	}
	for _, s := range p.Sources {
		v.Sources = append(v.Sources, page.PassSource(s))
	}
	return v
}

func pendingView(p state.Pending) page.Pending {
	v := page.Pending{Digest: p.Digest, Asked: p.Asked, Since: p.Since, Changes: p.Changes, More: p.More}
	for _, o := range p.Owners {
		v.Owners = append(v.Owners, page.PendingOwner{Owner: o.Owner, Rows: o.Rows, Updates: o.Updates, Deletes: o.Deletes, Limit: o.Limit})
	}
	return v
}

func (s *service) networksView(list []report.Utilisation) []page.Network {
	var out []page.Network
	for _, u := range list {
		n := page.Network{Source: u.Source, Network: u.Network, Prefix: u.Prefix.String(), NAT: u.NAT, Used: u.Used, Samples: s.history(networkSeries(u))}
		if capacity, exact := u.Capacity(); exact {
			n.Capacity = float64(capacity)
		} else {
			n.Capacity = math.Exp2(float64(u.Prefix.Addr().BitLen() - u.Prefix.Bits()))
		}
		for _, t := range u.ByType {
			n.ByType = append(n.ByType, page.Count(t))
		}
		out = append(out, n)
	}
	return out
}

func (s *service) typesView(counts []report.Count) []page.Type {
	types := map[string]*page.Type{}
	for _, c := range counts {
		t := types[c.Type]
		if t == nil {
			t = &page.Type{Type: c.Type, Samples: s.history(typeSeries(c.Type))}
			types[c.Type] = t
		}
		t.IPv4, t.IPv6, t.Prefixes = t.IPv4+c.IPv4, t.IPv6+c.IPv6, t.Prefixes+c.Prefixes
	}
	var out []page.Type
	for _, name := range slices.Sorted(maps.Keys(types)) {
		out = append(out, *types[name])
	}
	return out
}

// history is what a series held; nothing where it cannot be read, which the
// page can do without.
func (s *service) history(series string) []page.Sample {
	samples, err := s.store.Samples(series)
	if err != nil {
		return nil
	}
	list := make([]page.Sample, len(samples))
	for i, x := range samples {
		list[i] = page.Sample(x)
	}
	return list
}

// search finds allocations by address, prefix, or a part of who uses them.
func (s *service) search(query string) []page.Hit {
	query = strings.TrimSpace(query)
	if query == "" {
		return nil
	}
	fits := fitting(query)
	s.mu.Lock()
	sources := slices.Clone(s.board.sources)
	s.mu.Unlock()
	var hits []page.Hit
	for _, source := range sources {
		held := map[string]string{}
		for _, c := range source.undone {
			held[c.Kind+c.Address] = c.Status
		}
		for _, h := range source.held {
			held[h.Change.Kind+h.Change.Address] = "held: " + h.Reason
		}
		for _, a := range source.allocations {
			if !fits(a) {
				continue
			}
			hits = append(hits, page.Hit{
				Source: a.Source, Address: a.Prefix.String(), Network: a.Network, Project: a.Project, Name: a.Name, Type: a.Type,
				MAC: string(a.MAC), UsedBy: string(a.UsedBy), Kind: a.Kind.String(), State: held[a.Kind.String()+a.Prefix.String()],
			})
			if len(hits) > page.SearchLimit {
				return hits
			}
		}
	}
	return hits
}

// fitting is what fits a query: an address is held by a prefix and equal to an
// address, a prefix holds what lies in it, anything else is part of a name.
func fitting(query string) func(report.Allocation) bool {
	if addr, err := netip.ParseAddr(query); err == nil {
		addr = addr.Unmap()
		return func(a report.Allocation) bool {
			return a.Prefix.Addr() == addr || a.Prefix.Contains(addr) && a.Prefix == a.Prefix.Masked()
		}
	}
	if prefix, err := netip.ParsePrefix(query); err == nil {
		prefix = prefix.Masked()
		return func(a report.Allocation) bool { return prefix.Contains(a.Prefix.Addr()) }
	}
	query = strings.ToLower(query)
	return func(a report.Allocation) bool {
		for _, text := range []string{string(a.UsedBy), a.Name, string(a.MAC), a.Network, a.Project} {
			if strings.Contains(strings.ToLower(text), query) {
				return true
			}
		}
		return false
	}
}

// approve takes an approval from the page: the pass follows at once.
func (s *service) approve(digest string) error {
	s.mu.Lock()
	at := slices.IndexFunc(s.board.pending, func(p state.Pending) bool { return p.Digest == digest })
	var asked []string
	if at >= 0 {
		s.approved[digest], asked = true, s.board.pending[at].Asked
	}
	s.mu.Unlock()
	if at < 0 {
		return fmt.Errorf("no plan with this digest waits any more: the sources or NetBox have changed since; look at what is planned now")
	}
	s.log.Info().Str("digest", digest).Msg("a plan was approved on the page")
	s.loop.Want(worker.Trigger{Kind: worker.KindApproval, Detail: "digest " + digest, Sources: asked})
	return nil
}

// takeApproved takes the plans that were approved and not yet dealt with.
func (s *service) takeApproved() []state.Pending {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []state.Pending
	for _, p := range s.board.pending {
		if s.approved[p.Digest] {
			list = append(list, p)
			delete(s.approved, p.Digest)
		}
	}
	for digest := range s.approved {
		s.log.Warn().Str("digest", digest).Msg("the approval is void: another pass came first and found another plan; the page shows it")
	}
	clear(s.approved)
	return list
}
