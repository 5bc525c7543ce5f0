package ipam

import (
	"cmp"
	"fmt"
	"net/netip"
)

// Reservation is an address that a source holds for somebody: as a person
// wants it, or as the source has it. Allocation is the other direction: what
// a source hands out by itself. A reservation that is held is an allocation
// too, of the same network and address.
//
// Who it is for decides what it is at the source:
//
//	For  MAC   meaning
//	set  any   an address of a node or instance; MAC picks the interface
//	""   set   an address for whatever has this MAC, which the source serves by DHCP
//	""   ""    an address that the source keeps out of use
type Reservation struct {
	// Network is the URI of the network, as Allocation.UsedBy of the network's
	// prefix. In a wish "" means the only network that holds Addr.
	Network UsedBy

	// Addr is the address. In a wish the zero Addr lets the source choose.
	Addr netip.Addr

	MAC  MAC    // of the interface; "" where none is named or known
	For  UsedBy // URI of the node or instance; "" where there is none
	Name string // host name, or who it is for in words; "" where there is none

	// NIC is the name of the interface of For, in place of its MAC, as its own
	// system calls it: eth0, enp1s0. Only in a wish, and gone once it is
	// completed.
	NIC string

	// What follows is of one that is held, and "" in a wish but for Ref and Mark.

	// Ref is the URI of the reservation: Allocation.UsedBy of the allocation
	// that Snapshot states because of it. In a wish it names one of the same
	// address, or of the same MAC or user, that is to be given up for it.
	Ref  UsedBy
	Type string // Allocation.Type of that allocation

	// Mark is whose it is as the source keeps it, INSTALLATION/SOURCE: what
	// Reserve was told in a wish. "" is that of somebody else, or lost.
	Mark string

	// Unmarkable says that the source has no room for a mark on reservations
	// of this kind.
	Unmarkable bool

	// InUse says in a few words who uses the address at the moment: "web-1
	// runs", "leased to 52:54:00:00:00:01". "" where nobody does, as far as the
	// source knows.
	InUse string
}

// Check says what makes r impossible, or returns nil. Sources check what they
// hold before they hand it out, so that nothing behind them has to.
func (r Reservation) Check() error {
	if _, err := ParseUsedBy(string(r.Network)); err != nil {
		return fmt.Errorf("reservation of %s: network: %w", r.Addr, err)
	}
	if !r.Addr.IsValid() {
		return fmt.Errorf("reservation on %s: no address", r.Network)
	}
	if r.Addr.Is4In6() || r.Addr.Zone() != "" {
		return fmt.Errorf("reservation of %s: not in canonical form", r.Addr)
	}
	if _, err := ParseUsedBy(string(r.Ref)); err != nil {
		return fmt.Errorf("reservation of %s: %w", r.Addr, err)
	}
	if r.Type == "" {
		return fmt.Errorf("reservation of %s: no type", r.Addr)
	}
	return nil
}

// Compare orders reservations by network and address, then by every other
// field, so that it is 0 only for equal ones.
func (r Reservation) Compare(s Reservation) int {
	return cmp.Or(
		cmp.Compare(r.Network, s.Network),
		r.Addr.Compare(s.Addr),
		cmp.Compare(r.Ref, s.Ref),
		cmp.Compare(r.MAC, s.MAC),
		cmp.Compare(r.For, s.For),
		cmp.Compare(r.Name, s.Name),
		cmp.Compare(r.NIC, s.NIC),
		cmp.Compare(r.Type, s.Type),
		cmp.Compare(r.Mark, s.Mark),
		compareBool(r.Unmarkable, s.Unmarkable),
		cmp.Compare(r.InUse, s.InUse),
	)
}

// String is the reservation in a few words: "10.0.0.5 for 52:54:00:00:00:01".
func (r Reservation) String() string {
	text := "an address"
	if r.Addr.IsValid() {
		text = r.Addr.String()
	}
	switch {
	case r.For != "" && r.NIC != "":
		text += fmt.Sprintf(" for %s of %s", r.NIC, r.For)
	case r.For != "" && r.MAC != "":
		text += fmt.Sprintf(" for %s, %s", r.For, r.MAC)
	case r.For != "":
		text += " for " + string(r.For)
	case r.MAC != "":
		text += " for " + string(r.MAC)
	case r.Name != "":
		text += " for " + r.Name
	}
	return text
}
