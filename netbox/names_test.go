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

		require.Equal(t, map[string]string{b.run + "-twin": `VRF "` + b.run + `-twin" is ambiguous: NetBox has ID ` + text(first) + " without rd, ID " + text(second) + " with rd " + rd + "; name it by its rd"},
			b.mustPrepare(t, Refs{VRFs: []string{b.run + "-twin"}}).Unresolved().VRFs)

		s := b.mustPrepare(t, Refs{VRFs: []string{rd, b.run + "-only", rd, ""}})
		made := mustCreate(t, s, b.address(rd, "10.80.0.1/24"), b.address(b.run+"-only", "10.80.0.1/24"))
		require.Equal(t, rd, made[0].Place.VRF)

		require.True(t, s.Unresolved().Empty())

		nowhere := b.mustPrepare(t, Refs{VRFs: []string{b.run + "-nowhere", rd}})
		require.Len(t, nowhere.Unresolved().VRFs, 1, "the others are found")
		require.Contains(t, nowhere.Unresolved().VRFs[b.run+"-nowhere"], `NetBox has no VRF "`+b.run+`-nowhere" (by name or rd): add it at `+b.client.base+`/ipam/vrfs/add/, or name one that is there (`)
		if b.embedded != nil {
			require.Contains(t, nowhere.Unresolved().VRFs[b.run+"-nowhere"], b.run+"-only, "+b.run+"-twin")
		}
		mustCreate(t, nowhere, b.address(rd, "10.80.0.3/24"))
		_, err := nowhere.Create(t.Context(), []ipam.Record{b.address(rd, "10.80.0.4/24"), b.address(b.run+"-nowhere", "10.80.0.4/24")})
		_, rows := mustRefuse(t, err)
		require.Len(t, rows, 1)
		require.Contains(t, rows[1], "was not among the names", "no row is written without its VRF")

		b.mustMake(t, "/api/ipam/vrfs/", map[string]any{"name": b.run + "-both", "rd": rd + "1"})
		err = prepare(Refs{VRFs: []string{b.run + "-both", rd + "1"}})
		require.ErrorContains(t, err, "are one and the same VRF")

		b.mustMake(t, "/api/tenancy/tenants/", map[string]any{"name": b.run + " A", "slug": b.run + "-a"})
		err = prepare(Refs{Tenants: []string{b.run + "-a", b.run + " A"}})
		require.ErrorContains(t, err, "are one and the same tenant")

		missing := b.mustPrepare(t, Refs{Tenants: []string{"no-" + b.run}, Roles: []string{"no-" + b.run}, Tags: []string{"no-" + b.run}}).Unresolved()
		for _, c := range []struct {
			texts map[string]string
			want  string
		}{
			{missing.Tenants, `NetBox has no tenant "no-` + b.run + `" (by slug or name): add it at ` + b.client.base + "/tenancy/tenants/add/, or"},
			{missing.Roles, `NetBox has no IPAM role "no-` + b.run + `" (by slug): add it at ` + b.client.base + "/ipam/roles/add/, or"},
			{missing.Tags, `NetBox has no tag "no-` + b.run + `" (by slug): add it at ` + b.client.base + "/extras/tags/add/, or"},
		} {
			require.Len(t, c.texts, 1, "all that is wrong is said at once")
			require.Contains(t, c.texts["no-"+b.run], c.want)
		}
		require.Empty(t, missing.VRFs)

		_, err = s.Create(t.Context(), []ipam.Record{b.address("never-named", "10.80.0.2/24")})
		_, rows = mustRefuse(t, err)
		require.Contains(t, rows[0], `VRF "never-named" was not among the names`)
	})
}

func text(id int) string { return texts([]int{id})[0] }
