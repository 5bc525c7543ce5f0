package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	maasd "allocsync/fixtures/maas"
	"allocsync/ipam"
	"allocsync/netbox"
	"allocsync/netbox/netboxtest"
)

const (
	newMAC  = "52:54:00:00:03:14" // of new-1, on subnet 3
	strange = "52:54:00:00:bb:01" // nobody at MAAS has these
	odd     = "52:54:00:00:bb:02"
)

// wants makes a row that asks the source, and returns its ID.
func (w *faultWorld) wants(address string, custom map[string]any, more ...string) int {
	w.Helper()
	fields := map[string]any{"reserve_at": "dc1/maas"}
	for k, v := range custom {
		fields[k] = v
	}
	body := map[string]any{"address": address, "status": "reserved", "custom_fields": fields}
	if len(more) > 0 {
		body["role"] = more[0]
	}
	var made struct{ ID int }
	w.call("POST", "/api/ipam/ip-addresses/", body, &made)
	return made.ID
}

func rowPath(id int) string { return fmt.Sprintf("/api/ipam/ip-addresses/%d/", id) }

// heldList is all that MAAS holds of an address.
func (w *faultWorld) heldList(address string) []string {
	var list []string
	for _, h := range w.region.Held() {
		if h.IP.String() == address {
			list = append(list, h.String())
		}
	}
	return list
}

// rowsOf are the rows of NetBox of an address.
func (w *faultWorld) rowsOf(address string) []netboxRow {
	return slices.DeleteFunc(w.list(), func(r netboxRow) bool { return !strings.HasPrefix(r.Address, address+"/") })
}

// written counts the writes at MAAS since the last Forget.
func (w *faultWorld) written() []string {
	var list []string
	for _, r := range w.region.Writes() {
		list = append(list, fmt.Sprintf("%+v", r))
	}
	w.region.Forget()
	return list
}

// newOne is the path of the interface of new-1.
func (w *faultWorld) newOne() string {
	w.Helper()
	_, body := w.region.Do(maasd.Admin, "GET", "machines/", nil)
	var list []struct {
		ID       string `json:"system_id"`
		Hostname string
		NICs     []struct{ ID int } `json:"interface_set"`
	}
	require.NoError(w, json.Unmarshal(body, &list))
	for _, m := range list {
		if m.Hostname == "new-1" {
			return fmt.Sprintf("nodes/%s/interfaces/%d/", m.ID, m.NICs[0].ID)
		}
	}
	w.Fatal("no new-1")
	return ""
}

// personLinks has a person link an address to new-1.
func (w *faultWorld) personLinks(address string) {
	w.Helper()
	status, body := w.region.Do(maasd.Admin, "POST", w.newOne()+"?op=link_subnet", url.Values{"mode": {"STATIC"}, "subnet": {"3"}, "ip_address": {address}})
	require.Equal(w, http.StatusOK, status, "%s", body)
}

func (w *faultWorld) personUnlinks(address string) {
	w.Helper()
	_, body := w.region.Do(maasd.Admin, "GET", w.newOne(), nil)
	var nic struct {
		Links []struct {
			ID int
			IP string `json:"ip_address"`
		}
	}
	require.NoError(w, json.Unmarshal(body, &nic))
	for _, l := range nic.Links {
		if l.IP == address {
			status, text := w.region.Do(maasd.Admin, "POST", w.newOne()+"?op=unlink_subnet", url.Values{"id": {fmt.Sprint(l.ID)}})
			require.Equal(w, http.StatusOK, status, "%s", text)
		}
	}
}

func (w *faultWorld) journal(row int) []string {
	var list struct{ Results []struct{ Comments string } }
	w.call("GET", fmt.Sprintf("/api/extras/journal-entries/?assigned_object_id=%d", row), nil, &list)
	var texts []string
	for _, r := range list.Results {
		texts = append(texts, r.Comments)
	}
	return texts
}

