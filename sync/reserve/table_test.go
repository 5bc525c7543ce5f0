package reserve_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/sources"
	"allocsync/sync/plan"
	"allocsync/sync/reserve"
)

const (
	owner = "dc1/lab"
	net1  = ipam.UsedBy("/networks/1")
	macA  = ipam.MAC("52:54:00:00:00:0a")
	macB  = ipam.MAC("52:54:00:00:00:0b")
)

func addr(last int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(last)}) }

// asks is a row that asks for an address; the last number is its ID too.
func asks(last int, change ...func(*ipam.Stored)) ipam.Stored {
	r := ipam.Stored{ID: last, ReserveAt: owner, Record: ipam.Record{
		Place: ipam.PlaceOf("", ipam.Address, ipam.HostPrefix(addr(last))), Attrs: ipam.Attrs{Mask: 24, Status: "reserved"},
	}}
	for _, c := range change {
		c(&r)
	}
	return r
}

func forMAC(m ipam.MAC) func(*ipam.Stored) { return func(r *ipam.Stored) { r.Attrs.MAC = m } }

func forUser(u ipam.UsedBy) func(*ipam.Stored) { return func(r *ipam.Stored) { r.Attrs.UsedBy = u } }

// held is a reservation for a MAC with our mark.
func held(last int, m ipam.MAC, change ...func(*ipam.Reservation)) ipam.Reservation {
	r := ipam.Reservation{Network: net1, Addr: addr(last), MAC: m, Mark: owner, Ref: ipam.UsedBy(fmt.Sprintf("/held/%d", last)), Type: "reservation"}
	for _, c := range change {
		c(&r)
	}
	return r
}

func unmarked(r *ipam.Reservation) { r.Mark = "" }

func unmarkable(r *ipam.Reservation) { r.Mark, r.Unmarkable = "", true }

func inUse(r *ipam.Reservation) { r.InUse = "web-1 runs" }

func entry(r ipam.Reservation) reserve.Entry {
	return reserve.Entry{Owner: owner, Wish: r, Made: true}
}

type world struct {
	rows    []ipam.Stored
	held    []ipam.Reservation
	ledger  []reserve.Entry
	notes   []reserve.Note
	missing []string
	closed  string
	refuses string // the words of Consider
	allow   plan.Allow
	twin    bool // another network with the same prefix
}

func (w world) input() reserve.Input {
	allow := w.allow
	if allow == (plan.Allow{}) {
		allow = plan.AllowAll()
	}
	networks := []reserve.Network{
		{URI: net1, Prefix: netip.MustParsePrefix("10.0.0.0/24")},
		{URI: "/networks/2", Prefix: netip.MustParsePrefix("10.9.0.0/24"), VRF: "red"},
	}
	if w.twin {
		networks = append(networks, reserve.Network{URI: "/networks/3", Prefix: netip.MustParsePrefix("10.0.0.0/24")})
	}
	return reserve.Input{
		Rows: w.rows, Ledger: reserve.Book{Entries: w.ledger, Notes: w.notes},
		Sources: []reserve.Source{{
			Owner: owner, Missing: w.missing, Allow: allow, Closed: w.closed, Held: w.held,
			Networks: networks,
			Consider: func(wish ipam.Reservation) (ipam.Reservation, error) {
				if w.refuses != "" {
					return ipam.Reservation{}, fmt.Errorf("%w: %s", sources.ErrRefused, w.refuses)
				}
				if strings.HasPrefix(string(wish.For), "/held/") {
					wish.For = "" // of a reservation: says nothing
				}
				return wish, nil
			},
		}},
	}
}

