package e2e_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func signature(h func() hash.Hash, secret, body string) string {
	mac := hmac.New(h, []byte(secret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// hookBody is what NetBox posts when somebody edited a row of the world's
// source lab, one of its own for each n.
func (w *world) hookBody(n int) string {
	return fmt.Sprintf(`{"event":"updated","timestamp":%q,"object_type":"ipam.ipaddress","model":"ipaddress","username":"alice",`+
		`"request":{"id":"00000000-0000-4000-8000-%012d","method":"PATCH","user":"alice"},`+
		`"data":{"id":%d,"address":"10.81.3.1/16","custom_fields":{"sync_owner":%q}},"snapshots":{"prechange":null,"postchange":null}}`,
		time.Now().UTC().Format(time.RFC3339Nano), n, n, w.owner("lab"))
}

func (d *daemon) netboxHook(body, signed string) answer {
	d.world.Helper()
	return d.do(http.MethodPost, "/hooks/netbox", body, "Content-Type", "application/json", "X-Hook-Signature", signed)
}

// Who cannot sign makes no pass; who sends again what was signed once makes no
// second one.
func TestServeHooks(t *testing.T) {
	w := newWorld(t)
	a, b := newLXD(t, append(instances(3), br0())...), newLXD(t, instance("x", "10.81.9.1"))
	k := w.served([]string{source("lab", a.socket), source("edge", b.socket)})
	d := w.mustServe(k)
	require.Equal(t, "applied", d.mustPass(1).Outcome)

	body := w.hookBody(1)
	right := signature(sha512.New, k.hook, body)
	for name, forged := range map[string]string{
		"none": "", "of another secret": signature(sha512.New, k.resyncSecret, body), "of another body": signature(sha512.New, k.hook, body+" "),
		"of another hash": signature(sha256.New, k.hook, body), "in another form": "sha512=" + right,
	} {
		got := d.netboxHook(body, forged)
		require.Equal(t, http.StatusUnauthorized, got.code, "%s: %s", name, got.text)
		require.Contains(t, got.header.Get("Content-Type"), "application/json")
	}
	for _, headers := range [][]string{
		nil, {"Authorization", "Bearer " + k.page}, {"X-Hub-Signature-256", "sha256=" + signature(sha256.New, k.hook, "")},
	} {
		require.Equal(t, http.StatusUnauthorized, d.do(http.MethodPost, "/hooks/resync", "", headers...).code)
	}
	require.Equal(t, http.StatusMethodNotAllowed, d.do(http.MethodGet, "/hooks/resync", "").code)
	require.Equal(t, http.StatusRequestEntityTooLarge, d.netboxHook(strings.Repeat("x", 2<<20), right).code)
	d.quiet(1, 1500*time.Millisecond)

	got := d.netboxHook(body, right)
	require.Equal(t, http.StatusAccepted, got.code, got.text)
	require.Contains(t, d.mustPass(2).Trigger, "updated by alice")
	got = d.netboxHook(body, right)
	require.Equal(t, http.StatusAccepted, got.code, "NetBox would count anything else as a failure: %s", got.text)
	require.Contains(t, got.text, "taken before")
	d.quiet(2, 1500*time.Millisecond)

	// The other hook: by token, narrowed, and by a signature as GitHub sends it.
	a.lists(append(instances(4), br0())...)
	b.lists(instance("x", "10.81.9.1"), instance("y", "10.81.9.2"))
	before := w.rows()
	require.Equal(t, http.StatusBadRequest, d.do(http.MethodPost, "/hooks/resync?source=nowhere", "", "Authorization", "Bearer "+k.resyncToken).code)
	got = d.do(http.MethodPost, "/hooks/resync?source=edge", "", "Authorization", "Bearer "+k.resyncToken)
	require.Equal(t, http.StatusAccepted, got.code, got.text)
	require.JSONEq(t, `{"accepted":true,"sources":["edge"]}`, got.text)
	d.mustPass(3)
	require.Len(t, w.rows(), len(before)+1, "lab was not read")
	require.Len(t, w.rows().of(w.owner("edge")), 2)

	body = `{"zen": "Anything added dilutes everything else."}`
	signed := []string{"X-Hub-Signature-256", "sha256=" + signature(sha256.New, k.resyncSecret, body)}
	require.Equal(t, http.StatusUnauthorized, d.do(http.MethodPost, "/hooks/resync", body+"x", signed...).code)
	require.Equal(t, http.StatusAccepted, d.do(http.MethodPost, "/hooks/resync", body, signed...).code)
	d.mustPass(4)
	require.Len(t, w.rows(), len(before)+2)
	require.Equal(t, http.StatusConflict, d.do(http.MethodPost, "/hooks/resync", body, signed...).code)
	d.quiet(4, time.Second)
	d.mustStayInStep()
}

// memory is how much of the machine's memory the program uses, in MiB.
func (d *daemon) memory() float64 {
	d.world.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	require.NoError(d.world, err)
	for line := range strings.Lines(string(status)) {
		if words := strings.Fields(line); len(words) == 3 && words[0] == "VmRSS:" {
			kib, err := strconv.ParseFloat(words[1], 64)
			require.NoError(d.world, err)
			return kib / 1024
		}
	}
	d.world.Fatal("no VmRSS")
	return 0
}

// A thousand signed webhooks in ten seconds are a handful of passes, and need
// no memory.
func TestServeFlood(t *testing.T) {
	const hooks, during, room, handful = 1000, 10 * time.Second, 40.0, 6 // a pass every two seconds
	w := newWorld(t)
	k := w.served([]string{source("lab", newLXD(t, append(instances(20), br0())...).socket)})
	d := w.mustServe(k)
	d.mustPass(1)
	for n := range 20 { // what is made at the first hooks exists afterwards
		body := w.hookBody(n)
		require.Equal(t, http.StatusAccepted, d.netboxHook(body, signature(sha512.New, k.hook, body)).code)
	}
	d.mustPass(2)
	before, passes := d.memory(), len(d.passes())

	begun := time.Now()
	for n := range hooks {
		time.Sleep(time.Until(begun.Add(time.Duration(n) * during / hooks)))
		body := w.hookBody(1000 + n)
		got := d.netboxHook(body, signature(sha512.New, k.hook, body))
		require.Equal(t, http.StatusAccepted, got.code, got.text)
	}
	took, last := time.Since(begun), len(d.passes())
	mustBecome(t, 30*time.Second, "a pass after the last hook", func() bool { return len(d.passes()) > last })
	time.Sleep(3 * time.Second)
	after := d.memory()
	t.Logf("%d hooks in %.1f s: %d passes; memory %.1f MiB before, %.1f MiB after", hooks, took.Seconds(), len(d.passes())-passes, before, after)
	require.Less(t, after-before, room)
	require.LessOrEqual(t, len(d.passes())-passes, handful)
	for _, p := range d.passes()[1:] {
		require.Equal(t, "in step", p.Outcome)
	}
	require.Less(t, len(d.stderr.String()), 100_000, "the log does not grow with them either")
	d.mustStop()
}
