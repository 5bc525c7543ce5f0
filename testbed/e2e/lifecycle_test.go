package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lifecycle is a real Incus, a real NetBox, and what the steps hand on to each
// other.
type lifecycle struct {
	*world
	incus *incus
}

func newLifecycle(t *testing.T) *lifecycle {
	t.Helper()
	w := newWorld(t)
	l := &lifecycle{world: w, incus: newIncus(t)}
	w.rules = l.incus.rules(w.vrf)
	w.configure(source("lab", l.incus.socket))
	return l
}

// settle syncs until every change of the server has arrived, and returns the
// lines of all passes. Tests of other packages change the same server: while
// they do, a pass may find an answer incomplete and put off a delete.
func (l *lifecycle) settle(want ...string) []string {
	l.Helper()
	var lines []string
	mustBecome(l.T, time.Minute, "the changes "+strings.Join(want, "; "), func() bool {
		o := l.run("sync", "--format", "json")
		require.Contains(l, []int{exitInStep, exitPartly}, o.code, "%s", o)
		lines = append(lines, mustReport(l.T, o).lines()...)
		return len(lines) >= len(want)
	})
	require.Equal(l, want, lines)
	return lines
}

// ids are the NetBox IDs by address.
func (l *lifecycle) ids() map[string]int {
	l.Helper()
	ids := map[string]int{}
	for _, r := range l.rows() {
		ids[r.Address] = r.ID
	}
	return ids
}

// What happens to networks, instances and forwards of a real Incus arrives in
// a real NetBox, and rows keep their ID as long as their user lives.
func TestLifecycle(t *testing.T) {
	l := newLifecycle(t)
	a, b := l.incus.a, l.incus.b
	v4 := func(n net81, host int) string { return n.v4(host) + "/24" }
	v6 := func(n net81, host int) string { return n.v6(host) + "/64" }
	web := l.incus.prefix + "-web"
	webMAC := ""

	l.step("first sync", func() {
		r := l.mustSync(exitInStep)
		require.Equal(t, 8, r.Totals.Create, "two networks with a prefix and a gateway of either family")
		require.Equal(t, 8, r.Totals.Done)
		rows := l.rows().by()
		require.Len(t, rows, 8)
		gateway := rows[v6(a, 1)]
		require.Equal(t, "/1.0/networks/"+a.name, gateway.UsedBy)
		require.Equal(t, l.owner("lab"), gateway.Owner)
		require.Equal(t, "network", gateway.Type)
		require.True(t, rows[v4(a, 0)].Prefix)
	})
	l.step("second sync writes nothing", func() { l.mustInStep() })

	l.step("instance created, stopped, with static addresses", func() {
		l.incus.create("create", "default", []string{web, web + "2"}, "--network", a.name,
			"-d", "eth0,ipv4.address="+a.v4(20), "-d", "eth0,ipv6.address="+a.v6(0x20))
		l.settle("done create "+v4(a, 20), "done create "+v6(a, 0x20))
		r := l.rows().by()[v4(a, 20)]
		require.Equal(t, "/1.0/instances/"+web, r.UsedBy)
		require.Equal(t, "instance", r.Type)
		require.Regexp(t, "^10:66:6a:", r.MAC)
		webMAC = r.MAC
	})
	l.step("instance started, with a lease", func() {
		name := l.incus.prefix + "-dyn"
		l.incus.create("launch", "default", []string{name}, "--network", a.name)
		lease := l.incus.mustLease(a, name)
		mustBecome(t, time.Minute, "a row for the lease", func() bool {
			l.run("sync")
			return l.rows().by()[lease+"/24"].UsedBy == "/1.0/instances/"+name
		})
		l.incus.must("delete", "-f", name)
		mustBecome(t, time.Minute, "the row is gone with the instance", func() bool {
			l.run("sync")
			return l.rows().by()[lease+"/24"].ID == 0
		})
	})
	ids := l.ids()
	l.step("instance renamed", func() {
		l.incus.must("rename", web, web+"2")
		change := " used_by /1.0/instances/" + web + " -> /1.0/instances/" + web + "2"
		l.settle("done update "+v4(a, 20)+change, "done update "+v6(a, 0x20)+change)
		require.Equal(t, ids, l.ids())
	})
	l.step("address changed: renumbering keeps the row", func() {
		l.incus.must("config", "device", "set", web+"2", "eth0", "ipv4.address="+a.v4(21))
		l.settle("done update " + v4(a, 21) + " address " + v4(a, 20) + " -> " + v4(a, 21))
		require.Equal(t, ids[v4(a, 20)], l.ids()[v4(a, 21)])
	})
	l.step("instance moved to another network", func() {
		l.incus.must("config", "device", "set", web+"2", "eth0", "network="+b.name,
			"ipv4.address="+b.v4(20), "ipv6.address="+b.v6(0x20))
		l.settle("done update "+v4(b, 20)+" address "+v4(a, 21)+" -> "+v4(b, 20),
			"done update "+v6(b, 0x20)+" address "+v6(a, 0x20)+" -> "+v6(b, 0x20))
		require.Equal(t, ids[v4(a, 20)], l.ids()[v4(b, 20)])
		require.Equal(t, ids[v6(a, 0x20)], l.ids()[v6(b, 0x20)])
		require.Equal(t, webMAC, l.rows().by()[v4(b, 20)].MAC)
	})
	l.step("forwards added and removed", func() {
		l.incus.forward(a, "203.0.113.81")
		l.incus.forward(a, "2001:db8:99::81")
		l.settle("done create 203.0.113.81/32", "done create 2001:db8:99::81/128")
		require.Equal(t, "/1.0/networks/"+a.name+"/forwards/2001:db8:99::81", l.rows().by()["2001:db8:99::81/128"].UsedBy)
		l.incus.must("network", "forward", "delete", a.name, "203.0.113.81")
		l.settle("done delete 203.0.113.81/32")
	})
	l.step("instance deleted", func() {
		l.incus.must("delete", "-f", web+"2")
		l.settle("done delete "+v4(b, 20), "done delete "+v6(b, 0x20))
	})
	l.step("in step at the end", func() { l.mustInStep() })
}

