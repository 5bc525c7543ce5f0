package lxd_test

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/fixtures"
	"allocsync/sources"
	"allocsync/sources/lxd"
)

// TestErrors: what goes wrong with a list that covers everything is an error,
// and its text says what to do.
func TestErrors(t *testing.T) {
	const list = "1.0/network-allocations__all-projects=true.json"
	for _, test := range []struct {
		name, file, answer string
		cause              error
		text               string
	}{
		{
			"not trusted", "1.0.json", `{"auth":"untrusted","api_extensions":["network_allocations"]}`, sources.ErrDenied,
			`read /1.0: access denied: the server does not trust this client (auth "untrusted"); run allocsync as root or as a member of the group incus-admin (LXD: lxd)`,
		},
		{
			"forbidden", list, failure(http.StatusForbidden, "not authorized"), sources.ErrDenied,
			`read /1.0/network-allocations?all-projects=true: the server answers 403 "not authorized"; run allocsync as root or as a member of the group incus-admin (LXD: lxd)`,
		},
		{
			"forbidden by a 500", "1.0/networks__all-projects=true,recursion=1.json", failure(http.StatusInternalServerError, `User does not have permissions for project "web"`), sources.ErrDenied,
			`read /1.0/networks?all-projects=true&recursion=1: the server answers 500 "User does not have permissions for project \"web\""; run allocsync as root or as a member of the group incus-admin (LXD: lxd)`,
		},
		{
			"the server fails", list, failure(http.StatusInternalServerError, "Failed getting leases"), sources.ErrUnreachable,
			`read /1.0/network-allocations?all-projects=true: the server answers 500 "Failed getting leases"`,
		},
		{
			"an error with status 200", list, `{"type":"error","error":"database is locked"}`, nil,
			`read /1.0/network-allocations?all-projects=true: the server answers 200 "database is locked"`,
		},
		{
			"an operation", list, `{"type":"async","metadata":{}}`, sources.ErrUnreachable,
			`read /1.0/network-allocations?all-projects=true: source cannot be reached: the answer is of type "async", want sync: is this Incus or LXD?`,
		},
		{
			"null in place of a list", list, `{"type":"sync","metadata":null}`, sources.ErrUnreachable,
			`read /1.0/network-allocations?all-projects=true: source cannot be reached: the answer holds no metadata`,
		},
		{
			"another type", list, `{"type":"sync","metadata":{"addresses":"10.1.2.3/32"}}`, sources.ErrUnreachable,
			`read /1.0/network-allocations?all-projects=true: source cannot be reached: the answer is not what the API promises: json: cannot unmarshal object into Go value of type []lxd.row`,
		},
		{
			"an address that is a number", list, `{"type":"sync","metadata":[{"addresses":5}]}`, sources.ErrUnreachable,
			`read /1.0/network-allocations?all-projects=true: source cannot be reached: the answer is not what the API promises: an address is neither a string nor a list of strings`,
		},
		{
			"no projects", "1.0/projects__recursion=1.json", failure(http.StatusNotFound, "not found"), nil,
			`read /1.0/projects?recursion=1: the server answers 404 "not found"`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			at := serve(t, changed{"incus-6.0.4-plain", map[string]string{test.file: test.answer}})
			snapshot, err := mustOpen(t, at).Snapshot(t.Context())
			require.EqualError(t, err, "snapshot of "+at+": "+test.text)
			if test.cause != nil {
				require.ErrorIs(t, err, test.cause)
			}
			require.Zero(t, snapshot)
		})
	}
}

