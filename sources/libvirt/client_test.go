package libvirt

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
	"github.com/stretchr/testify/require"

	"allocsync/sources"
)

func TestCalls(t *testing.T) {
	noLeaks(t)
	p := &peer{}
	c := toPeer(t, p)
	name, err := c.hostname(t.Context())
	require.NoError(t, err)
	require.Equal(t, "kvm1.example", name)
	version, err := c.version(t.Context())
	require.NoError(t, err)
	require.Equal(t, "9.1.2", version)
	domains, err := c.domains(t.Context())
	require.NoError(t, err)
	require.Equal(t, []golibvirt.Domain{{Name: "web-1", ID: 7}}, domains)
	text, err := c.domainXML(t.Context(), domains[0])
	require.NoError(t, err)
	require.Equal(t, "<domain/>", text)
	networks, err := c.networks(t.Context())
	require.NoError(t, err)
	require.Equal(t, []golibvirt.Network{{Name: "default"}}, networks)
	text, err = c.networkXML(t.Context(), networks[0])
	require.NoError(t, err)
	require.Equal(t, "<network/>", text)
	leases, err := c.leases(t.Context(), networks[0])
	require.NoError(t, err)
	require.Equal(t, []golibvirt.NetworkDhcpLease{{
		Iface: "virbr0", Expirytime: 99, Mac: golibvirt.OptString{"52:54:00:00:00:01"},
		Ipaddr: "192.168.122.9", Prefix: 24, Hostname: golibvirt.OptString{"web-1"},
	}}, leases)
	require.False(t, c.lost())
	c.close()
	c.close()
	require.True(t, c.lost())
	<-c.ended()
	_, err = c.hostname(t.Context())
	require.ErrorIs(t, err, sources.ErrUnreachable)
	require.EqualError(t, err, "read the host name of localhost: source cannot be reached: the connection was closed")
}

// TestOpensReadOnly: go-libvirt has no way to say so; the guard does.
func TestOpensReadOnly(t *testing.T) {
	p := &peer{}
	toPeer(t, p)
	require.Equal(t, []uint32{procAuthList, procOpen}, p.saw())
	open := p.calls[1].payload
	require.Equal(t, []byte(wireText{}.word(1).text("qemu:///system").word(openReadOnly)), open)
}

func TestManyCallsAtOnce(t *testing.T) {
	noLeaks(t)
	var under, most int
	p := &peer{}
	p.reply = func(_ net.Conn, f frame) []byte {
		if f.procedure != procDomainXML {
			return usual()
		}
		w := wireText{}.text(string(f.payload[4 : 4+8]))
		return answerTo(f, w)
	}
	c := toPeer(t, p)
	var mu sync.Mutex
	var all sync.WaitGroup
	want, got := make([]string, 500), make([]string, 500)
	for i := range got {
		want[i] = fmt.Sprintf("dom-%03d!", i)
		all.Go(func() {
			mu.Lock()
			under = len(c.slots)
			most = max(most, under)
			mu.Unlock()
			text, err := c.domainXML(t.Context(), golibvirt.Domain{Name: want[i]})
			if err == nil {
				got[i] = text
			}
		})
	}
	all.Wait()
	require.Equal(t, want, got)
	require.LessOrEqual(t, most, maxInFlight)
}

func TestSilence(t *testing.T) {
	noLeaks(t)
	p := &peer{reply: func(_ net.Conn, f frame) []byte {
		if f.procedure == procDomains || f.procedure == procDomainXML {
			return nil
		}
		return usual()
	}}
	t.Run("of the daemon", func(t *testing.T) {
		c := toPeer(t, p, func(o *Options) { o.CallTimeout = 100 * time.Millisecond })
		_, err := c.domains(t.Context())
		require.EqualError(t, err, "list the domains of localhost: source cannot be reached: no answer within 100ms")
		require.ErrorIs(t, err, sources.ErrUnreachable)
		require.NotErrorIs(t, err, context.DeadlineExceeded)
		require.True(t, c.lost())
	})
	t.Run("about one domain", func(t *testing.T) {
		c := toPeer(t, p, func(o *Options) { o.CallTimeout = 300 * time.Millisecond })
		var all sync.WaitGroup
		var stuck error
		all.Go(func() { _, stuck = c.domainXML(t.Context(), golibvirt.Domain{Name: "stuck"}) })
		time.Sleep(100 * time.Millisecond)
		_, err := c.hostname(t.Context())
		require.NoError(t, err)
		all.Wait()
		require.EqualError(t, stuck, `read the XML of domain "stuck" of localhost: source cannot be reached: no answer within 300ms`)
		require.False(t, c.lost(), "the rest of the host is read")
		_, err = c.hostname(t.Context())
		require.NoError(t, err)
	})
	t.Run("while connecting", func(t *testing.T) {
		mute := newPeer(t, &peer{reply: func(net.Conn, frame) []byte { return nil }})
		noLeaks(t) // looks before the peer hangs up
		_, err := tryConnect(t, testOptions("qemu:///system?socket="+mute, func(o *Options) { o.CallTimeout = 100 * time.Millisecond }))
		require.EqualError(t, err, "connect to localhost: source cannot be reached: no answer within 100ms")
	})
}

func TestContexts(t *testing.T) {
	noLeaks(t)
	p := &peer{reply: func(_ net.Conn, f frame) []byte {
		if f.procedure == procDomains {
			return nil
		}
		return usual()
	}}
	t.Run("cancelled", func(t *testing.T) {
		for range 20 { // each of the calls may be the first to notice
			c := toPeer(t, p)
			ctx, cancel := context.WithCancel(t.Context())
			var all sync.WaitGroup
			errs := make([]error, 3*maxInFlight)
			for i := range errs {
				all.Go(func() { _, errs[i] = c.domains(ctx) })
			}
			time.Sleep(10 * time.Millisecond)
			cancel()
			all.Wait()
			for _, err := range errs {
				require.ErrorIs(t, err, context.Canceled)
				require.NotErrorIs(t, err, sources.ErrUnreachable)
			}
			require.True(t, c.lost())
		}
	})
	t.Run("cancelled, and closed by another call first", func(t *testing.T) {
		c := toPeer(t, p)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		c.close()
		require.ErrorIs(t, c.reason(ctx, golibvirt.ErrInterrupted), context.Canceled)
	})
	t.Run("the caller's deadline", func(t *testing.T) {
		c := toPeer(t, p)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := c.domains(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, sources.ErrUnreachable)
	})
	t.Run("the source's timeout", func(t *testing.T) {
		c := toPeer(t, p)
		ctx, cancel := sources.Bounded(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := c.domains(ctx)
		require.EqualError(t, err, "list the domains of localhost: source cannot be reached: no answer within 1m0s")
		require.NotErrorIs(t, err, context.DeadlineExceeded)
	})
	t.Run("cancelled before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		o := testOptions("qemu:///system?socket=/none")
		_, err := connect(ctx, mustEndpoint(t, o), o)
		require.ErrorIs(t, err, context.Canceled)
		c := toPeer(t, p)
		_, err = c.hostname(ctx)
		require.ErrorIs(t, err, context.Canceled)
		require.False(t, c.lost())
	})
	t.Run("cancelled while connecting", func(t *testing.T) {
		mute := newPeer(t, &peer{reply: func(net.Conn, frame) []byte { return nil }})
		noLeaks(t) // looks before the peer hangs up
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		o := testOptions("qemu:///system?socket=" + mute)
		_, err := connect(ctx, mustEndpoint(t, o), o)
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, sources.ErrUnreachable)
	})
}
