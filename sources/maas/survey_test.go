package maas_test

import (
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	maasd "allocsync/fixtures/maas"
	"allocsync/ipam"
	"allocsync/sources"
	"allocsync/sources/maas"
)

var update = flag.Bool("update", false, "write the golden lists anew")

// TestSurvey: what the emulator's world becomes. The lists were compared with
// fixtures/maas/default.go by eye.
func TestSurvey(t *testing.T) {
	for _, version := range []string{since36, before36} {
		_, source := newRegion(t, version)
		survey := mustSurvey(t, source)
		got := text(survey.Allocations) + "\n" + heldText(survey.Held)
		golden := "testdata/survey-" + version + ".txt"
		if *update {
			require.NoError(t, os.WriteFile(golden, []byte(got), 0o600))
		}
		want, err := os.ReadFile(golden)
		require.NoError(t, err)
		require.Equal(t, string(want), got)
	}
}

// TestRequests: five requests, and one for each of the six subnets.
func TestRequests(t *testing.T) {
	lists := []string{"GET users/?op=whoami", "GET subnets/?op=", "GET nodes/?op=", "GET reservedips/?op=", "GET ipranges/?op="}
	region, source := newRegion(t, since36)
	for _, read := range []func(){
		func() { mustSurvey(t, source) },
		func() {
			_, err := source.Snapshot(t.Context())
			require.NoError(t, err)
		},
	} {
		region.Forget()
		read()
		for _, one := range lists {
			require.Equal(t, 1, region.Count(one), one)
		}
		require.Equal(t, 6, region.Count("GET subnets/*/?op=ip_addresses"))
		require.Equal(t, 5+6, region.Count(""), region)
		require.Empty(t, region.Writes())
	}
}

// TestRequestsBefore36: the same number where MAAS says in its own words that it
// has no reserved IPs; one for its version where something else says so.
func TestRequestsBefore36(t *testing.T) {
	for body, want := range map[string]int{"Unknown API endpoint: /MAAS/api/2.0/reservedips/.": 4 + 6, "Not Found": 5 + 6} {
		region := maasd.New()
		region.SetVersion(before36)
		source := mustOpen(t, region, serve(t, altered{region, map[string]http.HandlerFunc{"GET reservedips/": says(404, plain, body)}}))
		mustSurvey(t, source)
		require.Equal(t, want, region.Count(""), "besides that for the reserved IPs")
	}
}

// altered answers some requests by itself, the others as a region does.
type altered struct {
	*maasd.Region
	answers map[string]http.HandlerFunc // by "METHOD path?query", below the base
}

func (a altered) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	target := strings.TrimPrefix(r.URL.RequestURI(), maasd.Base)
	if answer, ok := a.answers[r.Method+" "+target]; ok {
		answer(w, r)
		return
	}
	a.Region.ServeHTTP(w, r)
}

// serve serves h until the test ends, and returns the URL that people
// configure.
func serve(tb testing.TB, h http.Handler) string {
	tb.Helper()
	server := httptest.NewServer(h)
	tb.Cleanup(server.Close)
	return server.URL + "/MAAS"
}

func says(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body)) // a client that has gone needs no answer
	}
}

const (
	plain = "text/plain; charset=utf-8"
	page  = "text/html; charset=utf-8"
	inner = "application/json; charset=utf-8"
)

const addressesOf3 = "GET subnets/3/?op=ip_addresses&with_summary=1&with_username=1"