// text is a proposal in lines.
func text(p reserve.Proposal) string {
	var lines []string
	for _, c := range p.Plan.Changes {
		lines = append(lines, fmt.Sprintf("%s %s for %s: %s", c.Action, c.Record().Place.Prefix.Addr(), c.Record().Attrs.UsedBy, c.Reason))
	}
	for _, h := range p.Plan.Held {
		line := fmt.Sprintf("hold %s %s for %s: %s", h.Change.Action, h.Change.Record().Place.Prefix.Addr(), h.Change.Record().Attrs.UsedBy, h.Reason)
		if h.Note != "" {
			line += ": " + h.Note
		}
		lines = append(lines, line)
	}
	for _, e := range p.Forget {
		lines = append(lines, "forget "+e.Wish.Addr.String())
	}
	for _, e := range p.Adopt {
		lines = append(lines, "adopt "+e.Wish.Addr.String())
	}
	s := p.Plan.Sources[0]
	return strings.Join(append(lines, fmt.Sprintf("asked %d, held %d, in step %d", s.Claims, s.Rows, s.InStep)), "\n")
}

func TestTable(t *testing.T) {
	red := func(r *ipam.Stored) { r.Place.VRF = "red" }
	theirs := func(r *ipam.Stored) { r.Owner = "dc1/other" }
	own := func(r *ipam.Stored) { r.Owner = owner }
	foreign := held(5, macA, unmarked)
	for name, c := range map[string]struct {
		world
		want string
	}{
		"nothing, an address": {world{rows: []ipam.Stored{asks(5, forMAC(macA))}},
			"create 10.0.0.5 for 52:54:00:00:00:0a: asked for in NetBox\nasked 1, held 0, in step 0"},
		"ours, as asked": {world{rows: []ipam.Stored{asks(5, forMAC(macA))}, held: []ipam.Reservation{held(5, macA)}, ledger: []reserve.Entry{entry(held(5, macA))}},
			"asked 1, held 1, in step 1"},
		"ours, the row says neither MAC nor user": {world{rows: []ipam.Stored{asks(5)}, held: []ipam.Reservation{held(5, macA)}, ledger: []reserve.Entry{entry(held(5, macA))}},
			"asked 1, held 1, in step 1"},
		"ours, the row names it": {world{rows: []ipam.Stored{asks(5, forUser("/held/5"))}, held: []ipam.Reservation{held(5, macA)}, ledger: []reserve.Entry{entry(held(5, macA))}},
			"asked 1, held 1, in step 1"},
		"ours without room for a mark": {world{rows: nil, held: []ipam.Reservation{held(5, macA, unmarkable)}, ledger: []reserve.Entry{entry(held(5, macA, unmarkable))}},
			"delete 10.0.0.5 for 52:54:00:00:00:0a: no longer asked for in NetBox\nasked 0, held 1, in step 0"},
		"ours, for another": {world{rows: []ipam.Stored{asks(5, forMAC(macB))}, held: []ipam.Reservation{held(5, macA)}, ledger: []reserve.Entry{entry(held(5, macA))}},
			"update 10.0.0.5 for 52:54:00:00:00:0b: asked for otherwise in NetBox\nasked 1, held 1, in step 0"},
		"ours, for another, and in use": {world{rows: []ipam.Stored{asks(5, forMAC(macB))}, held: []ipam.Reservation{held(5, macA, inUse)}, ledger: []reserve.Entry{entry(held(5, macA))}},
			"hold update 10.0.0.5 for 52:54:00:00:00:0b: in use at the source: web-1 runs\nasked 1, held 1, in step 0"},
		"ours, for one for whom the source cannot": {world{rows: []ipam.Stored{asks(5, forMAC(macB))}, held: []ipam.Reservation{held(5, macA)}, ledger: []reserve.Entry{entry(held(5, macA))}, refuses: "no such interface"},
			"hold create 10.0.0.5 for 52:54:00:00:00:0b: the source cannot hold it: the source refuses: no such interface\nasked 1, held 1, in step 0"},
		"ours, and used_by names a reservation of before": {world{rows: []ipam.Stored{asks(5, forMAC(macA), forUser("/held/gone"))}, held: []ipam.Reservation{held(5, macA)}, ledger: []reserve.Entry{entry(held(5, macA))}},
			"asked 1, held 1, in step 1"},
		"ours, at another address": {world{rows: []ipam.Stored{asks(6, forMAC(macA))}, held: []ipam.Reservation{held(5, macA)}, ledger: []reserve.Entry{entry(held(5, macA))}},
			"update 10.0.0.6 for 52:54:00:00:00:0a: asked for at another address in NetBox\nasked 1, held 1, in step 0"},
		"ours, of a MAC that a node has by now": {world{held: []ipam.Reservation{held(5, macA, func(r *ipam.Reservation) { r.For, r.Ref = "/node/1", "/node/1" })}, ledger: []reserve.Entry{entry(held(5, macA))}},
			"delete 10.0.0.5 for /node/1: no longer asked for in NetBox\nasked 0, held 1, in step 0"},
		"somebody else's, as asked": {world{rows: []ipam.Stored{asks(5, forMAC(macA))}, held: []ipam.Reservation{foreign}},
			"asked 1, held 0, in step 1"},
		"somebody else's, otherwise": {world{rows: []ipam.Stored{asks(5, forMAC(macB))}, held: []ipam.Reservation{foreign}},
			"hold create 10.0.0.5 for 52:54:00:00:00:0b: taken at the source by somebody else: held for 52:54:00:00:00:0a\nasked 1, held 0, in step 0"},
		"ours, nothing": {world{held: []ipam.Reservation{held(5, macA)}, ledger: []reserve.Entry{entry(held(5, macA))}},
			"delete 10.0.0.5 for 52:54:00:00:00:0a: no longer asked for in NetBox\nasked 0, held 1, in step 0"},
		"ours and in use, nothing": {world{held: []ipam.Reservation{held(5, macA, inUse)}, ledger: []reserve.Entry{entry(held(5, macA))}},
			"hold delete 10.0.0.5 for 52:54:00:00:00:0a: in use at the source: web-1 runs\nasked 0, held 1, in step 0"},
		"ours, nothing, half an answer": {world{held: []ipam.Reservation{held(5, macA)}, ledger: []reserve.Entry{entry(held(5, macA))}, missing: []string{"host b"}},
			"hold delete 10.0.0.5 for 52:54:00:00:00:0a: the source did not answer in full: host b\nasked 0, held 1, in step 0"},
		"somebody else's, nothing": {world{held: []ipam.Reservation{foreign}}, "asked 0, held 0, in step 0"},
		"the mark is gone: somebody else's": {world{held: []ipam.Reservation{held(5, macA, unmarked)}, ledger: []reserve.Entry{entry(held(5, macA))}},
			"forget 10.0.0.5\nasked 0, held 0, in step 0"},
		"the MAC was changed at the source: somebody else's": {world{held: []ipam.Reservation{held(5, macB)}, ledger: []reserve.Entry{entry(held(5, macA))}},
			"forget 10.0.0.5\nasked 0, held 0, in step 0"},
		"the mark without the ledger: somebody else's": {world{held: []ipam.Reservation{held(5, macA)}}, "asked 0, held 0, in step 0"},
		"gone at the source, still asked for": {world{rows: []ipam.Stored{asks(5, forMAC(macA), forUser("/held/5"))}, ledger: []reserve.Entry{entry(held(5, macA))}},
			"create 10.0.0.5 for 52:54:00:00:00:0a: asked for in NetBox\nasked 1, held 0, in step 0"},
		"gone at the source, not asked for":                {world{ledger: []reserve.Entry{entry(held(5, macA))}}, "forget 10.0.0.5\nasked 0, held 0, in step 0"},
		"gone at the source, which did not answer in full": {world{ledger: []reserve.Entry{entry(held(5, macA))}, missing: []string{"host b"}}, "asked 0, held 0, in step 0"},
		"a crash before the ledger knew": {world{rows: []ipam.Stored{asks(5, forMAC(macA))}, held: []ipam.Reservation{held(5, macA)},
			ledger: []reserve.Entry{{Owner: owner, Wish: ipam.Reservation{Network: net1, Addr: addr(5), MAC: macA, Mark: owner}}}},
			"adopt 10.0.0.5\nasked 1, held 1, in step 1"},
		"the source refuses": {world{rows: []ipam.Stored{asks(5)}, refuses: "inside the dynamic range"},
			"hold create 10.0.0.5 for nobody in particular: the source cannot hold it: the source refuses: inside the dynamic range\nasked 1, held 0, in step 0"},
		"no network": {world{rows: []ipam.Stored{asks(5, func(r *ipam.Stored) { r.Place.Prefix = netip.MustParsePrefix("192.0.2.5/32") })}},
			"hold create 192.0.2.5 for nobody in particular: the source cannot hold it: no network of the source has this address\nasked 1, held 0, in step 0"},
		"no network, half an answer": {world{rows: []ipam.Stored{asks(5, func(r *ipam.Stored) { r.Place.Prefix = netip.MustParsePrefix("192.0.2.5/32") })}, missing: []string{"host b"}},
			"hold create 192.0.2.5 for nobody in particular: the source did not answer in full: host b\nasked 1, held 0, in step 0"},
		"another table": {world{rows: []ipam.Stored{asks(5, red)}, held: []ipam.Reservation{held(5, macA)}, ledger: []reserve.Entry{entry(held(5, macA))}},
			"hold create 10.0.0.5 for nobody in particular: the source cannot hold it: the row stands in VRF red, and the network with this address is 10.0.0.0/24 in the global table\nasked 1, held 1, in step 0"},
		"another owner's row": {world{rows: []ipam.Stored{asks(5, theirs)}},
			"hold create 10.0.0.5 for nobody in particular: the row belongs to another owner: dc1/other\nasked 1, held 0, in step 0"},
		"the source's own row": {world{rows: []ipam.Stored{asks(5, own, forUser("/i/1"))}}, "create 10.0.0.5 for /i/1: asked for in NetBox\nasked 1, held 0, in step 0"},
		"two networks have it": {world{rows: []ipam.Stored{asks(5)}, twin: true},
			"hold create 10.0.0.5 for nobody in particular: the source cannot hold it: /networks/1 and /networks/3 both have this address in the global table; give them VRFs of their own by a rule\nasked 1, held 0, in step 0"},
		"closed": {world{rows: []ipam.Stored{asks(5)}, closed: "reserve is off"},
			"hold create 10.0.0.5 for nobody in particular: the source cannot hold it: reserve is off\nasked 1, held 0, in step 0"},
		"policy": {world{rows: []ipam.Stored{asks(5)}, allow: plan.Allow{Delete: true}},
			"hold create 10.0.0.5 for nobody in particular: switched off by policy: policy of dc1/lab does not allow create\nasked 1, held 0, in step 0"},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, text(reserve.Compute(c.input()))) })
	}
}