// A machine's static link that a person made at an address that was
// reserved from here for the machine's MAC counts as ours, and is taken away.
func TestPromiseLinkOfAPersonBesideReservedIP(t *testing.T) {
	w := newFaultWorld(t, 0)
	row := w.wants("172.16.3.70/24", map[string]any{"hwaddr": newMAC})
	w.must(exitInStep, "sync")
	require.Len(t, w.heldList("172.16.3.70"), 1)
	w.personLinks("172.16.3.70")
	before := w.heldList("172.16.3.70")
	require.Len(t, before, 2)
	o := w.run("sync")
	require.Equal(t, before, w.heldList("172.16.3.70"), "the row still asks, and nobody changed it\n%s", o.stdout)
	w.call("DELETE", rowPath(row), nil, nil)
	o = w.run("sync")
	require.Contains(t, fmt.Sprint(w.heldList("172.16.3.70")), "new-1", "the person's link is gone\n%s", o.stdout)
}

func TestPromiseLinkOfAPersonInPlaceOfReservedIP(t *testing.T) {
	w := newFaultWorld(t, 0)
	row := w.wants("172.16.3.70/24", map[string]any{"hwaddr": newMAC})
	w.must(exitInStep, "sync")
	for _, h := range w.region.Held() {
		if h.IP.String() == "172.16.3.70" {
			w.end(h)
		}
	}
	w.personLinks("172.16.3.70")
	w.must(exitInStep, "sync")
	w.call("DELETE", rowPath(row), nil, nil)
	o := w.run("sync")
	require.Contains(t, fmt.Sprint(w.heldList("172.16.3.70")), "new-1", "the person's link is gone\n%s", o.stdout)
}

// Two rows of one address (VIPs) that ask for different users.
func TestPromiseTwoRowsPlanAndDeed(t *testing.T) {
	w := newFaultWorld(t, 0)
	w.wants("172.16.1.60/24", map[string]any{"hwaddr": strange}, "vip")
	w.wants("172.16.1.60/24", map[string]any{"hwaddr": odd}, "vip")
	dry := w.run("sync", "--dry-run").stdout
	w.run("sync")
	held := fmt.Sprint(w.heldList("172.16.1.60"))
	t.Log(dry, held)
	says := strange
	if !strings.Contains(strings.Split(dry, "would hold")[0], strange) {
		says = odd
	}
	require.Contains(t, held, says, "the dry run said otherwise\n%s", dry)
}

func TestPromiseTwoRowsRest(t *testing.T) {
	for _, macs := range [][2]string{{strange, odd}, {odd, strange}} {
		t.Run(macs[0], func(t *testing.T) {
			w := newFaultWorld(t, 0)
			w.wants("172.16.1.60/24", map[string]any{"hwaddr": macs[0]}, "vip")
			w.run("sync")
			w.wants("172.16.1.60/24", map[string]any{"hwaddr": macs[1]}, "vip")
			w.run("sync")
			for range 4 {
				w.region.Forget()
				o := w.run("sync")
				t.Log(w.heldList("172.16.1.60"))
				require.Empty(t, w.written(), o.stdout)
			}
		})
	}
}

// A row of another owner at the same place as one that asks.
func TestPromiseRowOfAnotherOwner(t *testing.T) {
	w := newFaultWorld(t, 0)
	w.wants("172.16.1.60/24", map[string]any{"hwaddr": strange}, "vip")
	w.wants("172.16.1.60/24", map[string]any{"hwaddr": odd, "sync_owner": "dc9/lab", "sync_type": "x"}, "vip")
	dry := w.run("sync", "--dry-run").stdout
	o := w.run("sync")
	t.Log(w.heldList("172.16.1.60"), o.stdout)
	require.Contains(t, fmt.Sprint(w.heldList("172.16.1.60")), strange, dry)
	require.NotContains(t, fmt.Sprint(w.heldList("172.16.1.60")), odd, "that row is somebody else's\n%s\n%s", dry, o.stdout)
}