// TestMissing: what goes wrong with a part leaves the rest, and is told.
func TestMissing(t *testing.T) {
	for _, test := range []struct {
		name    string
		answers map[string]http.HandlerFunc
		want    []string
		lost    []string // parts of lines that are not in the list now
	}{
		{
			"one subnet", map[string]http.HandlerFunc{addressesOf3: says(500, plain, "boom")},
			[]string{`addresses of subnet internal: read /MAAS/api/2.0/subnets/3/?op=ip_addresses&with_summary=1&with_username=1: MAAS answers 500 "boom"`},
			[]string{"172.16.3."},
		},
		{
			"one subnet that is in the list and not there", map[string]http.HandlerFunc{addressesOf3: says(404, plain, "No Subnet matches the given query.")},
			[]string{`addresses of subnet internal: read /MAAS/api/2.0/subnets/3/?op=ip_addresses&with_summary=1&with_username=1: MAAS answers 404 "No Subnet matches the given query."`},
			[]string{"172.16.3."},
		},
		{
			"reserved IPs", map[string]http.HandlerFunc{"GET reservedips/": says(403, plain, "This method is reserved for admin users.")},
			[]string{`reserved IPs: read /MAAS/api/2.0/reservedips/: MAAS answers 403 "This method is reserved for admin users."; use the API key of an administrator`},
			[]string{"/reservedips/"},
		},
		{
			"reserved IPs that a proxy does not let through", map[string]http.HandlerFunc{"GET reservedips/": says(404, page, "<html>not found</html>")},
			[]string{`reserved IPs: MAAS "3.6.1" has no reserved IPs, which is since 3.6: read /MAAS/api/2.0/reservedips/: MAAS answers 404`},
			[]string{"/reservedips/"},
		},
		{
			"reserved IPs and the version", map[string]http.HandlerFunc{"GET reservedips/": says(404, page, ""), "GET version/": says(502, page, "<html>")},
			[]string{`reserved IPs: read /MAAS/api/2.0/reservedips/: MAAS answers 404; and its version: read /MAAS/api/2.0/version/: MAAS answers 502`},
			[]string{"/reservedips/"},
		},
		{
			"ranges", map[string]http.HandlerFunc{"GET ipranges/": says(504, plain, "Timed out")},
			[]string{`IP ranges: read /MAAS/api/2.0/ipranges/: MAAS answers 504 "Timed out"`},
			[]string{" lease "},
		},
		{
			"rows that make no sense", map[string]http.HandlerFunc{
				addressesOf3:       says(200, inner, `[{"ip":"172.16.3.60"},{"ip":"nonsense","alloc_type":1},{"ip":"10.1.1.1","alloc_type":4},{"ip":"172.16.3.12","alloc_type":4,"user":"admin"}]`),
				"GET reservedips/": says(200, inner, `[{"id":7,"ip":"172.16.1.50","mac_address":"gibberish","subnet":{"id":1}},{"id":8,"ip":"172.16.1.51","mac_address":"52:54:00:00:00:01","subnet":99}]`),
				"GET ipranges/":    says(200, inner, `[{"id":1,"type":"dynamic","start_ip":"172.16.1.199","end_ip":"172.16.1.100","subnet":{"id":1}},{"id":2,"type":"odd","start_ip":"172.16.1.1","end_ip":"172.16.1.2","subnet":1}]`),
			},
			[]string{
				"IP range 1: the range 172.16.1.199 to 172.16.1.100 ends before it begins",
				`IP range 2: is of type "odd", want dynamic or reserved`,
				"address 10.1.1.1 of subnet internal: is not in 172.16.3.0/24",
				"address 172.16.3.60 of subnet internal: has no alloc_type",
				`address nonsense of subnet internal: address "nonsense": want a form such as 10.1.2.3 or fd00::1`,
				`reserved IP 7 (172.16.1.50): hardware address "gibberish": want octets such as 00:16:3e:04:f0:95`,
				"reserved IP 8 (172.16.1.51): its subnet 99 is not in the list of subnets; read again",
			},
			nil,
		},
		{
			"a node that is in no list", map[string]http.HandlerFunc{addressesOf3: says(200, inner, `[{"ip":"172.16.3.12","alloc_type":1,"node_summary":{"system_id":"zzz","node_type":0,"hostname":"ghost"}}]`)},
			[]string{"nodes: source cannot be reached: ghost (zzz) have addresses and are not in the list of nodes; they were made or deleted meanwhile: read again"},
			nil,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			region := maasd.New()
			source := mustOpen(t, region, serve(t, altered{region, test.answers}))
			survey, err := source.Survey(t.Context())
			require.NoError(t, err)
			var missing []string
			for _, m := range survey.Missing {
				missing = append(missing, m.Part+": "+m.Err.Error())
			}
			require.Equal(t, test.want, missing)
			if test.lost == nil {
				return
			}
			_, whole := newRegion(t, since36)
			want := strings.Split(text(mustSurvey(t, whole).Allocations), "\n")
			var left []string
			for _, line := range want {
				lost := false
				for _, part := range test.lost {
					lost = lost || strings.HasPrefix(line, "address ") && strings.Contains(line, part)
				}
				if !lost {
					left = append(left, line)
				}
			}
			require.Equal(t, strings.Join(left, "\n"), text(survey.Allocations))
		})
	}
}

