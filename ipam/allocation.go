package ipam

import (
	"cmp"
	"fmt"
	"net/netip"
)

// Allocation is one fact as a source states it: this prefix or address is in
// use, by this user. A source states facts and makes no choices: what NetBox
// should hold because of them is decided by package mapping.
//
// One address may stand in several allocations of one source. They are all
// kept; sync/plan decides between them by its documented precedence.
type Allocation struct {
	UsedBy UsedBy
	Kind   Kind

	// Prefix is, for a Prefix, the masked network; for an Address, the host
	// with the mask the source wrote (10.1.2.1/24 of a gateway, /32 or /128
	// where the source knows none). Always canonical: see ParsePrefix.
	Prefix netip.Prefix

	// Type is the source's own word: network, instance, network-forward,
	// network-load-balancer, fixed, floating, reservation, route.
	Type string

	Network string // name of the network at the source; "" where not known
	Project string // project, tenant or pool at the source; "" where it has none
	Name    string // display name of the user: the instance's or network's name
	MAC     MAC
	NAT     bool // the network hides these addresses behind NAT

	// Dynamic says that the address is a lease and not part of the user's
	// configuration. False also where the source cannot tell.
	Dynamic bool

	Inside  netip.Addr // of a floating address: the fixed address behind it
	NextHop netip.Addr // of a route
}

// Check says what makes a an impossible fact, or returns nil. Sources check
// every allocation before they hand it out, so that nothing behind them has to.
func (a Allocation) Check() error {
	if _, err := ParseUsedBy(string(a.UsedBy)); err != nil {
		return err
	}
	if a.Kind != Prefix && a.Kind != Address {
		return fmt.Errorf("allocation of %s: unknown kind %d", a.UsedBy, a.Kind)
	}
	if !a.Prefix.IsValid() {
		return fmt.Errorf("allocation of %s: no address", a.UsedBy)
	}
	if addr := a.Prefix.Addr(); addr.Is4In6() || addr.Zone() != "" {
		return fmt.Errorf("allocation of %s: %s is not in canonical form", a.UsedBy, a.Prefix)
	}
	if a.Kind == Prefix && a.Prefix != a.Prefix.Masked() {
		return fmt.Errorf("allocation of %s: prefix %s has host bits set", a.UsedBy, a.Prefix)
	}
	if a.Type == "" {
		return fmt.Errorf("allocation of %s: no type", a.UsedBy)
	}
	return nil
}

// Compare orders allocations by kind, address, length, user and then every
// other field, so that it is 0 only for equal allocations.
func (a Allocation) Compare(b Allocation) int {
	if a.Kind != b.Kind {
		return cmp.Compare(a.Kind, b.Kind)
	}
	if c := ComparePrefix(a.Prefix, b.Prefix); c != 0 {
		return c
	}
	return cmp.Or(
		cmp.Compare(a.UsedBy, b.UsedBy),
		cmp.Compare(a.Type, b.Type),
		cmp.Compare(a.Project, b.Project),
		cmp.Compare(a.Network, b.Network),
		cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.MAC, b.MAC),
		compareBool(a.NAT, b.NAT),
		compareBool(a.Dynamic, b.Dynamic),
		a.Inside.Compare(b.Inside),
		a.NextHop.Compare(b.NextHop),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
