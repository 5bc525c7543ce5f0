package main

import (
	"fmt"
	"html"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// A row that asks for a reservation and names no source would wait for ever:
// the report, check and the page say so.
func TestMisdirectedRows(t *testing.T) {
	l := newMAASLab(t, "3.6.1")
	ask := func(address, at string) int {
		var row struct{ ID int }
		l.call(t, http.MethodPost, "/api/ipam/ip-addresses/", mustJSON(t, map[string]any{
			"address": address, "status": "reserved", "custom_fields": map[string]any{"reserve_at": at},
		}), &row)
		return row.ID
	}
	run := func(code int, args ...string) string { return l.mustRun(t, code, append(args, l.here()...)...).stdout }
	run(exitInStep, "sync")
	var rows []int
	var lines []string
	for i, at := range []string{"dc1/mass", "maas", "DC1/maas", "dc1"} {
		address := fmt.Sprintf("172.16.3.%d/24", 81+i)
		rows = append(rows, ask(address, at))
		lines = append(lines, fmt.Sprintf("%s (#%d) is reserved nowhere: its reserve_at is %q, and the sources here are dc1/maas", address, rows[i], at))
	}
	ask("172.16.3.85/24", "dc10/maas") // another installation's
	ask("172.16.3.86/24", "dc1/maas")

	out := run(exitInStep, "sync", "--format", "markdown")
	for _, line := range lines {
		require.Contains(t, out, line)
	}
	require.NotContains(t, out, "172.16.3.85")
	require.NotEmpty(t, l.atMAAS("172.16.3.86"), "it keeps no other from being reserved")
	require.Empty(t, l.atMAAS("172.16.3.81"))
	require.NotContains(t, run(exitInStep, "sync", "--source", "maas"), "reserved nowhere", "not in a pass of some sources")

	out = l.mustRun(t, exitFailed, "check").stdout
	require.Contains(t, out, "172.16.3.81/24")
	require.Contains(t, out, "set the row's reserve_at to one of the sources, or clear it")

	s, _ := l.there(t)
	_, text := s.get("/")
	require.Contains(t, html.UnescapeString(text), lines[0])
	for _, row := range rows {
		l.unask(t, row)
	}
	before := s.passes()
	s.do(http.MethodPost, "/hooks/resync", "", "Authorization", "Bearer "+resyncToken)
	s.eventually("looks again", func() bool { return s.passes() > before })
	_, text = s.get("/")
	require.NotContains(t, text, "reserved nowhere")
}