// What one source holds, another cannot take over: a row that asks another source
// now is released here and reserved there.
func TestAnotherSourceIsAsked(t *testing.T) {
	x := world{held: []ipam.Reservation{held(5, macA)}, ledger: []reserve.Entry{entry(held(5, macA))}, rows: []ipam.Stored{
		asks(5, forMAC(macA), func(r *ipam.Stored) { r.ReserveAt = "dc1/other" }),
	}}.input()
	y := x.Sources[0]
	y.Owner, y.Held = "dc1/other", nil
	x.Sources = append(x.Sources, y)
	p := reserve.Compute(x)
	require.Equal(t, "create 10.0.0.5 for 52:54:00:00:00:0a: asked for in NetBox\n"+
		"delete 10.0.0.5 for 52:54:00:00:00:0a: no longer asked for in NetBox\nasked 0, held 1, in step 0", text(p))
	require.Equal(t, []string{"dc1/other", owner}, []string{p.Plan.Changes[0].Owner, p.Plan.Changes[1].Owner})
}

// Two of ours with one address, in networks of one source that share a table,
// are two: each is released by itself.
func TestTwoOfOneAddress(t *testing.T) {
	other := held(5, macB)
	other.Network, other.Ref = "/networks/3", "/held/other"
	p := reserve.Compute(world{
		twin: true, held: []ipam.Reservation{held(5, macA), other}, ledger: []reserve.Entry{entry(held(5, macA)), entry(other)},
	}.input())
	require.Len(t, p.Plan.Changes, 2)
	require.ElementsMatch(t, []ipam.Reservation{held(5, macA), other}, p.Released(p.Plan.Changes)[owner])
}

