package netboxtest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// send asks all that a fuzzer can think of; a panic fails the test by itself.
func send(s *Server, method, path, query string, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://n/", bytes.NewReader(body))
	r.URL.Path, r.URL.RawPath, r.URL.RawQuery = path, "", query
	r.Header.Set("Authorization", "Token demo")
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// knownCrash says that NetBox itself answers this with a 500.
func knownCrash(body string) bool {
	for _, exception := range []string{"KeyError", "DataError", "RecursionError", "NotImplementedError"} {
		if strings.Contains(body, `"exception":"`+exception+`"`) {
			return true
		}
	}
	return false
}

func FuzzQuery(f *testing.F) {
	for _, q := range []string{"limit=10&offset=3", "limit=-1&offset=99999999999999999999", "start=2&limit=1", "cf_sync_owner=dc1/lxd0&cf_sync_owner=null",
		"address=10.0.0.1/24&address=%zz&address=::ffff:1.2.3.4", "vrf_id=null&vrf_id=1", "parent=0.0.0.0/0&parent=::/0", "id__gte=2&id__n=3", "ordering=-address,id,-",
		"fields=id,address,,x&omit=id", "q=x&family=4&mask_length__lte=24", "dns_name__regex=[&dns_name__ic=A", "last_updated__gt=2026-01-01T00:00:00Z", "tag=a&tag__n=b&tag_id=1",
		"cf_used_by__empty=false&cf_used_by__iew=x", "&&==&;=%", "%00=%00&address=%00&cf_used_by=%00", "within=10.0.0.0/8&contains=10.0.0.0/8&prefix=x"} {
		f.Add(q)
	}
	servers := map[Version]*Server{}
	for _, v := range []Version{V37, V42, V47} {
		servers[v] = withFields(v)
		fill(servers[v], 20)
		servers[v].MustPOST("/api/ipam/prefixes/", map[string]any{"prefix": "10.0.0.0/8"})
	}
	f.Fuzz(func(t *testing.T, query string) {
		for v, s := range servers {
			for _, path := range []string{ipPath, "/api/ipam/prefixes/", "/api/extras/custom-fields/", s.apiPath(s.changes), "/api/ipam/prefixes/1/available-ips/"} {
				w := send(s, http.MethodGet, path, query, nil)
				if w.Code != 200 && w.Code != 400 {
					t.Fatalf("%s %s?%s: %d %s", v, path, query, w.Code, w.Body)
				}
				if strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") && !json.Valid(w.Body.Bytes()) {
					t.Fatalf("%s %s?%s: no JSON: %s", v, path, query, w.Body)
				}
			}
		}
	})
}

// apiPath is the list path of a kind.
func (s *Server) apiPath(k *kind) string { return "/api/" + k.path + "/" }

func FuzzBody(f *testing.F) {
	for _, body := range []string{`[{"address":"10.0.0.1/24"}]`, `{"address":"x"}`, `[{"id":1,"description":"x"},{"id":2}]`, `[{"id":1},{"id":1}]`, `[{}]`, `[]`, `{}`, `null`, `5`, `"x"`, `[[]]`, `[null]`,
		`[{"address":"10.0.0.1/24","custom_fields":{"used_by":"a\u0000"}}]`, `{"prefix":"10.0.0.0/33"}`, `[{"address":"10.0.0.9/24","tags":[{"slug":"x"},5,null]}]`,
		`{"name":"a","slug":"b","type":"text","object_types":["ipam.prefix"],"content_types":["ipam.prefix"],"default":{"a":[1e999]}}`, `[{"id":1e99,"vrf":{"name":{"a":1}},"nat_inside":1}]`,
		`{"address":"10.0.0.7/24","status":true,"role":5.5,"tenant":"1","dns_name":"a.b.","changelog_message":[]}`, `[{"prefix_length":30},{"prefix_length":"x"}]`, `{"a":` + strings.Repeat("[", 600)} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, v := range []Version{V37, V42, V47} {
			s := withFields(v)
			s.MustPOST("/api/ipam/prefixes/", map[string]any{"prefix": "10.0.0.0/24"})
			fill(s, 3)
			for _, method := range []string{"POST", "PATCH", "PUT", "DELETE"} {
				for _, path := range []string{ipPath, ipPath + "1/", "/api/ipam/prefixes/", "/api/ipam/prefixes/1/available-ips/", "/api/ipam/vrfs/", "/api/extras/custom-fields/", "/api/extras/tags/"} {
					rows := count(s, ipPath)
					w := send(s, method, path, "", body)
					if w.Code >= 500 && !knownCrash(w.Body.String()) {
						t.Fatalf("%s %s %s %q: %d %s", v, method, path, body, w.Code, w.Body)
					}
					if w.Code >= 400 && count(s, ipPath) != rows {
						t.Fatalf("%s %s %s %q: refused with %d, but %d rows became %d", v, method, path, body, w.Code, rows, count(s, ipPath))
					}
					if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
						t.Fatalf("%s %s %s %q: no JSON: %s", v, method, path, body, w.Body)
					}
				}
			}
		}
	})
}

// FuzzJSON wants the parser and the writer to agree with encoding/json.
func FuzzJSON(f *testing.F) {
	for _, text := range []string{`{"a":[1,-2.5e3,true,false,null,"x\n\u00e9\ud83d\ude00"]}`, `[1e999]`, `"\ud800"`, ` [ ] `, `{"a":1,"a":2}`, "\"\u2028\"", `[01]`, `1.`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseJSON(text, V47)
		var want any
		wantErr := json.Unmarshal(text, &want)
		if bytes.Contains(text, []byte("e")) || bytes.Contains(text, []byte("E")) || !utf8.Valid(text) || bytes.Count(text, []byte{'['})+bytes.Count(text, []byte{'{'}) > maxDepth || len(text) > maxDigits {
			return // Python has infinite numbers, and a depth of its own
		}
		require.Equal(t, wantErr == nil, err == nil, "%q: %v, %v", text, wantErr, err)
		if err != nil {
			return
		}
		var again any
		require.NoError(t, json.Unmarshal(appendValue(nil, got), &again))
		require.Equal(t, want, again)
	})
}

// FuzzAddress wants what parses to print as something that parses equal.
func FuzzAddress(f *testing.F) {
	for _, text := range []string{"10.0.0.1", "10.0.0.1/24", "10.0.0.1/255.255.255.0", "::1.2.3.4/64", "::ffff:1.2.3.4", "fe80::1%eth0", "1.2.3.4/0.0.0.255", "1.2.3.4/ 8", "2001:DB8::/32"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, ok := parseNetwork(text)
		if !ok {
			return
		}
		a := address{host: p.Addr(), bits: uint8(p.Bits())}
		again, ok := parseNetwork(a.String())
		require.True(t, ok, "%q prints as %q", text, a.String())
		require.Equal(t, p, again)
	})
}
