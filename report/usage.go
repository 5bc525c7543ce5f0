package report

import (
	"net/netip"

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

	// Outside is how many distinct addresses lie in no prefix of Prefixes.
	Outside int
}

// Empty reports whether nothing was counted.
func (u Usage) Empty() bool { return len(u.Counts) == 0 && len(u.Prefixes) == 0 }

// Count is how many distinct prefixes and addresses one source hands out for
// one type in one network.
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
	ByType  []TypeUsed // sums up to Used
}

// TypeUsed is how many of a prefix's addresses one type of user holds.
type TypeUsed struct {
	Type string
	Used int
}
