package netbox

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"allocsync/ipam"
)

// page is the answer of a list.
type page struct {
	Count   *int    `json:"count"` // null when paging by cursor
	Next    *string `json:"next"`
	Results []row   `json:"results"` // nil: this is no list
}

// row is a prefix or an address as lists and bulk writes return it. Fields that
// were not asked for stay empty; null leaves the zero value.
type row struct {
	ID          int       `json:"id"`
	Address     string    `json:"address"`
	Prefix      string    `json:"prefix"`
	VRF         related   `json:"vrf"`
	Tenant      related   `json:"tenant"`
	Status      choice    `json:"status"`
	Role        related   `json:"role"` // a choice for an address, an IPAM role for a prefix
	DNSName     string    `json:"dns_name"`
	Description string    `json:"description"`
	Tags        []related `json:"tags"`
	Inside      struct {
		Address string `json:"address"`
	} `json:"nat_inside"`
	LastUpdated time.Time `json:"last_updated"`

	Custom struct {
		UsedBy    string  `json:"used_by"`
		Owner     string  `json:"sync_owner"`
		Type      string  `json:"sync_type"`
		MAC       string  `json:"hwaddr"`
		GoneSince lenient `json:"gone_since"`
		ReserveAt lenient `json:"reserve_at"`
	} `json:"custom_fields"`
}

type related struct {
	ID    int    `json:"id"`
	Name  string `json:"name"`
	Slug  string `json:"slug"`
	Value string `json:"value"`
}

// lenient reads a custom field that Prepare checks only where a pass needs it:
// where it does not, a field of that name may be somebody else's, of any type.
type lenient string

func (l *lenient) UnmarshalJSON(text []byte) error {
	var s string
	if json.Unmarshal(text, &s) != nil {
		s = ""
	}
	*l = lenient(s)
	return nil
}

type choice struct {
	Value string `json:"value"`
}

// interner makes one string of many equal ones: 100,000 rows name a handful of
// owners, types and VRFs. It is not safe for concurrent use.
type interner map[string]string

// maxInterned bounds the table; beyond it strings are kept as they come.
const maxInterned = 4096

func (t interner) of(s string) string {
	if have, ok := t[s]; ok {
		return have
	}
	if len(t) < maxInterned {
		t[s] = s
	}
	return s
}

// stored makes an ipam row of r.
func (s *Session) stored(kind ipam.Kind, r *row, t interner) (ipam.Stored, error) {
	text := r.Address
	if kind == ipam.Prefix {
		text = r.Prefix
	}
	// Not ipam.ParsePrefix: NetBox keeps ::ffff:10.0.0.1 apart from 10.0.0.1,
	// and so it is another place.
	p, err := netip.ParsePrefix(text)
	if err != nil || r.ID <= 0 {
		return ipam.Stored{}, fmt.Errorf("%s with ID %d: %q is not an address with a length", kind, r.ID, text)
	}
	out := ipam.Stored{
		ID:          r.ID,
		LastUpdated: r.LastUpdated,
		Record: ipam.Record{
			Owner: t.of(r.Custom.Owner),
			Place: ipam.PlaceOf(s.spellVRF(r.VRF), kind, p),
			Attrs: ipam.Attrs{
				UsedBy:      ipam.UsedBy(r.Custom.UsedBy),
				Type:        t.of(r.Custom.Type),
				Status:      t.of(r.Status.Value),
				Tenant:      t.of(s.spellTenant(r.Tenant)),
				Description: t.of(r.Description),
				Tags:        ipam.Tags(t.of(tagSlugs(r.Tags))),
				GoneUnix:    ipam.ParseGone(string(r.Custom.GoneSince)),
			},
		},
	}
	if kind == ipam.Prefix {
		out.Attrs.Role = t.of(r.Role.Slug)
		return out, nil
	}
	out.ReserveAt = t.of(string(r.Custom.ReserveAt))
	out.Attrs.Mask = p.Bits()
	out.Attrs.Role = t.of(r.Role.Value)
	out.Attrs.MAC = ipam.MAC(r.Custom.MAC)
	out.Attrs.DNSName = r.DNSName
	if r.Inside.Address != "" {
		inside, err := netip.ParsePrefix(r.Inside.Address)
		if err != nil {
			return ipam.Stored{}, fmt.Errorf("address with ID %d: nat_inside %q is not an address with a length", r.ID, r.Inside.Address)
		}
		out.Attrs.Inside = inside.Addr()
	}
	return out, nil
}

func tagSlugs(tags []related) string {
	if len(tags) == 0 {
		return ""
	}
	slugs := make([]string, len(tags))
	for i, tag := range tags {
		slugs[i] = tag.Slug
	}
	return string(ipam.TagsOf(slugs...))
}

// columns lists the fields that the session's rows need, for ?fields=. Each
// related object costs the server a query per page and tags several, so those
// are read only where a rule sets them.
func (s *Session) columns(kind ipam.Kind) string {
	fields := []string{"id", "address", "vrf", "status", "role", "dns_name", "description", "custom_fields", "last_updated"}
	if kind == ipam.Prefix {
		fields = []string{"id", "prefix", "vrf", "status", "description", "custom_fields", "last_updated"}
		if len(s.refs.Roles) > 0 {
			fields = append(fields, "role")
		}
	}
	if len(s.refs.Tenants) > 0 {
		fields = append(fields, "tenant")
	}
	if len(s.refs.Tags) > 0 {
		fields = append(fields, "tags")
	}
	if s.refs.Inside && kind == ipam.Address {
		fields = append(fields, "nat_inside")
	}
	return strings.Join(fields, ",")
}

func pathOf(kind ipam.Kind) string {
	if kind == ipam.Prefix {
		return "/api/ipam/prefixes/"
	}
	return "/api/ipam/ip-addresses/"
}
