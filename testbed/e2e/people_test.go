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
