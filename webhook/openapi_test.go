package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// apiToken is looked for in every answer and log line, as the other secrets are.
const apiToken = "api-token-Zr31Wq8s"

// theDocument is openapi.json, parsed.
func theDocument(t testing.TB) document {
	t.Helper()
	var d document
	require.NoError(t, json.Unmarshal(openAPI, &d))
	return d
}

// operationsOf lists the operations of the document as "METHOD PATH".
func (d document) operationsOf() map[string]map[string]any {
	list := map[string]map[string]any{}
	for path, methods := range d["paths"].(map[string]any) {
		for method, operation := range methods.(map[string]any) {
			list[strings.ToUpper(method)+" "+path] = operation.(map[string]any)
		}
	}
	return list
}

// Every operation that is answered is in the document, and the reverse; so are
// the names of their parameters and the keys of their bodies.
func TestDocumentAndOperations(t *testing.T) {
	d := theDocument(t)
	require.Equal(t, "3.1.0", d["openapi"])
	var served []string
	for _, o := range operations() {
		served = append(served, o.method+" "+o.path)
		described := d.operationsOf()[o.method+" "+o.path]
		require.NotNil(t, described, "%s %s is answered and not described", o.method, o.path)
		_, opened := described["security"]
		require.Equal(t, o.open, opened, "%s %s: who is let in", o.method, o.path)
	}
	require.ElementsMatch(t, served, slices.Collect(maps.Keys(d.operationsOf())))
	require.Equal(t, []any{map[string]any{"token": []any{}}}, d["security"])

	schemas := d["components"].(map[string]any)["schemas"].(map[string]any)
	keys := func(name string) []string {
		return slices.Sorted(maps.Keys(schemas[name].(map[string]any)["properties"].(map[string]any)))
	}
	require.Equal(t, slices.Sorted(maps.Keys(maxTexts())), keys("ReservationRequest"))
	for key, value := range schemas["ReservationRequest"].(map[string]any)["properties"].(map[string]any) {
		require.EqualValues(t, maxTexts()[key], value.(map[string]any)["maxLength"], key)
	}
	full, err := json.Marshal(Reservation{Row: 1})
	require.NoError(t, err)
	var of map[string]any
	require.NoError(t, json.Unmarshal(full, &of))
	require.Equal(t, slices.Sorted(maps.Keys(of)), keys("Reservation"))
}

// Every $ref leads somewhere, and every example fits its schema.
func TestDocumentHoldsTogether(t *testing.T) {
	d := theDocument(t)
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case []any:
			for i, e := range v {
				walk(at+"/"+strconv.Itoa(i), e)
			}
		case map[string]any:
			if _, ok := v["$ref"].(string); ok {
				_, err := d.resolve(v)
				require.NoError(t, err, at)
			}
			if example, ok := v["example"]; ok && v["schema"] != nil {
				require.Empty(t, d.check(v["schema"], example, at))
			} else if ok {
				require.Empty(t, d.check(v, example, at))
			}
			for key, e := range v {
				if key != "example" {
					walk(at+"/"+key, e)
				}
			}
		}
	}
	walk("#", map[string]any(d))
}

// The validator sees what it is made for.
func TestDocumentIsChecked(t *testing.T) {
	d := theDocument(t)
	of := func(name string) any { return map[string]any{"$ref": "#/components/schemas/" + name} }
	good := `{"source":"maas","address":"10.0.0.5/24","vrf":"","network":"","mac":"","for":"","name":"","used_by":"","type":"","state":"held","reason":"","in_use":"","row":0}`
	require.Empty(t, d.checkText(of("Reservation"), good))
	for _, change := range [][2]string{
		{`"row":0`, `"row":"0"`}, {`"row":0`, `"row":-1`}, {`"row":0`, `"row":1.5`}, {`"row":0`, `"row":0,"more":1`}, {`"vrf":"",`, ``},
		{`"held"`, `"lost"`}, {`10.0.0.5/24`, `10.0.0.5`}, {`"mac":""`, `"mac":"52-54"`}, {`"vrf":""`, `"vrf":null`},
	} {
		require.Len(t, d.checkText(of("Reservation"), strings.Replace(good, change[0], change[1], 1)), 1, "%s", change)
	}
	require.Len(t, d.checkText(of("ReservationList"), `{"reservations":[{}],"unread":[]}`), 1)
	require.NotEmpty(t, d.checkText(of("Nothing"), `{}`))
	require.NotEmpty(t, d.checkText(map[string]any{"format": "ipv4"}, `""`))
}

// desk stands for what is behind the API.
type desk struct {
	err   error
	fresh bool
	asked []string
}

// reserved is an answer with something in every key.
func reserved() Reservation {
	return Reservation{
		Source: "lab", Address: "10.0.0.5/24", VRF: "blue", Network: "/1.0/networks/br0", MAC: "00:16:3e:00:00:01", For: "/1.0/instances/u1",
		Name: "u1", UsedBy: "/1.0/instances/u1", Type: "instance", State: "held", Reason: "none", InUse: "u1 runs", Row: 7,
	}
}

func (d *desk) reservations() *Reservations {
	return &Reservations{
		List: func(_ context.Context, source, address string) (ReservationList, error) {
			d.asked = append(d.asked, fmt.Sprintf("list %s %s", source, address))
			if source != "" {
				return ReservationList{}, d.err
			}
			return ReservationList{Reservations: []Reservation{reserved()}, Unread: []UnreadSource{{Source: "edge", Error: "away"}}}, d.err
		},
		Reserve: func(_ context.Context, wanted ReservationRequest) (Reservation, bool, error) {
			d.asked = append(d.asked, fmt.Sprintf("reserve %+v", wanted))
			return reserved(), d.fresh, d.err
		},
		Release: func(_ context.Context, source, address string) (Reservation, error) {
			d.asked = append(d.asked, fmt.Sprintf("release %s %s", source, address))
			return reserved(), d.err
		},
	}
}

