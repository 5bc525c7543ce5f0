package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

func said(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, text) })
}

func TestRoutes(t *testing.T) {
	b := newBed(t, func(o *Options) { o.Page, o.Metrics = said("the page"), said("the metrics") })
	for _, c := range []struct {
		method, path string
		status       int
		text, allow  string
	}{
		{"GET", "/", 200, "the page", ""},
		{"GET", "/plan", 200, "the page", ""},
		{"GET", "/metrics", 200, "the metrics", ""},
		{"HEAD", "/metrics", 200, "", ""},
		{"POST", "/metrics", 405, "GET, HEAD", "GET, HEAD"},
		{"GET", "/healthz", 200, "ok\n", ""},
		{"HEAD", "/healthz", 200, "", ""},
		{"DELETE", "/healthz", 405, "GET, HEAD", "GET, HEAD"},
		{"GET", "/readyz", 200, `"ready":true`, ""},
		{"PUT", "/readyz", 405, "GET, HEAD", "GET, HEAD"},
		{"GET", "/hooks/netbox", 405, "POST", "POST"},
		{"PUT", "/hooks/netbox", 405, "POST", "POST"},
		{"GET", "/hooks/resync", 405, "POST", "POST"},
		{"POST", "/hooks/nothing", 404, "nothing is here", ""},
		{"POST", "/hooks/", 404, "nothing is here", ""},
		{"POST", "/hooks/netbox/", 404, "nothing is here", ""},
	} {
		r := b.send(t, c.method, c.path, "")
		require.Equal(t, c.status, r.status, "%s %s", c.method, c.path)
		require.Contains(t, r.text, c.text, "%s %s", c.method, c.path)
		require.Equal(t, c.allow, r.header.Get("Allow"), "%s %s", c.method, c.path)
		require.Contains(t, r.header.Get("Content-Security-Policy"), "default-src 'none'")
		require.Equal(t, "no-store", r.header.Get("Cache-Control"))
		require.Equal(t, "nosniff", r.header.Get("X-Content-Type-Options"))
		require.Equal(t, "no-referrer", r.header.Get("Referrer-Policy"))
	}
	require.Empty(t, b.server.MetricsAddr())
}

func TestPageSetsItsOwnPolicyAndIsBounded(t *testing.T) {
	b := newBed(t, func(o *Options) {
		o.Page = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Security-Policy", "default-src 'self'")
			if _, err := io.ReadAll(r.Body); err != nil {
				w.WriteHeader(http.StatusRequestEntityTooLarge)
			}
		})
	})
	r := b.send(t, "POST", "/approve", strings.Repeat("x", 64<<10))
	require.Equal(t, []string{"default-src 'self'"}, r.header.Values("Content-Security-Policy"))
	require.Equal(t, 200, r.status)
	require.Equal(t, 413, b.send(t, "POST", "/approve", strings.Repeat("x", 64<<10+1)).status)
}

func TestNothingConfigured(t *testing.T) {
	b := newBed(t, func(o *Options) {
		o.Secrets = Secrets{}
		o.Ready = func() Readiness { return Readiness{Ready: true, Sources: []SourceState{{Name: "lab", Ready: true}}} }
	})
	require.NotContains(t, b.send(t, "GET", "/readyz", "").text, "lab", "no metrics are shown here")
	for path, says := range map[string]string{
		"/hooks/netbox": "this hook is closed; set serve.netbox_secret to open it",
		"/hooks/resync": "this hook is closed; set serve.resync_token or serve.resync_secret to open it",
		"/":             "nothing is here",
		"/metrics":      "nothing is here",
	} {
		r := b.send(t, "POST", path, "{}")
		require.Equal(t, 404, r.status, path)
		require.Equal(t, says, r.json(t).Error)
	}
}

func TestReady(t *testing.T) {
	state := Readiness{Sources: []SourceState{{Name: "lab", Ready: true, State: "in step"}, {Name: "edge", State: "not read yet"}}}
	b := newBed(t, func(o *Options) {
		o.MetricsListen, o.Metrics = "127.0.0.1:0", said("the metrics")
		o.Ready = func() Readiness { return state }
	})
	r := b.send(t, "GET", "/readyz", "")
	require.Equal(t, 503, r.status)
	require.JSONEq(t, `{"ready":false,"ready_sources":1,"all_sources":2}`, r.text, "strangers learn no names")
	r = b.send(t, "GET", "/metrics", "")
	require.Equal(t, 404, r.status)
	require.Contains(t, r.json(t).Error, "serve.metrics_listen")

	own := &bed{server: b.server, url: "http://" + b.server.MetricsAddr(), client: b.client}
	require.NotEqual(t, b.url, own.url)
	r = own.send(t, "GET", "/readyz", "")
	require.Equal(t, 503, r.status)
	require.JSONEq(t, `{"ready":false,"ready_sources":1,"all_sources":2,"sources":[{"name":"lab","ready":true,"state":"in step"},{"name":"edge","ready":false,"state":"not read yet"}]}`, r.text)
	require.Equal(t, "the metrics", own.send(t, "GET", "/metrics", "").text)
	require.Equal(t, "ok\n", own.send(t, "GET", "/healthz", "").text)
	for _, path := range []string{"/", "/hooks/netbox", "/hooks/resync"} {
		require.Equal(t, 404, own.send(t, "POST", path, "").status, "metrics only")
	}
	state = Readiness{Ready: true}
	require.Equal(t, 200, b.send(t, "GET", "/readyz", "").status)
}

