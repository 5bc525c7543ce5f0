package reserve_test

import (
	"allocsync/sync/apply"
	"allocsync/sync/reserve"
)

// outcomes are those of a source that refuses every change of p.
func outcomes(p reserve.Proposal, words string) []apply.Outcome {
	var list []apply.Outcome
	for _, c := range p.Plan.Changes {
		list = append(list, apply.Outcome{Change: c, Status: apply.Refused, Detail: words})
	}
	return list
}
