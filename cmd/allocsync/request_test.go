package main

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	maasd "allocsync/fixtures/maas"
	"allocsync/webhook"
)

func TestRequestForeign(t *testing.T) {
	l := newMAASLab(t, "3.6.1")
	for _, c := range []struct {
		args    []string
		address string
	}{
		{[]string{"--address", "172.16.3.60"}, "172.16.3.60/24"},
		{[]string{"--address", "172.16.1.50", "--mac", "52:54:00:00:01:50"}, "172.16.1.50/24"},
		{[]string{"--address", "172.16.1.12", "--node", "db-1"}, "172.16.1.12/24"},
	} {
		var made webhook.Reservation
		l.mustAsk(t, &made, append(append([]string{"reserve", "--source", "maas"}, c.args...), l.here()...)...)
		require.Equal(t, c.address, made.Address)
		require.Equal(t, "held by others", made.State)
		require.NotZero(t, made.Row)
		require.NotEmpty(t, made.UsedBy)
	}
}

func TestRequestOtherUser(t *testing.T) {
	l := newMAASLab(t, "3.6.1")
	base := append([]string{"reserve", "--source", "maas", "--address", "172.16.3.93"}, l.here()...)
	l.mustRun(t, exitInStep, base...)
	for _, more := range [][]string{{"--mac", "52:54:00:00:99:99"}, {"--node", "new-1"}} {
		out := l.mustRun(t, exitFailed, append(base, more...)...)
		require.Contains(t, out.stderr, "release that first")
	}
	l.mustRun(t, exitInStep, append([]string{"release", "--source", "maas", "172.16.3.93"}, l.here()...)...)
	node := append(base, "--node", "new-1")
	l.mustRun(t, exitInStep, node...)
	l.mustRun(t, exitInStep, node...)
	l.mustRun(t, exitInStep, base...) // content with any
	out := l.mustRun(t, exitFailed, append(base, "--node", "spare")...)
	require.NotEmpty(t, out.stderr)
}

// The run is told to stop while MAAS reserves: that is brought to its end, and
// what was asked for stays asked for.
func TestRequestBrokenOff(t *testing.T) {
	l := newMAASLab(t, "3.6.1")
	l.maas.Inject(maasd.Fault{On: "POST ipaddresses/?op=reserve", Delay: 500 * time.Millisecond, Times: 1})
	ctx, stop := context.WithCancel(t.Context())
	time.AfterFunc(5*time.Second, stop)
	go func() {
		for l.maas.Count("POST ipaddresses/?op=reserve") == 0 {
			time.Sleep(time.Millisecond)
		}
		stop()
	}()
	args := append([]string{"reserve", "--source", "maas", "--address", "172.16.3.91"}, l.here()...)
	out := l.run(ctx, args...)
	require.Equal(t, exitPartly, out.code, out.stderr)
	require.NotRegexp(t, `not finished: \s*$`, complaint(out))
	require.Len(t, l.atMAAS("172.16.3.91"), 1)
	require.Len(t, l.addresses(t), 1)
	var made webhook.Reservation
	l.mustAsk(t, &made, args...)
	require.Equal(t, "held", made.State)
	require.Len(t, l.atMAAS("172.16.3.91"), 1)
}

// Of several interfaces on a network one is named, by its name or its MAC.
func TestRequestNIC(t *testing.T) {
	l := newMAASLab(t, "3.6.1")
	l.maas.AddMachine(maasd.Node{Hostname: "twins", Status: "Ready", Interfaces: []maasd.Interface{
		{Name: "eth0", MAC: "52:54:00:00:77:01", VLAN: 5002}, {Name: "eth1", MAC: "52:54:00:00:77:02", VLAN: 5002},
	}})
	base := append([]string{"reserve", "--source", "maas", "--network", "internal", "--address", "172.16.3.94", "--node", "twins"}, l.here()...)
	require.Contains(t, l.mustRun(t, exitFailed, base...).stderr, "eth0 (52:54:00:00:77:01)")
	require.Contains(t, l.mustRun(t, exitFailed, append(base, "--nic", "eth7")...).stderr, "has no interface eth7")
	var made webhook.Reservation
	l.mustAsk(t, &made, append(base, "--nic", "eth1")...)
	require.Equal(t, "52:54:00:00:77:02", made.MAC)
	l.mustAsk(t, &made, append(base, "--nic", "eth1")...)
	require.Contains(t, l.mustRun(t, exitFailed, append(base, "--nic", "eth0")...).stderr, "release that first")
	require.Len(t, l.atMAAS("172.16.3.94"), 1)
	require.Contains(t, l.mustRun(t, exitFailed, append(base, "--nic", "eth1", "--mac", "52:54:00:00:77:02")...).stderr, "nic")
	require.Contains(t, l.mustRun(t, exitFailed, append([]string{"reserve", "--source", "maas", "--network", "internal", "--nic", "eth1"}, l.here()...)...).stderr, "of which node")
}
