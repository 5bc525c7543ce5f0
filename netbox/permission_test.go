package netbox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
)

// limited makes a user of the real NetBox that has the permission which Check
// proposes, and returns a client with that user's token.
func (b *bed) limited(t testing.TB) *Client {
	t.Helper()
	remove := func(path string, id int) {
		t.Cleanup(func() {
			if _, failed := b.client.write(context.Background(), http.MethodDelete, fmt.Sprintf("%s%d/", path, id), nil); failed != nil {
				t.Errorf("clean up: %v", failed)
			}
		})
	}
	user := b.mustMake(t, "/api/users/users/", map[string]any{"username": b.run, "password": "Long-enough-1-" + b.run})
	remove("/api/users/users/", user)
	var constraints any
	require.NoError(t, json.Unmarshal([]byte(constraint(b.run, ipam.OwnerField)), &constraints))
	remove("/api/users/permissions/", b.mustMake(t, "/api/users/permissions/", map[string]any{
		"name": b.run + " write", "users": []int{user}, "object_types": []string{addressType, prefixType},
		"actions": []string{"add", "change", "delete"}, "constraints": constraints,
	}))
	remove("/api/users/permissions/", b.mustMake(t, "/api/users/permissions/", map[string]any{
		"name": b.run + " view", "users": []int{user}, "actions": []string{"view"},
		"object_types": []string{addressType, prefixType, "ipam.vrf", "ipam.role", "tenancy.tenant", "extras.tag", "extras.customfield"},
	}))
	a, failed := b.client.write(context.Background(), http.MethodPost, "/api/users/tokens/", map[string]any{"user": user, "write_enabled": true})
	if failed != nil {
		t.Fatal(failed)
	}
	var made struct{ Key, Token string }
	require.NoError(t, json.Unmarshal(a.body, &made))
	return mustOpen(t, Options{URL: b.client.base, Token: Token("nbt_" + made.Key + "." + made.Token)})
}

// With the permission that Check proposes, a real NetBox lets allocsync do all
// that it has to, and itself keeps it from everybody else's rows.
func TestLeastPermission(t *testing.T) {
	b := newReal(t)
	vrf, vrfID := b.vrf(t, "blue")
	theirs := b.mustMake(t, "/api/ipam/ip-addresses/", map[string]any{"address": "10.91.0.9/24", "vrf": vrfID})
	limited := b.limited(t)
	for _, finding := range limited.Check(t.Context(), b.run) {
		require.True(t, finding.OK, "%+v", finding)
	}
	s, err := limited.Prepare(t.Context(), Refs{VRFs: []string{vrf}})
	require.NoError(t, err)
	rows := mustCreate(t, s, b.address(vrf, "10.91.0.1/24"), b.address(vrf, "10.91.0.2/24"))

	foreign := b.address(vrf, "10.91.0.3/24")
	foreign.Owner = "other/lxd"
	_, err = s.Create(t.Context(), []ipam.Record{b.address(vrf, "10.91.0.4/24"), foreign})
	_, named := mustRefuse(t, err)
	require.Len(t, named, 1)
	require.Contains(t, named[1], "You do not have permission")

	giveAway := rows[0].Record
	giveAway.Owner = "other/lxd"
	_, err = s.Update(t.Context(), []ipam.Edit{{Before: rows[0], After: giveAway}})
	_, named = mustRefuse(t, err)
	require.Contains(t, named[0], "You do not have permission")

	err = s.Delete(t.Context(), ipam.Address, []int{rows[0].ID, theirs})
	_, named = mustRefuse(t, err)
	require.Len(t, named, 1)
	require.Contains(t, named[1], "does not exist")

	renamed := rows[1].Record
	renamed.Attrs.UsedBy = "/renamed"
	_, err = s.Update(t.Context(), []ipam.Edit{{Before: rows[1], After: renamed}})
	require.NoError(t, err)
	require.NoError(t, s.Delete(t.Context(), ipam.Address, []int{rows[0].ID, rows[1].ID}))
	_, err = limited.Setup(t.Context(), true)
	require.NoError(t, err, "looking needs no more")
}
