package maas_test

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	maasd "allocsync/fixtures/maas"
	"allocsync/ipam"
	"allocsync/sources"
	"allocsync/sources/maas"
)

// mark is whose the reservations of these tests are.
const mark = "lab/maas"

// way is a way in which MAAS holds an address.
type way struct {
	name, version string
	wish          func(n int) ipam.Reservation // for the n-th of several, from 1
	make, release string                       // patterns of the writes
	writes        int                          // for each reservation
}

// ways lists them all. Each has room for 1,000 addresses on subnet 7, which
// newRoomy adds.
func ways() []way {
	addr := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 50, byte(1 + n/250), byte(1 + n%250)}) }
	mac := func(n int) ipam.MAC { return ipam.MAC(fmt.Sprintf("52:54:00:aa:%02x:%02x", n>>8, n&0xff)) }
	return []way{
		{"reserved IP", since36, func(n int) ipam.Reservation {
			return ipam.Reservation{Addr: addr(n), MAC: mac(n), Name: fmt.Sprintf("Camera %d", n), Mark: mark}
		}, "POST reservedips/", "DELETE reservedips/*/", 1},
		{"device", before36, func(n int) ipam.Reservation {
			return ipam.Reservation{Addr: addr(n), MAC: mac(n), Name: fmt.Sprintf("camera-%d", n), Mark: mark}
		}, "POST nodes/*/interfaces/*/?op=link_subnet", "DELETE devices/*/", 2},
		{"static link", since36, func(n int) ipam.Reservation {
			return ipam.Reservation{Addr: addr(n), For: ipam.UsedBy(fmt.Sprintf("roomy-%d", n%25)), Mark: mark}
		}, "POST nodes/*/interfaces/*/?op=link_subnet", "POST nodes/*/interfaces/*/?op=unlink_subnet", 1},
		{"user reservation", since36, func(n int) ipam.Reservation {
			return ipam.Reservation{Addr: addr(n), Name: fmt.Sprintf("appliance-%d", n), Mark: mark}
		}, "POST ipaddresses/?op=reserve", "POST ipaddresses/?op=release", 1},
	}
}

// newRoomy is a region with the subnet 7, 10.50.0.0/16, and machines on it.
func newRoomy(tb testing.TB, version string) (*maasd.Region, *maas.Source) {
	tb.Helper()
	region, url := maasd.Start(tb)
	region.SetVersion(version)
	vlan := region.AddVLAN(maasd.VLAN{VID: 50, Space: "roomy"})
	require.Equal(tb, 7, region.AddSubnet(maasd.Subnet{CIDR: "10.50.0.0/16", Name: "roomy", Gateway: "10.50.0.1", VLAN: vlan}))
	for n := range 25 {
		region.AddMachine(maasd.Node{Hostname: fmt.Sprintf("roomy-%d", n), Status: "Ready", Interfaces: []maasd.Interface{{Name: "eth0", MAC: fmt.Sprintf("52:54:00:50:00:%02x", n), VLAN: vlan}}})
	}
	return region, mustOpen(tb, region, url)
}

func mustReserve(tb testing.TB, d sources.Desk, wish ipam.Reservation) ipam.Reservation {
	tb.Helper()
	wish, err := d.Consider(wish)
	require.NoError(tb, err)
	held, err := d.Reserve(tb.Context(), wish)
	require.NoError(tb, err)
	return held
}

