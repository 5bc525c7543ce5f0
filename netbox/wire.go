package netbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Waits between the tries of a read.
const (
	firstBackoff = 500 * time.Millisecond
	maxBackoff   = 30 * time.Second
	maxAfter     = 60 * time.Second // the longest Retry-After that is honoured in full
)

// answer is a complete answer.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// read sends a GET and decodes its answer into v. It is tried again, with
// growing waits, on 429, 500, 502, 503, 504 and when no complete answer came.
// path begins with /api/, query is encoded already and may be empty.
func (c *Client) read(ctx context.Context, path, query string, v any) error {
	wait := c.backoff
	for attempt := 1; ; attempt++ {
		c.stats.reads.Add(1)
		if attempt > 1 {
			c.stats.retries.Add(1)
		}
		a, failed := c.send(ctx, http.MethodGet, path, query, nil)
		if failed == nil {
			failed = c.decode(path, a, v)
		}
		if failed == nil {
			return nil
		}
		if !failed.retry || attempt > c.retries || ctx.Err() != nil {
			return failed
		}
		pause := max(jitter(wait), min(failed.after, maxAfter))
		if c.onRetry != nil {
			c.onRetry(Retry{Attempt: attempt, Wait: pause, Err: failed})
		}
		if err := sleep(ctx, pause); err != nil {
			return failed
		}
		wait = min(2*wait, maxBackoff)
	}
}

// write sends a request once, without a body where that is nil. A failure is
// classified by Error's methods.
func (c *Client) write(ctx context.Context, method, path string, body any) (answer, *Error) {
	c.stats.writes.Add(1)
	if body == nil {
		return c.send(ctx, method, path, "", nil)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return answer{}, &Error{Method: method, Path: path, Message: "encode the request: " + err.Error(), Err: err}
	}
	return c.send(ctx, method, path, "", text)
}

// decode reads an answer. One that is no JSON may have been cut off by a proxy
// that did not say so: worth another try.
func (c *Client) decode(path string, a answer, v any) *Error {
	err := json.Unmarshal(a.body, v)
	if err == nil {
		return nil
	}
	var syntax *json.SyntaxError
	return &Error{
		Method: http.MethodGet, Path: path, Status: a.status, Message: c.scrub("decode the answer: " + err.Error()),
		Err: err, retry: errors.As(err, &syntax),
	}
}

// send sends one request, reads its answer whole and counts how it ended.
// Anything but a 2xx answer in JSON (or an empty one) is an error.
func (c *Client) send(ctx context.Context, method, path, query string, body []byte) (answer, *Error) {
	a, failed := c.exchange(ctx, method, path, query, body)
	c.stats.end(ctx, method, a.status, failed)
	return a, failed
}

func (c *Client) exchange(ctx context.Context, method, path, query string, body []byte) (answer, *Error) {
	attempt, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	target := c.base + path
	if query != "" {
		target += "?" + query
	}
	request := c.http.R().SetContext(attempt).SetDoNotParseResponse(true)
	if body != nil {
		request.SetHeader("Content-Type", "application/json").SetBody(body)
	}
	response, err := request.Execute(method, target)
	if err != nil {
		if response != nil && response.RawResponse != nil {
			_ = response.RawResponse.Body.Close()
		}
		return answer{}, c.broken(ctx, method, path, err)
	}
	if method != http.MethodGet {
		// Before the body is read: the webhook is on its way by now.
		if id, ok := parseRequestID(response.Header().Get(requestHeader)); ok {
			c.written.add(id)
		}
	}
	raw := response.RawBody()
	defer func() { _ = raw.Close() }()
	text, err := io.ReadAll(io.LimitReader(raw, c.maxBytes+1))
	c.stats.bytes.Add(int64(len(text)))
	if err != nil {
		return answer{}, c.broken(ctx, method, path, fmt.Errorf("read the answer: %w", err))
	}
	a := answer{status: response.StatusCode(), header: response.Header(), body: text}
	if int64(len(text)) > c.maxBytes {
		return a, &Error{
			Method: method, Path: path, Status: a.status, unsure: method != http.MethodGet,
			Message: fmt.Sprintf("the answer is longer than %d bytes", c.maxBytes),
		}
	}
	if a.status < 200 || a.status > 299 {
		a.body = []byte(c.scrub(string(a.body))) // before anything is cut out of it
	}
	if failed := c.failure(method, path, a); failed != nil {
		failed.Message = c.scrub(failed.Message)
		return a, failed
	}
	return a, nil
}

