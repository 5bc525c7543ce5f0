package netbox

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/netbox/netboxtest"
)

// newBare starts an embedded NetBox without custom fields.
func newBare(t testing.TB, v netboxtest.Version) *bed {
	t.Helper()
	server := netboxtest.New(netboxtest.Options{Version: v})
	web := httptest.NewServer(server)
	t.Cleanup(web.Close)
	return &bed{client: mustOpen(t, Options{URL: web.URL, Token: "demo"}), embedded: server, version: v, run: "bare"}
}

func actions(steps []Step) string {
	var out []string
	for _, step := range steps {
		out = append(out, step.Action+" "+step.Field)
	}
	return strings.Join(out, ", ")
}

func TestSetup(t *testing.T) {
	const all = "create used_by, create sync_owner, create sync_type, create hwaddr, create gone_since, create reserve_at"
	for _, v := range []netboxtest.Version{netboxtest.V37, netboxtest.V42, netboxtest.V47} {
		t.Run(string(v), func(t *testing.T) {
			b := newBare(t, v)
			_, err := b.client.Prepare(t.Context(), Refs{})
			require.ErrorIs(t, err, ErrFields)
			require.ErrorContains(t, err, "custom field used_by on ipam.prefix and ipam.ipaddress is missing: run `allocsync setup`")

			dry := b.requests(func() {
				steps, err := b.client.Setup(t.Context(), true)
				require.NoError(t, err)
				require.Equal(t, all, actions(steps))
			})
			require.Zero(t, dry.Writes)
			steps, err := b.client.Setup(t.Context(), false)
			require.NoError(t, err)
			require.Equal(t, all, actions(steps))
			made := b.embedded.MustGET("/api/extras/custom-fields/?name=sync_owner")["results"].([]any)[0].(map[string]any)
			require.Equal(t, "Allocation sync", made["group_name"])
			require.Equal(t, "Sync owner", made["label"])
			require.LessOrEqual(t, len(made["description"].(string)), 200)

			again := b.requests(func() {
				steps, err = b.client.Setup(t.Context(), false)
				require.NoError(t, err)
			})
			require.Equal(t, strings.ReplaceAll(all, "create", "keep"), actions(steps))
			require.Zero(t, again.Writes)
			b.mustPrepare(t, Refs{Deprecate: true, Reservable: true})
		})
	}
}

// A field of ours that somebody put on other object types is extended, and
// keeps those.
func TestSetupExtends(t *testing.T) {
	for _, v := range []netboxtest.Version{netboxtest.V37, netboxtest.V47} {
		b := newBare(t, v)
		key := Version{Major: int(v[0] - '0')}.objectTypes()
		b.embedded.MustPOST(fieldsPath, map[string]any{"name": "used_by", "type": "text", "filter_logic": "exact", key: []string{"ipam.vrf", "ipam.prefix"}})
		_, err := b.client.Prepare(t.Context(), Refs{})
		require.ErrorContains(t, err, "custom field used_by is not on ipam.ipaddress: run `allocsync setup`")
		steps, err := b.client.Setup(t.Context(), false)
		require.NoError(t, err)
		require.Equal(t, Step{Field: "used_by", Action: "extend", Detail: "to ipam.ipaddress"}, steps[0])
		fields, err := b.client.existingFields(t.Context())
		require.NoError(t, err)
		require.ElementsMatch(t, []string{"ipam.vrf", "ipam.prefix", "ipam.ipaddress"}, fields["used_by"].on())
		b.mustPrepare(t, Refs{})
	}
}

// A field that was made for something else stops setup before it writes.
func TestSetupRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		body map[string]any
		want string
	}{
		"type":   {map[string]any{"type": "integer", "filter_logic": "exact"}, "has type integer, not text"},
		"filter": {map[string]any{"type": "text", "filter_logic": "loose"}, "has filter logic loose: set it to exact"},
		"off":    {map[string]any{"type": "text", "filter_logic": "disabled"}, "has filter logic disabled: set it to exact"},
		"unique": {map[string]any{"type": "text", "filter_logic": "exact", "unique": true}, "demands unique values"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBare(t, netboxtest.V47)
			c.body["name"], c.body["object_types"] = "gone_since", []string{"ipam.prefix", "ipam.ipaddress"}
			b.embedded.MustPOST(fieldsPath, c.body)
			n := b.requests(func() {
				_, err := b.client.Setup(t.Context(), false)
				require.ErrorIs(t, err, ErrFields)
				require.ErrorContains(t, err, c.want)
			})
			require.Zero(t, n.Writes)
		})
	}
	wrong := customField{name: "used_by"}.wrong(existingField{Type: choice{"text"}, FilterLogic: choice{"exact"}, Status: choice{"deleting"}})
	require.Contains(t, wrong, "is in state deleting")
}

