package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newReserving is a lifecycle whose source holds addresses for NetBox, with the
// least rights there that it needs.
func newReserving(t *testing.T) *lifecycle {
	t.Helper()
	l := newLifecycle(t)
	// What the DHCP server hands out by itself cannot be kept for nobody.
	l.incus.must("network", "set", l.incus.a.name, "ipv4.dhcp.ranges="+l.incus.a.v4(100)+"-"+l.incus.a.v4(200))
	l.token = l.mustToken(
		permission{actions: []string{"view"}, on: everything()},
		permission{actions: []string{"add", "change", "delete"}, on: []string{"ipam.ipaddress", "ipam.prefix"},
			constraint: object{"custom_field_data__sync_owner__startswith": l.installation + "/"}},
		permission{actions: []string{"change"}, on: []string{"ipam.ipaddress"},
			constraint: object{"custom_field_data__reserve_at__startswith": l.installation + "/"}},
		permission{actions: []string{"add"}, on: []string{"extras.journalentry"}},
	)
	l.keys = append(l.keys, "serve: {state_dir: "+l.stateDir()+"}")
	l.configure(source("lab", l.incus.socket, "reserve: true"))
	return l
}

// ask makes a row as a person does who wants an address held at a source.
func (w *world) ask(cidr string, custom object) row {
	w.Helper()
	fields := object{"reserve_at": w.owner("lab")}
	for k, v := range custom {
		fields[k] = v
	}
	return rowOf(w.netbox.mustCreate(w.T, "ipam/ip-addresses", object{
		"address": cidr, "vrf": w.vrfID, "status": "reserved", "custom_fields": fields,
	}))
}

// journal are the remarks in the journal of an address.
func (w *world) journal(id int) []string {
	w.Helper()
	query := url.Values{"assigned_object_type": {"ipam.ipaddress"}, "assigned_object_id": {fmt.Sprint(id)}}
	var texts []string
	for _, entry := range w.netbox.must(w.T, "GET", "extras/journal-entries/?"+query.Encode(), nil)["results"].([]any) {
		texts = append(texts, entry.(map[string]any)["comments"].(string))
	}
	return texts
}

// static is the static IPv4 address of an instance's own NIC, "" for none.
func (i *incus) static(name string) string {
	i.t.Helper()
	out, err := i.try("config", "device", "get", name, "eth0", "ipv4.address")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(out)
}

// has reports whether an instance that runs has an address.
func (i *incus) has(name, address string) bool {
	i.t.Helper()
	var state struct {
		Network map[string]struct{ Addresses []struct{ Address string } }
	}
	out, err := i.try("query", "/1.0/instances/"+name+"/state")
	if err != nil || json.Unmarshal([]byte(out), &state) != nil {
		return false
	}
	for _, a := range state.Network["eth0"].Addresses {
		if a.Address == address {
			return true
		}
	}
	return false
}

func (i *incus) forwards(n net81) string {
	i.t.Helper()
	return i.must("network", "forward", "list", n.name, "-f", "csv")
}

// mustPass syncs until what a test waits for is so: tests of other packages
// change the same Incus, and while they do an answer may be incomplete.
func (l *lifecycle) mustPass(what string, holds func() bool) {
	l.Helper()
	var last outcome
	defer func() {
		if l.Failed() {
			l.Logf("last pass: %s", last)
		}
	}()
	mustBecome(l.T, time.Minute, what, func() bool {
		last = l.run("sync")
		return holds()
	})
}

