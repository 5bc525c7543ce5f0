package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"allocsync/sync/worker"
)

var errNoNetBox = errors.New("no NetBox: set ALLOCSYNC_TEST_NETBOX_URL and ALLOCSYNC_TEST_NETBOX_TOKEN to one of the test bed (make bench does)")

const (
	firstRows = 1000 // of a first sync
	stepRows  = 5000 // of a pass in which nothing changes
	steps     = 9    // such passes
)

// server is a real NetBox, asked as simply as can be.
type server struct {
	url, token string
}

// onNetBox measures a first sync and passes without a change on a real NetBox.
func onNetBox(ctx context.Context) ([]figure, error) {
	s := server{url: os.Getenv("ALLOCSYNC_TEST_NETBOX_URL"), token: os.Getenv("ALLOCSYNC_TEST_NETBOX_TOKEN")}
	if s.url == "" || s.token == "" {
		return nil, errNoNetBox
	}
	source, err := serveLXD()
	if err != nil {
		return nil, err
	}
	defer source.close()
	_, client, err := openPass(s.url, s.token, source.url, "")
	if err != nil {
		return nil, err
	}
	if _, err := client.Setup(ctx, false); err != nil {
		return nil, err
	}
	first, vrf, err := s.firstSync(ctx, source)
	if err != nil {
		return nil, err
	}
	step, err := s.inStep(ctx, source, vrf)
	return []figure{first, step}, err
}

// firstSync writes the same rows by the program and by a bare loop, in turn,
// each into a VRF of its own. It returns the last VRF that the program filled.
func (s server) firstSync(ctx context.Context, source *lxdServer) (figure, string, error) {
	source.Set(rows(firstRows)...)
	var times, floors, ratios []float64
	var vrf string
	var requests int
	for range 3 {
		bare := fmt.Sprintf("bench-bare-%d", time.Now().UnixNano())
		id, err := s.makeVRF(ctx, bare)
		if err != nil {
			return figure{}, "", err
		}
		floor, err := elapsed(func() error { return s.bareWrite(ctx, id, bare) })
		if err != nil {
			return figure{}, "", err
		}
		vrf = fmt.Sprintf("bench-%d", time.Now().UnixNano())
		if _, err := s.makeVRF(ctx, vrf); err != nil {
			return figure{}, "", err
		}
		pass, client, err := openPass(s.url, s.token, source.url, vrf)
		if err != nil {
			return figure{}, "", err
		}
		took, err := elapsed(func() error { return synced(ctx, pass, firstRows) })
		if err != nil {
			return figure{}, "", err
		}
		requests = client.Stats().Requests()
		times, floors = append(times, took.Seconds()), append(floors, floor.Seconds())
		ratios = append(ratios, took.Seconds()/floor.Seconds())
	}
	return figure{
		what:     fmt.Sprintf("first sync of %d rows on a real NetBox", firstRows),
		measured: fmt.Sprintf("%.1f s, %d requests", median(times), requests),
		floor:    fmt.Sprintf("bulk POST of the same rows, %.1f s", median(floors)),
		ratio:    fmt.Sprintf("%.2f", median(ratios)), limit: "1.15", ok: median(ratios) <= 1.15,
	}, vrf, nil
}

func synced(ctx context.Context, pass *worker.Pass, want int) error {
	proposal, err := pass.Plan(ctx)
	if err != nil {
		return err
	}
	result := pass.Carry(ctx, proposal)
	if result.Err != nil {
		return result.Err
	}
	for _, o := range result.Outcomes {
		if o.Detail != "" {
			return fmt.Errorf("%s: %s", o.Change, o.Detail)
		}
	}
	if n := proposal.Plan.Sources[0].InStep + len(result.Outcomes); n != want {
		return fmt.Errorf("%d rows instead of %d", n, want)
	}
	return nil
}

// inStep measures passes in which nothing changes against fetching the same
// pages and throwing them away, in turn.
func (s server) inStep(ctx context.Context, source *lxdServer, vrf string) (figure, error) {
	source.Set(rows(stepRows)...)
	grow, _, err := openPass(s.url, s.token, source.url, vrf)
	if err != nil {
		return figure{}, err
	}
	if err := synced(ctx, grow, stepRows); err != nil {
		return figure{}, err
	}
	pages, err := s.pages(ctx, source, vrf)
	if err != nil {
		return figure{}, err
	}
	if err := s.settle(ctx, pages); err != nil {
		return figure{}, err
	}
	pass, client, err := openPass(s.url, s.token, source.url, vrf)
	if err != nil {
		return figure{}, err
	}
	var times, floors, ratios []float64
	for range steps {
		floor, err := elapsed(func() error { return s.bareRead(ctx, pages) })
		if err != nil {
			return figure{}, err
		}
		took, err := elapsed(func() error { return inStep(ctx, pass) })
		if err != nil {
			return figure{}, err
		}
		times, floors = append(times, took.Seconds()), append(floors, floor.Seconds())
		ratios = append(ratios, took.Seconds()/floor.Seconds())
	}
	return figure{
		what:     fmt.Sprintf("pass over %d rows in step on a real NetBox", stepRows),
		measured: fmt.Sprintf("%.2f s, %d requests", median(times), client.Stats().Requests()/steps),
		floor:    fmt.Sprintf("fetching the same %d pages, %.2f s", len(pages), median(floors)),
		ratio:    fmt.Sprintf("%.2f", median(ratios)), limit: "1.25", ok: median(ratios) <= 1.25,
	}, nil
}

