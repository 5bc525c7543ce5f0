package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"
)

// What is asked for arrives whole, and what comes of it is answered.
func TestAPI(t *testing.T) {
	d := &desk{fresh: true}
	b := newAPIBed(t, d, nil)
	r := b.asks(t, "POST", "/v1/reservations", `{"source":"lab","network":"br0","address":"10.0.0.5","mac":"00:16:3e:00:00:01","for":"u1","name":"für u1"}`)
	require.Equal(t, 201, r.status)
	want, err := json.Marshal(reserved())
	require.NoError(t, err)
	require.JSONEq(t, string(want), r.text)
	r = b.asks(t, "GET", "/v1/reservations?source=lab&address=10.0.0.5%2F24", "")
	require.JSONEq(t, `{"reservations":[],"unread":[]}`, r.text, "lists are never null")
	r = b.asks(t, "GET", "/v1/reservations", "")
	require.JSONEq(t, `{"reservations":[`+string(want)+`],"unread":[{"source":"edge","error":"away"}]}`, r.text)
	r = b.asks(t, "DELETE", "/v1/reservations?source=lab&address=10.0.0.5", "a body is of no interest")
	require.JSONEq(t, string(want), r.text)
	require.Equal(t, []string{
		"reserve {Source:lab Network:br0 Address:10.0.0.5 MAC:00:16:3e:00:00:01 NIC: For:u1 Name:für u1}",
		"list lab 10.0.0.5/24", "list  ", "release lab 10.0.0.5",
	}, d.asked)
	require.Contains(t, b.log.String(), `"method":"POST","path":"/v1/reservations","status":201,"took_ms":0,"source":"lab","address":"10.0.0.5/24","state":"held","remote":"127.0.0.1:`)
	require.NotContains(t, b.log.String(), "für", "nothing of what was sent")
	require.NotContains(t, b.log.String(), "?", "nor of the URL")
}

func TestAPIMethods(t *testing.T) {
	b := newAPIBed(t, &desk{}, nil)
	for _, c := range []struct{ method, path, allow string }{
		{"PUT", "/v1/reservations", "DELETE, GET, POST"}, {"HEAD", "/v1/reservations", "DELETE, GET, POST"}, {"OPTIONS", "/v1/reservations", "DELETE, GET, POST"},
		{"POST", "/v1/openapi.json", "GET"},
	} {
		r := b.asks(t, c.method, c.path, "")
		require.Equal(t, 405, r.status, c)
		require.Equal(t, c.allow, r.header.Get("Allow"))
	}
	for _, path := range []string{"/v1/", "/v1/reservations/", "/v1/reservations/lab", "/v1/x", "/v2/reservations"} {
		r := b.asks(t, "GET", path, "")
		require.Equal(t, 404, r.status, path)
		require.Equal(t, "nothing is here", r.json(t).Error)
	}
	none := newBed(t, func(o *Options) { o.Secrets.API = apiToken })
	require.Equal(t, 404, none.asks(t, "GET", "/v1/reservations", "").status)
}

// Without the token nothing is done, and nothing told.
func TestAPIRefused(t *testing.T) {
	d := &desk{}
	b := newAPIBed(t, d, nil)
	for name, headers := range map[string][]string{
		"nothing":             nil,
		"wrong token":         {"Authorization", "Bearer " + apiToken + "x"},
		"start of the token":  {"Authorization", "Bearer " + apiToken[:10]},
		"empty token":         {"Authorization", "Bearer "},
		"token of the resync": {"Authorization", "Bearer " + resyncToken},
		"secret of the hook":  {"Authorization", "Bearer " + netboxSecret},
		"token twice":         {"Authorization", "Bearer " + apiToken, "Authorization", "Bearer " + apiToken},
		"another scheme":      {"Authorization", "Basic " + apiToken},
		"another header":      {"X-Api-Token", apiToken},
	} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			r := b.send(t, method, "/v1/reservations?source=nope", `{"source":"nope"}`, headers...)
			require.Equal(t, 401, r.status, name)
			require.Equal(t, "the token is missing or wrong", r.json(t).Error)
			require.Empty(t, r.json(t).Sources)
			require.Contains(t, r.header.Get("WWW-Authenticate"), "Bearer")
		}
	}
	require.Empty(t, d.asked)
	require.Equal(t, 401, b.resync(t, "", "", "Authorization", "Bearer "+apiToken).status, "it opens nothing else")
	require.Equal(t, 200, b.send(t, "GET", "/v1/reservations", "", "Authorization", "bearer "+apiToken).status, "a scheme has no case")

	b.server.Configure(Secrets{API: "another-token-of-the-API"}, []string{"lab"})
	require.Equal(t, 401, b.asks(t, "GET", "/v1/reservations", "").status, "the old one is void")
	b.server.Configure(Secrets{}, []string{"lab"})
	for _, path := range []string{"/v1/reservations", "/v1/openapi.json"} {
		r := b.asks(t, "GET", path, "")
		require.Equal(t, 404, r.status)
		require.Equal(t, "this is closed; set serve.api_token to open it", r.json(t).Error)
	}
	require.Equal(t, 404, b.send(t, "GET", "/v1/reservations", "", "Authorization", "Bearer ").status)
}

