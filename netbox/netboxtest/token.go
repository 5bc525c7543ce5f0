package netboxtest

import (
	"net/http"
	"slices"
	"strings"
)

// Permissions is what the user of a token may do. The zero value may nothing but
// read /api/status/.
type Permissions struct {
	// User is the name that the change log shows; "" reads as "allocsync".
	User string
	// Superuser may everything.
	Superuser bool
	// View allows reading every object type but the Hidden ones ("ipam.vrf").
	View   bool
	Hidden []string
	// Write allows adding, changing and deleting addresses and prefixes that
	// meet at least one of the constraints, as NetBox ORs a list of them.
	Write []Constraint
	// CustomFields allows adding, changing and deleting custom fields.
	CustomFields bool
}

// Constraint is NetBox's {"custom_field_data__FIELD__startswith": PREFIX}: a row
// without a value in the field never meets it.
type Constraint struct{ Field, Prefix string }

// user is who a request is made by.
type user struct {
	Permissions
	id int
}

// AddToken makes a token valid. nbt_KEY.TOKEN is a v2 token, which only 4.7
// takes; anything else is a v1 token.
func (s *Server) AddToken(token string, p Permissions) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.User == "" {
		p.User = "allocsync"
	}
	s.users[token] = &user{Permissions: p, id: len(s.users) + 1}
}

const (
	notAuthenticated = "Authentication credentials were not provided."
	noPermission     = "You do not have permission to perform this action."
	noPermissionHere = "You do not have permission to perform this action on this object."
)

// authenticate finds the user of a request. All failures are 403, as NetBox
// offers no challenge.
func (s *Server) authenticate(r *http.Request) (*user, *response) {
	auth := strings.Fields(r.Header.Get("Authorization"))
	v47 := s.version.since(V47)
	if len(auth) == 0 || !strings.EqualFold(auth[0], "Token") && !(v47 && strings.EqualFold(auth[0], "Bearer")) {
		return nil, detail(http.StatusForbidden, notAuthenticated)
	}
	if len(auth) != 2 {
		switch {
		case v47:
			return nil, detail(http.StatusForbidden, `Invalid authorization header: Must be in the form "Bearer <key>.<token>" or "Token <token>"`)
		case len(auth) == 1:
			return nil, detail(http.StatusForbidden, "Invalid token header. No credentials provided.")
		}
		return nil, detail(http.StatusForbidden, "Invalid token header. Token string should not contain spaces.")
	}
	u, ok := s.users[auth[1]]
	if !v47 {
		if !ok {
			return nil, detail(http.StatusForbidden, "Invalid token")
		}
		return u, nil
	}
	// 4.7 tells the token's version by its prefix, whatever the keyword.
	version := "v1"
	if rest, is2 := strings.CutPrefix(auth[1], "nbt_"); is2 {
		version = "v2"
		if !strings.Contains(rest, ".") {
			return nil, detail(http.StatusForbidden, "Invalid authorization header: Could not parse key from v2 token. Did you mean to use 'Token' instead of 'Bearer'?")
		}
	}
	if !ok {
		return nil, detail(http.StatusForbidden, "Invalid "+version+" token")
	}
	return u, nil
}

// may says whether the user holds the permission for the object type at all.
func (u *user) may(action string, k *kind) bool {
	if u.Superuser || action == "view" && u.View && !slices.Contains(u.Hidden, k.name()) {
		return true
	}
	if action == "view" {
		return false
	}
	switch k.name() {
	case "ipam.ipaddress", "ipam.prefix":
		return len(u.Write) > 0
	case "extras.customfield":
		return u.CustomFields
	}
	return false
}

// reaches says whether the user's constraints let an allowed action touch this
// row.
func (s *Server) reaches(u *user, action string, k *kind, r row) bool {
	if u.Superuser || action == "view" || k == s.fields {
		return true
	}
	m := r.(objectRow).base()
	for _, c := range u.Write {
		for _, f := range k.fields {
			if f.name != c.Field {
				continue
			}
			if json := m.value(f.id); json != "" && strings.HasPrefix(jsonText(json), c.Prefix) {
				return true
			}
		}
	}
	return false
}

// actions names the permission that a method needs.
func action(method string) string {
	switch method {
	case http.MethodPost:
		return "add"
	case http.MethodPut, http.MethodPatch:
		return "change"
	case http.MethodDelete:
		return "delete"
	}
	return "view"
}