// settle waits until reading takes about the same time again and again: NetBox
// indexes what was just written in the background, for minutes. It fails where
// that does not come to be: what is measured then says nothing.
func (s server) settle(ctx context.Context, pages []string) error {
	const even, patience = 6, 15 * time.Minute
	deadline := time.Now().Add(patience)
	var best time.Duration
	for calm := 0; calm < even; {
		if time.Now().After(deadline) {
			return fmt.Errorf("reading takes now %s and now more than %s, %s after the rows were written: something else uses this machine, or NetBox's worker has stopped", best, best*5/4, patience)
		}
		took, err := elapsed(func() error { return s.bareRead(ctx, pages) })
		if err != nil {
			return err
		}
		if best == 0 || took < best {
			best = took
		}
		calm++
		if took > best*5/4 {
			calm = 0
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Second):
		}
	}
	return nil
}

func inStep(ctx context.Context, pass *worker.Pass) error {
	proposal, err := pass.Plan(ctx)
	if err == nil && (!proposal.Plan.Empty() || proposal.Plan.Sources[0].InStep != stepRows) {
		err = fmt.Errorf("not in step: %d of %d", proposal.Plan.Sources[0].InStep, stepRows)
	}
	return err
}

// pages lists the requests for pages of rows that a pass sends.
func (s server) pages(ctx context.Context, source *lxdServer, vrf string) ([]string, error) {
	target, err := url.Parse(s.url)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var seen []string
	proxy := httputil.NewSingleHostReverseProxy(target)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/ipam/") && r.URL.Query().Has("cf_sync_owner") {
			mu.Lock()
			seen = append(seen, r.URL.RequestURI())
			mu.Unlock()
		}
		proxy.ServeHTTP(w, r)
	}))
	defer web.Close()
	pass, _, err := openPass(web.URL, s.token, source.url, vrf)
	if err != nil {
		return nil, err
	}
	return seen, inStep(ctx, pass)
}

// bareRead fetches the pages of each endpoint one after the other, the two
// endpoints side by side, as the program does, and looks at nothing.
func (s server) bareRead(ctx context.Context, pages []string) error {
	byPath := map[string][]string{}
	for _, page := range pages {
		path, _, _ := strings.Cut(page, "?")
		byPath[path] = append(byPath[path], page)
	}
	results := make(chan error, len(byPath))
	for _, list := range byPath {
		go func() {
			var err error
			for _, page := range list {
				if err == nil {
					_, err = s.call(ctx, http.MethodGet, page, nil)
				}
			}
			results <- err
		}()
	}
	var err error
	for range byPath {
		err = errors.Join(err, <-results)
	}
	return err
}

// bareWrite posts the rows in batches, with what the program writes and
// nothing around it.
func (s server) bareWrite(ctx context.Context, vrf int, name string) error {
	list := rows(firstRows)
	fields := func(r int) map[string]any {
		return map[string]any{"used_by": list[r].UsedBy, "sync_owner": owner(name), "sync_type": list[r].Type}
	}
	prefix := []any{map[string]any{"prefix": "10.0.0.0/8", "vrf": vrf, "custom_fields": fields(0)}}
	if err := s.post(ctx, "/api/ipam/prefixes/", prefix); err != nil {
		return err
	}
	var addresses []any
	for i, r := range list {
		host, _, _ := strings.Cut(r.Addresses, "/")
		custom := fields(i)
		if r.MAC != "" {
			custom["hwaddr"] = r.MAC
		}
		addresses = append(addresses, map[string]any{"address": host + "/8", "vrf": vrf, "custom_fields": custom})
	}
	for len(addresses) > 0 {
		n := min(batch, len(addresses))
		if err := s.post(ctx, "/api/ipam/ip-addresses/", addresses[:n]); err != nil {
			return err
		}
		addresses = addresses[n:]
	}
	return nil
}

func (s server) makeVRF(ctx context.Context, name string) (int, error) {
	body, err := s.call(ctx, http.MethodPost, "/api/ipam/vrfs/", map[string]any{"name": name, "enforce_unique": true})
	if err != nil {
		return 0, err
	}
	var made struct{ ID int }
	return made.ID, json.Unmarshal(body, &made)
}

func (s server) post(ctx context.Context, path string, rows []any) error {
	_, err := s.call(ctx, http.MethodPost, path, rows)
	return err
}

func (s server) call(ctx context.Context, method, path string, content any) ([]byte, error) {
	var body io.Reader
	if content != nil {
		text, err := json.Marshal(content)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, s.url+path, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Token "+s.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %.300s", method, path, response.Status, answer)
	}
	return answer, err
}
