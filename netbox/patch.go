package netbox

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"

	"allocsync/ipam"
)

// updateBodies makes the bodies of a bulk update: the row's ID and exactly the
// fields that ipam.Edit says differ.
func (s *Session) updateBodies(ctx context.Context, kind ipam.Kind, batch []ipam.Edit) ([]map[string]any, error) {
	refusals := map[int]string{}
	seen := make(map[int]bool, len(batch))
	for i, edit := range batch {
		switch {
		case edit.After.Place.Kind != kind || edit.Before.Place.Kind != kind:
			return nil, fmt.Errorf("update rows: a batch of %ss holds %s, a %s", kind, edit.After.CIDR(), edit.After.Place.Kind)
		case edit.Before.ID <= 0:
			return nil, fmt.Errorf("update rows: %s has no ID", edit.Before.CIDR())
		case seen[edit.Before.ID]:
			refusals[i] = "the same row stands twice in one batch"
		}
		seen[edit.Before.ID] = true
	}
	inside, err := s.insideIDs(ctx, kind, changedInside(batch), refusals)
	if err != nil {
		return nil, err
	}
	bodies := make([]map[string]any, len(batch))
	for i, edit := range batch {
		if bodies[i], err = s.patch(edit, inside[i]); err != nil {
			refusals[i] = err.Error()
		}
	}
	if len(refusals) > 0 {
		return nil, unsent(http.MethodPatch, kind, refusals)
	}
	return bodies, nil
}

// changedInside is the rows as wanted, with an inside address only where it may
// be another row than before: nothing else has to be looked up. Where the user
// changes it may be, though the address is the same: two tenants may both have
// it, each in a VRF of its own, and a list shows no VRF of nat_inside.
func changedInside(batch []ipam.Edit) []ipam.Record {
	out := make([]ipam.Record, len(batch))
	for i, edit := range batch {
		out[i] = edit.After
		before, after := edit.Before.Attrs, edit.After.Attrs
		if before.Inside == after.Inside && before.UsedBy == after.UsedBy {
			out[i].Attrs.Inside = netip.Addr{}
		}
	}
	return out
}

// patch writes the fields that differ as NetBox reads them. An empty value
// clears: null for what refers to another object and for custom fields, ""
// for text.
func (s *Session) patch(edit ipam.Edit, inside int) (map[string]any, error) {
	body := s.message(edit.After.Owner)
	body["id"] = edit.Before.ID
	fields := map[string]any{}
	var err error
	for _, field := range edit.Fields() {
		switch field.Name {
		case ipam.UsedByField, ipam.OwnerField, ipam.TypeField, ipam.MACField, ipam.GoneSinceField:
			fields[field.Name] = orNull(field.New)
		case ipam.VRFField:
			body[field.Name], err = reference(s.vrfID, field.New)
		case ipam.TenantField:
			body[field.Name], err = reference(s.tenantID, field.New)
		case ipam.RoleField:
			body[field.Name], err = s.role(edit.After.Place.Kind, field.New)
		case ipam.TagsField:
			body[field.Name] = slugObjects(ipam.Tags(field.New))
		case ipam.InsideField: // below
		default: // address, prefix, status, dns_name, description
			body[field.Name] = field.New
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case inside == nobodys && edit.Before.Attrs.Inside.IsValid():
		body[ipam.InsideField] = nil // what it names is, or may become, another user's
	case inside > 0:
		body[ipam.InsideField] = inside
	}
	if len(fields) > 0 {
		body["custom_fields"] = fields
	}
	return body, nil
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// reference resolves a name to an ID, and "" to null.
func reference(id func(string) (int, error), ref string) (any, error) {
	if ref == "" {
		return nil, nil
	}
	return id(ref)
}

func (s *Session) role(kind ipam.Kind, ref string) (any, error) {
	if kind == ipam.Address || ref == "" {
		return orNull(ref), nil
	}
	id, ok := s.names.roles[ref]
	if !ok {
		return nil, fmt.Errorf("IPAM role %q was not among the names that the session was prepared with", ref)
	}
	return id, nil
}
