package ipam

import (
	"net/netip"
	"time"
)

// Edit is one row before and after a change. It is the one place that decides
// what "differs" means: the planner asks it whether a row is in step, the
// NetBox client sends exactly these fields, and reports show them.
type Edit struct {
	Before Stored
	After  Record
}

// Field is one difference, named as NetBox names the field. The values are
// text as people write them; "" stands for an empty field.
type Field struct {
	Name string
	Old  string
	New  string
}

// Names of the fields of an Edit, as NetBox writes them. Those that are custom
// fields are UsedByField to GoneSinceField.
const (
	PlaceField       = "address" // "prefix" for a Prefix
	PrefixField      = "prefix"
	VRFField         = "vrf"
	StatusField      = "status"
	RoleField        = "role"
	TenantField      = "tenant"
	DNSNameField     = "dns_name"
	DescriptionField = "description"
	TagsField        = "tags"
	InsideField      = "nat_inside"

	UsedByField    = "used_by"
	OwnerField     = "sync_owner"
	TypeField      = "sync_type"
	MACField       = "hwaddr"
	GoneSinceField = "gone_since"
	ReserveAtField = "reserve_at"
)

// Fields lists what differs, in a fixed order; none means that the row is in
// step. A field that After leaves unset (see Attrs) is not compared, and
// InsideVRF never is.
func (e Edit) Fields() []Field {
	var fields []Field
	add := func(name, before, after string) {
		if before != after {
			fields = append(fields, Field{Name: name, Old: before, New: after})
		}
	}
	managed := func(name, before, after string) {
		if after != "" {
			add(name, before, after)
		}
	}
	b, a := e.Before.Attrs, e.After.Attrs
	place := PlaceField
	if e.After.Place.Kind == Prefix {
		place = PrefixField
	}
	add(place, e.Before.CIDR().String(), e.After.CIDR().String())
	add(VRFField, e.Before.Place.VRF, e.After.Place.VRF)
	add(OwnerField, e.Before.Owner, e.After.Owner)
	add(UsedByField, string(b.UsedBy), string(a.UsedBy))
	add(TypeField, b.Type, a.Type)
	add(MACField, string(b.MAC), string(a.MAC))
	managed(StatusField, b.Status, a.Status)
	managed(RoleField, b.Role, a.Role)
	managed(TenantField, b.Tenant, a.Tenant)
	managed(DNSNameField, b.DNSName, a.DNSName)
	managed(DescriptionField, b.Description, a.Description)
	if !b.Tags.Contains(a.Tags) {
		add(TagsField, string(b.Tags), string(b.Tags.Union(a.Tags)))
	}
	managed(InsideField, addrText(b.Inside), addrText(a.Inside))
	add(GoneSinceField, FormatGone(b.GoneUnix), FormatGone(a.GoneUnix))
	return fields
}

// InStep reports whether nothing differs.
func (e Edit) InStep() bool { return InStep(&e.Before, &e.After) }

// InStep reports whether a row needs nothing to be as wanted. It is Fields
// without its cost, for a pass in which nearly all rows are in step.
func InStep(before *Stored, after *Record) bool {
	b, a := &before.Attrs, &after.Attrs
	same := func(before, after string) bool { return after == "" || before == after }
	return before.Place == after.Place && before.Owner == after.Owner &&
		b.Mask == a.Mask && b.UsedBy == a.UsedBy && b.Type == a.Type && b.MAC == a.MAC &&
		same(b.Status, a.Status) && same(b.Role, a.Role) && same(b.Tenant, a.Tenant) &&
		same(b.DNSName, a.DNSName) && same(b.Description, a.Description) &&
		(a.Tags == "" || b.Tags.Contains(a.Tags)) &&
		(!a.Inside.IsValid() || b.Inside == a.Inside) && b.GoneUnix == a.GoneUnix
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// FormatGone writes the custom field gone_since: RFC 3339 in UTC, "" for 0.
func FormatGone(unix int64) string {
	if unix == 0 {
		return ""
	}
	return time.Unix(unix, 0).UTC().Format(time.RFC3339)
}

// ParseGone reads what FormatGone writes. Text that a person garbled counts as
// 0: the row is then marked anew, which only ever delays its deletion.
func ParseGone(s string) int64 {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Unix() < 0 || t.UTC().Year() > 9999 { // which RFC 3339 cannot write
		return 0
	}
	return t.Unix()
}
