package netbox

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"html"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxWords bounds how much of an answer goes into an error's text, in bytes.
const maxWords = 600

// words makes one line of an error body: {"detail": …}, {"error": …}, or
// messages by field, nested as Django nests them.
func words(body []byte) string {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return strings.ToValidUTF8(string(body), "�")
	}
	return flatten(v)
}

func flatten(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []any:
		var parts []string
		for _, element := range v {
			if s := flatten(element); s != "" {
				parts = append(parts, s)
			}
		}
		return strings.Join(parts, "; ")
	case map[string]any:
		return flattenFields(v)
	}
	text, _ := json.Marshal(v)
	return string(text)
}

func flattenFields(fields map[string]any) string {
	if s, ok := fields["error"].(string); ok { // a 500 of NetBox's own
		if kind, ok := fields["exception"].(string); ok {
			return kind + ": " + s
		}
		return s
	}
	_, listed := fields["errors"].([]any)
	if detail, ok := fields["detail"].(string); ok && listed {
		return detail // 4.7: the rows' own words follow in a list, see refusedRows
	}
	var parts []string
	for _, name := range sortedKeys(fields) {
		s := flatten(fields[name])
		switch {
		case s == "":
		case name == "detail" || name == "__all__" || name == "non_field_errors":
			parts = append(parts, s)
		default:
			parts = append(parts, name+": "+s)
		}
	}
	return strings.Join(parts, "; ")
}

// shorten cuts a text to maxWords, between runes.
func shorten(s string) string {
	if len(s) <= maxWords {
		return s
	}
	cut := maxWords
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + " …"
}

// title returns the title of an HTML page as ` ("Not found")`, "" without one.
func title(body []byte) string {
	lower := bytes.ToLower(body[:min(len(body), 4096)])
	from := bytes.Index(lower, []byte("<title>"))
	if from < 0 {
		return ""
	}
	from += len("<title>")
	length := bytes.Index(lower[from:], []byte("</title>"))
	if length < 0 || from+length > len(body) {
		return ""
	}
	text := strings.Join(strings.Fields(html.UnescapeString(string(body[from:from+length]))), " ")
	if text == "" {
		return ""
	}
	return " (" + strconv.Quote(shorten(text)) + ")"
}

func htmlHint(status int) string {
	switch status {
	case http.StatusBadRequest: // Django's answer to a Host header it does not know
		return ", and that NetBox's ALLOWED_HOSTS names this host"
	case http.StatusRequestURITooLong:
		return ", and the limit on the request line of the server in front of NetBox"
	}
	return ""
}

func isMaintenance(body []byte) bool {
	var v struct {
		Error string `json:"error"`
	}
	return json.Unmarshal(body, &v) == nil && strings.Contains(v.Error, "maintenance mode")
}

// certificateFix says what to do about a TLS handshake that can never succeed;
// "" for other errors.
func certificateFix(err error) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		return "set netbox.ca_file to the certificate of the authority that signed it"
	case errors.As(err, &name):
		return "use the name that the certificate is for in netbox.url"
	case errors.As(err, &invalid):
		return "the server needs a new certificate"
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "the server does not speak TLS there: netbox.url may need http:// or another port"
	}
	return ""
}
