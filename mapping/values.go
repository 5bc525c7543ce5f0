package mapping

import (
	"fmt"
	"slices"
	"strings"

	"allocsync/ipam"
)

// checkStatus returns the kind that a status is for, 0 where it is for both.
// The statuses are those of NetBox's IPAddressStatusChoices and
// PrefixStatusChoices.
func checkStatus(s string) (only ipam.Kind, fault string) {
	switch s {
	case "", "active", reservedStatus, "deprecated":
		return 0, ""
	case "dhcp", "slaac":
		return ipam.Address, ""
	case "container":
		return ipam.Prefix, ""
	}
	valid := []string{"active", reservedStatus, "deprecated", "dhcp", "slaac", "container"}
	return 0, fmt.Sprintf("NetBox has no status %q; %s", s, instead(s, valid))
}

// checkRole returns the kind that a role is for: the roles of an address are
// fixed (NetBox's IPAddressRoleChoices), those of a prefix are rows of their
// own, named by their slugs.
func checkRole(s string) (only ipam.Kind, fault string) {
	ofAddress := []string{"loopback", "secondary", "anycast", "vip", "vrrp", "hsrp", "glbp", "carp"}
	lower := strings.ToLower(s)
	switch {
	case s == "":
		return 0, ""
	case slices.Contains(ofAddress, s):
		return ipam.Address, ""
	case slices.Contains(ofAddress, lower):
		return 0, fmt.Sprintf("role %q; did you mean %s?", s, lower)
	case !slug(s):
		return 0, fmt.Sprintf("role %q is neither a role of addresses (%s) nor a slug, which is made of letters, digits, - and _",
			s, strings.Join(ofAddress, ", "))
	}
	return ipam.Prefix, ""
}

// slug reports whether s is what NetBox takes as a slug.
func slug(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 100
}
