package netbox

import (
	"fmt"
	"io"
	"strings"
)

// redacted is what stands for a secret wherever one could be printed.
const redacted = "[redacted]"

// Token is an API token. It prints as "[redacted]" through every road that fmt,
// encoding/json, YAML and log take; string(t) alone gives it out.
type Token string

// String returns "[redacted]", or "" for no token.
func (t Token) String() string {
	if t == "" {
		return ""
	}
	return redacted
}

// GoString returns what String does.
func (t Token) GoString() string { return t.String() }

// MarshalText returns what String does.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Format writes what String returns, whatever the verb: %x and %q would print
// the bytes of a string type otherwise.
func (t Token) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, t.String()) }

// header returns the value of the Authorization header. Tokens of version 2
// (NetBox 4.5 and later) begin with nbt_ and are bearer tokens; those of
// version 1 have a keyword of NetBox's own.
func (t Token) header() string {
	if strings.HasPrefix(string(t), "nbt_") {
		return "Bearer " + string(t)
	}
	return "Token " + string(t)
}
