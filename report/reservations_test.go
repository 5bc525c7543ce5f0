package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"allocsync/ipam"
	"allocsync/report"
	"allocsync/sync/apply"
	"allocsync/sync/plan"

	"github.com/stretchr/testify/require"
)

// atSource is a reservation as package reserve gives it to the planner: numbered
// from 1, which is no number of a row.
func atSource(number int, owner, cidr, user string, mac ipam.MAC) ipam.Stored {
	r := record(owner, "", ipam.Address, cidr, user, "reservation")
	r.Attrs.MAC = mac
	return ipam.Stored{ID: number, Record: r}
}

const (
	node = "/MAAS/api/2.0/machines/xk3f9q/"
	macA = ipam.MAC("52:54:00:00:00:0a")
	macB = ipam.MAC("52:54:00:00:00:0b")
)

// backPlan has one of every line of the truth table of package reserve that
// leaves something to say, and one of every reason.
func backPlan() *plan.Plan {
	asked := func(owner, cidr, user string, mac ipam.MAC) plan.Change {
		return plan.Change{Action: plan.Create, Reason: plan.AskedFor, Owner: owner, After: atSource(0, owner, cidr, user, mac).Record}
	}
	given := func(number int, reason plan.Reason, owner, cidr, user string, mac ipam.MAC) plan.Change {
		return plan.Change{Action: plan.Delete, Reason: reason, Owner: owner, Before: atSource(number, owner, cidr, user, mac)}
	}
	handed := plan.Change{Action: plan.Update, Reason: plan.AskedOtherwise, Owner: maas,
		Before: atSource(90003, maas, "10.7.0.41/24", node, ""), After: atSource(0, maas, "10.7.0.41/24", string(macB), macB).Record}
	moved := plan.Change{Action: plan.Update, Reason: plan.AskedElsewhere, Owner: maas,
		Before: atSource(90001, maas, "10.7.0.30/24", node, macA), After: atSource(0, maas, "10.7.0.31/24", node, macA).Record}
	held := func(reason plan.Reason, c plan.Change, note string) plan.Held {
		return plan.Held{Reason: reason, Change: c, Row: c.Before, Note: note}
	}
	return &plan.Plan{
		Sources: []plan.Summary{
			{Owner: lxd},
			{Owner: maas, Claims: 12, Rows: 6, InStep: 4, Create: 2, Update: 2, Delete: 1, Held: 7},
			{Owner: kvm, Missing: []string{"host kvm-3: no route to host"}, Claims: 2, Rows: 2, InStep: 1, Create: 1, Held: 1},
			{Owner: "prod/edge", Missing: []string{"no answer"}, Claims: 1, Held: 1},
		},
		Changes: []plan.Change{
			asked(maas, "10.7.0.10/24", node, macB),
			asked(maas, "10.7.0.11/24", "nobody in particular", ""),
			asked(kvm, "192.168.122.60/24", string(macA), macA),
			moved,
			handed,
			given(90002, plan.NotAskedFor, maas, "10.7.0.40/24", string(macA), macA),
		},
		Held: []plan.Held{
			held(plan.Impossible, asked(maas, "10.7.0.200/24", string(macB), macB), "inside the dynamic range 10.7.0.100-10.7.0.250: the source refuses"),
			held(plan.Taken, asked(maas, "10.7.0.50/24", string(macB), macB), "held for /MAAS/api/2.0/machines/cc22dd/"),
			held(plan.TriedBefore, asked(maas, "10.7.0.51/24", "web-9.example.org", ""), "no interface with this MAC"),
			held(plan.InUse, given(90004, plan.NotAskedFor, maas, "10.7.0.42/24", node, macB), "web-1 runs"),
			held(plan.Contested, asked(maas, "10.7.0.52/24", node, ""), "kept for /1.0/instances/web-2 of prod/maas"),
			held(plan.OtherOwner, asked(maas, "10.7.0.53/24", node, ""), lxd),
			held(plan.NotAllowed, moved, "policy of prod/maas does not allow update"),
			held(plan.Incomplete, given(90005, plan.NotAskedFor, kvm, "192.168.122.61/24", "qemu:///system?domain=ci-runner-3", macB), "host kvm-3: no route to host"),
			held(plan.NoLedger, asked("prod/edge", "10.9.0.1/24", "", ""), "no state folder is named; set serve.state_dir"),
		},
	}
}

// reserving is the dry run with the way back.
func reserving() report.Report {
	r := dryRun()
	r.Plan.Reservations = backPlan()
	r.Plan.Sources[1].Held++
	r.Plan.Held = append(r.Plan.Held, plan.Held{Reason: plan.Releasing, Change: plan.Change{Action: plan.Create, Reason: plan.New, Owner: maas,
		After: record(maas, "", ipam.Address, "10.7.0.40/24", "/MAAS/api/2.0/ipaddresses/?ip=10.7.0.40", "reservation")}})
	return r
}

