package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	maasd "allocsync/fixtures/maas"
	"allocsync/netbox"
	"allocsync/sources"
	"allocsync/sync/worker"
	"allocsync/webhook"
)

// api asks the API with the token.
func (s *served) api(method, query, body string) (int, string) {
	return s.do(method, "/v1/reservations"+query, body, "Authorization", "Bearer "+apiToken)
}

// What HTTP says of everything that can go wrong, and that nothing is done then.
func TestServeAPIStatuses(t *testing.T) {
	l := newMAASLab(t, "3.6.1")
	s, _ := l.there(t)
	code, text := s.do(http.MethodGet, "/v1/openapi.json", "")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, text, "/v1/reservations")
	s.eventually("is at rest", func() bool { return s.passes() == 1 })
	l.maas.Forget()
	for _, c := range []struct {
		method, query, body string
		status              int
		want                string
	}{
		{"GET", "?source=nothing", "", 404, `"sources":["maas"]`},
		{"GET", "?address=nonsense", "", 400, "want one such as"},
		{"DELETE", "?source=maas&address=nonsense", "", 400, "want one such as"},
		{"DELETE", "?source=maas&address=172.16.3.60", "", 409, "no reservation of it was made here"},
		{"POST", "", `{"source":"maas","network":"nowhere"}`, 409, "has no network"},
		{"POST", "", `{"source":"maas","network":"internal","mac":"x"}`, 400, "mac: hardware address"},
		{"POST", "", `{"source":"maas","network":"internal","address":"1.2.3"}`, 400, "address"},
		{"POST", "", `{"source":"maas","network":"internal","address":"172.16.3.60","mac":"52:54:00:00:00:09"}`, 409, "is taken"},
		{"POST", "", `{"source":"maas","network":"internal","colour":"red"}`, 400, "a key that is not known"},
	} {
		code, text := s.api(c.method, c.query, c.body)
		require.Equal(t, c.status, code, "%s %s %s: %s", c.method, c.query, c.body, text)
		require.Contains(t, text, c.want)
	}
	for _, token := range []string{"", resyncToken, pageToken, approveToken, hookSecret} {
		code, _ = s.do(http.MethodPost, "/v1/reservations", `{"source":"maas","network":"internal"}`, "Authorization", "Bearer "+token)
		require.Equal(t, http.StatusUnauthorized, code)
	}
	l.maas.Inject(maasd.Fault{Kind: maasd.Forbidden})
	for _, method := range []string{"GET", "DELETE"} {
		code, text = s.api(method, "?source=maas&address=172.16.3.60", "")
		require.Equal(t, http.StatusBadGateway, code, text)
	}
	l.maas.Heal()
	require.Empty(t, l.maas.Writes())
	l.web.Close()
	code, text = s.api("POST", "", `{"source":"maas","network":"internal"}`)
	require.Equal(t, http.StatusBadGateway, code, text)
	l.secretFree(t, s.log.String())
}

// Without the token in the configuration there is no API.
func TestServeAPIClosed(t *testing.T) {
	s := newLab(t)
	s.mustRun(t, exitInStep, "setup")
	served := s.serve(t)
	for _, token := range []string{"", apiToken, resyncToken} {
		code, text := served.do(http.MethodGet, "/v1/reservations", "", "Authorization", "Bearer "+token)
		require.Equal(t, http.StatusNotFound, code)
		require.Contains(t, text, "serve.api_token")
	}
}

// Many ask at once: each gets an address of his own, the same address is
// reserved once, and a pass afterwards finds all of it in step.
func TestServeAPIManyAtOnce(t *testing.T) {
	l := newMAASLab(t, "3.6.1")
	s, _ := l.there(t)
	var mu sync.Mutex
	got, statuses := map[string]int{}, map[int]int{}
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			body := `{"source":"maas","network":"internal","address":"172.16.3.99"}`
			if i%2 == 0 {
				body = fmt.Sprintf(`{"source":"maas","network":"internal","mac":"52:54:00:00:ff:%02x"}`, i)
			}
			code, text := s.api("POST", "", body)
			var made webhook.Reservation
			if err := json.Unmarshal([]byte(text), &made); err != nil || made.Address == "" {
				t.Errorf("%d: %s", code, text)
			}
			mu.Lock()
			defer mu.Unlock()
			got[made.Address]++
			statuses[code]++
		})
	}
	all.Wait()
	require.Len(t, got, 6)
	require.Equal(t, 5, got["172.16.3.99/24"])
	require.Equal(t, map[int]int{http.StatusCreated: 6, http.StatusOK: 4}, statuses)
	for address := range got {
		require.Len(t, l.atMAAS(address), 1, address)
	}
	s.eventually("makes a pass for them", func() bool { return strings.Contains(s.log.String(), `"trigger":"webhook: API: 172.16.3.`) })
	rows := mustJSON(t, l.addresses(t))
	require.Equal(t, 6, strings.Count(rows, `"reserve_at":"dc1/maas"`))
}

