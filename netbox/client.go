package netbox

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-resty/resty/v2"
)

// Defaults and bounds of Options.
const (
	DefaultTimeout  = 60 * time.Second
	DefaultPageSize = 1000 // NetBox's own MAX_PAGE_SIZE by default
	DefaultMaxBytes = 64 << 20
	DefaultRetries  = 4
)

// Options say how NetBox is reached. URL and Token are needed, the zero value
// of every other field means its default.
type Options struct {
	// URL is where NetBox's pages begin: https://netbox.example.org, with a
	// path where it lives below one, with or without /api at its end.
	URL string

	// Token is an API token of either version.
	Token Token

	CAFile        string // PEM file of the authorities to trust besides the system's
	TLSSkipVerify bool   // do not check the server's certificate: tests only

	Timeout  time.Duration // of one request and its answer, default 60s
	PageSize int           // rows asked for per page, default 1000
	MaxBytes int64         // of one answer, default 64 MiB
	Retries  int           // further tries of a read that failed, default 4; negative for none

	UserAgent string // default "allocsync"

	// OnRetry is called before each wait; may be nil.
	OnRetry func(Retry) `json:"-"`
}

// Retry says that a read failed and is tried again.
type Retry struct {
	Attempt int           // which try failed, from 1
	Wait    time.Duration // until the next
	Err     error
}

// Client is the connection to one NetBox. It is safe for concurrent use.
type Client struct {
	base     string // without a slash at the end and without /api
	http     *resty.Client
	token    Token
	timeout  time.Duration
	pageSize int
	maxBytes int64
	retries  int
	backoff  time.Duration // first wait of a read; tests shorten it
	onRetry  func(Retry)
	stats    counters
	written  written

	skipVerify bool // as in Options, for Check
}

// Open makes a client. It opens no connection; errors are about the options
// alone.
func Open(o Options) (*Client, error) {
	base, err := parseBase(o.URL)
	if err != nil {
		return nil, fmt.Errorf("open netbox: %w", err)
	}
	if o.Token == "" {
		return nil, errors.New("open netbox: no API token")
	}
	if strings.ContainsFunc(string(o.Token), func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("open netbox: the API token holds white space or characters that no token has")
	}
	transport, err := newTransport(o)
	if err != nil {
		return nil, fmt.Errorf("open netbox: %w", err)
	}
	c := &Client{
		base:     base,
		token:    o.Token,
		timeout:  positive(o.Timeout, DefaultTimeout),
		pageSize: positive(o.PageSize, DefaultPageSize),
		maxBytes: positive(o.MaxBytes, DefaultMaxBytes),
		retries:  DefaultRetries,
		backoff:  firstBackoff,
		onRetry:  o.OnRetry,

		skipVerify: o.TLSSkipVerify,
	}
	if o.Retries != 0 {
		c.retries = max(o.Retries, 0)
	}
	agent := o.UserAgent
	if agent == "" {
		agent = "allocsync"
	}
	c.http = resty.NewWithClient(&http.Client{
		Transport: transport,
		// A redirect would send the token to wherever it points, and turn a
		// POST into a GET: it is an answer here, and becomes an error.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})
	c.http.SetHeader("User-Agent", agent)
	c.http.SetHeader("Accept", "application/json")
	c.http.SetHeader("Authorization", o.Token.header())
	c.http.SetLogger(silent{})
	c.http.SetDisableWarn(true) // it warns about a token sent over plain http
	return c, nil
}

func positive[T int | int64 | time.Duration](v, byDefault T) T {
	if v > 0 {
		return v
	}
	return byDefault
}

// parseBase returns the URL without a slash or /api at its end. Errors never
// repeat the URL, which may hold a password.
func parseBase(s string) (string, error) {
	if s == "" {
		return "", errors.New("no URL")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", errors.New("the URL cannot be read: want a form such as https://netbox.example.org")
	case u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("the URL has to begin with https:// or http://")
	case u.Host == "":
		return "", errors.New("the URL names no host")
	case u.User != nil:
		return "", errors.New("the URL holds a user name or password, which NetBox's API does not take: use a token")
	case u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("the URL has a query or a fragment")
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	path = strings.TrimRight(strings.TrimSuffix(path, "/api"), "/")
	return u.Scheme + "://" + u.Host + path, nil
}

func newTransport(o Options) (*http.Transport, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 8
	transport.TLSClientConfig = &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: o.TLSSkipVerify, //nolint:gosec // asked for by name
	}
	if o.CAFile == "" {
		return transport, nil
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read CA file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read CA file %s: no certificate in it", o.CAFile)
	}
	transport.TLSClientConfig.RootCAs = pool
	return transport, nil
}

// silent keeps resty from writing to standard error.
type silent struct{}

func (silent) Errorf(string, ...any) {}
func (silent) Warnf(string, ...any)  {}
func (silent) Debugf(string, ...any) {}
