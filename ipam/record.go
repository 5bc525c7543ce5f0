package ipam

import (
	"cmp"
	"net/netip"
	"time"
)

// Place is where a row stands in NetBox, in the sense in which NetBox calls
// two rows duplicates of each other: the VRF, and the prefix or the host.
type Place struct {
	VRF  string // as the configuration spells it; "" is the global table
	Kind Kind

	// Prefix is the masked network of a Prefix, and for an Address the host
	// alone (/32 or /128): NetBox ignores the mask when it looks for
	// duplicates, so the mask is an attribute and not part of the place.
	Prefix netip.Prefix
}

// PlaceOf returns the place of prefix p of the given kind in a VRF.
func PlaceOf(vrf string, kind Kind, p netip.Prefix) Place {
	if kind == Address {
		return Place{VRF: vrf, Kind: kind, Prefix: HostPrefix(p.Addr())}
	}
	return Place{VRF: vrf, Kind: kind, Prefix: p.Masked()}
}

// Compare orders places by VRF, kind and prefix.
func (p Place) Compare(q Place) int {
	// Sorting places is most of what planning costs, and cmp.Or would compare
	// every field each time.
	if c := cmp.Compare(p.VRF, q.VRF); c != 0 {
		return c
	}
	if p.Kind != q.Kind {
		return cmp.Compare(p.Kind, q.Kind)
	}
	return ComparePrefix(p.Prefix, q.Prefix)
}

// Attrs is what a row says about its place.
//
// In a Record, the zero value of Status, Role, Tenant, DNSName, Description,
// Tags and Inside means "no rule sets this": such a field is not allocsync's,
// it is never compared and never overwritten. The other fields are always
// allocsync's.
type Attrs struct {
	Mask   int    // length written with an Address, in bits; 0 for a Prefix
	UsedBy UsedBy // custom field used_by
	Type   string // custom field sync_type
	MAC    MAC    // custom field hwaddr, addresses only

	Status      string // NetBox's value: active, reserved, deprecated, dhcp, slaac, container
	Role        string // of an Address: NetBox's value; of a Prefix: the slug of an IPAM role
	Tenant      string // slug
	DNSName     string // lower case, addresses only
	Description string // at most 200 characters
	Tags        Tags   // these must be there; others may be

	Inside netip.Addr // nat_inside of a floating address

	// InsideVRF says in which VRF Inside stands, spelled like Place.VRF; "" is
	// the global table. It serves to find the row that nat_inside names and is
	// never compared: of that row NetBox shows the address and no VRF, so in a
	// Stored row it is "".
	InsideVRF string

	// GoneUnix is since when the source no longer lists the user, in seconds
	// since 1970 UTC (custom field gone_since); 0 while it lists it.
	GoneUnix int64
}

// Record is a row that NetBox should hold.
type Record struct {
	// Owner is INSTALLATION/SOURCE, the custom field sync_owner. In a Stored
	// row "" means somebody else's.
	Owner string
	Place Place
	Attrs Attrs
}

// Compare orders records by place, owner and user, then by type and MAC; it is
// a total order for the claims of one pass, and stable for the rest.
func (r Record) Compare(s Record) int {
	return cmp.Or(
		r.Place.Compare(s.Place),
		cmp.Compare(r.Owner, s.Owner),
		r.Attrs.Compare(s.Attrs),
	)
}

// Compare orders attributes by user, then by every other field, so that it is
// 0 only for equal attributes.
func (a Attrs) Compare(b Attrs) int {
	return cmp.Or(
		cmp.Compare(a.UsedBy, b.UsedBy),
		cmp.Compare(a.Type, b.Type),
		cmp.Compare(a.MAC, b.MAC),
		cmp.Compare(a.Mask, b.Mask),
		cmp.Compare(a.Status, b.Status),
		cmp.Compare(a.Role, b.Role),
		cmp.Compare(a.Tenant, b.Tenant),
		cmp.Compare(a.DNSName, b.DNSName),
		cmp.Compare(a.Description, b.Description),
		cmp.Compare(a.Tags, b.Tags),
		a.Inside.Compare(b.Inside),
		cmp.Compare(a.InsideVRF, b.InsideVRF),
		cmp.Compare(a.GoneUnix, b.GoneUnix),
	)
}

// CIDR returns the prefix with the length that NetBox shows: 10.1.2.3/24.
func (r Record) CIDR() netip.Prefix {
	if r.Place.Kind == Prefix {
		return r.Place.Prefix
	}
	return netip.PrefixFrom(r.Place.Prefix.Addr(), r.Attrs.Mask)
}

// Stored is a row that NetBox holds. Its Attrs hold what NetBox holds, fields
// that no rule sets included.
type Stored struct {
	ID          int
	LastUpdated time.Time
	ReserveAt   string // custom field reserve_at: INSTALLATION/SOURCE where a person wants it reserved
	Record
}

// Claim is a record that a source wants, and how strong its claim to the place
// is against other claims of the same source.
type Claim struct {
	Record

	// Rank: the lowest wins. Package mapping assigns it by documented rules.
	Rank uint8
}

// Compare orders claims by place, owner, rank and attributes.
func (c Claim) Compare(d Claim) int {
	if places := c.Place.Compare(d.Place); places != 0 {
		return places
	}
	return cmp.Or(
		cmp.Compare(c.Owner, d.Owner),
		cmp.Compare(c.Rank, d.Rank),
		c.Attrs.Compare(d.Attrs),
	)
}
