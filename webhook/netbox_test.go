package webhook

import (
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNetBoxBodies(t *testing.T) {
	for _, c := range []struct {
		file string
		call *Call // nil: nothing is asked for
	}{
		{"netbox-4.7.3-created.json", &Call{Kind: "netbox", Sources: []string{"lab"}, User: "admin", Detail: "ip address 198.51.100.77/24 (#1389) created by admin"}},
		{"netbox-4.7.3-updated.json", &Call{Kind: "netbox", Sources: []string{"lab", "other"}, User: "admin", Detail: "ip address 198.51.100.77/24 (#1389) updated by admin"}},
		{"netbox-4.7.3-deleted.json", &Call{Kind: "netbox", Sources: []string{"other"}, User: "admin", RequestID: "e402d107-5c64-463d-a402-a8b38fddfc10", Detail: "ip address 198.51.100.77/24 (#1389) deleted by admin"}},
		{"netbox-4.7.3-prefix.json", nil},
		{"netbox-4.2-updated.json", &Call{Kind: "netbox", Sources: []string{"lab"}, User: "alice", RequestID: "5c0e63ce-4e15-4f0a-8b3b-6d0a3f6f2a11", Detail: "ip address 198.51.100.78/24 (#12) updated by alice"}},
		{"netbox-3.7-updated.json", &Call{Kind: "netbox", Sources: []string{"lab"}, User: "alice", RequestID: "5c0e63ce-4e15-4f0a-8b3b-6d0a3f6f2a11", Detail: "ip address 198.51.100.78/24 (#12) updated by alice"}},
	} {
		t.Run(c.file, func(t *testing.T) {
			b := newBed(t, nil)
			r := b.hook(t, mustRead(t, "testdata/"+c.file))
			require.Equal(t, http.StatusAccepted, r.status, r.text)
			require.Equal(t, c.call != nil, r.json(t).Accepted)
			told := b.told()
			if c.call == nil {
				require.Empty(t, told)
				return
			}
			require.Len(t, told, 1)
			require.Len(t, told[0].RequestID, 36)
			if c.call.RequestID == "" {
				c.call.RequestID = told[0].RequestID
			}
			require.Equal(t, *c.call, told[0])
			require.Equal(t, c.call.Sources, r.json(t).Sources)
		})
	}
}

// body makes one in NetBox's form. before and after are members of a snapshot,
// "" for null.
func body(event, objectType, before, after string) string {
	snapshot := func(s string) string {
		if s == "" {
			return "null"
		}
		return "{" + s + "}"
	}
	data := after
	if data == "" {
		data = before
	}
	return fmt.Sprintf(`{"event":%q,"timestamp":"2026-11-21T16:51:15.9+00:00","object_type":%q,"data":{"id":7,%s},"request":{"id":"r","user":"u"},"snapshots":{"prechange":%s,"postchange":%s}}`,
		event, objectType, data, snapshot(before), snapshot(after))
}

func TestConcerns(t *testing.T) {
	const address, prefix = "ipam.ipaddress", "ipam.prefix"
	place := func(address, owner string) string {
		return fmt.Sprintf(`"address":%q,"vrf":null,"role":null,"custom_fields":{"sync_owner":%s,"reserve_at":null}`, address, owner)
	}
	all := []string{"all"}
	for _, c := range []struct {
		name, body string
		want       []string
	}{
		{"taken from us", body("updated", address, place("192.0.2.1/24", `"dc1/lab"`), place("192.0.2.1/24", "null")), []string{"lab"}},
		{"given to us", body("updated", address, place("192.0.2.1/24", "null"), place("192.0.2.1/24", `"dc1/edge"`)), []string{"edge"}},
		{"ours, to another installation", body("updated", address, place("192.0.2.1/24", `"dc1/edge"`), place("192.0.2.1/24", `"dc2/edge"`)), []string{"edge"}},
		{"ours, deleted", body("deleted", prefix, `"prefix":"192.0.2.0/24","custom_fields":{"sync_owner":"dc1/lab"}`, ""), []string{"lab"}},
		{"reserved", body("updated", address, place("192.0.2.1/24", "null"), `"address":"192.0.2.1/24","custom_fields":{"sync_owner":null,"reserve_at":"dc1/lab"}`), []string{"lab"}},
		{"no longer reserved", body("updated", address, `"address":"192.0.2.1/24","custom_fields":{"reserve_at":"dc1/lab"}`, place("192.0.2.1/24", "null")), []string{"lab"}},
		{"order of the configuration", body("updated", address, place("192.0.2.1/24", `"dc1/other"`), place("192.0.2.1/24", `"dc1/lab"`)), []string{"lab", "other"}},

		{"nobody's, deleted", body("deleted", address, place("192.0.2.1/24", "null"), ""), all},
		{"another installation's of the same name, deleted", body("deleted", address, place("192.0.2.1/24", `"dc2/lab"`), ""), all},
		{"a source's that is gone, deleted", body("deleted", address, place("192.0.2.1/24", `"dc1/gone"`), ""), all},
		{"nobody's, created", body("created", address, "", place("192.0.2.1/24", "null")), nil},
		{"nobody's, renamed", body("updated", address, place("192.0.2.1/24", "null")+`,"dns_name":"a"`, place("192.0.2.1/24", "null")+`,"dns_name":"b"`), nil},
		{"nobody's, moved", body("updated", address, place("192.0.2.1/24", "null"), place("192.0.2.2/24", "null")), all},
		{"nobody's, to another VRF", body("updated", address, `"address":"192.0.2.1/24","vrf":null`, `"address":"192.0.2.1/24","vrf":3`), all},
		{"nobody's, another role", body("updated", address, `"address":"192.0.2.1/24","role":null`, `"address":"192.0.2.1/24","role":"anycast"`), all},
		{"prefix of nobody, moved", body("updated", prefix, `"prefix":"192.0.2.0/24"`, `"prefix":"192.0.2.0/25"`), all},
		{"a foreign owner lets go", body("updated", address, place("192.0.2.1/24", `"dc2/lab"`), place("192.0.2.1/24", "null")), all},
		{"no snapshots", body("updated", address, "", place("192.0.2.1/24", "null")), all},
		{"fields of other types", body("updated", address, `"address":"192.0.2.1/24","custom_fields":{"sync_owner":{"value":"dc1/lab"}}`, `"address":"192.0.2.1/24","custom_fields":{"sync_owner":["dc1/lab"]}`), nil},

		{"another type", body("deleted", "dcim.site", `"custom_fields":{"sync_owner":"dc1/lab"}`, ""), nil},
		{"a job, with data of its own", `{"event":"job_ended","timestamp":"2026-11-21T16:51:15+00:00","object_type":"core.job","data":["x"],"snapshots":7}`, nil},
		{"another app's prefix", body("deleted", "plugin.prefix", `"custom_fields":{"sync_owner":"dc1/lab"}`, ""), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, nil)
			r := b.hook(t, c.body)
			require.Equal(t, http.StatusAccepted, r.status, r.text)
			told := b.told()
			switch {
			case c.want == nil:
				require.Empty(t, told)
				require.NotEmpty(t, r.json(t).Reason)
				require.False(t, r.json(t).Accepted)
			case c.want[0] == "all":
				require.Len(t, told, 1)
				require.Empty(t, told[0].Sources)
				require.Contains(t, told[0].Detail, "the row is of no source here")
				require.Equal(t, []string{"lab", "edge", "other"}, r.json(t).Sources)
			default:
				require.Len(t, told, 1)
				require.Equal(t, c.want, told[0].Sources)
			}
		})
	}
}

