package lxd_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/fixtures"
	"allocsync/sources"
	"allocsync/sources/lxd"
)

func TestCheck(t *testing.T) {
	answers := func(title, at string) sources.Finding {
		return sources.Finding{OK: true, Text: title + " answers at " + at + " and trusts this client"}
	}
	t.Run("all is well", func(t *testing.T) {
		at := serve(t, fixtures.LXD("lxd-5.0.2"))
		require.Equal(t, []sources.Finding{
			answers("LXD 5.0.2", at),
			{OK: true, Text: "it lacks the API extension network_allocations (LXD before 5.16): networks, leases, forwards and load balancers are read instead, which is as complete and takes more requests"},
			{OK: true, Text: "it hands out 4 prefixes and 10 addresses in the projects default, shared-net"},
		}, mustOpen(t, at).Check(t.Context()))
	})
	t.Run("a project is missing", func(t *testing.T) {
		at := serve(t, fixtures.LXD("incus-6.0.4"))
		require.Equal(t, []sources.Finding{
			answers("Incus 6.0.4", at),
			{OK: true, Text: "it lists allocations itself (API extension network_allocations)"},
			{
				Text: `project nope: read /1.0/projects/nope: the server answers 404 "Project not found"`,
				Fix:  "correct or remove the name in projects",
			},
			{OK: true, Text: "it hands out 4 prefixes and 14 addresses in the projects default"},
		}, mustOpen(t, at, func(o *lxd.Options) { o.Projects = []string{"default", "nope"} }).Check(t.Context()))
	})
	t.Run("nothing to see", func(t *testing.T) {
		at := serve(t, fixtures.LXD("broken-nothing"))
		findings := mustOpen(t, at).Check(t.Context())
		require.Equal(t, sources.Finding{
			Text: "the server hands nothing out, as far as this client may see",
			Fix:  "if it has managed networks, let the certificate see their projects: incus config trust edit FINGERPRINT (LXD: lxc config trust edit)",
		}, findings[len(findings)-1])
	})
	t.Run("not trusted", func(t *testing.T) {
		at := serve(t, http.HandlerFunc(refuse))
		require.Equal(t, []sources.Finding{{
			Text: `read /1.0: the server answers 403 "not authorized"`,
			Fix:  "run allocsync as root or as a member of the group incus-admin (LXD: lxd)",
		}}, mustOpen(t, at).Check(t.Context()))
	})
	t.Run("no server", func(t *testing.T) {
		findings := mustOpen(t, "unix://"+t.TempDir()+"/none").Check(t.Context())
		require.Len(t, findings, 1)
		require.Contains(t, findings[0].Fix, "is the server running")
	})
}
