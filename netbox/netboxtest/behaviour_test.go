package netboxtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// client talks to the embedded NetBox over a real socket.
type client struct {
	t     testing.TB
	url   string
	token string
}

func serve(t testing.TB, s *Server) *client {
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return &client{t, server.URL, "Token demo"}
}

// do sends a request; status 0 means that the connection was dropped.
func (c *client) do(method, path, body string) (status int, text string, header http.Header) {
	c.t.Helper()
	r, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	require.NoError(c.t, err)
	r.Header.Set("Authorization", c.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error(), nil
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	require.NoError(c.t, err)
	return answer.StatusCode, string(raw), answer.Header
}

const ipPath = "/api/ipam/ip-addresses/"

func count(s *Server, path string) int { return int(s.MustGET(path)["count"].(float64)) }

func TestFaults(t *testing.T) {
	s := withFields(V47)
	c := serve(t, s)
	body := func(n int) string { return fmt.Sprintf(`{"address":"10.0.0.%d/24"}`, n) }

	s.Fault(Fault{Method: "POST", Path: ipPath, Status: 503, Header: map[string]string{"Retry-After": "7"}, Body: "busy", Times: 2})
	for range 2 {
		status, text, header := c.do("POST", ipPath, body(1))
		require.Equal(t, 503, status)
		require.Equal(t, "busy", text)
		require.Equal(t, "7", header.Get("Retry-After"))
	}
	require.Zero(t, count(s, ipPath), "an Answer is given instead of NetBox's")
	status, _, _ := c.do("POST", ipPath, body(1))
	require.Equal(t, 201, status, "the fault is over")

	s.Fault(Fault{Method: "POST", Path: ipPath, Kind: LostAnswer})
	status, _, _ = c.do("POST", ipPath, body(2))
	require.Zero(t, status, "the connection is dropped")
	require.Equal(t, 2, count(s, ipPath), "after the row was stored")

	s.Fault(Fault{Method: "POST", Path: ipPath, Kind: LostAnswer, Status: 502, Body: "<html>"})
	status, text, _ := c.do("POST", ipPath, body(3))
	require.Equal(t, 502, status)
	require.Equal(t, "<html>", text)
	require.Equal(t, 3, count(s, ipPath))

	s.Fault(Fault{Method: "POST", Kind: Drop})
	status, _, _ = c.do("POST", ipPath, body(4))
	require.Zero(t, status)
	require.Equal(t, 3, count(s, ipPath), "a Drop never reaches NetBox")

	s.Fault(Fault{Path: ipPath, Query: "offset=", Skip: 1, Kind: Truncate})
	for i, whole := range []bool{true, true, false, true} {
		query := map[bool]string{true: "?limit=1", false: "?limit=1&offset=1"}[i == 0]
		_, text, _ := c.do("GET", ipPath+query, "")
		require.Equal(t, whole, json.Valid([]byte(text)), "request %d", i)
	}

	s.Fault(Fault{Kind: HTMLPage})
	status, text, header := c.do("GET", "/api/status/", "")
	require.Equal(t, 200, status)
	require.Contains(t, text, "<html")
	require.Contains(t, header.Get("Content-Type"), "text/html")

	s.Fault(Fault{Kind: Hang})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", c.url+"/api/status/", nil)
	require.NoError(t, err)
	_, err = http.DefaultClient.Do(r)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	s.Fault(Fault{Status: 500, Times: -1})
	status, _, _ = c.do("GET", "/api/status/", "")
	require.Equal(t, 500, status)
	s.ClearFaults()
	status, _, _ = c.do("GET", "/api/status/", "")
	require.Equal(t, 200, status)
}

func TestRequestsAreCounted(t *testing.T) {
	s := withFields(V47)
	c := serve(t, s)
	fill(s, 30)
	require.Empty(t, s.Requests(), "seeding is not counted")
	c.do("GET", ipPath+"?limit=7", "")
	c.do("POST", ipPath, `[{"address":"10.99.0.1/24"},{"address":"10.99.0.2/24"}]`)
	c.do("POST", ipPath, `[{"address":"x"}]`)
	s.Fault(Fault{Kind: Drop})
	c.do("DELETE", ipPath, "")
	require.Equal(t, []Request{
		{Method: "GET", Path: ipPath, Query: "limit=7", Status: 200, Rows: 7},
		{Method: "POST", Path: ipPath, Status: 201, Rows: 2},
		{Method: "POST", Path: ipPath, Status: 400},
		{Method: "DELETE", Path: ipPath, Fault: true},
	}, s.Requests())
	s.ResetRequests()
	require.Empty(t, s.Requests())
}

func TestMaintenance(t *testing.T) {
	for _, v := range []Version{V37, V42, V47} {
		s := withFields(v)
		c := serve(t, s)
		fill(s, 1)
		id := int(s.MustGET(ipPath)["results"].([]any)[0].(map[string]any)["id"].(float64))
		s.SetMaintenance(true)
		one := fmt.Sprintf("%s%d/", ipPath, id)
		for _, write := range [][3]string{
			{"POST", ipPath, `{"address":"10.99.0.1/24"}`}, {"POST", ipPath, `[{"address":"10.99.0.1/24"}]`},
			{"PATCH", one, `{"description":"x"}`}, {"PATCH", ipPath, fmt.Sprintf(`[{"id":%d,"description":"x"}]`, id)},
			{"DELETE", one, ``}, {"DELETE", ipPath, fmt.Sprintf(`[{"id":%d}]`, id)},
		} {
			status, text, _ := c.do(write[0], write[1], write[2])
			require.Equal(t, 500, status, "%s %v", v, write)
			require.Contains(t, text, "maintenance mode")
		}
		status, _, _ := c.do("POST", ipPath, `{"address":"x y"}`)
		require.Equal(t, map[bool]int{true: 400, false: 500}[v == V47], status, "validation comes first")
		require.Equal(t, 1, count(s, ipPath))
		s.SetMaintenance(false)
		status, _, _ = c.do("DELETE", one, ``)
		require.Equal(t, 204, status)
	}
}

func TestPermissionsBefore47(t *testing.T) {
	s := withFields(V42)
	s.AddToken("mine", Permissions{View: true, Write: []Constraint{{"sync_owner", "dc1/"}, {"used_by", "/kept/"}}})
	s.AddToken("reader", Permissions{View: true})
	s.AddToken("blind", Permissions{})
	c := serve(t, s)
	row := func(n int, owner string) string {
		return fmt.Sprintf(`{"address":"10.0.0.%d/24","custom_fields":{"sync_owner":%q}}`, n, owner)
	}
	foreign := int(s.MustPOST(ipPath, json.RawMessage(row(1, "dc2/x")))["id"].(float64))

	c.token = "Token mine"
	status, text, _ := c.do("POST", ipPath, "["+row(2, "dc1/a")+","+row(3, "dc2/a")+"]")
	require.Equal(t, 403, status)
	require.JSONEq(t, `{"detail":"You do not have permission to perform this action."}`, text)
	require.Equal(t, 1, count(s, ipPath), "nothing of it stays")
	status, _, _ = c.do("POST", ipPath, row(2, "dc1/a"))
	require.Equal(t, 201, status)
	status, _, _ = c.do("POST", ipPath, `{"address":"10.0.0.9/24","custom_fields":{"used_by":"/kept/1"}}`)
	require.Equal(t, 201, status, "constraints are ORed")
	status, text, _ = c.do("PATCH", ipPath, fmt.Sprintf(`[{"id":%d,"description":"x"}]`, foreign))
	require.Equal(t, 200, status, "before 4.7 another's row is skipped without a word")
	require.Equal(t, "[]", text)
	status, _, _ = c.do("DELETE", fmt.Sprintf("%s%d/", ipPath, foreign), "")
	require.Equal(t, 404, status)

	c.token = "Token reader"
	status, _, _ = c.do("GET", ipPath, "")
	require.Equal(t, 200, status)
	status, _, _ = c.do("POST", ipPath, row(5, "dc1/a"))
	require.Equal(t, 403, status)
	c.token = "Token blind"
	status, _, _ = c.do("GET", ipPath, "")
	require.Equal(t, 403, status)
	status, _, _ = c.do("GET", "/api/status/", "")
	require.Equal(t, 200, status)
}

func TestV2Token(t *testing.T) {
	const token = "nbt_KEYKEYKEYKEY.0123456789012345678901234567890123456789"
	for v, want := range map[Version]int{V37: 403, V42: 403, V47: 200} {
		c := serve(t, New(Options{Version: v, Token: token}))
		c.token = "Bearer " + token
		status, _, _ := c.do("GET", ipPath, "")
		require.Equal(t, want, status, v)
	}
}

func TestUniquenessInTheGlobalTable(t *testing.T) {
	yes, no := true, false
	for _, tc := range []struct {
		v        Version
		override *bool
		want     int
	}{{V37, nil, 201}, {V42, nil, 400}, {V47, nil, 400}, {V37, &yes, 400}, {V47, &no, 201}} {
		s := New(Options{Version: tc.v, EnforceGlobalUnique: tc.override})
		c := serve(t, s)
		s.MustPOST(ipPath, map[string]any{"address": "10.0.0.1/24"})
		status, text, _ := c.do("POST", ipPath, `{"address":"10.0.0.1/32"}`)
		require.Equal(t, tc.want, status, "%v", tc)
		if status == 400 {
			require.JSONEq(t, `{"address":["Duplicate IP address found in global table: 10.0.0.1/24"]}`, text)
		}
		s.MustPOST("/api/ipam/prefixes/", map[string]any{"prefix": "10.0.0.0/24"})
		status, _, _ = c.do("POST", "/api/ipam/prefixes/", `{"prefix":"10.0.0.0/24"}`)
		require.Equal(t, tc.want, status, "%v", tc)
	}
}

// A row that has a twin cannot be changed at all in a VRF that enforces
// uniqueness: NetBox checks the whole row again.
func TestTwinsCannotBeChanged(t *testing.T) {
	s := New(Options{Version: V42})
	c := serve(t, s)
	rows := s.MustPOSTList(ipPath, []map[string]any{{"address": "10.0.0.1/24"}, {"address": "10.0.0.1/24"}})
	status, text, _ := c.do("PATCH", fmt.Sprintf("%s%v/", ipPath, rows[1]["id"]), `{"description":"x"}`)
	require.Equal(t, 400, status)
	require.Contains(t, text, "Duplicate IP address found in global table")
	s.MustDELETE(fmt.Sprintf("%s%v/", ipPath, rows[0]["id"]))
	status, _, _ = c.do("PATCH", fmt.Sprintf("%s%v/", ipPath, rows[1]["id"]), `{"description":"x"}`)
	require.Equal(t, 200, status)
}

func TestPageSizeIsClipped(t *testing.T) {
	s := withFields(V47)
	fill(s, 30)
	s.SetMaxPageSize(10)
	page := askPage(t, s, "http://n"+ipPath+"?limit=1000")
	require.Len(t, page.Results, 10)
	require.Contains(t, *page.Next, "limit=10&offset=10")
	require.Len(t, askPage(t, s, "http://n"+ipPath).Results, 10, "PAGINATE_COUNT is clipped too")
	s.SetMaxPageSize(-1)
	require.Len(t, askPage(t, s, "http://n"+ipPath+"?limit=0").Results, 30)
}

func TestLinksEndWithTheRows(t *testing.T) {
	s := withFields(V47)
	fill(s, 30)
	last := askPage(t, s, "http://n"+ipPath+"?limit=10&offset=20")
	require.Nil(t, last.Next, "nothing follows row 30 of 30")
	require.Equal(t, "http://n"+ipPath+"?limit=10&offset=10", *last.Previous)
	require.Equal(t, "http://n"+ipPath+"?limit=10", *askPage(t, s, "http://n"+ipPath+"?limit=10&offset=10").Previous)
	require.Equal(t, "http://n"+ipPath+"?limit=10&offset=29", *askPage(t, s, "http://n"+ipPath+"?limit=10&offset=19").Next)
	// A cursor's last page may be full: then one more, empty, follows.
	require.NotNil(t, askPage(t, s, "http://n"+ipPath+"?limit=30&start=0").Next)
}

func TestLongRequestLine(t *testing.T) {
	c := serve(t, New(Options{}))
	status, text, header := c.do("GET", ipPath+"?"+places(300), "")
	require.Equal(t, 400, status)
	require.Contains(t, text, "Request Line is too large")
	require.Contains(t, header.Get("Content-Type"), "text/html")
	c = serve(t, New(Options{MaxRequestLine: -1}))
	status, _, _ = c.do("GET", ipPath+"?"+places(300), "")
	require.Equal(t, 200, status)
}

// A filter on a custom field of another object type, or on none, lists all rows.
func TestIgnoredFilters(t *testing.T) {
	for _, v := range []Version{V37, V42, V47} {
		s := withFields(v)
		fill(s, 10)
		id := s.MustGET("/api/extras/custom-fields/?name=sync_owner")["results"].([]any)[0].(map[string]any)["id"]
		require.Equal(t, 5, count(s, ipPath+"?cf_sync_owner=dc1/lxd0"))
		require.Equal(t, 10, count(s, ipPath+"?cf_sync_owner="))
		require.Equal(t, 10, count(s, ipPath+"?cf_sync_ownr=dc1/lxd0"))
		s.MustPATCH(fmt.Sprintf("/api/extras/custom-fields/%v/", id), map[string]any{v.typesKey(): []string{"ipam.prefix"}})
		require.Equal(t, 10, count(s, ipPath+"?cf_sync_owner=dc1/lxd0"), "no longer on addresses")
		s.MustPATCH(fmt.Sprintf("/api/extras/custom-fields/%v/", id), map[string]any{v.typesKey(): []string{"ipam.ipaddress"}})
		require.Equal(t, 0, count(s, ipPath+"?cf_sync_owner=dc1/lxd0"), "the values went with the assignment")
		s.MustPATCH(fmt.Sprintf("/api/extras/custom-fields/%v/", id), map[string]any{"filter_logic": "disabled"})
		require.Equal(t, 10, count(s, ipPath+"?cf_sync_owner=dc1/lxd0"))
	}
}

func TestSelectionsReadBack(t *testing.T) {
	for v, want := range map[Version]string{V37: `"b"`, V42: `"b"`, V47: `{"value":"b","label":"Beta"}`} {
		s := New(Options{Version: v})
		set := s.MustPOST("/api/extras/custom-field-choice-sets/", map[string]any{"name": "greek", "extra_choices": [][]string{{"a", "Alpha"}, {"b", "Beta"}}})
		s.MustPOST("/api/extras/custom-fields/", map[string]any{"name": "letter", "type": "select", v.typesKey(): []string{"ipam.ipaddress"}, "choice_set": set["id"]})
		row := s.MustPOST(ipPath, map[string]any{"address": "10.0.0.1/24", "custom_fields": map[string]any{"letter": "b"}})
		got, err := json.Marshal(row["custom_fields"].(map[string]any)["letter"])
		require.NoError(t, err)
		require.JSONEq(t, want, string(got), v)
		status, text, _ := serve(t, s).do("POST", ipPath, `{"address":"10.0.0.2/24","custom_fields":{"letter":"c"}}`)
		require.Equal(t, 400, status)
		require.JSONEq(t, `{"__all__":["Invalid value for custom field 'letter': Invalid choice (c) for choice set greek."]}`, text)
		require.Equal(t, 1, count(s, ipPath+"?cf_letter=b"))
	}
}

// The change log is a complete feed: who, what, before and after, by request.
func TestChangeLog(t *testing.T) {
	s := withFields(V47)
	s.AddToken("sync", Permissions{User: "robot", Superuser: true})
	c := serve(t, s)
	c.token = "Token sync"
	_, text, header := c.do("POST", ipPath, `[{"address":"10.0.0.1/24"},{"address":"10.0.0.2/24"}]`)
	var rows []struct{ ID int }
	require.NoError(t, json.Unmarshal([]byte(text), &rows))
	c.do("PATCH", ipPath, fmt.Sprintf(`[{"id":%d,"description":"x","changelog_message":"why"}]`, rows[0].ID))
	c.do("PATCH", ipPath, fmt.Sprintf(`[{"id":%d,"description":"x"}]`, rows[0].ID)) // changes nothing: not logged
	c.do("POST", ipPath, `[{"address":"10.0.0.3/24"},{"address":"10.0.0.1/24"}]`)   // rolled back: not logged
	c.do("DELETE", ipPath, fmt.Sprintf(`[{"id":%d}]`, rows[0].ID))
	var page struct {
		Count   int
		Results []struct {
			Action       struct{ Value string }
			Message      string
			RequestID    string         `json:"request_id"`
			UserName     string         `json:"user_name"`
			Pre          map[string]any `json:"prechange_data"`
			Post         map[string]any `json:"postchange_data"`
			ChangedID    int            `json:"changed_object_id"`
			ChangedThing any            `json:"changed_object"`
		}
	}
	_, text, _ = c.do("GET", "/api/core/object-changes/?changed_object_type=ipam.ipaddress&limit=10", "")
	require.NoError(t, json.Unmarshal([]byte(text), &page))
	require.Equal(t, 4, page.Count)
	newest, update, create := page.Results[0], page.Results[1], page.Results[3]
	require.Equal(t, "delete", newest.Action.Value)
	require.Equal(t, "x", newest.Pre["description"])
	require.Empty(t, newest.Post)
	require.Nil(t, newest.ChangedThing)
	require.Equal(t, "why", update.Message)
	require.Equal(t, "", update.Pre["description"])
	require.Equal(t, "x", update.Post["description"])
	require.Equal(t, "robot", create.UserName)
	require.Equal(t, header.Get("X-Request-ID"), create.RequestID)
	_, text, _ = c.do("GET", fmt.Sprintf("/api/core/object-changes/?ordering=id&changed_object_id=%d&changed_object_type=ipam.ipaddress", rows[1].ID), "")
	require.NoError(t, json.Unmarshal([]byte(text), &page))
	require.Equal(t, 1, page.Count)
}

func TestChangesKept(t *testing.T) {
	s := New(Options{KeepChanges: 3})
	for i := range 10 {
		s.MustPOST(ipPath, map[string]any{"address": fmt.Sprintf("10.0.0.%d/24", i)})
	}
	require.Equal(t, 3, count(s, "/api/core/object-changes/"))
	require.EqualValues(t, 10, s.MustGET("/api/core/object-changes/?limit=1")["results"].([]any)[0].(map[string]any)["id"])
}

func TestTimes(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := New(Options{Now: func() time.Time { return now }})
	first := s.MustPOST(ipPath, map[string]any{"address": "10.0.0.1/24"})
	require.Equal(t, "2026-01-02T03:04:05Z", first["last_updated"])
	second := s.MustPOST(ipPath, map[string]any{"address": "10.0.0.2/24"})
	require.Greater(t, second["last_updated"], "2026-01-02T03:04:05.0", "no time is handed out twice")
	now = now.Add(time.Hour)
	require.Equal(t, "2026-01-02T04:04:05Z", s.MustPATCH(fmt.Sprintf("%s%v/", ipPath, first["id"]), map[string]any{"description": "x"})["last_updated"])
}

// TestManyAtOnce is for the race detector: writers take the same free hosts,
// readers page, and in the end every host is there once.
func TestManyAtOnce(t *testing.T) {
	s := withFields(V47)
	c := serve(t, s)
	p := s.MustPOST("/api/ipam/prefixes/", map[string]any{"prefix": "10.0.0.0/22"})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				status, text, _ := c.do("POST", fmt.Sprintf("/api/ipam/prefixes/%v/available-ips/", p["id"]), `[{},{}]`)
				if status != 201 {
					t.Errorf("%d %s", status, text)
				}
				c.do("GET", ipPath+"?cf_sync_owner=null&limit=10", "")
				s.Requests()
			}
		})
	}
	all.Wait()
	require.Equal(t, 320, count(s, ipPath))
	seen := map[string]bool{}
	for _, r := range askPage(t, s, "http://n"+ipPath+"?limit=1000").Results {
		require.False(t, seen[r.Address])
		seen[r.Address] = true
	}
}
