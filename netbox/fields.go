package netbox

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"allocsync/ipam"
)

// NetBox's names of the object types that allocsync keeps.
const (
	prefixType  = "ipam.prefix"
	addressType = "ipam.ipaddress"
)

// fieldGroup is the heading under which NetBox's pages show the custom fields.
const fieldGroup = "Allocation sync"

// customField is a custom field as allocsync wants it: a text, filtered by its
// exact value.
type customField struct {
	name        string
	label       string
	description string
	on          []string // object types
}

// customFields lists what Setup makes, in the order in which it makes it.
func customFields() []customField {
	both := []string{prefixType, addressType}
	return []customField{
		{ipam.UsedByField, "Used by", "URI of the network, instance or other user, as its own system writes it. Kept by allocsync.", both},
		{ipam.OwnerField, "Sync owner", "INSTALLATION/SOURCE of the allocsync that keeps this row. Empty: allocsync never touches it.", both},
		{ipam.TypeField, "Sync type", "Type of the allocation, as its own system calls it. Kept by allocsync.", both},
		{ipam.MACField, "Hardware address", "MAC address of the interface that has the address. Kept by allocsync.", []string{addressType}},
		{ipam.GoneSinceField, "Gone since", "Since when the source no longer lists the user of this row. Kept by allocsync.", both},
		{ipam.ReserveAtField, "Reserve at", "INSTALLATION/SOURCE at which allocsync reserves this address. Set by people.", []string{addressType}},
	}
}

// needed says whether a pass with refs reads or writes the field.
func (f customField) needed(refs Refs) bool {
	switch f.name {
	case ipam.GoneSinceField:
		return refs.Deprecate
	case ipam.ReserveAtField:
		return refs.Reservable
	}
	return true
}

// existingField is a custom field as NetBox has it.
type existingField struct {
	ID           int      `json:"id"`
	Name         string   `json:"name"`
	Type         choice   `json:"type"`
	FilterLogic  choice   `json:"filter_logic"`
	ObjectTypes  []string `json:"object_types"`  // since 4.0
	ContentTypes []string `json:"content_types"` // before
	Unique       bool     `json:"unique"`        // since 4.2
	Required     bool     `json:"required"`
	Default      any      `json:"default"`
	Status       choice   `json:"status"` // since 4.7: a field is live only when active
}

func (e existingField) on() []string { return append(slices.Clone(e.ObjectTypes), e.ContentTypes...) }

// wrong says what keeps e from being used as f, and how to mend it; "" if
// nothing does. Object types are not looked at: Setup can add those.
func (f customField) wrong(e existingField) string {
	switch {
	case e.Type.Value != "text":
		return fmt.Sprintf("custom field %s has type %s, not text: it was made for something else; rename or delete it", f.name, e.Type.Value)
	case e.FilterLogic.Value != "exact":
		return fmt.Sprintf("custom field %s has filter logic %s: set it to exact, so that lists can be filtered by its value", f.name, e.FilterLogic.Value)
	case e.Unique:
		return fmt.Sprintf("custom field %s demands unique values: switch that off, one user may have several addresses", f.name)
	case e.Default != nil && e.Default != "":
		// NetBox gives it to every row that anybody makes, and to all that there
		// are when the field is put on an object type.
		return fmt.Sprintf("custom field %s has the default %q, which rows of other people get: take the default away, then empty the field on rows that are not allocsync's", f.name, fmt.Sprint(e.Default))
	case e.Required:
		return fmt.Sprintf("custom field %s is required: switch that off, not every row has one", f.name)
	case e.Status.Value != "" && e.Status.Value != "active":
		return fmt.Sprintf("custom field %s is in state %s: wait until NetBox's background job (rqworker) is through with it", f.name, e.Status.Value)
	}
	return ""
}

// missing lists the object types that e does not have and f needs.
func (f customField) missing(e existingField) []string {
	have := e.on()
	return slices.DeleteFunc(slices.Clone(f.on), func(t string) bool { return slices.Contains(have, t) })
}

const fieldsPath = "/api/extras/custom-fields/"

// existingFields reads those of our custom fields that NetBox has, by name.
func (c *Client) existingFields(ctx context.Context) (map[string]existingField, error) {
	specs := customFields()
	wanted := make([]string, len(specs))
	for i, f := range specs {
		wanted[i] = f.name
	}
	var answer struct {
		Results json.RawMessage `json:"results"`
	}
	c.stats.lookups.Add(1)
	if err := c.read(ctx, fieldsPath, "name="+strings.Join(wanted, "&name=")+"&limit=100", &answer); err != nil {
		return nil, fmt.Errorf("read custom fields (this needs the permission to view extras.customfield): %w", err)
	}
	var list []existingField
	if err := json.Unmarshal(answer.Results, &list); err != nil || list == nil {
		return nil, fmt.Errorf("read custom fields: the answer is no list of them")
	}
	out := map[string]existingField{}
	for _, field := range list {
		if slices.Contains(wanted, field.Name) {
			out[field.Name] = field
		}
	}
	return out, nil
}

// checkFields makes sure that the fields that refs need can be trusted: a
// filter on one that is missing on an object type would list every row.
func (c *Client) checkFields(ctx context.Context, refs Refs) error {
	have, err := c.existingFields(ctx)
	if err != nil {
		return err
	}
	if faults := fieldFaults(have, refs); len(faults) > 0 {
		return fmt.Errorf("%w: %s", ErrFields, strings.Join(faults, "; "))
	}
	return nil
}

func fieldFaults(have map[string]existingField, refs Refs) []string {
	var faults []string
	for _, f := range customFields() {
		if !f.needed(refs) {
			continue
		}
		existing, ok := have[f.name]
		if !ok {
			faults = append(faults, fmt.Sprintf("custom field %s on %s is missing: run `allocsync setup`", f.name, strings.Join(f.on, " and ")))
			continue
		}
		if wrong := f.wrong(existing); wrong != "" {
			faults = append(faults, wrong)
			continue
		}
		if missing := f.missing(existing); len(missing) > 0 {
			faults = append(faults, fmt.Sprintf("custom field %s is not on %s: run `allocsync setup`", f.name, strings.Join(missing, " and ")))
		}
	}
	return faults
}
