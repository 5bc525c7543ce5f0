package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// reserved is what the tests read of the commands' JSON.
type reserved struct {
	Source, Address, VRF, Network, MAC, For, Name, Type, State, Reason string
	UsedBy                                                             string `json:"used_by"`
	Row                                                                int
}

func (l *lifecycle) mustReserve(args ...string) reserved {
	l.Helper()
	o := l.mustRun(exitInStep, append(args, "--format", "json")...)
	var r reserved
	require.NoError(l, json.Unmarshal([]byte(o.stdout), &r), "%s", o)
	return r
}

func (l *lifecycle) reservations(args ...string) []reserved {
	l.Helper()
	o := l.mustRun(exitInStep, append([]string{"reservations", "--format", "json"}, args...)...)
	var list struct{ Reservations []reserved }
	require.NoError(l, json.Unmarshal([]byte(o.stdout), &list), "%s", o)
	return slices.DeleteFunc(list.Reservations, func(r reserved) bool { // other tests reserve there too
		return r.Network != "/1.0/networks/"+l.incus.a.name
	})
}

// By command at a real Incus: for an instance, and for nobody at an address that
// NetBox chooses; what is refused leaves nothing behind.
func TestReserveByCommand(t *testing.T) {
	l := newReserving(t)
	l.token = l.netbox.token // it makes and deletes rows of nobody's
	a := l.incus.a
	web := l.incus.prefix + "-web"
	l.incus.create("create", "default", []string{web}, "--network", a.name)
	l.mustPass("the network has its rows", func() bool { return len(l.rows()) == 8 })

	r := l.mustReserve("reserve", "--source", "lab", "--network", a.name, "--address", a.v4(44), "--node", web, "--nic", "eth0")
	require.Equal(t, "held", r.State)
	require.Equal(t, "/1.0/instances/"+web, r.UsedBy)
	require.Equal(t, a.v4(44), l.incus.static(web))
	row := l.rows().by()[a.v4(44)+"/24"]
	require.Equal(t, []string{"reserved", "/1.0/instances/" + web, "instance", r.MAC}, []string{row.Status, row.UsedBy, row.Type, row.MAC})
	require.Equal(t, r, l.mustReserve("reserve", "--source", "lab", "--network", a.name, "--address", a.v4(44), "--node", web), "twice is once")
	require.Len(t, l.rows(), 9)

	free := l.mustReserve("reserve", "--source", "lab", "--network", a.v4(0)+"/24", "--user", "printer")
	require.Equal(t, a.v4(2)+"/24", free.Address, "the first one that is free in NetBox and not handed out by DHCP")
	require.Contains(t, l.incus.forwards(a), a.v4(2))
	l.mustInStep()
	require.Len(t, l.reservations(), 2)

	before := l.rows()
	for _, refused := range [][]string{
		{"--address", a.v4(150)},                              // the DHCP server's
		{"--address", a.v4(1)},                                // the gateway's
		{"--address", a.v4(45), "--mac", "02:00:5e:00:53:02"}, // of no instance
		{"--address", a.v4(45), "--node", "no-such-instance"},
	} {
		o := l.mustRun(exitFailed, append([]string{"reserve", "--source", "lab", "--network", a.name}, refused...)...)
		require.Equal(t, 1, strings.Count(o.stderr, "allocsync: "), "%s", o)
	}
	require.Equal(t, before, l.rows(), "nothing is left behind")

	l.incus.must("start", web)
	mustBecome(t, 30*time.Second, "the address in the instance", func() bool { return l.incus.has(web, a.v4(44)) })
	o := l.mustRun(exitFailed, "release", "--source", "lab", a.v4(44))
	require.Contains(t, o.stderr, "in use at the source")
	require.Equal(t, before, l.rows())
	l.incus.must("stop", "-f", web)
	require.Equal(t, "released", l.mustReserve("release", "--source", "lab", a.v4(44)).State)
	l.mustReserve("release", "--source", "lab", a.v4(2))
	require.Empty(t, l.incus.static(web))
	require.Empty(t, l.incus.forwards(a))
	l.mustRun(exitFailed, "release", "--source", "lab", a.v4(2))
	require.Len(t, l.rows().of(""), 0)
}

// While serve runs it has the ledger: the command says so, and asks it.
func TestReserveBesideServe(t *testing.T) {
	l := newLifecycle(t)
	a := l.incus.a
	l.incus.must("network", "set", a.name, "ipv4.dhcp.ranges="+a.v4(100)+"-"+a.v4(200))
	token := randomHex(16)
	secrets.add(token)
	k := l.served([]string{source("lab", l.incus.socket, "reserve: true")}, "api_token: "+token)
	d := l.mustServe(k)
	d.mustPass(1)
	o := l.mustRun(exitFailed, "reserve", "--source", "lab", "--network", a.name)
	require.Contains(t, o.stderr, "--server")
	require.NoError(t, os.WriteFile(filepath.Join(l.folder, "token"), []byte(token+"\n"), 0o600))
	there := []string{"--server", d.base, "--token-file", "token"}
	r := l.mustReserve(append([]string{"reserve", "--source", "lab", "--network", a.name, "--user", "vip"}, there...)...)
	require.Equal(t, a.v4(2)+"/24", r.Address)
	require.Contains(t, l.incus.forwards(a), a.v4(2))
	require.Len(t, l.reservations(there...), 1)
	require.Equal(t, "held", l.reservations(append([]string{a.v4(2)}, there...)...)[0].State)
	d.mustPass(2)
	require.Equal(t, "released", l.mustReserve(append([]string{"release", "--source", "lab", a.v4(2)}, there...)...).State)
	require.Empty(t, l.incus.forwards(a))
	d.mustStop()
}