// broken makes an error of a request to which no complete answer came.
func (c *Client) broken(ctx context.Context, method, path string, err error) *Error {
	e := &Error{Method: method, Path: path, Err: err, unsure: method != http.MethodGet, retry: true}
	var wrapped *url.Error // repeats method and URL
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	e.Message = c.scrub(err.Error())
	if ctx.Err() != nil {
		e.Err, e.retry = ctx.Err(), false
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) {
		e.Message = fmt.Sprintf("no answer within %s", c.timeout)
	}
	if fix := certificateFix(err); fix != "" {
		e.retry, e.unsure = false, false // the handshake failed: nothing was sent
		e.Message += "; " + fix
	}
	return e
}

// failure makes an error of an answer that is not a 2xx in JSON; nil if it is.
func (c *Client) failure(method, path string, a answer) *Error {
	e := &Error{Method: method, Path: path, Status: a.status}
	kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	isJSON := kind == "application/json" || strings.HasSuffix(kind, "+json")
	switch {
	case a.status >= 200 && a.status < 300 && (isJSON || len(bytes.TrimSpace(a.body)) == 0 && a.status == http.StatusNoContent):
		return nil
	case a.status >= 300 && a.status < 400:
		e.Message = fmt.Sprintf("redirected to %s; set netbox.url to where NetBox really is", c.place(a.header.Get("Location")))
		return e
	case isJSON:
		e.Message = shorten(words(a.body))
	case kind == "text/html":
		e.Message = fmt.Sprintf("this is not the NetBox API: got HTML%s from %s%s; check netbox.url%s", title([]byte(c.scrub(string(a.body)))), c.base, path, htmlHint(a.status))
	default:
		text := shorten(c.scrub(strings.TrimSpace(string(a.body))))
		e.Message = fmt.Sprintf("this is not the NetBox API: got %q (%s) from %s%s; check netbox.url", kind, text, c.base, path)
	}
	c.classify(e, a, isJSON)
	return e
}

// classify sets what the status means for what may be done next.
func (c *Client) classify(e *Error, a answer, isJSON bool) {
	writing := e.Method != http.MethodGet && e.Method != http.MethodOptions
	switch a.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		e.Err = ErrDenied
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		e.retry, e.unsure = true, writing
		e.after = retryAfter(a.header.Get("Retry-After"), time.Now())
		if !isJSON {
			e.Message = http.StatusText(a.status) + " from a proxy or the server in front of NetBox" + title(a.body)
		}
	case http.StatusInternalServerError:
		// NetBox answers 500 also after the work was committed, such as when
		// Redis is down and the webhooks cannot be queued.
		e.retry, e.unsure = true, writing
		if isJSON && isMaintenance(a.body) {
			e.retry, e.unsure = false, false
			e.Message += " (NetBox is in maintenance mode: it can be read, not written; try again once that is over)"
		}
	default:
		// A 2xx that is not JSON: a write may have reached NetBox.
		e.unsure = writing && a.status >= 200 && a.status < 300
	}
}

// minSecret is the length from which on a text is taken out of messages; NetBox
// makes tokens of 40 characters. Shorter ones, as in demos, would only garble.
const minSecret = 8

// scrub takes the token out of a text, whole or without its nbt_ and key part.
func (c *Client) scrub(s string) string {
	if len(c.token) < minSecret {
		return s
	}
	s = strings.ReplaceAll(s, string(c.token), redacted)
	if _, secret, ok := strings.Cut(string(c.token), "."); ok && len(secret) >= minSecret {
		s = strings.ReplaceAll(s, secret, redacted)
	}
	return s
}

// place is a URL without query and user, for error texts.
func (c *Client) place(location string) string {
	u, err := url.Parse(location)
	if err != nil || location == "" {
		return "somewhere else"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// retryAfter reads a Retry-After header: seconds or a date.
func retryAfter(s string, now time.Time) time.Duration {
	if s == "" {
		return 0
	}
	if seconds, err := strconv.Atoi(s); err == nil {
		return time.Duration(min(max(seconds, 0), 24*3600)) * time.Second
	}
	if at, err := http.ParseTime(s); err == nil {
		return min(max(at.Sub(now), 0), 24*time.Hour)
	}
	return 0
}

// jitter spreads a wait over its upper half, so that clients that were thrown
// out together do not come back together.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
