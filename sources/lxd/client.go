package lxd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/go-resty/resty/v2"

	"allocsync/sources"
)

// maxParallel is how many requests one source has under way at once.
const maxParallel = 4

// client speaks the REST API that LXD and Incus share.
// It is safe for concurrent use.
type client struct {
	rest    *resty.Client
	events  *http.Client // for the connection over which the server tells of changes
	url     string       // as the configuration writes it
	own     fingerprint  // of the client certificate, "" without one
	timeout time.Duration
	slots   chan struct{} // holds one element for each request under way
}

func newClient(o Options) (*client, error) {
	c := &client{url: strings.TrimSuffix(o.URL, "/"), timeout: o.Timeout, slots: make(chan struct{}, maxParallel)}
	// No proxy from the environment: what a source does is in its configuration.
	transport := &http.Transport{
		MaxIdleConnsPerHost: maxParallel,
		IdleConnTimeout:     30 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
	}
	base := c.url
	if path, unix := strings.CutPrefix(c.url, "unix://"); unix {
		base = "http://unix"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
		// On its unix socket Incus 6.0.4 accepts nobody while a connection is
		// open that has sent nothing yet, and a pool keeps such ones: dialed
		// for a request that got another connection before it was needed.
		transport.DisableKeepAlives = true
	} else {
		config, own, err := o.tlsConfig()
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig, c.own = config, own
	}
	c.events = &http.Client{
		Transport:     upgrading(transport),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.rest = resty.NewWithClient(&http.Client{Transport: transport}).
		SetBaseURL(base).
		SetRedirectPolicy(resty.NoRedirectPolicy()).
		SetResponseBodyLimit(o.MaxBytes).
		SetDisableWarn(true).
		SetLogger(sources.Silence{}).
		SetHeader("Accept", "application/json").
		SetHeader("User-Agent", "allocsync")
	return c, nil
}

// upgrading is the same way to the server, for a connection that becomes a
// websocket: over HTTP/2 Incus 6.0.4 answers 400.
func upgrading(t *http.Transport) *http.Transport {
	t = t.Clone()
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	t.DisableKeepAlives = true // a connection that was not upgraded is of no more use
	t.MaxResponseHeaderBytes = 64 << 10
	return t
}

// at writes a request path the way the server's own URIs are written.
func at(segments ...string) string {
	var b strings.Builder
	b.WriteString("/1.0")
	for _, s := range segments {
		b.WriteString("/")
		b.WriteString(url.PathEscape(s))
	}
	return b.String()
}

// get reads the metadata of one answer into the value that into points to.
// Its error is a *sources.Failure: the cause is found with errors.Is and
// errors.As, and the text says what to do about it.
func (c *client) get(ctx context.Context, path string, query url.Values, into any) error {
	target := path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	answer, err := c.send(ctx, c.rest.R(), http.MethodGet, target)
	if err == nil {
		err = decode(answer.StatusCode(), answer.Body(), into)
	}
	if err != nil {
		return c.failed("read", target, err)
	}
	return nil
}

// send asks once: what was sent is never sent again here.
func (c *client) send(ctx context.Context, request *resty.Request, method, target string) (*resty.Response, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, sources.Ended(ctx, c.timeout)
	}
	answer, err := request.SetContext(ctx).Execute(method, target)
	if err != nil {
		if ctx.Err() != nil {
			return nil, sources.Ended(ctx, c.timeout)
		}
		return nil, reached(err)
	}
	return answer, nil
}

// reached wraps an error of the transport in the sentinel that fits.
func reached(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // the request is named by Failure
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %w", sources.ErrDenied, err)
	}
	return fmt.Errorf("%w: %w", sources.ErrUnreachable, err)
}

// envelope is what every answer is wrapped in:
// https://linuxcontainers.org/incus/docs/main/rest-api/#return-values
type envelope struct {
	Type      string          `json:"type"`      // sync, async or error
	Operation string          `json:"operation"` // of async: the URI of what goes on
	ErrorCode int             `json:"error_code"`
	Error     string          `json:"error"`
	Metadata  json.RawMessage `json:"metadata"`
}

// answerError is an error that the server itself reports.
type answerError struct {
	code int // HTTP status, or the envelope's own code where that says more
	text string
}

