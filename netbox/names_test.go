package netbox

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
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

// Of two names for one object one counts, whatever order they come in: what the
// rules spell out, else the name. The other is one that no row can carry.
func TestTwoNamesForOneObject(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		name, rd, tenant, slug := b.run+"-both", "65000:"+b.run[1:9], b.run+" A", b.run+"-a"
		vrf := text(b.mustMake(t, "/api/ipam/vrfs/", map[string]any{"name": name, "rd": rd}))
		holder := text(b.mustMake(t, "/api/tenancy/tenants/", map[string]any{"name": tenant, "slug": slug}))
		for range 2 {
			for _, refs := range []Refs{
				{VRFs: []string{name, rd}, Tenants: []string{slug, tenant}},
				{VRFs: []string{rd, name}, Tenants: []string{tenant, slug}, FirmVRFs: []string{rd, name}, FirmTenants: []string{slug, tenant}},
				{VRFs: []string{rd, name}, Tenants: []string{tenant, slug}, FirmVRFs: []string{name}, FirmTenants: []string{tenant}},
			} {
				s := b.mustPrepare(t, refs)
				require.Equal(t, Unresolved{
					VRFs:    map[string]string{rd: `"` + rd + `" names the same VRF as "` + name + `" (ID ` + vrf + `); use one of them everywhere`},
					Tenants: map[string]string{slug: `"` + slug + `" names the same tenant as "` + tenant + `" (ID ` + holder + `); use one of them everywhere`},
					Roles:   map[string]string{}, Tags: map[string]string{}, SameVRF: map[string]string{rd: name},
				}, s.Unresolved())
			}
			firm := b.mustPrepare(t, Refs{VRFs: []string{rd, name}, Tenants: []string{tenant, slug}, FirmVRFs: []string{rd}, FirmTenants: []string{slug}})
			require.Equal(t, map[string]string{name: rd}, firm.Unresolved().SameVRF)
			require.Contains(t, firm.Unresolved().Tenants, tenant)
			record := b.address(rd, "10.80.1.1/24")
			record.Attrs.Tenant = slug
			made := mustCreate(t, firm, record)[0]
			require.Equal(t, record.Place, made.Place)
			require.Equal(t, slug, made.Attrs.Tenant)
			require.NoError(t, firm.Delete(t.Context(), ipam.Address, []int{made.ID}))
		}
	})
}

// What a name means depends on no other name of the pass.
func TestNamesMeanTheSameInAnyCompany(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		rd := "65000:" + b.run[1:9]
		first := b.mustMake(t, "/api/ipam/vrfs/", map[string]any{"name": b.run, "rd": rd})
		second := b.mustMake(t, "/api/ipam/vrfs/", map[string]any{"name": rd})
		defer func() {
			_, failed := b.client.write(t.Context(), http.MethodDelete, fmt.Sprintf("/api/ipam/vrfs/%d/", second), nil)
			require.Nil(t, failed)
		}()
		byCode := b.mustMake(t, "/api/tenancy/tenants/", map[string]any{"name": b.run + " One", "slug": b.run})
		byName := b.mustMake(t, "/api/tenancy/tenants/", map[string]any{"name": b.run, "slug": b.run + "-2"})
		upper := b.run + "-Up" // a slug that looks like a name
		b.mustMake(t, "/api/tenancy/tenants/", map[string]any{"name": b.run + " Two", "slug": upper})
		named := b.mustMake(t, "/api/tenancy/tenants/", map[string]any{"name": upper, "slug": b.run + "-3"})
		for _, others := range [][]string{nil, {"no " + b.run}, {"no-" + b.run}, {"no:" + b.run}, {b.run + " One"}} {
			s := b.mustPrepare(t, Refs{VRFs: append([]string{rd}, others...), Tenants: append([]string{b.run, upper}, others...)})
			require.Equal(t, first, s.names.vrfs[rd])
			require.Equal(t, named, s.names.tenants[upper])
			if len(others) == 0 || others[0] != b.run+" One" {
				require.Equal(t, byCode, s.names.tenants[b.run])
			}
			require.Equal(t, b.run+"-2", s.spellTenant(related{ID: byName, Slug: b.run + "-2"}))
			require.Equal(t, upper+" (#7)", s.spellTenant(related{ID: 7, Slug: upper}), "no ref of this session")
		}
	})
}

