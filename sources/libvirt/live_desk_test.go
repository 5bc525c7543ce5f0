package libvirt

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/sources"
	"allocsync/sources/sourcetest"
)

// deskNet is a network on a real host that a test reserves on.
type deskNet struct {
	n          int
	name, uuid string
}

// lanNumber is another one for each network of these tests that is there at a
// time.
func newDeskNet(n int) deskNet {
	return deskNet{n: n, name: fmt.Sprintf("live-desk-%d", n), uuid: fmt.Sprintf("aaaa0000-0000-4000-9000-%012x", n)}
}

func (d deskNet) uri() ipam.UsedBy { return networkURI(d.uuid) }

func (d deskNet) addr(last byte) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 140, byte(d.n), last})
}

func (d deskNet) mac(last byte) ipam.MAC {
	return ipam.MAC(fmt.Sprintf("52:54:00:db:%02x:%02x", d.n, last))
}

// wish is one for a MAC.
func (d deskNet) wish(last byte) ipam.Reservation {
	return ipam.Reservation{Network: d.uri(), Addr: d.addr(last), MAC: d.mac(last), Mark: "test/libvirt"}
}

// xml is a network with a dynamic range and a static host of each family.
func (d deskNet) xml() string {
	return fmt.Sprintf(`<network><name>%s</name><uuid>%s</uuid><bridge name='virbr-ld%d' stp='off' delay='0'/>
<ip address='10.140.%d.1' prefix='24'><dhcp><range start='10.140.%d.200' end='10.140.%d.220'/><host mac='%s' name='printer-%d' ip='%s'/></dhcp></ip>
<ip family='ipv6' address='2001:db8:14:%x::1' prefix='64'><dhcp><host id='0:3:0:1:99' ip='2001:db8:14:%x::99'/></dhcp></ip></network>`,
		d.name, d.uuid, d.n, d.n, d.n, d.n, d.mac(99), d.n, d.addr(99), d.n, d.n)
}

// newDeskNet defines a network on a host, and starts it if it is to run.
func (r realHosts) newDeskNet(tb testing.TB, host string, n int, running bool) deskNet {
	tb.Helper()
	d := newDeskNet(n)
	tb.Cleanup(func() {
		_, _ = r.try("virsh", host, "net-destroy", d.name)
		_, _ = r.try("virsh", host, "net-undefine", d.name)
	})
	r.virsh(host, "net-define", r.file(d.xml()))
	if running {
		r.virsh(host, "net-start", d.name)
	}
	return d
}

// heldOn lists what is held on a network.
func (d deskNet) heldOn(tb testing.TB, s sources.Reserver) []ipam.Reservation {
	tb.Helper()
	survey, err := s.Survey(tb.Context())
	require.NoError(tb, err)
	return slices.DeleteFunc(survey.Held, func(h ipam.Reservation) bool { return h.Network != d.uri() })
}

func (d deskNet) heldAt(tb testing.TB, s sources.Reserver, addr netip.Addr) []ipam.Reservation {
	tb.Helper()
	return slices.DeleteFunc(d.heldOn(tb, s), func(h ipam.Reservation) bool { return h.Addr != addr })
}

// TestRealDesks holds the desk to its contract on a real host.
func TestRealDesks(t *testing.T) {
	for i, test := range []struct {
		name    string
		running bool
		room    func(deskNet) sourcetest.Room
	}{
		{"a MAC, on a network that runs", true, func(d deskNet) sourcetest.Room {
			return sourcetest.Room{Free: d.addr(20), Taken: d.addr(99), Outside: netip.MustParseAddr("10.141.0.20"), MAC: d.mac(20), Name: "nas"}
		}},
		{"a MAC, on a network that does not run", false, func(d deskNet) sourcetest.Room {
			return sourcetest.Room{Free: d.addr(20), Taken: d.addr(99), Outside: netip.MustParseAddr("10.141.0.20"), MAC: d.mac(20)}
		}},
		{"a client of DHCPv6", false, func(d deskNet) sourcetest.Room {
			six := netip.MustParseAddr(fmt.Sprintf("2001:db8:14:%x::20", d.n))
			return sourcetest.Room{Free: six, Taken: netip.MustParseAddr(fmt.Sprintf("2001:db8:14:%x::99", d.n)), Outside: netip.MustParseAddr("2001:db8:15::20"), For: d.uri() + "?client=0:3:0:1:20"}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			sourcetest.RunDesks(t, sourcetest.Desks{Open: func(tb testing.TB) sourcetest.Room {
				r := mustReal(tb)
				d := r.newDeskNet(tb, "b", 10+i, test.running)
				room := test.room(d)
				room.Source, room.Network = r.source(nil, on(r.b)), d.uri()
				room.Steal = func(tb testing.TB, held ipam.Reservation) { r.steal(tb, "b", d, held) }
				return room
			}})
		})
	}
}

