package libvirt_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	libvirtd "allocsync/fixtures/libvirt"
	"allocsync/ipam"
	"allocsync/sources"
	"allocsync/sources/libvirt"
)

const lan = ipam.UsedBy("/networks/" + lanUUID)

// lanHosts serves one daemon for each world and opens a source of all.
func lanHosts(tb testing.TB, worlds []libvirtd.World, change ...func(*libvirt.Options)) (sources.Reserver, []*libvirtd.Server) {
	tb.Helper()
	var servers []*libvirtd.Server
	source := mustOpen(tb, worlds, func(s *libvirtd.Server) { servers = append(servers, s) }, change...)
	return source.(sources.Reserver), servers
}

// lanHost serves the world of the suite.
func lanHost(tb testing.TB, change ...func(*libvirt.Options)) (sources.Reserver, *libvirtd.Server) {
	tb.Helper()
	source, servers := lanHosts(tb, []libvirtd.World{lanWorld(libvirtd.Network{Active: true})}, change...)
	return source, servers[0]
}

func mustSurvey(tb testing.TB, s sources.Reserver) sources.Survey {
	tb.Helper()
	survey, err := s.Survey(tb.Context())
	require.NoError(tb, err)
	return survey
}

// wish is one for a MAC on the network of the suite.
func wish(n int) ipam.Reservation {
	return ipam.Reservation{
		Network: lan, Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), MAC: ipam.MAC(fmt.Sprintf("52:54:00:ee:00:%02x", n)), Mark: "main/kvm",
	}
}

// at makes the answers to one procedure misbehave.
func at(p libvirtd.Procedure, b libvirtd.Behaviour) libvirtd.Faults {
	return libvirtd.Faults{Answer: func(c libvirtd.Call) libvirtd.Behaviour {
		if c.Procedure == p {
			return b
		}
		return libvirtd.Behaviour{}
	}}
}

// called lists the procedures that were called after the first n.
func called(s *libvirtd.Server, n int) []string {
	var list []string
	for _, c := range s.Record().Calls[n:] {
		list = append(list, strings.TrimPrefix(c.Procedure.String(), "vir"))
	}
	return list
}

// TestDeskCalls counts what surveying and reserving cost.
func TestDeskCalls(t *testing.T) {
	source, server := lanHost(t)
	_, err := source.(sources.Source).Snapshot(t.Context())
	require.NoError(t, err)
	read := called(server, 0)
	survey := mustSurvey(t, source)
	require.ElementsMatch(t, read, called(server, len(read)), "Survey is not the reading of Snapshot")
	require.Len(t, read, 9)

	so := 2 * len(read)
	step := func(do func() error) []string {
		t.Helper()
		require.NoError(t, do())
		list := called(server, so)
		so += len(list)
		return list
	}
	reserve := func(n int) func() error {
		return func() error { _, err := survey.Desk.Reserve(t.Context(), wish(n)); return err }
	}
	looks := []string{"NetworkIsActive", "NetworkIsPersistent", "NetworkGetXMLDesc", "NetworkGetDHCPLeases", "NetworkGetXMLDesc"}
	writes := append(looks[:5:5], "ConnectSupportsFeature", "NetworkUpdate")
	require.Equal(t, append([]string{"auth list", "ConnectOpen"}, writes...), step(reserve(20)))
	require.Equal(t, writes, step(reserve(21)), "the connection is kept")
	require.Equal(t, looks, step(reserve(21)), "what is held is not written again")
	require.Empty(t, step(func() error { _, err := survey.Desk.Consider(wish(22)); return err }))
	held, err := survey.Desk.Reserve(t.Context(), wish(21))
	require.NoError(t, err)
	so = len(server.Record().Calls)
	require.Equal(t, writes, step(func() error { return survey.Desk.Release(t.Context(), held) }))
	require.Equal(t, looks, step(func() error { return survey.Desk.Release(t.Context(), held) }))

	server.Update(func(w *libvirtd.World) { w.Network("lan").Active = false })
	require.Equal(t, []string{"NetworkIsActive", "NetworkIsPersistent", "NetworkGetXMLDesc", "ConnectSupportsFeature", "NetworkUpdate"}, step(reserve(23)))
}

