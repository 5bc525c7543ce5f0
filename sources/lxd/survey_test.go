package lxd_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/fixtures"
	"allocsync/ipam"
	"allocsync/sources"
	"allocsync/sources/lxd"
	"allocsync/sources/sourcetest"
)

// heldText writes reservations one to a line, for golden files.
func heldText(held []ipam.Reservation) string {
	var b strings.Builder
	for _, h := range held {
		fmt.Fprintf(&b, "%s on %s for=%s mac=%s name=%q ref=%s type=%s mark=%s use=%q\n", h.Addr, h.Network, h.For, h.MAC, h.Name, h.Ref, h.Type, h.Mark, h.InUse)
	}
	return b.String()
}

// TestRecordedHeld reads what a real server held. The golden file was compared
// with the answers by eye; -update writes it anew.
func TestRecordedHeld(t *testing.T) {
	const golden = "testdata/incus-6.0.4-reserved.held"
	source := mustOpen(t, serve(t, fixtures.LXD("incus-6.0.4-reserved")))
	survey := mustSurvey(t, source)
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(heldText(survey.Held)), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), heldText(survey.Held))
	require.Equal(t, mustSnapshot(t, source), survey.Allocations)
	for _, h := range survey.Held {
		require.True(t, slices.ContainsFunc(survey.Allocations, func(a ipam.Allocation) bool {
			return a.UsedBy == h.Ref && a.Type == h.Type && a.Prefix == ipam.HostPrefix(h.Addr)
		}), "%+v", h)
		require.True(t, slices.ContainsFunc(survey.Allocations, func(a ipam.Allocation) bool {
			return a.Kind == ipam.Prefix && a.UsedBy == h.Network
		}), "%+v", h)
	}
}

// surveyor is a source whose Snapshot is that of its Survey.
type surveyor struct{ *lxd.Source }

func (s surveyor) Snapshot(ctx context.Context) (sources.Snapshot, error) {
	survey, err := s.Survey(ctx)
	if (err == nil) != (survey.Desk != nil) || err != nil && survey.Held != nil {
		return sources.Snapshot{}, fmt.Errorf("an error comes with a desk: %w", err)
	}
	return survey.Snapshot, err
}

// TestSurveyConformance: all that is promised of a Snapshot is promised of the
// one in a Survey.
func TestSurveyConformance(t *testing.T) {
	for _, scenario := range []string{"incus-6.0.4-reserved", "lxd-5.0.2"} {
		t.Run(scenario, func(t *testing.T) {
			t.Parallel()
			sourcetest.Run(t, sourcetest.HTTP{
				World:   fixtures.LXD(scenario),
				Refusal: http.HandlerFunc(refuse),
				Open: func(tb testing.TB, h http.Handler, patience time.Duration) sources.Source {
					return surveyor{mustOpen(tb, serve(tb, h), func(o *lxd.Options) {
						o.Timeout, o.MaxBytes = patience, sourcetest.MaxBytes
					})}
				},
			}.Setup(t))
		})
	}
}

// TestSurveyRequests: a Survey costs what a Snapshot does, and once the
// instances, unless they are read anyway, and the forwards of each network that
// has any.
func TestSurveyRequests(t *testing.T) {
	const instances = "/1.0/instances?all-projects=true&recursion=1"
	for scenario, more := range map[string][]string{
		"incus-6.0.4-plain":    {instances},
		"lxd-5.0.2":            nil, // it reads the forwards anyway
		"incus-6.0.4-reserved": {"/1.0/networks/brpub/forwards?project=default&recursion=1", "/1.0/networks/ovn1/forwards?project=own-net&recursion=1"},
	} {
		t.Run(scenario, func(t *testing.T) {
			t.Parallel()
			without := changed{scenario, map[string]string{}}
			if scenario == "incus-6.0.4-plain" { // without its forwards: nothing is reserved
				without.answers["1.0/network-allocations__all-projects=true.json"] = `[{"addresses":"10.77.1.1/24","type":"network","used_by":"/1.0/networks/brnat"}]`
			}
			asked := &counter{handler: without}
			source := mustOpen(t, serve(t, asked))
			mustSnapshot(t, source)
			want := append(asked.sorted(), more...)
			survey := mustSurvey(t, source)
			require.ElementsMatch(t, want, asked.sorted())
			_, _ = survey.Desk.Consider(ipam.Reservation{Addr: addr("10.77.1.20"), For: "nobody"})
			require.Empty(t, asked.sorted(), "Consider asks")
		})
	}
}

