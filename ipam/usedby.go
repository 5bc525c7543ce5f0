package ipam

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// MaxUsedBy is the longest UsedBy that is accepted, in bytes. NetBox puts no
// limit on a text custom field, but a URI that long is a broken source.
const MaxUsedBy = 8192

// UsedBy is the URI of whatever uses an address, byte for byte as the system
// that handed it out writes it: "/1.0/instances/u1?project=web".
//
// It is an identity, not a link: it is compared as bytes and never normalised,
// unescaped or re-encoded, because two spellings are two users to the system
// that wrote them.
type UsedBy string

// ParseUsedBy accepts s unchanged, or says why NetBox could not keep it byte
// for byte: it is empty, longer than MaxUsedBy, not UTF-8, holds a control
// character, or begins or ends with white space (which NetBox trims).
func ParseUsedBy(s string) (UsedBy, error) {
	switch {
	case s == "":
		return "", errors.New("used_by is empty")
	case len(s) > MaxUsedBy:
		return "", fmt.Errorf("used_by is %d bytes long, more than the %d that are kept", len(s), MaxUsedBy)
	case !utf8.ValidString(s):
		return "", fmt.Errorf("used_by %q is not UTF-8", s)
	case strings.TrimSpace(s) != s:
		return "", fmt.Errorf("used_by %q begins or ends with white space, which NetBox does not keep", s)
	}
	for _, r := range s {
		if r < 0x20 || r == 0x7f {
			return "", fmt.Errorf("used_by %q holds the control character %U, which NetBox does not keep", s, r)
		}
	}
	return UsedBy(s), nil
}

// Path returns the part before the query, still escaped as the source wrote it.
func (u UsedBy) Path() string {
	path, _, _ := strings.Cut(string(u), "?")
	return path
}

// Query returns the first value of one query parameter, unescaped, and ""
// where it is absent or cannot be unescaped.
func (u UsedBy) Query(key string) string {
	_, query, _ := strings.Cut(string(u), "?")
	for pair := range strings.SplitSeq(query, "&") {
		k, v, _ := strings.Cut(pair, "=")
		if k != key {
			continue
		}
		if value, err := url.QueryUnescape(v); err == nil {
			return value
		}
	}
	return ""
}
