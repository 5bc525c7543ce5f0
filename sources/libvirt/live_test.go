package libvirt

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/sources"
)

// realHosts are the daemons that testbed/libvirt starts: a, a compute host of
// Nova's, and b, a plain one. Tests call what they make live-… and remove it
// again, as others use these hosts too.
type realHosts struct {
	tb                                     testing.TB
	ctl                                    string // testbed/libvirt
	a, aReadOnly, b, bReadOnly, bulk       string // sockets
	tcp, tls, pki, ssh, sshKey, knownHosts string
}

// mustReal skips where there are no daemons, unless MUST_RUN names libvirt.
func mustReal(tb testing.TB) realHosts {
	tb.Helper()
	r := realHosts{tb: tb}
	for name, field := range map[string]*string{
		"CTL": &r.ctl, "SOCKET": &r.a, "SOCKET_RO": &r.aReadOnly, "B_SOCKET": &r.b, "B_SOCKET_RO": &r.bReadOnly, "BULK_SOCKET": &r.bulk,
		"TCP": &r.tcp, "TLS": &r.tls, "PKI": &r.pki, "SSH": &r.ssh, "SSH_KEY": &r.sshKey, "KNOWN_HOSTS": &r.knownHosts,
	} {
		name = "ALLOCSYNC_TEST_LIBVIRT_" + name
		if *field = os.Getenv(name); *field != "" {
			continue
		}
		if slices.Contains(strings.Split(os.Getenv("MUST_RUN"), ","), "libvirt") {
			tb.Fatalf("MUST_RUN names libvirt, but %s is not set: run testbed/libvirt start, and take its env", name)
		}
		tb.Skipf("%s is not set: testbed/libvirt starts real daemons", name)
	}
	if _, err := r.try("virsh", "a", "domid", "instance-00000001"); err != nil { // nobody has filled the hosts so far
		r.reset()
	}
	return r
}

// try runs a command of testbed/libvirt.
func (r realHosts) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute) // not the test's: it is over when undoing
	defer cancel()
	output, err := exec.CommandContext(ctx, r.ctl, args...).CombinedOutput()
	return strings.TrimSpace(string(output)), err
}

func (r realHosts) must(args ...string) string {
	r.tb.Helper()
	output, err := r.try(args...)
	require.NoError(r.tb, err, "testbed/libvirt %v: %s", args, output)
	return output
}

// reset gives both hosts their domains and networks, and no others.
func (r realHosts) reset() {
	r.tb.Helper()
	r.must("reset")
}

func (r realHosts) virsh(host string, args ...string) string {
	r.tb.Helper()
	return r.must(append([]string{"virsh", host}, args...)...)
}

// live is a domain that a test makes; n tells it from others.
type live struct {
	n                               int
	name, uuid, port, mac, metadata string
}

func newLive(n int) live {
	l := live{
		n: n, name: fmt.Sprintf("live-%d", n), uuid: fmt.Sprintf("aaaa0000-0000-4000-8000-%012x", n),
		port: fmt.Sprintf("%08x-0000-4000-a000-000000000000", 0xaaaa0000+n), mac: fmt.Sprintf("fa:16:3e:aa:%02x:%02x", n>>8, n&255),
	}
	l.metadata = novaText(portText(l.port, ipText("fixed", fmt.Sprintf("10.99.%d.1", n))+
		ipText("fixed", fmt.Sprintf("2001:db8:aa::%x", n))+ipText("floating", fmt.Sprintf("203.0.113.%d", 200+n))))
	return l
}

// nic is a NIC on the network that newLan makes.
func (l live) nic() string {
	return nicText(l.mac, "live-lan", "<target dev='"+("tap" + l.port)[:14]+"'/><model type='virtio'/>")
}

// xml is a domain that needs neither disk nor network to run.
func (l live) xml(metadata, devices string) string {
	return fmt.Sprintf("<domain type='qemu'><name>%s</name><uuid>%s</uuid><metadata>%s</metadata><memory unit='MiB'>16</memory><vcpu>1</vcpu>"+
		"<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features><devices><controller type='usb' model='none'/>%s<memballoon model='none'/></devices></domain>",
		l.name, l.uuid, metadata, devices)
}

// file writes a document for virsh.
func (r realHosts) file(text string) string {
	r.tb.Helper()
	name := filepath.Join(r.tb.TempDir(), "document.xml")
	require.NoError(r.tb, os.WriteFile(name, []byte(text), 0o600))
	return name
}