// TestSurveyMissing: what could not be read of what is held is missing, and the
// rest is held as it is.
func TestSurveyMissing(t *testing.T) {
	whole := mustSurvey(t, mustOpen(t, serve(t, fixtures.LXD("incus-6.0.4-reserved"))))
	for _, test := range []struct {
		name, file, want string
		gone             func(ipam.Reservation) bool
	}{
		{
			"forwards", "1.0/networks/brpub/forwards__project=default,recursion=1.json",
			`forwards of network brpub of project default: read /1.0/networks/brpub/forwards?project=default&recursion=1: the server answers 500 "boom"`,
			func(h ipam.Reservation) bool {
				return h.Type == "network-forward" && h.Network == "/1.0/networks/brpub"
			},
		},
		{
			"instances", "1.0/instances__all-projects=true,recursion=1.json",
			`instances: read /1.0/instances?all-projects=true&recursion=1: the server answers 500 "boom"`,
			func(h ipam.Reservation) bool { return h.Type == "instance" },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := changed{"incus-6.0.4-reserved", map[string]string{test.file: failure(http.StatusInternalServerError, "boom")}}
			survey, err := mustOpen(t, serve(t, server)).Survey(t.Context())
			require.NoError(t, err)
			require.Equal(t, []string{test.want}, lines(survey.Missing))
			require.Equal(t, heldText(slices.DeleteFunc(slices.Clone(whole.Held), test.gone)), heldText(survey.Held))
			_, err = survey.Desk.Consider(ipam.Reservation{Addr: addr("198.51.100.77"), For: "res-own"})
			if test.name == "instances" {
				require.ErrorIs(t, err, sources.ErrUnreachable, "that no such instance was read says nothing")
			}
		})
	}
}

// TestForwardsOutOfStep: one that makes no sense hides no other, and one that was
// made after the allocations were listed is not held yet.
func TestForwardsOutOfStep(t *testing.T) {
	server := changed{"incus-6.0.4-reserved", map[string]string{
		"1.0/networks/brpub/forwards__project=default,recursion=1.json": `[{"listen_address":"203.0.113.999"},{"listen_address":"203.0.113.52"},{"listen_address":"203.0.113.51","config":{"user.allocsync":"lab/incus"}}]`,
	}}
	survey, err := mustOpen(t, serve(t, server)).Survey(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{`reservations: address "203.0.113.999": want a form such as 10.1.2.3 or fd00::1`}, lines(survey.Missing))
	var held []string
	for _, h := range survey.Held {
		if h.Type == "network-forward" && h.Network == "/1.0/networks/brpub" {
			held = append(held, h.Addr.String())
		}
	}
	require.Equal(t, []string{"203.0.113.51"}, held)
}

