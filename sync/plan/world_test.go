package plan_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"allocsync/ipam"
	"allocsync/sync/plan"
)

// size says how a random world is shaped. Few places and few users make
// collisions, moves and swaps frequent.
type size struct {
	hosts, nets, users int // per VRF and family
	claims, rows       int // at most
}

var (
	tiny  = size{hosts: 3, nets: 2, users: 3, claims: 6, rows: 6}
	crowd = size{hosts: 1, nets: 1, users: 3, claims: 5, rows: 9} // most rows share their place
	small = size{hosts: 4, nets: 2, users: 5, claims: 14, rows: 14}
	large = size{hosts: 250, nets: 40, users: 300, claims: 1200, rows: 1200}
)

// The names that random worlds draw from. Rows may belong to owners that are
// not configured: "" is somebody else, c is a source in some worlds only.
var (
	owners = []string{"x/a", "x/b", "x/c"}
	vrfs   = []string{"", "red", "dup"}
	unique = map[string]bool{"": true, "red": true, "dup": false} // dup lets rows share a place
	macs   = []ipam.MAC{"", "", "", "00:16:3e:00:00:01", "00:16:3e:00:00:02"}
	types  = []string{"instance", "instance", "network"}
	states = []string{"", "", "active", "reserved", "deprecated"}
)

// newRandomWorld makes the world that belongs to a seed.
func newRandomWorld(seed uint64, s size) plan.Input {
	return newDrawnWorld(rand.NewPCG(seed, 0x6a09e667f3bcc908), s)
}

// newDrawnWorld makes a world by drawing from a source of numbers.
func newDrawnWorld(from rand.Source, s size) plan.Input {
	g := generator{Rand: rand.New(from), size: s}
	g.configured = g.sources()
	in := plan.Input{Now: now, Sources: g.configured}
	for range g.IntN(s.claims + 1) {
		in.Claims = append(in.Claims, g.claim())
	}
	in.Current = g.rows(in.Claims)
	for _, r := range in.Current {
		if g.chance(4) { // read twice, and perhaps changed in between
			if g.chance(50) {
				r.LastUpdated = r.LastUpdated.Add(-time.Minute)
				r.Attrs.UsedBy = g.attrs(r.Place).UsedBy
			}
			in.Current = append(in.Current, r)
		}
	}
	return in
}

// readOnce is what NetBox holds where some rows were read twice.
func readOnce(rows []ipam.Stored) []ipam.Stored {
	var once []ipam.Stored
	index := map[rowKey]int{}
	for _, r := range rows {
		i, seen := index[keyOf(r)]
		switch {
		case !seen:
			index[keyOf(r)] = len(once)
			once = append(once, r)
		case r.LastUpdated.After(once[i].LastUpdated):
			once[i] = r
		}
	}
	return once
}

type generator struct {
	*rand.Rand
	size
	configured []plan.Source
}

// owner is mostly a configured one.
func (g generator) owner() string {
	if g.chance(10) {
		return pick(g, owners)
	}
	return pick(g, g.configured).Owner
}

func pick[T any](g generator, from []T) T { return from[g.IntN(len(from))] }

func (g generator) chance(percent int) bool { return g.IntN(100) < percent }

func (g generator) sources() []plan.Source {
	var sources []plan.Source
	for _, i := range g.Perm(len(owners))[:1+g.IntN(len(owners))] {
		s := plan.Source{Owner: owners[i], Allow: plan.AllowAll()}
		if g.chance(20) {
			s.Missing = []string{"host h2: timed out"}
		}
		if g.chance(15) {
			s.Allow = plan.Allow{Create: g.chance(50), Update: g.chance(50), Delete: g.chance(50)}
		}
		if g.chance(35) {
			s.Gone = plan.Gone{Deprecate: true, After: 72 * time.Hour}
		}
		sources = append(sources, s)
	}
	return sources
}

func (g generator) place() ipam.Place {
	kind := ipam.Address
	if g.chance(25) {
		kind = ipam.Prefix
	}
	return g.placeIn(pick(g, vrfs), kind, g.chance(30))
}

func (g generator) placeIn(vrf string, kind ipam.Kind, v6 bool) ipam.Place {
	if kind == ipam.Prefix {
		i := 1 + g.IntN(g.nets)
		if v6 {
			return ipam.PlaceOf(vrf, ipam.Prefix, netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 0, byte(i)}), 64))
		}
		return ipam.PlaceOf(vrf, ipam.Prefix, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), 0}), 24))
	}
	i := 1 + g.IntN(g.hosts)
	if v6 {
		return ipam.PlaceOf(vrf, ipam.Address, ipam.HostPrefix(netip.AddrFrom16([16]byte{0: 0xfd, 14: byte(i >> 8), 15: byte(i)})))
	}
	return ipam.PlaceOf(vrf, ipam.Address, ipam.HostPrefix(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})))
}

