package main

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	maasd "allocsync/fixtures/maas"
)

// What a thousand reservations cost: one write each at MAAS to make them, and
// not one anywhere once they are made; reading does not grow with them.
func TestThousandReservations(t *testing.T) {
	const many = 1000
	w := newFaultWorld(t, 0)
	w.region.AddSubnet(maasd.Subnet{CIDR: "172.20.0.0/21", Name: "many"})
	w.must(exitInStep, "sync")
	plain := w.reading(t)
	var rows []map[string]any
	for i := range many {
		rows = append(rows, map[string]any{
			"address": fmt.Sprintf("172.20.%d.%d/21", i/200, i%200+2), "status": "reserved",
			"custom_fields": map[string]any{"reserve_at": "dc1/maas", "hwaddr": fmt.Sprintf("52:54:00:01:%02x:%02x", i>>8, i&255)},
		})
	}
	w.call("POST", "/api/ipam/ip-addresses/", rows, nil)

	w.region.Forget()
	w.must(exitInStep, "sync")
	require.Equal(t, many, w.region.Count("POST reservedips/"))
	require.Len(t, w.region.Writes(), many, "one write each")
	made := len(w.region.Requests())
	require.LessOrEqual(t, made, many+plain.maas+many, "and at most one look-up each")

	w.region.Forget()
	again := w.reading(t)
	require.Empty(t, w.region.Writes())
	require.Zero(t, again.written)
	require.Equal(t, plain.maas, again.maas, "reading does not grow with reservations")
	networks := w.region.Count("GET subnets/*/")
	require.LessOrEqual(t, again.maas-networks, 5, "besides one for each network")
	require.LessOrEqual(t, again.netbox-plain.netbox, 2, "a page of rows that ask, and one more of own rows")
	t.Logf("made with %d requests at MAAS; unchanged: %d requests at MAAS, %d of them of networks, %d at NetBox (%d without them)",
		made, again.maas, networks, again.netbox, plain.netbox)
}

// cost is what a pass that finds nothing to do asks for.
type cost struct{ maas, netbox, written int }

func (w *faultWorld) reading(t *testing.T) cost {
	t.Helper()
	w.region.Forget()
	o := w.must(exitInStep, "sync", "--format", "json")
	var report struct {
		Requests struct {
			Sent    int
			Written int `json:"rows_written"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(o.stdout), &report))
	return cost{len(w.region.Requests()), report.Requests.Sent, report.Requests.Written}
}