// TestConsiderOVN: what the server of the recording would do was tried there.
func TestConsiderOVN(t *testing.T) {
	desk := mustSurvey(t, mustOpen(t, serve(t, fixtures.LXD("incus-6.0.4-reserved")))).Desk
	const ovn = "/1.0/networks/ovn1?project=own-net"
	for _, test := range []struct {
		wish ipam.Reservation
		text string
	}{
		{ipam.Reservation{Network: ovn, Addr: addr("192.0.2.77")}, ""},
		{ipam.Reservation{Network: ovn, Addr: addr("203.0.113.170")}, ""},
		{ipam.Reservation{Network: ovn, Addr: addr("10.88.1.77")}, "10.88.1.77 lies neither in network uplink, to which ovn1 leads, nor in its ipv4.routes (192.0.2.0/24)"},
		{ipam.Reservation{Network: ovn, Addr: addr("203.0.113.129")}, "203.0.113.129 is the network's own address, its gateway"},
		{ipam.Reservation{Network: ovn, Addr: addr("203.0.113.135")}, "the DHCP server of network uplink hands 203.0.113.135 out: name the MAC or the instance that it is for, or keep it out of ipv4.dhcp.ranges"},
		{ipam.Reservation{Network: ovn, Addr: addr("203.0.113.145")}, "203.0.113.145 is in ipv4.ovn.ranges of network uplink, from which routers get theirs"},
		{ipam.Reservation{Network: ovn, Addr: addr("192.0.2.50")}, "192.0.2.50 is taken: /1.0/networks/ovn1/load-balancers/192.0.2.50?project=own-net listens on it"},
		{ipam.Reservation{Addr: addr("10.88.1.64"), For: "res-ovn"}, "eth0 of instance res-ovn has ipv4.address 10.88.1.63 already: release or remove that first"},
		{ipam.Reservation{Addr: addr("10.88.1.63"), For: "/1.0/instances/res-ovn?project=own-net"}, ""},
		{ipam.Reservation{Network: ovn, Addr: addr("192.0.2.60"), Mark: mark}, ""},
		{ipam.Reservation{Network: ovn, Addr: addr("192.0.2.60"), Mark: "other/incus"}, "192.0.2.60 is reserved for lab/incus"},
		{ipam.Reservation{Network: "/1.0/networks/brpub", Addr: addr("203.0.113.50"), Mark: mark}, ""},
		{ipam.Reservation{Network: "/1.0/networks/brpub", Addr: addr("198.51.100.99"), Mark: mark}, "198.51.100.99 is taken: /1.0/networks/brpub/forwards/198.51.100.99 forwards to 198.51.100.20"},
	} {
		_, err := desk.Consider(test.wish)
		if test.text == "" {
			require.NoError(t, err, "%v", test.wish)
			continue
		}
		require.EqualError(t, err, "reserve "+test.wish.String()+": the source refuses: "+test.text)
	}
}

// TestConsiderRunningOnOVN: the server would take the interface of a running
// instance out; a running one without an address there is none in the recording.
func TestConsiderRunningOnOVN(t *testing.T) {
	list := `[{"name":"o9","project":"own-net","status":"Running","expanded_config":{"volatile.eth0.hwaddr":"10:66:6a:00:00:01"},
		"expanded_devices":{"eth0":{"type":"nic","network":"ovn1","name":"eth0"}}},
		{"name":"twice","project":"own-net","status":"Stopped","expanded_config":{"volatile.eth0.hwaddr":"10:66:6a:00:00:02","volatile.eth1.hwaddr":"10:66:6a:00:00:03"},
		"expanded_devices":{"eth0":{"type":"nic","network":"ovn1"},"eth1":{"type":"nic","network":"ovn1"}}},
		{"name":"new","project":"own-net","status":"Stopped","expanded_config":{},"expanded_devices":{"eth0":{"type":"nic","network":"ovn1"}}}]`
	server := changed{"incus-6.0.4-reserved", map[string]string{"1.0/instances__all-projects=true,recursion=1.json": list}}
	desk := mustSurvey(t, mustOpen(t, serve(t, server))).Desk
	for name, text := range map[ipam.UsedBy]string{
		"o9":    "o9 runs, and on OVN the server would take its interface out and put it in again: stop it first",
		"twice": "several interfaces are meant, name one by its instance's URI and its MAC: /1.0/instances/twice?project=own-net (eth0, 10:66:6a:00:00:02 on ovn1), /1.0/instances/twice?project=own-net (eth1, 10:66:6a:00:00:03 on ovn1)",
		"new":   "eth0 of instance new has no MAC yet: start the instance once",
	} {
		_, err := desk.Consider(ipam.Reservation{Addr: addr("10.88.1.99"), For: name})
		require.ErrorIs(t, err, sources.ErrRefused)
		require.ErrorContains(t, err, text)
	}
	wish, err := desk.Consider(ipam.Reservation{Addr: addr("10.88.1.99"), For: "twice", MAC: "10:66:6a:00:00:03"})
	require.NoError(t, err)
	require.Equal(t, ipam.Reservation{
		Network: "/1.0/networks/ovn1?project=own-net", Addr: addr("10.88.1.99"), For: "/1.0/instances/twice?project=own-net", MAC: "10:66:6a:00:00:03",
	}, wish)
}

