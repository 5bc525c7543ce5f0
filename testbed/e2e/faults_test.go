package e2e_test

import (
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// mustHang returns a unix socket at which connections are taken and nothing is
// ever answered.
func mustHang(t *testing.T) string {
	t.Helper()
	socket := filepath.Join(mustFolder(t), "unix.socket")
	hang(t, "unix", socket)
	return socket
}

func hang(t *testing.T, network, address string) net.Addr {
	t.Helper()
	listener, err := net.Listen(network, address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = connection.Close() })
		}
	}()
	return listener.Addr()
}

// newStanding is a world in step, with a change waiting at its source, so that
// what does nothing is told from what has nothing to do.
func newStanding(t *testing.T) (*world, rows) {
	t.Helper()
	w := newWorld(t)
	lxd := newLXD(t, append(instances(3), br0())...)
	w.configure(source("lab", lxd.socket))
	w.mustSync(exitInStep)
	lxd.lists(append(instances(2), br0(), instance("new", "10.81.1.1"))...)
	w.netboxKeys = []string{"retries: 0", "timeout: 2s"}
	w.configure(source("lab", lxd.socket))
	return w, w.rows()
}

// Whatever is wrong with NetBox or the way to it, the program says what and
// changes nothing.
func TestNetBoxCannotBeUsed(t *testing.T) {
	portal := func(w *world) { w.proxy.breaks(func(request) fault { return pageOfHTML }) }
	cases := map[string]struct {
		spoil func(w *world)
		says  []string
	}{
		"wrong token, version 1":  {func(w *world) { w.token = strings.Repeat("0123", 10) }, []string{"Invalid v1 token"}},
		"wrong token, version 2":  {func(w *world) { w.token = "nbt_aaaaaaaaaaaa." + strings.Repeat("b", 40) }, []string{"Invalid v2 token"}},
		"the URL of a page":       {func(w *world) { w.url += "/login" }, []string{"netbox.url"}},
		"a portal's page":         {portal, []string{"HTML", "Sign in to Example Corp", "netbox.url"}},
		"nobody listens":          {func(w *world) { w.url = "http://127.0.0.1:1" }, []string{"connection refused"}},
		"no such host":            {func(w *world) { w.url = "http://netbox.invalid" }, []string{"netbox.invalid"}},
		"https on a plain server": {func(w *world) { w.url = strings.Replace(w.url, "http:", "https:", 1) }, []string{"TLS", "netbox.url"}},
		"no answer":               {func(w *world) { w.url = "http://" + hang(w.T, "tcp", "127.0.0.1:0").String() }, []string{"2s"}},
		"silence in the middle": {func(w *world) {
			w.proxy.breaks(func(r request) fault {
				if r.isOf(http.MethodGet, "ip-addresses") {
					return silence
				}
				return noFault
			})
		}, []string{"read own rows", "2s"}},
		"bad gateway for good": {func(w *world) { w.proxy.breaks(func(request) fault { return badGateway }) }, []string{"502"}},
	}
	standing, before := newStanding(t)
	lab := mustSource(standing)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := *standing // as it was before the last case spoilt it
			w.T = t
			w.proxy.breaks(nil)
			c.spoil(&w)
			secrets.add(w.token)
			w.configure(lab)
			w.proxy.forget()
			begun := time.Now()
			o := w.mustRun(exitFailed, "sync")
			require.Less(t, time.Since(begun), 20*time.Second)
			for _, part := range c.says {
				require.Contains(t, o.stderr, part)
			}
			require.Empty(t, w.proxy.writes())
			o = w.mustRun(exitFailed, "check")
			require.Contains(t, unbroken(o.stdout), c.says[len(c.says)-1], "check says the same\n%s", o)
			require.Equal(t, before, w.rows())
		})
	}
}

// mustSource is the sources' part of the configuration file as it stands.
func mustSource(w *world) string {
	w.Helper()
	_, after, ok := strings.Cut(mustRead(w.T, w.configPath()), "sources:\n")
	require.True(w, ok)
	list, _, _ := strings.Cut(after, "rules:\n")
	return list
}

// A token that may only view changes nothing, and both sync and check say what
// it lacks.
func TestViewOnlyToken(t *testing.T) {
	w, before := newStanding(t)
	w.token = w.mustToken(permission{actions: []string{"view"}, on: everything()})
	w.configure(mustSource(w))

	require.Equal(t, 2, len(w.mustSync(exitChanges, "--dry-run").Changes), "a dry run needs no more than to view")
	o := w.run("sync")
	require.Contains(t, []int{exitFailed, exitPartly}, o.code, "%s", o)
	require.Contains(t, o.stdout+o.stderr, "permission")
	require.Equal(t, before, w.rows())

	o = w.mustRun(exitFailed, "check")
	require.Contains(t, unbroken(o.stdout), `"custom_field_data__sync_owner__startswith":"`+w.installation+`/"`, "check proposes the permission")
}

// The least that the program needs: to view, and to write rows whose owner
// begins with the installation's name. NetBox itself then keeps it from
// everything else.
func TestLeastPrivilege(t *testing.T) {
	w := newWorld(t)
	lxd := newLXD(t, append(instances(4), br0())...)
	w.token = w.mustToken(
		permission{actions: []string{"view"}, on: everything()},
		permission{actions: []string{"add", "change", "delete"}, on: []string{"ipam.ipaddress", "ipam.prefix"},
			constraint: object{"custom_field_data__sync_owner__startswith": w.installation + "/"}},
	)
	w.configure(source("lab", lxd.socket))
	o := w.mustRun(exitInStep, "check")
	require.NotContains(t, o.stdout, "✗")
	w.mustSync(exitInStep)
	require.Len(t, w.rows(), 6)

	renamed := instance("i1", "10.81.3.1")
	renamed.UsedBy = "/1.0/instances/renamed"
	lxd.lists(renamed, instance("i2", "10.81.3.2"), instance("i3", "10.81.7.3"), br0())
	r := w.mustSync(exitInStep)
	require.Equal(t, []string{
		"done update 10.81.3.1/16 used_by /1.0/instances/i1 -> /1.0/instances/renamed",
		"done update 10.81.7.3/16 address 10.81.3.3/16 -> 10.81.7.3/16",
		"done delete 10.81.3.4/16",
	}, r.lines())
	w.mustInStep()
}

// permission is one of NetBox's object permissions.
type permission struct {
	actions, on []string
	constraint  object
}

func everything() []string {
	return []string{"ipam.ipaddress", "ipam.prefix", "ipam.vrf", "ipam.role", "tenancy.tenant", "extras.tag", "extras.customfield"}
}

// mustToken makes a user with these permissions and no others, and a token.
func (w *world) mustToken(permissions ...permission) string {
	w.Helper()
	name := w.installation + "-" + randomHex(2)
	user := id(w.netbox.mustCreate(w.T, "users/users", object{"username": name, "password": "Aa1-" + randomHex(16)}))
	for i, p := range permissions {
		w.netbox.mustCreate(w.T, "users/permissions", object{
			"name": name + "-" + string(rune('a'+i)), "object_types": p.on, "actions": p.actions,
			"constraints": p.constraint, "users": []int{user},
		})
	}
	token := w.netbox.mustCreate(w.T, "users/tokens", object{"user": user, "version": 2})
	key, secret := text(token["key"]), text(token["token"])
	if !strings.HasPrefix(secret, "nbt_") {
		secret = "nbt_" + key + "." + secret
	}
	secrets.add(secret)
	return secret
}
