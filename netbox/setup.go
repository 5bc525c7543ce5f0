package netbox

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// Step is one thing that Setup did, or would do.
type Step struct {
	Field  string // name of the custom field
	Action string // "create", "extend" or "keep"
	Detail string // "text, exact, on ipam.prefix and ipam.ipaddress"
}

// Setup makes the custom fields that are missing, and adds the object types
// that are missing to those that exist, without taking any away. It is
// idempotent. With dryRun it says what it would do and writes nothing. A field
// that exists with another type or filter is an error (ErrFields), and then
// nothing is written at all. Where a write fails, the steps done before it are
// returned with the error.
func (c *Client) Setup(ctx context.Context, dryRun bool) ([]Step, error) {
	v, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	have, err := c.existingFields(ctx)
	if err != nil {
		return nil, err
	}
	var faults []string
	for _, f := range customFields() {
		if existing, ok := have[f.name]; ok {
			if wrong := f.wrong(existing); wrong != "" {
				faults = append(faults, wrong)
			}
		}
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("%w, nothing was changed: %s", ErrFields, strings.Join(faults, "; "))
	}
	var steps []Step
	for _, f := range customFields() {
		existing, ok := have[f.name]
		step, err := c.setUp(ctx, v, f, existing, ok, dryRun)
		if err != nil {
			return steps, fmt.Errorf("set up custom field %s: %w", f.name, err)
		}
		steps = append(steps, step)
	}
	return steps, nil
}

// setUp makes or extends one field.
func (c *Client) setUp(ctx context.Context, v Version, f customField, existing existingField, exists, dryRun bool) (Step, error) {
	where := strings.Join(f.on, " and ")
	missing := f.missing(existing)
	var method, path string
	body := map[string]any{}
	step := Step{Field: f.name}
	switch {
	case !exists:
		step.Action, step.Detail = "create", "text, exact, on "+where
		method, path = http.MethodPost, fieldsPath
		body = map[string]any{
			"name": f.name, "label": f.label, "description": f.description, "group_name": fieldGroup,
			"type": "text", "filter_logic": "exact", "required": false,
			v.objectTypes(): f.on,
		}
	case len(missing) > 0:
		step.Action, step.Detail = "extend", "to "+strings.Join(missing, " and ")
		method, path = http.MethodPatch, fmt.Sprintf("%s%d/", fieldsPath, existing.ID)
		body[v.objectTypes()] = append(existing.on(), missing...)
	default:
		step.Action, step.Detail = "keep", "on "+where
		return step, nil
	}
	if dryRun {
		return step, nil
	}
	if _, failed := c.write(ctx, method, path, body); failed != nil {
		return step, failed
	}
	return step, nil
}
