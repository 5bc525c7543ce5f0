package maas

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-resty/resty/v2"

	"allocsync/sources"
)

// maxParallel is how many requests one source has under way at once.
const maxParallel = 6

// client speaks MAAS's API 2.0. It never waits and never asks again by itself.
// It is safe for concurrent use.
type client struct {
	rest    *resty.Client
	url     string // as the configuration writes it
	path    string // where the operations are, for messages: /MAAS/api/2.0/
	key     *credentials
	timeout time.Duration
	slots   chan struct{} // holds one element for each request under way
}

func newClient(o Options) (*client, error) {
	key, err := parseKey(o.APIKey)
	if err != nil {
		return nil, err
	}
	config, err := o.tlsConfig()
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(o.base())
	if err != nil {
		return nil, errURL
	}
	c := &client{url: strings.TrimRight(o.URL, "/"), path: base.Path, key: key, timeout: o.Timeout, slots: make(chan struct{}, maxParallel)}
	c.rest = resty.NewWithClient(&http.Client{
		// No proxy from the environment: what a source does is in its configuration.
		Transport: &http.Transport{
			TLSClientConfig:        config,
			MaxIdleConnsPerHost:    maxParallel,
			IdleConnTimeout:        30 * time.Second,
			TLSHandshakeTimeout:    10 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
		// The key goes to the server that is configured and to no other.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}).
		SetBaseURL(strings.TrimRight(o.base(), "/")).
		SetResponseBodyLimit(o.MaxBytes).
		SetDisableWarn(true).
		SetLogger(sources.Silence{}).
		SetHeader("Accept", "application/json").
		SetHeader("User-Agent", "allocsync")
	return c, nil
}

// question is one request. Its path is that below the API's, such as
// "subnets/3/", and may have a query.
type question struct {
	method string
	path   string
	form   url.Values // of a POST
}

func reading(path string) question { return question{method: http.MethodGet, path: path} }

func writing(path string, form url.Values) question {
	return question{method: http.MethodPost, path: path, form: form}
}

func deleting(path string) question { return question{method: http.MethodDelete, path: path} }

// verb names what the question does, for messages.
func (q question) verb() string {
	switch q.method {
	case http.MethodPost:
		return "write"
	case http.MethodDelete:
		return "delete"
	}
	return "read"
}

// ask puts the answer into the value that into points to; nil takes any. Its
// error is a *sources.Failure: the cause is found with errors.Is and errors.As,
// and the text says what to do about it.
func (c *client) ask(ctx context.Context, q question, into any) error {
	if err := c.send(ctx, q, into); err != nil {
		return &sources.Failure{Doing: q.verb() + " " + c.path + q.path, Cause: err, Advice: c.advice(err)}
	}
	return nil
}

func (c *client) send(ctx context.Context, q question, into any) error {
	if ctx.Err() != nil {
		return sources.Ended(ctx, c.timeout)
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return sources.Ended(ctx, c.timeout)
	}
	answer, err := c.once(ctx, q)
	if err == nil && q.method == http.MethodGet && replayed(answer) {
		answer, err = c.once(ctx, q)
	}
	if err != nil {
		if ctx.Err() != nil {
			return sources.Ended(ctx, c.timeout)
		}
		return reached(err)
	}
	if status := answer.StatusCode(); status < 200 || status > 299 {
		return c.refusal(answer)
	}
	return decode(answer.Body(), into)
}

// once signs a question and sends it.
func (c *client) once(ctx context.Context, q question) (*resty.Response, error) {
	request := c.rest.R().SetContext(ctx).SetHeader("Authorization", c.key.header(time.Now()))
	if q.form != nil {
		request.SetFormDataFromValues(q.form)
	}
	return request.Execute(q.method, "/"+q.path)
}

// replayed reports whether MAAS has seen a request before: net/http sends a
// reading again by itself, with the signature that it has, where a connection
// that was kept ends without an answer.
func replayed(answer *resty.Response) bool {
	return answer.StatusCode() == http.StatusUnauthorized && bytes.Contains(answer.Body(), []byte("Nonce already used"))
}

// reached wraps an error of the transport in the sentinel that fits.
func reached(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // the request is named by Failure
	}
	return fmt.Errorf("%w: %w", sources.ErrUnreachable, err)
}

func decode(body []byte, into any) error {
	if into == nil {
		return nil
	}
	if text := strings.TrimSpace(string(body[:min(len(body), 64)])); text == "null" || text == "" {
		return fmt.Errorf("%w: the answer is empty", sources.ErrUnreachable)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%w: the answer is not what the API promises: %w", sources.ErrUnreachable, err)
	}
	return nil
}