// steal gives an address that is held to another client.
func (r realHosts) steal(tb testing.TB, host string, d deskNet, held ipam.Reservation) {
	tb.Helper()
	was, is, part := "mac='"+string(held.MAC)+"'", "mac='52:54:00:ff:00:01'", "0"
	if held.MAC == "" {
		was, is, part = "id='"+held.Ref.Query("client")+"'", "id='0:3:0:1:ff'", "1"
	}
	flags := []string{"--config"}
	if strings.Contains(r.virsh(host, "net-info", d.name), "Active:         yes") {
		flags = append(flags, "--live")
	}
	for _, change := range [][2]string{{"delete", was}, {"add-last", is}} {
		args := []string{"net-update", d.name, change[0], "ip-dhcp-host", "<host " + change[1] + " ip='" + held.Addr.String() + "'/>", "--parent-index", part}
		r.virsh(host, append(args, flags...)...)
	}
}

// guest is a domain that asks for an address by DHCP when it is started.
func (d deskNet) client() live {
	l := newLive(100 + d.n)
	l.mac = string(d.mac(20))
	return l
}

func (r realHosts) newClient(tb testing.TB, host string, d deskNet) live {
	tb.Helper()
	l := d.client()
	tb.Cleanup(func() {
		_, _ = r.try("virsh", host, "destroy", l.name)
		_, _ = r.try("virsh", host, "undefine", l.name)
	})
	r.virsh(host, "define", r.file(fmt.Sprintf(`<domain type="qemu"><name>%s</name><uuid>%s</uuid><memory unit="MiB">32</memory><vcpu>1</vcpu>`+
		`<os><type arch="x86_64" machine="pc">hvm</type><boot dev="network"/></os><features><acpi/></features><devices><controller type="usb" model="none"/>`+
		`<interface type="network"><mac address="%s"/><source network="%s"/><model type="virtio"/></interface><memballoon model="none"/></devices></domain>`,
		l.name, l.uuid, l.mac, d.name)))
	return l
}

// leased waits until a MAC leases an address, and returns all that it leases.
func (r realHosts) leased(tb testing.TB, host string, d deskNet, mac string, want func(string) bool) string {
	tb.Helper()
	var list string
	require.Eventually(tb, func() bool {
		list, _ = r.try("virsh", host, "net-dhcp-leases", d.name, mac)
		return want(list)
	}, time.Minute, 300*time.Millisecond, "it has no such lease")
	return list
}

