package e2e_test

import (
	"encoding/xml"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Where the testbed says that libvirt is.
const (
	libvirtCtl        = "ALLOCSYNC_TEST_LIBVIRT_CTL"
	libvirtSocket     = "ALLOCSYNC_TEST_LIBVIRT_SOCKET"
	libvirtSocketRO   = "ALLOCSYNC_TEST_LIBVIRT_SOCKET_RO"
	libvirtBSocketRO  = "ALLOCSYNC_TEST_LIBVIRT_B_SOCKET_RO"
	libvirtTCP        = "ALLOCSYNC_TEST_LIBVIRT_TCP"
	libvirtTLS        = "ALLOCSYNC_TEST_LIBVIRT_TLS"
	libvirtPKI        = "ALLOCSYNC_TEST_LIBVIRT_PKI"
	libvirtSSH        = "ALLOCSYNC_TEST_LIBVIRT_SSH"
	libvirtSSHKey     = "ALLOCSYNC_TEST_LIBVIRT_SSH_KEY"
	libvirtKnownHosts = "ALLOCSYNC_TEST_LIBVIRT_KNOWN_HOSTS"
)

// Real libvirt daemons on two hosts. They are read whole, and these tests stop
// and freeze them: so they run one after the other, beside those of other
// sources.
func TestLibvirt(t *testing.T) {
	mustEnv(t, "libvirt", libvirtCtl)
	t.Parallel()
	mustControl(t, "reset")
	for _, c := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"all that a compute host lists", testComputeHost},
		{"projects have VRFs and tenants of their own", testProjects},
		{"a plain host", testPlainHost},
		{"link-local addresses", testLinkLocal},
		{"ports and addresses come and go", testLiveMetadata},
		{"a floating address moves", testFloatingMoves},
		{"what is behind a floating address changes", testBehindFloating},
		{"a hard reboot", testHardReboot},
		{"names change", testRename},
		{"a server is deleted", testServerDeleted},
		{"migration between passes", testMigrationBetweenPasses},
		{"migration between the readings of one pass", testMigrationBetweenReadings},
		{"migration during passes", testMigrationDuringPasses},
		{"one of two hosts is down", testHostDown},
		{"one of two hosts is frozen", testHostFrozen},
		{"the only host is down", testOnlyHostDown},
		{"restarts during readings", testRestarts},
		{"metadata that makes no sense", testMalformedMetadata},
		{"a project without a VRF", testProjectWithoutVRF},
		{"interrupted while a daemon is frozen", testInterruptFrozen},
		{"every transport, and nothing is changed", testTransports},
		{"serve follows events", testServeEvents},
		{"an address reserved in NetBox", testReserve},
	} {
		t.Run(c.name, c.run)
	}
}

// hosts is one test's use of the real libvirt daemons a and b, and of a
// NetBox.
type hosts struct {
	*world
}

// newHosts gives a test two VRFs for Nova's projects, red and blue, and leaves
// out what the testbed has on its hosts: what the tests make is in projects of
// their own.
func newHosts(t *testing.T) *hosts {
	t.Helper()
	h := &hosts{world: newWorldOn(t, mustNetBox(t))}
	for _, project := range []string{h.red(), h.blue()} {
		h.netbox.mustCreate(t, "ipam/vrfs", object{"name": project})
	}
	h.rules = fmt.Sprintf(`  - name: what others made
    match: {project: [demo, kvm-a, kvm-b]}
    set: {skip: true}
  - match: {type: fixed}
    set: {vrf: "{project}"}
  - match: {type: floating}
    set: {vrf: %s}
`, h.vrf)
	return h
}

func (h *hosts) red() string  { return h.installation + "-red" }
func (h *hosts) blue() string { return h.installation + "-blue" }

// reads configures one source of the kind with some URIs.
func (h *hosts) reads(uris ...string) {
	h.Helper()
	h.configure(h.nova("", uris...))
}