// TestHidden: what a key may not see is told, and nothing of it is guessed.
func TestHidden(t *testing.T) {
	region, url := maasd.Start(t)
	source := mustOpen(t, region, url, func(o *maas.Options) { o.APIKey = maas.Key(region.Key(maasd.Operator)) })
	survey, err := source.Survey(t.Context())
	require.NoError(t, err)
	require.Len(t, survey.Missing, 1)
	require.Equal(t, "nodes", survey.Missing[0].Part)
	require.ErrorIs(t, survey.Missing[0].Err, sources.ErrDenied)
	require.Regexp(t, `^access denied: printer \(\w+\), web-1 \(\w+\), web-1-c1 \(\w+\) have addresses and are hidden from the user operator; use the API key of an administrator$`, survey.Missing[0].Err.Error())
	require.NotContains(t, text(survey.Allocations), "name=web-1")
	require.Contains(t, text(survey.Allocations), "name=db-1")
}

// TestSubnetDeletedMeanwhile: it is gone, with all that it held, and nothing is
// missing.
func TestSubnetDeletedMeanwhile(t *testing.T) {
	region := maasd.New()
	first := true
	source := mustOpen(t, region, serve(t, altered{region, map[string]http.HandlerFunc{
		"GET subnets/5/?op=ip_addresses&with_summary=1&with_username=1": func(w http.ResponseWriter, r *http.Request) {
			if first {
				first = false
				mustDo(t, region, maasd.Admin, "DELETE", "subnets/5/?force=true", nil)
			}
			region.ServeHTTP(w, r)
		},
	}}))
	region.Forget()
	survey := mustSurvey(t, source)
	require.NotContains(t, text(survey.Allocations), "10.9.9.")
	require.Equal(t, 5+6+1, region.Count(""), "the list of subnets is read again")
}

// TestUnknownHosts: MAAS hands out what its DHCP server leases, and nothing that
// it has merely seen.
func TestUnknownHosts(t *testing.T) {
	seen := `[{"ip":"172.16.1.150","alloc_type":6},{"ip":"172.16.1.77","alloc_type":6},{"ip":"172.16.1.5","alloc_type":1},{"ip":"172.16.1.6","alloc_type":1,"bmcs":[{"id":1,"nodes":[{"hostname":"web-1"}]}]}]`
	region := maasd.New()
	source := mustOpen(t, region, serve(t, altered{region, map[string]http.HandlerFunc{
		"GET subnets/1/?op=ip_addresses&with_summary=1&with_username=1": says(200, inner, seen),
	}}))
	var lines []string
	for line := range strings.SplitSeq(text(mustSurvey(t, source).Allocations), "\n") {
		if strings.HasPrefix(line, "address 172.16.1.") && !strings.Contains(line, "reservedips") {
			lines = append(lines, line)
		}
	}
	require.Equal(t, []string{
		"address 172.16.1.1/24 network /MAAS/api/2.0/subnets/1/ network=mgmt project=management name=mgmt",
		"address 172.16.1.5/32 address /MAAS/api/2.0/ipaddresses/?ip=172.16.1.5 network=mgmt project=management",
		"address 172.16.1.6/32 bmc /MAAS/api/2.0/ipaddresses/?ip=172.16.1.6 network=mgmt project=management name=web-1",
		"address 172.16.1.150/32 lease /MAAS/api/2.0/ipaddresses/?ip=172.16.1.150 network=mgmt project=management dynamic",
	}, lines)
}