// TestRealGuest: a guest gets the address that is reserved for it, from libvirt's
// own DHCP server, and no longer when it is released.
func TestRealGuest(t *testing.T) {
	r := mustReal(t)
	d := r.newDeskNet(t, "b", 1, true)
	l := r.newClient(t, "b", d)
	s := r.source(nil, on(r.b))
	survey, err := s.Survey(t.Context())
	require.NoError(t, err)
	addr := d.addr(20)
	want, err := survey.Desk.Consider(ipam.Reservation{Addr: addr, For: ipam.UsedBy(l.name), Name: "reserved-guest", Mark: "test/libvirt"})
	require.NoError(t, err)
	require.Equal(t, ipam.Reservation{Network: d.uri(), Addr: addr, For: domainURI(l.uuid, d.mac(20)), MAC: d.mac(20), Name: "reserved-guest", Mark: "test/libvirt"}, want)
	begun := time.Now()
	held, err := survey.Desk.Reserve(t.Context(), want)
	require.NoError(t, err)
	t.Logf("reserved in %s", time.Since(begun).Round(time.Millisecond))
	require.Equal(t, []ipam.Reservation{held}, d.heldAt(t, s, addr))

	r.virsh("b", "start", l.name)
	list := r.leased(t, "b", d, l.mac, func(list string) bool { return strings.Contains(list, addr.String()+"/24") })
	t.Logf("the guest leases:\n%s", list)
	held.InUse = "leased to " + l.mac
	require.Equal(t, []ipam.Reservation{held}, d.heldAt(t, s, addr))
	_, err = survey.Desk.Reserve(t.Context(), ipam.Reservation{Network: d.uri(), Addr: addr, MAC: d.mac(21)})
	require.ErrorIs(t, err, sources.ErrRefused)

	t.Run("released", func(t *testing.T) {
		survey, err := s.Survey(t.Context())
		require.NoError(t, err)
		require.NoError(t, survey.Desk.Release(t.Context(), held))
		require.Empty(t, d.heldAt(t, s, addr))
		_, err = survey.Desk.Reserve(t.Context(), d.wish(20)) // its own lease is in nobody's way
		require.NoError(t, err)
		require.NoError(t, survey.Desk.Release(t.Context(), held))
		other := d.wish(21)
		other.Addr = addr
		_, err = survey.Desk.Reserve(t.Context(), other)
		require.ErrorIs(t, err, sources.ErrRefused)
		require.ErrorContains(t, err, "it is leased to "+l.mac)

		r.virsh("b", "destroy", l.name)
		r.virsh("b", "start", l.name)
		list := r.leased(t, "b", d, l.mac, func(list string) bool {
			return strings.Contains(list, d.addr(2).String()) && !strings.Contains(list, addr.String()+"/24")
		})
		t.Logf("the guest leases:\n%s", list)
		require.Regexp(t, `\b10\.140\.1\.2\d\d/24`, list, "it has one from the dynamic range now")
		_, err = survey.Desk.Reserve(t.Context(), other)
		require.NoError(t, err, "nobody leases it any more")
	})
}

// TestRealInactive: what is reserved while a network does not run is served
// when it does, and kept in its definition.
func TestRealInactive(t *testing.T) {
	r := mustReal(t)
	d := r.newDeskNet(t, "b", 2, false)
	l := r.newClient(t, "b", d)
	s := r.source(nil, on(r.b))
	survey, err := s.Survey(t.Context())
	require.NoError(t, err)
	begun := time.Now()
	held, err := survey.Desk.Reserve(t.Context(), ipam.Reservation{Network: d.uri(), Addr: d.addr(20), MAC: d.mac(20)})
	require.NoError(t, err)
	t.Logf("reserved in %s", time.Since(begun).Round(time.Millisecond))
	require.Equal(t, []ipam.Reservation{held}, d.heldAt(t, s, d.addr(20)))
	require.Contains(t, r.must("exec", "b", "cat", "/etc/libvirt/qemu/networks/"+d.name+".xml"), d.addr(20).String()+"'", "a restart of the daemon loses it")
	for range 2 { // the second time it has run with it
		r.virsh("b", "net-start", d.name)
		require.Equal(t, []ipam.Reservation{held}, d.heldAt(t, s, d.addr(20)))
		r.virsh("b", "net-destroy", d.name)
	}
	r.must("restart", "b") // the daemon
	require.Equal(t, []ipam.Reservation{held}, d.heldAt(t, s, d.addr(20)))
	r.virsh("b", "net-start", d.name)
	r.virsh("b", "start", l.name)
	r.leased(t, "b", d, l.mac, func(list string) bool { return strings.Contains(list, d.addr(20).String()+"/24") })
}