// define defines a domain; it is removed when the test ends, wherever it is.
func (r realHosts) define(host string, l live, metadata, devices string) {
	r.tb.Helper()
	r.tb.Cleanup(func() {
		for _, host := range []string{"a", "b"} {
			_, _ = r.try("virsh", host, "destroy", l.name)
			_, _ = r.try("virsh", host, "undefine", l.name)
		}
	})
	r.virsh(host, "define", r.file(l.xml(metadata, devices)))
}

// newLan makes a network without addresses on the hosts.
func (r realHosts) newLan(hosts ...string) {
	r.tb.Helper()
	file := r.file("<network><name>live-lan</name><bridge name='virbr-live' stp='off' delay='0'/></network>")
	for _, host := range hosts {
		r.tb.Cleanup(func() { _, _ = r.try("virsh", host, "net-destroy", "live-lan") })
		r.virsh(host, "net-create", file)
	}
}

// on is the URI of a daemon's socket.
func on(socket string) string { return "qemu:///system?socket=" + socket }

// source opens a source of some hosts.
func (r realHosts) source(edit func(*Options), uris ...string) *Source {
	r.tb.Helper()
	o := testOptions("", func(o *Options) {
		o.URIs = uris
		if edit != nil {
			edit(o)
		}
	})
	s, err := Open(o)
	require.NoError(r.tb, err)
	return s
}

// mustReadAll requires a complete snapshot.
func mustReadAll(tb testing.TB, s sources.Source) []ipam.Allocation {
	tb.Helper()
	snapshot, err := s.Snapshot(tb.Context())
	require.NoError(tb, err)
	require.Empty(tb, told(snapshot.Missing))
	for _, a := range snapshot.Allocations {
		require.NoError(tb, a.Check())
	}
	return snapshot.Allocations
}

// facts are what is read of a domain with l.metadata and l.nic.
func (l live) facts() []string {
	server := fmt.Sprintf("/servers/%s?port=%s project=shop name=shown", l.uuid, l.port)
	return []string{
		fmt.Sprintf("address 10.99.%d.1/32 fixed %s mac=%s", l.n, server, l.mac),
		fmt.Sprintf("address 203.0.113.%d/32 floating %s inside=10.99.%d.1", 200+l.n, server, l.n),
		fmt.Sprintf("address 2001:db8:aa::%x/128 fixed %s mac=%s", l.n, server, l.mac),
	}
}

// of keeps the lines of one user.
func (l live) of(facts []ipam.Allocation) []string {
	return lines(slices.DeleteFunc(slices.Clone(facts), func(a ipam.Allocation) bool { return !strings.Contains(string(a.UsedBy), l.uuid) }))
}

// writer connects as whoever changes the host does: not as this package.
func (r realHosts) writer(socket string) *golibvirt.Libvirt {
	r.tb.Helper()
	raw, err := dialer().Dial("unix", socket)
	require.NoError(r.tb, err)
	c := golibvirt.NewWithDialer(dialed{raw})
	require.NoError(r.tb, c.ConnectToURI(golibvirt.QEMUSystem))
	r.tb.Cleanup(func() { _ = raw.Close() }) // go-libvirt's own Disconnect waits for daemons that hang
	return c
}

// domain is how the protocol names it.
func (l live) domain() golibvirt.Domain {
	d := golibvirt.Domain{Name: l.name, ID: -1}
	_, _ = hex.Decode(d.UUID[:], []byte(strings.ReplaceAll(l.uuid, "-", ""))) // newLive wrote it
	return d
}

// setMetadata does what Nova's set_metadata does (nova/virt/libvirt/guest.py):
// the key is "instance", whatever prefix the XML has.
func setMetadata(c *golibvirt.Libvirt, l live, text string, impact golibvirt.DomainModificationImpact) error {
	return c.DomainSetMetadata(l.domain(), int32(golibvirt.DomainMetadataElement), golibvirt.OptString{text}, golibvirt.OptString{"instance"}, golibvirt.OptString{nova11}, impact)
}

