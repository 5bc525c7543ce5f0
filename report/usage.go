package report

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"allocsync/ipam"
)

// Allocation is an allocation and the source that stated it.
type Allocation struct {
	Source string
	ipam.Allocation
}

// Usage is what the sources hand out, counted.
type Usage struct {
	Counts   []Count
	Prefixes []Utilisation

	// Outside is how many distinct addresses are in no prefix of Prefixes.
	Outside int
}

// Empty reports whether nothing was counted.
func (u Usage) Empty() bool { return len(u.Counts) == 0 && len(u.Prefixes) == 0 }

// Count is how many distinct prefixes and addresses one source hands out for
// one type in one network. An address with users of two types is in both.
type Count struct {
	Source   string
	Network  string // "" where not known
	Type     string
	Prefixes int
	IPv4     int
	IPv6     int
}

// Utilisation is how much of one network's prefix is in use.
type Utilisation struct {
	Source  string
	Network string // "" where not known
	Prefix  netip.Prefix
	NAT     bool
	Used    int        // distinct addresses
	ByType  []TypeUsed // sums up to Used; in the order of the types
}

// TypeUsed is how many addresses one type of user holds.
type TypeUsed struct {
	Type string
	Used int
}

// UsageOf counts allocations, in whatever order they come.
//
// Prefixes are those that a source states, and those of the networks whose own
// address it states with a length; single hosts and the default route are
// not. An address is counted once for each source and network, in the longest
// prefix of that source that holds it: of its own network where it names one
// that has such a prefix, else of any network, and where two networks have
// that same prefix, in none (Outside) rather than in the wrong one. The type
// of an address with several users is that of the first in the order of
// ipam.Allocation.Compare.
func UsageOf(in []Allocation) Usage {
	sorted := slices.Clone(in)
	slices.SortStableFunc(sorted, func(a, b Allocation) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), a.Allocation.Compare(b.Allocation))
	})
	c := census{
		counts:   map[Count]int{},
		prefixes: map[site]int{},
		lengths:  map[string][]int{},
		seen:     map[sighting]bool{},
		types:    map[site]map[string]int{},
	}
	for i := range sorted {
		c.network(&sorted[i])
	}
	for i := range sorted {
		c.count(&sorted[i])
		if sorted[i].Kind == ipam.Address {
			c.place(&sorted[i])
		}
	}
	return c.usage()
}

// census is one count.
type census struct {
	result   Usage
	counts   map[Count]int    // of the zero counts to the index in result.Counts
	prefixes map[site]int     // to the index in result.Prefixes
	lengths  map[string][]int // of a source's prefixes, longest first
	seen     map[sighting]bool
	types    map[site]map[string]int
}

// site is a prefix of a network of a source. The network anyNetwork stands for
// whichever has it; its index is ambiguous where several do.
type site struct {
	source, network string
	prefix          netip.Prefix
}

// sighting is an address or prefix in one row of a count.
type sighting struct {
	site
	typ  string
	kind ipam.Kind
}

const (
	anyNetwork = "\x00"
	ambiguous  = -1
)

// network takes note of the prefix that a states.
func (c *census) network(a *Allocation) {
	if a.Kind == ipam.Address && a.Type != "network" {
		return
	}
	p := a.Prefix.Masked()
	if p.IsSingleIP() || p.Bits() <= 0 {
		return
	}
	at := site{a.Source, a.Network, p}
	if i, known := c.prefixes[at]; known {
		c.result.Prefixes[i].NAT = c.result.Prefixes[i].NAT || a.NAT
		return
	}
	index := len(c.result.Prefixes)
	c.result.Prefixes = append(c.result.Prefixes, Utilisation{Source: a.Source, Network: a.Network, Prefix: p, NAT: a.NAT})
	c.prefixes[at] = index
	whichever := site{a.Source, anyNetwork, p}
	if _, known := c.prefixes[whichever]; known {
		index = ambiguous
	}
	c.prefixes[whichever] = index
	if !slices.Contains(c.lengths[a.Source], p.Bits()) {
		c.lengths[a.Source] = append(c.lengths[a.Source], p.Bits())
		slices.SortFunc(c.lengths[a.Source], func(a, b int) int { return b - a })
	}
}

func (c *census) count(a *Allocation) {
	key := Count{Source: a.Source, Network: a.Network, Type: a.Type}
	p := a.Prefix
	if a.Kind == ipam.Address {
		p = ipam.HostPrefix(p.Addr())
	}
	seen := sighting{site{a.Source, a.Network, p}, a.Type, a.Kind}
	if c.seen[seen] {
		return
	}
	c.seen[seen] = true
	i, known := c.counts[key]
	if !known {
		i = len(c.result.Counts)
		c.counts[key] = i
		c.result.Counts = append(c.result.Counts, key)
	}
	switch row := &c.result.Counts[i]; {
	case a.Kind == ipam.Prefix:
		row.Prefixes++
	case p.Addr().Is4():
		row.IPv4++
	default:
		row.IPv6++
	}
}

// place counts an address in the prefix that holds it.
func (c *census) place(a *Allocation) {
	addr := a.Prefix.Addr()
	index := ambiguous
	for _, network := range []string{a.Network, anyNetwork} {
		if index = c.holder(a.Source, network, addr); index != ambiguous {
			break
		}
	}
	host := site{a.Source, "", ipam.HostPrefix(addr)}
	if index != ambiguous {
		host.network = c.result.Prefixes[index].Network
	}
	seen := sighting{site: host, typ: anyNetwork}
	if c.seen[seen] {
		return
	}
	c.seen[seen] = true
	if index == ambiguous {
		c.result.Outside++
		return
	}
	u := &c.result.Prefixes[index]
	u.Used++
	at := site{u.Source, u.Network, u.Prefix}
	if c.types[at] == nil {
		c.types[at] = map[string]int{}
	}
	c.types[at][a.Type]++
}

// holder finds the longest prefix of a network that holds addr.
func (c *census) holder(source, network string, addr netip.Addr) int {
	for _, bits := range c.lengths[source] {
		p, err := addr.Prefix(bits)
		if err != nil {
			continue // the length is one of the other family
		}
		if i, known := c.prefixes[site{source, network, p}]; known {
			return i
		}
	}
	return ambiguous
}

func (c *census) usage() Usage {
	for at, types := range c.types {
		u := &c.result.Prefixes[c.prefixes[at]]
		for _, typ := range slices.Sorted(maps.Keys(types)) {
			u.ByType = append(u.ByType, TypeUsed{typ, types[typ]})
		}
	}
	slices.SortFunc(c.result.Counts, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Network, b.Network), cmp.Compare(a.Type, b.Type))
	})
	slices.SortFunc(c.result.Prefixes, func(a, b Utilisation) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Network, b.Network), ipam.ComparePrefix(a.Prefix, b.Prefix))
	})
	return c.result
}
