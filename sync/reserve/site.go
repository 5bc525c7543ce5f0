package reserve

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"allocsync/ipam"
)

// typeReservation is the type of the planner's records here; what a reservation
// is at the source is none of the planner's business.
const typeReservation = "reservation"

// site is a source with what concerns it. Nearly every pass finds all that is
// asked for held: what is looked up for each of them stands in maps.
type site struct {
	Source
	rows    []ipam.Stored       // that ask it, by ID
	wanted  map[netip.Addr]bool // their addresses
	entries []Entry
	known   map[spot]Entry        // entries, by what they are of
	made    map[ipam.UsedBy]Entry // likewise, by the URI of the reservation
	at      map[spot][]int        // Held, by index

	asked map[netip.Addr]bool // asked for by rows that are held
	met   map[int]bool        // by index in Held: dealt with

	prefixes func() []byte // digest of the networks in Facts
}

// spot is an address of a network.
type spot struct {
	network ipam.UsedBy
	addr    netip.Addr
}

func spotOf(r ipam.Reservation) spot { return spot{r.Network, r.Addr} }

func newSite(s Source, in Input) *site {
	t := &site{
		Source: s, wanted: map[netip.Addr]bool{}, known: map[spot]Entry{}, made: map[ipam.UsedBy]Entry{}, at: map[spot][]int{},
		asked: map[netip.Addr]bool{}, met: map[int]bool{}, prefixes: sync.OnceValue(func() []byte { return digestOfNetworks(s.Facts) }),
	}
	for _, r := range in.Rows {
		if r.ReserveAt == s.Owner && r.Place.Kind == ipam.Address {
			t.rows = append(t.rows, r)
			t.wanted[r.Place.Prefix.Addr()] = true
		}
	}
	slices.SortFunc(t.rows, func(a, b ipam.Stored) int { return a.ID - b.ID })
	for _, e := range in.Ledger.Entries {
		if e.Owner == s.Owner {
			t.entries = append(t.entries, e)
		}
	}
	for _, e := range slices.Backward(t.entries) { // of several the first counts
		t.known[spotOf(e.Wish)], t.made[e.Wish.Ref] = e, e
	}
	for i, h := range s.Held {
		t.at[spotOf(h)] = append(t.at[spotOf(h)], i)
	}
	return t
}

// ours reports whether a reservation was made here and is still what was made.
func (s *site) ours(h ipam.Reservation) bool {
	e, known := s.known[spotOf(h)]
	switch {
	case !known || !h.Unmarkable && h.Mark != s.Owner || e.Wish.MAC != h.MAC:
		return false
	case !e.Made:
		return e.Wish.For == h.For
	case e.Wish.Unmarkable != h.Unmarkable: // of another kind
		return false
	case h.MAC != "" && e.Wish.For == "":
		return true // a node with this MAC, if there is one now, came later
	case h.MAC != "":
		return e.Wish.For == h.For
	}
	return e.Wish.For == h.For && e.Wish.Ref == h.Ref
}

// may reports whether a row may ask: it is nobody's, or the source's own.
func (s *site) may(row ipam.Stored) bool { return row.Owner == "" || row.Owner == s.Owner }

// places returns the rows that ask by place, in the order of their first IDs.
func (s *site) places() [][]ipam.Stored {
	var list [][]ipam.Stored
	at := map[ipam.Place]int{}
	for _, row := range s.rows {
		i, known := at[row.Place]
		if !known {
			i = len(list)
			at[row.Place], list = i, append(list, nil)
		}
		list[i] = append(list[i], row)
	}
	return list
}

// decides returns which of the rows of one place, in the order of their IDs,
// decides: the first that is met already, else the first that may ask.
func (s *site) decides(rows []ipam.Stored) int {
	first := -1
	for i, row := range rows {
		if !s.may(row) {
			continue
		}
		if first < 0 {
			first = i
		}
		asked := s.wishOf(row)
		asked.Network, _ = s.networkOf(row)
		for _, at := range s.at[spotOf(asked)] {
			if len(rows) > 1 && s.ours(s.Held[at]) && Meets(s.Held[at], asked) {
				return i
			}
		}
	}
	return max(first, 0)
}

// moving finds a reservation of ours for the same MAC or user of which no row
// asks for the address any more: the one that is to be had elsewhere.
func (s *site) moving(asked ipam.Reservation) ipam.UsedBy {
	for _, h := range s.Held {
		same := asked.MAC != "" && asked.MAC == h.MAC || asked.For != "" && (asked.For == h.For || asked.For == h.Ref)
		if same && !s.wanted[h.Addr] && h.Network == asked.Network && s.ours(h) {
			return h.Ref
		}
	}
	return ""
}

// Meets reports whether a reservation, of an address, is what is asked for of
// it. What names neither MAC nor user is content with any; a row may name the
// reservation itself, which is what was filled in.
func Meets(h, asked ipam.Reservation) bool {
	if asked.MAC != "" && asked.MAC != h.MAC {
		return false
	}
	return asked.For == "" || asked.For == h.For || asked.For == h.Ref
}

