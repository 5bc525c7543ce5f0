package netbox

import (
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
)

func TestNames(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		rd := "65000:" + b.run[1:9]
		named := map[string]any{"name": b.run + "-twin", "enforce_unique": true}
		first := b.mustMake(t, "/api/ipam/vrfs/", named)
		second := b.mustMake(t, "/api/ipam/vrfs/", map[string]any{"name": b.run + "-twin", "rd": rd})
		b.vrf(t, "only")
		prepare := func(refs Refs) error {
			_, err := b.client.Prepare(t.Context(), refs)
			return err
		}

		err := prepare(Refs{VRFs: []string{b.run + "-twin"}})
		require.ErrorContains(t, err, "is ambiguous: NetBox has ID "+text(first)+" without rd, ID "+text(second)+" with rd "+rd+"; name it by its rd")

		s := b.mustPrepare(t, Refs{VRFs: []string{rd, b.run + "-only", rd, ""}})
		made := mustCreate(t, s, b.address(rd, "10.80.0.1/24"), b.address(b.run+"-only", "10.80.0.1/24"))
		require.Equal(t, rd, made[0].Place.VRF)

		err = prepare(Refs{VRFs: []string{b.run + "-nowhere"}})
		require.ErrorContains(t, err, `NetBox has no VRF "`+b.run+`-nowhere" (by name or rd); it has `)

		b.mustMake(t, "/api/ipam/vrfs/", map[string]any{"name": b.run + "-both", "rd": rd + "1"})
		err = prepare(Refs{VRFs: []string{b.run + "-both", rd + "1"}})
		require.ErrorContains(t, err, "are one and the same VRF")

		b.mustMake(t, "/api/tenancy/tenants/", map[string]any{"name": b.run + " A", "slug": b.run + "-a"})
		err = prepare(Refs{Tenants: []string{b.run + "-a", b.run + " A"}})
		require.ErrorContains(t, err, "are one and the same tenant")

		err = prepare(Refs{Tenants: []string{"no-" + b.run}, Roles: []string{"no-" + b.run}, Tags: []string{"no-" + b.run}})
		require.ErrorContains(t, err, "no tenant")
		require.ErrorContains(t, err, "no IPAM role")
		require.ErrorContains(t, err, "no tag", "all that is wrong is said at once")

		_, err = s.Create(t.Context(), []ipam.Record{b.address("never-named", "10.80.0.2/24")})
		_, rows := mustRefuse(t, err)
		require.Contains(t, rows[0], `VRF "never-named" was not among the names`)
	})
}

func text(id int) string { return texts([]int{id})[0] }