// A person reserves an address in NetBox, for an instance and for nobody; the
// real Incus holds it, and the instance really gets it. Released, it does not.
func TestReserveAtIncus(t *testing.T) {
	l := newReserving(t)
	a := l.incus.a
	web := l.incus.prefix + "-web"
	l.incus.create("create", "default", []string{web}, "--network", a.name)
	l.mustPass("the network has its rows", func() bool { return len(l.rows()) == 8 })

	wish := l.ask(a.v4(40)+"/24", object{"used_by": "/1.0/instances/" + web})
	free := l.ask(a.v4(60)+"/24", nil)
	l.step("a dry run says it, and does nothing", func() {
		o := l.mustRun(exitChanges, "sync", "--dry-run")
		require.Contains(t, o.stdout, a.v4(40))
		require.Contains(t, o.stdout, a.v4(60))
		require.Empty(t, l.incus.static(web))
		require.Empty(t, l.incus.forwards(a))
	})
	l.step("held at the source, and the rows filled in", func() {
		l.mustPass("both are held", func() bool { return l.incus.static(web) == a.v4(40) && strings.Contains(l.incus.forwards(a), a.v4(60)) })
		rows := l.rows().by()
		r := rows[a.v4(40)+"/24"]
		require.Equal(t, wish.ID, r.ID)
		require.Equal(t, "/1.0/instances/"+web, r.UsedBy)
		require.Equal(t, "instance", r.Type)
		require.Regexp(t, "^10:66:6a:", r.MAC)
		require.Empty(t, r.Owner, "the row stays the person's")
		r = rows[a.v4(60)+"/24"]
		require.Equal(t, free.ID, r.ID)
		require.Equal(t, "/1.0/networks/"+a.name+"/forwards/"+a.v4(60), r.UsedBy)
		require.Len(t, rows, 10)
		require.True(t, strings.HasPrefix(l.incus.must("config", "get", web, "user.allocsync.eth0.ipv4"), l.owner("lab")+" "), "marked")
	})
	l.step("nothing more to do", func() { l.mustInStep() })
	l.step("the row is given another address, and back", func() {
		for _, host := range []int{42, 40} {
			l.netbox.must(t, "PATCH", wish.path(), object{"address": a.v4(host) + "/24"})
			l.mustPass("it moves", func() bool { return l.incus.static(web) == a.v4(host) })
		}
		require.Equal(t, wish.ID, l.rows().by()[a.v4(40)+"/24"].ID)
		require.Empty(t, l.journal(wish.ID), "no conflict on the way")
		l.mustInStep()
	})
	l.step("the instance gets it", func() {
		l.incus.must("start", web)
		mustBecome(t, 30*time.Second, "the address in the instance", func() bool { return l.incus.has(web, a.v4(40)) })
	})
	l.step("in use it is not released, and NetBox tells who has it", func() {
		l.netbox.must(t, "DELETE", wish.path(), nil)
		l.mustPass("a row of what is handed out", func() bool { return l.rows().by()[a.v4(40)+"/24"].Owner == l.owner("lab") })
		require.Equal(t, a.v4(40), l.incus.static(web))
		o := l.run("sync", "--dry-run")
		require.Contains(t, o.stdout, "in use at the source")
	})
	l.step("released", func() {
		l.incus.must("stop", "-f", web)
		l.netbox.must(t, "DELETE", free.path(), nil)
		var plan syncReport
		l.mustPass("all that is held there would be released: that needs a person", func() bool {
			o := l.run("sync", "--dry-run", "--format", "json")
			plan = mustReport(t, o)
			return o.code == exitLimits
		})
		require.Equal(t, a.v4(40), l.incus.static(web))
		l.mustRun(exitInStep, "sync", "--approve", plan.Digest)
		require.Empty(t, l.incus.static(web))
		require.Empty(t, l.incus.forwards(a))
		l.mustPass("no row is left", func() bool { return l.rows().by()[a.v4(60)+"/24"].ID == 0 })
	})
}

