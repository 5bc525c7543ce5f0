package report_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"allocsync/report"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// requireGolden compares with testdata/name; with -update it writes it.
func requireGolden(tb testing.TB, name string, got []byte) {
	tb.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(tb, os.MkdirAll("testdata", 0o755))
		require.NoError(tb, os.WriteFile(path, got, 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(tb, err)
	require.Equal(tb, string(want), string(got))
}

func TestReport(t *testing.T) {
	reports := map[string]report.Report{"dry-run": dryRun(), "applied": applied(), "in-step": inStep(), "empty": {}}
	extension := map[string]string{"table": "txt", "json": "json", "markdown": "md", "html": "html"}
	for name, r := range reports {
		for _, format := range report.Formats() {
			t.Run(name+"/"+format, func(t *testing.T) {
				var got bytes.Buffer
				require.NoError(t, report.Write(&got, format, r, report.Options{}))
				requireGolden(t, name+"."+extension[format], got.Bytes())
			})
		}
	}
}

func TestWriteUnknownFormat(t *testing.T) {
	err := report.Write(nil, "yaml", report.Report{}, report.Options{})
	require.EqualError(t, err, `format "yaml": want table, json, markdown or html`)
	err = report.Allocations(nil, "html", nil, report.Options{})
	require.EqualError(t, err, `format "html": want table, csv, json or markdown`)
}