// step is a subtest whose failure ends the test: the next one builds on it.
func (l *lifecycle) step(name string, do func()) {
	l.Helper()
	outer := l.T
	if !outer.Run(name, func(t *testing.T) {
		l.world.T = t
		defer func() { l.world.T = outer }()
		do()
	}) {
		outer.FailNow()
	}
}

// Instances of a project that shares the default project's networks are in no
// list of allocations of any released server. Their URIs hold whatever the
// project's name holds, and arrive in NetBox unchanged.
func TestProjectWithSharedNetworks(t *testing.T) {
	l := newLifecycle(t)
	project := l.incus.prefix + "-ü&x#1"
	l.incus.project(project)
	l.incus.create("create", project, []string{"u1"}, "--network", l.incus.a.name, "-d", "eth0,ipv4.address="+l.incus.a.v4(30))
	l.mustSync(exitInStep)
	want := "/1.0/instances/u1?project=" + l.incus.prefix + "-%C3%BC%26x%231"
	row := l.rows().by()[l.incus.a.v4(30)+"/24"]
	require.Equal(t, want, row.UsedBy)
	l.mustInStep()

	list := l.mustRun(exitInStep, "allocations", "--format", "csv", "--project", project).stdout
	require.Contains(t, list, want)
	require.Equal(t, 2, strings.Count(list, "\n"), "the heading and one instance:\n%s", list)

	l.incus.must("delete", "-f", "u1", "--project", project)
	l.settle("done delete " + l.incus.a.v4(30) + "/24")
}

// Over HTTPS, with a client certificate and the server's own certificate
// pinned, the same is read as over the unix socket.
func TestHTTPS(t *testing.T) {
	l := newLifecycle(t)
	l.mustSync(exitInStep)
	url, cert, key := mustEnv(t, "incus", incusURL), mustEnv(t, "incus", incusCert), mustEnv(t, "incus", incusKey)
	options := "  - name: lab\n    kind: lxd\n    options: {url: \"" + url + "\""
	client := ", client_cert_file: " + cert + ", client_key_file: " + key

	l.configure(options + client + ", server_cert_file: " + mustEnv(t, "incus", incusServerCert) + "}\n")
	l.mustInStep()

	l.configure(options + client + "}\n")
	o := l.mustRun(exitFailed, "sync")
	require.Contains(t, o.stdout, "server_cert_file", "the certificate is not pinned, and the report says how to\n%s", o)

	l.configure(options + ", server_cert_file: " + mustEnv(t, "incus", incusServerCert) + "}\n")
	o = l.mustRun(exitFailed, "sync")
	require.Contains(t, o.stdout, "client_cert_file", "the server does not trust a client without certificate\n%s", o)
	l.proxy.forget()
	require.Len(t, l.rows(), 8)
}
