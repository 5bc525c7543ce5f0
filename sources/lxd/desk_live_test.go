package lxd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/sources"
	"allocsync/sources/lxd"
	"allocsync/sources/sourcetest"
)

// through is a way to a real server that counts requests.
type through struct {
	asked atomic.Int64
	proxy httputil.ReverseProxy
}

func newThrough(socket string) *through {
	return &through{proxy: httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "unix"}) },
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}},
	}}
}

func (t *through) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t.asked.Add(1)
	t.proxy.ServeHTTP(w, r)
}

// mustReserver opens a source on the real server that counts its requests.
func (i realIncus) mustReserver(tb testing.TB) (*lxd.Source, *through) {
	tb.Helper()
	way := newThrough(i.socket)
	return mustOpen(tb, serve(tb, way)), way
}

// mustSurvey reads everything at a source.
func mustSurvey(tb testing.TB, s sources.Reserver) sources.Survey {
	tb.Helper()
	survey, err := s.Survey(tb.Context())
	require.NoError(tb, err)
	require.Empty(tb, survey.Missing)
	return survey
}

// newDeskNetwork makes a network for reservations: dynamic addresses at its end,
// IPv6 with stateful DHCP.
func (i realIncus) newDeskNetwork(name, net4, net6 string) {
	i.tb.Helper()
	i.must([]string{"network", "delete", name}, "network", "create", name,
		"ipv4.address="+net4+".1/24", "ipv4.nat=true", "ipv4.dhcp.ranges="+net4+".100-"+net4+".199",
		"ipv6.address="+net6+"::1/64", "ipv6.dhcp.stateful=true", "ipv6.dhcp.ranges="+net6+"::1000-"+net6+"::1fff")
}

// on is the same server for another test, whose end undoes things.
func (i realIncus) on(tb testing.TB) realIncus {
	i.tb = tb
	return i
}

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

func (i realIncus) mac(name, project string) ipam.MAC {
	i.tb.Helper()
	out, err := i.try("config", "get", name, "volatile.eth0.hwaddr", "--project", project)
	require.NoError(i.tb, err, out)
	mac, err := ipam.ParseMAC(strings.TrimSpace(out))
	require.NoError(i.tb, err)
	return mac
}

// restored puts an instance back as it is now when the test ends.
func (i realIncus) restored(uri string) {
	i.tb.Helper()
	ask := func(method string, body any) map[string]any {
		text, err := json.Marshal(body)
		require.NoError(i.tb, err)
		request, err := http.NewRequest(method, "http://unix"+uri, bytes.NewReader(text))
		require.NoError(i.tb, err)
		answer, err := (&http.Client{Transport: newThrough(i.socket).proxy.Transport}).Do(request)
		require.NoError(i.tb, err)
		defer func() { _ = answer.Body.Close() }()
		var envelope struct{ Metadata map[string]any }
		require.NoError(i.tb, json.NewDecoder(answer.Body).Decode(&envelope))
		return envelope.Metadata
	}
	before := ask(http.MethodGet, nil)
	i.tb.Cleanup(func() {
		ask(http.MethodPut, before)
		require.Eventually(i.tb, func() bool {
			now := ask(http.MethodGet, nil)
			return reflect.DeepEqual(before["devices"], now["devices"]) && reflect.DeepEqual(before["config"], now["config"])
		}, 10*time.Second, 10*time.Millisecond)
	})
}

