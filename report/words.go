package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"allocsync/ipam"
	"allocsync/sync/apply"
	"allocsync/sync/plan"
)

// verdict is the report in one sentence.
func (v *view) verdict() string {
	text := strings.Join(v.sums(), ", ")
	if v.Back != nil && len(v.Back.Shares) > 0 {
		text += "; reservations: " + strings.Join(v.Back.sums(), ", ")
	}
	return text
}

// sums counts one direction in words.
func (v *view) sums() []string {
	t := v.Total
	var parts []string
	for _, a := range []plan.Action{plan.Create, plan.Update, plan.Delete} {
		if v.DryRun {
			parts = append(parts, number(t.of(a))+" to "+v.deed(a))
		} else {
			parts = append(parts, number(t.By[a][apply.Done.String()])+" "+v.deed(a)+"d") // each of them ends in an e
		}
	}
	if !v.DryRun {
		for _, status := range unfinished() {
			if n := t.count(status); n > 0 {
				parts = append(parts, number(n)+" "+status)
			}
		}
	}
	parts = append(parts, number(t.Held)+" held")
	if t.Waiting > 0 {
		parts = append(parts, number(t.Waiting)+" waiting")
	}
	return append(parts, number(t.InStep)+" in step")
}

// unfinished lists the states of a change that was not carried out.
func unfinished() []string {
	return []string{apply.Kept.String(), apply.Refused.String(), apply.Failed.String(), apply.Skipped.String(), notApproved}
}

// headline says in a few words how the pass stands, in both directions.
func (v *view) headline() string {
	left, done, held, reservations := v.Total.left(), v.Total.count(apply.Done.String()), v.Total.Held, 0
	if v.Back != nil {
		left, done, held = left+v.Back.Total.left(), done+v.Back.Total.count(apply.Done.String()), held+v.Back.Total.Held
		reservations = v.Back.Total.planned()
	}
	switch changes := v.Total.planned(); {
	case len(v.Exceeded) > 0:
		return "Needs a person"
	case v.DryRun && changes > 0 && reservations > 0:
		return "Would change NetBox and reservations"
	case v.DryRun && changes > 0:
		return "Would change NetBox"
	case v.DryRun && reservations > 0:
		return "Would change reservations"
	case left > 0 || v.Result != nil && v.Result.Err != nil:
		return "Partly applied"
	case done > 0:
		return "Applied"
	case len(v.notes()) > 0 || held > 0:
		return "Nothing to write"
	}
	return "In step"
}

// left is how many changes were to be made and were not.
func (t totals) left() int {
	n := 0
	for _, status := range unfinished() {
		n += t.count(status)
	}
	return n
}

// mode says whether anything was written, to NetBox or to a source.
func (v *view) mode() string {
	switch {
	case v.DryRun:
		return "dry run: nothing was written"
	case v.Result == nil || v.Result.Len() == 0:
		return "nothing was written"
	}
	return "applied"
}

// approval is the command that carries the plan out as it is listed, "" where
// there is nothing to approve or the plan is no longer this one. It is made to
// be pasted into a shell, so it holds nothing but a digest.
func (v *view) approval() string {
	if v.Digest == "" || strings.Trim(v.Digest, "0123456789abcdefABCDEF") != "" || v.Plan.Empty() || v.Result != nil && v.Result.Len() > 0 {
		return ""
	}
	if !v.DryRun && len(v.Exceeded) == 0 {
		return ""
	}
	command := "allocsync sync"
	for _, name := range v.Only {
		command += " --source " + name
	}
	return command + " --approve " + v.Digest
}

// approvalText says what approval is for.
func (v *view) approvalText() string {
	if len(v.Exceeded) > 0 {
		return "Once every change below is as it should be, carry out exactly this plan, limits or not:"
	}
	return "To carry out exactly this plan:"
}

// note is something that a person should know before reading on.
type note struct {
	Owner  string
	Title  string // in few words
	Text   string // foreign
	Advice string // what follows from it, or what to do
	Severe bool
}

// notes lists what stands in front of a report: what was not read, not
// approved, not tried.
func (v *view) notes() []note {
	var notes []note
	if v.Result != nil && v.Result.Err != nil {
		notes = append(notes, note{Title: "stopped early", Text: v.Result.Err.Error(), Severe: true,
			Advice: "What was not tried is listed as skipped; the next pass takes it up again."})
	}
	for _, s := range v.Shares {
		for _, text := range s.Over {
			advice := v.overAdvice()
			if s.empty() {
				advice += " " + emptyAdvice
			}
			if v.Back.unasked(s.Owner) {
				advice += " " + unaskedAdvice
			}
			notes = append(notes, note{Owner: s.Owner, Title: "over its limit", Text: text, Advice: advice, Severe: true})
		}
	}
	for _, s := range v.Shares {
		for _, text := range s.Unreachable {
			notes = append(notes, note{Owner: s.Owner, Title: "did not answer", Text: text, Severe: true,
				Advice: "Nothing of this source is created, updated or deleted in this pass." + v.Back.also(s.Owner, "Nothing is reserved there, and nothing released.")})
		}
		if len(s.Unreachable) > 0 {
			continue // that nothing was read is said
		}
		for _, text := range s.Missing {
			notes = append(notes, note{Owner: s.Owner, Title: "incomplete", Text: "Missing: " + text, Severe: true,
				Advice: "Nothing of this source is deleted in this pass." + v.Back.also(s.Owner, "Nothing is released there.")})
		}
	}
	for _, s := range v.Shares {
		if s.empty() && len(s.Over) == 0 {
			notes = append(notes, s.emptied())
		}
	}
	for _, p := range v.Other {
		notes = append(notes, note{Title: "problem", Text: p.Text})
	}
	for _, s := range v.Shares {
		for _, text := range s.Problems {
			notes = append(notes, note{Owner: s.Owner, Title: "problem", Text: text})
		}
	}
	return notes
}