// nova is a source with some URIs, and further options.
func (h *hosts) nova(options string, uris ...string) string {
	quoted := make([]string, len(uris))
	for i, uri := range uris {
		quoted[i] = strconv.Quote(uri)
	}
	if !strings.Contains(options, "call_timeout") {
		options += ", call_timeout: 2s"
	}
	return fmt.Sprintf("  - name: nova\n    kind: libvirt\n    options: {uris: [%s]%s}\n", strings.Join(quoted, ", "), options)
}

// owned are all rows of the source, in whatever VRF.
func (h *hosts) owned() rows {
	h.Helper()
	return h.netbox.mustRows(h.T, "cf_sync_owner="+h.owner("nova")).of(h.owner("nova"))
}

// hostA and hostB are the read-only sockets, the way that the page recommends.
func hostA(t *testing.T) string {
	t.Helper()
	return "qemu+unix:///system?socket=" + mustEnv(t, "libvirt", libvirtSocketRO)
}

func hostB(t *testing.T) string {
	t.Helper()
	return "qemu+unix:///system?socket=" + mustEnv(t, "libvirt", libvirtBSocketRO)
}

// tryControl runs testbed/libvirt.
func tryControl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := exec.Command(mustEnv(t, "libvirt", libvirtCtl), args...).CombinedOutput()
	return string(out), err
}

func mustControl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := tryControl(t, args...)
	require.NoError(t, err, "testbed/libvirt %s\n%s", strings.Join(args, " "), out)
	return out
}

// mustVirsh runs virsh with the connection that may write.
func mustVirsh(t *testing.T, host string, args ...string) string {
	t.Helper()
	return mustControl(t, append([]string{"virsh", host}, args...)...)
}

// kill ends a host's daemon, and not its guests. What it returns starts it
// again; the test's end does so at the latest.
func (h *hosts) kill(host string) (restart func()) {
	h.Helper()
	restart = sync.OnceFunc(func() { mustControl(h.T, "restart", host) })
	h.Cleanup(restart)
	mustControl(h.T, "kill", host)
	return restart
}

// freeze makes a host's daemon answer nothing until it is thawed.
func (h *hosts) freeze(host string) (thaw func()) {
	h.Helper()
	thaw = sync.OnceFunc(func() { mustControl(h.T, "thaw", host) })
	h.Cleanup(thaw)
	mustControl(h.T, "freeze", host)
	return thaw
}

// meanwhile begins something and returns a function that says whether it has
// ended. It has by the end of the test, and has to end without an error.
func (h *hosts) meanwhile(do func() error) (ended func() bool) {
	done := make(chan error, 1)
	go func() { done <- do() }()
	over := false
	end := func(err error) {
		over = true
		require.NoError(h, err)
	}
	h.Cleanup(func() {
		if !over {
			end(<-done)
		}
	})
	return func() bool {
		select {
		case err := <-done:
			end(err)
		default:
		}
		return over
	}
}

// machine is a Nova server as libvirt has it.
type machine struct {
	t             *testing.T
	host          string // on which it is defined
	name, display string
	project       string
	uuid          string
	ports         []*port
}

// port is a Neutron port with its addresses: "fixed 10.1.2.3".
type port struct {
	uuid, mac string
	addresses []string
}

func newPort(addresses ...string) *port {
	mac := randomHex(3)
	return &port{uuid: randomUUID(), mac: "fa:16:3e:" + mac[:2] + ":" + mac[2:4] + ":" + mac[4:], addresses: addresses}
}

// nic is the interface that belongs to the port. Without a ROM and with nothing
// to boot, it never sends a packet.
func (p *port) nic() string {
	return fmt.Sprintf(`<interface type="network"><mac address="%s"/><source network="tenant"/><target dev="tap%s"/><model type="virtio"/><rom enabled="no"/></interface>`, p.mac, p.uuid[:11])
}

func randomUUID() string {
	s := randomHex(16)
	return s[:8] + "-" + s[8:12] + "-4" + s[13:16] + "-8" + s[17:20] + "-" + s[20:]
}