func TestAPIBodies(t *testing.T) {
	d := &desk{}
	b := newAPIBed(t, d, nil)
	for body, want := range map[string]string{
		``:                                                     "not a JSON object",
		`null`:                                                 "not a JSON object",
		`[]`:                                                   "not a JSON object",
		`"source"`:                                             "not a JSON object",
		`{"source":"lab","network":"br0"`:                      "not a JSON object",
		`{"source":"lab","network":"br0"}}`:                    "something behind",
		`{"source":"lab","network":"br0"} {}`:                  "something behind",
		`{"source":"lab" "network":"br0"}`:                     "not a JSON object",
		`{"network":"br0"}`:                                    "source is missing",
		`{"source":"","network":"br0"}`:                        "source is missing",
		`{"source":"lab"}`:                                     "network is missing",
		`{"source":"lab","network":5}`:                         "network is not a text",
		`{"source":"lab","network":null}`:                      "network is not a text",
		`{"source":"lab","network":{"a":1}}`:                   "network is not a text",
		`{"source":"lab","network":["br0"]}`:                   "network is not a text",
		`{"Source":"lab","network":"br0"}`:                     "a key that is not known",
		`{"source":"lab","network":"br0","node":"u1"}`:         "a key that is not known",
		`{"source":"lab","network":"br0","source":"edge"}`:     "source is there twice",
		`{"source":"lab","network":"br0","name":"a\nb"}`:       "name has characters that cannot be printed",
		`{"source":"lab","network":"br0","name":"\u202eevil"}`: "name has characters that cannot be printed",
		`{"source":"lab","network":"br0","name":" a"}`:         "name begins or ends with a space",
		`{"source":"lab","network":"br0","name":"` + strings.Repeat("x", 201):        "not a JSON object",
		`{"source":"lab","network":"` + strings.Repeat("x", 2001) + `"}`:             "network is longer than 2000 bytes",
		"{\"source\":\"lab\",\"network\":\"\xff\"}":                                  "not UTF-8",
		`{"source":"lab","network":"br0","name":"` + strings.Repeat("é", 101) + `"}`: "name is longer than 200 bytes",
	} {
		r := b.asks(t, "POST", "/v1/reservations", body)
		require.Equal(t, 400, r.status, body)
		require.Contains(t, r.json(t).Error, want, body)
	}
	for _, query := range []string{"?source=", "?address=", "?source=lab&source=lab", "?sources=lab", "?source=lab&token=x", "?source=%00", "?source=%zz", "?address=" + strings.Repeat("1", 101)} {
		r := b.asks(t, "GET", "/v1/reservations"+query, "")
		require.Equal(t, 400, r.status, query)
		require.Equal(t, "the parameters are source and address, each once at most and not empty", r.json(t).Error)
	}
	for _, query := range []string{"", "?source=lab", "?address=10.0.0.5"} {
		require.Equal(t, 400, b.asks(t, "DELETE", "/v1/reservations"+query, "").status, query)
	}
	r := b.asks(t, "DELETE", "/v1/reservations?source=LAB&address=10.0.0.5", "")
	require.Equal(t, 404, r.status)
	require.Equal(t, []string{"lab", "edge", "other"}, r.json(t).Sources)
	require.Empty(t, d.asked)
}

// A fault of ours is told to the log and to nobody else.
func TestAPIFault(t *testing.T) {
	b := newAPIBed(t, &desk{err: errors.New("something with inner details")}, nil)
	r := b.asks(t, "DELETE", "/v1/reservations?source=lab&address=10.0.0.5", "")
	require.Equal(t, "internal error; the log of allocsync says more", r.json(t).Error)
	require.Contains(t, b.log.String(), "something with inner details")
}

