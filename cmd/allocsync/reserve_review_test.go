package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	maasd "allocsync/fixtures/maas"
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

// Finding 1: a machine's static link that a person made at an address that was
// reserved from here for the machine's MAC counts as ours, and is taken away.
func TestReviewLinkOfAPersonBesideReservedIP(t *testing.T) {
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

func TestReviewLinkOfAPersonInPlaceOfReservedIP(t *testing.T) {
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

// Finding 2: two rows of one address (VIPs) that ask for different users.
func TestReviewTwoRowsPlanAndDeed(t *testing.T) {
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

func TestReviewTwoRowsRest(t *testing.T) {
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
func TestReviewRowOfAnotherOwner(t *testing.T) {
	w := newFaultWorld(t, 0)
	w.wants("172.16.1.60/24", map[string]any{"hwaddr": strange}, "vip")
	w.wants("172.16.1.60/24", map[string]any{"hwaddr": odd, "sync_owner": "dc9/lab", "sync_type": "x"}, "vip")
	dry := w.run("sync", "--dry-run").stdout
	o := w.run("sync")
	require.NotContains(t, fmt.Sprint(w.heldList("172.16.1.60")), odd, "that row is somebody else's\n%s\n%s", dry, o.stdout)
}

// Finding 3: an owned row that asks and goes in the same plan.
func TestReviewOwnedRowGoes(t *testing.T) {
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

func TestReviewOwnedRowMoves(t *testing.T) {
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

// Finding 4: release says that it released what is in use and stays.
func TestReviewReleaseInUseElsewhere(t *testing.T) {
	w := newFaultWorld(t, 0)
	row := w.wants("172.16.1.60/24", map[string]any{"hwaddr": strange})
	w.must(exitInStep, "sync")
	w.region.AddLease(strange, "172.16.1.60")
	w.wants("172.16.1.61/24", map[string]any{"hwaddr": strange})
	t.Log(w.run("sync").stdout)
	o := w.run("release", "--source", "maas", "172.16.1.60")
	t.Log(o.code, o.stdout, o.stderr)
	there := slices.ContainsFunc(w.rowsOf("172.16.1.60"), func(r netboxRow) bool { return r.ID == row })
	require.Equal(t, strings.Contains(fmt.Sprint(w.heldList("172.16.1.60")), "Reserved IP"), there, "held and asked for go together")
	require.NotEqual(t, exitInStep, o.code)
}

// Finding 5: reserve says done, and it is held for another.
func TestReviewReserveInUseByAnother(t *testing.T) {
	w := newFaultWorld(t, 0)
	row := w.wants("172.16.1.60/24", map[string]any{"hwaddr": strange})
	w.must(exitInStep, "sync")
	w.region.AddLease(strange, "172.16.1.60")
	w.call("PATCH", rowPath(row), map[string]any{"custom_fields": map[string]any{"hwaddr": odd, "used_by": nil}}, nil)
	o := w.run("reserve", "--source", "maas", "--network", "mgmt", "--address", "172.16.1.60", "--mac", odd)
	t.Log(o.code, o.stdout, o.stderr, w.heldList("172.16.1.60"))
	require.NotEqual(t, exitInStep, o.code)
}

// Finding 6: a release that the source refuses is tried by each pass.
func TestReviewReleaseRefusedForEver(t *testing.T) {
	w := newFaultWorld(t, 0)
	row := w.wants("172.16.1.60/24", map[string]any{"hwaddr": strange})
	w.must(exitInStep, "sync")
	w.call("DELETE", rowPath(row), nil, nil)
	w.region.Inject(maasd.Fault{On: "DELETE reservedips/*/", Kind: maasd.Forbidden})
	w.run("sync")
	for range 3 {
		w.region.Forget()
		o := w.run("sync")
		t.Log(o.code, o.stdout, w.rowsOf("172.16.1.60"))
		require.Empty(t, w.written(), "refused before, and nothing has changed since")
	}
}

// Finding 7: what could not be read is journalled as if the source could not
// hold it, and again whenever it happens.
func TestReviewJournalOfHalfAnswers(t *testing.T) {
	w := newFaultWorld(t, 0)
	row := w.wants("172.16.1.150/24", map[string]any{"hwaddr": strange}) // dynamic: refused
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
func TestReviewCommandsAtFaults(t *testing.T) {
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
				default:
					require.Len(t, rows, 1, o.stderr)
				}
			})
		}
	}
}

func TestReviewReleasesAtFaults(t *testing.T) {
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
func TestReviewReleaseOneOfTwoRows(t *testing.T) {
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

var _ = netboxtest.Options{}
