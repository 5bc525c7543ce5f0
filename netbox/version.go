package netbox

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Version is a release of NetBox.
type Version struct {
	Major, Minor int
	Text         string // as the server writes it: "4.7.3", "4.6.0-Docker-3.2"
}

// String returns the version as the server writes it.
func (v Version) String() string { return v.Text }

// The first release that is supported.
const (
	oldestMajor = 3
	oldestMinor = 7
)

func (v Version) atLeast(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// hasFields: ?fields= on lists is honoured; 3.7 sends full rows.
func (v Version) hasFields() bool { return v.atLeast(4, 0) }

// hasCursor: ?start=ID pages without counting.
func (v Version) hasCursor() bool { return v.atLeast(4, 6) }

// namesRows: a refused bulk write says which rows were wrong, and a row that is
// gone refuses it instead of being passed over.
func (v Version) namesRows() bool { return v.atLeast(4, 7) }

// hasMessages: a write takes a changelog_message for each row. NetBox added it
// to bulk writes before 4.7, which is the first release it was tried on.
func (v Version) hasMessages() bool { return v.atLeast(4, 7) }

// objectTypes is the key under which a custom field lists what it is for.
func (v Version) objectTypes() string {
	if v.atLeast(4, 0) {
		return "object_types"
	}
	return "content_types"
}

// ParseVersion reads a release number such as "4.7.3"; what follows the minor
// number (patch level, -Docker-3.2, -beta1) does not matter.
func ParseVersion(s string) (Version, error) {
	major, rest, _ := strings.Cut(strings.TrimPrefix(s, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	if i := strings.IndexFunc(minor, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		minor = minor[:i]
	}
	x, errMajor := strconv.ParseUint(major, 10, 16)
	y, errMinor := strconv.ParseUint(minor, 10, 16)
	if errMajor != nil || errMinor != nil {
		return Version{}, fmt.Errorf("version %q: want a form such as 4.7.3", s)
	}
	return Version{Major: int(x), Minor: int(y), Text: s}, nil
}

// Status asks the server what it is (GET /api/status/). An unsupported
// version, a server that is not NetBox and a refused token are errors that say
// what to do.
func (c *Client) Status(ctx context.Context) (Version, error) {
	var body struct {
		Version string `json:"netbox-version"`
	}
	c.stats.lookups.Add(1)
	if err := c.read(ctx, "/api/status/", "", &body); err != nil {
		err = fmt.Errorf("ask NetBox for its version: %w", err)
		if errors.Is(err, ErrDenied) {
			err = fmt.Errorf("%w; check netbox.token", err)
		}
		return Version{}, err
	}
	if body.Version == "" {
		return Version{}, fmt.Errorf("ask NetBox for its version: %s/api/status/ is not NetBox: the answer names no netbox-version; check netbox.url", c.base)
	}
	v, err := ParseVersion(body.Version)
	if err != nil {
		return Version{}, fmt.Errorf("ask NetBox for its version: %w", err)
	}
	if !v.atLeast(oldestMajor, oldestMinor) {
		return v, fmt.Errorf("NetBox %s is too old: %d.%d or later is needed", v, oldestMajor, oldestMinor)
	}
	return v, nil
}