func TestNetBoxSignature(t *testing.T) {
	body := mustRead(t, "testdata/netbox-4.7.3-updated.json")
	right := sign(sha512.New, netboxSecret, body)
	for _, c := range []struct {
		name    string
		headers []string
	}{
		{"missing", nil},
		{"empty", []string{headerNetBox, ""}},
		{"another secret", []string{headerNetBox, sign(sha512.New, resyncSecret, body)}},
		{"another body", []string{headerNetBox, sign(sha512.New, netboxSecret, body+" ")}},
		{"empty secret", []string{headerNetBox, sign(sha512.New, "", body)}},
		{"cut", []string{headerNetBox, right[:64]}},
		{"longer", []string{headerNetBox, right + "00"}},
		{"one digit off", []string{headerNetBox, strings.Map(func(r rune) rune {
			if r == 'f' {
				return 'e'
			}
			return r
		}, right)}},
		{"no hex", []string{headerNetBox, strings.Repeat("z", 128)}},
		{"sha256", []string{headerNetBox, sign(sha256.New, netboxSecret, body)}},
		{"twice", []string{headerNetBox, right, headerNetBox, right}},
		{"another header", []string{headerPlain, right}},
		{"the token", []string{"Authorization", "Bearer " + resyncToken}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, nil)
			r := b.send(t, http.MethodPost, "/hooks/netbox", body, c.headers...)
			require.Equal(t, http.StatusUnauthorized, r.status)
			require.Equal(t, "X-Hook-Signature is missing or wrong", r.json(t).Error)
			require.Empty(t, r.json(t).Sources)
			require.Empty(t, b.told())
			require.Contains(t, b.log.String(), "hook refused")
		})
	}
	t.Run("capitals", func(t *testing.T) {
		b := newBed(t, nil)
		require.Equal(t, http.StatusAccepted, b.send(t, http.MethodPost, "/hooks/netbox", body, headerNetBox, strings.ToUpper(right)).status)
	})
}