func (v *view) overAdvice() string {
	if v.approval() != "" {
		return "None of its changes is made before a person approves the plan."
	}
	return "None of its changes was made. A new dry run (allocsync sync --dry-run) gives the digest to approve."
}

// empty reports whether the source answered in full and lists nothing: the one
// answer that looks like everything being gone, and mostly is a mistake.
func (s *share) empty() bool { return s.Configured && s.Claims == 0 && s.Complete() }

const emptyAdvice = "If the source should list something, look at its credentials, projects and filters."

// emptied says what follows from an empty answer.
func (s *share) emptied() note {
	n := note{Owner: s.Owner, Title: "empty answer", Advice: emptyAdvice}
	switch {
	case s.Rows == 0:
		n.Text = "The source lists nothing, and NetBox holds nothing for it."
	case s.Delete+s.Marked == 0:
		n.Text = "The source lists nothing any more. It deletes nothing: its " + rows(s.Rows) + " stay."
	default:
		n.Text = fmt.Sprintf("The source lists nothing any more. Of its %s %s to be deleted, %s to be marked as gone.",
			rows(s.Rows), number(s.Delete), number(s.Marked))
	}
	return n
}

// Complete reports whether the source answered in full.
func (s *share) Complete() bool { return len(s.Missing) == 0 && len(s.Unreachable) == 0 }

// answer is how the source answered, in a word.
func (s *share) answer() string {
	switch {
	case !s.Configured:
		return "not configured"
	case len(s.Unreachable) > 0:
		return "none"
	case len(s.Missing) > 0:
		return "incomplete"
	case len(s.Over) > 0:
		return "over limit"
	case s.Claims == 0:
		return "empty"
	}
	return "complete"
}

// urgency orders the reasons for which something is held.
func urgency(r plan.Reason) int {
	order := []plan.Reason{plan.Unmanaged, plan.Taken, plan.OtherOwner, plan.UnknownOwner, plan.Contested, plan.NoLedger, plan.Impossible, plan.TriedBefore,
		plan.Incomplete, plan.NotAllowed, plan.InUse, plan.Releasing}
	if i := slices.Index(order, r); i >= 0 {
		return i
	}
	return len(order)
}

// usual orders the reasons for which something is done.
func usual(r plan.Reason) int {
	order := []plan.Reason{plan.New, plan.Changed, plan.Renumbered, plan.Handover, plan.Revived, plan.Reserved, plan.NowGone, plan.GoneLong, plan.Duplicate,
		plan.AskedFor, plan.AskedElsewhere, plan.AskedOtherwise, plan.NotAskedFor}
	if i := slices.Index(order, r); i >= 0 {
		return i
	}
	return len(order)
}

// advice is what a person can do about something held, "" for a reason that
// is not known here. The owner is given as the format writes it.
func advice(r plan.Reason, owner string) string {
	switch r {
	case plan.Unmanaged:
		return "Somebody else keeps this row. Leave it, or delete it in NetBox, or give it to the source: set its sync_owner to " + owner + "."
	case plan.OtherOwner:
		return "The row is kept by another source or another installation. Settle with it who uses the address; a source of this installation hands the row over once it answers in full. Only if the other is gone for good, set the row's sync_owner to " + owner + "."
	case plan.UnknownOwner:
		return "Put the source " + owner + " back into the configuration. If it is gone for good, delete its rows in NetBox, or clear their sync_owner to keep them as your own."
	case plan.Contested:
		return "Two users claim one address. Free it at one of them, or put their networks into different VRFs by a mapping rule. Between two sources the first in the configuration wins a free address."
	case plan.Incomplete:
		return "What is not listed may have moved to the part that was not read. Make that part readable: the next complete answer decides."
	case plan.NotAllowed:
		return "The policy of " + owner + " keeps this from being done. Allow it in the configuration, or do it by hand in NetBox."
	case plan.Releasing:
		return "Nothing has to be done: the source gives this address up before NetBox is written. If it lists it all the same, the next pass makes the row."
	}
	return ""
}

// where is the address as a person reads it, with what it is and its VRF.
func where(r ipam.Record) string {
	var about []string
	if r.Place.Kind == ipam.Prefix {
		about = append(about, "prefix")
	}
	if r.Place.VRF != "" {
		about = append(about, "VRF "+plain(r.Place.VRF))
	}
	if len(about) == 0 {
		return r.CIDR().String()
	}
	return r.CIDR().String() + " (" + strings.Join(about, ", ") + ")"
}

// shown is a field's value as reports show it: an empty one is a dash.
func shown(value string) string {
	if value == "" {
		return "–"
	}
	return plain(value)
}

// listed joins fields in one line: "status active, hwaddr 00:16:…".
func listed(fields []ipam.Field) string {
	parts := make([]string, len(fields))
	for i, f := range fields {
		parts[i] = f.Name + " " + plain(f.Old+f.New) // one of them is empty
	}
	return strings.Join(parts, ", ")
}

// result is what became of a change, with the row's number and NetBox's words.
func (e entry) result() string {
	text := e.Status
	if id := e.ID(); id != 0 {
		text += " #" + strconv.Itoa(id)
	}
	if d := e.Detail(); d != "" {
		text += ": " + plain(d)
	}
	return text
}

// number groups thousands: 12,345.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func rows(n int) string {
	if n == 1 {
		return "1 row"
	}
	return number(n) + " rows"
}

// took rounds a duration to what a person cares for.
func took(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// moment writes a time in UTC; "" for the zero time.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}
