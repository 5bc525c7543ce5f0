package e2e_test

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lateBatch holds back the n-th batch of addresses for two seconds on its way
// to NetBox.
func (w *world) lateBatch(n int) {
	w.proxy.breaks(func(r request) fault {
		if r.isOf(http.MethodPost, "ip-addresses") && r.n == n {
			return late
		}
		return noFault
	})
}

// Killed in the middle of a pass and started again with the same folder: the
// rest is done, no row is there twice, and the history goes on.
func TestServeKilled(t *testing.T) {
	const n = 120
	w := newWorld(t)
	lxd := newLXD(t, br0())
	k := w.served([]string{source("lab", lxd.socket)})
	d := w.mustServe(k)
	d.mustPass(1)

	// Nobody else may use the folder meanwhile.
	o := w.mustRun(exitFailed, "serve")
	require.Contains(t, o.stderr, "another")
	require.Contains(t, o.stderr, w.stateDir())
	require.False(t, d.over())

	lxd.lists(append(instances(n), br0())...)
	w.proxy.forget()
	w.lateBatch(2)
	d.resync()
	mustBecome(t, time.Minute, "the second batch of addresses", func() bool { return w.proxy.batches("ip-addresses") >= 2 })
	d.signal(syscall.SIGKILL)
	<-d.done
	w.proxy.breaks(nil)
	mustBecome(t, 30*time.Second, "NetBox is idle", func() bool { return w.proxy.idle() })
	require.Less(t, len(w.rows()), n+2)

	d = w.mustServe(k)
	require.Empty(t, d.said("the state folder"), "it was not damaged")
	p := d.mustPass(1)
	require.Equal(t, "applied", p.Outcome)
	require.Less(t, p.Lab.Created, n, "some were made before")
	require.Equal(t, n+2, p.Lab.Rows)
	rows := w.rows()
	require.Len(t, rows, n+2)
	require.Len(t, rows.by(), n+2)
	history := d.page("/passes")
	require.Contains(t, history, `href="/passes/1"`, "the pass of the first process")
	require.Contains(t, history, `href="/passes/2"`)
	require.NotContains(t, history, `href="/passes/3"`, "the pass that was killed never ended")
	require.Contains(t, visible(d.page("/passes/1")), "start")
	d.mustStayInStep()
	require.Len(t, d.passes(), 1)
}

// Told to end in the middle of a batch, it waits for the batch, counts it, and
// begins no other.
func TestServeEndsInOrder(t *testing.T) {
	const n = 120
	w := newWorld(t)
	notices := w.listenForNotices()
	lxd := newLXD(t, append(instances(n), br0())...)
	k := w.served([]string{source("lab", lxd.socket)})
	w.lateBatch(2)
	d := w.mustServe(k)
	require.Equal(t, "READY=1", notices())
	mustBecome(t, time.Minute, "the second batch of addresses", func() bool { return w.proxy.batches("ip-addresses") >= 2 })
	begun := time.Now()
	d.signal(syscall.SIGTERM)
	require.Equal(t, "STOPPING=1", notices())
	o := d.mustEnd(25 * time.Second)
	require.Equal(t, exitInStep, o.code, "%s", o)
	require.Greater(t, time.Since(begun), time.Second, "the batch was waited for")
	rows := w.rows()
	require.Len(t, rows, 1+2*50, "a prefix and two batches of addresses")
	p := d.passes()[0]
	require.Equal(t, len(rows), p.Lab.Created)
	require.Equal(t, "partly", p.Outcome)
	require.Equal(t, 2, w.proxy.batches("ip-addresses"))

	w.proxy.breaks(nil)
	d = w.mustServe(k)
	require.Equal(t, "READY=1", notices())
	require.Equal(t, n+2-len(rows), d.mustPass(1).Lab.Created)
	require.Contains(t, visible(d.page("/passes/1")), "partly", "history has it too")
	d.mustStayInStep()
}

