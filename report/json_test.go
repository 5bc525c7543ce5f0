package report_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"allocsync/report"

	"github.com/stretchr/testify/require"
)

// The documented shape is what is written: no key more, no key less.
func TestJSONIsTheDocument(t *testing.T) {
	for _, r := range []report.Report{dryRun(), applied(), inStep(), {}, reserving(), reserved(), noReservations()} {
		var got bytes.Buffer
		require.NoError(t, report.JSON(&got, r))
		decoder := json.NewDecoder(bytes.NewReader(got.Bytes()))
		decoder.DisallowUnknownFields()
		var d report.Document
		require.NoError(t, decoder.Decode(&d))
		require.Equal(t, report.Schema, d.Schema)

		again, err := json.Marshal(d)
		require.NoError(t, err)
		require.JSONEq(t, got.String(), string(again))
		require.NotContains(t, strings.ReplaceAll(got.String(), `"row":null`, ""), `:null,"by_type"`)
		require.NotContains(t, got.String(), `: null`)
	}
}

func TestJSONCounts(t *testing.T) {
	var got bytes.Buffer
	require.NoError(t, report.JSON(&got, applied()))
	var d report.Document
	require.NoError(t, json.Unmarshal(got.Bytes(), &d))
	require.Equal(t, report.DocumentTotals{
		DocumentCounts: report.DocumentCounts{Claims: 161, Rows: 170, InStep: 152, Waiting: 2, Create: 3, Update: 2, Delete: 3, Held: 5},
		Done:           2, Kept: 1, Refused: 1, Skipped: 1, NotApproved: 3,
	}, d.Totals)
	require.Len(t, d.Changes, 8)
	require.Len(t, d.Held, 5)
	require.Equal(t, "not approved", d.Changes[3].Status)
	require.Equal(t, []report.DocumentField{{"sync_owner", "prod/old-cluster", ""}, {"used_by", "/1.0/instances/legacy", ""}, {"sync_type", "instance", ""}}, d.Held[0].Change.Fields)
	require.Equal(t, 50, d.Held[1].Row.ID)
	require.Nil(t, d.Held[2].Row, "the place is free but contested")
}

// One change is one line, so that line tools can work on it.
func TestJSONLines(t *testing.T) {
	var got bytes.Buffer
	require.NoError(t, report.JSON(&got, dryRun()))
	found := 0
	for line := range strings.Lines(got.String()) {
		line = strings.TrimSuffix(strings.TrimSpace(line), ",")
		if strings.HasPrefix(line, `{"action":`) {
			require.True(t, json.Valid([]byte(line)))
			found++
		}
	}
	require.Equal(t, 8, found)
}