// TestRealDesk holds the desk to its contract at the real server, for every kind
// of interface that it reserves for.
func TestRealDesk(t *testing.T) {
	incus := mustIncus(t)
	incus.newDeskNetwork("src-desk", "10.79.40", "fd79:40")
	incus.must([]string{"profile", "delete", "src-desk"}, "profile", "create", "src-desk")
	incus.must(nil, "profile", "device", "add", "src-desk", "eth0", "nic", "network=src-desk", "name=eth0")
	// Somebody with static addresses, and a forward that leads to it.
	incus.must([]string{"delete", "-f", "src-desk-other"}, "create", "-q", "bb", "src-desk-other", "--network", "src-desk",
		"-d", "eth0,ipv4.address=10.79.40.9", "-d", "eth0,ipv6.address=fd79:40::9")
	incus.must([]string{"network", "forward", "delete", "src-desk", "10.79.40.8"}, "network", "forward", "create", "src-desk", "10.79.40.8", "target_address=10.79.40.9")

	room := func(tb testing.TB) sourcetest.Room {
		source, way := incus.mustReserver(tb)
		return sourcetest.Room{
			Source: source, Network: "/1.0/networks/src-desk",
			Free: addr("10.79.40.20"), Taken: addr("10.79.40.9"), Outside: addr("10.79.41.20"),
			Steal: func(tb testing.TB, _ ipam.Reservation) {
				incus.on(tb).must(nil, "config", "unset", "src-desk-a", "user.allocsync.eth0.ipv4")
			},
			Requests: func() int { return int(way.asked.Load()) },
		}
	}
	incus.must([]string{"delete", "-f", "src-desk-a"}, "create", "-q", "bb", "src-desk-a", "--network", "src-desk")
	incus.must([]string{"delete", "-f", "src-desk-p"}, "create", "-q", "bb", "src-desk-p", "--profile", "default", "--profile", "src-desk")
	incus.must([]string{"delete", "-f", "src-desk-s", "--project", "shared-net"}, "create", "-q", "bb", "src-desk-s", "--project", "shared-net", "--network", "src-desk")
	for name, open := range map[string]func(tb testing.TB) sourcetest.Room{
		"an instance by its URI": func(tb testing.TB) sourcetest.Room {
			r := room(tb)
			incus.on(tb).restored("/1.0/instances/src-desk-a")
			r.For = "/1.0/instances/src-desk-a"
			return r
		},
		"a MAC, and the interface comes from a profile": func(tb testing.TB) sourcetest.Room {
			r := room(tb)
			incus.on(tb).restored("/1.0/instances/src-desk-p")
			r.MAC = incus.on(tb).mac("src-desk-p", "default")
			r.Steal = func(tb testing.TB, _ ipam.Reservation) {
				incus.on(tb).must(nil, "config", "device", "set", "src-desk-p", "eth0", "hwaddr=10:66:6a:00:00:99")
			}
			return r
		},
		"an instance by its name, an IPv6 address, a forward has the taken one": func(tb testing.TB) sourcetest.Room {
			r := room(tb)
			incus.on(tb).must([]string{"network", "forward", "delete", "src-desk", "fd79:40::8"}, "network", "forward", "create", "src-desk", "fd79:40::8")
			incus.on(tb).restored("/1.0/instances/src-desk-a")
			r.For, r.Free, r.Taken, r.Outside = "src-desk-a", addr("fd79:40::20"), addr("fd79:40::8"), addr("fd79:41::20")
			r.Steal = func(tb testing.TB, _ ipam.Reservation) {
				incus.on(tb).must(nil, "config", "set", "src-desk-a", "user.allocsync.eth0.ipv6=elsewhere/desk fd79:40::20 "+string(incus.on(tb).mac("src-desk-a", "default")))
			}
			return r
		},
		"an instance of a project that shares the networks": func(tb testing.TB) sourcetest.Room {
			r := room(tb)
			incus.on(tb).restored("/1.0/instances/src-desk-s?project=shared-net")
			r.For = "/1.0/instances/src-desk-s?project=shared-net"
			r.Steal = func(tb testing.TB, _ ipam.Reservation) {
				incus.on(tb).must(nil, "config", "unset", "src-desk-s", "user.allocsync.eth0.ipv4", "--project", "shared-net")
			}
			return r
		},
		"nobody": func(tb testing.TB) sourcetest.Room {
			r := room(tb)
			r.Name, r.Outside = "printer", addr("198.51.100.20")
			tb.Cleanup(func() { _, _ = incus.try("network", "forward", "delete", "src-desk", "10.79.40.20") })
			r.Steal = func(tb testing.TB, _ ipam.Reservation) {
				incus.on(tb).must(nil, "network", "forward", "unset", "src-desk", "10.79.40.20", "user.allocsync")
			}
			return r
		},
		"nobody, and a forward has the taken address": func(tb testing.TB) sourcetest.Room {
			r := room(tb)
			r.Taken, r.Outside = addr("10.79.40.8"), addr("10.79.40.255")
			tb.Cleanup(func() { _, _ = incus.try("network", "forward", "delete", "src-desk", "10.79.40.20") })
			r.Steal = func(tb testing.TB, _ ipam.Reservation) {
				incus.on(tb).must(nil, "network", "forward", "set", "src-desk", "10.79.40.20", "target_address=10.79.40.9")
			}
			return r
		},
	} {
		t.Run(name, func(t *testing.T) { sourcetest.RunDesks(t, sourcetest.Desks{Open: open}) })
	}
}

// TestRealOneOfTwo: of two that want one address at the same time one gets it.
func TestRealOneOfTwo(t *testing.T) {
	incus := mustIncus(t)
	incus.newDeskNetwork("src-two", "10.79.52", "fd79:52")
	source, _ := incus.mustReserver(t)
	names := []string{"src-two-a", "src-two-b", "src-two-c"}
	for _, name := range names {
		incus.must([]string{"delete", "-f", name}, "create", "-q", "bb", name, "--network", "src-two")
	}
	desk := mustSurvey(t, source).Desk
	errs := make([]error, len(names)+1)
	var wg sync.WaitGroup
	for i := range errs {
		wish := ipam.Reservation{Addr: addr("10.79.52.20"), Mark: mark} // the last one for nobody
		if i < len(names) {
			wish.For = ipam.UsedBy(names[i])
		}
		wish, err := desk.Consider(wish)
		require.NoError(t, err)
		wg.Go(func() { _, errs[i] = desk.Reserve(t.Context(), wish) })
	}
	t.Cleanup(func() { _, _ = incus.try("network", "forward", "delete", "src-two", "10.79.52.20") })
	wg.Wait()
	refused := 0
	for _, err := range errs {
		if err != nil {
			require.ErrorIs(t, err, sources.ErrRefused)
			refused++
		}
	}
	var held []ipam.Reservation
	for _, h := range mustSurvey(t, source).Held {
		if h.Addr == addr("10.79.52.20") {
			held = append(held, h)
		}
	}
	require.Len(t, held, 1, "%v", errs)
	require.Equal(t, len(names), refused)
}
