package reserve_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/sync/plan"
	"allocsync/sync/reserve"
)

// inStep is a source that holds n reservations of ours, all asked for, on a
// hundred networks.
func inStep(n int) reserve.Input {
	const networks = 100
	s := reserve.Source{Owner: owner, Allow: plan.AllowAll(), Consider: func(w ipam.Reservation) (ipam.Reservation, error) { return w, nil }}
	for i := range networks {
		network := reserve.Network{URI: ipam.UsedBy(fmt.Sprintf("/networks/%d", i)), Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16)}
		s.Networks = append(s.Networks, network)
		s.Facts = append(s.Facts, ipam.Allocation{UsedBy: network.URI, Kind: ipam.Prefix, Prefix: network.Prefix, Type: "network"})
	}
	var in reserve.Input
	for i := range n {
		network := s.Networks[i%networks]
		place := i / networks
		addr := netip.AddrFrom4([4]byte{10, byte(i % networks), byte(place >> 8), byte(place)})
		h := ipam.Reservation{
			Network: network.URI, Addr: addr, MAC: ipam.MAC(fmt.Sprintf("52:54:00:%02x:%02x:%02x", i>>16, i>>8&255, i&255)),
			Mark: owner, Ref: ipam.UsedBy(fmt.Sprintf("/held/%d", i)), Type: "reservation",
		}
		s.Held = append(s.Held, h)
		s.Facts = append(s.Facts, ipam.Allocation{UsedBy: h.Ref, Kind: ipam.Address, Prefix: ipam.HostPrefix(addr), Type: h.Type, MAC: h.MAC})
		in.Ledger.Entries = append(in.Ledger.Entries, reserve.Entry{Owner: owner, Wish: h, Made: true, Row: i + 1})
		in.Rows = append(in.Rows, ipam.Stored{ID: i + 1, ReserveAt: owner, Record: ipam.Record{
			Place: ipam.PlaceOf("", ipam.Address, ipam.HostPrefix(addr)), Attrs: ipam.Attrs{Mask: 16, Status: "reserved", MAC: h.MAC, UsedBy: h.Ref},
		}})
	}
	in.Sources = []reserve.Source{s}
	return in
}

// BenchmarkCompute plans reservations that are all held as they are asked for,
// which is what nearly every pass finds.
func BenchmarkCompute(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			in := inStep(n)
			require.Empty(b, reserve.Compute(in).Plan.Changes)
			for b.Loop() {
				reserve.Compute(in)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(n), "µs/row")
		})
	}
}
