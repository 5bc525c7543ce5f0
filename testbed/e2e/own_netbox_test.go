package e2e_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// What concerns a NetBox as a whole, on one that nobody else uses. The steps
// follow each other, as on the first day with a new NetBox.
func TestOwnNetBox(t *testing.T) {
	t.Parallel()
	s := mustScratch(t)
	t.Run("before setup", func(t *testing.T) {
		w := newWorldOn(t, s)
		w.configure(source("lab", newLXD(t, br0()).socket))
		o := w.mustRun(exitFailed, "sync")
		require.Contains(t, o.stderr, "allocsync setup")
		require.Empty(t, w.rows())
		require.Contains(t, unbroken(w.mustRun(exitFailed, "check").stdout), "allocsync setup")
	})
	t.Run("setup", func(t *testing.T) {
		w := newWorldOn(t, s)
		w.configure(source("lab", newLXD(t, br0()).socket))
		o := w.mustRun(exitChanges, "setup", "--dry-run")
		require.Contains(t, o.stdout, "used_by")
		require.Empty(t, w.proxy.writes())
		o = w.mustRun(exitInStep, "setup")
		require.Contains(t, o.stdout, "allocsync check")
		w.proxy.forget()
		w.mustRun(exitInStep, "setup")
		w.mustRun(exitInStep, "setup", "--dry-run")
		require.Empty(t, w.proxy.writes(), "what is there is not written again")
		w.mustRun(exitInStep, "check")
		w.mustSync(exitInStep)
		w.mustInStep()
	})
	t.Run("custom field missing on prefixes", func(t *testing.T) { missingField(t, s) })
	t.Run("custom field of another type", func(t *testing.T) { wrongField(t, s) })
	t.Run("MAX_PAGE_SIZE 50", func(t *testing.T) { smallPages(t, s) })
	t.Run("maintenance mode", func(t *testing.T) { maintenance(t, s) })
}

func fieldPath(t *testing.T, s server, name string) string {
	t.Helper()
	page := s.must(t, http.MethodGet, "extras/custom-fields/?name="+name, nil)
	found := page["results"].([]any)
	require.Len(t, found, 1)
	return "extras/custom-fields/" + itoa(id(found[0].(object))) + "/"
}

// NetBox ignores a filter by a field that an object type does not have, and
// lists every row instead: a pass must not begin.
func missingField(t *testing.T, s server) {
	w := newWorldOn(t, s)
	lxd := newLXD(t, append(instances(3), br0())...)
	lab := source("lab", lxd.socket)
	w.configure(lab)
	w.mustSync(exitInStep)
	before := w.rows()
	lxd.lists(append(instances(2), br0())...)

	path := fieldPath(t, s, "sync_owner")
	s.must(t, http.MethodPatch, path, object{"object_types": []string{"ipam.ipaddress"}})
	t.Cleanup(func() {
		s.must(t, http.MethodPatch, path, object{"object_types": []string{"ipam.ipaddress", "ipam.prefix"}})
	})
	w.proxy.forget()
	o := w.mustRun(exitFailed, "sync")
	require.Contains(t, o.stderr, "sync_owner")
	require.Contains(t, o.stderr, "ipam.prefix")
	require.Contains(t, o.stderr, "allocsync setup")
	require.Empty(t, w.proxy.writes())
	require.Contains(t, unbroken(w.mustRun(exitFailed, "check").stdout), "sync_owner")

	o = w.mustRun(exitChanges, "setup", "--dry-run")
	require.Contains(t, o.stdout, "extend")
	w.mustRun(exitInStep, "setup")
	after := w.rows()
	for i := range after { // NetBox took the values of prefixes away with the field
		if after[i].Prefix && after[i].Owner == "" {
			after[i].Owner, after[i].LastUpdated = before[i].Owner, before[i].LastUpdated
		}
	}
	require.Equal(t, before, after)
}

// A field that somebody made with another type is not written to, and not
// changed.
func wrongField(t *testing.T, s server) {
	w := newWorldOn(t, s)
	w.configure(source("lab", newLXD(t, br0()).socket))
	path := fieldPath(t, s, "hwaddr")
	s.must(t, http.MethodDelete, path, nil)
	made := s.mustCreate(t, "extras/custom-fields", object{"name": "hwaddr", "type": "integer", "object_types": []string{"ipam.ipaddress"}})
	o := w.mustRun(exitFailed, "sync")
	require.Contains(t, o.stderr, "hwaddr")
	o = w.mustRun(exitFailed, "setup")
	require.Contains(t, o.stderr, "nothing was changed")
	require.Empty(t, w.rows())
	s.must(t, http.MethodDelete, "extras/custom-fields/"+itoa(id(made))+"/", nil)
	w.mustRun(exitInStep, "setup")
}

// A NetBox that gives out 50 rows at a time, whatever is asked for: all rows
// are read, and none is taken for missing.
func smallPages(t *testing.T, s server) {
	mustSet(t, "MAX_PAGE_SIZE", "50")
	w := newWorldOn(t, s)
	lxd := newLXD(t, append(instances(130), br0())...)
	w.configure(source("lab", lxd.socket))
	w.mustSync(exitInStep)
	r := w.mustInStep()
	require.Equal(t, 132, r.Totals.InStep)
	require.Equal(t, 132, r.Requests.Read)
}

// A NetBox in maintenance mode refuses writes: the program says so in NetBox's
// own words, leaves everything as it is, and carries on afterwards.
func maintenance(t *testing.T, s server) {
	w := newWorldOn(t, s)
	lxd := newLXD(t, append(instances(3), br0())...)
	w.configure(source("lab", lxd.socket))
	w.mustSync(exitInStep)
	before := w.rows()
	lxd.lists(append(instances(2), br0(), instance("new", "10.81.1.1"))...)

	t.Run("on", func(t *testing.T) {
		mustSet(t, "MAINTENANCE_MODE", "true")
		o := w.run("sync")
		require.Contains(t, []int{exitFailed, exitPartly}, o.code)
		require.Contains(t, unbroken(o.stdout+o.stderr), "maintenance mode")
		require.Equal(t, before, w.rows())
	})
	w.proxy.forget()
	require.Equal(t, []string{"done create 10.81.1.1/16", "done delete 10.81.3.3/16"}, w.mustSync(exitInStep).lines())
}