// TestRealTransient: a network without a definition.
func TestRealTransient(t *testing.T) {
	r := mustReal(t)
	d := newDeskNet(3)
	t.Cleanup(func() { _, _ = r.try("virsh", "b", "net-destroy", d.name) })
	text := fmt.Sprintf("<network><name>%s</name><uuid>%s</uuid><bridge name='virbr-ld%d' stp='off' delay='0'/><ip address='%s' prefix='24'/></network>", d.name, d.uuid, d.n, d.addr(1))
	r.virsh("b", "net-create", r.file(text))
	s := r.source(nil, on(r.b))
	survey, err := s.Survey(t.Context())
	require.NoError(t, err)
	for range 2 { // the last entry ends the network's DHCP server, the first starts it
		held, err := survey.Desk.Reserve(t.Context(), d.wish(20))
		require.NoError(t, err)
		require.Equal(t, []ipam.Reservation{held}, d.heldOn(t, s))
		require.NoError(t, survey.Desk.Release(t.Context(), held))
		require.Empty(t, d.heldOn(t, s))
	}
}

// TestRealSix: DHCPv6 is told to the network's server while it runs, and not
// begun on a network that has none.
func TestRealSix(t *testing.T) {
	r := mustReal(t)
	d := r.newDeskNet(t, "b", 6, true)
	s := r.source(nil, on(r.b))
	survey, err := s.Survey(t.Context())
	require.NoError(t, err)
	six := netip.MustParseAddr("2001:db8:14:6::20")
	held, err := survey.Desk.Reserve(t.Context(), ipam.Reservation{Addr: six, For: d.uri() + "?client=0:3:0:1:2a", Name: "six"})
	require.NoError(t, err)
	require.Equal(t, []ipam.Reservation{held}, d.heldAt(t, s, six))
	served := func() string { return r.must("exec", "b", "cat", "/var/lib/libvirt/dnsmasq/"+d.name+".hostsfile") }
	require.Contains(t, served(), "id:0:3:0:1:2a,six,[2001:db8:14:6::20]")
	require.NoError(t, survey.Desk.Release(t.Context(), held))
	require.NotContains(t, served(), "::20")

	r.virsh("b", "net-update", d.name, "delete", "ip-dhcp-host", "<host id='0:3:0:1:99' ip='2001:db8:14:6::99'/>", "--parent-index", "1", "--live", "--config")
	_, err = survey.Desk.Reserve(t.Context(), held)
	require.ErrorIs(t, err, sources.ErrRefused)
	require.ErrorContains(t, err, "the network serves no DHCPv6 on 2001:db8:14:6::/64")
}

// TestRealCrowd: many at once on one network, while it is watched.
func TestRealCrowd(t *testing.T) {
	r := mustReal(t)
	d := r.newDeskNet(t, "b", 4, true)
	s := r.source(nil, on(r.b))
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var heard []error
	var watching sync.WaitGroup
	watching.Go(func() {
		_ = s.Watch(ctx, func() {}, func(err error) { // it ends with ctx
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, err)
		})
	})
	survey, err := s.Survey(t.Context())
	require.NoError(t, err)
	const n = 20
	held := make([]ipam.Reservation, n)
	errs := make([]error, n)
	begun := time.Now()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { held[i], errs[i] = survey.Desk.Reserve(t.Context(), d.wish(byte(20+i))) })
	}
	all.Wait()
	took := time.Since(begun)
	require.NoError(t, errors.Join(errs...))
	t.Logf("%d reservations at once in %s, %s each", n, took.Round(time.Millisecond), (took / n).Round(time.Millisecond))
	require.Subset(t, d.heldOn(t, s), held)
	require.Len(t, d.heldOn(t, s), n+2)

	begun = time.Now()
	for i := range n {
		all.Go(func() { errs[i] = survey.Desk.Release(t.Context(), held[i]) })
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	t.Logf("%d releases at once in %s", n, time.Since(begun).Round(time.Millisecond))
	require.Len(t, d.heldOn(t, s), 2)
	cancel()
	watching.Wait()
	require.Equal(t, []error{nil}, heard, "the watcher was disturbed")
}

