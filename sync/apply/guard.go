package apply

import (
	"fmt"
	"slices"
	"strings"

	"allocsync/ipam"
	"allocsync/sync/plan"
)

// guard is the last word on whose rows are touched. It repeats what the planner
// has made sure of, because nothing stands behind it: it says why a change must
// not be carried out, and returns "" for one that may be.
func guard(c plan.Change) string {
	_, _, named := strings.Cut(c.Owner, "/")
	switch {
	case !named:
		return fmt.Sprintf("not sent: %q is no owner of the form INSTALLATION/SOURCE", c.Owner)
	case c.Action == plan.Create && c.After.Owner != c.Owner:
		return fmt.Sprintf("not sent: a new row of %q in the name of %q", c.After.Owner, c.Owner)
	case c.Action == plan.Delete && c.Before.Owner != c.Owner:
		return fmt.Sprintf("not sent: the row belongs to %q, not to %q", c.Before.Owner, c.Owner)
	case c.Action == plan.Update:
		return guardUpdate(c)
	case c.Action != plan.Create && c.Action != plan.Delete:
		return fmt.Sprintf("not sent: unknown action %s", c.Action)
	}
	return ""
}

func guardUpdate(c plan.Change) string {
	if c.Before.Owner == "" {
		return guardReserved(c)
	}
	switch {
	case c.After.Owner != c.Owner:
		return fmt.Sprintf("not sent: the row would be given to %q in the name of %q", c.After.Owner, c.Owner)
	case installation(c.Before.Owner) != installation(c.Owner):
		return fmt.Sprintf("not sent: the row belongs to %q, another installation", c.Before.Owner)
	case c.Before.Place.Kind != c.After.Place.Kind:
		return "not sent: a row cannot change its kind"
	}
	return ""
}

// guardReserved lets one change of a person's row through: the reservation that
// it asks for is in use, and says by whom.
func guardReserved(c plan.Change) string {
	if c.Reason != plan.Reserved || c.Before.ReserveAt != c.Owner {
		return "not sent: the row is somebody else's"
	}
	for _, field := range c.Edit().Fields() {
		fillable := slices.Contains([]string{ipam.UsedByField, ipam.TypeField, ipam.MACField}, field.Name)
		if !fillable || field.Old != "" {
			return fmt.Sprintf("not sent: the row is somebody else's, and its %s is not empty or not allocsync's to fill", field.Name)
		}
	}
	return ""
}

func installation(owner string) string {
	name, _, _ := strings.Cut(owner, "/")
	return name
}
