package sourcetest

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/sources"
)

const toyNetwork = "net/1"

// toyPool is a system of one network that holds addresses for others, right
// unless told otherwise.
type toyPool struct {
	wrong string

	mu    sync.Mutex
	held  []ipam.Reservation
	asked int
}

func (p *toyPool) Snapshot(ctx context.Context) (sources.Snapshot, error) {
	survey, err := p.Survey(ctx)
	return survey.Snapshot, err
}

func (p *toyPool) Survey(ctx context.Context) (sources.Survey, error) {
	if ctx.Err() != nil {
		return sources.Survey{}, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	s := sources.Survey{Held: slices.Clone(p.held), Desk: &toyDesk{pool: p, read: slices.Clone(p.held)}}
	s.Allocations = []ipam.Allocation{{UsedBy: toyNetwork, Kind: ipam.Prefix, Type: "network", Prefix: netip.MustParsePrefix("10.1.2.0/24")}}
	for _, h := range p.held {
		if p.wrong == "lists no allocation" && h.Mark != "" {
			continue
		}
		s.Allocations = append(s.Allocations, ipam.Allocation{UsedBy: h.Ref, Kind: ipam.Address, Type: h.Type, Prefix: ipam.HostPrefix(h.Addr)})
	}
	slices.SortFunc(s.Allocations, ipam.Allocation.Compare)
	if p.wrong != "does not sort" {
		slices.SortFunc(s.Held, ipam.Reservation.Compare)
	}
	return s, nil
}

// toyDesk is a desk that knows one reading of the pool.
type toyDesk struct {
	pool *toyPool
	read []ipam.Reservation
}

func (d *toyDesk) Consider(wish ipam.Reservation) (ipam.Reservation, error) {
	switch d.pool.wrong {
	case "asks to consider":
		d.pool.mu.Lock()
		d.pool.asked++
		d.pool.mu.Unlock()
	case "reserves to consider":
		_, _ = d.Reserve(context.Background(), wish)
	}
	if strings.HasPrefix(string(wish.For), "host/") && d.pool.wrong != "takes what was filled in for a user" {
		wish.For = ""
	}
	if !wish.Addr.IsValid() {
		return wish, fmt.Errorf("reserve on %s: %w", toyNetwork, sources.ErrNoChoice)
	}
	if wish.Network == "" && d.pool.wrong != "completes no network" {
		wish.Network = toyNetwork
	}
	if wish.Ref != "" && d.pool.wrong == "makes no room" {
		return wish, fmt.Errorf("%w: %s is held", sources.ErrRefused, wish.Ref)
	}
	stays := slices.DeleteFunc(slices.Clone(d.read), func(h ipam.Reservation) bool { return h.Ref == wish.Ref })
	return wish, d.pool.refuse(wish, stays)
}

// refuse says why a wish cannot be met.
func (p *toyPool) refuse(wish ipam.Reservation, held []ipam.Reservation) error {
	if wish.Network != toyNetwork && p.wrong != "completes no network" {
		return fmt.Errorf("%w: no network %s", sources.ErrRefused, wish.Network)
	}
	if !netip.MustParsePrefix("10.1.2.0/24").Contains(wish.Addr) && p.wrong != "reserves outside" {
		return fmt.Errorf("%w: %s is outside", sources.ErrRefused, wish.Addr)
	}
	for _, h := range held {
		if h.Addr == wish.Addr && h.MAC != wish.MAC {
			if p.wrong == "refuses with another cause" {
				return fmt.Errorf("%w: %s is taken", sources.ErrUnreachable, wish.Addr)
			}
			return fmt.Errorf("%w: %s is taken", sources.ErrRefused, wish.Addr)
		}
	}
	return nil
}

func (d *toyDesk) Reserve(ctx context.Context, wish ipam.Reservation) (ipam.Reservation, error) {
	p := d.pool
	if ctx.Err() != nil && p.wrong != "ignores the context" {
		return ipam.Reservation{}, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	wish.Ref, wish.Type = ipam.UsedBy("host/"+wish.Addr.String()), "fixed"
	if p.wrong == "loses the mark" {
		wish.Mark = ""
	}
	i := slices.IndexFunc(p.held, func(h ipam.Reservation) bool { return h.Addr == wish.Addr })
	if i >= 0 && p.wrong == "takes over" {
		p.held[i] = wish
		return wish, nil
	}
	if err := p.refuse(wish, p.held); err != nil {
		return ipam.Reservation{}, err
	}
	if i >= 0 && p.wrong == "reserves twice" {
		wish.Name += "'"
	} else if i >= 0 {
		return p.held[i], nil
	}
	p.held = append(p.held, wish)
	return wish, nil
}

func (d *toyDesk) Release(ctx context.Context, held ipam.Reservation) error {
	p := d.pool
	if ctx.Err() != nil && p.wrong != "ignores the context" {
		return ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	i := slices.IndexFunc(p.held, func(h ipam.Reservation) bool { return h.Addr == held.Addr })
	switch {
	case i < 0 && p.wrong == "releases once":
		return fmt.Errorf("%w: %s is not held", sources.ErrRefused, held.Addr)
	case i < 0:
		return nil
	case p.held[i].MAC != held.MAC && p.wrong != "releases what was stolen",
		p.held[i].Mark != held.Mark && p.wrong != "releases what is theirs":
		return fmt.Errorf("%w: %s is another's by now", sources.ErrRefused, held.Addr)
	case p.wrong == "keeps what is released":
		return nil
	}
	p.held = slices.Delete(p.held, i, i+1)
	return nil
}

func toyRoom(testing.TB) Room { return newToyRoom("") }

func newToyRoom(wrong string) Room {
	foreign := func(addr string, mac ipam.MAC) ipam.Reservation {
		return ipam.Reservation{
			Network: toyNetwork, Addr: netip.MustParseAddr(addr), MAC: mac, Name: "somebody",
			Ref: ipam.UsedBy("host/" + addr), Type: "fixed",
		}
	}
	p := &toyPool{wrong: wrong, held: []ipam.Reservation{foreign("10.1.2.9", "52:54:00:00:00:09"), foreign("10.1.2.4", "52:54:00:00:00:04")}}
	return Room{
		Source: p, Network: toyNetwork, MAC: "52:54:00:00:00:01", Name: "printer",
		Free: netip.MustParseAddr("10.1.2.5"), Taken: netip.MustParseAddr("10.1.2.4"), Outside: netip.MustParseAddr("10.9.9.9"),
		Steal: func(tb testing.TB, held ipam.Reservation) {
			p.mu.Lock()
			defer p.mu.Unlock()
			i := slices.IndexFunc(p.held, func(h ipam.Reservation) bool { return h.Addr == held.Addr })
			require.GreaterOrEqual(tb, i, 0)
			p.held[i].MAC = "52:54:00:00:00:02"
		},
		Requests: func() int {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.asked
		},
	}
}

func TestDeskSuitePasses(t *testing.T) { RunDesks(t, Desks{Open: toyRoom}) }

func TestDeskSuiteCatches(t *testing.T) {
	for wrong, promise := range map[string]string{
		"does not sort":                       "Survey is Snapshot, and what it holds is sorted and passes Check",
		"asks to consider":                    "Consider completes the wish, asks nothing and changes nothing",
		"reserves to consider":                "Consider completes the wish, asks nothing and changes nothing",
		"completes no network":                "Consider completes the wish, asks nothing and changes nothing",
		"refuses with another cause":          "an address that is taken is refused",
		"takes over":                          "an address that is taken is refused",
		"reserves outside":                    "an address outside is refused",
		"lists no allocation":                 "what is reserved is held once, with its mark, and is in the Snapshot",
		"makes no room":                       "what is given up for a wish does not stand in its way",
		"takes what was filled in for a user": "the URI of a reservation that is gone names no user",
		"loses the mark":                      "what is reserved is held once, with its mark, and is in the Snapshot",
		"reserves twice":                      "reserved twice is once",
		"releases once":                       "released it is gone, and released twice too",
		"keeps what is released":              "released by many at once it is gone",
		"releases what was stolen":            "what is another's by now is not released",
		"releases what is theirs":             "a reservation with another mark is not released",
		"ignores the context":                 "a context that has ended changes nothing",
	} {
		t.Run(wrong, func(t *testing.T) {
			t.Parallel()
			i := slices.IndexFunc(deskContract(), func(c deskClause) bool { return c.name == promise })
			require.GreaterOrEqual(t, i, 0)
			require.True(t, fails(t, func(tb testing.TB) { deskContract()[i].test(tb, newToyRoom(wrong)) }))
		})
	}
}
