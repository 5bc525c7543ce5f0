package config

import (
	"fmt"
	"io"
)

const redacted = "[redacted]"

// Secret is a value that is never shown: it formats as [redacted] under every
// verb and in JSON, YAML and text. Reveal is the one way to it.
type Secret struct {
	// A pointer, because fmt walks the unexported fields of a struct that holds
	// a Secret without asking its methods, and prints a pointer as an address.
	text *string
}

// NewSecret hides s.
func NewSecret(s string) Secret { return Secret{&s} }

// Reveal returns the secret itself, "" for the zero Secret.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Format writes [redacted], whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String returns [redacted].
func (s Secret) String() string { return redacted }

// MarshalText writes [redacted]; JSON and YAML encoders use it too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