// TestErrors: without these lists nothing makes sense, and the text says what
// to do.
func TestErrors(t *testing.T) {
	for _, test := range []struct {
		name, target string
		answer       http.HandlerFunc
		cause        error
		text         string
	}{
		{
			"no such key", "GET users/?op=whoami", says(401, plain, "Authorization Error: Invalid API key."), sources.ErrDenied,
			`read /MAAS/api/2.0/users/?op=whoami: MAAS answers 401 "Authorization Error: Invalid API key."; check api_key: 'maas apikey --username NAME' on the server prints it`,
		},
		{
			"clocks", "GET users/?op=whoami", says(401, plain, "Authorization Error: 'Expired timestamp: given 1 and now 2 has a greater difference than threshold 300'"), sources.ErrDenied,
			`read /MAAS/api/2.0/users/?op=whoami: MAAS answers 401 "Authorization Error: 'Expired timestamp: given 1 and now 2 has a greater difference than threshold 300'"; set the clock of this machine, or of MAAS: they differ by more than five minutes`,
		},
		{
			"forbidden", "GET nodes/", says(403, plain, "Forbidden"), sources.ErrDenied,
			`read /MAAS/api/2.0/nodes/: MAAS answers 403 "Forbidden"; use the API key of an administrator`,
		},
		{
			"busy", "GET subnets/", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "10")
				http.Error(w, "Unable to connect to any rack controller", http.StatusServiceUnavailable)
			}, sources.ErrUnreachable,
			`read /MAAS/api/2.0/subnets/: MAAS answers 503 "Unable to connect to any rack controller", and to ask again after 10 s`,
		},
		{
			"a proxy's page", "GET subnets/", says(502, page, "<html>secret internals</html>"), sources.ErrUnreachable,
			`read /MAAS/api/2.0/subnets/: MAAS answers 502`,
		},
		{
			"a redirect", "GET subnets/", func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://elsewhere.example/MAAS/", http.StatusMovedPermanently)
			}, sources.ErrUnreachable,
			`read /MAAS/api/2.0/subnets/: MAAS answers 301 and points to "https://elsewhere.example/MAAS/"; set url to where MAAS really answers; redirects are not followed, as the API key would go there`,
		},
		{
			"a form's faults", "GET nodes/", says(400, inner, `{"__all__":["Something\nis wrong."],"mac_address":["Bad.","Worse."]}`), nil,
			`read /MAAS/api/2.0/nodes/: MAAS answers 400 "Something is wrong. mac_address: Bad. Worse."`,
		},
		{
			"null in place of a list", "GET subnets/", says(200, inner, "null"), sources.ErrUnreachable,
			`read /MAAS/api/2.0/subnets/: source cannot be reached: the answer is empty`,
		},
		{
			"another type", "GET subnets/", says(200, inner, `{}`), sources.ErrUnreachable,
			`read /MAAS/api/2.0/subnets/: source cannot be reached: the answer is not what the API promises: json: cannot unmarshal object into Go value of type []maas.subnet`,
		},
		{
			"nobody", "GET users/?op=whoami", says(200, inner, `{}`), sources.ErrUnreachable,
			`source cannot be reached: MAAS does not say to whom the API key belongs; does url lead to MAAS?`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			region := maasd.New()
			at := serve(t, altered{region, map[string]http.HandlerFunc{test.target: test.answer}})
			survey, err := mustOpen(t, region, at).Survey(t.Context())
			require.EqualError(t, err, "snapshot of "+at+": "+test.text)
			for _, cause := range []error{sources.ErrDenied, sources.ErrUnreachable, sources.ErrRefused} {
				require.Equal(t, cause == test.cause, errors.Is(err, cause), cause)
			}
			require.Zero(t, survey)
		})
	}
}

// TestBound: an answer that is too large is an error that says so.
func TestBound(t *testing.T) {
	region := maasd.New()
	large := says(200, inner, `[`+strings.Repeat(" ", 70<<10)+`]`)
	source := mustOpen(t, region, serve(t, altered{region, map[string]http.HandlerFunc{"GET nodes/": large}}), func(o *maas.Options) { o.MaxBytes = 64 << 10 })
	_, err := source.Snapshot(t.Context())
	require.ErrorIs(t, err, sources.ErrUnreachable)
	require.ErrorContains(t, err, "; raise max_bytes")
}

// TestEveryFactIsPossible is what the contract asks for, on all that the
// emulator has.
func TestEveryFactIsPossible(t *testing.T) {
	_, source := newRegion(t, since36)
	survey := mustSurvey(t, source)
	for _, a := range survey.Allocations {
		require.NoError(t, a.Check())
	}
	for _, h := range survey.Held {
		require.NoError(t, h.Check())
		require.NotEqual(t, ipam.UsedBy(""), h.Network)
	}
}

// net/http sends a reading again by itself, with the signature that it has, where
// a connection that was kept ends without an answer. MAAS refuses the nonce then,
// which is no reason to doubt the key.
func TestReplayedNonce(t *testing.T) {
	region, source := newRegion(t, since36)
	before := mustSurvey(t, source) // connections are kept from now on
	for _, path := range []string{"reservedips/", "nodes/", "subnets/*/?op=ip_addresses"} {
		region.Inject(maasd.Fault{On: "GET " + path, Kind: maasd.Lost, Times: 1})
		after, err := source.Survey(t.Context())
		require.NoError(t, err, path)
		require.Empty(t, after.Missing, path)
		require.Equal(t, before.Held, after.Held)
	}
}