// TestThousand: 1,000 new reservations cost their writes and nothing else, also
// at once; while they stand they cost no request; released, they cost one look
// and one write each.
func TestThousand(t *testing.T) {
	const count = 1000
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			region, source := newRoomy(t, w.version)
			region.SetVersion(w.version)
			before := mustSurvey(t, source)
			region.Forget()
			many(t, count, func(i int) error {
				wish, err := before.Desk.Consider(w.wish(i + 1))
				if err == nil {
					_, err = before.Desk.Reserve(t.Context(), wish)
				}
				return err
			})
			require.Equal(t, count*w.writes, region.Count(""), "reserved")
			require.Len(t, region.Writes(), count*w.writes)

			region.Forget()
			after := mustSurvey(t, source)
			require.Empty(t, region.Writes())
			lists := 5
			if w.version == before36 {
				lists = region.Count("GET version/") + 5 // see TestRequestsBefore36
			}
			require.Equal(t, lists+7, region.Count(""), "read again, with a seventh subnet")
			require.Len(t, after.Held, len(before.Held)+count)
			region.Forget()
			many(t, count, func(i int) error {
				wish, err := after.Desk.Consider(w.wish(i + 1))
				if err == nil {
					_, err = after.Desk.Reserve(t.Context(), wish)
				}
				return err
			})
			require.Zero(t, region.Count(""), "reserved again")

			ours := slices.DeleteFunc(slices.Clone(after.Held), func(h ipam.Reservation) bool { return slices.Contains(before.Held, h) })
			require.Len(t, ours, count)
			many(t, count, func(i int) error { return after.Desk.Release(t.Context(), ours[i]) })
			require.Equal(t, count, region.Count(w.release), "released")
			require.Equal(t, 2*count, region.Count(""), "released")
			require.Equal(t, before.Held, mustSurvey(t, source).Held)
		})
	}
}

// many does something so many times, a few at once.
func many(tb testing.TB, count int, do func(int) error) {
	tb.Helper()
	var group errgroup.Group
	group.SetLimit(4)
	for i := range count {
		group.Go(func() error { return do(i) })
	}
	require.NoError(tb, group.Wait())
}

// TestAtOnce: the same reservation wanted by many at once is written once, and
// released by many at once, ended once.
func TestAtOnce(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			region, source := newRoomy(t, w.version)
			desk := mustSurvey(t, source).Desk
			wish, err := desk.Consider(w.wish(1))
			require.NoError(t, err)
			region.Inject(maasd.Fault{On: "POST *", Delay: 20 * time.Millisecond}) // so that they meet
			region.Forget()
			held := make([]ipam.Reservation, 8)
			many(t, len(held), func(i int) (err error) {
				held[i], err = desk.Reserve(t.Context(), wish)
				return err
			})
			require.Equal(t, w.writes, region.Count(""))
			for _, h := range held {
				require.Equal(t, held[0], h)
			}
			many(t, len(held), func(i int) error { return desk.Release(t.Context(), held[i]) })
			require.Equal(t, 1, region.Count(w.release))
		})
	}
}

// TestChoice: addresses are chosen here, so that it costs two requests more for
// a whole subnet, however many are chosen at once, and none is chosen twice.
func TestChoice(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			const count = 100
			region, source := newRoomy(t, w.version)
			region.AddNeighbour("52:54:00:99:00:01", "10.50.0.3", "old-nas")
			region.Do(maasd.Admin, "POST", "reservedips/", url.Values{"ip": {"10.50.0.4"}, "mac_address": {"52:54:00:99:00:02"}, "subnet": {"7"}})
			survey := mustSurvey(t, source)
			region.Forget()
			got := make([]ipam.Reservation, count)
			many(t, count, func(i int) error {
				wish := w.wish(i + 1)
				wish.Network, wish.Addr = subnetURI(7), netip.Addr{}
				wish, err := survey.Desk.Consider(wish)
				if err == nil {
					got[i], err = survey.Desk.Reserve(t.Context(), wish)
				}
				return err
			})
			require.Equal(t, 1, region.Count("GET subnets/7/?op=unreserved_ip_ranges"))
			require.Equal(t, 1, region.Count("GET discovery/?op="))
			require.Equal(t, count*w.writes+2, region.Count(""))
			var addrs []netip.Addr
			for _, h := range got {
				addrs = append(addrs, h.Addr)
			}
			slices.SortFunc(addrs, netip.Addr.Compare)
			require.Len(t, slices.Compact(addrs), count)
			require.Equal(t, "10.50.0.2", addrs[0].String(), "the gateway is passed over")
			require.NotContains(t, addrs, mustAddr(t, "10.50.0.3"), "a host was seen there")
			if w.version == since36 {
				require.NotContains(t, addrs, mustAddr(t, "10.50.0.4"), "it is a reserved IP")
			}
			require.Less(t, addrs[count-1].Compare(mustAddr(t, "10.50.0.110")), 0, "the lowest are taken first")
		})
	}
}

