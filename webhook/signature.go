package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers that prove something.
const (
	headerNetBox    = "X-Hook-Signature"    // hex HMAC-SHA512 of the body, as NetBox sends it
	headerHub       = "X-Hub-Signature-256" // sha256=HEX, as GitHub and those who follow it send it
	headerPlain     = "X-Signature"         // either, with or without sha256= or sha512= before it
	headerTimestamp = "X-Timestamp"         // seconds since 1970; signed as TIMESTAMP.BODY
)

// signature is what a header says.
type signature struct {
	hash func() hash.Hash
	mac  []byte
}

// parseSignature reads "HEX", "sha256=HEX" or "sha512=HEX"; the length must
// fit.
func parseSignature(text string) (signature, bool) {
	algorithm, digits, named := strings.Cut(text, "=")
	if !named {
		algorithm, digits = "", text
	}
	if len(digits) > 2*sha512.Size {
		return signature{}, false
	}
	mac, err := hex.DecodeString(digits)
	if err != nil {
		return signature{}, false
	}
	switch {
	case len(mac) == sha256.Size && (algorithm == "sha256" || !named):
		return signature{hash: sha256.New, mac: mac}, true
	case len(mac) == sha512.Size && (algorithm == "sha512" || !named):
		return signature{hash: sha512.New, mac: mac}, true
	}
	return signature{}, false
}

// netboxSignature returns the signature in NetBox's form.
func netboxSignature(h http.Header) (signature, bool) {
	text, ok := single(h, headerNetBox)
	if !ok || len(text) != 2*sha512.Size {
		return signature{}, false
	}
	return parseSignature(text)
}

// resyncSignature returns the signature of the first header that there is of
// those that may hold one.
func resyncSignature(h http.Header) (signature, bool) {
	for _, name := range []string{headerHub, headerNetBox, headerPlain} {
		if len(h.Values(name)) == 0 {
			continue
		}
		text, ok := single(h, name)
		if !ok || name == headerHub && !strings.HasPrefix(text, "sha256=") {
			return signature{}, false
		}
		return parseSignature(text)
	}
	return signature{}, false
}

// single returns the value of a header that is there once. One that is there
// twice could mean one thing to a proxy and another one here.
func single(h http.Header, name string) (string, bool) {
	values := h.Values(name)
	if len(values) != 1 || values[0] == "" {
		return "", false
	}
	return values[0], true
}

// signs reports, in a time that does not tell how much of it was right, whether
// the signature is that of the parts one after the other.
func (s signature) signs(secret string, parts ...[]byte) bool {
	if secret == "" || s.hash == nil {
		return false
	}
	m := hmac.New(s.hash, []byte(secret))
	for _, part := range parts {
		m.Write(part)
	}
	return hmac.Equal(m.Sum(nil), s.mac)
}

// bearer returns the token of an Authorization header of that scheme.
func bearer(h http.Header) (string, bool) {
	text, ok := single(h, "Authorization")
	scheme, token, _ := strings.Cut(text, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return strings.TrimSpace(token), true
}

// sameToken compares in a time that depends neither on how much is the same
// nor on the length of the right one.
func sameToken(given, want string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && want != ""
}

// maxDigits is more than seconds since 1970 will have for a while.
const maxDigits = 12

// timestamp reads the header's seconds. Its text is what was signed.
func timestamp(text string) (time.Time, bool) {
	if len(text) > maxDigits || strings.Trim(text, "0123456789") != "" {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(seconds, 0), err == nil
}

// within reports whether two times are no further apart than window.
func within(a, b time.Time, window time.Duration) bool {
	return a.Sub(b).Abs() <= window
}
