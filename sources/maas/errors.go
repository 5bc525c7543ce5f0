package maas

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/go-resty/resty/v2"

	"allocsync/sources"
)

// maxWords is how much of MAAS's own words an error repeats, in bytes.
const maxWords = 300

// answerError is an answer other than success.
type answerError struct {
	code       int
	text       string // in MAAS's own words, one line; "" where it says nothing
	retryAfter string // seconds, as MAAS writes them; "" where it does not say
	location   string // of a redirect
}

func (e *answerError) Error() string {
	text := fmt.Sprintf("MAAS answers %d", e.code)
	if e.text != "" {
		text += fmt.Sprintf(" %q", e.text)
	}
	switch {
	case e.retryAfter != "":
		text += fmt.Sprintf(", and to ask again after %s s", e.retryAfter)
	case e.location != "":
		text += fmt.Sprintf(" and points to %q", e.location)
	}
	return text
}

// Unwrap tells the causes apart that hold for every request. A 403, 404 or 409
// to a write may also be a refusal: see refuses.
func (e *answerError) Unwrap() error {
	switch {
	case e.code == http.StatusUnauthorized, e.code == http.StatusForbidden:
		return sources.ErrDenied
	case e.code >= 500, e.code == http.StatusConflict, e.code == http.StatusTooManyRequests, e.code == http.StatusRequestTimeout, e.code < 400:
		return sources.ErrUnreachable
	}
	return nil
}

// refuses reports whether the answer to a write says that what was asked for is
// not possible as things are. MAAS says so with 400 and the faults of a form,
// with 404 (StaticIPAddressUnavailable), 403 (StaticIPAddressOutOfRange, and
// interfaces of controllers), 409 (NodeStateViolation,
// StaticIPAddressReservedIPConflict) and 503
// (StaticIPAddressExhaustion): src/maasserver/exceptions.py.
func (e *answerError) refuses() bool {
	switch e.code {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	case http.StatusForbidden:
		return containsAny(e.text, "dynamic range", "reserved range", "subnet", "already in use", "Cannot ")
	case http.StatusConflict:
		// "Conflict error. Try your request again, as it will most likely
		// succeed." is what is left of transactions that got in each other's way.
		return e.retryAfter == "" && e.text != "" && !strings.HasPrefix(e.text, "Conflict error")
	case http.StatusServiceUnavailable:
		return strings.HasPrefix(e.text, "No more IPs available")
	}
	return e.code >= 400 && e.code <= 499
}

// taken reports whether the answer to a write says that the address, or the
// MAC, is in use. It may be by the very thing that was asked for: the answer to
// an earlier request may have been lost.
func (e *answerError) taken() bool {
	return e.refuses() && containsAny(e.text, "already", "in use", "exists")
}

func containsAny(text string, parts ...string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
}

// refusal makes an error of an answer other than success.
func (c *client) refusal(answer *resty.Response) *answerError {
	e := &answerError{code: answer.StatusCode(), text: c.key.scrub(words(answer.Header().Get("Content-Type"), answer.Body()))}
	if seconds, err := strconv.Atoi(answer.Header().Get("Retry-After")); err == nil && seconds >= 0 {
		e.retryAfter = strconv.Itoa(seconds)
	}
	if e.code >= 300 && e.code <= 399 {
		e.location = c.key.scrub(line(answer.Header().Get("Location")))
	}
	return e
}

// words is what the body of an error says, in one line: MAAS writes the faults
// of a form as JSON, {"ip": ["…"]}, and everything else as text. Of a page of
// HTML nothing is kept: it is a proxy's, or Django's, and says no more than the
// status.
func words(contentType string, body []byte) string {
	if strings.Contains(contentType, "html") || strings.HasPrefix(strings.TrimSpace(string(body[:min(len(body), 64)])), "<") {
		return ""
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return line(string(body[:min(len(body), 4*maxWords)]))
	}
	var faults []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		text := faultsOf(fields[name])
		if name != "__all__" { // what is wrong with the form as a whole
			text = name + ": " + text
		}
		faults = append(faults, text)
	}
	return line(strings.Join(faults, " "))
}

// faultsOf reads what is wrong with a field: a list of texts, or one.
func faultsOf(raw json.RawMessage) string {
	var list []string
	if json.Unmarshal(raw, &list) == nil {
		return strings.Join(list, " ")
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

// line makes foreign text fit to be shown: one line, without control
// characters, cut at maxWords.
func line(text string) string {
	text = strings.ToValidUTF8(text, "?")
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + "…"
	}
	return text
}

// notFound reports a 404: the thing is gone or never was.
func notFound(err error) bool {
	e, ok := errors.AsType[*answerError](err)
	return ok && e.code == http.StatusNotFound
}

// refusalError is that MAAS, or what is known of it, does not allow what is
// asked for.
type refusalError struct {
	text  string
	taken bool // the address is another's
}

func (e *refusalError) Error() string { return sources.ErrRefused.Error() + ": " + e.text }

func (e *refusalError) Unwrap() error { return sources.ErrRefused }

func refuse(format string, args ...any) error {
	return &refusalError{text: fmt.Sprintf(format, args...)}
}

// outcome is the error of a write as Desk promises it: a refusal in MAAS's own
// words, else what it is.
func outcome(err error) error {
	if e, ok := errors.AsType[*answerError](err); ok && e.refuses() {
		return &refusalError{text: e.Error(), taken: e.taken()}
	}
	return err
}

// unsure reports whether a write that ended with err may have been done all the
// same.
func unsure(err error) bool { return err != nil && errors.Is(err, sources.ErrUnreachable) }

// refused reports whether a write that ended with err was refused.
func refused(err error) bool {
	e, ok := errors.AsType[*answerError](err)
	return ok && e.refuses()
}

func taken(err error) bool {
	e, ok := errors.AsType[*answerError](err)
	return ok && e.taken()
}

// advice says what the operator can do about an error.
func (c *client) advice(err error) string {
	e, answered := errors.AsType[*answerError](err)
	switch {
	case errors.Is(err, resty.ErrResponseBodyTooLarge):
		return "raise max_bytes"
	case answered && e.location != "":
		return "set url to where MAAS really answers; redirects are not followed, as the API key would go there"
	case answered && strings.Contains(e.text, "Expired timestamp"):
		return "set the clock of this machine, or of MAAS: they differ by more than five minutes"
	case answered && e.code == http.StatusUnauthorized:
		return "check api_key: 'maas apikey --username NAME' on the server prints it"
	case answered && e.code == http.StatusForbidden && !e.refuses():
		return "use the API key of an administrator"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: does MAAS run, and is the port right (5240, or 5443 with TLS)?"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "use the name in url that the certificate holds"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "set ca_file to the authority that signed MAAS's certificate"
	}
	return ""
}
