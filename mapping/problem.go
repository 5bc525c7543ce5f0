package mapping

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"allocsync/ipam"
)

// Problem is an allocation that should be in NetBox and cannot be, or several of
// which the same is to be said.
//
// Nothing is claimed for it, so a planner would take its row to be gone: the
// caller has to treat the owner as one that did not answer in full.
type Problem struct {
	Owner      string
	Allocation ipam.Allocation // the first of them
	More       int             // how many there are besides
	Text       string          // what is wrong, and which rule asked for it
}

func (p Problem) compare(q Problem) int {
	return cmp.Or(strings.Compare(p.Owner, q.Owner), p.Allocation.Compare(q.Allocation), strings.Compare(p.Text, q.Text))
}

// String says what the problem is and whose: one of the allocations, and how
// many more there are.
func (p Problem) String() string {
	what := p.Allocation.Prefix.String() + " of " + string(p.Allocation.UsedBy)
	if p.More > 0 {
		what += fmt.Sprintf(" and %d more", p.More)
	}
	return what + ": " + p.Text
}

// gather makes one problem of those that say the same of one owner, and sorts
// them. A project that NetBox does not know yet may have thousands of addresses.
func gather(problems []Problem) []Problem {
	slices.SortFunc(problems, func(a, b Problem) int {
		if c := strings.Compare(a.Owner, b.Owner); c != 0 {
			return c
		}
		if c := strings.Compare(a.Text, b.Text); c != 0 {
			return c
		}
		return a.Allocation.Compare(b.Allocation)
	})
	var out []Problem
	for _, p := range problems {
		last := len(out) - 1
		if last >= 0 && out[last].Owner == p.Owner && out[last].Text == p.Text {
			out[last].More++
			continue
		}
		out = append(out, p)
	}
	slices.SortFunc(out, Problem.compare)
	return out
}