// An owned row that asks and goes in the same plan.
func TestPromiseOwnedRowGoes(t *testing.T) {
	w := newFaultWorld(t, 0)
	status, _ := w.region.Do(maasd.Operator, "POST", "ipaddresses/?op=reserve", url.Values{"ip": {"172.16.1.70"}})
	require.Equal(t, http.StatusOK, status)
	w.must(exitInStep, "sync")
	row := w.rowsOf("172.16.1.70")[0]
	w.call("PATCH", rowPath(row.ID), map[string]any{"custom_fields": map[string]any{"reserve_at": "dc1/maas"}}, nil)
	w.must(exitInStep, "sync")
	w.region.Do(maasd.Admin, "POST", "ipaddresses/?op=release", url.Values{"ip": {"172.16.1.70"}, "force": {"true"}})
	w.region.Forget()
	o := w.run("sync")
	t.Log(o.stdout, w.heldList("172.16.1.70"), w.rowsOf("172.16.1.70"), w.written())
	o = w.run("sync")
	t.Log(o.stdout, w.heldList("172.16.1.70"), w.rowsOf("172.16.1.70"))
	require.Empty(t, w.written(), "the second pass undoes what the first did")
}

func TestPromiseOwnedRowMoves(t *testing.T) {
	w := newFaultWorld(t, 0)
	w.personLinks("172.16.3.71")
	w.must(exitInStep, "sync")
	row := w.rowsOf("172.16.3.71")[0]
	w.call("PATCH", rowPath(row.ID), map[string]any{"custom_fields": map[string]any{"reserve_at": "dc1/maas"}}, nil)
	w.must(exitInStep, "sync")
	w.personUnlinks("172.16.3.71")
	w.personLinks("172.16.3.72")
	w.region.Forget()
	o := w.run("sync")
	t.Log(o.stdout, w.rowsOf("172.16.3.71"), w.rowsOf("172.16.3.72"), w.heldList("172.16.3.71"))
	require.Empty(t, w.written(), "the row that asked is moved in the same pass")
}

// Release deletes the row, and what is in use stays held.
func TestPromiseReleaseInUseElsewhere(t *testing.T) {
	w := newFaultWorld(t, 0)
	row := w.wants("172.16.1.60/24", map[string]any{"hwaddr": strange})
	w.must(exitInStep, "sync")
	w.region.AddLease(strange, "172.16.1.60")
	w.wants("172.16.1.61/24", map[string]any{"hwaddr": strange})
	o := w.run("release", "--source", "maas", "172.16.1.60")
	t.Log(o.code, o.stdout, o.stderr)
	there := slices.ContainsFunc(w.rowsOf("172.16.1.60"), func(r netboxRow) bool { return r.ID == row })
	require.Equal(t, strings.Contains(fmt.Sprint(w.heldList("172.16.1.60")), "Reserved IP"), there, "held and asked for go together")
	require.NotEqual(t, exitInStep, o.code)
}

// release does something else besides: it reserves another address.
func TestPromiseReleaseMoves(t *testing.T) {
	w := newFaultWorld(t, 0)
	w.wants("172.16.1.60/24", map[string]any{"hwaddr": strange})
	w.must(exitInStep, "sync")
	w.wants("172.16.1.61/24", map[string]any{"hwaddr": strange})
	o := w.run("release", "--source", "maas", "172.16.1.60")
	t.Log(o.code, o.stdout, o.stderr)
	require.Empty(t, w.heldList("172.16.1.61"), "nobody asked this command for it")
}

// release on half an answer: what was not read is not held by nobody.
func TestPromiseReleaseOnHalfAnAnswer(t *testing.T) {
	w := newFaultWorld(t, 0)
	w.wants("172.16.1.60/24", map[string]any{"hwaddr": strange})
	w.must(exitInStep, "sync")
	w.region.Inject(maasd.Fault{On: "GET reservedips/", Kind: maasd.Forbidden})
	o := w.run("release", "--source", "maas", "172.16.1.60")
	t.Log(o.code, o.stdout, o.stderr)
	require.NotEqual(t, exitInStep, o.code)
	require.Len(t, w.rowsOf("172.16.1.60"), 1, "the source holds it, the row is gone")
}