// What cannot be held is told on its row, once, and loses nothing.
func TestReserveConflicts(t *testing.T) {
	l := newReserving(t)
	a := l.incus.a
	web := l.incus.prefix + "-web"
	l.incus.create("create", "default", []string{web}, "--network", a.name, "-d", "eth0,ipv4.address="+a.v4(30))
	l.mustPass("the network has its rows", func() bool { return len(l.rows()) == 9 })
	outside := l.ask("192.0.2.77/32", nil)
	nobody := l.ask(a.v4(50)+"/24", object{"hwaddr": "02:00:5e:00:53:01"})
	gone := l.ask(a.v4(51)+"/24", object{"used_by": "/1.0/instances/" + l.incus.prefix + "-none"})
	slip := l.ask(a.v4(52)+"/24", object{"reserve_at": l.owner("lob")})
	for range 2 {
		o := l.run("sync", "--format", "markdown")
		require.Contains(t, []int{exitInStep, exitPartly}, o.code, "%s", o)
		require.Contains(t, o.stdout, fmt.Sprintf("%s/24 (#%d) is reserved nowhere", a.v4(52), slip.ID))
	}
	for _, r := range []row{outside, nobody, gone} {
		mustBecome(t, time.Minute, "it is told once", func() bool {
			l.run("sync")
			return len(l.journal(r.ID)) == 1
		})
		require.Contains(t, l.journal(r.ID)[0], "not reserved at "+l.owner("lab"))
	}
	require.Contains(t, l.journal(outside.ID)[0], "no network of the source")
	require.Equal(t, a.v4(30), l.incus.static(web), "what others reserved is not touched")
	require.Empty(t, l.incus.forwards(a))
	require.Empty(t, l.journal(slip.ID))
	require.Len(t, l.rows(), 9+4)
}

// Killed between the source and NetBox, and before the ledger could be written:
// the next pass finishes it, once.
func TestReserveKilledInBetween(t *testing.T) {
	l := newReserving(t)
	a := l.incus.a
	web := l.incus.prefix + "-web"
	l.incus.create("create", "default", []string{web}, "--network", a.name)
	l.mustPass("the network has its rows", func() bool { return len(l.rows()) == 8 })
	wish := l.ask(a.v4(41)+"/24", object{"used_by": "/1.0/instances/" + web})
	l.proxy.breaks(func(r request) fault {
		if r.method == "PATCH" {
			return silence
		}
		return noFault
	})
	run := l.start("sync")
	mustBecome(t, time.Minute, "it is held at the source", func() bool { return l.incus.static(web) == a.v4(41) })
	require.NoError(t, run.cmd.Process.Kill())
	<-run.done
	l.proxy.breaks(nil)
	require.Empty(t, l.rows().by()[a.v4(41)+"/24"].Type)
	l.mustPass("the row is filled in", func() bool { return l.rows().by()[a.v4(41)+"/24"].Type == "instance" })
	require.Len(t, l.rows(), 9)
	l.netbox.must(t, "DELETE", wish.path(), nil)
	l.mustPass("it is still known whose it is, and released", func() bool { return l.incus.static(web) == "" })
}

// With serve and NetBox's own webhooks a reservation is held seconds after a
// person makes its row, and released as soon after it is gone; what is filled
// into the row starts no further pass.
func TestServeReserves(t *testing.T) {
	l := newLifecycle(t)
	a := l.incus.a
	web := l.incus.prefix + "-web"
	l.incus.create("create", "default", []string{web}, "--network", a.name)
	k := l.served([]string{source("lab", l.incus.socket, "reserve: true")})
	d := l.mustServe(k)
	d.mustPass(1)
	l.subscribe(d, k)
	l.ask("192.0.2.78/32", nil) // another one asks, so that releasing the next is not releasing all
	begun := time.Now()
	wish := l.ask(a.v4(43)+"/24", object{"used_by": "/1.0/instances/" + web})
	mustBecome(t, time.Minute, "it is held", func() bool { return l.incus.static(web) == a.v4(43) })
	t.Logf("held %.1f s after its row was made", time.Since(begun).Seconds())
	mustBecome(t, time.Minute, "its row is filled in", func() bool { return l.rows().by()[a.v4(43)+"/24"].Type == "instance" })
	d.mustPass(2)
	d.quiet(2, 5*time.Second)
	require.EqualValues(t, 1, d.metric(`allocsync_source_own_reservations{source="lab"}`))

	begun = time.Now()
	l.netbox.must(t, "DELETE", wish.path(), nil)
	mustBecome(t, time.Minute, "it is released", func() bool { return l.incus.static(web) == "" })
	t.Logf("released %.1f s after its row was deleted", time.Since(begun).Seconds())
	d.mustStop()
}
