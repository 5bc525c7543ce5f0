package e2e_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// mustBeUndisturbed requires that NetBox's own change log knows of nothing but
// the making of these rows.
func (h *hosts) mustBeUndisturbed(list rows) {
	h.Helper()
	for _, row := range list {
		kind := map[bool]string{true: "ipam.prefix", false: "ipam.ipaddress"}[row.Prefix]
		page := h.netbox.must(h.T, http.MethodGet, fmt.Sprintf("core/object-changes/?changed_object_type=%s&changed_object_id=%d", kind, row.ID), nil)
		var actions []string
		for _, o := range page["results"].([]any) {
			actions = append(actions, text(o.(object)["action"].(object)["value"]))
		}
		require.Equal(h, []string{"create"}, actions, row.line())
	}
}

// A server that moves from host to host keeps its rows, in whatever order the
// hosts are read.
func testMigrationBetweenPasses(t *testing.T) {
	h := newHosts(t)
	m := h.launch("a", h.red(), "wanderer", newPort("fixed 10.200.1.50", "fixed 2001:db8:200::50", "floating 203.0.113.50"))
	h.define("b", h.blue(), "other", newPort("fixed 10.200.1.51"))
	h.reads(hostA(t), hostB(t))
	h.mustSync(exitInStep)
	before := h.owned()
	require.Len(t, before, 4)

	m.migrate()
	require.Contains(t, mustVirsh(t, "b", "list", "--name"), m.name)
	h.mustInStep()
	h.reads(hostB(t), hostA(t))
	h.mustInStep()
	m.migrate()
	h.mustInStep()
	require.Equal(t, before, h.owned())
	h.mustBeUndisturbed(before)
}

// Passes while a server goes back and forth: it is on one host, on both, or on
// its way, and its rows are never deleted and never doubled.
func testMigrationDuringPasses(t *testing.T) {
	h := newHosts(t)
	m := h.launch("a", h.red(), "wanderer", newPort("fixed 10.200.1.60", "floating 203.0.113.60"))
	h.reads(hostA(t), hostB(t))
	h.mustSync(exitInStep)
	before := h.owned()
	require.Len(t, before, 2)
	h.proxy.forget()

	ended := h.meanwhile(func() error { // without m.migrate: only the test's own goroutine may end the test
		from, to := "a", "b"
		for range 6 {
			if out, err := tryControl(t, "migrate", m.name, from, to); err != nil {
				return fmt.Errorf("migrate: %w\n%s", err, out)
			}
			from, to = to, from
		}
		return nil
	})
	passes := 0
	for ; !ended(); passes++ {
		r := h.mustSync(exitInStep)
		require.Empty(t, r.lines())
		require.Empty(t, r.Held)
		for range 5 { // the same without NetBox, which takes most of the time
			list := h.mustRun(exitInStep, "allocations", "--format", "csv").stdout
			require.Equal(t, 2, strings.Count(list, m.uuid), list)
		}
	}
	require.Greater(t, passes, 3)
	require.Empty(t, h.proxy.writes())
	require.Equal(t, before, h.owned())
	h.mustBeUndisturbed(before)
	h.mustInStep()
}

// A server that leaves a host before that is read, and comes to one that has
// been read: neither lists it, and it is found all the same.
func testMigrationBetweenReadings(t *testing.T) {
	h := newHosts(t)
	m := h.launch("a", h.red(), "wanderer", newPort("fixed 10.200.1.65", "floating 203.0.113.65"))
	h.define("b", h.blue(), "other", newPort("fixed 10.200.1.66"))
	h.reads(hostA(t), hostB(t))
	h.mustSync(exitInStep)
	before := h.owned()
	require.Len(t, before, 3)

	g := newGate(t, socketOf(hostA(t)))
	h.configure(h.nova(", call_timeout: 30s", "qemu+unix:///system?socket="+g.socket, hostB(t)))
	h.proxy.forget()
	r := h.start("sync", "--format", "json")
	mustBecome(t, 10*time.Second, "it connects to host a", func() bool { return g.waits.Load() })
	time.Sleep(500 * time.Millisecond) // host b takes a few to be read
	m.migrate()
	close(g.open)
	o := r.mustEnd(30 * time.Second)
	require.Equal(t, exitInStep, o.code, "%s", o)
	require.Empty(t, mustReport(t, o).lines())
	require.Empty(t, h.proxy.writes())
	require.Equal(t, before, h.owned())
	m.migrate()
}

// gate is a socket that leads to a daemon's once it is open.
type gate struct {
	socket string
	waits  atomic.Bool   // a client is at it
	open   chan struct{} // closed by the test
}