// release whose second half fails: exit 1 says that nothing was done, and the
// next pass reserves it again.
func TestPromiseReleaseHalfDone(t *testing.T) {
	w := newFaultWorld(t, 0)
	w.wants("172.16.1.60/24", map[string]any{"hwaddr": strange})
	w.must(exitInStep, "sync")
	w.netbox.Fault(netboxtest.Fault{Method: "DELETE", Status: 503, Times: -1})
	o := w.run("release", "--source", "maas", "172.16.1.60")
	w.netbox.ClearFaults()
	t.Log(o.code, o.stdout, o.stderr, w.heldList("172.16.1.60"), w.rowsOf("172.16.1.60"))
	after := w.run("sync")
	t.Log(after.code, w.heldList("172.16.1.60"))
	require.Equal(t, exitPartly, o.code)
}

// reserve whose row may be there says that nothing was done.
func TestPromiseReserveRowUnknown(t *testing.T) {
	w := newFaultWorld(t, 0)
	w.netbox.Fault(netboxtest.Fault{Method: "POST", Path: "/api/ipam/ip-addresses/", Kind: netboxtest.LostAnswer})
	o := w.run("reserve", "--source", "maas", "--network", "mgmt", "--address", "172.16.1.60", "--mac", strange)
	rows := w.rowsOf("172.16.1.60")
	w.run("sync")
	t.Log(o.code, o.stderr, rows, w.heldList("172.16.1.60"))
	require.True(t, o.code == exitPartly || len(rows) == 0)
}

// reserve whose second look fails leaves its row.
func TestPromiseReserveSecondLookFails(t *testing.T) {
	w := newFaultWorld(t, 0)
	for skip := range 8 {
		w.netbox.Fault(netboxtest.Fault{Method: "GET", Path: "/api/ipam/ip-addresses/", Skip: skip, Times: -1, Status: 500})
		o := w.run("reserve", "--source", "maas", "--network", "mgmt", "--address", fmt.Sprintf("172.16.1.%d", 60+skip), "--mac", fmt.Sprintf("52:54:00:00:cc:%02x", skip))
		w.netbox.ClearFaults()
		rows := w.rowsOf(fmt.Sprintf("172.16.1.%d", 60+skip))
		t.Log(skip, o.code, rows)
		require.True(t, o.code != exitFailed || len(rows) == 0, o.stderr)
	}
}

// A person makes the very link between the reading and the writing.
func TestPromiseLinkMadeMeanwhile(t *testing.T) {
	w := newFaultWorld(t, 0)
	behind, once := httptest.NewServer(nil), true
	t.Cleanup(behind.Close)
	behind.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if once && r.Method == "POST" && strings.Contains(r.URL.RawQuery, "link_subnet") {
			once = false
			w.personLinks("172.16.3.75")
		}
		w.region.ServeHTTP(rw, r)
	})
	file := filepath.Join(w.folder, "allocsync.yaml")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	at := strings.Index(string(text), `url: "http`)
	end := strings.Index(string(text[at:]), "/MAAS")
	require.NoError(t, os.WriteFile(file, []byte(string(text[:at])+`url: "`+behind.URL+string(text[at+end:])), 0o600))
	id := strings.Split(w.newOne(), "/")[1]
	row := w.wants("172.16.3.75/24", map[string]any{"used_by": "/MAAS/api/2.0/machines/" + id + "/"})
	o := w.run("sync")
	require.False(t, once)
	t.Log(o.code, w.heldList("172.16.3.75"))
	w.call("DELETE", rowPath(row), nil, nil)
	o = w.run("sync")
	require.NotEmpty(t, w.heldList("172.16.3.75"), "the person's link is gone\n%s", o.stdout)
}

// Reserve says done, and it is held for another.
func TestPromiseReserveInUseByAnother(t *testing.T) {
	w := newFaultWorld(t, 0)
	row := w.wants("172.16.1.60/24", map[string]any{"hwaddr": strange})
	w.must(exitInStep, "sync")
	w.region.AddLease(strange, "172.16.1.60")
	w.call("PATCH", rowPath(row), map[string]any{"custom_fields": map[string]any{"hwaddr": odd, "used_by": nil}}, nil)
	o := w.run("reserve", "--source", "maas", "--network", "mgmt", "--address", "172.16.1.60", "--mac", odd)
	t.Log(o.code, o.stdout, o.stderr, w.heldList("172.16.1.60"))
	require.NotEqual(t, exitInStep, o.code)
}

