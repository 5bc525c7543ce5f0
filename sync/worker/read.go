package worker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"allocsync/ipam"
	"allocsync/mapping"
	"allocsync/sync/plan"
)

// maxReading is how many sources are read at the same time.
const maxReading = 8

// read asks every source, several at a time. One that fails has its error in
// its Reading; the order is that of asked.
func (p *Pass) read(ctx context.Context, asked []Source) []Reading {
	readings := make([]Reading, len(asked))
	var group errgroup.Group
	group.SetLimit(maxReading)
	for i, s := range asked {
		group.Go(func() error {
			p.phase("reading "+s.Name, nil)
			begin := time.Now()
			answer, err := survey(ctx, s)
			readings[i] = Reading{
				Source: s, Snapshot: answer.Snapshot, Held: answer.Held, Desk: answer.Desk, Err: err, Took: time.Since(begin),
			}
			if ctx.Err() == nil { // else nobody waits for it any more
				p.phaseOf(readings[i])
			}
			return nil
		})
	}
	_ = group.Wait() // no function returns an error
	return readings
}

func (p *Pass) phaseOf(r Reading) {
	switch {
	case r.Err != nil:
		p.phase(r.Source.Name+": no answer", r.Err)
	case !r.Snapshot.Complete():
		for _, text := range r.Missing() {
			p.phase(fmt.Sprintf("%s: %d allocations, but %s", r.Source.Name, len(r.Snapshot.Allocations), text), nil)
		}
	default:
		p.phase(fmt.Sprintf("%s: %d allocations", r.Source.Name, len(r.Snapshot.Allocations)), nil)
	}
}

func inputs(readings []Reading) []mapping.Input {
	in := make([]mapping.Input, len(readings))
	for i, r := range readings {
		in[i] = mapping.Input{Owner: r.Source.Owner, Source: r.Source.Name, Allocations: r.Snapshot.Allocations}
	}
	return in
}

// answersOf is how the planner sees the readings. An allocation that could not
// be mapped makes its source incomplete: its row must not be taken to be gone.
func answersOf(readings []Reading, problems []mapping.Problem) []plan.Source {
	answers := make([]plan.Source, len(readings))
	for i, r := range readings {
		answers[i] = plan.Source{Owner: r.Source.Owner, Missing: r.Missing(), Allow: r.Source.Allow, Gone: r.Source.Gone}
		for _, problem := range problems {
			if problem.Owner == r.Source.Owner {
				answers[i].Missing = append(answers[i].Missing, problem.String())
			}
		}
	}
	return answers
}

// unasked lists the other configured sources as ones that did not answer, so
// that their rows are known for what they are and left alone.
func (p *Pass) unasked(answers []plan.Source) []plan.Source {
	var others []plan.Source
	for _, s := range p.Sources {
		if !slices.ContainsFunc(answers, func(a plan.Source) bool { return a.Owner == s.Owner }) {
			others = append(others, plan.Source{Owner: s.Owner, Missing: []string{"not asked in this run"}})
		}
	}
	return others
}

func owners(answers []plan.Source) []string {
	names := make([]string, len(answers))
	for i, a := range answers {
		names[i] = a.Owner
	}
	return names
}

func prefixesOfIncomplete(answers []plan.Source, owned []ipam.Stored) []ipam.Place {
	incomplete := set{}
	for _, a := range answers {
		if !a.Complete() {
			incomplete.add(a.Owner)
		}
	}
	var known []ipam.Place
	for i := range owned {
		if _, ok := incomplete[owned[i].Owner]; ok && owned[i].Place.Kind == ipam.Prefix {
			known = append(known, owned[i].Place)
		}
	}
	return known
}

// unheld returns the claimed places at which no own row stands.
func unheld(claims []ipam.Claim, owned []ipam.Stored) []ipam.Place {
	held := make(map[ipam.Place]struct{}, len(owned))
	for i := range owned {
		held[owned[i].Place] = struct{}{}
	}
	var places []ipam.Place
	for i := range claims {
		if _, ok := held[claims[i].Place]; !ok {
			places = append(places, claims[i].Place)
		}
	}
	return places
}

// merge puts the rows together, each once: a row may have been made by this
// source between the two readings.
func merge(owned, others []ipam.Stored) []ipam.Stored {
	type key struct {
		kind ipam.Kind
		id   int
	}
	if len(others) == 0 {
		return owned
	}
	seen := make(map[key]struct{}, len(owned))
	for i := range owned {
		seen[key{owned[i].Place.Kind, owned[i].ID}] = struct{}{}
	}
	for _, row := range others {
		k := key{row.Place.Kind, row.ID}
		if _, ok := seen[k]; !ok {
			seen[k] = struct{}{}
			owned = append(owned, row)
		}
	}
	return owned
}

// set is a set of names.
type set map[string]struct{}

func (s set) add(name string) {
	if name != "" {
		s[name] = struct{}{}
	}
}

func (s set) sorted() []string {
	names := make([]string, 0, len(s))
	for name := range s {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