// reserved is it carried out: two rows were filled in on the way.
func reserved() report.Report {
	r := applied()
	r.Plan.Reservations = backPlan()
	r.Exceeded = nil
	for i, o := range []apply.Outcome{
		{Status: apply.Done, ID: 310},
		{Status: apply.Refused, ID: 311, Detail: "10.7.0.11 is in a subnet of which MAAS keeps all addresses: the source refuses"},
		{Status: apply.Done, ID: 360},
		{Status: apply.Failed, Detail: "POST /MAAS/api/2.0/ipaddresses/: timed out"},
		{Status: apply.Skipped, Detail: "released, and not reserved anew; the next pass does"},
		{Status: apply.Done},
	} {
		o.Change = r.Plan.Reservations.Changes[i]
		r.Result.Reservations = append(r.Result.Reservations, o)
	}
	row := ipam.Stored{ID: 310, LastUpdated: then, ReserveAt: maas, Record: record("", "", ipam.Address, "10.7.0.10/24", "", "")}
	filled := plan.Filled(maas, row, ipam.Attrs{UsedBy: "/MAAS/api/2.0/machines/xk3f9q/?link=3", Type: "fixed", MAC: macB})
	at := slices.IndexFunc(r.Result.Outcomes, func(o apply.Outcome) bool { return o.Change.Action == plan.Update })
	r.Result.Outcomes = slices.Insert(r.Result.Outcomes, at, apply.Outcome{Change: filled, Status: apply.Done, ID: 310})
	return r
}

// onlyReservations is a dry run in which nothing is to be done in NetBox.
func onlyReservations() report.Report {
	r := inStep()
	r.DryRun, r.Digest = true, "c0ffee00c0ffee00"
	back := backPlan()
	r.Plan.Reservations = &plan.Plan{Sources: []plan.Summary{{Owner: lxd, Claims: 1, Create: 1}}, Changes: back.Changes[:1]}
	r.Plan.Reservations.Changes[0].Owner, r.Plan.Reservations.Changes[0].After.Owner = lxd, lxd
	return r
}

// noReservations is a pass of a source that is asked for none.
func noReservations() report.Report {
	r := inStep()
	r.Plan.Reservations = &plan.Plan{Sources: []plan.Summary{{Owner: lxd}}}
	return r
}

func TestReservations(t *testing.T) {
	reports := map[string]report.Report{"reserving": reserving(), "reserved": reserved(), "only-reservations": onlyReservations(), "no-reservations": noReservations()}
	extension := map[string]string{"table": "txt", "json": "json", "markdown": "md", "html": "html"}
	for name, r := range reports {
		for _, format := range report.Formats() {
			t.Run(name+"/"+format, func(t *testing.T) {
				requireGolden(t, name+"."+extension[format], []byte(written(t, format, r, 0)))
			})
		}
	}
	requireGolden(t, "reserved-60.txt", []byte(written(t, report.FormatTable, reserved(), 60)))
}

func written(tb testing.TB, format string, r report.Report, width int) string {
	tb.Helper()
	var got bytes.Buffer
	require.NoError(tb, report.Write(&got, format, r, report.Options{Width: width}))
	return got.String()
}

// The numbers by which the planner knows reservations are nobody's business.
func TestReservationsHaveNoNumbers(t *testing.T) {
	for _, r := range []report.Report{reserving(), reserved()} {
		for _, format := range report.Formats() {
			require.NotContains(t, written(t, format, r, 400), "9000", format)
		}
		undone, _ := report.UndoneReservations(r, 100)
		held, _ := report.HeldReservations(r, 100)
		text, err := json.Marshal([]any{undone, held})
		require.NoError(t, err)
		require.NotContains(t, string(text), "9000")
		lines, _ := report.Lines(r.Plan, 100)
		require.NotContains(t, strings.Join(lines, "\n"), "9000")
	}
}

// Each format says all of it: what, where, for whom, why, and what to do.
func TestReservationsAreNamed(t *testing.T) {
	for _, format := range report.Formats() {
		text := written(t, format, reserving(), 500)
		for _, want := range []string{
			"10.7.0.10/24", "10.7.0.31/24", "10.7.0.30/24", node, string(macB), "nobody in particular",
			"asked for in NetBox", "asked for at another address in NetBox", "asked for otherwise in NetBox", "no longer asked for in NetBox",
			"taken at the source by somebody else", "inside the dynamic range", "web-1 runs", "refused before, and nothing has changed since",
			"what others reserved is never released", "save the row in NetBox", "its reservation is being released", "no state folder is named",
			"reservations: 3 to reserve, 2 to change, 1 to release, 9 held, 5 in step",
		} {
			require.True(t, strings.Contains(text, want) || strings.Contains(strings.ReplaceAll(text, "<b>", ""), want), "%s lacks %q", format, want)
		}
		text = written(t, format, reserved(), 500)
		for _, want := range []string{"2 reserved, 0 changed, 1 released, 1 refused, 1 failed, 1 skipped, 9 held, 5 in step", "MAAS keeps all addresses", "timed out", "310"} {
			require.True(t, strings.Contains(text, want), "%s lacks %q", format, want)
		}
	}
}