// TestRealWaysToReserve: by every way to a host but the read-only socket.
func TestRealWaysToReserve(t *testing.T) {
	noLeaks(t)
	r := mustReal(t)
	d := r.newDeskNet(t, "a", 5, false)
	for i, way := range r.reaches() {
		t.Run(way.name, func(t *testing.T) {
			s := r.source(way.edit, way.uri)
			survey, err := s.Survey(t.Context())
			require.NoError(t, err)
			defer survey.Desk.(*desk).clerks[0].hangUp() // or noLeaks would have to wait for it
			held, err := survey.Desk.Reserve(t.Context(), d.wish(byte(20+i)))
			if way.name == "read-only socket" {
				require.ErrorIs(t, err, sources.ErrDenied)
				require.ErrorContains(t, err, "read only access prevents virNetworkUpdate")
				require.ErrorContains(t, err, "name the other one in uris, "+r.a+", or")
				_, err = survey.Desk.Consider(d.wish(20))
				require.ErrorIs(t, err, sources.ErrDenied)
				return
			}
			require.NoError(t, err)
			require.NoError(t, survey.Desk.Release(t.Context(), held))
		})
	}
}

// TestRealNova: the addresses of Nova's servers are not for this source to give.
func TestRealNova(t *testing.T) {
	r := mustReal(t)
	s := r.source(nil, on(r.a))
	survey, err := s.Survey(t.Context())
	require.NoError(t, err)
	i := slices.IndexFunc(survey.Held, func(h ipam.Reservation) bool { return h.Addr.String() == "10.77.0.11" })
	require.GreaterOrEqual(t, i, 0)
	h := survey.Held[i]
	require.Equal(t, ipam.UsedBy("/servers/4fa44310-91b3-5314-8938-157d348ec32e?port=804a6a70-6fe9-59a3-abe9-3726210998a6"), h.Ref)
	require.Equal(t, typeFixed, h.Type)
	require.True(t, slices.ContainsFunc(survey.Allocations, func(a ipam.Allocation) bool {
		return a.UsedBy == h.Ref && a.Type == h.Type && a.Prefix.Addr() == h.Addr
	}))
	for _, w := range []ipam.Reservation{{MAC: "fa:16:3e:00:00:02"}, {For: "instance-00000002"}, {For: h.Ref}, {For: "instance-00000008", MAC: "fa:16:3e:00:00:09"}} {
		w.Addr = netip.MustParseAddr("10.77.0.50")
		_, err := survey.Desk.Consider(w)
		require.ErrorIs(t, err, sources.ErrRefused)
		require.ErrorContains(t, err, "it is for a server of Nova's")
		_, err = survey.Desk.Reserve(t.Context(), w)
		require.ErrorIs(t, err, sources.ErrRefused)
	}
	for addr, want := range map[string]string{"10.77.0.12": "it is an address of Nova's", "10.77.0.210": "inside the dynamic range"} {
		_, err := survey.Desk.Consider(ipam.Reservation{Addr: netip.MustParseAddr(addr), MAC: "52:54:00:db:00:01"})
		require.ErrorIs(t, err, sources.ErrRefused)
		require.ErrorContains(t, err, want)
	}
}

// TestRealHangUp: a caller that gives up amid a change, so that its connection
// ends, harms neither the daemon nor what is watched; and what became of the
// change is one or the other.
func TestRealHangUp(t *testing.T) {
	r := mustReal(t)
	d := r.newDeskNet(t, "b", 7, true)
	s := r.source(nil, on(r.b))
	hasty := r.source(func(o *Options) { o.CallTimeout = 60 * time.Millisecond }, on(r.b))
	pid := r.must("exec", "b", "pidof", "libvirtd")
	w := newWatch(t, s)
	w.told(5*time.Second, "connected")
	gaveUp := 0
	for i := range 10 {
		survey, err := s.Survey(t.Context())
		require.NoError(t, err)
		in, err := hasty.Survey(t.Context())
		if err != nil { // a busy machine
			continue
		}
		if _, err = in.Desk.Reserve(t.Context(), d.wish(byte(20+i))); errors.Is(err, sources.ErrUnreachable) {
			gaveUp++
		}
		held, err := survey.Desk.Reserve(t.Context(), d.wish(byte(20+i))) // waits its turn at the daemon
		require.NoError(t, err)
		held.Unmarkable = true // the hasty desk may have made it
		require.Equal(t, []ipam.Reservation{held}, d.heldAt(t, s, held.Addr))
	}
	require.Positive(t, gaveUp)
	require.Equal(t, pid, r.must("exec", "b", "pidof", "libvirtd"), "the daemon died")
	l := newLive(130)
	w.tells("a domain is defined", func() { r.define("b", l, "", "") })
}