// A release that the source refuses is tried by each pass.
func TestPromiseReleaseRefusedForEver(t *testing.T) {
	w := newFaultWorld(t, 0)
	row := w.wants("172.16.1.60/24", map[string]any{"hwaddr": strange})
	w.must(exitInStep, "sync")
	w.call("DELETE", rowPath(row), nil, nil)
	w.region.Inject(maasd.Fault{On: "DELETE reservedips/*/", Kind: maasd.Forbidden})
	w.run("sync")
	for range 3 {
		w.region.Forget()
		w.run("sync")
		require.Zero(t, w.region.Count("DELETE reservedips/*/"), "refused before, and nothing has changed since")
		require.Len(t, w.rowsOf("172.16.1.60"), 1, "NetBox has to know of what stays held")
	}
}

// What could not be read is journalled as if the source could not
// hold it, and again whenever it happens.
func TestPromiseJournalOfHalfAnswers(t *testing.T) {
	w := newFaultWorld(t, 0)
	row := w.wants("172.16.1.151/24", map[string]any{"hwaddr": strange}) // dynamic: refused
	w.run("sync")
	first := w.journal(row)
	for range 3 {
		w.region.Inject(maasd.Fault{On: "GET subnets/1/*", Kind: maasd.Broken})
		w.region.Inject(maasd.Fault{On: "GET reservedips/", Kind: maasd.Broken})
		t.Log(w.run("sync").stdout)
		w.region.Heal()
		w.run("sync")
	}
	require.Equal(t, first, w.journal(row))
}

// Commands: exit code 1 says that nothing was done, whatever gets lost.
func TestPromiseCommandsAtFaults(t *testing.T) {
	for _, do := range []string{"drop", "lose", "busy"} {
		for at := 1; at < 40; at++ {
			t.Run(fmt.Sprint(do, at), func(t *testing.T) {
				t.Parallel()
				w := newFaultWorld(t, 0)
				w.gate.set(at, do, nil)
				o := w.run("reserve", "--source", "maas", "--network", "mgmt", "--address", "172.16.1.60", "--mac", strange)
				w.gate.set(0, "", nil)
				rows, held := w.rowsOf("172.16.1.60"), w.heldList("172.16.1.60")
				switch o.code {
				case exitInStep:
					require.Len(t, rows, 1)
					require.Len(t, held, 1)
				case exitFailed:
					require.Empty(t, rows, "nothing was done, it says\n%s", o.stderr)
					require.Empty(t, held, "nothing was done, it says\n%s", o.stderr)
				default: // NetBox, or the source, did not say what it did
					require.Contains(t, o.stderr, "not finished")
				}
			})
		}
	}
}

func TestPromiseReleasesAtFaults(t *testing.T) {
	for _, do := range []string{"drop", "lose", "busy"} {
		for at := 1; at < 40; at++ {
			t.Run(fmt.Sprint(do, at), func(t *testing.T) {
				t.Parallel()
				w := newFaultWorld(t, 0)
				w.must(exitInStep, "reserve", "--source", "maas", "--network", "mgmt", "--address", "172.16.1.60", "--mac", strange)
				w.gate.set(at, do, nil)
				o := w.run("release", "--source", "maas", "172.16.1.60")
				w.gate.set(0, "", nil)
				rows, held := w.rowsOf("172.16.1.60"), w.heldList("172.16.1.60")
				switch o.code {
				case exitInStep:
					require.Empty(t, rows)
					require.Empty(t, held)
				case exitFailed:
					require.Len(t, rows, 1, "nothing was done, it says\n%s", o.stderr)
					require.Len(t, held, 1, "nothing was done, it says\n%s", o.stderr)
				}
			})
		}
	}
}

