package ipam

import (
	"fmt"
	"net/netip"
	"strings"
)

// ParsePrefix reads an address with or without a length ("10.1.2.3/24",
// "fd00::1") into canonical form, keeping host bits: an IPv4-mapped IPv6
// address becomes IPv4, and a missing length means /32 or /128. Zones are
// refused: they mean nothing outside one host.
func ParsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		addr, err := ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, err
		}
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("address %q: want a form such as 10.1.2.3/24 or fd00::1/64", s)
	}
	if !p.Addr().Is4In6() {
		return p, nil
	}
	if p.Bits() < 96 {
		return netip.Prefix{}, fmt.Errorf("address %q: an IPv4-mapped prefix shorter than /96 has no IPv4 form", s)
	}
	return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96), nil
}

// ParseAddr reads an address without a length into canonical form; an
// IPv4-mapped IPv6 address becomes IPv4, a zone is refused.
func ParseAddr(s string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("address %q: want a form such as 10.1.2.3 or fd00::1", s)
	}
	return addr.Unmap(), nil
}

// HostPrefix returns addr as a prefix that holds it alone: /32 or /128.
func HostPrefix(addr netip.Addr) netip.Prefix {
	return netip.PrefixFrom(addr, addr.BitLen())
}

// LastAddr returns the last address of a prefix, which in an IPv4 subnet is that
// of broadcasts: 10.1.2.255 of 10.1.2.3/24. Of a prefix that is not valid it is
// the zero Addr.
func LastAddr(p netip.Prefix) netip.Addr {
	last := p.Masked().Addr().AsSlice() // nil where p is not valid
	for bit := max(p.Bits(), 0); bit < 8*len(last); bit++ {
		last[bit/8] |= 1 << (7 - bit%8)
	}
	addr, _ := netip.AddrFromSlice(last)
	return addr
}

// ComparePrefix orders by family, address and then length, shortest first.
func ComparePrefix(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}
