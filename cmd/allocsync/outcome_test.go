package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/report"
)

// ask makes a row that asks the MAAS for an address, and returns its ID.
func (l *maasLab) ask(t *testing.T, address, mac string) int {
	t.Helper()
	var row struct{ ID int }
	l.call(t, http.MethodPost, "/api/ipam/ip-addresses/", mustJSON(t, map[string]any{
		"address": address, "status": "reserved", "custom_fields": map[string]any{"reserve_at": "dc1/maas", "hwaddr": mac},
	}), &row)
	return row.ID
}

func (l *maasLab) unask(t *testing.T, row int) {
	t.Helper()
	l.call(t, http.MethodDelete, fmt.Sprintf("/api/ipam/ip-addresses/%d/", row), "", nil)
}

// atSource lists the lines of a log about changes at a source.
func atSourceLines(t *testing.T, log string) []map[string]any {
	t.Helper()
	var list []map[string]any
	for line := range strings.Lines(log) {
		var entry map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &entry), line)
		if entry["source"] != nil && entry["action"] != nil {
			list = append(list, entry)
		}
	}
	return list
}

// What NetBox asks for is said before it is done and when it is, in the words of
// that direction, in the report, the log and the metrics.
func TestReportOfReservations(t *testing.T) {
	l := newMAASLab(t, "3.6.1")
	file := filepath.Join(l.folder, "allocsync.prom")
	sync := func(code int, args ...string) outcome {
		out := l.mustRun(t, code, append([]string{"sync"}, append(args, l.here()...)...)...)
		out.stdout = strings.Join(strings.Fields(out.stdout), " ") // however wide the terminal is
		return out
	}
	out := sync(exitInStep)
	require.Contains(t, out.stdout, "Reservations: none are asked for")
	require.NotContains(t, out.stdout, "; reservations:")

	printer := l.ask(t, "172.16.3.95/24", "52:54:00:00:03:95")
	l.ask(t, "192.0.2.7/24", "52:54:00:00:03:96")
	out = sync(exitChanges, "--dry-run")
	for _, want := range []string{"Would change reservations", "reservations: 1 to reserve, 0 to change, 0 to release, 1 held, 0 in step", "dc1/maas: would reserve 1, asked for in NetBox",
		"dc1/maas: held, the source cannot hold it (1)", "no network of the source has this address", "Clear reserve_at"} {
		require.Contains(t, out.stdout, want)
	}
	require.Empty(t, l.atMAAS("172.16.3.95"), "a dry run reserves nothing")
	require.Empty(t, atSourceLines(t, out.stderr))

	out = sync(exitInStep, "--metrics-file", file)
	require.Contains(t, out.stdout, "reservations: 1 reserved, 0 changed, 0 released, 1 held, 0 in step")
	require.Contains(t, out.stdout, fmt.Sprintf("done #%d", printer))
	require.Contains(t, out.stdout, "reservation is in use", "the row is filled in")
	require.NotContains(t, out.stdout, "not approved")
	require.NotEmpty(t, l.atMAAS("172.16.3.95"))
	lines := atSourceLines(t, out.stderr)
	require.Len(t, lines, 1)
	delete(lines[0], "time")
	require.Equal(t, map[string]any{
		"level": "info", "message": "reserved", "action": "reserve", "status": "done", "source": "dc1/maas", "reason": "asked for in NetBox", "id": float64(printer),
		"address": "172.16.3.95/24", "for": "52:54:00:00:03:95", "after": map[string]any{"address": "172.16.3.95/24", "for": "52:54:00:00:03:95", "hwaddr": "52:54:00:00:03:95"},
	}, lines[0])
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, want := range []string{`asked_reservations{source="maas"} 2`, `unmet_reservations{source="maas"} 1`, `own_reservations{source="maas"} 1`,
		`reservation_changes_total{action="reserve",source="maas"} 1`, `failed_reservations_total{source="maas"} 0`, `held_rows{source="maas"} 1`} {
		require.Contains(t, string(text), "allocsync_source_"+want)
	}

	out = sync(exitInStep)
	require.Contains(t, out.stdout, "0 reserved, 0 changed, 0 released, 1 held, 1 in step")
	require.Empty(t, atSourceLines(t, out.stderr))

	l.unask(t, printer)
	out = sync(exitChanges, "--dry-run", "--format", "json")
	var d report.Document
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &d))
	require.Equal(t, report.DocumentReservationCounts{Asked: 1, Ours: 1, Release: 1, Held: 1}, d.Reservations.Totals.DocumentReservationCounts)
	require.Equal(t, report.DocumentReservation{Action: "release", Reason: "no longer asked for in NetBox", Owner: "dc1/maas", Address: "172.16.3.95/24",
		For: d.Reservations.Changes[0].For, MAC: "52:54:00:00:03:95", Status: "planned"}, d.Reservations.Changes[0])
	out = sync(exitInStep)
	lines = atSourceLines(t, out.stderr)
	require.Len(t, lines, 1)
	require.Equal(t, "released", lines[0]["message"])
	require.Equal(t, "172.16.3.95/24", lines[0]["before"].(map[string]any)["address"])
	require.Nil(t, lines[0]["after"])
	require.Empty(t, l.atMAAS("172.16.3.95"))
}