// TestRealWorld compares what testbed/libvirt-world.sh puts on the hosts with
// what is read of it.
func TestRealWorld(t *testing.T) {
	r := mustReal(t)
	r.reset()
	s := r.source(nil, on(r.aReadOnly), on(r.bReadOnly))
	facts := mustReadAll(t, s)
	leases := r.virsh("a", "net-dhcp-leases", "tenant") + r.virsh("b", "net-dhcp-leases", "default")
	for i, a := range facts {
		if a.Dynamic { // dnsmasq chose the address
			require.Contains(t, leases, " "+a.Prefix.Addr().String()+"/24 ")
			subnet, err := a.Prefix.Addr().Prefix(24)
			require.NoError(t, err)
			facts[i].Prefix = ipam.HostPrefix(subnet.Addr())
		}
	}
	slices.SortFunc(facts, ipam.Allocation.Compare)
	require.Equal(t, []string{
		"prefix 10.77.0.0/24 network /networks/c087c7a3-e077-5487-8f22-e52a33383215 net=tenant project=kvm-a name=tenant",
		"prefix 10.79.0.0/24 network /networks/95348f5a-f635-5705-a19c-5d745459f5ee net=tenant project=kvm-b name=tenant",
		"prefix 192.168.122.0/24 network /networks/b8ddfe40-3356-54b3-ad58-e2b47eb1462a net=default project=kvm-b name=default nat",
		"prefix 2001:db8:77::/64 network /networks/c087c7a3-e077-5487-8f22-e52a33383215 net=tenant project=kvm-a name=tenant",
		"address 10.77.0.0/32 domain /servers/067692bd-83f8-53da-9763-6f2b52def58a?port=2eb86f21-bc60-5c09-88db-c2b084d6e3e6 net=tenant project=demo name=v6only mac=fa:16:3e:00:00:04 dynamic",
		"address 10.77.0.0/32 domain /servers/0dc3a83f-4e35-59f2-9add-b49a5058ba9f?port=7b144517-d937-59cc-a500-6646216398f5 net=tenant project=demo name=db-1 mac=fa:16:3e:00:00:02 dynamic",
		"address 10.77.0.0/32 domain /servers/397de592-015c-51ed-ac47-9712a6f22e40?port=286e0097-703c-5102-a43f-3208246c3995 net=tenant project=demo name=noip mac=fa:16:3e:00:00:06 dynamic",
		"address 10.77.0.1/24 network /networks/c087c7a3-e077-5487-8f22-e52a33383215 net=tenant project=kvm-a name=tenant",
		"address 10.77.0.11/32 fixed /servers/4fa44310-91b3-5314-8938-157d348ec32e?port=804a6a70-6fe9-59a3-abe9-3726210998a6 project=demo name=web-1 mac=fa:16:3e:00:00:01",
		"address 10.77.0.12/32 fixed /servers/0dc3a83f-4e35-59f2-9add-b49a5058ba9f?port=7b144517-d937-59cc-a500-6646216398f5 project=demo name=db-1 mac=fa:16:3e:00:00:02",
		"address 10.77.0.13/32 fixed /servers/0dc3a83f-4e35-59f2-9add-b49a5058ba9f?port=84027d14-bee3-5064-9d78-82d36904a07b project=demo name=db-1 mac=fa:16:3e:00:00:03",
		"address 10.77.0.19/32 fixed /servers/76acfda9-8cfe-520b-94cb-47aea6037439?port=98a6067b-a6f3-5aea-9047-ee992b8417df project=demo name=stopped mac=fa:16:3e:00:00:09",
		"address 10.79.0.1/24 network /networks/95348f5a-f635-5705-a19c-5d745459f5ee net=tenant project=kvm-b name=tenant",
		"address 192.168.122.0/32 domain /domains/7a4dbbc3-3291-5713-8acd-d8de34f3e7a7?mac=52:54:00:00:01:01 net=default project=kvm-b name=plain-1 mac=52:54:00:00:01:01 nat dynamic",
		"address 192.168.122.0/32 lease /networks/b8ddfe40-3356-54b3-ad58-e2b47eb1462a?mac=52:54:00:00:01:50 net=default project=kvm-b mac=52:54:00:00:01:50 nat dynamic",
		"address 192.168.122.1/24 network /networks/b8ddfe40-3356-54b3-ad58-e2b47eb1462a net=default project=kvm-b name=default nat",
		"address 192.168.122.12/32 domain /domains/48bf5e9f-cfdc-568f-8084-1377e8ee49f5?mac=52:54:00:00:01:02 net=default project=kvm-b name=plain-2 mac=52:54:00:00:01:02 nat",
		"address 192.168.122.99/32 reservation /networks/b8ddfe40-3356-54b3-ad58-e2b47eb1462a?mac=52:54:00:00:01:99 net=default project=kvm-b name=printer mac=52:54:00:00:01:99 nat",
		"address 203.0.113.11/32 floating /servers/4fa44310-91b3-5314-8938-157d348ec32e?port=804a6a70-6fe9-59a3-abe9-3726210998a6 project=demo name=web-1 inside=10.77.0.11",
		"address 2001:db8:77::1/64 network /networks/c087c7a3-e077-5487-8f22-e52a33383215 net=tenant project=kvm-a name=tenant",
		"address 2001:db8:77::12/128 fixed /servers/0dc3a83f-4e35-59f2-9add-b49a5058ba9f?port=7b144517-d937-59cc-a500-6646216398f5 project=demo name=db-1 mac=fa:16:3e:00:00:02",
		"address 2001:db8:77::14/128 fixed /servers/067692bd-83f8-53da-9763-6f2b52def58a?port=2eb86f21-bc60-5c09-88db-c2b084d6e3e6 project=demo name=v6only mac=fa:16:3e:00:00:04",
	}, lines(facts))

	t.Run("a domain of before Wallaby", func(t *testing.T) {
		snapshot, err := r.source(func(o *Options) { o.RequirePorts = true }, on(r.aReadOnly)).Snapshot(t.Context())
		require.NoError(t, err)
		require.Len(t, snapshot.Missing, 1)
		require.Equal(t, "domain instance-00000007 (nova10) on localhost", snapshot.Missing[0].Part)
	})
	t.Run("without networks", func(t *testing.T) {
		facts := mustReadAll(t, r.source(func(o *Options) { o.Networks, o.Project = false, projectID }, on(r.aReadOnly), on(r.bReadOnly)))
		require.Len(t, facts, 7)
		for _, a := range facts {
			require.Contains(t, []string{"fixed", "floating"}, a.Type)
			require.Len(t, a.Project, len(uuidA))
		}
	})
	t.Run("check", func(t *testing.T) {
		var texts []string
		for _, f := range s.Check(t.Context()) {
			require.True(t, f.OK, "%+v", f)
			texts = append(texts, f.Text)
		}
		require.Contains(t, texts[0], "(kvm-a) answers, libvirt ")
		require.Contains(t, texts[0], "opened read-only: 8 domains and 1 network")
		require.Contains(t, texts[1], "(kvm-b)")
		require.Equal(t, "they hand out 8 network, 6 fixed, 5 domain, 1 reservation, 1 lease, 1 floating", texts[2])
	})
}

