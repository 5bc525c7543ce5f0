package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"allocsync/sources"
	"allocsync/webhook"
)

const (
	// remoteTime bounds a request to a server: it waits for a pass there, and
	// then for the source.
	remoteTime = 5 * time.Minute
	// maxAnswer bounds what a server answers, in bytes: some 100,000
	// reservations.
	maxAnswer = 64 << 20
	// maxToken bounds the file of a token, in bytes.
	maxToken = 4 << 10
	// shownAnswer is how much is shown of an answer that no allocsync gives.
	shownAnswer = 200

	envToken = "ALLOCSYNC_API_TOKEN"
)

// remoteDesk asks a running serve.
type remoteDesk struct {
	base  string // without a slash at the end
	token string
	http  *http.Client
}

// openRemoteDesk asks nobody anything yet.
func (p *program) openRemoteDesk(f deskFlags) (*remoteDesk, error) {
	u, err := url.Parse(f.server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		// What was given is not repeated: there may be a password in it.
		return nil, errors.New("--server: want http://HOST:PORT or https://HOST:PORT, where allocsync serve answers (serve.listen)")
	}
	token, err := p.apiToken(f.tokenFile)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if f.caFile != "" {
		pool, err := sources.Authorities(f.caFile)
		if err != nil {
			return nil, fmt.Errorf("--ca-file: %w", err)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return &remoteDesk{base: strings.TrimRight(u.String(), "/"), token: token, http: &http.Client{
		Transport: transport, Timeout: remoteTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token is for this server
	}}, nil
}

// apiToken is the token for the server.
func (p *program) apiToken(file string) (string, error) {
	token, _ := p.env(envToken)
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		defer func() { _ = f.Close() }() // read only
		text, err := io.ReadAll(io.LimitReader(f, maxToken+1))
		switch {
		case err != nil:
			return "", fmt.Errorf("--token-file: %w", err)
		case len(text) > maxToken:
			return "", fmt.Errorf("--token-file: %s is longer than %d bytes, and no token", file, maxToken)
		}
		token = string(text)
	}
	token = strings.TrimSpace(token)
	switch {
	case token == "":
		return "", errors.New("--server: a token is needed, serve.api_token of that server: put it into a file and name that with --token-file, or set " + envToken)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", errors.New("--server: the token has characters that no token has")
	}
	return token, nil
}

func (d *remoteDesk) reserve(ctx context.Context, wanted webhook.ReservationRequest) (made webhook.Reservation, fresh bool, err error) {
	status, err := d.ask(ctx, http.MethodPost, nil, wanted, &made)
	return made, status == http.StatusCreated, err
}

func (d *remoteDesk) release(ctx context.Context, source, address string) (gone webhook.Reservation, err error) {
	_, err = d.ask(ctx, http.MethodDelete, url.Values{"source": {source}, "address": {address}}, nil, &gone)
	return gone, err
}

func (d *remoteDesk) list(ctx context.Context, source, address string) (list webhook.ReservationList, err error) {
	query := url.Values{}
	if source != "" {
		query.Set("source", source)
	}
	if address != "" {
		query.Set("address", address)
	}
	_, err = d.ask(ctx, http.MethodGet, query, nil, &list)
	return list, err
}

// ask makes one request. It is not repeated: who asks knows better whether to.
func (d *remoteDesk) ask(ctx context.Context, method string, query url.Values, body, into any) (status int, err error) {
	target := d.base + "/v1/reservations"
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	var text []byte
	if body != nil {
		if text, err = json.Marshal(body); err != nil {
			return 0, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(text))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+d.token)
	request.Header.Set("User-Agent", "allocsync/"+programVersion())
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := d.http.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) { // it repeats the URL
			err = wrapped.Err
		}
		return 0, fmt.Errorf("ask %s: %w%s", d.base, err, d.lost(ctx, method))
	}
	defer func() { _ = response.Body.Close() }() // it was read, or it is of no use
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return 0, fmt.Errorf("ask %s: read the answer: %w%s", d.base, err, d.lost(ctx, method))
	case len(answer) > maxAnswer:
		return 0, fmt.Errorf("ask %s: the answer is larger than %d MiB; ask for one --source", d.base, maxAnswer>>20)
	case response.StatusCode != http.StatusOK && response.StatusCode != http.StatusCreated:
		return 0, d.refusal(response, answer)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return 0, d.stranger(response, answer)
	}
	return response.StatusCode, nil
}

// lost says what to do where nobody knows what a server did.
func (d *remoteDesk) lost(ctx context.Context, method string) string {
	if method == http.MethodGet || ctx.Err() != nil {
		return ""
	}
	return "; see with allocsync reservations what was done"
}

// refusal is what the server says against a request.
func (d *remoteDesk) refusal(response *http.Response, answer []byte) error {
	var said struct {
		Error      string
		Unfinished bool
		Sources    []string
	}
	if json.Unmarshal(answer, &said) != nil || said.Error == "" {
		return d.stranger(response, answer)
	}
	text := said.Error
	if len(said.Sources) > 0 {
		text += "; there are: " + strings.Join(said.Sources, ", ")
	}
	switch response.StatusCode {
	case http.StatusUnauthorized:
		text += ": --token-file or " + envToken + " has to be serve.api_token of that server"
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		if wait := response.Header.Get("Retry-After"); wait != "" && !said.Unfinished {
			text += "; try again in " + wait + " seconds"
		}
	}
	return &webhook.Problem{Status: response.StatusCode, Text: d.base + ": " + text, Unfinished: said.Unfinished}
}

// stranger says that no allocsync answered.
func (d *remoteDesk) stranger(response *http.Response, answer []byte) error {
	if to := response.Header.Get("Location"); response.StatusCode/100 == 3 && to != "" {
		return fmt.Errorf("ask %s: it sends on to %s; name that server with --server", d.base, to)
	}
	text := strings.Join(strings.Fields(string(answer[:min(len(answer), shownAnswer)])), " ")
	return fmt.Errorf("ask %s: the answer, status %d, is not one of allocsync serve: %s", d.base, response.StatusCode, cmp.Or(text, "(nothing)"))
}