// A body that came is not taken again while its own timestamp would let it in.
func TestNetBoxReplay(t *testing.T) {
	b := newBed(t, nil)
	body := mustRead(t, "testdata/netbox-4.7.3-updated.json")
	require.True(t, b.hook(t, body).json(t).Accepted)
	for _, later := range []time.Duration{0, 5 * time.Minute, 23 * time.Hour} {
		b.pass(later)
		r := b.hook(t, body)
		require.Equal(t, http.StatusAccepted, r.status, "NetBox's queue would count anything else as a failure")
		require.False(t, r.json(t).Accepted)
	}
	b.pass(time.Hour)
	r := b.hook(t, body)
	require.Equal(t, http.StatusUnauthorized, r.status)
	require.Contains(t, r.json(t).Error, "timestamp")
	require.Len(t, b.told(), 1)
}

func TestNetBoxClockAhead(t *testing.T) {
	b := newBed(t, nil)
	body := mustRead(t, "testdata/netbox-4.7.3-updated.json")
	b.pass(-23 * time.Hour)
	require.True(t, b.hook(t, body).json(t).Accepted)
	b.pass(40 * time.Hour) // 17 hours after the timestamp: still within the window, and remembered
	require.False(t, b.hook(t, body).json(t).Accepted)
	require.Len(t, b.told(), 1)
}

func TestNetBoxRefusals(t *testing.T) {
	b := newBed(t, nil)
	for _, c := range []struct {
		name, body string
		status     int
		says       string
	}{
		{"empty", "", 400, "body template"},
		{"no JSON", "event=updated", 400, "body template"},
		{"a list", "[]", 400, "body template"},
		{"null", "null", 400, "body template"},
		{"no event", `{"object_type":"ipam.prefix","timestamp":"2026-11-21T16:51:15+00:00"}`, 400, "body template"},
		{"no type", `{"event":"updated","timestamp":"2026-11-21T16:51:15+00:00"}`, 400, "body template"},
		{"no timestamp", `{"event":"updated","object_type":"ipam.prefix"}`, 400, "no timestamp"},
		{"data of another form", `{"event":"updated","timestamp":"2026-11-21T16:51:15+00:00","object_type":"ipam.prefix","data":["x"]}`, 400, "body template"},
		{"two values", body("created", "ipam.prefix", "", `"prefix":"10.0.0.0/8"`) + "{}", 400, "body template"},
		{"too large", strings.Repeat(" ", 1<<20+1), 413, "too large"},
	} {
		r := b.hook(t, c.body)
		require.Equal(t, c.status, r.status, c.name)
		require.Contains(t, r.json(t).Error, c.says, c.name)
	}
	full := body("deleted", "ipam.prefix", `"prefix":"10.0.0.0/8"`, "")
	full += strings.Repeat(" ", 1<<20-len(full))
	require.Equal(t, http.StatusAccepted, b.hook(t, full).status, "just within the limit")
	require.Len(t, b.told(), 1)
}

// Foreign text makes neither a second line nor a long one.
func TestForeignText(t *testing.T) {
	b := newBed(t, nil)
	text := fmt.Sprintf(`{"event":"updated\u001b[31m","timestamp":"2026-11-21T16:51:15+00:00","object_type":"ipam.ipaddress","data":{"id":"1; x","address":"1\n2\u202e","custom_fields":{"sync_owner":"dc1/lab"}},"request":{"id":"a\u0000b","user":%q}}`, strings.Repeat("ü", 100_000))
	require.Equal(t, http.StatusAccepted, b.hook(t, text).status)
	told := b.told()
	require.Len(t, told, 1)
	require.Less(t, len(told[0].Detail), 1500)
	for _, s := range []string{told[0].Detail, told[0].User, told[0].RequestID} {
		require.NotContains(t, s, "\n")
		require.NotContains(t, s, "\x1b")
		require.NotContains(t, s, "\u202e")
		require.NotContains(t, s, "\x00")
	}
	require.NotContains(t, told[0].Detail, "#", "an ID is a number")
}