// release with two rows of one address: the source lets go, or both stay.
func TestPromiseReleaseOneOfTwoRows(t *testing.T) {
	w := newFaultWorld(t, 0)
	w.wants("172.16.1.60/24", map[string]any{"hwaddr": strange}, "vip")
	w.must(exitInStep, "sync")
	w.wants("172.16.1.60/24", nil, "vip")
	w.run("sync")
	o := w.run("release", "--source", "maas", "172.16.1.60")
	t.Log(o.code, o.stdout, o.stderr, w.rowsOf("172.16.1.60"))
	if o.code == exitInStep {
		require.Empty(t, w.heldList("172.16.1.60"), "it says that it was released")
	}
	require.Len(t, w.rowsOf("172.16.1.60"), 2, "one of two was deleted")
}

// What is moved and then refused is lost at both addresses.
func TestPromiseMoveRefused(t *testing.T) {
	w := newFaultWorld(t, 0)
	row := w.wants("172.16.1.60/24", map[string]any{"hwaddr": strange})
	w.must(exitInStep, "sync")
	w.call("PATCH", rowPath(row), map[string]any{"address": "172.16.1.61/24"}, nil)
	w.region.Inject(maasd.Fault{On: "POST reservedips/", Kind: maasd.Forbidden})
	w.run("sync")
	w.region.Heal()
	w.run("sync")
	require.NotEmpty(t, append(w.heldList("172.16.1.60"), w.heldList("172.16.1.61")...))
}

// release clears reserve_at of a row that belongs to another owner.
func TestPromiseReleaseRowOfAnotherOwner(t *testing.T) {
	for _, ours := range []bool{false, true} {
		w := newFaultWorld(t, 0)
		if ours {
			w.wants("172.16.1.60/24", map[string]any{"hwaddr": strange}, "vip")
			w.must(exitInStep, "sync")
		}
		id := w.wants("172.16.1.60/24", map[string]any{"hwaddr": odd, "sync_owner": "dc9/lab", "sync_type": "x"}, "vip")
		o := w.run("release", "--source", "maas", "172.16.1.60")
		t.Log(o.code, o.stdout, o.stderr, w.rowsOf("172.16.1.60"), w.heldList("172.16.1.60"))
		require.True(t, slices.ContainsFunc(w.rowsOf("172.16.1.60"), func(r netboxRow) bool { return r.ID == id && r.Custom.Reserve == "dc1/maas" }), "a row of dc9/lab was changed")
	}
}

// The name under which it is reserved is part of what is approved.
func TestPromiseDigestOfNames(t *testing.T) {
	w := newFaultWorld(t, 0)
	row := w.wants("172.16.1.60/24", map[string]any{"hwaddr": strange})
	digest := func() string {
		var plan struct{ Digest string }
		require.NoError(t, json.Unmarshal([]byte(w.run("sync", "--dry-run", "--format", "json").stdout), &plan))
		return plan.Digest
	}
	before := digest()
	w.call("PATCH", rowPath(row), map[string]any{"dns_name": "another"}, nil)
	require.NotEqual(t, before, digest(), "MAAS gets another host name and a DNS record under the same digest")
}

// Two pairs at once: one MAC asks twice, and one of both rows goes.
func TestPromiseAskedTwiceByOneMAC(t *testing.T) {
	w := newFaultWorld(t, 1) // devices: one MAC may have several
	w.wants("172.16.1.60/24", map[string]any{"hwaddr": strange})
	b := w.wants("172.16.1.61/24", map[string]any{"hwaddr": strange})
	w.run("sync")
	t.Log(w.heldList("172.16.1.60"), w.heldList("172.16.1.61"))
	w.call("DELETE", rowPath(b), nil, nil)
	w.run("sync")
	w.run("sync")
	require.Len(t, w.heldList("172.16.1.60"), 1)
	require.Empty(t, w.heldList("172.16.1.61"))
}