// TestConsiderOddNetworks: what the configuration of a network says against a
// reservation.
func TestConsiderOddNetworks(t *testing.T) {
	instances := `[{"name":"i","project":"default","status":"Stopped","expanded_config":{"volatile.eth0.hwaddr":"10:66:6a:00:00:01"},"expanded_devices":{"eth0":{"type":"nic","network":"n"}}},
		{"name":"f","project":"default","status":"Stopped","expanded_config":{"volatile.eth0.hwaddr":"10:66:6a:00:00:02"},"expanded_devices":{"eth0":{"type":"nic","nictype":"bridged","parent":"n","security.ipv4_filtering":"true"}}}]`
	const nobody = ipam.UsedBy("")
	for _, test := range []struct {
		network string // its type and configuration
		addr    string
		user    ipam.UsedBy
		text    string
	}{
		{`"type":"bridge","config":{"ipv4.address":"10.5.0.1/24"}`, "10.5.0.9", "i", ""},
		{`"type":"bridge","config":{"ipv4.address":"10.5.0.1/24","ipv4.dhcp":"false"}`, "10.5.0.9", "i", "network n serves no DHCP (ipv4.dhcp is false)"},
		{`"type":"bridge","config":{"ipv4.address":"10.5.0.1/24","ipv4.dhcp":"false"}`, "10.5.0.9", "f", ""},
		{`"type":"bridge","config":{"ipv4.address":"10.5.0.1/24","ipv4.dhcp":"false"}`, "10.5.0.9", nobody, ""},
		{`"type":"bridge","config":{"ipv4.address":"10.5.0.1/24","ipv4.dhcp.ranges":"10.5.0.2-10.5.0.8, 10.5.0.10-10.5.0.20"}`, "10.5.0.9", nobody, ""},
		{`"type":"bridge","config":{"ipv4.address":"10.5.0.1/24","ipv4.dhcp.ranges":"10.5.0.2-10.5.0.8, 10.5.0.10-10.5.0.20"}`, "10.5.0.10", nobody, "the DHCP server of network n hands 10.5.0.10 out: name the MAC or the instance that it is for, or keep it out of ipv4.dhcp.ranges"},
		{`"type":"bridge","config":{"ipv4.address":"10.5.0.1/24","ipv4.dhcp.ranges":"all of them"}`, "10.5.0.9", nobody, `ipv4.dhcp.ranges of network n is not understood: "all of them" is no range`},
		{`"type":"bridge","config":{"ipv6.address":"fd05::1/64"}`, "fd05::9", nobody, ""},
		{`"type":"bridge","config":{"ipv6.address":"fd05::1/64","ipv6.dhcp.stateful":"true"}`, "fd05::9", nobody, "the DHCP server of network n hands fd05::9 out: name the MAC or the instance that it is for, or keep it out of ipv6.dhcp.ranges"},
		{`"type":"bridge","config":{"ipv6.address":"fd05::1/64","ipv6.dhcp.stateful":"true"}`, "fd05::9", "i", ""},
		{`"type":"bridge","config":{"ipv6.address":"fd05::1/64","ipv6.dhcp.stateful":"true"}`, "fd05::", "i", "fd05:: is the first address of fd05::/64, which means any router"},
		{`"type":"bridge","config":{"ipv4.address":"none"}`, "10.5.0.9", "i", "network n has no subnet of this family"},
		{`"type":"bridge","config":{}`, "10.5.0.9", "i", "the configuration of network n is hidden from this client: its certificate is restricted to other projects"},
		{`"type":"bridge","config":{}`, "10.5.0.9", nobody, "the configuration of network n is hidden from this client: its certificate is restricted to other projects"},
		{`"type":"macvlan","config":{"parent":"eth0"}`, "10.5.0.9", nobody, "network n is of type macvlan, which has no forwards: name the MAC or the instance that it is for"},
		{`"type":"physical","config":{"ipv4.gateway":"10.5.0.1/24"}`, "10.5.0.9", "i", "network n is of type physical, which serves no addresses"},
	} {
		server := changed{"incus-6.0.4-plain", map[string]string{
			"1.0/networks__all-projects=true,recursion=1.json":  `[{"name":"n","project":"default","managed":true,` + test.network + `}]`,
			"1.0/instances__all-projects=true,recursion=1.json": instances,
			"1.0/network-allocations__all-projects=true.json":   `[]`,
		}}
		desk := mustSurvey(t, mustOpen(t, serve(t, server))).Desk
		wish := ipam.Reservation{Network: "/1.0/networks/n", Addr: addr(test.addr), For: test.user}
		_, err := desk.Consider(wish)
		if test.text == "" {
			require.NoError(t, err, "%s: %s", test.network, wish)
			continue
		}
		require.EqualError(t, err, "reserve "+wish.String()+": the source refuses: "+test.text, test.network)
	}

	old := changed{"incus-6.0.4-plain", map[string]string{
		"1.0.json": `{"auth":"trusted","api_extensions":["network_allocations","networks_all_projects","instance_all_projects"]}`,
	}}
	_, err := mustSurvey(t, mustOpen(t, serve(t, old))).Desk.Consider(ipam.Reservation{Addr: addr("10.77.1.9")})
	require.ErrorContains(t, err, "this server has no forwards: name the MAC or the instance that it is for")
}