// TestMissing: what goes wrong with a part leaves the rest.
func TestMissing(t *testing.T) {
	fail := failure(http.StatusInternalServerError, "boom")
	for _, test := range []struct {
		name, scenario string
		projects       []string
		answers        map[string]string
		want           []string
		rest           int // allocations that are listed all the same
	}{
		{
			"leases of a shared project", "incus-6.0.4", nil,
			map[string]string{"1.0/networks/brpub/leases__project=shared-net.json": fail},
			[]string{`project shared-net: read /1.0/networks/brpub/leases?project=shared-net: the server answers 500 "boom"`}, 18,
		},
		{
			"two leases of a shared project", "incus-6.0.4", nil,
			map[string]string{"1.0/networks/brpub/leases__project=shared-net.json": fail, "1.0/networks/mv1/leases__project=shared-net.json": fail},
			[]string{`project shared-net: read /1.0/networks/brpub/leases?project=shared-net: the server answers 500 "boom" (and 1 more)`}, 18,
		},
		{
			"instances", "incus-6.0.4", nil,
			map[string]string{"1.0/instances__all-projects=true,recursion=1.json": fail},
			[]string{`instances: read /1.0/instances?all-projects=true&recursion=1: the server answers 500 "boom"`}, 18,
		},
		{
			"instances of one project", "incus-6.0.4", []string{"default", "shared-net"},
			map[string]string{"1.0/instances__project=shared-net,recursion=1.json": fail},
			[]string{`project shared-net: read /1.0/instances?project=shared-net&recursion=1: the server answers 500 "boom"`}, 18,
		},
		{
			"leases that would tell whose a contested address is", "incus-6.0.4-ovn", nil,
			map[string]string{"1.0/networks/brnat/leases__project=default.json": fail},
			[]string{`leases of network brnat of project default: read /1.0/networks/brnat/leases?project=default: the server answers 500 "boom"`}, 41,
		},
		{
			"a project that does not exist", "incus-6.0.4", []string{"default", "nope"},
			nil,
			[]string{`project nope: read /1.0/projects/nope: the server answers 404 "Project not found"; correct or remove the name in projects`}, 18,
		},
		{
			"a project that may not be seen", "incus-6.0.4-restricted-own", []string{"own-net", "nope"},
			nil,
			[]string{`project nope: read /1.0/projects/nope: the server answers 403 "User does not have permission for project \"nope\""; run allocsync as root or as a member of the group incus-admin (LXD: lxd)`}, 9,
		},
		{
			"allocations of one project", "incus-6.0.4-ovn", []string{"default", "own-net"},
			map[string]string{"1.0/network-allocations__project=own-net.json": failure(http.StatusNotFound, "Project not found")},
			[]string{`project own-net: read /1.0/network-allocations?project=own-net: the server answers 404 "Project not found"`}, 25,
		},
		{
			"networks of one project", "incus-6.0.4-ovn", []string{"default", "own-net"},
			map[string]string{"1.0/networks__project=own-net,recursion=1.json": fail},
			[]string{`project own-net: read /1.0/networks?project=own-net&recursion=1: the server answers 500 "boom"`}, 25,
		},
		{
			"leases of a network, without network-allocations", "lxd-5.0.2", nil,
			map[string]string{"1.0/networks/brnat/leases__project=default.json": fail},
			[]string{`network brnat of project default: read /1.0/networks/brnat/leases?project=default: the server answers 500 "boom"`}, 12,
		},
		{
			"a 400 that does not say that the network keeps no leases", "incus-6.0.4", nil,
			map[string]string{"1.0/networks/brpub/leases__project=shared-net.json": failure(http.StatusBadRequest, "Bad Request")},
			[]string{`project shared-net: read /1.0/networks/brpub/leases?project=shared-net: the server answers 400 "Bad Request"`}, 18,
		},
		{
			"a 501 that says nothing", "lxd-5.0.2", nil,
			map[string]string{"1.0/networks/brnat/leases__project=default.json": failure(http.StatusNotImplemented, "not recorded")},
			[]string{`network brnat of project default: read /1.0/networks/brnat/leases?project=default: the server answers 501 "not recorded"`}, 12,
		},
		{
			"forwards of a network, without network-allocations", "lxd-5.0.2", nil,
			map[string]string{"1.0/networks/brpub/forwards__project=default,recursion=1.json": fail},
			[]string{`network brpub of project default: read /1.0/networks/brpub/forwards?project=default&recursion=1: the server answers 500 "boom"`}, 13,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			at := serve(t, changed{test.scenario, test.answers})
			snapshot, err := mustOpen(t, at, func(o *lxd.Options) { o.Projects = test.projects }).Snapshot(t.Context())
			require.NoError(t, err)
			require.Equal(t, test.want, lines(snapshot.Missing))
			require.Len(t, snapshot.Allocations, test.rest, text(snapshot.Allocations))
		})
	}
}

// TestNothingButMissing: a reading of which every part is missing is an error.
func TestNothingButMissing(t *testing.T) {
	at := serve(t, fixtures.LXD("incus-6.0.4"))
	_, err := mustOpen(t, at, func(o *lxd.Options) { o.Projects = []string{"nope"} }).Snapshot(t.Context())
	require.EqualError(t, err, "snapshot of "+at+`: project nope: read /1.0/projects/nope: the server answers 404 "Project not found"; correct or remove the name in projects`)

	at = serve(t, changed{"incus-6.0.4", map[string]string{"1.0/network-allocations__project=default.json": failure(http.StatusForbidden, "not authorized")}})
	_, err = mustOpen(t, at, func(o *lxd.Options) { o.Projects = []string{"default"} }).Snapshot(t.Context())
	require.ErrorIs(t, err, sources.ErrDenied)
}

func TestSocketErrors(t *testing.T) {
	dir := t.TempDir()
	_, err := mustOpen(t, "unix://"+dir+"/none").Snapshot(t.Context())
	require.ErrorIs(t, err, sources.ErrUnreachable)
	require.ErrorContains(t, err, "no such file or directory; no such socket: is the server running, and its socket mounted into the container?")

	listener, err := net.Listen("unix", filepath.Join(dir, "dead"))
	require.NoError(t, err)
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, listener.Close())
	_, err = mustOpen(t, "unix://"+dir+"/dead").Snapshot(t.Context())
	require.ErrorIs(t, err, sources.ErrUnreachable)

	if os.Geteuid() != 0 { // root may connect to any socket
		require.NoError(t, os.Chmod(dir, 0))
		_, err = mustOpen(t, "unix://"+dir+"/dead").Snapshot(t.Context())
		require.NoError(t, os.Chmod(dir, 0o700)) // or it cannot be removed
		require.ErrorIs(t, err, sources.ErrDenied)
	}
}

func TestTimeout(t *testing.T) {
	at := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	_, err := mustOpen(t, at, func(o *lxd.Options) { o.Timeout = 50 * time.Millisecond }).Snapshot(t.Context())
	require.EqualError(t, err, "snapshot of "+at+": read /1.0: source cannot be reached: no answer within 50ms")
}

func TestTooLarge(t *testing.T) {
	big := `["` + strings.Repeat("x", 100<<10) + `"]`
	at := serve(t, changed{"incus-6.0.4-plain", map[string]string{"1.0/network-allocations__all-projects=true.json": big}})
	_, err := mustOpen(t, at, func(o *lxd.Options) { o.MaxBytes = 64 << 10 }).Snapshot(t.Context())
	require.ErrorIs(t, err, sources.ErrUnreachable)
	require.ErrorContains(t, err, "read /1.0/network-allocations?all-projects=true: ")
	require.ErrorContains(t, err, "raise max_bytes")
}

func TestRedirectIsNotFollowed(t *testing.T) {
	at := serve(t, http.RedirectHandler("http://elsewhere.example/", http.StatusFound))
	_, err := mustOpen(t, at).Snapshot(t.Context())
	require.ErrorIs(t, err, sources.ErrUnreachable)
}
