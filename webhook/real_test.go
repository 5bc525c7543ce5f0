package webhook

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/netbox"
)

// real is a NetBox to test against, with its queue's worker.
type real struct {
	url, token string
	request    string // ID of the last request
}

func newReal(t testing.TB) *real {
	t.Helper()
	n := &real{url: os.Getenv("ALLOCSYNC_TEST_NETBOX_URL"), token: os.Getenv("ALLOCSYNC_TEST_NETBOX_TOKEN")}
	if n.url != "" && n.token != "" {
		return n
	}
	const why = "ALLOCSYNC_TEST_NETBOX_URL and ALLOCSYNC_TEST_NETBOX_TOKEN are not set"
	if slices.Contains(strings.Split(os.Getenv("MUST_RUN"), ","), "netbox") {
		t.Fatal(why + ", and MUST_RUN names netbox")
	}
	t.Skip(why)
	return nil
}

// do sends v and returns the answer's ID.
func (n *real) do(t testing.TB, method, path string, v any) int {
	t.Helper()
	var body bytes.Buffer
	if v != nil {
		require.NoError(t, json.NewEncoder(&body).Encode(v))
	}
	request, err := http.NewRequest(method, n.url+"/api/"+path, &body)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Token "+n.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Less(t, response.StatusCode, 300, "%s %s: %s", method, path, text)
	n.request = response.Header.Get("X-Request-ID")
	var out struct{ ID int }
	if len(text) > 0 {
		require.NoError(t, json.Unmarshal(text, &out))
	}
	return out.ID
}

// make makes an object that is gone when the test ends.
func (n *real) make(t testing.TB, path string, v any) int {
	t.Helper()
	id := n.do(t, http.MethodPost, path, v)
	t.Cleanup(func() {
		request, err := http.NewRequest(http.MethodDelete, fmt.Sprintf("%s/api/%s%d/", n.url, path, id), nil)
		require.NoError(t, err)
		request.Header.Set("Authorization", "Token "+n.token)
		if response, err := http.DefaultClient.Do(request); err == nil {
			response.Body.Close()
		}
	})
	return id
}

// fields makes the custom fields that are missing, as allocsync setup does, and
// leaves them: other tests want them too.
func (n *real) fields(t testing.TB) {
	t.Helper()
	c, err := netbox.Open(netbox.Options{URL: n.url, Token: netbox.Token(n.token)})
	require.NoError(t, err)
	_, err = c.Setup(context.Background(), false)
	require.NoError(t, err)
}

// A real NetBox's hooks are taken, name the right sources, and carry the ID of
// the request that made the change.
func TestRealNetBox(t *testing.T) {
	n := newReal(t)
	n.fields(t)
	installation := "hooks-" + strings.ToLower(rand.Text()[:8])
	b := newBed(t, func(o *Options) { o.Installation, o.Now = installation, nil })
	hook := n.make(t, "extras/webhooks/", map[string]any{"name": installation, "payload_url": b.url + "/hooks/netbox", "secret": netboxSecret})
	n.make(t, "extras/event-rules/", map[string]any{
		"name": installation, "object_types": []string{"ipam.ipaddress", "ipam.prefix"},
		"event_types": []string{"object_created", "object_updated", "object_deleted"},
		"action_type": "webhook", "action_object_type": "extras.webhook", "action_object_id": hook,
	})
	// Others work on the same NetBox: theirs are left out by the request's ID.
	expect := func(sources []string, detail string) {
		t.Helper()
		var call Call
		require.Eventually(t, func() bool {
			for _, c := range b.told() {
				if c.RequestID == n.request {
					call = c
					return true
				}
			}
			return false
		}, 30*time.Second, 20*time.Millisecond, "%s: %s", n.request, b.log.String())
		require.Equal(t, sources, call.Sources)
		require.Contains(t, call.Detail, detail)
		require.NotEmpty(t, call.User)
	}
	owner := func(source string) map[string]any {
		return map[string]any{"custom_fields": map[string]any{"sync_owner": installation + "/" + source}}
	}
	vrf := n.make(t, "ipam/vrfs/", map[string]any{"name": installation})
	fields := owner("lab")
	fields["address"], fields["vrf"] = "198.51.100.9/24", vrf
	id := n.make(t, "ipam/ip-addresses/", fields)
	expect([]string{"lab"}, fmt.Sprintf("ip address 198.51.100.9/24 (#%d) created by", id))
	path := fmt.Sprintf("ipam/ip-addresses/%d/", id)
	n.do(t, http.MethodPatch, path, map[string]any{"dns_name": "x.example.org"})
	expect([]string{"lab"}, "updated by")
	n.do(t, http.MethodPatch, path, owner("edge"))
	expect([]string{"lab", "edge"}, "updated by")
	n.do(t, http.MethodPatch, path, map[string]any{"custom_fields": map[string]any{"sync_owner": nil, "reserve_at": installation + "/other"}})
	expect([]string{"edge", "other"}, "updated by")
	n.do(t, http.MethodPatch, path, map[string]any{"custom_fields": map[string]any{"reserve_at": nil}})
	expect([]string{"other"}, "updated by")
	n.do(t, http.MethodPatch, path, map[string]any{"address": "198.51.100.10/24"})
	expect(nil, "no source here")
	n.do(t, http.MethodDelete, path, nil)
	expect(nil, "deleted by")
}
