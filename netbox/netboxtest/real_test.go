package netboxtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/netbox"
)

// step is one request of TestReal. {name} stands for the ID of an object that an
// earlier step saved.
type step struct {
	name, method, path, body string
	save                     []string // names for the IDs in the answer
	raw                      bool     // body is sent as it is
	headers                  map[string]string
	anonymous                bool
}

// TestReal asks a real NetBox 4.7.3 and the embedded one the same questions, and
// wants the same answers. It keeps to a VRF, tenant, role and tags of its own and
// cleans up.
func TestReal(t *testing.T) {
	url, token := os.Getenv("ALLOCSYNC_TEST_NETBOX_URL"), os.Getenv("ALLOCSYNC_TEST_NETBOX_TOKEN")
	if url == "" || token == "" {
		if slices.Contains(strings.Split(os.Getenv("MUST_RUN"), ","), "netbox") {
			t.Fatal("ALLOCSYNC_TEST_NETBOX_URL and _TOKEN are not set")
		}
		t.Skip("ALLOCSYNC_TEST_NETBOX_URL and _TOKEN are not set")
	}
	real := &realNetBox{t: t, url: url, token: token, saved: map[string]string{}, tables: map[string]string{}}
	real.cleanup()
	t.Cleanup(real.cleanup)
	client, err := netbox.Open(netbox.Options{URL: url, Token: netbox.Token(token)})
	require.NoError(t, err)
	_, err = client.Setup(t.Context(), false)
	require.NoError(t, err)
	s := New(Options{})
	real.copyCustomFields(s)
	for _, k := range s.kinds {
		if k != s.fields {
			k.next = 5_000_000 // no ID is the same on both by chance
		}
	}
	real.addLimited()
	s.AddToken("{limited}", Permissions{View: true, Hidden: []string{"ipam.role", "tenancy.tenant"}, Write: []Constraint{{Field: "sync_owner", Prefix: "nbt1/"}}})
	c := &comparison{ids: map[string]int{}, asked: true}
	for _, st := range realSteps() {
		c.found = nil
		rec := real.record(st)
		ask(t, c, real, st, &rec)
		c.one(s, rec)
		for _, d := range c.found {
			t.Errorf("%s: %s", st.name, d)
		}
	}
}

// ask puts the embedded NetBox's IDs into the request.
func ask(t *testing.T, c *comparison, real *realNetBox, st step, rec *recording) {
	fill := func(s string) string {
		return placeholder.ReplaceAllStringFunc(s, func(m string) string {
			n, err := strconv.Atoi(real.saved[m[1:len(m)-1]])
			if err != nil {
				return m
			}
			return strconv.Itoa(c.id(real.tables[m[1:len(m)-1]], n))
		})
	}
	rec.Request.Path = fill(st.path)
	body := fill(st.body)
	if st.raw {
		rec.Request.Raw = &body
	} else if body != "" {
		require.NoError(t, json.Unmarshal([]byte(body), &rec.Request.Body), st.name)
	}
}

type realNetBox struct {
	t          *testing.T
	url, token string
	saved      map[string]string // IDs of objects by the name a step gave them
	tables     map[string]string // and the path of their list
}

var placeholder = regexp.MustCompile(`\{([a-z0-9_]+)\}`)

func (n *realNetBox) fill(s string) string {
	return placeholder.ReplaceAllStringFunc(s, func(m string) string {
		if v, ok := n.saved[m[1:len(m)-1]]; ok {
			return v
		}
		return m
	})
}