// TestConsiderInstead: what a wish gives up does not stand in its way, and
// nothing else is given up for it.
func TestConsiderInstead(t *testing.T) {
	desk := mustSurvey(t, mustOpen(t, serve(t, fixtures.LXD("incus-6.0.4-reserved")))).Desk
	const own, forward = "/1.0/instances/res-own", "/1.0/networks/brpub/forwards/203.0.113.51"
	for _, test := range []struct {
		wish ipam.Reservation
		text string
	}{
		{ipam.Reservation{Addr: addr("2001:db8:77::60"), For: "/1.0/instances/res-moved"}, "2001:db8:77::60 is taken: " + own},
		{ipam.Reservation{Addr: addr("198.51.100.60"), For: "/1.0/instances/res-shared?project=shared-net", Ref: own}, "eth0 of instance res-shared has ipv4.address 198.51.100.63 already"},
		{ipam.Reservation{Addr: addr("2001:db8:77::60"), For: "/1.0/instances/res-moved", Ref: own}, ""},
		{ipam.Reservation{Addr: addr("2001:db8:77::60"), For: "/1.0/instances/res-moved", Ref: "/1.0/instances/static"}, "2001:db8:77::60 is taken: " + own},
		{ipam.Reservation{Network: "/1.0/networks/brpub", Addr: addr("203.0.113.51"), Mark: "other/incus"}, "203.0.113.51 is reserved for lab/incus"},
		{ipam.Reservation{Network: "/1.0/networks/brpub", Addr: addr("203.0.113.51"), Mark: "other/incus", Ref: forward}, ""},
		{ipam.Reservation{Network: "/1.0/networks/brpub", Addr: addr("203.0.113.51"), For: forward, Mark: mark}, ""}, // filled in
		{ipam.Reservation{Network: "/1.0/networks/brpub", Addr: addr("203.0.113.77"), For: "/1.0/networks/gone/forwards/203.0.113.77?project=x"}, ""},
		{ipam.Reservation{Network: "/1.0/networks/brpub", Addr: addr("203.0.113.77"), For: "/1.0/networks/brpub"}, "/1.0/networks/brpub is no instance of this server"},
	} {
		_, err := desk.Consider(test.wish)
		if test.text == "" {
			require.NoError(t, err, "%+v", test.wish)
			continue
		}
		require.ErrorContains(t, err, "the source refuses: "+test.text, "%+v", test.wish)
	}
}
