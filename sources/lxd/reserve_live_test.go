package lxd_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/sources"
	"allocsync/sources/lxd"
)

const mark = "lab/incus"

// mustReserve completes a wish and has it met.
func mustReserve(tb testing.TB, s sources.Reserver, wish ipam.Reservation) ipam.Reservation {
	tb.Helper()
	desk := mustSurvey(tb, s).Desk
	wish.Mark = mark
	wish, err := desk.Consider(wish)
	require.NoError(tb, err)
	held, err := desk.Reserve(tb.Context(), wish)
	require.NoError(tb, err)
	return held
}

// inside asks an instance itself for its IPv4 addresses.
func (i realIncus) inside(name string) string {
	i.tb.Helper()
	out, err := i.try("exec", name, "--", "/bin/busybox", "ip", "-4", "-o", "addr", "show", "eth0")
	require.NoError(i.tb, err, out)
	return out
}

// gets waits until an instance has an address.
func (i realIncus) gets(name, want string) {
	i.tb.Helper()
	require.Eventually(i.tb, func() bool { return strings.Contains(i.inside(name), want) }, 20*time.Second, 200*time.Millisecond)
}

// TestRealReservationIsServed: what is reserved is what the instance is given by
// DHCP; released, it is given another. Nothing is torn out of one that runs.
func TestRealReservationIsServed(t *testing.T) {
	incus := mustIncus(t)
	incus.newDeskNetwork("src-served", "10.79.42", "fd79:42")
	incus.must([]string{"profile", "delete", "src-served"}, "profile", "create", "src-served")
	incus.must(nil, "profile", "device", "add", "src-served", "eth0", "nic", "network=src-served", "name=eth0")
	source, _ := incus.mustReserver(t)
	for name, args := range map[string][]string{
		"an interface of its own": {"--network", "src-served"}, "an interface from a profile": {"--profile", "default", "--profile", "src-served"},
	} {
		t.Run(name, func(t *testing.T) {
			incus := incus.on(t)
			incus.must([]string{"delete", "-f", "src-served"}, append([]string{"launch", "-q", "bb", "src-served"}, args...)...)
			incus.gets("src-served", "10.79.42.1") // a dynamic one, of the ranges' end
			before, err := incus.try("query", "/1.0/instances/src-served")
			require.NoError(t, err)
			plugged := incus.inside("src-served")

			held := mustReserve(t, source, ipam.Reservation{Addr: addr("10.79.42.20"), For: "src-served"})
			require.Equal(t, "instance src-served runs", held.InUse)
			require.Equal(t, plugged, incus.inside("src-served"), "the interface was taken out of the running instance")
			incus.must(nil, "restart", "-f", "src-served")
			incus.gets("src-served", "10.79.42.20/24")
			survey := mustSurvey(t, source)
			require.Contains(t, survey.Held, held)

			plugged = incus.inside("src-served")
			require.NoError(t, survey.Desk.Release(t.Context(), held))
			require.Equal(t, plugged, incus.inside("src-served"), "the interface was taken out of the running instance")
			after, err := incus.try("query", "/1.0/instances/src-served")
			require.NoError(t, err)
			require.Equal(t, devices(before), devices(after), "releasing leaves traces")
			require.NotContains(t, after, "allocsync")
			incus.must(nil, "restart", "-f", "src-served")
			incus.gets("src-served", "10.79.42.1")
			require.NotContains(t, incus.inside("src-served"), "10.79.42.20/")
		})
	}
}

// devices cuts the instance's own devices out of its description.
func devices(text string) string {
	_, text, _ = strings.Cut(text, "\t\"devices\": ")
	text, _, _ = strings.Cut(text, "\n\t\"ephemeral\"")
	return text
}

