package worker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"allocsync/ipam"
	"allocsync/netbox"
	"allocsync/sync/plan"
)

// maxMisdirected is how many misdirected rows are named.
const maxMisdirected = 20

// asking reads the rows that ask the sources of this pass for reservations, and
// in a pass of all sources those that mean to and name none: they would wait
// for ever, and nobody would know why.
func (p *Pass) asking(ctx context.Context, session *netbox.Session, answers []plan.Source) (asking, misdirected []ipam.Stored, err error) {
	if !p.reserves() {
		return nil, nil, nil
	}
	asked := owners(answers)
	values := asked
	if len(p.Only) == 0 {
		values = append(slices.Clone(asked), p.halves()...)
	}
	rows, err := session.Reserved(ctx, values)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range rows {
		if slices.Contains(asked, r.ReserveAt) {
			asking = append(asking, r)
		} else {
			misdirected = append(misdirected, r)
		}
	}
	if len(p.Only) == 0 {
		misdirected = merge(misdirected, p.unknown(ctx, session, asked))
		slices.SortFunc(misdirected, func(a, b ipam.Stored) int { return cmp.Compare(a.ID, b.ID) })
	}
	return asking, misdirected, nil
}

// halves are what people write in place of INSTALLATION/SOURCE: one of the two.
func (p *Pass) halves() []string {
	halves := []string{p.installation()}
	for _, s := range p.Sources {
		halves = append(halves, s.Name)
	}
	// NetBox takes this word for rows that have no value.
	return slices.DeleteFunc(halves, func(half string) bool { return half == "" || half == "null" })
}

// installation is the part that the owners of all sources begin with.
func (p *Pass) installation() string {
	before, _, _ := strings.Cut(p.Sources[0].Owner, "/")
	return before
}

// unknown reads the rows that name a source of this installation that there is
// not. A pass can do without them.
func (p *Pass) unknown(ctx context.Context, session *netbox.Session, owners []string) []ipam.Stored {
	rows, err := session.ReservedElsewhere(ctx, p.installation()+"/", owners)
	if err != nil {
		p.phase("rows that ask for a reservation at a source that there is not cannot be told", err)
	}
	return rows
}

// Misdirections says of each row that asks for a reservation and names no
// source of this installation which it is and what it names, in the order of
// their IDs. The last line stands for those that are not named.
func (p *Proposal) Misdirections() []string {
	here := make([]string, len(p.Readings)) // all: see asking
	for i, r := range p.Readings {
		here[i] = r.Source.Owner
	}
	sources := strings.Join(here, ", ")
	var texts []string
	for _, r := range p.misdirected[:min(len(p.misdirected), maxMisdirected)] {
		texts = append(texts, fmt.Sprintf("%s (#%d) is reserved nowhere: its reserve_at is %q, and the sources here are %s", r.CIDR(), r.ID, r.ReserveAt, sources))
	}
	if more := len(p.misdirected) - len(texts); more > 0 {
		texts = append(texts, fmt.Sprintf("%d more addresses are reserved nowhere, since their reserve_at names no source here", more))
	}
	return texts
}