// A field that a pass does not need may be missing, or be somebody else's.
func TestFieldsThatAreNotNeeded(t *testing.T) {
	b := newBare(t, netboxtest.V47)
	for _, f := range customFields()[:4] {
		b.embedded.MustPOST(fieldsPath, map[string]any{"name": f.name, "type": "text", "filter_logic": "exact", "object_types": f.on})
	}
	b.embedded.MustPOST(fieldsPath, map[string]any{"name": "reserve_at", "type": "integer", "object_types": []string{addressType}})
	s := b.mustPrepare(t, Refs{})
	b.embedded.MustPOST("/api/ipam/ip-addresses/", map[string]any{"address": "10.0.0.1/24", "custom_fields": map[string]any{"sync_owner": b.owner(), "reserve_at": 7}})
	own, err := s.Owned(t.Context(), []string{b.owner()})
	require.NoError(t, err)
	require.Len(t, own, 1)
	_, err = b.client.Prepare(t.Context(), Refs{Reservable: true, Deprecate: true})
	require.ErrorContains(t, err, "custom field gone_since on ipam.prefix and ipam.ipaddress is missing")
	require.ErrorContains(t, err, "custom field reserve_at has type integer")
}

// Check tells the truth about every right, and writes nothing.
func TestCheck(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		for _, finding := range b.client.Check(t.Context(), "dc1") {
			require.True(t, finding.OK, "%+v", finding)
			require.Empty(t, finding.Fix)
		}
		if b.embedded == nil {
			return
		}
		text := func(token string, p netboxtest.Permissions) string {
			b.embedded.AddToken(token, p)
			c := mustOpen(t, Options{URL: b.client.base, Token: Token(token)})
			var bad []string
			for _, finding := range c.Check(t.Context(), "dc1") {
				if !finding.OK {
					require.NotEmpty(t, finding.Fix)
					bad = append(bad, finding.Text+" | "+finding.Fix)
				}
			}
			return strings.Join(bad, "\n")
		}
		require.Empty(t, text("11111111aa", netboxtest.Permissions{View: true, Write: []netboxtest.Constraint{{Field: "sync_owner", Prefix: "dc1/"}}}))
		readOnly := text("22222222aa", netboxtest.Permissions{View: true})
		require.Contains(t, readOnly, "may not add, change, delete prefixes")
		require.Contains(t, readOnly, "may not add, change, delete addresses")
		require.Contains(t, readOnly, `{"custom_field_data__sync_owner__startswith":"dc1/"}`)
		blind := text("33333333aa", netboxtest.Permissions{})
		require.Contains(t, blind, "may not view ipam.prefix, ipam.ipaddress, ipam.vrf, ipam.role, tenancy.tenant, extras.tag, extras.customfield")
		for _, request := range b.embedded.Requests() {
			if request.Method != http.MethodGet {
				require.Zero(t, request.Rows, "%+v", request)
			}
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		findings := mustOpen(t, Options{URL: "http://127.0.0.1:1", Token: "t", Retries: -1}).Check(t.Context(), "dc1")
		require.Len(t, findings, 1)
		require.False(t, findings[0].OK)
	})
	t.Run("the way", func(t *testing.T) {
		require.Contains(t, mustOpen(t, Options{URL: "http://nb.example", Token: "t"}).checkWay()[0].Text, "unencrypted")
		require.Contains(t, mustOpen(t, Options{URL: "https://nb.example", Token: "t", TLSSkipVerify: true}).checkWay()[0].Text, "not checked")
		require.Empty(t, mustOpen(t, Options{URL: "http://[::1]:80", Token: "t"}).checkWay())
	})
	require.True(t, json.Valid([]byte(constraint(`d"c1`, ipam.OwnerField))), "a constraint can be pasted into NetBox")
}