// TestRealLeaseMadePermanent: the address that an instance has leased may be
// reserved for it, and for no other, though the server would allow that.
func TestRealLeaseMadePermanent(t *testing.T) {
	incus := mustIncus(t)
	incus.newDeskNetwork("src-lease", "10.79.43", "fd79:43")
	incus.must([]string{"delete", "-f", "src-lease-a"}, "create", "-q", "bb", "src-lease-a", "--network", "src-lease")
	incus.must([]string{"delete", "-f", "src-lease-b"}, "create", "-q", "bb", "src-lease-b", "--network", "src-lease")
	source, _ := incus.mustReserver(t)
	before := mustSurvey(t, source)
	incus.must(nil, "start", "src-lease-a")
	incus.gets("src-lease-a", "10.79.43.1")
	leased := addr(strings.Split(strings.Fields(incus.inside("src-lease-a"))[3], "/")[0])

	// Read before the lease was taken, the wish looks fine.
	other, err := before.Desk.Consider(ipam.Reservation{Addr: leased, For: "src-lease-b", Mark: mark})
	require.NoError(t, err)
	_, err = before.Desk.Reserve(t.Context(), other)
	require.ErrorIs(t, err, sources.ErrRefused)
	require.ErrorContains(t, err, leased.String()+" is taken: src-lease-a (")
	_, err = mustSurvey(t, source).Desk.Consider(ipam.Reservation{Addr: leased, For: "src-lease-b", Mark: mark})
	require.ErrorIs(t, err, sources.ErrRefused)
	require.ErrorContains(t, err, "/1.0/instances/src-lease-a has it, as a static address or a lease")

	held := mustReserve(t, source, ipam.Reservation{Addr: leased, For: "src-lease-a"})
	require.Equal(t, []ipam.Reservation{held}, mustSurvey(t, source).Held)
	_, err = mustSurvey(t, source).Desk.Consider(ipam.Reservation{Addr: addr("10.79.43.21"), For: "src-lease-a", Mark: mark})
	require.ErrorIs(t, err, sources.ErrRefused)
	require.ErrorContains(t, err, "eth0 of instance src-lease-a has ipv4.address "+leased.String()+" already: release or remove that first")
}

// TestRealChangedMeanwhile: what a person changes between reading and writing is
// neither lost nor in the way; what makes the wish impossible refuses it.
func TestRealChangedMeanwhile(t *testing.T) {
	incus := mustIncus(t)
	incus.newDeskNetwork("src-race", "10.79.44", "fd79:44")
	for name, test := range map[string]struct {
		change []string
		keeps  string
		cause  error
	}{
		"another key":                {[]string{"config", "set", "src-race", "user.note=mine"}, `"user.note": "mine"`, nil},
		"another key of the device":  {[]string{"config", "device", "set", "src-race", "eth0", "limits.egress=1Mbit"}, `"limits.egress": "1Mbit"`, nil},
		"the address":                {[]string{"config", "device", "set", "src-race", "eth0", "ipv4.address=10.79.44.30"}, `"ipv4.address": "10.79.44.30"`, sources.ErrRefused},
		"the MAC":                    {[]string{"config", "device", "set", "src-race", "eth0", "hwaddr=10:66:6a:00:00:77"}, `"hwaddr": "10:66:6a:00:00:77"`, sources.ErrRefused},
		"the interface is taken out": {[]string{"config", "device", "remove", "src-race", "eth0"}, `"network": "brnat"`, sources.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			incus := incus.on(t)
			incus.must([]string{"delete", "-f", "src-race"}, "create", "-q", "bb", "src-race", "--network", "src-race")
			way := newThrough(incus.socket)
			var once sync.Once
			source := mustOpen(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPatch {
					once.Do(func() { incus.must(nil, test.change...) })
				}
				way.ServeHTTP(w, r)
			})))
			desk := mustSurvey(t, source).Desk
			wish, err := desk.Consider(ipam.Reservation{Addr: addr("10.79.44.20"), For: "src-race", Mark: mark})
			require.NoError(t, err)
			held, err := desk.Reserve(t.Context(), wish)
			after, queryErr := incus.try("query", "/1.0/instances/src-race")
			require.NoError(t, queryErr)
			require.Contains(t, after, test.keeps, "what the person did is lost")
			if test.cause != nil {
				require.ErrorIs(t, err, test.cause)
				require.NotContains(t, after, "10.79.44.20")
				return
			}
			require.NoError(t, err)
			require.Contains(t, mustSurvey(t, source).Held, held)
			require.NoError(t, desk.Release(t.Context(), held))
			require.NotContains(t, mustSurvey(t, source).Held, held)
		})
	}
}

