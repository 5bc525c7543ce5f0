package ipam

import "fmt"

// Kind tells the two sorts of row apart that allocsync keeps in NetBox.
type Kind uint8

// The kinds. Their order is the order in which reports list them.
const (
	Prefix  Kind = iota + 1 // a row of /api/ipam/prefixes/
	Address                 // a row of /api/ipam/ip-addresses/
)

// String returns "prefix" or "address".
func (k Kind) String() string {
	switch k {
	case Prefix:
		return "prefix"
	case Address:
		return "address"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// ParseKind reads what String writes.
func ParseKind(s string) (Kind, error) {
	switch s {
	case "prefix":
		return Prefix, nil
	case "address":
		return Address, nil
	}
	return 0, fmt.Errorf("kind %q: want prefix or address", s)
}

// MarshalText writes the kind as String does.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the kind as ParseKind does.
func (k *Kind) UnmarshalText(text []byte) error {
	kind, err := ParseKind(string(text))
	if err != nil {
		return err
	}
	*k = kind
	return nil
}
