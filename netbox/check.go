package netbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"allocsync/ipam"
)

// Finding is one thing that Check examined.
type Finding struct {
	OK   bool
	Text string // what was found: "may change prefixes"
	Fix  string // for a bad one: what to do
}

// Check examines the way to NetBox, its version, the custom fields and what the
// token may do, and returns one finding for each, in the order in which they
// were examined. It writes nothing. Installation is the name that owners begin
// with; it goes into the permission that a Fix writes out.
func (c *Client) Check(ctx context.Context, installation string) []Finding {
	findings := c.checkWay()
	v, err := c.Status(ctx)
	if err != nil {
		return append(findings, Finding{Text: err.Error(), Fix: c.wayFix(err)})
	}
	findings = append(findings, Finding{OK: true, Text: fmt.Sprintf("%s is NetBox %s", c.base, v)})
	findings = append(findings, c.checkToken(v)...)
	findings = append(findings, c.checkViews(ctx)...)
	findings = append(findings, c.checkCustomFields(ctx)...)
	return append(findings, c.checkWrites(ctx, installation)...)
}

// checkWay looks at what can be seen without asking anybody.
func (c *Client) checkWay() []Finding {
	var findings []Finding
	u, err := url.Parse(c.base)
	if err != nil {
		return nil
	}
	local := u.Hostname() == "localhost"
	if ip := net.ParseIP(u.Hostname()); ip != nil {
		local = ip.IsLoopback()
	}
	switch {
	case u.Scheme == "http" && !local:
		findings = append(findings, Finding{Text: "the token travels unencrypted to " + c.base, Fix: "use https:// in netbox.url"})
	case c.skipVerify:
		findings = append(findings, Finding{
			Text: "the server's certificate is not checked: anybody on the way can read the token",
			Fix:  "set netbox.ca_file to the certificate of the authority that signed it, and take the switch back",
		})
	}
	return findings
}

func (c *Client) wayFix(err error) string {
	if errors.Is(err, ErrDenied) {
		return "make an API token in NetBox (Admin, API Tokens) and give it to allocsync as netbox.token says"
	}
	return "check netbox.url, and that NetBox answers there"
}

// checkToken tells of the one thing about a token that can be seen from here.
func (c *Client) checkToken(v Version) []Finding {
	isV2 := strings.HasPrefix(string(c.token), "nbt_")
	switch {
	case isV2 && !v.atLeast(4, 5):
		return []Finding{{Text: "the token is of version 2, which NetBox knows since 4.5", Fix: "make a token in this NetBox"}}
	case !isV2 && v.atLeast(4, 5):
		return []Finding{{OK: true, Text: "the token is of version 1, which NetBox 5.0 will no longer take: make one of version 2 before the upgrade"}}
	}
	return nil
}

// checkViews lists one row of everything that a pass reads.
func (c *Client) checkViews(ctx context.Context) []Finding {
	var findings []Finding
	var denied []string
	views := []struct{ path, model string }{
		{"/api/ipam/prefixes/", prefixType}, {"/api/ipam/ip-addresses/", addressType}, {"/api/ipam/vrfs/", "ipam.vrf"},
		{"/api/ipam/roles/", "ipam.role"}, {"/api/tenancy/tenants/", "tenancy.tenant"}, {"/api/extras/tags/", "extras.tag"},
		{fieldsPath, "extras.customfield"},
	}
	for _, view := range views {
		var list page
		c.stats.lookups.Add(1)
		err := c.read(ctx, view.path, "limit=1&brief=true", &list)
		switch {
		case errors.Is(err, ErrDenied):
			denied = append(denied, view.model)
		case err != nil:
			findings = append(findings, Finding{Text: err.Error(), Fix: "mend that first, then check again"})
		}
	}
	if len(denied) > 0 {
		return append(findings, Finding{
			Text: "the token may not view " + strings.Join(denied, ", "),
			Fix:  "give its user a permission with the action view for these object types, without a constraint; a token that NetBox does not know gets the same answer",
		})
	}
	if len(findings) == 0 {
		findings = append(findings, Finding{OK: true, Text: "may view all that a pass reads"})
	}
	return findings
}

func (c *Client) checkCustomFields(ctx context.Context) []Finding {
	have, err := c.existingFields(ctx)
	if err != nil {
		return []Finding{{Text: err.Error(), Fix: "let the token's user view extras.customfield"}}
	}
	faults := fieldFaults(have, Refs{Deprecate: true, Reservable: true})
	if len(faults) == 0 {
		return []Finding{{OK: true, Text: "custom fields are as they should be"}}
	}
	var findings []Finding
	for _, fault := range faults {
		what, fix, _ := strings.Cut(fault, ": ")
		findings = append(findings, Finding{Text: what, Fix: fix})
	}
	return findings
}

// checkWrites tries what the token may do with bodies that hold nothing to do:
// an empty list to create, and the ID 0, which no row has, to change and to
// delete. NetBox checks the permission before it looks at the body. (OPTIONS
// names POST and PUT under "actions", and nothing for delete.)
func (c *Client) checkWrites(ctx context.Context, installation string) []Finding {
	nobody := []map[string]any{{"id": 0}}
	probes := []struct {
		verb, method string
		body         any
	}{
		{"add", http.MethodPost, []any{}}, {"change", http.MethodPatch, nobody}, {"delete", http.MethodDelete, nobody},
	}
	var findings []Finding
	for _, target := range []struct{ path, name string }{{"/api/ipam/prefixes/", "prefixes"}, {"/api/ipam/ip-addresses/", "addresses"}} {
		var may, mayNot []string
		for _, probe := range probes {
			_, failed := c.write(ctx, probe.method, target.path, probe.body)
			switch {
			case failed == nil || failed.Status == http.StatusBadRequest: // 4.7: "Object with ID 0 does not exist"
				may = append(may, probe.verb)
			case errors.Is(failed, ErrDenied):
				mayNot = append(mayNot, probe.verb)
			default:
				findings = append(findings, Finding{Text: failed.Error(), Fix: "mend that first, then check again"})
			}
		}
		if len(may) > 0 {
			findings = append(findings, Finding{OK: true, Text: "may " + strings.Join(may, ", ") + " " + target.name})
		}
		if len(mayNot) > 0 {
			findings = append(findings, Finding{
				Text: "may not " + strings.Join(mayNot, ", ") + " " + target.name,
				Fix:  permissionFix(installation),
			})
		}
	}
	return findings
}

// permissionFix writes out the least permission that lets allocsync work, and
// with which NetBox itself keeps it from touching other people's rows.
func permissionFix(installation string) string {
	return "give the token's user a permission with the actions add, change and delete for ipam.ipaddress and ipam.prefix and the constraint " +
		constraint(installation, ipam.OwnerField) + ", or where reservations are used [" + constraint(installation, ipam.OwnerField) + ", " +
		constraint(installation, ipam.ReserveAtField) + "], and let the token write"
}

// constraint limits a permission to the rows of which a custom field names the
// installation. __isnull and __has_key would protect nothing: the key of a
// custom field is always there, as null.
func constraint(installation, field string) string {
	text, _ := json.Marshal(map[string]string{"custom_field_data__" + field + "__startswith": installation + "/"})
	return string(text)
}