// Every reason for which a reservation is held has a word on what to do.
func TestReservationAdvice(t *testing.T) {
	held, more := report.HeldReservations(reserving(), 100)
	require.Zero(t, more)
	require.Len(t, held, 9)
	seen := map[string]bool{}
	for _, h := range held {
		require.NotEmpty(t, h.Advice, h.Reason)
		require.False(t, seen[h.Advice], h.Reason)
		seen[h.Advice] = true
	}
	rows, _ := report.Held(reserving(), 100)
	require.Contains(t, rows[len(rows)-1].Advice, "the next pass makes the row")
}

// A word says in which direction something would change.
func TestReservationHeadline(t *testing.T) {
	headline := func(r report.Report) string {
		first, _, _ := strings.Cut(written(t, report.FormatTable, r, 200), "\n")
		_, text, _ := strings.Cut(first, ": ")
		return text
	}
	back := func(change func(*report.Report)) report.Report {
		r := onlyReservations()
		change(&r)
		return r
	}
	result := func(s apply.Status) func(*report.Report) {
		return func(r *report.Report) {
			r.DryRun, r.Result = false, &apply.Result{Reservations: []apply.Outcome{{Change: r.Plan.Reservations.Changes[0], Status: s}}}
		}
	}
	require.Equal(t, "Would change reservations", headline(onlyReservations()))
	require.Equal(t, "Applied", headline(back(result(apply.Done))))
	require.Equal(t, "Partly applied", headline(back(result(apply.Refused))))
	require.Equal(t, "Partly applied", headline(back(func(r *report.Report) { r.DryRun = false })))
	require.Equal(t, "In step", headline(noReservations()))
	require.Equal(t, "Nothing to write", headline(back(func(r *report.Report) {
		r.Plan.Reservations = &plan.Plan{Held: backPlan().Held[:1], Sources: []plan.Summary{{Owner: maas, Claims: 1, Held: 1}}}
	})))
	both := reserving()
	both.Exceeded = nil
	require.Equal(t, "Would change NetBox and reservations", headline(both))
	both.Plan.Changes, both.Plan.Sources = nil, inStep().Plan.Sources
	require.Equal(t, "Would change reservations", headline(both))
}

// A plan is approved whole: the digest and the command are there where only
// reservations would change, and gone once one was.
func TestReservationApproval(t *testing.T) {
	r := onlyReservations()
	require.Contains(t, written(t, report.FormatTable, r, 0), "allocsync sync --approve c0ffee00c0ffee00")
	r.Exceeded = []report.Exceeded{{Owner: lxd, Text: "NetBox asks for nothing there any more, and all of its 4 reservations would be removed"}}
	r.Plan.Reservations.Sources[0] = plan.Summary{Owner: lxd, Rows: 4, Delete: 4}
	r.Plan.Reservations.Changes = []plan.Change{{Action: plan.Delete, Reason: plan.NotAskedFor, Owner: lxd, Before: atSource(90001, lxd, "10.7.0.1/24", node, macA)}}
	text := written(t, report.FormatTable, r, 400)
	for _, want := range []string{"Needs a person", "all of its 4 reservations would be removed", "look at the field reserve_at of its rows", "limits or not", "(not before a person approves)"} {
		require.Contains(t, text, want)
	}
	require.NotContains(t, text, "credentials, projects and filters", "the source lists enough")

	r.DryRun, r.Result = false, &apply.Result{}
	text = written(t, report.FormatTable, r, 400)
	require.Contains(t, text, "nothing was written")
	require.Contains(t, text, "--approve")
	r.Result.Reservations = []apply.Outcome{{Change: r.Plan.Reservations.Changes[0], Status: apply.Done}}
	text = written(t, report.FormatTable, r, 400)
	require.NotContains(t, text, "nothing was written")
	require.NotContains(t, text, "--approve")
}

// Half an answer, or none, is said of both directions where there are two.
func TestReservationsOfHalfAnAnswer(t *testing.T) {
	text := written(t, report.FormatTable, reserving(), 400)
	require.Contains(t, text, "Nothing of this source is deleted in this pass. Nothing is released there.")
	require.Contains(t, text, "created, updated or deleted in this pass. Nothing is reserved there, and nothing released.")
	r := dryRun()
	r.Plan.Reservations = &plan.Plan{Sources: []plan.Summary{{Owner: kvm}}}
	require.NotContains(t, written(t, report.FormatTable, r, 400), "released there", "it takes none")
}