func newAPIBed(t testing.TB, d *desk, change func(*Options)) *bed {
	t.Helper()
	b := newBed(t, func(o *Options) {
		o.Secrets.API = apiToken
		o.Reservations = d.reservations()
		if change != nil {
			change(o)
		}
	})
	t.Cleanup(func() { require.NotContains(t, b.log.String(), apiToken) })
	return b
}

// asks sends a request with the token.
func (b *bed) asks(t testing.TB, method, target, body string) reply {
	t.Helper()
	r := b.send(t, method, target, body, "Authorization", "Bearer "+apiToken)
	require.NotContains(t, r.text, apiToken)
	return r
}

// attempt is one way to come to a status.
type attempt struct {
	status  int
	desk    desk
	target  string // "" for the usual one
	body    string // likewise
	token   string
	opening func(*Options)
	before  func(t *testing.T, b *bed)
}

// attempts are ways to every status that an operation is described with.
func attempts(method, path string) []attempt {
	fails := func(status int) desk { return desk{err: &Problem{Status: status, Text: "words"}} }
	list := []attempt{
		{status: 429, opening: withKnobs(func(k *knobs) { k.address = limit{1, 0.5} })},
		{status: 404, opening: func(o *Options) { o.Secrets.API = "" }},
	}
	if path == pathOpenAPI {
		return append(list, attempt{status: 200, token: "none"})
	}
	list = append(list,
		attempt{status: 401, token: "none"}, attempt{status: 401, token: resyncToken},
		attempt{status: 404, target: path + "?source=nope&address=10.0.0.5", body: `{"source":"nope","network":"x"}`},
		attempt{status: 429, opening: withKnobs(func(k *knobs) { k.api = limit{1, 0.5} })},
		attempt{status: 429, before: func(t *testing.T, b *bed) {
			for range cap(b.server.calls) {
				b.server.calls <- struct{}{}
			}
			t.Cleanup(func() {
				for range cap(b.server.calls) {
					<-b.server.calls
				}
			})
		}},
		attempt{status: 409, desk: fails(409)}, attempt{status: 502, desk: fails(502)},
		attempt{status: 500, desk: desk{err: errors.New("a fault that is nobody's business")}},
		attempt{status: 503, desk: desk{err: &Problem{Status: 503, Text: "words", Wait: 1500 * time.Millisecond, Unfinished: true}}},
		attempt{status: 400, desk: fails(400)},
	)
	switch method {
	case http.MethodPost:
		list = append(list, attempt{status: 200}, attempt{status: 201, desk: desk{fresh: true}}, attempt{status: 400, body: `{}`},
			attempt{status: 400, target: path + "?source=lab"}, attempt{status: 413, body: strings.Repeat(" ", 16<<10+1)})
	case http.MethodGet:
		list = append(list, attempt{status: 200}, attempt{status: 200, target: path + "?source=lab&address=10.0.0.5"}, attempt{status: 400, target: path + "?source="})
	case http.MethodDelete:
		list = append(list, attempt{status: 200}, attempt{status: 400, target: path})
	}
	for i := range list { // the usual request
		if method == http.MethodPost && strings.Contains(list[i].target, "nope") {
			list[i].target = path
		}
		if list[i].target == "" && method == http.MethodDelete {
			list[i].target = path + "?source=lab&address=10.0.0.5"
		}
		if list[i].body == "" && method == http.MethodPost {
			list[i].body = `{"source":"lab","network":"br0"}`
		}
	}
	return list
}

// The server's answers are those of the document: each status that it names
// comes to pass, with a body that fits its schema and the headers it promises,
// and no other status does.
func TestAnswersAreThoseOfTheDocument(t *testing.T) {
	d := theDocument(t)
	for name, operation := range d.operationsOf() {
		method, path, _ := strings.Cut(name, " ")
		seen := map[string]bool{}
		for i, a := range attempts(method, path) {
			t.Run(fmt.Sprintf("%s %d %d", name, a.status, i), func(t *testing.T) {
				b := newAPIBed(t, &a.desk, a.opening)
				if a.before != nil {
					a.before(t, b)
				}
				if a.target == "" {
					a.target = path
				}
				var headers []string
				if a.token == "" {
					headers = []string{"Authorization", "Bearer " + apiToken}
				} else if a.token != "none" {
					headers = []string{"Authorization", "Bearer " + a.token}
				}
				r := b.send(t, method, a.target, a.body, headers...)
				require.Equal(t, a.status, r.status, r.text)
				status := strconv.Itoa(a.status)
				seen[status] = true
				described, err := d.resolve(operation["responses"].(map[string]any)[status])
				require.NoError(t, err, "%s is not described", status)
				require.Equal(t, "application/json", r.header.Get("Content-Type"))
				media := described["content"].(map[string]any)["application/json"].(map[string]any)
				require.Empty(t, d.checkText(media["schema"], r.text), r.text)
				headersOf, _ := described["headers"].(map[string]any)
				for _, header := range []string{"Retry-After", "WWW-Authenticate", "Allow"} {
					require.Equal(t, headersOf[header] != nil, r.header.Get(header) != "", header)
				}
			})
		}
		require.ElementsMatch(t, slices.Collect(maps.Keys(operation["responses"].(map[string]any))), slices.Collect(maps.Keys(seen)), name)
	}
}

func TestDocumentIsServed(t *testing.T) {
	b := newAPIBed(t, &desk{}, nil)
	r := b.send(t, http.MethodGet, "/v1/openapi.json", "")
	require.Equal(t, 200, r.status)
	require.JSONEq(t, string(openAPI), r.text)
}