// TestDeskConnections: one connection that may write, however many reserve, and
// none a while later.
func TestDeskConnections(t *testing.T) {
	t.Parallel()
	source, server := lanHost(t)
	survey := mustSurvey(t, source)
	errs := make([]error, 50)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { _, errs[i] = survey.Desk.Reserve(t.Context(), wish(20+i)) })
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	record := server.Record()
	require.Equal(t, 50, record.Count(libvirtd.NetworkUpdate))
	require.Len(t, record.Connections, 2)
	require.True(t, record.Connections[0].ReadOnly)
	require.False(t, record.Connections[1].ReadOnly)
	require.Equal(t, 1, record.Connections[1].MaxInFlight)
	require.Eventually(t, func() bool { return server.Record().Connections[1].Closed }, 10*time.Second, 50*time.Millisecond)
	require.Len(t, mustSurvey(t, source).Held, 52)
	_, err := survey.Desk.Reserve(t.Context(), wish(80)) // the desk goes on
	require.NoError(t, err)
}

// TestDeskLostAnswer: what was written without an answer is neither lost nor
// made twice.
func TestDeskLostAnswer(t *testing.T) {
	source, server := lanHost(t)
	survey := mustSurvey(t, source)
	server.SetFaults(at(libvirtd.NetworkUpdate, libvirtd.Behaviour{Fault: libvirtd.Dropped}))
	_, err := survey.Desk.Reserve(t.Context(), wish(20))
	require.ErrorIs(t, err, sources.ErrUnreachable)
	require.NotErrorIs(t, err, sources.ErrRefused)
	server.SetFaults(libvirtd.Faults{})
	again := mustSurvey(t, source)
	require.Len(t, again.Held, 3, "it was made")
	for i, desk := range []sources.Desk{survey.Desk, again.Desk} { // the first one connects anew
		held, err := desk.Reserve(t.Context(), wish(20))
		require.NoError(t, err)
		require.Equal(t, i == 0, held.Unmarkable, "only the first one knows that it was made here")
		held.Unmarkable = true
		require.Contains(t, again.Held, held)
	}
	require.Equal(t, 1, server.Record().Count(libvirtd.NetworkUpdate))

	server.SetFaults(at(libvirtd.NetworkUpdate, libvirtd.Behaviour{Fault: libvirtd.Dropped}))
	held := again.Held[1]
	require.ErrorIs(t, again.Desk.Release(t.Context(), held), sources.ErrUnreachable)
	server.SetFaults(libvirtd.Faults{})
	require.NoError(t, again.Desk.Release(t.Context(), held))
	require.Equal(t, 2, server.Record().Count(libvirtd.NetworkUpdate))
}

// TestDeskRefusals: what libvirt refuses has the cause that callers tell apart,
// and libvirt's words.
func TestDeskRefusals(t *testing.T) {
	for _, test := range []struct {
		code  uint32
		text  string
		cause error
		want  string
	}{
		{libvirtd.CodeInvalid, "Requested operation is not valid: no", sources.ErrRefused,
			`reserve 10.0.0.20 on network lan of HOST: the source refuses: libvirt answers 55 "Requested operation is not valid: no"`},
		{67, "unsupported configuration: no", sources.ErrRefused, `libvirt answers 67 "unsupported configuration: no"`},
		{libvirtd.CodeDenied, "operation forbidden: read only access prevents virNetworkUpdate", sources.ErrDenied,
			`libvirt answers 29 "operation forbidden: read only access prevents virNetworkUpdate"; reserving has to write: let this user do so (group libvirt, or a polkit rule for org.libvirt.unix.manage, and with access_drivers for org.libvirt.api.network.write and .save), or take out reserve for this source`},
		{88, "access denied: 'network' denied access", sources.ErrDenied, `libvirt answers 88 "access denied: 'network' denied access"`},
		{libvirtd.CodeInternal, "internal error: Failed to apply firewall rules", sources.ErrUnreachable, // what it did until then is not known
			`libvirt answers 1 "internal error: Failed to apply firewall rules"`},
	} {
		source, server := lanHost(t)
		survey := mustSurvey(t, source)
		server.SetFaults(at(libvirtd.NetworkUpdate, libvirtd.Behaviour{Fault: libvirtd.Failing, Error: libvirtd.Error{Code: test.code, Text: test.text}}))
		_, err := survey.Desk.Reserve(t.Context(), wish(20))
		for _, cause := range []error{sources.ErrRefused, sources.ErrDenied, sources.ErrUnreachable} {
			require.Equal(t, cause == test.cause, errors.Is(err, cause), "%v", err)
		}
		text := err.Error()
		if strings.HasPrefix(test.want, "reserve") {
			text = text[:strings.Index(text, "localhost")] + "HOST" + text[strings.Index(text, ": the source"):]
		}
		require.Contains(t, text, test.want)
	}
}