// The page says what is asked of a source and not held, the history what was
// made, and a plan that gives all of it up is shown before it is approved.
func TestPageOfReservations(t *testing.T) {
	l := newMAASLab(t, "3.6.1")
	l.mustRun(t, exitInStep, "sync")
	var asking []int
	for n := range 4 {
		asking = append(asking, l.ask(t, fmt.Sprintf("172.16.3.%d/24", 95+n), fmt.Sprintf("52:54:00:00:03:%d", 95+n)))
	}
	refused := l.ask(t, "192.0.2.7/24", "52:54:00:00:03:94")
	s, _ := l.there(t)
	_, text := s.get("/")
	for _, want := range []string{"reservations: 5 asked for", "1 not held", "4 ours", "4 reserved, 0 released", "no network of the source has this address", "In step, 2 held"} {
		require.Contains(t, text, want)
	}
	require.Contains(t, s.log.String(), `"reserved":4,"released":0,"unmet":1`)
	_, text = s.get("/metrics")
	require.Contains(t, text, `allocsync_source_unmet_reservations{source="maas"} 1`)

	for _, row := range append(asking, refused) {
		l.unask(t, row)
	}
	before := s.passes()
	s.do(http.MethodPost, "/hooks/resync", "", "Authorization", "Bearer "+resyncToken)
	s.eventually("looks again", func() bool { return s.passes() > before && s.waiting() != "" })
	_, text = s.get("/")
	for _, want := range []string{"NetBox asks for nothing there any more, and all of its 4 reservations would be removed", "release 172.16.3.95/24 for", "4 not done"} {
		require.Contains(t, text, want)
	}
	require.Len(t, l.atMAAS("172.16.3.95"), 1)
	s.approve(s.waiting())
	s.eventually("releases what was approved", func() bool { return len(l.atMAAS("172.16.3.95")) == 0 && s.waiting() == "" })
	_, text = s.get("/")
	require.Contains(t, text, "0 reserved, 4 released")
	require.Contains(t, text, "reservations: 0 asked for, 0 ours")
	require.Contains(t, text, "Everything that the last pass planned is done")
	require.NotContains(t, text, "no network of the source has this address")
}

// Reservations that are given up in steps, each within the limit, are held up
// all the same; what a person has released by command does not count.
func TestServeReleasesInSteps(t *testing.T) {
	l := newMAASLab(t, "3.6.1")
	l.mustRun(t, exitInStep, "sync")
	var asking []int
	for n := range 13 {
		asking = append(asking, l.ask(t, fmt.Sprintf("172.16.3.%d/24", 90+n), fmt.Sprintf("52:54:00:00:03:%02d", n)))
	}
	s, flags := l.there(t)
	held := func() (n int) {
		for i := range asking {
			n += len(l.atMAAS(fmt.Sprintf("172.16.3.%d", 90+i)))
		}
		return n
	}
	s.eventually("reserves all", func() bool { return held() == 13 })
	for n := range 3 {
		l.mustRun(t, exitInStep, append([]string{"release", "--source", "maas", fmt.Sprintf("172.16.3.%d", 90+n)}, flags...)...)
	}
	unask := func(rows []int) {
		t.Helper()
		for _, row := range rows {
			l.unask(t, row)
		}
		before := s.passes()
		s.do(http.MethodPost, "/hooks/resync", fmt.Sprint(rows), "Authorization", "Bearer "+resyncToken)
		s.eventually("makes a pass", func() bool { return s.passes() > before })
	}
	unask(asking[3:6])
	s.eventually("releases 3 of 10", func() bool { return held() == 7 && s.waiting() == "" })
	unask(asking[6:7])
	s.eventually("waits for a person", func() bool { return s.waiting() != "" })
	require.Equal(t, 7, held())
	_, text := s.get("/")
	require.Contains(t, text, "after 3 reservations released shortly before")
	s.approve(s.waiting())
	s.eventually("releases what was approved", func() bool { return held() == 6 && s.waiting() == "" })
	unask(asking[7:8])
	s.eventually("counts anew", func() bool { return held() == 5 })
}