// TestChoiceWhileOthersTake: an address that somebody took since it was read is
// passed over, a bounded number of times.
func TestChoiceWhileOthersTake(t *testing.T) {
	region, source := newRoomy(t, since36)
	desk := mustSurvey(t, source).Desk
	wish := ipam.Reservation{Network: subnetURI(7), MAC: "52:54:00:aa:00:01", Mark: mark}
	first := mustReserve(t, desk, wish)
	require.Equal(t, "10.50.0.2", first.Addr.String())

	// The ranges are known to the desk by now; MAAS gives the next two away.
	for _, taken := range []string{"10.50.0.3", "10.50.0.4"} {
		mustDo(t, region, maasd.Operator, "POST", "ipaddresses/?op=reserve", url.Values{"ip": {taken}})
	}
	wish.MAC = "52:54:00:aa:00:02"
	region.Forget()
	require.Equal(t, "10.50.0.5", mustReserve(t, desk, wish).Addr.String())
	require.Equal(t, 2, region.Count("POST reservedips/"))
	require.Equal(t, 1, region.Count("GET subnets/7/?op=unreserved_ip_ranges"), "asked again once")

	// Where that goes on, it ends.
	region.Inject(maasd.Fault{On: "POST reservedips/", Kind: maasd.Dropped})
	wish.MAC = "52:54:00:aa:00:03"
	wish, err := desk.Consider(wish)
	require.NoError(t, err)
	_, err = desk.Reserve(t.Context(), wish)
	require.ErrorIs(t, err, sources.ErrUnreachable, "nothing is known, so that no other address is tried")
}

// TestFull: no address is left.
func TestFull(t *testing.T) {
	_, source := newRegion(t, since36)
	desk := mustSurvey(t, source).Desk
	for n := 1; n <= 2; n++ {
		mustReserve(t, desk, ipam.Reservation{Network: "narrow", Name: fmt.Sprintf("n%d", n), Mark: mark})
	}
	_, err := desk.Reserve(t.Context(), ipam.Reservation{Network: subnetURI(5), Mark: mark})
	require.ErrorIs(t, err, sources.ErrRefused)
	require.EqualError(t, err, "reserve an address: the source refuses: subnet narrow has no address left that is free and with which MAAS has seen nobody; name one")
}

// TestLostAnswers: whatever becomes of the answers to writes, an address is
// held once or not at all, and the next Reserve brings it to its end.
func TestLostAnswers(t *testing.T) {
	for _, w := range ways() {
		for _, kind := range []maasd.Kind{maasd.Lost, maasd.CutOff, maasd.Garbled, maasd.Dropped, maasd.Timeout, maasd.Busy, maasd.Conflict, maasd.Broken, maasd.Page} {
			for skip := range w.writes {
				t.Run(fmt.Sprintf("%s, fault %d at write %d", w.name, kind, skip), func(t *testing.T) {
					t.Parallel()
					region, source := newRoomy(t, w.version)
					before := mustSurvey(t, source)
					wish, err := before.Desk.Consider(w.wish(1))
					require.NoError(t, err)

					region.Inject(maasd.Fault{On: "POST *", Kind: kind, Skip: skip, Times: 1})
					done := kind == maasd.Lost || kind == maasd.CutOff || kind == maasd.Garbled
					held, err := before.Desk.Reserve(t.Context(), wish)
					if done {
						require.NoError(t, err, "it was done, and can be seen")
					} else {
						require.ErrorIs(t, err, sources.ErrUnreachable)
					}
					again, err := before.Desk.Reserve(t.Context(), wish)
					require.NoError(t, err)
					if done {
						require.Equal(t, held, again)
					}
					after := mustSurvey(t, source)
					require.Len(t, after.Held, len(before.Held)+1)
					require.Contains(t, after.Held, again)

					region.Inject(maasd.Fault{On: w.release, Kind: kind, Times: 1})
					err = after.Desk.Release(t.Context(), again)
					if done {
						require.NoError(t, err)
					} else {
						require.ErrorIs(t, err, sources.ErrUnreachable)
					}
					require.NoError(t, after.Desk.Release(t.Context(), again))
					require.Equal(t, before.Held, mustSurvey(t, source).Held)
				})
			}
		}
	}
}