// TestDeskReadOnlySocket: the daemon takes no writes there, and Consider says so
// where libvirt's own name does.
func TestDeskReadOnlySocket(t *testing.T) {
	server := libvirtd.New(lanWorld(libvirtd.Network{Active: true}))
	t.Cleanup(server.Close)
	socket := filepath.Join(t.TempDir(), "libvirt-sock-ro")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	server.ServeReadOnly(l)
	o := *libvirt.Factory().Options().(*libvirt.Options)
	o.URIs = []string{"qemu:///system?socket=" + socket}
	source, err := libvirt.Open(o)
	require.NoError(t, err)
	survey := mustSurvey(t, source)
	_, err = survey.Desk.Consider(wish(20))
	require.ErrorIs(t, err, sources.ErrDenied)
	require.ErrorContains(t, err, "access denied: that socket is the read-only one, and reserving has to write: name the other one in uris, "+strings.TrimSuffix(socket, "-ro")+", or take out reserve for this source")
	_, err = survey.Desk.Reserve(t.Context(), wish(20))
	require.ErrorIs(t, err, sources.ErrDenied)
	require.ErrorContains(t, err, "read only access prevents")
	require.ErrorContains(t, err, "name the other one in uris")
	require.Len(t, mustSurvey(t, source).Held, 2)
}

// TestDeskSilence: a daemon that hangs costs call_timeout once, and not once
// for each reservation that waits.
func TestDeskSilence(t *testing.T) {
	source, server := lanHost(t, func(o *libvirt.Options) { o.CallTimeout = 300 * time.Millisecond })
	for _, p := range []libvirtd.Procedure{libvirtd.NetworkUpdate, libvirtd.NetworkIsActive, libvirtd.AuthList} {
		server.SetFaults(libvirtd.Faults{})
		survey := mustSurvey(t, source)
		server.SetFaults(at(p, libvirtd.Behaviour{Fault: libvirtd.Hanging}))
		errs := make([]error, 20)
		var all sync.WaitGroup
		begun := time.Now()
		for i := range errs {
			all.Go(func() { _, errs[i] = survey.Desk.Reserve(t.Context(), wish(20+i)) })
		}
		all.Wait()
		require.Less(t, time.Since(begun), 3*time.Second, "%v", p)
		for _, err := range errs {
			require.ErrorIs(t, err, sources.ErrUnreachable)
			require.ErrorContains(t, err, "no answer within 300ms")
		}
	}
	server.SetFaults(libvirtd.Faults{})
	require.LessOrEqual(t, server.Record().Count(libvirtd.NetworkUpdate), 1)
}

// TestDeskCancelled: who goes changes nothing more, and takes nobody else's
// connection away.
func TestDeskCancelled(t *testing.T) {
	source, server := lanHost(t)
	survey := mustSurvey(t, source)
	let := make(chan struct{})
	server.SetFaults(libvirtd.Faults{Answer: func(c libvirtd.Call) libvirtd.Behaviour {
		if c.Procedure == libvirtd.NetworkIsActive && c.Nth == 0 {
			return libvirtd.Behaviour{Until: let}
		}
		return libvirtd.Behaviour{}
	}})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { _, err := survey.Desk.Reserve(ctx, wish(20)); first <- err }()
	require.Eventually(t, func() bool { return server.Record().Count(libvirtd.NetworkIsActive) == 1 }, 5*time.Second, time.Millisecond)
	second := make(chan error, 1)
	go func() { _, err := survey.Desk.Reserve(t.Context(), wish(21)); second <- err }()
	waits, stop := context.WithCancel(t.Context())
	third := make(chan error, 1)
	go func() { _, err := survey.Desk.Reserve(waits, wish(22)); third <- err }()
	cancel()
	require.ErrorIs(t, <-first, context.Canceled)
	stop()
	require.ErrorIs(t, <-third, context.Canceled)
	close(let)
	require.NoError(t, <-second)
	held := mustSurvey(t, source).Held
	require.Len(t, held, 3)
	require.Equal(t, wish(21).Addr, held[0].Addr)
	require.Len(t, server.Record().Connections, 3, "two readings and one that writes")
}

