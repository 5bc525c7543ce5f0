package report

import (
	"fmt"
	"math"
)

// hostBits is how many bits of the prefix number its addresses.
func (u Utilisation) hostBits() int { return u.Prefix.Addr().BitLen() - u.Prefix.Bits() }

// exactBits is up to where a capacity is written as a number: above, nobody
// reads the digits, and 2^53 is the last that JSON's readers keep exactly.
const exactBits = 32

// Capacity is how many addresses hosts can have: in IPv4 all but the network's
// own and the broadcast address (RFC 3021 takes both into use in a /31), in
// IPv6 all. Exact is false where there are too many to count with; Text then
// says "2^64".
func (u Utilisation) Capacity() (addresses int, exact bool) {
	bits := u.hostBits()
	if bits > exactBits {
		return 0, false
	}
	n := 1 << bits
	if u.Prefix.Addr().Is4() && bits >= 2 {
		n -= 2
	}
	return n, true
}

// CapacityText writes the capacity: "254", "2^64".
func (u Utilisation) CapacityText() string {
	if n, exact := u.Capacity(); exact {
		return number(n)
	}
	return fmt.Sprintf("2^%d", u.hostBits())
}

// Free is how many addresses are left, never below 0. Exact is false where
// there are too many to count with.
func (u Utilisation) Free() (addresses int, exact bool) {
	n, exact := u.Capacity()
	return max(0, n-u.Used), exact
}

// FreeText writes what is left. What is used of 2^64 addresses makes no
// difference to it.
func (u Utilisation) FreeText() string {
	if n, exact := u.Free(); exact {
		return number(n)
	}
	return fmt.Sprintf("about 2^%d", u.hostBits())
}

// Share is the used part of the capacity, from 0 to 1.
func (u Utilisation) Share() float64 {
	if n, exact := u.Capacity(); exact {
		return min(1, float64(u.Used)/float64(n))
	}
	return float64(u.Used) / math.Ldexp(1, u.hostBits())
}

// ShareText writes the share so that "0 %" means none and "100 %" all.
func (u Utilisation) ShareText() string {
	switch percent := 100 * u.Share(); {
	case percent == 0:
		return "0 %"
	case percent < 0.1:
		return "< 0.1 %"
	case percent < 10:
		return fmt.Sprintf("%.1f %%", percent)
	case percent > 99 && percent < 100:
		return "> 99 %"
	default:
		return fmt.Sprintf("%.0f %%", percent)
	}
}

// family is "IPv4" or "IPv6".
func (u Utilisation) family() string {
	if u.Prefix.Addr().Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// sum adds counts up that have the same key, in the order in which the keys
// first come up.
func (u Usage) sum(key func(Count) Count) []Count {
	index := map[Count]int{}
	var sums []Count
	for _, c := range u.Counts {
		k := key(c)
		i, known := index[k]
		if !known {
			i = len(sums)
			index[k] = i
			sums = append(sums, k)
		}
		sums[i].Prefixes += c.Prefixes
		sums[i].IPv4 += c.IPv4
		sums[i].IPv6 += c.IPv6
	}
	return sums
}
