package netbox

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
)

func always(netip.Addr) bool { return true }

// wanted is the row of a reservation; what is not asked for is left out.
func (b *bed) wanted(vrf, cidr string, change func(*ipam.Attrs)) ipam.Record {
	r := b.address(vrf, cidr)
	r.Owner = ""
	r.Attrs = ipam.Attrs{Mask: r.Attrs.Mask}
	change(&r.Attrs)
	return r
}

// A row that asks is nobody's, and is listed as what asks.
func TestAsk(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		name, _ := b.vrf(t, "ask")
		s := b.mustPrepare(t, Refs{VRFs: []string{name}, Reservable: true})
		made, err := s.Ask(t.Context(), b.wanted(name, "10.7.0.9/24", func(a *ipam.Attrs) {
			a.UsedBy, a.MAC, a.DNSName, a.Description = "/1.0/instances/web", "52:54:00:00:00:01", "web.example.org", "for the printer"
		}), b.owner())
		require.NoError(t, err)
		rows, err := s.Reserved(t.Context(), []string{b.owner()})
		require.NoError(t, err)
		require.Len(t, rows, 1)
		row := rows[0]
		require.Equal(t, made.ID, row.ID)
		require.Equal(t, "", row.Owner)
		require.Equal(t, b.owner(), row.ReserveAt)
		require.Equal(t, name, row.Place.VRF)
		require.Equal(t, "10.7.0.9/24", row.CIDR().String())
		require.Equal(t, "reserved", row.Attrs.Status)
		require.Equal(t, ipam.UsedBy("/1.0/instances/web"), row.Attrs.UsedBy)
		require.Equal(t, ipam.MAC("52:54:00:00:00:01"), row.Attrs.MAC)

		require.NoError(t, s.SetReserveAt(t.Context(), row.ID, ""))
		rows, err = s.Reserved(t.Context(), []string{b.owner()})
		require.NoError(t, err)
		require.Empty(t, rows)
		still, err := s.Rows(t.Context(), ipam.Address, []int{row.ID})
		require.NoError(t, err)
		require.Equal(t, row.Attrs, still[0].Attrs, "nothing else of the row changes")
		require.NoError(t, s.SetReserveAt(t.Context(), row.ID, b.owner()))
		rows, err = s.Reserved(t.Context(), []string{b.owner()})
		require.NoError(t, err)
		require.Len(t, rows, 1)
	})
}

// NetBox chooses the first address that is free and may be used; those before
// it are given back.
func TestAskFor(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		name, id := b.vrf(t, "choose")
		prefix := b.mustMake(t, "/api/ipam/prefixes/", map[string]any{"prefix": "10.7.1.0/29", "vrf": id})
		b.mustMake(t, "/api/ipam/ip-addresses/", map[string]any{"address": "10.7.1.2/29", "vrf": id})
		s := b.mustPrepare(t, Refs{VRFs: []string{name}, Reservable: true})
		record := b.wanted(name, "10.7.1.0/29", func(a *ipam.Attrs) { a.MAC = "52:54:00:00:00:02" })
		high := func(a netip.Addr) bool { return a.Compare(netip.MustParseAddr("10.7.1.4")) >= 0 }
		row, err := s.AskFor(t.Context(), prefix, record, b.owner(), high)
		require.NoError(t, err)
		require.Equal(t, "10.7.1.4/29", row.CIDR().String())
		require.Equal(t, name, row.Place.VRF)
		rows, err := s.Reserved(t.Context(), []string{b.owner()})
		require.NoError(t, err)
		require.Len(t, rows, 1, "10.7.1.1 and 10.7.1.3 were given back")
		require.Equal(t, ipam.MAC("52:54:00:00:00:02"), rows[0].Attrs.MAC)

		// 1, 3, 5 and 6 are left: of five who ask at once four get one each.
		got := make([]string, 5)
		var group sync.WaitGroup
		for i := range got {
			group.Go(func() {
				row, err := s.AskFor(t.Context(), prefix, record, b.owner(), always)
				if err != nil {
					got[i] = "none"
					var refused *Error
					if !errors.Is(err, ErrFull) && !errors.As(err, &refused) { // NetBox' own words where it was the last one
						t.Error(err)
					}
					return
				}
				got[i] = row.CIDR().String()
			})
		}
		group.Wait()
		require.ElementsMatch(t, []string{"10.7.1.1/29", "10.7.1.3/29", "10.7.1.5/29", "10.7.1.6/29", "none"}, got)
		_, err = s.AskFor(t.Context(), prefix, record, b.owner(), always)
		require.ErrorIs(t, err, ErrFull)
		_, err = s.AskFor(t.Context(), prefix, record, b.owner(), func(netip.Addr) bool { return false })
		require.ErrorIs(t, err, ErrFull)
	})
}

// Each remark is one journal entry; a row that is gone does not silence others.
func TestRemark(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		name, id := b.vrf(t, "remark")
		s := b.mustPrepare(t, Refs{VRFs: []string{name}})
		var ids []int
		for i := range 3 {
			ids = append(ids, b.mustMake(t, "/api/ipam/ip-addresses/", map[string]any{"address": fmt.Sprintf("10.7.2.%d/32", i+1), "vrf": id}))
		}
		told, err := s.Remark(t.Context(), []Remark{{ids[0], "one"}, {99_999_999, "of nobody"}, {ids[1], "two"}})
		require.NoError(t, err)
		require.Equal(t, []bool{true, true, true}, told)
		var list struct {
			Results []struct {
				Comments string
				Kind     choice
			}
		}
		for i, want := range []string{"one", "two"} {
			query := fmt.Sprintf("assigned_object_type=ipam.ipaddress&assigned_object_id=%d", ids[i])
			require.NoError(t, b.client.read(t.Context(), journalPath, query, &list))
			require.Len(t, list.Results, 1)
			require.Equal(t, want, list.Results[0].Comments)
			require.Equal(t, "warning", list.Results[0].Kind.Value)
		}
		sent := b.requests(func() {
			many := make([]Remark, 51)
			for i := range many {
				many[i] = Remark{ids[2], fmt.Sprint(i)}
			}
			_, err := s.Remark(t.Context(), many)
			require.NoError(t, err)
		})
		require.Equal(t, 2, sent.Writes, "50 in a request")
	})
}