// TestRealTestDriver: the daemon can be asked for any of its drivers; this one
// is made up by libvirt itself.
func TestRealTestDriver(t *testing.T) {
	r := mustReal(t)
	s := r.source(nil, "test+unix:///default?socket="+r.a)
	facts := mustReadAll(t, s)
	id := strings.TrimPrefix(string(facts[0].UsedBy), "/networks/") // another one after each start of the daemon
	require.Equal(t, []string{
		"prefix 192.168.122.0/24 network /networks/" + id + " net=default project=kvm-a name=default nat",
		"address 192.168.122.1/24 network /networks/" + id + " net=default project=kvm-a name=default nat",
	}, lines(facts))
	require.Contains(t, s.Check(t.Context())[0].Text, "1 domain and 1 network")
}

// reach is a way to host a.
type reach struct {
	name, uri string
	edit      func(*Options)
}

// reaches lists all ways to host a.
func (r realHosts) reaches() []reach {
	ssh := "qemu+ssh://" + r.ssh + "/system"
	return []reach{
		{"read-only socket", on(r.aReadOnly), nil},
		{"socket", on(r.a), nil},
		{"tcp", "qemu+tcp://" + r.tcp + "/system", nil},
		{"tls", "qemu+tls://" + r.tls + "/system", func(o *Options) {
			o.CAFile, o.ClientCertFile, o.ClientKeyFile = r.pki+"/cacert.pem", r.pki+"/clientcert.pem", r.pki+"/clientkey.pem"
		}},
		{"tls, files in the URI", "qemu://" + r.tls + "/system?pkipath=" + r.pki, nil},
		{"ssh", ssh, func(o *Options) { o.SSHKeyFile, o.SSHKnownHostsFile = r.sshKey, r.knownHosts }},
		{"ssh, files in the URI", ssh + "?keyfile=" + r.sshKey + "&known_hosts=" + r.knownHosts, nil},
		{"ssh, the other socket", ssh + "?socket=/run/libvirt/libvirt-sock", func(o *Options) { o.SSHKeyFile, o.SSHKnownHostsFile = r.sshKey, r.knownHosts }},
	}
}