// TestRealForward: made, seen in the server's own words, and gone.
func TestRealForward(t *testing.T) {
	incus := mustIncus(t)
	incus.newDeskNetwork("src-fwd", "10.79.45", "fd79:45")
	source, _ := incus.mustReserver(t)
	for _, a := range []string{"10.79.45.20", "fd79:45::20", "203.0.113.45"} {
		t.Cleanup(func() { _, _ = incus.try("network", "forward", "delete", "src-fwd", a) })
		held := mustReserve(t, source, ipam.Reservation{Network: "/1.0/networks/src-fwd", Addr: addr(a), Name: "the printer"})
		require.Equal(t, ipam.Reservation{
			Network: "/1.0/networks/src-fwd", Addr: addr(a), Name: "the printer", Ref: ipam.UsedBy("/1.0/networks/src-fwd/forwards/" + a), Type: "network-forward", Mark: mark,
		}, held)
		shown, err := incus.try("network", "forward", "show", "src-fwd", a)
		require.NoError(t, err, shown)
		require.Contains(t, shown, "user.allocsync: "+mark)
		require.Contains(t, shown, "description: the printer")
		survey := mustSurvey(t, source)
		require.Contains(t, survey.Held, held)
		require.NoError(t, survey.Desk.Release(t.Context(), held))
		shown, err = incus.try("network", "forward", "show", "src-fwd", a)
		require.Error(t, err, shown)
	}
	// A person's forward that leads nowhere does as well, and stays the person's.
	incus.must([]string{"network", "forward", "delete", "src-fwd", "10.79.45.21"}, "network", "forward", "create", "src-fwd", "10.79.45.21")
	held := mustReserve(t, source, ipam.Reservation{Addr: addr("10.79.45.21")})
	require.Empty(t, held.Mark)
	held.Mark = mark
	require.ErrorIs(t, mustSurvey(t, source).Desk.Release(t.Context(), held), sources.ErrRefused)
}

// TestRealRefusals: what is said of wishes that cannot be met, before anything
// is asked; and that the server would have allowed some of them.
func TestRealRefusals(t *testing.T) {
	incus := mustIncus(t)
	incus.newDeskNetwork("src-no", "10.79.46", "fd79:46")
	incus.newNetwork("src-no-v6", "10.79.47") // no IPv6
	incus.must([]string{"delete", "-f", "src-no-a"}, "create", "-q", "bb", "src-no-a", "--network", "src-no")
	incus.must([]string{"delete", "-f", "src-no-b"}, "create", "-q", "bb", "src-no-b", "--network", "brnat")
	source, way := incus.mustReserver(t)
	desk := mustSurvey(t, source).Desk
	asked := way.asked.Load()
	for _, test := range []struct {
		wish ipam.Reservation
		text string
	}{
		{ipam.Reservation{Addr: addr("10.79.46.1"), For: "src-no-a"}, "10.79.46.1 is the network's own address, its gateway"},
		{ipam.Reservation{Addr: addr("10.79.46.0"), For: "src-no-a"}, "10.79.46.0 is the first or the last address of 10.79.46.0/24, which no host may have"},
		{ipam.Reservation{Addr: addr("10.79.46.255")}, "10.79.46.255 is the first or the last address of 10.79.46.0/24, which no host may have"},
		{ipam.Reservation{Addr: addr("10.77.1.20"), For: "src-no-a"}, "instance src-no-a has no such interface on a managed network that holds 10.77.1.20 (it has eth0 on src-no)"},
		{ipam.Reservation{Addr: addr("10.79.46.20"), For: "/1.0/instances/nope"}, "/1.0/instances/nope is no instance with an interface on a managed network that holds 10.79.46.20"},
		{ipam.Reservation{Addr: addr("10.79.46.20"), For: "/1.0/instances/x?project=nope"}, "the project nope of /1.0/instances/x?project=nope is not among those that are read"},
		{ipam.Reservation{Addr: addr("10.79.46.20"), For: "/MAAS/api/2.0/machines/x"}, "/MAAS/api/2.0/machines/x is no instance of this server: want /1.0/instances/NAME?project=PROJECT, or NAME"},
		{ipam.Reservation{Addr: addr("10.79.46.20"), MAC: "52:54:00:00:00:01"}, "no instance has an interface with the MAC 52:54:00:00:00:01 on a managed network that holds 10.79.46.20: Incus and LXD serve DHCP to their own instances only"},
		{ipam.Reservation{Addr: addr("fd77:1::20"), For: "src-no-b"}, "static IPv6 addresses need DHCPv6 with addresses: set ipv6.dhcp.stateful to true on network brnat"},
		{ipam.Reservation{Network: "/1.0/networks/src-no-v6", Addr: addr("fd79:47::20")}, ""},
		{ipam.Reservation{Network: "/1.0/networks/lo", Addr: addr("127.0.0.9")}, "/1.0/networks/lo is no managed network of the projects that are read"},
		{ipam.Reservation{Addr: addr("203.0.113.77")}, "no managed network of the projects that are read holds 203.0.113.77"},
		{ipam.Reservation{Addr: addr("10.79.46.150")}, "the DHCP server of network src-no hands 10.79.46.150 out: name the MAC or the instance that it is for, or keep it out of ipv4.dhcp.ranges"},
		{ipam.Reservation{Addr: addr("10.79.47.20")}, "the DHCP server of network src-no-v6 hands 10.79.47.20 out: name the MAC or the instance that it is for, or keep it out of ipv4.dhcp.ranges"},
		{ipam.Reservation{Network: "/1.0/networks/src-no", Addr: addr("198.51.100.20")}, "198.51.100.20 lies in network brpub"},
		{ipam.Reservation{Network: "/1.0/networks/src-no", Addr: addr("127.0.0.9")}, "127.0.0.9 is no address that can be routed"},
		{ipam.Reservation{Network: "/1.0/networks/src-no", Addr: addr("224.0.0.9")}, "224.0.0.9 is no address that can be routed"},
		{ipam.Reservation{Network: "/1.0/networks/src-no", Addr: addr("fe80::9")}, "fe80::9 is no address that can be routed"},
	} {
		_, err := desk.Consider(test.wish)
		if test.text == "" {
			require.NoError(t, err, "%v", test.wish)
			continue
		}
		require.EqualError(t, err, "reserve "+test.wish.String()+": the source refuses: "+test.text)
		require.ErrorIs(t, err, sources.ErrRefused)
	}
	_, err := desk.Consider(ipam.Reservation{For: "src-no-a"})
	require.ErrorIs(t, err, sources.ErrNoChoice)
	require.Equal(t, asked, way.asked.Load())
}