// attrs are what every row and claim says; the rest is drawn by unmanaged.
func (g generator) attrs(p ipam.Place) ipam.Attrs {
	a := ipam.Attrs{UsedBy: ipam.UsedBy(fmt.Sprintf("/u/%d", g.IntN(g.users))), Type: pick(g, types)}
	if p.Kind == ipam.Address {
		a.MAC = pick(g, macs)
		a.Mask = p.Prefix.Bits()
		if g.chance(20) {
			a.Mask -= 8
		}
	}
	return a
}

// unmanaged draws the fields that a rule may leave unset.
func (g generator) unmanaged(a *ipam.Attrs) {
	a.Status = pick(g, states)
	a.Role = pick(g, []string{"", "", "vip"})
	a.Tenant = pick(g, []string{"", "", "blue"})
	a.DNSName = pick(g, []string{"", "", "u.example"})
	a.Description = pick(g, []string{"", "", "by hand"})
	a.Tags = pick(g, []ipam.Tags{"", "", "edge", "edge,lxd"})
	a.Inside = pick(g, []netip.Addr{{}, {}, netip.AddrFrom4([4]byte{192, 0, 2, 1})})
}

func (g generator) claim() ipam.Claim {
	c := ipam.Claim{Rank: uint8(g.IntN(2))}
	c.Owner = g.owner()
	c.Place = g.place()
	c.Attrs = g.attrs(c.Place)
	if g.chance(50) {
		g.unmanaged(&c.Attrs)
		if c.Attrs.Status == "deprecated" && g.chance(80) {
			c.Attrs.Status = ""
		}
	}
	return c
}

// rows draws what NetBox holds: some rows made from claims, so that they are
// in step or nearly so, the rest at random. Prefixes and addresses count their
// IDs apart, as NetBox does.
func (g generator) rows(claims []ipam.Claim) []ipam.Stored {
	var rows []ipam.Stored
	taken := map[ipam.Place]bool{}
	next := map[ipam.Kind]int{}
	for range g.IntN(g.size.rows + 1) {
		var s ipam.Stored
		if len(claims) > 0 && g.chance(50) {
			s.Record = pick(g, claims).Record
			if g.chance(20) {
				s.Attrs.UsedBy = g.attrs(s.Place).UsedBy
			}
			switch {
			case g.chance(40): // its user had another address
				s.Place = g.placeIn(s.Place.VRF, s.Place.Kind, s.Place.Prefix.Addr().Is6())
			case g.chance(15):
				s.Place = g.place()
				a := g.attrs(s.Place)
				s.Attrs.Mask, s.Attrs.MAC = a.Mask, a.MAC
			}
		} else {
			s.Place = g.place()
			s.Attrs = g.attrs(s.Place)
			g.unmanaged(&s.Attrs)
			s.Owner = g.owner()
		}
		if unique[s.Place.VRF] && taken[s.Place] {
			continue
		}
		taken[s.Place] = true
		g.own(&s)
		next[s.Place.Kind] += 1 + g.IntN(2)
		s.ID = next[s.Place.Kind]
		s.LastUpdated = now.Add(-time.Duration(g.IntN(1000)) * time.Minute)
		rows = append(rows, s)
	}
	g.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	return rows
}

// own settles whose row it is and since when it is gone.
func (g generator) own(s *ipam.Stored) {
	if s.Attrs.Status == "" {
		s.Attrs.Status = "active" // NetBox has no row without a status
	}
	if g.chance(10) {
		s.ReserveAt = pick(g, owners)
	}
	switch {
	case g.chance(10):
		s.Owner = "y/other"
	case g.chance(20):
		if g.chance(70) {
			s.ReserveAt = s.Owner // of the claim that the row is made from, if it is
		}
		s.Owner = ""
		if g.chance(50) {
			s.Attrs.UsedBy, s.Attrs.Type, s.Attrs.MAC = "", "", ""
		}
		if g.chance(10) {
			s.Attrs.GoneUnix = short // a person copied the row
		}
	case g.chance(25):
		s.Attrs.GoneUnix = now.Add(-time.Duration(g.IntN(144)) * time.Hour).Unix()
		s.Attrs.Status = "deprecated"
	}
}

// newShuffled is in with its claims and rows in another order. The order of
// the sources has a meaning and stays.
func newShuffled(in plan.Input, seed uint64) plan.Input {
	r := rand.New(rand.NewPCG(seed, 1))
	in = newCopy(in)
	r.Shuffle(len(in.Claims), func(i, j int) { in.Claims[i], in.Claims[j] = in.Claims[j], in.Claims[i] })
	r.Shuffle(len(in.Current), func(i, j int) { in.Current[i], in.Current[j] = in.Current[j], in.Current[i] })
	return in
}

// newCopy shares nothing with in.
func newCopy(in plan.Input) plan.Input {
	in.Claims, in.Current, in.Sources = slices.Clone(in.Claims), slices.Clone(in.Current), slices.Clone(in.Sources)
	for i := range in.Sources {
		in.Sources[i].Missing = slices.Clone(in.Sources[i].Missing)
	}
	return in
}