func newGate(t *testing.T, to string) *gate {
	t.Helper()
	g := &gate{socket: filepath.Join(mustFolder(t), "gate"), open: make(chan struct{})}
	listener, err := net.Listen("unix", g.socket)
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go g.lead(client, to)
		}
	}()
	return g
}

// lead ends with the client, which is a program that does.
func (g *gate) lead(client net.Conn, to string) {
	defer func() { _ = client.Close() }()
	g.waits.Store(true)
	<-g.open
	daemon, err := net.Dial("unix", to)
	if err != nil {
		return
	}
	defer func() { _ = daemon.Close() }()
	go func() { _, _ = io.Copy(client, daemon) }()
	_, _ = io.Copy(daemon, client)
}

// standing is a source of two hosts in step, with a change of every sort
// waiting at host b: what is done when host a fails?
type standing struct {
	*hosts
	before rows
	gone   *machine
}

func newStandingHosts(t *testing.T) *standing {
	t.Helper()
	s := &standing{hosts: newHosts(t)}
	s.define("a", s.red(), "unseen", newPort("fixed 10.200.1.70", "floating 203.0.113.70"))
	s.gone = s.define("b", s.red(), "gone", newPort("fixed 10.200.1.71"))
	m := s.define("b", s.blue(), "before", newPort("fixed 10.200.1.72"))
	s.rules += "  - match: {type: fixed}\n    set: {description: \"{name}\"}\n"
	s.reads(hostA(t), hostB(t))
	s.mustSync(exitInStep)
	s.before = s.owned()
	require.Len(t, s.before, 4)

	mustVirsh(t, "b", "undefine", s.gone.uuid)
	m.display = "after"
	m.rewrite("--config")
	s.define("b", s.blue(), "new", newPort("fixed 10.200.1.74"))
	return s
}

// mustGoOn requires that a pass does for host b what it may, deletes nothing
// and says which host it did without, and why.
func (s *standing) mustGoOn(why string) {
	s.Helper()
	done := []string{"done create 10.200.1.74/32", "done update 10.200.1.72/32 description before -> after"}
	r := mustReport(s.T, s.within(20*time.Second, exitPartly, "sync", "--format", "json"))
	require.ElementsMatch(s, done, r.lines())
	require.ElementsMatch(s, []string{
		"delete 10.200.1.70/32: the source did not answer in full", "delete 203.0.113.70/32: the source did not answer in full",
		"delete 10.200.1.71/32: the source did not answer in full", // it may have moved to the host that is down
	}, r.heldLines())
	require.False(s, r.Sources[0].Complete)
	require.Len(s, r.Sources[0].Missing, 1)
	require.Contains(s, r.Sources[0].Missing[0], "host localhost "+socketOf(hostA(s.T)))
	require.Contains(s, r.Sources[0].Missing[0], why)
	s.mustStay("10.200.1.70/32", "203.0.113.70/32", "10.200.1.71/32")

	o := s.within(20*time.Second, exitPartly, "sync")
	require.Contains(s, unbroken(o.stdout), why)
	s.mustStay("10.200.1.70/32", "203.0.113.70/32", "10.200.1.71/32")
	o = s.within(20*time.Second, exitFailed, "check")
	require.Contains(s, unbroken(o.stdout), why)
}

// mustStay requires that rows are as they were, to the bit.
func (s *standing) mustStay(addresses ...string) {
	s.Helper()
	now := s.owned().by()
	for _, address := range addresses {
		require.Equal(s, s.before.by()[address], now[address])
	}
}

// mustFinish requires that the next pass does the rest.
func (s *standing) mustFinish() {
	s.Helper()
	require.Equal(s, []string{"done delete 10.200.1.71/32"}, s.mustSync(exitInStep).lines())
	s.mustStay("10.200.1.70/32", "203.0.113.70/32")
	s.mustInStep()
}

func socketOf(uri string) string {
	_, socket, _ := strings.Cut(uri, "socket=")
	return socket
}

// The others are kept in step, and nothing is deleted: what is gone from one
// host may be on the one that is down.
func testHostDown(t *testing.T) {
	s := newStandingHosts(t)
	mend := s.kill("a")
	s.mustGoOn("connection refused")
	mend()
	s.mustFinish()
}

// The same where the daemon is there and answers nothing; the pass ends all
// the same.
func testHostFrozen(t *testing.T) {
	s := newStandingHosts(t)
	mend := s.freeze("a")
	s.mustGoOn("no answer within 2s")
	mend()
	s.mustFinish()
}

