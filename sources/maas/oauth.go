package maas

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// credentials is an API key in its parts. It is kept behind a pointer: fmt
// walks the unexported fields of whatever holds it, and prints a pointer there
// as an address.
type credentials struct{ consumer, token, secret string }

// errKey does not repeat the key.
var errKey = errors.New("api_key: want the three parts of an API key with colons between them, as 'maas apikey --username NAME' prints it")

func parseKey(key Key) (*credentials, error) {
	parts := strings.Split(string(key), ":")
	if len(parts) != 3 {
		return nil, errKey
	}
	for _, part := range parts {
		if part == "" || strings.ContainsFunc(part, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, errKey
		}
	}
	return &credentials{parts[0], parts[1], parts[2]}, nil
}

// header signs a request as OAuth 1.0 has it with the method PLAINTEXT (RFC
// 5849, section 3.4.4), which does not depend on the request: the signature is
// the consumer's secret, which MAAS leaves empty, and the token's.
func (c *credentials) header(now time.Time) string {
	return fmt.Sprintf(`OAuth realm="MAAS+API", oauth_consumer_key="%s", oauth_token="%s", oauth_signature_method="PLAINTEXT", oauth_signature="%s", oauth_timestamp="%d", oauth_nonce="%s", oauth_version="1.0"`,
		escape(c.consumer), escape(c.token), escape("&"+c.secret), now.Unix(), rand.Text())
}

// escape is the percent-encoding of RFC 5849, section 3.6.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// scrub takes the parts of the key out of a text: MAAS repeats the token in
// "Invalid access token: …".
func (c *credentials) scrub(text string) string {
	for _, part := range []string{c.secret, c.token, c.consumer} {
		text = strings.ReplaceAll(text, part, redacted)
	}
	return text
}

// String and GoString keep the key out of what formats a pointer to it.
func (*credentials) String() string { return redacted }

// GoString returns [redacted].
func (*credentials) GoString() string { return redacted }