// define makes a server that does not run.
func (h *hosts) define(host, project, display string, ports ...*port) *machine {
	h.Helper()
	m := &machine{t: h.T, host: host, name: "instance-e2e-" + randomHex(4), display: display, project: project, uuid: randomUUID(), ports: ports}
	h.Cleanup(func() {
		for _, host := range []string{"a", "b"} { // wherever it has been moved to
			_, _ = tryControl(h.T, "virsh", host, "destroy", m.uuid)
			_, _ = tryControl(h.T, "virsh", host, "undefine", m.uuid)
		}
	})
	m.redefine(m.metadata())
	return m
}

// launch makes a server that runs.
func (h *hosts) launch(host, project, display string, ports ...*port) *machine {
	h.Helper()
	m := h.define(host, project, display, ports...)
	mustVirsh(h.T, host, "start", m.uuid)
	return m
}

// used is the used_by of a port's addresses.
func (m *machine) used(p *port) string { return "/servers/" + m.uuid + "?port=" + p.uuid }

// redefine makes or changes the domain's definition.
func (m *machine) redefine(metadata string) {
	m.t.Helper()
	nics := ""
	for _, p := range m.ports {
		nics += p.nic()
	}
	cmd := exec.Command(mustEnv(m.t, "libvirt", libvirtCtl), "virsh", m.host, "define", "/dev/stdin")
	cmd.Stdin = strings.NewReader(fmt.Sprintf(`<domain type="qemu"><name>%s</name><uuid>%s</uuid><metadata>%s</metadata><memory unit="MiB">32</memory><vcpu>1</vcpu>
<os><type arch="x86_64" machine="pc">hvm</type><boot dev="hd"/></os><features><acpi/></features><devices><controller type="usb" model="none"/>%s<memballoon model="none"/></devices></domain>`,
		m.name, m.uuid, metadata, nics))
	out, err := cmd.CombinedOutput()
	require.NoError(m.t, err, "virsh define: %s", out)
}

// metadata is what Nova writes.
func (m *machine) metadata() string {
	ports := ""
	for _, p := range m.ports {
		ports += `<nova:port uuid="` + p.uuid + `">`
		for _, a := range p.addresses {
			sort, address, _ := strings.Cut(a, " ")
			version := "4"
			if strings.Contains(address, ":") {
				version = "6"
			}
			ports += fmt.Sprintf(`<nova:ip type="%s" address="%s" ipVersion="%s"/>`, sort, address, version)
		}
		ports += `</nova:port>`
	}
	return fmt.Sprintf(`<nova:instance xmlns:nova="%s"><nova:package version="27.1.0"/><nova:name>%s</nova:name>
<nova:owner><nova:user uuid="%s">alice</nova:user><nova:project uuid="%s">%s</nova:project></nova:owner><nova:ports>%s</nova:ports></nova:instance>`,
		novaNamespace, escaped(m.display), randomUUID(), randomUUID(), escaped(m.project), ports)
}

const novaNamespace = "http://openstack.org/xmlns/libvirt/nova/1.1"

func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder does not fail
	return b.String()
}

// rewrite changes the metadata of a domain as Nova does it: the whole element,
// in place, with the key "instance".
func (m *machine) rewrite(scope ...string) {
	m.t.Helper()
	m.set(m.metadata(), scope...)
}

func (m *machine) set(metadata string, scope ...string) {
	m.t.Helper()
	mustVirsh(m.t, m.host, append([]string{"metadata", m.uuid, "--uri", novaNamespace, "--key", "instance", "--set", metadata}, scope...)...)
}

// migrate moves a running server to the other host.
func (m *machine) migrate() {
	m.t.Helper()
	to := map[string]string{"a": "b", "b": "a"}[m.host]
	mustControl(m.t, "migrate", m.name, m.host, to)
	m.host = to
}

// within runs the program and requires its exit code and that it ends in time.
func (h *hosts) within(longest time.Duration, code int, args ...string) outcome {
	h.Helper()
	begun := time.Now()
	o := h.mustRun(code, args...)
	require.Less(h, time.Since(begun), longest, "allocsync %s\n%s", strings.Join(args, " "), o)
	return o
}