// wishOf is what a row asks for. Its used_by may be what was filled in for a
// reservation that has gone since: then it says nothing of for whom it is.
func (s *site) wishOf(row ipam.Stored) ipam.Reservation {
	r := ipam.Reservation{Addr: row.Place.Prefix.Addr(), MAC: row.Attrs.MAC, For: row.Attrs.UsedBy, Name: row.Attrs.DNSName, Mark: s.Owner}
	if e, ok := s.made[r.For]; ok && r.For != "" {
		r.For = e.Wish.For
	}
	return r
}

// networkOf finds the smallest network that has a row's address in its table.
// Without one it says why.
func (s *site) networkOf(row ipam.Stored) (uri ipam.UsedBy, why string) {
	addr := row.Place.Prefix.Addr()
	var found []Network // the smallest
	var elsewhere []string
	for _, n := range s.Networks {
		switch {
		case !n.Prefix.Contains(addr):
		case n.VRF != row.Place.VRF:
			elsewhere = append(elsewhere, fmt.Sprintf("%s %s", n.Prefix, table(n.VRF)))
		case len(found) == 0 || n.Prefix.Bits() > found[0].Prefix.Bits():
			found = []Network{n}
		case n.Prefix.Bits() == found[0].Prefix.Bits() && n.URI != found[0].URI:
			found = append(found, n)
		}
	}
	switch {
	case len(found) == 1:
		return found[0].URI, ""
	case len(found) > 1:
		return "", fmt.Sprintf("%s and %s both have this address %s; give them VRFs of their own by a rule", found[0].URI, found[1].URI, table(row.Place.VRF))
	case len(elsewhere) > 0:
		slices.Sort(elsewhere)
		return "", fmt.Sprintf("the row stands %s, and the network with this address is %s", table(row.Place.VRF), strings.Join(slices.Compact(elsewhere), ", "))
	}
	return "", "no network of the source has this address"
}

func table(vrf string) string {
	if vrf == "" {
		return "in the global table"
	}
	return "in VRF " + vrf
}

// tableOf is the VRF in which NetBox has the addresses of a reservation's
// network, by the rules or as it was when the reservation was made, and the
// length of that network: of the address itself where the network has gone.
func (s *site) tableOf(h ipam.Reservation) (vrf string, bits int) {
	best := -1
	for i, n := range s.Networks {
		if n.URI == h.Network && n.Prefix.Contains(h.Addr) && (best < 0 || n.Prefix.Bits() > s.Networks[best].Prefix.Bits()) {
			best = i
		}
	}
	if best >= 0 {
		return s.Networks[best].VRF, s.Networks[best].Prefix.Bits()
	}
	return s.known[spotOf(h)].VRF, h.Addr.BitLen()
}

// record is a reservation as the planner sees it. Its user is for whom it is;
// one that is held for nobody is its own user, so that it is not taken for
// another that nobody has.
func (s *site) record(vrf string, r ipam.Reservation) ipam.Record {
	host := ipam.HostPrefix(r.Addr)
	user := ipam.UsedBy(whom(r))
	if user == "" {
		user = "nobody in particular"
	}
	return ipam.Record{
		Owner: s.Owner, Place: ipam.PlaceOf(vrf, ipam.Address, host),
		Attrs: ipam.Attrs{Mask: s.length(vrf, r.Addr), UsedBy: user, Type: typeReservation, MAC: r.MAC, DNSName: r.Name},
	}
}

// length is the length of the smallest network around an address.
func (s *site) length(vrf string, addr netip.Addr) int {
	bits := 0
	for _, n := range s.Networks {
		if n.VRF == vrf && n.Prefix.Contains(addr) {
			bits = max(bits, n.Prefix.Bits())
		}
	}
	if bits == 0 {
		return addr.BitLen()
	}
	return bits
}

// forgotten lists the entries of which the source holds nothing that is ours any
// more, and for which no row asks.
func (s *site) forgotten() []Entry {
	var list []Entry
	for _, e := range s.entries {
		held := slices.ContainsFunc(s.at[spotOf(e.Wish)], func(i int) bool { return s.ours(s.Held[i]) })
		if !held && !s.wanted[e.Wish.Addr] {
			list = append(list, e)
		}
	}
	return list
}

// fingerprint is a digest of all that the answer to a wish depends on, as far as
// it can be seen: the row, the networks, and what the source says of the
// address, the MAC and the user.
func (s *site) fingerprint(row ipam.Stored, wish ipam.Reservation) string {
	h := sha256.New()
	fmt.Fprintf(h, "%v %v %s\n%x\n", row.Record, row.LastUpdated.Unix(), wish, s.prefixes())
	for _, a := range s.Facts {
		if a.Kind == ipam.Prefix {
			continue
		}
		if a.Prefix.Addr() == wish.Addr || a.MAC != "" && a.MAC == wish.MAC || wish.For != "" && a.UsedBy == wish.For {
			fmt.Fprintf(h, "%v\n", a)
		}
	}
	for _, r := range s.Held {
		if r.Addr == wish.Addr || r.MAC != "" && r.MAC == wish.MAC || wish.For != "" && r.For == wish.For {
			r.InUse = ""
			fmt.Fprintf(h, "%v\n", r)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func digestOfNetworks(facts []ipam.Allocation) []byte {
	h := sha256.New()
	for _, a := range facts {
		if a.Kind == ipam.Prefix {
			fmt.Fprintf(h, "%v\n", a)
		}
	}
	return h.Sum(nil)
}
