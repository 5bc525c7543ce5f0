package worker

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"allocsync/ipam"
	"allocsync/sync/plan"
	"allocsync/sync/reserve"
)

// Reservation is one address that a source holds, or is asked to hold.
type Reservation struct {
	Source string
	VRF    string
	Mask   int // length of its network
	ipam.Reservation
	Row    int // ID in NetBox of the row that asks for it; 0 for none
	State  State
	Reason string // of what is asked for and not held: why
}

// State says how a reservation stands.
type State string

// The states of a reservation.
const (
	Held    State = "held"           // at the source, made here
	Foreign State = "held by others" // at the source, made by somebody else
	Asked   State = "asked for"      // in NetBox, not held at the source
)

// spot is an address of a table.
type spot struct {
	vrf  string
	addr netip.Addr
}

// list puts what is held and what is asked for side by side.
func (o *office) list() []Reservation {
	name := o.reading.Source.Name
	rows := map[spot]int{} // IDs of those that ask
	for _, row := range o.asking {
		rows[spot{row.Place.VRF, row.Place.Prefix.Addr()}] = row.ID
	}
	var list []Reservation
	for _, h := range o.proposal.back.Holdings() {
		r := Reservation{Source: name, VRF: h.VRF, Mask: h.Mask, Reservation: h.Reservation, Row: rows[spot{h.VRF, h.Addr}], State: Foreign}
		if h.Ours {
			r.State = Held
		}
		list = append(list, r)
	}
	planned := o.planned()
	for _, row := range o.asking {
		reason, blocked := o.proposal.back.Why(row.ID)
		if !blocked && planned[row.Place] {
			reason = "the next pass asks the source"
		} else if !blocked {
			continue
		}
		list = append(list, Reservation{
			Source: name, VRF: row.Place.VRF, Mask: row.Attrs.Mask, Row: row.ID, State: Asked, Reason: reason,
			Reservation: ipam.Reservation{Addr: row.Place.Prefix.Addr(), MAC: row.Attrs.MAC, For: row.Attrs.UsedBy, Name: row.Attrs.DNSName},
		})
	}
	slices.SortFunc(list, func(a, b Reservation) int {
		return cmp.Or(cmp.Compare(a.VRF, b.VRF), a.Addr.Compare(b.Addr), a.Compare(b.Reservation), cmp.Compare(a.State, b.State))
	})
	return list
}

// planned are the places of which the source would be asked.
func (o *office) planned() map[ipam.Place]bool {
	places := map[ipam.Place]bool{}
	for _, c := range o.proposal.Plan.Reservations.Changes {
		if c.Action != plan.Delete {
			places[c.After.Place] = true
		}
	}
	return places
}

// network finds the network that a request names, by CIDR, name, ID or URI: the
// part of it with addr in it, or its IPv4 part, or its only one.
func (o *office) network(word string, addr netip.Addr) (reserve.Network, error) {
	site := siteOf(o.reading, o.answers[0], o.proposal.Mapped.Claims)
	var found []reserve.Network
	for _, n := range site.Networks {
		if o.named(n, word) && (!addr.IsValid() || n.Prefix.Contains(addr)) {
			found = append(found, n)
		}
	}
	slices.SortFunc(found, func(a, b reserve.Network) int {
		return cmp.Or(ipam.ComparePrefix(a.Prefix, b.Prefix), cmp.Compare(a.URI, b.URI))
	})
	switch {
	case len(found) == 0:
		return reserve.Network{}, fmt.Errorf("%w: source %s has no network %q%s; there are: %s", ErrRequest, o.reading.Source.Name, word, with(addr), networksText(site.Networks))
	case slices.ContainsFunc(found, func(n reserve.Network) bool { return n.URI != found[0].URI }):
		return reserve.Network{}, fmt.Errorf("%w: network %q of source %s is one of %s; name its URI", ErrRequest, word, o.reading.Source.Name, networksText(found))
	}
	return found[0], nil
}

func with(addr netip.Addr) string {
	if !addr.IsValid() {
		return ""
	}
	return " with " + addr.String()
}

// named reports whether word is one of a network's names.
func (o *office) named(n reserve.Network, word string) bool {
	if word == "" || word == string(n.URI) {
		return true
	}
	if p, err := ipam.ParsePrefix(word); err == nil {
		return p.Masked() == n.Prefix && strings.Contains(word, "/")
	}
	if path := strings.TrimRight(n.URI.Path(), "/"); path[strings.LastIndex(path, "/")+1:] == word {
		return true
	}
	return slices.ContainsFunc(o.reading.Snapshot.Allocations, func(a ipam.Allocation) bool {
		return a.Kind == ipam.Prefix && a.UsedBy == n.URI && (a.Network == word || a.Name == word)
	})
}

// networksText lists some networks for a message.
func networksText(list []reserve.Network) string {
	const few = 10
	var texts []string
	for _, n := range list[:min(len(list), few)] {
		texts = append(texts, fmt.Sprintf("%s (%s)", n.Prefix, n.URI))
	}
	if len(list) > few {
		texts = append(texts, fmt.Sprintf("and %d more", len(list)-few))
	}
	return strings.Join(texts, ", ")
}

func tablesOf(list []Reservation) string {
	var texts []string
	for _, r := range list {
		texts = append(texts, strings.TrimSpace(string(r.Network)+" "+r.VRF))
	}
	return strings.Join(texts, ", ")
}

// dnsName is a name as far as NetBox takes it for a DNS name; description is the
// rest.
func dnsName(name string) string {
	for _, r := range name {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789*-._", r) {
			return ""
		}
	}
	return strings.ToLower(name)
}

func description(name string) string {
	if name == "" || dnsName(name) != "" {
		return ""
	}
	const most = 180 // NetBox takes 200 characters
	runes := []rune(name)
	return "reserved for " + string(runes[:min(len(runes), most)])
}
