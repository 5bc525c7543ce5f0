package libvirt

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
	"github.com/stretchr/testify/require"

	"allocsync/sources"
)

// TestOnlyReserves: a connection that may write adds and deletes static DHCP
// hosts, and no other change leaves.
func TestOnlyReserves(t *testing.T) {
	noLeaks(t)
	const add, remove, modify = golibvirt.NetworkUpdateCommandAddLast, golibvirt.NetworkUpdateCommandDelete, golibvirt.NetworkUpdateCommandModify
	const host, ranges = golibvirt.NetworkSectionIPDhcpHost, golibvirt.NetworkSectionIPDhcpRange
	for _, test := range []struct {
		name string
		do   func(*golibvirt.Libvirt) error
		ok   bool
	}{
		{"add", func(l *golibvirt.Libvirt) error {
			return l.NetworkUpdateCompat(golibvirt.Network{}, add, host, 0, "", 3)
		}, true},
		{"delete", func(l *golibvirt.Libvirt) error {
			return l.NetworkUpdateCompat(golibvirt.Network{}, remove, host, 0, "", 3)
		}, true},
		{"modify", func(l *golibvirt.Libvirt) error {
			return l.NetworkUpdateCompat(golibvirt.Network{}, modify, host, 0, "", 3)
		}, false},
		{"a range", func(l *golibvirt.Libvirt) error {
			return l.NetworkUpdateCompat(golibvirt.Network{}, add, ranges, 0, "", 3)
		}, false},
		{"destroy", func(l *golibvirt.Libvirt) error { return l.NetworkDestroy(golibvirt.Network{}) }, false},
		{"define", func(l *golibvirt.Libvirt) error { _, err := l.NetworkDefineXML("<network/>"); return err }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := &peer{}
			o := testOptions("qemu:///system?socket=" + newPeer(t, p))
			c, err := connect(t.Context(), mustEndpoint(t, o).forWriting(), o)
			require.NoError(t, err)
			t.Cleanup(c.close)
			require.Equal(t, []byte(wireText{}.word(1).text("qemu:///system").word(0)), p.calls[1].payload, "it is opened to write")
			err = test.do(c.remote)
			if test.ok {
				require.NoError(t, err)
				require.False(t, c.lost())
				return
			}
			require.Error(t, err)
			require.True(t, c.lost())
			for _, procedure := range p.saw() {
				require.Contains(t, []uint32{procAuthList, procOpen, procFeature}, procedure)
			}
		})
	}
	t.Run("read-only", func(t *testing.T) {
		c := toPeer(t, &peer{})
		require.Error(t, c.remote.NetworkUpdateCompat(golibvirt.Network{}, add, host, 0, "", 3))
		require.EqualError(t, c.guard.cause, "procedure 291 of program 0x20008086 is not one of those that only read")
	})
}

// TestSocketsForWriting: the places of libvirt's other socket, unless the
// configuration names one.
func TestSocketsForWriting(t *testing.T) {
	for uri, want := range map[string]string{
		"qemu:///system": "/run/libvirt/libvirt-sock /run/libvirt/virtqemud-sock",
		"qemu:///system?socket=/run/x/libvirt-sock":  "/run/x/libvirt-sock",
		"qemu:///system?socket=/run/libvirt-sock-ro": "/run/libvirt-sock-ro",
		"lxc:///system": "/run/libvirt/libvirt-sock /run/libvirt/virtlxcd-sock",
		"qemu:///session?socket=/run/user/1/virt-ro":  "/run/user/1/virt-ro",
		"qemu:///system?socket=/run/libvirt-admin-ro": "/run/libvirt-admin-ro",
	} {
		e := mustEndpoint(t, testOptions(uri))
		require.Equal(t, want, strings.Join(e.forWriting().sockets(), " "))
		require.Equal(t, e.address.sockets(), e.sockets())
		require.Equal(t, strings.HasSuffix(uri, "sock-ro"), e.onlyReads())
	}
}

// TestTooManyWait: a host that has more to do than it can is left alone.
func TestTooManyWait(t *testing.T) {
	c := newClerk(mustEndpoint(t, testOptions("qemu:///system?socket=/none")), defaults())
	c.turn <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	nothing := func(context.Context, *connection) (int, error) { return 0, errors.New("not reached") }
	done := make(chan error, maxWaiting)
	for range maxWaiting {
		go func() { _, err := do(ctx, c, nothing); done <- err }()
	}
	require.Eventually(t, func() bool { return c.waiting.Load() == maxWaiting }, 10*time.Second, time.Millisecond)
	_, err := do(t.Context(), c, nothing)
	require.ErrorIs(t, err, sources.ErrUnreachable)
	require.EqualError(t, err, "source cannot be reached: 1024 reservations wait for localhost already")
	cancel()
	for range maxWaiting {
		require.ErrorIs(t, <-done, context.Canceled)
	}
	require.Zero(t, c.waiting.Load())
}

// TestHostXML: whatever stands in a wish is one attribute of one element.
func TestHostXML(t *testing.T) {
	c := client{addr: mustNetwork(t, networkText("")).subnets[0].Addr(), mac: macA}
	for _, name := range []string{"", "web", `a' b="c"><host ip='10.0.0.9'/>&amp;`, "line\nbreak", "\x00\xff"} {
		n := mustNetwork(t, networkText(hostXML(c, name)))
		require.Len(t, n.hosts, 1)
		require.Empty(t, n.faults)
		require.Equal(t, c.mac, n.hosts[0].mac)
		if name != "\x00\xff" { // XML has no such characters
			require.Equal(t, name, n.hosts[0].name)
		}
	}
	for _, name := range []string{"a", "A-1.example.org", strings.Repeat("a", 63)} {
		require.True(t, isClientName(name), name)
	}
	for _, name := range []string{"", "-a", "a-", "a_b", "a..b", "1h", "a b", "a,b", "a\nb", "ä", "infinite", "IGNORE", "a.", strings.Repeat("a", 64), strings.Repeat("a.", 127) + "a"} {
		require.False(t, isClientName(name), name)
	}
}