// A row that was filled in stands between the others in the result, and none of
// those is taken for not approved because of it.
func TestFilledInBetween(t *testing.T) {
	r := reserved()
	var d, before report.Document
	require.NoError(t, json.Unmarshal([]byte(written(t, report.FormatJSON, r, 0)), &d))
	require.NoError(t, json.Unmarshal([]byte(written(t, report.FormatJSON, applied(), 0)), &before))
	require.Len(t, d.Changes, len(before.Changes)+1)
	for i := range before.Changes {
		require.Equal(t, before.Changes[i], d.Changes[i])
	}
	require.Equal(t, "reservation is in use", d.Changes[len(before.Changes)].Reason)
	require.Equal(t, before.Totals.Done+1, d.Totals.Done)
	require.Equal(t, before.Totals.NotApproved, d.Totals.NotApproved)
}

func TestReservationLines(t *testing.T) {
	p := reserving().Plan
	lines, more := report.Lines(p, 100)
	require.Zero(t, more)
	require.Len(t, lines, len(p.Changes)+len(p.Reservations.Changes))
	require.Equal(t, "reserve 10.7.0.10/24 for "+node+", 52:54:00:00:00:0b at prod/maas: asked for in NetBox", lines[0])
	require.Equal(t, "reserve 192.168.122.60/24 for 52:54:00:00:00:0a at prod/libvirt: asked for in NetBox", lines[2])
	require.Equal(t, "change 10.7.0.31/24 for "+node+", 52:54:00:00:00:0a at prod/maas, from 10.7.0.30/24: asked for at another address in NetBox", lines[3])
	require.Equal(t, "change 10.7.0.41/24 for 52:54:00:00:00:0b at prod/maas, from 10.7.0.41/24 for "+node+": asked for otherwise in NetBox", lines[4])
	require.Equal(t, "release 10.7.0.40/24 for 52:54:00:00:00:0a at prod/maas: no longer asked for in NetBox", lines[5])
	require.Equal(t, p.Changes[0].String(), lines[len(p.Reservations.Changes)])
	for _, max := range []int{0, 4, 6, 8} {
		lines, more = report.Lines(p, max)
		require.Len(t, lines, max)
		require.Equal(t, len(p.Changes)+len(p.Reservations.Changes)-max, more)
	}
	lines, more = report.Lines(dryRun().Plan, 100)
	require.Len(t, lines, 8)
	require.Zero(t, more)
}

func TestUndoneReservations(t *testing.T) {
	list, more := report.UndoneReservations(reserved(), 2)
	require.Equal(t, 1, more)
	require.Equal(t, []string{"reserve refused", "change failed"}, []string{list[0].Action + " " + list[0].Status, list[1].Action + " " + list[1].Status})
	require.Equal(t, 311, list[0].ID, "the row of NetBox that asks")
	require.Equal(t, "10.7.0.30/24", list[1].Was)
	held, more := report.HeldReservations(reserved(), 3)
	require.Len(t, held, 3)
	require.Equal(t, 6, more)
	list, more = report.UndoneReservations(applied(), 9)
	require.Empty(t, list)
	require.Zero(t, more)
}

// Where no source holds addresses nothing of all this is said, and where one
// does and there is nothing to say it is one line.
func TestNoReservations(t *testing.T) {
	for _, format := range report.Formats() {
		without, with := written(t, format, inStep(), 0), written(t, format, noReservations(), 0)
		require.NotContains(t, without, "eservations", format)
		if format == report.FormatTable || format == report.FormatMarkdown {
			require.Equal(t, strings.Count(without, "\n")+2, strings.Count(with, "\n"), "a line, and the one that sets it apart")
		}
		require.Contains(t, with, map[bool]string{true: `"asked":0`, false: "Reservations: none are asked for"}[format == report.FormatJSON], format)
	}
}

// What was done without having been planned is not lost here either.
func TestStrayReservation(t *testing.T) {
	r := reserved()
	stray := r.Result.Reservations[0]
	stray.Change.After.Attrs.UsedBy = "/stray/"
	r.Result.Reservations = append([]apply.Outcome{stray}, r.Result.Reservations...)
	text := written(t, report.FormatTable, r, 500)
	require.Contains(t, text, "/stray/")
	require.Contains(t, text, "3 reserved, 0 changed, 1 released")
	require.NotContains(t, text, fmt.Sprint("prod/maas: reserve 1, ", plan.NotAskedFor))
	r.Result.Err = errors.New("write the ledger of reservations: disk full")
	require.Contains(t, written(t, report.FormatTable, r, 500), "disk full")
}