// A caller who hangs up gets what he asked for all the same.
func TestServeAPIHangUp(t *testing.T) {
	l := newMAASLab(t, "3.6.1")
	s, _ := l.there(t)
	l.maas.Inject(maasd.Fault{On: "POST ipaddresses/?op=reserve", Kind: maasd.Healthy, Delay: 300 * time.Millisecond, Times: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+"/v1/reservations", strings.NewReader(`{"source":"maas","network":"internal","address":"172.16.3.99"}`))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+apiToken)
	_, err = s.http.Do(request)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	s.eventually("reserves it", func() bool { return len(l.atMAAS("172.16.3.99")) == 1 })
	code, text := s.api("POST", "", `{"source":"maas","network":"internal","address":"172.16.3.99"}`)
	require.Equal(t, http.StatusOK, code, "it was there: %s", text)
}

// A new configuration, and the end of the program, let what is under way at the
// source come to its end, and the ledger knows of it.
func TestServeAPIEnds(t *testing.T) {
	l := newMAASLab(t, "3.6.1")
	s, _ := l.there(t)
	slow := func(address string) {
		l.maas.Inject(maasd.Fault{On: "POST ipaddresses/?op=reserve", Kind: maasd.Healthy, Delay: 400 * time.Millisecond, Times: 1})
		begun := l.maas.Count("POST ipaddresses/?op=reserve")
		go s.api("POST", "", `{"source":"maas","network":"internal","address":"`+address+`"}`)
		s.eventually("asks MAAS", func() bool { return l.maas.Count("POST ipaddresses/?op=reserve") > begun })
	}
	slow("172.16.3.98")
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
	s.eventually("is in force", func() bool { return strings.Contains(s.log.String(), "a new configuration is in force") })
	require.Len(t, l.atMAAS("172.16.3.98"), 1, "the one under way came first")

	slow("172.16.3.99")
	s.end()
	require.Zero(t, s.code)
	require.Len(t, l.atMAAS("172.16.3.99"), 1)
	require.NotContains(t, s.log.String(), "not open")

	// Whether each is kept or given back: what MAAS holds is known here.
	l.mustRun(t, exitInStep, "sync")
	var list webhook.ReservationList
	l.mustAsk(t, &list, "reservations")
	for _, address := range []string{"172.16.3.98", "172.16.3.99"} {
		held := 0
		for _, r := range list.Reservations {
			if strings.HasPrefix(r.Address, address+"/") {
				require.Equal(t, "held", r.State)
				require.NotZero(t, r.Row)
				held++
			}
		}
		require.Len(t, l.atMAAS(address), held)
	}
}

// A request waits for the pass under way, but not for ever, and many that wait
// leave nothing behind.
func TestServeAPIWaitsForPasses(t *testing.T) {
	over, end := context.WithCancel(t.Context())
	c := &counter{&service{generation: &generation{over: over}}, make(chan struct{}, 1), 30 * time.Millisecond}
	c.passing.Lock()
	for range 3 {
		_, _, err := c.enter(t.Context())
		var p *webhook.Problem
		require.ErrorAs(t, err, &p)
		require.Equal(t, http.StatusServiceUnavailable, p.Status)
		require.NotZero(t, p.Wait)
	}
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	_, _, err := c.enter(gone)
	require.Error(t, err)
	c.wait = 10 * time.Second
	go func() { time.Sleep(20 * time.Millisecond); c.passing.Unlock() }()
	g, leave, err := c.enter(t.Context())
	require.NoError(t, err)
	require.Same(t, c.generation, g)
	require.False(t, c.passing.TryLock())
	leave()
	require.True(t, c.passing.TryLock())
	c.passing.Unlock()

	end()
	_, _, err = c.enter(t.Context())
	require.ErrorContains(t, err, "allocsync ends")
	require.True(t, c.passing.TryLock())
}

// Which cause is answered how.
func TestProblems(t *testing.T) {
	for _, c := range []struct {
		cause  error
		status int
	}{
		{fmt.Errorf("x: %w", worker.ErrUnfinished), 503},
		{errors.Join(worker.ErrRequest, sources.ErrUnreachable), 409},
		{fmt.Errorf("x: %w", sources.ErrRefused), 409},
		{fmt.Errorf("x: %w", sources.ErrNoChoice), 409},
		{fmt.Errorf("x: %w", netbox.ErrFull), 409},
		{fmt.Errorf("x: %w", sources.ErrUnreachable), 502},
		{fmt.Errorf("x: %w", sources.ErrDenied), 502},
		{errors.Join(sources.ErrUnreachable, context.DeadlineExceeded), 502},
		{&netbox.Error{Method: "GET", Path: "/api/", Status: 500}, 502},
		{fmt.Errorf("x: %w", netbox.ErrDenied), 502},
		{fmt.Errorf("x: %w", netbox.ErrFields), 502},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), 503},
	} {
		var p *webhook.Problem
		require.ErrorAs(t, problemOf(c.cause), &p, "%v", c.cause)
		require.Equal(t, c.status, p.Status, "%v", c.cause)
		require.Equal(t, c.status == 503, p.Wait > 0)
		require.Equal(t, errors.Is(c.cause, worker.ErrUnfinished), p.Unfinished)
	}
	other := errors.New("other")
	require.Equal(t, other, problemOf(other))
	require.NoError(t, problemOf(nil))
}