func (n *realNetBox) do(method, path, body string, headers map[string]string) *http.Response {
	r, err := http.NewRequest(method, n.url+path, strings.NewReader(body))
	require.NoError(n.t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for k, v := range headers {
		r.Header.Set(k, v)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	require.NoError(n.t, err)
	return answer
}

// record asks the real NetBox and makes a recording of it.
func (n *realNetBox) record(st step) recording {
	headers := map[string]string{}
	for k, v := range st.headers {
		headers[k] = n.fill(v)
	}
	var rec recording
	rec.Name, rec.Request.Method = st.name, st.method
	rec.Request.Auth, rec.Request.Headers = !st.anonymous, st.headers
	if !st.anonymous {
		headers["Authorization"] = "Token " + n.token
	}
	answer := n.do(st.method, n.fill(st.path), n.fill(st.body), headers)
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	require.NoError(n.t, err)
	raw = bytes.ReplaceAll(raw, []byte(n.url), []byte("http://netbox.example"))
	rec.Response.Status, rec.Response.Headers = answer.StatusCode, map[string]string{}
	for _, h := range []string{"Content-Type", "Allow", "API-Version", "ETag", "Location"} {
		if v := answer.Header.Get(h); v != "" {
			rec.Response.Headers[h] = strings.ReplaceAll(v, n.url, "http://netbox.example")
		}
	}
	switch {
	case len(raw) == 0:
		rec.Response.Body = map[string]any{"_non_json": ""}
	case json.Unmarshal(raw, &rec.Response.Body) != nil:
		rec.Response.Body = notJSON
	}
	n.save(st, raw)
	return rec
}

func (n *realNetBox) save(st step, raw []byte) {
	if st.save == nil {
		return
	}
	var one struct{ ID int }
	many := []struct{ ID int }{}
	if json.Unmarshal(raw, &one) == nil && one.ID != 0 {
		many = append(many, one)
	} else if json.Unmarshal(raw, &many) != nil || len(many) != len(st.save) {
		n.t.Fatalf("%s: no ID to save: %s", st.name, raw)
	}
	for i, name := range st.save {
		n.saved[name] = fmt.Sprint(many[i].ID)
		n.tables[name] = strings.Trim(strings.TrimPrefix(st.path, "/api/"), "/")
	}
}

// addLimited makes a user with the least rights that allocsync needs, and saves
// its token as {limited}.
func (n *realNetBox) addLimited() {
	post := func(path, body string, into any) {
		answer := n.do("POST", path, body, map[string]string{"Authorization": "Token " + n.token})
		defer answer.Body.Close()
		require.Equal(n.t, 201, answer.StatusCode, path)
		require.NoError(n.t, json.NewDecoder(answer.Body).Decode(into))
	}
	var user struct{ ID int }
	post("/api/users/users/", `{"username":"nbt-real","password":"Nbt-real-12345!x"}`, &user)
	var permissions []any
	post("/api/users/permissions/", fmt.Sprintf(`[
		{"name":"nbt-real-view","object_types":["ipam.vrf","ipam.ipaddress","ipam.prefix","extras.customfield","core.objectchange"],"actions":["view"],"users":[%[1]d]},
		{"name":"nbt-real-write","object_types":["ipam.ipaddress","ipam.prefix"],"actions":["add","change","delete"],
		 "constraints":{"custom_field_data__sync_owner__startswith":"nbt1/"},"users":[%[1]d]}]`, user.ID), &permissions)
	var token struct{ Token string }
	post("/api/users/tokens/", fmt.Sprintf(`{"user":%d,"version":1}`, user.ID), &token)
	n.saved["limited"] = token.Token
}

// copyCustomFields gives the embedded NetBox the custom fields that the real one
// has, so that rows look alike.
func (n *realNetBox) copyCustomFields(s *Server) {
	var page struct{ Results []map[string]any }
	n.get("/api/extras/custom-fields/?limit=1000", &page)
	for _, f := range page.Results {
		body := map[string]any{}
		for _, k := range []string{"name", "label", "group_name", "weight", "required", "default", "validation_regex", "object_types"} {
			body[k] = f[k]
		}
		for _, k := range []string{"type", "filter_logic"} {
			body[k] = f[k].(map[string]any)["value"]
		}
		s.MustPOST("/api/extras/custom-fields/", body)
	}
}

func (n *realNetBox) get(path string, into any) {
	answer := n.do("GET", path, "", map[string]string{"Authorization": "Token " + n.token})
	defer answer.Body.Close()
	require.Equal(n.t, 200, answer.StatusCode, path)
	require.NoError(n.t, json.NewDecoder(answer.Body).Decode(into))
}

// cleanup deletes what this test made, by the name of it.
func (n *realNetBox) cleanup() {
	var vrfs struct{ Results []struct{ ID int } }
	n.get("/api/ipam/vrfs/?fields=id&limit=1000&name__isw=nbt-real", &vrfs)
	auth := map[string]string{"Authorization": "Token " + n.token}
	for _, v := range vrfs.Results {
		for _, path := range []string{"/api/ipam/ip-addresses/", "/api/ipam/prefixes/"} {
			var rows struct{ Results []map[string]any }
			n.get(fmt.Sprintf("%s?fields=id&limit=1000&vrf_id=%d", path, v.ID), &rows)
			if len(rows.Results) > 0 {
				body, _ := json.Marshal(rows.Results)
				n.do("DELETE", path, string(body), auth).Body.Close()
			}
		}
	}
	for path, by := range map[string]string{"/api/users/permissions/": "name__isw", "/api/users/users/": "username"} {
		var rows struct{ Results []map[string]any }
		n.get(path+"?fields=id&"+by+"=nbt-real", &rows)
		if len(rows.Results) > 0 {
			body, _ := json.Marshal(rows.Results)
			n.do("DELETE", path, string(body), auth).Body.Close()
		}
	}
	for _, path := range []string{"/api/ipam/vrfs/", "/api/tenancy/tenants/", "/api/ipam/roles/", "/api/extras/tags/", "/api/extras/custom-fields/"} {
		prefix := "nbt-real"
		if path == "/api/extras/custom-fields/" {
			prefix = "nbt_real"
		}
		var rows struct{ Results []map[string]any }
		n.get(path+"?fields=id&limit=1000&name__isw="+prefix, &rows)
		if len(rows.Results) > 0 {
			body, _ := json.Marshal(rows.Results)
			n.do("DELETE", path, string(body), auth).Body.Close()
		}
	}
}