// Without any host there is nothing to go on with.
func testOnlyHostDown(t *testing.T) {
	h := newHosts(t)
	p := newPort("fixed 10.200.1.80", "floating 203.0.113.80")
	m := h.define("a", h.red(), "alone", p)
	h.reads(hostA(t))
	h.mustSync(exitInStep)
	before := h.owned()
	p.addresses = p.addresses[:1]
	m.rewrite("--config")

	h.proxy.forget()
	mustStand := func(why string) {
		t.Helper()
		o := h.within(20*time.Second, exitFailed, "sync")
		require.Contains(t, unbroken(o.stdout), why)
		require.Equal(t, before, h.owned())
		require.Empty(t, h.proxy.writes())
	}
	thaw := h.freeze("a")
	mustStand("no answer within 2s")
	thaw()
	restart := h.kill("a")
	mustStand("connection refused")
	restart()
	require.Equal(t, []string{"done delete 203.0.113.80/32"}, h.mustSync(exitInStep).lines())
	h.mustInStep()
}

// Ctrl-C does not wait for a daemon that does not answer.
func testInterruptFrozen(t *testing.T) {
	h := newHosts(t)
	h.define("a", h.red(), "web", newPort("fixed 10.200.1.90"))
	h.configure(h.nova(", call_timeout: 60s", hostA(t), hostB(t)))
	h.freeze("a")
	r := h.start("sync")
	mustBecome(t, 10*time.Second, "it reads the source", func() bool { return strings.Contains(r.stderr.String(), "reading nova") })
	time.Sleep(300 * time.Millisecond) // until it waits for the daemon; sooner is no mistake
	r.signal(syscall.SIGINT)
	o := r.mustEnd(2 * time.Second)
	require.Equal(t, exitFailed, o.code, "%s", o)
	require.Contains(t, o.stderr, "interrupted")
	require.Empty(t, h.proxy.writes())
	require.Empty(t, h.owned())
}

// Every way to a host gives the same rows. None changes anything on it, the
// socket that may write included.
func testTransports(t *testing.T) {
	h := newHosts(t)
	for line := range strings.Lines(mustRead(t, mustEnv(t, "libvirt", libvirtSSHKey))) {
		if !strings.HasPrefix(line, "-----") {
			secrets.add(strings.TrimSpace(line))
		}
	}
	h.rules = "  - set: {vrf: " + h.vrf + "}\n"
	before := state(t, "a")
	require.Greater(t, strings.Count(before, "</domain>"), 2*7)

	h.reads(hostA(t))
	require.Positive(t, h.mustSync(exitInStep).Totals.Create)
	rows := h.owned()
	ssh := fmt.Sprintf(", ssh_key_file: %q, ssh_known_hosts_file: %q", mustEnv(t, "libvirt", libvirtSSHKey), mustEnv(t, "libvirt", libvirtKnownHosts))
	for _, way := range []struct{ name, options, uri string }{
		{"tcp", "", "qemu+tcp://" + mustEnv(t, "libvirt", libvirtTCP) + "/system"},
		{"tls", "", "qemu+tls://" + mustEnv(t, "libvirt", libvirtTLS) + "/system?pkipath=" + mustEnv(t, "libvirt", libvirtPKI)},
		{"ssh", ssh, "qemu+ssh://" + mustEnv(t, "libvirt", libvirtSSH) + "/system"},
		{"the socket that may write", "", "qemu+unix:///system?socket=" + mustEnv(t, "libvirt", libvirtSocket)},
	} {
		h.configure(h.nova(way.options, way.uri))
		require.Equal(t, len(rows), h.mustInStep().Totals.InStep, way.name)
	}
	require.Equal(t, rows, h.owned())
	h.mustRun(exitInStep, "check")
	require.Equal(t, before, state(t, "a"))

	// A host that is not the one it was: said, and nothing of the key with it.
	h.configure(h.nova(strings.Replace(ssh, mustEnv(t, "libvirt", libvirtKnownHosts), "/dev/null", 1), "qemu+ssh://"+mustEnv(t, "libvirt", libvirtSSH)+"/system"))
	o := h.mustRun(exitFailed, "sync")
	require.Contains(t, unbroken(o.stdout), "/dev/null")
	require.Equal(t, rows, h.owned())
}

// state is all that a daemon says of its domains and networks.
func state(t *testing.T, host string) string {
	t.Helper()
	commands := []string{"list --all", "net-list --all"}
	for _, name := range strings.Fields(mustVirsh(t, host, "list", "--all", "--name")) {
		commands = append(commands, "dumpxml "+name, "dumpxml --inactive "+name, "domstate "+name)
	}
	for _, name := range strings.Fields(mustVirsh(t, host, "net-list", "--all", "--name")) {
		commands = append(commands, "net-dumpxml "+name, "net-dumpxml --inactive "+name, "net-dhcp-leases "+name)
	}
	return mustVirsh(t, host, strings.Join(commands, "; "))
}
