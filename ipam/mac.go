package ipam

import (
	"fmt"
	"net"
)

// MAC is a hardware address in lower case with colons ("00:16:3e:04:f0:95"),
// 6, 8 or 20 octets long. "" means that none is known.
type MAC string

// ParseMAC reads the forms of net.ParseMAC (colons, hyphens or dots, any case)
// into the one form kept here. The empty string is the empty MAC.
func ParseMAC(s string) (MAC, error) {
	if s == "" {
		return "", nil
	}
	hw, err := net.ParseMAC(s)
	if err != nil {
		return "", fmt.Errorf("hardware address %q: want octets such as 00:16:3e:04:f0:95", s)
	}
	return MAC(hw.String()), nil
}