// TestDeskHalves: what only the running network, or only its definition, has is
// made whole.
func TestDeskHalves(t *testing.T) {
	source, server := lanHost(t)
	has := func() [2]bool {
		n := server.World().Network("lan")
		kept := n.Inactive
		if kept == "" {
			kept = n.XML
		}
		return [2]bool{strings.Contains(n.XML, "10.0.0.20'"), strings.Contains(kept, "10.0.0.20'")}
	}
	survey := mustSurvey(t, source)
	held, err := survey.Desk.Reserve(t.Context(), wish(20))
	require.NoError(t, err)
	for _, half := range []func(n *libvirtd.Network){
		func(n *libvirtd.Network) { n.Inactive = lanXML },
		func(n *libvirtd.Network) { n.XML, n.Inactive = lanXML, n.XML },
	} {
		server.Update(func(w *libvirtd.World) { half(w.Network("lan")) })
		require.NotEqual(t, has()[0], has()[1])
		again, err := survey.Desk.Reserve(t.Context(), wish(20))
		require.NoError(t, err)
		require.Equal(t, held, again)
		require.Equal(t, [2]bool{true, true}, has())
		server.Update(func(w *libvirtd.World) { half(w.Network("lan")) })
		require.NoError(t, survey.Desk.Release(t.Context(), held))
		require.Equal(t, [2]bool{}, has())
		_, err = survey.Desk.Reserve(t.Context(), wish(20))
		require.NoError(t, err)
	}
	t.Run("of which the other is another's", func(t *testing.T) {
		server.Update(func(w *libvirtd.World) {
			n := w.Network("lan")
			n.Inactive = stolen(t, n.XML, held)
		})
		require.ErrorIs(t, survey.Desk.Release(t.Context(), held), sources.ErrRefused)
		_, err := survey.Desk.Reserve(t.Context(), wish(20))
		require.ErrorIs(t, err, sources.ErrRefused)
		require.Equal(t, [2]bool{true, true}, has())
	})
}

// TestDeskCancelledWhileConnecting: who goes before the connection is made takes
// it away from nobody.
func TestDeskCancelledWhileConnecting(t *testing.T) {
	source, server := lanHost(t)
	survey := mustSurvey(t, source)
	let := make(chan struct{})
	server.SetFaults(at(libvirtd.AuthList, libvirtd.Behaviour{Until: let}))
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := survey.Desk.Reserve(ctx, wish(20)); first <- err }()
	require.Eventually(t, func() bool { return server.Record().Count(libvirtd.AuthList) == 2 }, 5*time.Second, time.Millisecond)
	go func() { _, err := survey.Desk.Reserve(t.Context(), wish(21)); second <- err }()
	cancel()
	require.ErrorIs(t, <-first, context.Canceled)
	close(let)
	require.NoError(t, <-second)
	require.Equal(t, 1, server.Record().Count(libvirtd.NetworkUpdate))
}

// TestDeskOtherDomain: what was reserved for a domain is not released while
// another one has its MAC; it is while none has.
func TestDeskOtherDomain(t *testing.T) {
	source, server := lanHost(t)
	held, err := mustSurvey(t, source).Desk.Reserve(t.Context(), ipam.Reservation{Addr: wish(20).Addr, For: "web-1"})
	require.NoError(t, err)
	server.Update(func(w *libvirtd.World) {
		d := w.Domain("web-1")
		d.XML, d.UUID = strings.ReplaceAll(d.XML, webUUID, "aaaaaaaa-0000-4000-8000-000000000009"), ""
	})
	err = mustSurvey(t, source).Desk.Release(t.Context(), held)
	require.ErrorIs(t, err, sources.ErrRefused)
	require.ErrorContains(t, err, webMAC+" is the MAC of domain aaaaaaaa-0000-4000-8000-000000000009 by now")
	server.Update(func(w *libvirtd.World) { w.Domains = w.Domains[1:] })
	require.NoError(t, mustSurvey(t, source).Desk.Release(t.Context(), held))
	require.Len(t, mustSurvey(t, source).Held, 2)
}
