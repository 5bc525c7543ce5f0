package report_test

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"allocsync/ipam"
	"allocsync/report"
	"allocsync/sync/plan"

	"github.com/stretchr/testify/require"
)

func TestTableWidths(t *testing.T) {
	for _, width := range []int{40, 60, 80, 100, 132, 200} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			var got bytes.Buffer
			require.NoError(t, report.Table(&got, applied(), report.Options{Width: width}))
			for line := range strings.Lines(got.String()) {
				require.LessOrEqual(t, len([]rune(strings.TrimSuffix(line, "\n"))), width, line)
			}
			requireGolden(t, fmt.Sprintf("applied-%d.txt", width), got.Bytes())
		})
	}
}

func TestTableColor(t *testing.T) {
	var bare, colored bytes.Buffer
	require.NoError(t, report.Table(&bare, dryRun(), report.Options{}))
	require.NoError(t, report.Table(&colored, dryRun(), report.Options{Color: true}))
	require.Contains(t, colored.String(), "\x1b[32m10.1.2.30/24\x1b[0m")
	stripped := regexp.MustCompile(`\x1b\[\d+m`).ReplaceAllString(colored.String(), "")
	require.Equal(t, bare.String(), stripped, "colours are all that differs")
}

// A long used_by is broken into lines, and every character of it is there.
func TestTableLongUser(t *testing.T) {
	long := "/1.0/instances/" + strings.Repeat("abcdefghi-", 800)
	r := dryRun()
	r.Plan.Changes = r.Plan.Changes[:2]
	r.Plan.Changes[1].After.Attrs.UsedBy = ipam.UsedBy(long)
	for _, width := range []int{40, 80, 120} {
		var got bytes.Buffer
		require.NoError(t, report.Table(&got, r, report.Options{Width: width}))
		for line := range strings.Lines(got.String()) {
			require.LessOrEqual(t, len([]rune(strings.TrimSuffix(line, "\n"))), max(width, 50), line)
		}
		require.GreaterOrEqual(t, strings.Count(got.String(), "a"), strings.Count(long, "a"))
	}
}

func TestTableWideLetters(t *testing.T) {
	r := inStep()
	r.Plan.Sources[0].Owner = "prod/東京"
	var got bytes.Buffer
	require.NoError(t, report.Table(&got, r, report.Options{}))
	require.Contains(t, got.String(), "| prod/東京 | complete |")
	require.Contains(t, got.String(), "|  SOURCE   |  ANSWER  |")
}

func TestDryRunNamesEverything(t *testing.T) {
	for _, format := range report.Formats() {
		var got bytes.Buffer
		require.NoError(t, report.Write(&got, format, dryRun(), report.Options{Width: 400}))
		text := strings.NewReplacer("<del>", "", "</del>", "", "<ins>", "", "</ins>", "").Replace(got.String())
		for _, want := range []string{
			"10.1.2.41/24", "10.1.2.40/24", "blue", "renumbered", // address, old and new, VRF, reason
			"/1.0/instances/old-1", "left over from the migration", // what a delete loses
			"10.1.2.50/24", "Printer, 2nd floor", "set its sync_owner to", // what is held, why, and what to do
			"allocsync sync --approve 9f2c1b7a4d3e8860",
			"host kvm-3: dial tcp", "i/o timeout", "all of its 4 rows would be removed", "{project} comes out empty",
		} {
			require.True(t, strings.Contains(text, want), "%s lacks %q", format, want)
		}
	}
}

func TestHeldComesFirst(t *testing.T) {
	for format, marks := range map[string][2]string{
		"table": {"HELD", "would create"}, "markdown": {"## Held", "would create"}, "html": {`id="held"`, `id="changes"`}, "json": {`"held": [`, `"changes": [`},
	} {
		var got bytes.Buffer
		require.NoError(t, report.Write(&got, format, dryRun(), report.Options{}))
		require.Less(t, strings.Index(got.String(), marks[0]), strings.Index(got.String(), marks[1]), format)
	}
}

func TestEmptyAnswer(t *testing.T) {
	summary := func(s plan.Summary) string {
		s.Owner = lxd
		var got bytes.Buffer
		require.NoError(t, report.Table(&got, report.Report{DryRun: true, Plan: plan.Plan{Sources: []plan.Summary{s}}}, report.Options{}))
		return got.String()
	}
	require.Contains(t, summary(plan.Summary{}), "The source lists nothing, and NetBox holds nothing for it.")
	require.Contains(t, summary(plan.Summary{Rows: 5, Held: 5}), "It deletes nothing: its 5 rows stay.")
	require.Contains(t, summary(plan.Summary{Rows: 1, Delete: 1}), "Of its 1 row 1 to be deleted, 0 to be marked as gone.")
	require.NotContains(t, summary(plan.Summary{Missing: []string{"all"}}), "lists nothing")
}

// What was approved and what was not is told apart although the outcomes are
// fewer than the changes; an outcome of no planned change is not lost.
func TestOutcomes(t *testing.T) {
	r := applied()
	stray := r.Result.Outcomes[0]
	stray.Change.After.Attrs.UsedBy, stray.ID = "/1.0/stray", 999
	r.Result.Outcomes = append(r.Result.Outcomes, stray)
	var got bytes.Buffer
	require.NoError(t, report.Table(&got, r, report.Options{Width: 400}))
	require.Contains(t, got.String(), "/1.0/stray")
	require.Contains(t, got.String(), "done #999")
	require.Equal(t, 5, strings.Count(got.String(), "not approved"), "three rows and the verdict, which is there twice")
}

func TestOldApprovalIsNotOffered(t *testing.T) {
	r := applied() // something was carried out: the digest is of another plan now
	var got bytes.Buffer
	require.NoError(t, report.Table(&got, r, report.Options{}))
	require.NotContains(t, got.String(), "--approve")
	require.Contains(t, got.String(), "allocsync sync --dry-run")

	r.Result = nil // nothing was
	got.Reset()
	require.NoError(t, report.Table(&got, r, report.Options{}))
	require.Contains(t, got.String(), "allocsync sync --approve 9f2c1b7a4d3e8860")

	r.Digest = "9f2c; rm -rf ~"
	got.Reset()
	require.NoError(t, report.Table(&got, r, report.Options{}))
	require.NotContains(t, got.String(), "--approve")
}

// The cost grows with the number of changes and not with its square, which
// would take minutes here.
func TestManyChanges(t *testing.T) {
	if testing.Short() {
		t.Skip("renders 20,000 changes")
	}
	r := many(20_000)
	for _, format := range report.Formats() {
		start := time.Now()
		require.NoError(t, report.Write(io.Discard, format, r, report.Options{}))
		t.Logf("%s: %v", format, time.Since(start))
		require.Less(t, time.Since(start), time.Minute)
	}
}

func BenchmarkReport(b *testing.B) {
	r := many(100_000)
	for _, format := range report.Formats() {
		b.Run(format, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := report.Write(io.Discard, format, r, report.Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