// TestRealServerRefuses: what the server itself refuses is told from trouble,
// though it answers 500 to most of it. The wishes are such as were read before
// the networks changed.
func TestRealServerRefuses(t *testing.T) {
	incus := mustIncus(t)
	incus.newDeskNetwork("src-says", "10.79.48", "fd79:48")
	incus.must([]string{"delete", "-f", "src-says-a"}, "create", "-q", "bb", "src-says-a", "--network", "src-says")
	source, _ := incus.mustReserver(t)
	desk := mustSurvey(t, source).Desk
	consider := func(wish ipam.Reservation) ipam.Reservation {
		wish.Mark = mark
		wish, err := desk.Consider(wish)
		require.NoError(t, err)
		return wish
	}
	static4 := consider(ipam.Reservation{Addr: addr("10.79.48.20"), For: "src-says-a"})
	static6 := consider(ipam.Reservation{Addr: addr("fd79:48::20"), For: "src-says-a"})
	routed := consider(ipam.Reservation{Network: "/1.0/networks/src-says", Addr: addr("10.79.49.20")})
	incus.must(nil, "network", "set", "src-says", "ipv4.address=10.79.148.1/24", "ipv4.dhcp.ranges=", "ipv6.dhcp.stateful=false", "ipv6.dhcp.ranges=")
	incus.newNetwork("src-says-2", "10.79.49")
	incus.must(nil, "network", "set", "src-says-2", "ipv4.nat=false")
	for text, wish := range map[string]ipam.Reservation{
		`Device IP address \"10.79.48.20\" not within network`: static4,
		`when DHCP or \"ipv6.dhcp.stateful\" are disabled`:     static6,
		`overlaps with another network or NIC`:                 routed,
	} {
		_, err := desk.Reserve(t.Context(), wish)
		require.ErrorIs(t, err, sources.ErrRefused)
		require.NotErrorIs(t, err, sources.ErrUnreachable)
		require.ErrorContains(t, err, text)
	}
	// A static address that another instance has: the server's own 409, where
	// leases do not show it.
	require.NoError(t, incus.mustGone("src-says-a"))
	_, err := desk.Reserve(t.Context(), static4)
	require.ErrorIs(t, err, sources.ErrRefused)
	require.ErrorContains(t, err, "Instance not found")
}