func (e *answerError) Error() string {
	if e.text == "" {
		return fmt.Sprintf("the server answers %d", e.code)
	}
	return fmt.Sprintf("the server answers %d %q", e.code, e.text)
}

func (e *answerError) Unwrap() error {
	switch {
	case e.code == http.StatusUnauthorized, e.code == http.StatusForbidden, strings.Contains(e.text, "does not have permission"):
		// Incus 6.0.4 says 500 "User does not have permissions for project"
		// on lists of networks, and 403 elsewhere.
		return sources.ErrDenied
	case e.code >= 500 && !validation.MatchString(e.text):
		return sources.ErrUnreachable
	}
	return nil
}

func decode(status int, body []byte, into any) error {
	var e envelope
	err := json.Unmarshal(body, &e)
	switch {
	case err == nil && (e.Type == "error" || (e.ErrorCode != 0 && e.Type != "sync")):
		code := e.ErrorCode
		if code == 0 {
			code = status
		}
		return &answerError{code: code, text: e.Error}
	case status < 200 || status > 299:
		return &answerError{code: status}
	case err != nil:
		return fmt.Errorf("%w: the answer is no complete JSON: %w", sources.ErrUnreachable, err)
	case e.Type != "sync":
		return fmt.Errorf("%w: the answer is of type %q, want sync: is this Incus or LXD?", sources.ErrUnreachable, e.Type)
	case len(e.Metadata) == 0 || string(e.Metadata) == "null":
		return fmt.Errorf("%w: the answer holds no metadata", sources.ErrUnreachable)
	}
	if err := json.Unmarshal(e.Metadata, into); err != nil {
		return fmt.Errorf("%w: the answer is not what the API promises: %w", sources.ErrUnreachable, err)
	}
	return nil
}

// failed says what was done, and what can be done about its error.
func (c *client) failed(verb, target string, err error) error {
	return &sources.Failure{Doing: verb + " " + target, Cause: err, Advice: c.advice(err)}
}

// notFound reports a 404: the thing is gone or never was.
func notFound(err error) bool {
	e, ok := errors.AsType[*answerError](err)
	return ok && e.code == http.StatusNotFound
}

// notOffered reports that this kind of network has no such list. The codes
// differ: leases of macvlan, sriov and physical networks are a 500 "Not
// implemented" (Incus 6.0.4), load balancers of a bridge a 400.
func notOffered(err error) bool {
	e, ok := errors.AsType[*answerError](err)
	return ok && (strings.EqualFold(e.text, "Not implemented") ||
		e.code == http.StatusBadRequest && strings.Contains(e.text, "does not support"))
}

// advice says what the operator can do about an error.
func (c *client) advice(err error) string {
	unix := strings.HasPrefix(c.url, "unix://")
	switch {
	case errors.Is(err, resty.ErrResponseBodyTooLarge):
		return "raise max_bytes, or name fewer projects in projects"
	case errors.Is(err, sources.ErrDenied) && unix:
		return "run allocsync as root or as a member of the group incus-admin (LXD: lxd)"
	case errors.Is(err, sources.ErrDenied):
		return c.enrolment()
	case errors.Is(err, syscall.ENOENT) && unix:
		return "no such socket: is the server running, and its socket mounted into the container? LXD has it at /var/snap/lxd/common/lxd/unix.socket or /var/lib/lxd/unix.socket"
	case errors.Is(err, syscall.ECONNREFUSED) && !unix:
		return "nothing listens there: on the server set core.https_address to :8443"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the answer was cut off"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "pin the server's own certificate: set server_cert_file to a copy of the server's server.crt, or server_fingerprint"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "pin the server's own certificate: set server_cert_file or server_fingerprint"
	}
	return ""
}

// enrolment says how to make the server trust this client.
func (c *client) enrolment() string {
	if c.own == "" {
		return "no client certificate is configured: make one, let the server trust it (incus config trust add-certificate client.crt --name allocsync; LXD: lxc config trust add client.crt), and set client_cert_file and client_key_file"
	}
	return "let the server trust the certificate in client_cert_file: incus config trust add-certificate FILE --name allocsync (LXD: lxc config trust add FILE); or, if it is restricted, add the project to it: incus config trust edit " + string(c.own[:12])
}