// TestRealReaches: all ways to a host tell the same, and by none of them does
// the daemon let this package change anything, even where its own guard would
// let the call out.
func TestRealReaches(t *testing.T) {
	noLeaks(t)
	r := mustReal(t)
	l := newLive(1)
	r.define("a", l, "", "")
	first := r.source(nil, on(r.aReadOnly))
	for _, way := range r.reaches() {
		t.Run(way.name, func(t *testing.T) {
			s := r.source(way.edit, way.uri)
			require.Eventually(t, func() bool { // others change it while it is read
				return slices.Equal(mustReadAll(t, first), mustReadAll(t, s))
			}, 20*time.Second, 100*time.Millisecond)
			require.Greater(t, len(mustReadAll(t, s)), 10)
			for _, f := range s.Check(t.Context()) {
				require.True(t, f.OK, "%+v", f)
			}

			c := mustConnect(t, s.options)
			const procSetMetadata = 264
			c.guard.answers[procSetMetadata] = ""
			var refusal golibvirt.Error
			require.ErrorAs(t, setMetadata(c.remote, l, l.metadata, golibvirt.DomainAffectConfig), &refusal)
			require.Equal(t, uint32(golibvirt.ErrOperationDenied), refusal.Code)
			require.Contains(t, refusal.Message, "read only access")
			require.NotContains(t, r.virsh("a", "dumpxml", l.name), "nova")
		})
	}
	t.Run("a call that writes does not leave", func(t *testing.T) {
		c := mustConnect(t, testOptions(on(r.a)))
		require.Error(t, setMetadata(c.remote, l, l.metadata, golibvirt.DomainAffectConfig))
		cause, lost := c.guard.lost()
		require.True(t, lost)
		require.ErrorContains(t, cause, "not one of those that only read")
		require.NotContains(t, r.virsh("a", "dumpxml", l.name), "nova")
	})
	// Anybody else on that socket may: it was not for another reason that it
	// was refused.
	require.NoError(t, setMetadata(r.writer(r.a), l, l.metadata, golibvirt.DomainAffectConfig))
	require.Contains(t, r.virsh("a", "dumpxml", l.name), l.port)
}

// TestRealMetadata: what Nova writes is read, whichever prefix libvirt writes
// it under, of a domain that runs and of one that does not.
func TestRealMetadata(t *testing.T) {
	r := mustReal(t)
	l := newLive(2)
	r.newLan("a")
	r.define("a", l, "", l.nic())
	s, nova := r.source(nil, on(r.aReadOnly)), r.writer(r.a)
	require.Empty(t, l.of(mustReadAll(t, s)))
	require.NoError(t, setMetadata(nova, l, l.metadata, golibvirt.DomainAffectConfig))
	require.Contains(t, r.virsh("a", "dumpxml", l.name), "xmlns:instance=")
	require.Equal(t, l.facts(), l.of(mustReadAll(t, s)))

	r.virsh("a", "start", l.name)
	require.Equal(t, l.facts(), l.of(mustReadAll(t, s)))
	// What a running domain has is read from it, not from its definition.
	require.NoError(t, setMetadata(nova, l, novaText(""), golibvirt.DomainAffectConfig))
	require.Equal(t, l.facts(), l.of(mustReadAll(t, s)))
	require.NoError(t, setMetadata(nova, l, novaText("<nova:ports/>"), golibvirt.DomainAffectLive))
	require.Empty(t, l.of(mustReadAll(t, s)))

	t.Run("what makes no sense is missing", func(t *testing.T) {
		require.NoError(t, setMetadata(nova, l, novaText(portText(l.port, ipText("fixed", "10.99.2.1")+ipText("fixed", "10.99.2.256"))), golibvirt.DomainAffectLive))
		snapshot, err := s.Snapshot(t.Context())
		require.NoError(t, err)
		require.Len(t, snapshot.Missing, 1)
		require.Equal(t, "domain live-2 (shown) on localhost", snapshot.Missing[0].Part)
		require.Equal(t, l.facts()[:1], l.of(snapshot.Allocations))
	})
}