// mustGone deletes an instance.
func (i realIncus) mustGone(name string) error {
	i.tb.Helper()
	_, err := i.try("delete", "-f", name)
	return err
}

// TestRealRightsForReservations: the certificate that reads a project may
// reserve in it; one of another project may not, and changes nothing.
func TestRealRightsForReservations(t *testing.T) {
	incus := mustIncus(t)
	incus.newDeskNetwork("src-right", "10.79.50", "fd79:50")
	incus.must([]string{"delete", "-f", "src-right"}, "create", "-q", "bb", "src-right", "--network", "src-right")
	incus.must([]string{"network", "forward", "delete", "src-right", "10.79.50.21"}, "version")
	restricted := newIdentity(t, "src-right")
	trust := func(project string) {
		_, _ = incus.try("config", "trust", "remove", restricted.fingerprint)
		incus.must([]string{"config", "trust", "remove", restricted.fingerprint}, "config", "trust", "add-certificate", restricted.certFile, "--name", "src-right", "--restricted", "--projects", project)
	}
	trust("default")
	source := mustOpen(t, "", incus.overHTTPS, func(o *lxd.Options) {
		o.ClientCertFile, o.ClientKeyFile, o.Projects = restricted.certFile, restricted.keyFile, []string{"default"}
	})
	static := mustReserve(t, source, ipam.Reservation{Addr: addr("10.79.50.20"), For: "src-right"})
	forward := mustReserve(t, source, ipam.Reservation{Addr: addr("10.79.50.21")})
	survey := mustSurvey(t, source)
	require.Subset(t, survey.Held, []ipam.Reservation{static, forward})

	trust("shared-net") // the right is taken away
	for _, held := range []ipam.Reservation{static, forward} {
		require.ErrorIs(t, survey.Desk.Release(t.Context(), held), sources.ErrDenied)
	}
	trust("default")
	require.Equal(t, survey.Held, mustSurvey(t, source).Held)
	for _, held := range []ipam.Reservation{static, forward} {
		require.NoError(t, survey.Desk.Release(t.Context(), held))
	}
	require.False(t, slices.ContainsFunc(mustSurvey(t, source).Held, func(h ipam.Reservation) bool {
		return h.Mark == mark && strings.HasPrefix(h.Addr.String(), "10.79.50.")
	}))

	// Of a project that only uses the network, its configuration is hidden and
	// so is where its addresses lie.
	trust("shared-net")
	incus.must([]string{"delete", "-f", "src-right", "--project", "shared-net"}, "create", "-q", "bb", "src-right", "--project", "shared-net", "--network", "src-right")
	shared := mustOpen(t, "", incus.overHTTPS, func(o *lxd.Options) {
		o.ClientCertFile, o.ClientKeyFile, o.Projects = restricted.certFile, restricted.keyFile, []string{"shared-net"}
	})
	_, err := mustSurvey(t, shared).Desk.Consider(ipam.Reservation{Network: "/1.0/networks/src-right", Addr: addr("10.79.50.22"), For: "src-right"})
	require.ErrorIs(t, err, sources.ErrRefused)
	require.ErrorContains(t, err, "/1.0/networks/src-right belongs to the project default, which is not among those that are read: add it to projects")
}

// TestRealReservationCancelled: an end of the context ends a reservation that
// is under way.
func TestRealReservationCancelled(t *testing.T) {
	incus := mustIncus(t)
	incus.newDeskNetwork("src-end", "10.79.51", "fd79:51")
	incus.must([]string{"delete", "-f", "src-end"}, "create", "-q", "bb", "src-end", "--network", "src-end")
	way := newThrough(incus.socket)
	ctx, cancel := context.WithCancel(t.Context())
	source := mustOpen(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch {
			cancel()
			<-r.Context().Done()
			return
		}
		way.ServeHTTP(w, r)
	})))
	desk := mustSurvey(t, source).Desk
	wish, err := desk.Consider(ipam.Reservation{Addr: addr("10.79.51.20"), For: "src-end", Mark: mark})
	require.NoError(t, err)
	start := time.Now()
	_, err = desk.Reserve(ctx, wish)
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, time.Since(start), 5*time.Second)
}