// What was refused is tried again only when something has changed: the row, or
// what the source says of the address.
func TestTriedBefore(t *testing.T) {
	w := world{rows: []ipam.Stored{asks(5, forMAC(macA))}}
	notes := func(p reserve.Proposal) []reserve.Note {
		require.Len(t, p.Plan.Changes, 1)
		return reserve.Notes(p, outcomes(p, "no such interface"), reserve.Book{})
	}
	w.notes = notes(reserve.Compute(w.input()))
	require.Len(t, w.notes, 1)
	require.Equal(t, "no such interface", w.notes[0].Text)
	again := reserve.Compute(w.input())
	require.Empty(t, again.Plan.Changes)
	require.Equal(t, plan.TriedBefore, again.Plan.Held[0].Reason)
	require.Equal(t, "no such interface", again.Plan.Held[0].Note)
	told := w.notes
	told[0].Told = true
	require.Empty(t, reserve.Notes(again, nil, reserve.Book{Notes: told}), "nothing new is to be said")

	in := w.input()
	in.Sources[0].Facts = []ipam.Allocation{{UsedBy: "/i/2", Kind: ipam.Address, Prefix: netip.PrefixFrom(addr(5), 32), Type: "instance"}}
	require.Len(t, reserve.Compute(in).Plan.Changes, 1, "the address is used otherwise by now")
	in.Sources[0].Facts[0].Prefix = netip.PrefixFrom(addr(7), 32)
	require.Empty(t, reserve.Compute(in).Plan.Changes, "another address does not matter")
	w.rows[0].Attrs.MAC = macB
	changed := reserve.Compute(w.input())
	require.Len(t, changed.Plan.Changes, 1, "the row asks for something else")

	w.held = []ipam.Reservation{held(5, macB)}
	met := reserve.Compute(w.input())
	require.Equal(t, []reserve.Note{{Owner: owner, Row: 5}}, reserve.Notes(met, nil, reserve.Book{Notes: told}), "the note goes when the row is met")
}

// Rights that were given since cannot be seen: what was denied is tried again in
// the next hour, and what was refused otherwise is not.
func TestDeniedIsTriedAgain(t *testing.T) {
	in := world{rows: []ipam.Stored{asks(5, forMAC(macA))}}.input()
	in.Now = time.Date(2026, 11, 21, 20, 58, 0, 0, time.UTC)
	first := reserve.Compute(in)
	refused := outcomes(first, "no rights")
	refused[0].Denied = true
	in.Ledger.Notes = reserve.Notes(first, refused, reserve.Book{})
	require.Empty(t, reserve.Compute(in).Plan.Changes)
	in.Now = in.Now.Add(2 * time.Minute)
	require.Len(t, reserve.Compute(in).Plan.Changes, 1)
	in.Ledger.Notes = reserve.Notes(first, outcomes(first, "no such interface"), reserve.Book{})
	in.Now = in.Now.Add(24 * time.Hour)
	require.Empty(t, reserve.Compute(in).Plan.Changes)
}