// listenForNotices gives the program a socket as systemd does. What it returns
// waits for the next message.
func (w *world) listenForNotices() func() string {
	w.Helper()
	path := filepath.Join(w.folder, "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(w, err)
	w.Cleanup(func() { _ = socket.Close() })
	w.env = append(w.env, "NOTIFY_SOCKET="+path)
	return func() string {
		w.Helper()
		require.NoError(w, socket.SetReadDeadline(time.Now().Add(20*time.Second)))
		buffer := make([]byte, 1000)
		n, err := socket.Read(buffer)
		require.NoError(w, err)
		return string(buffer[:n])
	}
}

// A batch that NetBox never answers is waited for as long as grace says.
func TestServeGrace(t *testing.T) {
	w := newWorld(t)
	k := w.served([]string{source("lab", newLXD(t, append(instances(3), br0())...).socket)}, "grace: 2s")
	w.proxy.breaks(func(r request) fault {
		if r.isOf(http.MethodPost, "ip-addresses") {
			return silence
		}
		return noFault
	})
	d := w.mustServe(k)
	mustBecome(t, time.Minute, "a batch of addresses", func() bool { return w.proxy.batches("ip-addresses") >= 1 })
	d.signal(syscall.SIGTERM)
	o := d.mustEnd(15 * time.Second)
	require.Equal(t, exitInStep, o.code, "%s", o)
	require.Equal(t, 4, d.passes()[0].Lab.Failed, "what became of them is not known")
}

// A new configuration is put in force while it runs; a wrong one is refused,
// and the old one stays.
func TestServeHangUp(t *testing.T) {
	w := newWorld(t)
	lxd := newLXD(t, append(instances(3), br0())...)
	lab := source("lab", lxd.socket)
	k := w.served([]string{lab})
	d := w.mustServe(k)
	d.mustPass(1)

	w.rules = "  - set: {vrf: " + w.vrf + ", status: nonsense}\n"
	w.configure(lab)
	d.signal(syscall.SIGHUP)
	mustBecome(t, 20*time.Second, "it is refused", func() bool { return len(d.said("the new configuration is refused")) > 0 })
	require.Contains(t, d.said("the new configuration is refused")[0].Error, "nonsense")
	require.Zero(t, d.metric("allocsync_config_last_reload_successful"))
	require.Contains(t, visible(d.page("/")), "is refused")
	lxd.lists(append(instances(4), br0())...)
	d.resync()
	d.mustPass(2)
	require.Equal(t, "active", w.rows().by()["10.81.3.4/16"].Status, "the old one is in force")

	// Another rule, another secret; in force without a signal, too.
	w.rules = "  - set: {vrf: " + w.vrf + ", description: by a new rule}\n"
	old := d.keyring
	d.keyring = newKeyring()
	w.keys = []string{"limits: {count: 50}"}
	w.serveKeys(d.keyring)
	w.configure(lab)
	mustBecome(t, 20*time.Second, "it is in force", func() bool { return len(d.passes()) > 2 })
	for _, r := range w.rows() {
		require.Equal(t, "by a new rule", r.Description)
	}
	require.EqualValues(t, 1, d.metric("allocsync_config_last_reload_successful"))
	require.NotContains(t, visible(d.page("/")), "is refused")
	require.Equal(t, http.StatusUnauthorized, d.do(http.MethodGet, "/", "", "Authorization", "Bearer "+old.page).code)
	require.Equal(t, http.StatusUnauthorized, d.do(http.MethodPost, "/hooks/resync", "", "Authorization", "Bearer "+old.resyncToken).code)
	d.resync()
	d.mustPass(4)
	d.mustStayInStep()
}

// A history that is damaged is set aside, with a word about it, and passes are
// made all the same.
func TestServeDamagedState(t *testing.T) {
	w := newWorld(t)
	k := w.served([]string{source("lab", newLXD(t, append(instances(3), br0())...).socket)})
	d := w.mustServe(k)
	d.mustPass(1)
	d.mustStop()
	file := filepath.Join(w.stateDir(), "allocsync.db")
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	for i := 8192; i < len(content); i += 7 {
		content[i] ^= 0x5a
	}
	require.NoError(t, os.WriteFile(file, content, 0o600))

	d = w.mustServe(k)
	require.Equal(t, "in step", d.mustPass(1).Outcome)
	aside, err := filepath.Glob(file + ".broken-*")
	require.NoError(t, err)
	require.Len(t, aside, 1)
	require.Contains(t, d.stderr.String(), filepath.Base(aside[0]))
	require.Contains(t, visible(d.page("/")), filepath.Base(aside[0]))
	d.mustStop()

	// One that cannot be written to is said at the start.
	require.NoError(t, os.RemoveAll(w.stateDir()))
	require.NoError(t, os.WriteFile(w.stateDir(), nil, 0o600))
	o := w.mustRun(exitFailed, "serve")
	require.Contains(t, o.stderr, w.stateDir())
}

// What cannot work is said at once and ends the program.
func TestServeRefuses(t *testing.T) {
	w := newWorld(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	lab := source("lab", newLXD(t, br0()).socket)
	for line, want := range map[string]string{
		"listen: " + taken.Addr().String(): "in use",
		`schedule: "* * * * * *"`:          "schedule",
		"tls_cert_file: nowhere.pem":       "tls_key_file",
		"resync_token: short":              "serve.resync_token",
		"time_zone: Europe/Nowhere":        "Europe/Nowhere",
		"state_dir: /proc/nowhere":         "/proc/nowhere",
		`listen: "256.0.0.1:1"`:            "serve.listen",
	} {
		w.served([]string{lab}, line)
		if strings.HasPrefix(line, "time_zone") {
			w.served([]string{lab}, line, `schedule: "@hourly"`)
		}
		o := w.mustRun(exitFailed, "serve")
		require.Contains(t, o.stderr, want, line)
		require.Empty(t, w.proxy.requests())
	}
}
