package netbox

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strings"

	api "github.com/netbox-community/go-netbox/v3"

	"allocsync/ipam"
)

// createBodies makes the bodies of a bulk create with go-netbox's request
// types, or a refusal that names the rows that cannot be written down.
func (s *Session) createBodies(ctx context.Context, kind ipam.Kind, batch []ipam.Record) ([]any, error) {
	refusals := map[int]string{}
	seen := make(map[ipam.Place]bool, len(batch))
	for i, record := range batch {
		switch {
		case record.Place.Kind != kind:
			return nil, fmt.Errorf("create rows: a batch of %ss holds %s, a %s", kind, record.CIDR(), record.Place.Kind)
		case record.Owner == "":
			return nil, fmt.Errorf("create rows: %s has no owner", record.CIDR())
		case seen[record.Place]:
			// Before 4.7 NetBox would store both, also where the VRF enforces
			// uniqueness.
			refusals[i] = "the same place stands twice in one batch"
		}
		seen[record.Place] = true
	}
	inside, err := s.insideIDs(ctx, kind, batch, refusals)
	if err != nil {
		return nil, err
	}
	bodies := make([]any, len(batch))
	for i, record := range batch {
		if kind == ipam.Prefix {
			bodies[i], err = s.prefixBody(record)
		} else {
			bodies[i], err = s.addressBody(record, inside[i])
		}
		if err != nil {
			refusals[i] = err.Error()
		}
	}
	if len(refusals) > 0 {
		return nil, unsent(http.MethodPost, kind, refusals)
	}
	return bodies, nil
}

// unsent is a refusal of ours: the batch was not sent.
func unsent(method string, kind ipam.Kind, refusals map[int]string) *Error {
	return &Error{
		Method: method, Path: pathOf(kind), refused: true, rows: refusals,
		Message: fmt.Sprintf("not sent: %d rows of the batch cannot be written", len(refusals)),
	}
}

func (s *Session) addressBody(r ipam.Record, inside int) (*api.WritableIPAddressRequest, error) {
	body := api.NewWritableIPAddressRequest(r.CIDR().String())
	more := s.message(r.Owner)
	vrf, tenant, err := s.relations(r)
	if err != nil {
		return nil, err
	}
	body.Vrf, body.Tenant = vrf, tenant
	if r.Attrs.Status != "" {
		status, err := api.NewPatchedWritableIPAddressRequestStatusFromValue(r.Attrs.Status)
		if body.Status = status; err != nil {
			more["status"] = r.Attrs.Status // FIELD_CHOICES may add some: NetBox decides
		}
	}
	if r.Attrs.Role != "" {
		role, err := api.NewPatchedWritableIPAddressRequestRoleFromValue(r.Attrs.Role)
		if body.Role = role; err != nil {
			more["role"] = r.Attrs.Role
		}
	}
	if r.Attrs.DNSName != "" {
		body.SetDnsName(r.Attrs.DNSName)
	}
	if r.Attrs.Description != "" {
		body.SetDescription(r.Attrs.Description)
	}
	if inside > 0 {
		id, err := small(inside)
		if err != nil {
			return nil, err
		}
		body.NatInside = id
	}
	if r.Attrs.Tags != "" {
		more["tags"] = slugObjects(r.Attrs.Tags)
	}
	body.CustomFields = custom(r)
	body.AdditionalProperties = more
	return body, nil
}

func (s *Session) prefixBody(r ipam.Record) (*api.WritablePrefixRequest, error) {
	body := api.NewWritablePrefixRequest(r.CIDR().String())
	more := s.message(r.Owner)
	vrf, tenant, err := s.relations(r)
	if err != nil {
		return nil, err
	}
	body.Vrf, body.Tenant = vrf, tenant
	if r.Attrs.Status != "" {
		status, err := api.NewPatchedWritablePrefixRequestStatusFromValue(r.Attrs.Status)
		if body.Status = status; err != nil {
			more["status"] = r.Attrs.Status
		}
	}
	if r.Attrs.Role != "" {
		id, ok := s.names.roles[r.Attrs.Role]
		if !ok {
			return nil, fmt.Errorf("IPAM role %q was not among the names that the session was prepared with", r.Attrs.Role)
		}
		if body.Role, err = small(id); err != nil {
			return nil, err
		}
	}
	if r.Attrs.Description != "" {
		body.SetDescription(r.Attrs.Description)
	}
	if r.Attrs.Tags != "" {
		more["tags"] = slugObjects(r.Attrs.Tags)
	}
	body.CustomFields = custom(r)
	body.AdditionalProperties = more
	return body, nil
}

// message is what NetBox's change log says of a write, where it takes a word.
func (s *Session) message(owner string) map[string]any {
	if !s.version.hasMessages() {
		return map[string]any{}
	}
	return map[string]any{"changelog_message": strings.TrimSuffix("allocsync: "+owner, ": ")}
}