// Addresses that NetBox chose and that cannot be given back ask nobody.
func TestPromiseChosenAndNotGivenBack(t *testing.T) {
	w := newFaultWorld(t, 0)
	client, err := netbox.Open(netbox.Options{URL: w.url, Token: labToken, Retries: 0})
	require.NoError(t, err)
	session, err := client.Prepare(t.Context(), netbox.Refs{Reservable: true})
	require.NoError(t, err)
	var prefixes struct{ Results []struct{ ID int } }
	w.call("GET", "/api/ipam/prefixes/?prefix=172.16.3.0/24", nil, &prefixes)
	w.netbox.Fault(netboxtest.Fault{Method: "DELETE", Status: 503, Times: -1})
	record := ipam.Record{Place: ipam.PlaceOf("", ipam.Address, netip.MustParsePrefix("172.16.3.1/32")), Attrs: ipam.Attrs{Mask: 24, MAC: strange}}
	high := func(a netip.Addr) bool { return a.Compare(netip.MustParseAddr("172.16.3.4")) >= 0 }
	row, err := session.AskFor(t.Context(), prefixes.Results[0].ID, record, "dc1/maas", high)
	w.netbox.ClearFaults()
	require.ErrorIs(t, err, netbox.ErrLeft)
	require.Equal(t, "172.16.3.4/24", row.CIDR().String())
	w.run("sync")
	var asking []string
	for _, r := range w.list() {
		if r.Custom.Reserve == "dc1/maas" {
			asking = append(asking, r.Address)
		}
	}
	require.Equal(t, []string{"172.16.3.4/24"}, asking)
	require.Len(t, w.heldList("172.16.3.4"), 1)
	require.Empty(t, w.heldList("172.16.3.1"))
}

// One row that cannot be met keeps everything from being reserved.
func TestPromiseOneRowBlocksAll(t *testing.T) {
	w := newFaultWorld(t, 0)
	w.wants("172.16.1.60/24", map[string]any{"hwaddr": strange}, "vip")
	w.wants("172.16.1.60/24", map[string]any{"used_by": "/MAAS/api/2.0/machines/nobody/"}, "vip")
	w.wants("172.16.1.61/24", map[string]any{"hwaddr": odd})
	for range 3 {
		t.Log(w.run("sync").stdout)
	}
	require.NotEmpty(t, w.heldList("172.16.1.61"))
}

// Of ten, all are released in small steps, none of which is over the limits.
func TestPromiseReleasedInSmallSteps(t *testing.T) {
	w := newFaultWorld(t, 0)
	file := filepath.Join(w.folder, "allocsync.yaml")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var ids []int
	for i := range 10 {
		ids = append(ids, w.wants(fmt.Sprintf("172.16.1.%d/24", 60+i), nil))
	}
	w.must(exitInStep, "sync")
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(text), "limits: {share: 1, from_rows: 1, count: 1000}", "", 1)), 0o600))
	codes := []int{}
	for len(ids) > 0 {
		for _, id := range ids[:min(3, len(ids))] {
			w.call("DELETE", rowPath(id), nil, nil)
		}
		ids = ids[min(3, len(ids)):]
		codes = append(codes, w.run("sync").code)
	}
	left := 0
	for i := range 10 {
		left += len(w.heldList(fmt.Sprintf("172.16.1.%d", 60+i)))
	}
	t.Log(codes, left)
}

// IPv6 to a node, with a mask that is not the network's.
func TestPromiseIPv6(t *testing.T) {
	w := newFaultWorld(t, 0)
	id := strings.Split(w.newOne(), "/")[1]
	row := w.wants("2001:0db8:0003::0070/64", map[string]any{"used_by": "/MAAS/api/2.0/machines/" + id + "/"})
	w.must(exitInStep, "sync")
	require.Len(t, w.heldList("2001:db8:3::70"), 1)
	w.region.Forget()
	w.must(exitInStep, "sync")
	require.Empty(t, w.written())
	require.Equal(t, "2001:db8:3::70/64", w.rowsOf("2001:db8:3::70")[0].Address)
	w.call("DELETE", rowPath(row), nil, nil)
	w.must(exitInStep, "sync")
	require.Empty(t, w.heldList("2001:db8:3::70"))
}