// TestNobodyCanLook: where neither the write nor the look after it is
// answered, the error says so, and nothing is lost.
func TestNobodyCanLook(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			region, source := newRoomy(t, w.version)
			before := mustSurvey(t, source)
			wish, err := before.Desk.Consider(w.wish(1))
			require.NoError(t, err)
			region.Inject(maasd.Fault{On: w.make, Kind: maasd.Lost, Times: 1})
			region.Inject(maasd.Fault{On: "GET *", Kind: maasd.Denied})
			_, err = before.Desk.Reserve(t.Context(), wish)
			require.ErrorIs(t, err, sources.ErrUnreachable)
			require.NotErrorIs(t, err, sources.ErrDenied)
			require.ErrorContains(t, err, "what became of it cannot be seen either")
			region.Heal()

			// A crash comes here: another desk, made of another reading.
			read := mustSurvey(t, source)
			require.Len(t, read.Held, len(before.Held)+1)
			wish, err = read.Desk.Consider(w.wish(1))
			require.NoError(t, err)
			region.Forget()
			held, err := read.Desk.Reserve(t.Context(), wish)
			require.NoError(t, err)
			require.Contains(t, read.Held, held)
			require.Zero(t, region.Count(""))
		})
	}
}

// TestHangs: a write that is not answered ends with the source's timeout.
func TestHangs(t *testing.T) {
	region, url := maasd.Start(t)
	source := mustOpen(t, region, url, func(o *maas.Options) { o.Timeout = 300 * time.Millisecond })
	desk := mustSurvey(t, source).Desk
	region.Inject(maasd.Fault{On: "POST *", Delay: time.Minute})
	start := time.Now()
	_, err := desk.Reserve(t.Context(), ipam.Reservation{Network: subnetURI(3), Addr: mustAddr(t, "172.16.3.70"), Mark: mark})
	require.ErrorIs(t, err, sources.ErrUnreachable)
	require.ErrorContains(t, err, "no answer within 300ms")
	require.Less(t, time.Since(start), 5*time.Second)
}

// TestRetryAfter: MAAS says when to ask again; nobody waits for that here.
func TestRetryAfter(t *testing.T) {
	region, source := newRegion(t, since36)
	desk := mustSurvey(t, source).Desk
	region.Inject(maasd.Fault{On: "POST *", Kind: maasd.Busy, RetryAfter: time.Hour})
	start := time.Now()
	region.Forget()
	_, err := desk.Reserve(t.Context(), ipam.Reservation{Network: subnetURI(3), Addr: mustAddr(t, "172.16.3.70"), Mark: mark})
	require.ErrorIs(t, err, sources.ErrUnreachable)
	require.EqualError(t, err, `reserve 172.16.3.70: write /MAAS/api/2.0/ipaddresses/?op=reserve: MAAS answers 503 "Unable to connect to any rack controller 7xtf67; no connections available.", and to ask again after 3600 s`)
	require.Less(t, time.Since(start), 5*time.Second)
	require.Equal(t, 2, region.Count(""), "one write and one look: nothing is sent again")
}

// TestSomebodyElseWasFaster: what was free when it was read and is another's by
// now is refused, in MAAS's words, and not touched.
func TestSomebodyElseWasFaster(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			region, source := newRoomy(t, w.version)
			desk := mustSurvey(t, source).Desk
			wish, err := desk.Consider(w.wish(1))
			require.NoError(t, err)
			mustDo(t, region, maasd.Operator, "POST", "ipaddresses/?op=reserve", url.Values{"ip": {wish.Addr.String()}})
			before := mustSurvey(t, source)
			_, err = desk.Reserve(t.Context(), wish)
			require.ErrorIs(t, err, sources.ErrRefused)
			require.ErrorContains(t, err, "already in use")
			require.Equal(t, before.Held, mustSurvey(t, source).Held)
			require.NotContains(t, strings.Join(hostnames(t, region), " "), "camera-1", "a device is left")

			_, err = before.Desk.Consider(wish)
			require.ErrorIs(t, err, sources.ErrRefused)
			require.ErrorContains(t, err, "is taken: reserved by the user operator")
		})
	}
}

func hostnames(tb testing.TB, r *maasd.Region) []string {
	tb.Helper()
	var list []struct {
		Hostname string `json:"hostname"`
	}
	mustDecode(tb, mustDo(tb, r, maasd.Admin, "GET", "nodes/", nil), &list)
	var names []string
	for _, n := range list {
		names = append(names, n.Hostname)
	}
	return names
}