// relations resolves the names that both kinds of row carry.
func (s *Session) relations(r ipam.Record) (vrf, tenant api.NullableInt32, err error) {
	id, err := s.vrfID(r.Place.VRF)
	if err != nil {
		return vrf, tenant, err
	}
	if id != 0 {
		if vrf, err = small(id); err != nil {
			return vrf, tenant, err
		}
	}
	if r.Attrs.Tenant == "" {
		return vrf, tenant, nil
	}
	if id, err = s.tenantID(r.Attrs.Tenant); err != nil {
		return vrf, tenant, err
	}
	tenant, err = small(id)
	return vrf, tenant, err
}

func (s *Session) tenantID(ref string) (int, error) {
	id, ok := s.names.tenants[ref]
	if !ok {
		return 0, fmt.Errorf("tenant %q was not among the names that the session was prepared with", ref)
	}
	return id, nil
}

// small makes an ID of the width that go-netbox's request types have.
func small(id int) (api.NullableInt32, error) {
	if id <= 0 || id > math.MaxInt32 {
		return api.NullableInt32{}, fmt.Errorf("ID %d cannot be sent", id)
	}
	value := int32(id)
	return *api.NewNullableInt32(&value), nil
}

// custom lists the custom fields of a new row; empty ones are left out.
func custom(r ipam.Record) map[string]any {
	fields := map[string]any{ipam.OwnerField: r.Owner, ipam.UsedByField: string(r.Attrs.UsedBy), ipam.TypeField: r.Attrs.Type}
	if r.Attrs.MAC != "" && r.Place.Kind == ipam.Address {
		fields[ipam.MACField] = string(r.Attrs.MAC)
	}
	if gone := ipam.FormatGone(r.Attrs.GoneUnix); gone != "" {
		fields[ipam.GoneSinceField] = gone
	}
	return fields
}

// slugObjects names tags the way that takes no ID. go-netbox's NestedTagRequest
// always sends a name too, and NetBox then looks for a tag of that name.
func slugObjects(tags ipam.Tags) []map[string]string {
	slugs := tags.Slugs()
	out := make([]map[string]string, len(slugs))
	for i, slug := range slugs {
		out[i] = map[string]string{"slug": slug}
	}
	return out
}

// nobodys stands in place of the ID of an inside row: others have the address.
const nobodys = -1

// insideIDs finds the rows of the inside addresses of batch, in the VRFs that it
// names, by index; nobodys where only others than the user are there. What is not
// in NetBox becomes a refusal. That a row may name one of another VRF was tried
// with 4.7.3.
func (s *Session) insideIDs(ctx context.Context, kind ipam.Kind, batch []ipam.Record, refusals map[int]string) (map[int]int, error) {
	places := map[int]ipam.Place{}
	for i, record := range batch {
		if kind == ipam.Address && record.Attrs.Inside.IsValid() {
			places[i] = insidePlace(record.Attrs.InsideVRF, record.Attrs.Inside)
		}
	}
	if len(places) == 0 {
		return nil, nil
	}
	wanted := make([]ipam.Place, 0, len(places))
	for _, place := range places {
		wanted = append(wanted, place)
	}
	rows, err := s.At(ctx, wanted)
	if err != nil {
		// As with a write whose answer was lost: look again and try again.
		return nil, &Error{Method: http.MethodGet, Path: pathOf(kind), Message: "find inside addresses: " + err.Error(), Err: err, unsure: true}
	}
	there := map[ipam.Place][]ipam.Stored{}
	for _, row := range rows {
		there[row.Place] = append(there[row.Place], row)
	}
	found := make(map[int]int, len(places))
	for i, place := range places {
		found[i] = cmp.Or(InsideRow(there[place], batch[i].Owner, batch[i].Attrs.UsedBy), nobodys)
		if len(there[place]) == 0 {
			refusals[i] = fmt.Sprintf("the inside address %s is not in NetBox, in VRF %q", place.Prefix.Addr(), place.VRF)
		}
	}
	return found, nil
}

// InsideRow chooses the row that an outside row of owner and usedBy may name as
// its inside one, among those at the inside place, ordered by ID; 0 for none.
//
// It is the owner's own row if that is the same user's: where two users claim an
// address, the other's row says nothing about this one. Where the owner has no
// row there, it is another's of the same user, or a person's that names no user.
func InsideRow(rows []ipam.Stored, owner string, usedBy ipam.UsedBy) int {
	own, others := 0, 0
	same, person := 0, 0
	for _, row := range rows {
		mine, match := row.Owner == owner, row.Attrs.UsedBy == usedBy
		switch {
		case mine && match && own == 0:
			own = row.ID
		case mine:
			others++
		case match && same == 0:
			same = row.ID
		case row.Owner == "" && row.Attrs.UsedBy == "" && person == 0:
			person = row.ID
		}
	}
	if own != 0 || others > 0 {
		return own
	}
	return cmp.Or(same, person)
}

func insidePlace(vrf string, inside netip.Addr) ipam.Place {
	return ipam.PlaceOf(vrf, ipam.Address, ipam.HostPrefix(inside))
}
