package e2e_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// What people add to a row outlives whatever allocsync does to it: an update,
// a renumbering and a handover from one source to another.
func TestWhatPeopleAddSurvives(t *testing.T) {
	w := newWorld(t)
	tenant := id(w.netbox.mustCreate(t, "tenancy/tenants", object{"name": w.installation, "slug": w.installation}))
	w.netbox.mustCreate(t, "extras/tags", object{"name": w.installation, "slug": w.installation})
	a, b := newLXD(t, append(instances(3), br0())...), newLXD(t, instance("other", "10.81.9.9"))
	w.configure(source("a", a.socket), source("b", b.socket))
	w.mustSync(exitInStep)

	fresh := w.rows().by()["10.81.3.1/16"]
	w.netbox.must(t, http.MethodPatch, fresh.path(), object{
		"comments": "Renewed *every* May.\n\nAsk Ana.", "tenant": tenant, "dns_name": "shop.example.org",
		"tags": []object{{"slug": w.installation}}, "description": "the shop", "status": "reserved",
	})
	edited := w.rows().by()["10.81.3.1/16"]
	require.Equal(t, []string{w.installation}, edited.Tags)
	w.mustInStep()

	mustBeEdited := func(address, owner, user string) {
		t.Helper()
		got, want := w.rows().by()[address], edited
		want.Address, want.Owner, want.UsedBy, want.LastUpdated = address, w.owner(owner), "/1.0/instances/"+user, got.LastUpdated
		require.Equal(t, want, got)
	}
	user := instance("shop", "10.81.3.1")
	user.MAC = edited.MAC
	others := append(instances(3)[1:], br0())

	a.lists(append(others, user)...)
	require.Equal(t, []string{"done update 10.81.3.1/16 used_by /1.0/instances/i1 -> /1.0/instances/shop"}, w.mustSync(exitInStep).lines())
	mustBeEdited("10.81.3.1/16", "a", "shop")

	user.Addresses = "10.81.4.1/32"
	a.lists(append(others, user)...)
	require.Equal(t, []string{"done update 10.81.4.1/16 address 10.81.3.1/16 -> 10.81.4.1/16"}, w.mustSync(exitInStep).lines())
	mustBeEdited("10.81.4.1/16", "a", "shop")

	// While the first source still lists it, the second one does not get it.
	b.lists(instance("other", "10.81.9.9"), user)
	require.Equal(t, []string{"create 10.81.4.1/16: claimed more than once"}, w.mustSync(exitInStep).heldLines())
	mustBeEdited("10.81.4.1/16", "a", "shop")
	a.lists(others...)
	r := w.mustSync(exitInStep)
	require.Equal(t, []string{"done update 10.81.4.1/16 sync_owner " + w.owner("a") + " -> " + w.owner("b")}, r.lines())
	require.Equal(t, "handed over from another source", r.Changes[0].Reason)
	mustBeEdited("10.81.4.1/16", "b", "shop")
	w.mustInStep()
}

// A row that a person changed after it was read is not deleted.
func TestRowChangedMeanwhileIsKept(t *testing.T) {
	w := newWorld(t)
	lxd := newLXD(t, append(instances(3), br0())...)
	w.configure(source("lab", lxd.socket))
	w.mustSync(exitInStep)
	row := w.rows().by()["10.81.3.3/16"]

	lxd.lists(append(instances(2), br0())...)
	w.proxy.forget()
	w.proxy.breaks(func(r request) fault {
		if r.isOf(http.MethodGet, "ip-addresses") && r.n == 2 { // the look just before the delete
			w.netbox.must(t, http.MethodPatch, row.path(), object{"description": "mine now"})
		}
		return noFault
	})
	r := w.mustSync(exitPartly)
	require.Equal(t, []string{"kept delete 10.81.3.3/16"}, r.lines())
	require.Equal(t, "mine now", w.rows().by()["10.81.3.3/16"].Description)
}

// With gone: deprecate, a row whose user is gone is marked first, comes back
// to life with its user, and is deleted once the time is over.
func TestGoneIsDeprecatedFirst(t *testing.T) {
	w := newWorld(t)
	lxd := newLXD(t, append(instances(3), br0())...)
	all := append(instances(3), br0())
	two := append(instances(2), br0())
	w.configure(source("lab", lxd.socket, "gone: {action: deprecate, after: 1h}"))
	w.mustSync(exitInStep)
	fresh := w.rows().by()["10.81.3.3/16"]
	require.Equal(t, "active", fresh.Status)

	lxd.lists(two...)
	r := w.mustSync(exitInStep)
	require.Equal(t, 1, r.Totals.Marked)
	marked := w.rows().by()["10.81.3.3/16"]
	require.Equal(t, fresh.ID, marked.ID)
	require.Equal(t, "deprecated", marked.Status)
	require.NotEmpty(t, marked.GoneSince)
	require.Equal(t, 1, w.mustInStep().Totals.Waiting, "the time is not over")

	lxd.lists(all...)
	r = w.mustSync(exitInStep)
	require.Equal(t, "back at the source", r.Changes[0].Reason)
	revived := w.rows().by()["10.81.3.3/16"]
	revived.LastUpdated = fresh.LastUpdated
	require.Equal(t, fresh, revived)

	lxd.lists(two...)
	w.mustSync(exitInStep)
	require.Equal(t, "deprecated", w.rows().by()["10.81.3.3/16"].Status)
	w.configure(source("lab", lxd.socket, "gone: {action: deprecate, after: 0s}"))
	r = w.mustSync(exitInStep)
	require.Equal(t, []string{"done delete 10.81.3.3/16"}, r.lines())
	require.Equal(t, "no longer at the source for the configured time", r.Changes[0].Reason)
	require.Len(t, w.rows(), 4)
}