func TestOpenSaysWhy(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	open := func(o Options) string {
		o.Log = zerolog.Nop()
		s, err := Open(o)
		require.Nil(t, s)
		require.Error(t, err)
		return err.Error()
	}
	in := taken.Addr().String()
	require.Equal(t, fmt.Sprintf("listen at serve.listen %q: bind: address already in use; end the program that is there, or set another port", in), open(Options{Listen: in}))
	require.Contains(t, open(Options{Listen: "192.0.2.1:8080"}), "set an address that this machine has")
	require.Contains(t, open(Options{Listen: "localhost"}), "missing port in address; want HOST:PORT")
	require.Contains(t, open(Options{Listen: "127.0.0.1:99999"}), "want HOST:PORT")

	// The second address cannot be had: the first is free again.
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	first := free.Addr().String()
	require.NoError(t, free.Close())
	require.Contains(t, open(Options{Listen: first, MetricsListen: in}), "serve.metrics_listen")
	free, err = net.Listen("tcp", first)
	require.NoError(t, err)
	free.Close()
}

func TestWarnsWhereOthersCanListenIn(t *testing.T) {
	b := newBed(t, func(o *Options) { o.Listen = "0.0.0.0:0" })
	require.Contains(t, b.log.String(), "without TLS")
	b = newBed(t, nil)
	require.NotContains(t, b.log.String(), "without TLS")
}

// Requests under way are answered, new ones are not let in, and nothing stays.
// (Eventually looks from a goroutine of its own.)
func TestGracefulEnd(t *testing.T) {
	before := runtime.NumGoroutine()
	inside, leave := make(chan struct{}), make(chan struct{})
	s, err := Open(Options{Listen: "127.0.0.1:0", MetricsListen: "127.0.0.1:0", Log: zerolog.Nop(), Page: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(inside)
		<-leave
		io.WriteString(w, "done")
	})})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	client := &http.Client{Transport: &http.Transport{}}
	answered := make(chan string, 1)
	go func() {
		r, err := client.Get("http://" + s.Addr() + "/")
		if err != nil {
			answered <- err.Error()
			return
		}
		defer r.Body.Close()
		text, _ := io.ReadAll(r.Body)
		answered <- string(text)
	}()
	<-inside
	cancel()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", s.Addr())
		if err == nil {
			c.Close()
		}
		return err != nil
	}, 10*time.Second, 5*time.Millisecond)
	close(leave)
	require.Equal(t, "done", <-answered)
	require.NoError(t, <-served)
	client.CloseIdleConnections()
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, 10*time.Second, 5*time.Millisecond)
}

// A handler that does not end cannot keep the program from ending.
func TestEndIsBounded(t *testing.T) {
	b := withKnobs(func(k *knobs) { k.shutdown = 50 * time.Millisecond })
	inside, leave := make(chan struct{}), make(chan struct{})
	o := Options{Listen: "127.0.0.1:0", Log: zerolog.Nop(), Page: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(inside)
		<-leave
	})}
	b(&o)
	s, err := Open(o)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	cut := make(chan error, 1)
	go func() {
		r, err := http.Get("http://" + s.Addr() + "/")
		if err == nil {
			r.Body.Close()
		}
		cut <- err
	}()
	<-inside
	cancel()
	require.NoError(t, <-served)
	select {
	case err := <-cut:
		require.Error(t, err)
	case <-time.After(20 * time.Second):
		t.Error("the connection is still there")
	}
	close(leave)
}

func TestServeWithoutAddresses(t *testing.T) {
	s, err := Open(Options{Log: zerolog.Nop()})
	require.NoError(t, err)
	require.Empty(t, s.Addr())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.NoError(t, s.Serve(ctx))
}

// An address that breaks ends all of them, with an error.
func TestBrokenListener(t *testing.T) {
	s, err := Open(Options{Listen: "127.0.0.1:0", MetricsListen: "127.0.0.1:0", Log: zerolog.Nop()})
	require.NoError(t, err)
	require.NoError(t, s.places[1].listener.Close())
	require.ErrorContains(t, s.Serve(context.Background()), "serve HTTP: ")
	_, err = net.Dial("tcp", s.Addr())
	require.Error(t, err)
}

func TestSecretsDoNotPrint(t *testing.T) {
	s := Secrets{NetBox: netboxSecret, ResyncToken: resyncToken, ResyncSecret: resyncSecret}
	var log lines
	l := zerolog.New(&log)
	l.Info().Stringer("s", s).Msg(fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s))
	l.Info().Any("s", s).Send()
	noSecret(t, log.String())
	text, err := json.Marshal(s)
	require.NoError(t, err)
	noSecret(t, string(text))
}