// A name out of a source may be anything. None makes the look-up fail, none
// means something else, and the names beside it are found.
func TestOddNames(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		good, id := b.vrf(t, "good")
		b.vrf(t, "without an rd")
		long := strings.Repeat("a", 101)
		tenant := b.mustMake(t, "/api/tenancy/tenants/", map[string]any{"name": b.run, "slug": b.run})
		odd := []string{"null", "None", "NULL", long, long[:100], strings.Repeat("ä", 100), strings.Repeat("😀", 101), strings.Repeat("x", 1<<20),
			" " + good, good + " ", good + "\u00a0", "\n", "a\nb", "a\x00b", "\xff", "\u200b", "\ufffd", "\uffff", "%", "%00", "%6eull", "a,b", "a&name=" + good, "a#b", "a=b", "a+b", "?", ";", "..", "../../", "'", "\"", "\\", "<script>", "{project}", "0", "-", "null,null", "𐍈"}
		s := b.mustPrepare(t, Refs{VRFs: append(odd, good), Tenants: append(odd, b.run), Roles: odd, Tags: odd})
		require.Equal(t, map[string]int{good: id}, s.names.vrfs)
		require.Equal(t, map[string]int{b.run: tenant}, s.names.tenants)
		u := s.Unresolved()
		for _, bad := range []map[string]string{u.VRFs, u.Tenants, u.Roles, u.Tags} {
			require.Len(t, bad, len(odd))
			for name, why := range bad {
				require.NotEmpty(t, why)
				require.Less(t, len(why), 2000, "%.20q", name)
			}
		}
		require.Equal(t, `NetBox can have no VRF "`+long[:60]+`…": it is longer than the 100 characters that NetBox keeps`, u.VRFs[long])
		require.Equal(t, `NetBox can have no VRF "a\x00b": it has control characters`, u.VRFs["a\x00b"])
		require.Equal(t, `NetBox can have no VRF "`+good+` ": it has white space around it`, u.VRFs[good+" "])

		s = b.mustPrepare(t, Refs{VRFs: []string{"null"}})
		require.Contains(t, s.Unresolved().VRFs["null"], `NetBox has no VRF "null" (by name or rd)`)
		made := b.mustMake(t, "/api/ipam/vrfs/", map[string]any{"name": "null"})
		defer func() {
			_, failed := b.client.write(t.Context(), http.MethodDelete, fmt.Sprintf("/api/ipam/vrfs/%d/", made), nil)
			require.Nil(t, failed)
		}()
		s = b.mustPrepare(t, Refs{VRFs: []string{"null", good}})
		require.Equal(t, map[string]int{good: id, "null": made}, s.names.vrfs)
		if b.embedded != nil {
			for _, r := range b.embedded.Requests() {
				require.NotContains(t, r.Query+"&", "=null&", "which lists what has none")
			}
		}
	})
}

// A server that compares more loosely than byte for byte, as a database does
// whose collation ignores case, gives no name another meaning; and one that cuts
// its pages shorter than asked hides nothing.
func TestLooseAndShortAnswers(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("id__gte") == "" {
			_, _ = w.Write([]byte(`{"next": "/more", "results": [{"id": 3, "name": "ACME", "slug": "ACME"}, {"id": 4, "name": "ａｃｍｅ", "slug": "x"}]}`))
			return
		}
		_, _ = w.Write([]byte(`{"next": null, "results": [{"id": 9, "name": "Acme Corp", "slug": "acme"}]}`))
	}))
	t.Cleanup(server.Close)
	c := mustOpen(t, Options{URL: server.URL, Token: "scripted-token", Retries: -1})
	found, bad, err := c.lookUp(t.Context(), Version{Major: 4, Minor: 7}, tenantModel(), []string{"acme"})
	require.NoError(t, err)
	require.Empty(t, bad)
	require.Equal(t, 9, found["acme"].ID)
	require.Equal(t, 2, asked)
}

func text(id int) string { return texts([]int{id})[0] }