// A source may take longer than others are given, and its caller still hears of
// it.
func TestAPISlow(t *testing.T) {
	d := &desk{}
	b := newAPIBed(t, d, func(o *Options) {
		withKnobs(func(k *knobs) { k.read, k.write = 50*time.Millisecond, 50*time.Millisecond })(o)
		o.Reservations.Release = func(ctx context.Context, _, _ string) (Reservation, error) {
			select {
			case <-ctx.Done():
				return Reservation{}, ctx.Err()
			case <-time.After(400 * time.Millisecond):
				return reserved(), nil
			}
		}
	})
	r := b.asks(t, "DELETE", "/v1/reservations?source=lab&address=10.0.0.5", "")
	require.Equal(t, 200, r.status)
	require.Equal(t, 200, b.asks(t, "GET", "/v1/reservations", "").status, "the connection is as before")

	b = newAPIBed(t, d, func(o *Options) {
		withKnobs(func(k *knobs) { k.call = 30 * time.Millisecond })(o)
		o.Reservations.Release = func(ctx context.Context, _, _ string) (Reservation, error) {
			<-ctx.Done()
			return Reservation{}, &Problem{Status: 503, Text: "out of time", Wait: time.Second}
		}
	})
	require.Equal(t, 503, b.asks(t, "DELETE", "/v1/reservations?source=lab&address=10.0.0.5", "").status, "but not for ever")
}

// When the server ends, what it was asked to do is told to at once, and waited
// for, also where its connection is cut meanwhile.
func TestAPIEnd(t *testing.T) {
	for _, shutdown := range []time.Duration{20 * time.Millisecond, time.Minute} {
		var ended atomic.Bool
		inside := make(chan struct{})
		k := usualKnobs()
		k.shutdown = shutdown
		s, err := Open(Options{Listen: "127.0.0.1:0", Secrets: Secrets{API: apiToken}, Sources: []string{"lab"}, knobs: &k, Reservations: &Reservations{
			Release: func(ctx context.Context, _, _ string) (Reservation, error) {
				close(inside)
				<-ctx.Done()
				time.Sleep(200 * time.Millisecond)
				ended.Store(true)
				return Reservation{}, ctx.Err()
			},
		}})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx) }()
		request, err := http.NewRequest(http.MethodDelete, "http://"+s.Addr()+"/v1/reservations?source=lab&address=10.0.0.5", nil)
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer "+apiToken)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		go func() {
			if r, err := client.Do(request); err == nil {
				_, _ = io.Copy(io.Discard, r.Body)
				r.Body.Close()
			}
		}()
		<-inside
		begun := time.Now()
		cancel()
		require.NoError(t, <-served)
		require.True(t, ended.Load())
		require.Less(t, time.Since(begun), 20*time.Second)
	}
}

// Whatever a body says: no crash, and what is taken is what it says, no more
// and no less.
func FuzzReservationBody(f *testing.F) {
	f.Add([]byte(`{"source":"lab","network":"br0","address":"10.0.0.5","mac":"00:16:3e:00:00:01","for":"/1.0/instances/u1","name":"u1"}`))
	f.Add([]byte(`{"source":"lab","network":"br0","network":"br1"}`))
	f.Add([]byte(`{"SOURCE":"lab","network":null}`))
	f.Add([]byte(` { "source" : "\u006cab" , "address":"::1" } `))
	f.Add([]byte(`{"source":"lab","address":"1"}x`))
	f.Add([]byte("{\"source\":\"\xf0\x9f\x98\x80\",\"address\":\"\\ud800\"}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		wanted, err := parseReservation(body)
		if err != nil {
			require.Zero(t, wanted)
			require.NotContains(t, err.Error(), "\n")
			require.Less(t, len(err.Error()), 200, "it repeats nothing")
			return
		}
		var plain map[string]string
		require.NoError(t, json.Unmarshal(body, &plain), "encoding/json has something against it")
		require.Equal(t, ReservationRequest{
			Source: plain["source"], Network: plain["network"], Address: plain["address"], MAC: plain["mac"], For: plain["for"], Name: plain["name"],
		}, wanted)
		for key, text := range plain {
			require.LessOrEqual(t, len(text), maxTexts()[key])
			for _, r := range text {
				require.True(t, unicode.IsPrint(r), "%q", text)
			}
		}
		again, err := json.Marshal(wanted)
		require.NoError(t, err)
		same, err := parseReservation(again)
		require.NoError(t, err)
		require.Equal(t, wanted, same)
	})
}
