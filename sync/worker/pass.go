package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"allocsync/ipam"
	"allocsync/mapping"
	"allocsync/netbox"
	"allocsync/sources"
	"allocsync/sync/apply"
	"allocsync/sync/plan"
	"allocsync/sync/reserve"
)

// Source is one configured source.
type Source struct {
	Name  string
	Owner string // INSTALLATION/NAME
	sources.Source

	Allow plan.Allow
	Gone  plan.Gone

	// Reserve has the source hold the addresses that rows ask it for.
	Reserve bool
}

// Pass is what a pass needs. It holds no state of its own: every Plan starts
// from what the sources and NetBox say then.
type Pass struct {
	NetBox  *netbox.Client
	Mapping *mapping.Mapping
	Sources []Source // in the order of the configuration

	// Only names the sources to deal with; none means all. The others are not
	// read, and their rows are left alone.
	Only []string

	Limits plan.Limits
	Apply  apply.Options

	// Ledger remembers what was reserved. Without one nothing is reserved and
	// nothing released.
	Ledger reserve.Ledger

	// Reserved is called once for every change that was to be made at a source,
	// as Apply.Log is for those in NetBox; may be nil.
	Reserved func(apply.Outcome)

	Now   func() time.Time // nil means time.Now
	Phase func(Phase)      // told what the pass is doing; may be nil, may be called concurrently
}

// Phase is what a pass is doing at the moment.
type Phase struct {
	Text string // "reading lab", "lab: 120 allocations"
	Err  error  // set where something did not work
}

// Reading is what one source answered.
type Reading struct {
	Source   Source
	Snapshot sources.Snapshot
	Err      error // the source did not answer at all

	// Of a source that holds addresses for NetBox.
	Held []ipam.Reservation
	Desk sources.Desk
	Took time.Duration
}

// Missing lists what was not read, as the planner and reports want it. None
// means a complete answer.
func (r Reading) Missing() []string {
	if r.Err != nil {
		return []string{r.Err.Error()}
	}
	missing := make([]string, len(r.Snapshot.Missing))
	for i, m := range r.Snapshot.Missing {
		missing[i] = fmt.Sprintf("%s: %v", m.Part, m.Err)
	}
	return missing
}

// Proposal is what a pass found and would do.
type Proposal struct {
	Readings []Reading // of the sources asked, in their order
	Mapped   mapping.Mapped
	Plan     plan.Plan
	Approved plan.Approved // what may be carried out: all of Plan, or what is within the limits
	Excess   *plan.TooMuch // sources over their limits; nil for none
	Version  netbox.Version

	session     *netbox.Session
	back        reserve.Proposal
	book        reserve.Book
	asking      []ipam.Stored      // rows that ask for reservations
	misdirected []ipam.Stored      // rows that ask nobody here
	made        []ipam.Reservation // by Carry
	quiet       bool               // nobody is to be told of what is held
}

// ErrNoSource is the error of a pass in which no source answered at all.
var ErrNoSource = errors.New("no source answered")

// Plan reads everything and plans. It writes nothing.
//
// It fails where NetBox cannot be used. Where no source answered, the Proposal
// holds the readings and an empty plan, and the error is ErrNoSource.
func (p *Pass) Plan(ctx context.Context) (*Proposal, error) {
	asked, err := p.asked()
	if err != nil {
		return nil, err
	}
	proposal, opening, err := p.gather(ctx, asked)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(proposal.Readings, func(r Reading) bool { return r.Err == nil }) {
		for _, a := range answersOf(proposal.Readings, nil) {
			proposal.Plan.Sources = append(proposal.Plan.Sources, plan.Summary{Owner: a.Owner, Missing: a.Missing})
		}
		return proposal, ErrNoSource
	}
	if err := p.compute(ctx, proposal, opening); err != nil {
		return nil, err
	}
	approved, err := proposal.Plan.Approve(p.Limits)
	proposal.Approved = approved
	errors.As(err, &proposal.Excess)
	return proposal, nil
}

// gather asks the sources, and NetBox for what does not depend on them, at the
// same time. Without a NetBox that can be used, the sources are not waited for.
func (p *Pass) gather(ctx context.Context, asked []Source) (*Proposal, *netbox.Opening, error) {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	type opened struct {
		opening *netbox.Opening
		err     error
	}
	server := make(chan opened, 1)
	go func() {
		opening, err := p.NetBox.Begin(ctx, netbox.Refs{Deprecate: p.deprecates(), Reservable: p.reserves()})
		if err != nil {
			stop()
		}
		server <- opened{opening, err}
	}()
	proposal := &Proposal{Readings: p.read(reading, asked)}
	answer := <-server
	switch {
	case ctx.Err() != nil:
		return nil, nil, fmt.Errorf("read sources: %w", ctx.Err())
	case answer.err != nil:
		return nil, nil, fmt.Errorf("prepare NetBox: %w", answer.err)
	}
	return proposal, answer.opening, nil
}

// deprecates reports whether rows may be marked as gone.
func (p *Pass) deprecates() bool {
	return slices.ContainsFunc(p.Sources, func(s Source) bool { return s.Gone.Deprecate })
}

// Read asks the sources and nothing else.
func (p *Pass) Read(ctx context.Context) ([]Reading, error) {
	asked, err := p.asked()
	if err != nil {
		return nil, err
	}
	return p.read(ctx, asked), ctx.Err()
}

// Confirm lets a person's approval of a digest stand in for the limits.
func (p *Proposal) Confirm(digest string) error {
	approved, err := p.Plan.ApproveDigest(digest)
	if err != nil {
		return err
	}
	p.Approved, p.Excess = approved, nil
	return nil
}

// Carry carries out what was approved: first at the sources, then in NetBox.
// When ctx ends, what is in flight is finished and the rest is skipped.
func (p *Pass) Carry(ctx context.Context, proposal *Proposal) apply.Result {
	reserved := p.reserve(ctx, proposal)
	result := apply.Run(ctx, proposal.session, proposal.Approved.FillIn(reserved.Filled), p.Apply)
	p.remark(ctx, proposal, reserved.Outcomes)
	proposal.made = reserved.Made
	result.Reservations = reserved.Outcomes
	result.Err = errors.Join(reserved.Err, result.Err)
	return result
}

// asked returns the sources of this pass, by name if Only names any.
func (p *Pass) asked() ([]Source, error) {
	if len(p.Only) == 0 {
		return p.Sources, nil
	}
	var asked []Source
	for _, s := range p.Sources {
		if slices.Contains(p.Only, s.Name) {
			asked = append(asked, s)
		}
	}
	for _, name := range p.Only {
		if !slices.ContainsFunc(p.Sources, func(s Source) bool { return s.Name == name }) {
			return nil, fmt.Errorf("source %q is not configured; there are: %s", name, p.names())
		}
	}
	return asked, nil
}

func (p *Pass) names() string {
	names := make([]string, len(p.Sources))
	for i, s := range p.Sources {
		names[i] = s.Name
	}
	return strings.Join(names, ", ")
}

func (p *Pass) phase(text string, err error) {
	if p.Phase != nil {
		p.Phase(Phase{Text: text, Err: err})
	}
}

func (p *Pass) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now()
}

// compute maps the readings, reads NetBox and makes the plan.
func (p *Pass) compute(ctx context.Context, proposal *Proposal, opening *netbox.Opening) error {
	rules := p.Mapping
	mapped := rules.Map(inputs(proposal.Readings), nil)
	p.phase("reading NetBox", nil)
	session, err := opening.Resolve(ctx, p.refs(mapped.Claims))
	if err != nil {
		return fmt.Errorf("prepare NetBox: %w", err)
	}
	proposal.session, proposal.Version = session, session.Version()
	if unresolved := session.Unresolved(); !unresolved.Empty() {
		rules = rules.Without(mapping.Names(unresolved))
		mapped = rules.Map(inputs(proposal.Readings), nil)
	}

	answers := answersOf(proposal.Readings, mapped.Problems)
	unasked := p.unasked(answers)
	all := append(slices.Clone(answers), unasked...)
	owned, err := session.Owned(ctx, owners(answers), owners(unasked)...)
	if err != nil {
		return fmt.Errorf("read own rows: %w", err)
	}
	if prefixes := prefixesOfIncomplete(all, owned); len(prefixes) > 0 {
		// What an incomplete source does not list now, and what one that is not
		// asked has, still gives addresses their masks.
		mapped = rules.Map(inputs(proposal.Readings), prefixes)
	}
	if asked := owners(answers); len(unasked) > 0 {
		owned = slices.DeleteFunc(owned, func(r ipam.Stored) bool { return !slices.Contains(asked, r.Owner) })
	}
	asking, misdirected, err := p.asking(ctx, session, answers)
	if err != nil {
		return fmt.Errorf("read rows that ask for reservations: %w", err)
	}
	known := merge(owned, ownOrNobodys(asking, answers))
	others, err := session.At(ctx, unheld(mapped.Claims, known))
	if err != nil {
		return fmt.Errorf("look up wanted places: %w", err)
	}
	p.phase(fmt.Sprintf("NetBox: %d own rows, %d others at wanted places", len(owned), len(others)), nil)

	current := merge(known, others)
	unpoint(mapped.Claims, current, all)
	keepMasks(mapped.Claims, current, all)
	proposal.Mapped = mapped
	proposal.Plan = plan.Compute(plan.Input{
		Now:     p.now(),
		Sources: all,
		Claims:  mapped.Claims,
		Current: current,
	})
	proposal.Plan.Sources = proposal.Plan.Sources[:len(answers)]
	proposal.asking, proposal.misdirected = asking, misdirected
	p.planReservations(proposal, asking, answers)
	proposal.withoutReleased()
	return nil
}

// refs collects the names that NetBox has to resolve.
func (p *Pass) refs(claims []ipam.Claim) netbox.Refs {
	refs := netbox.Refs{Deprecate: p.deprecates(), Reservable: p.reserves()}
	refs.FirmVRFs, refs.FirmTenants = p.Mapping.Constants()
	vrfs, tenants, roles, tags := set{}, set{}, set{}, set{}
	for i := range claims {
		c := &claims[i]
		vrfs.add(c.Place.VRF)
		tenants.add(c.Attrs.Tenant)
		if c.Place.Kind == ipam.Prefix {
			roles.add(c.Attrs.Role)
		}
		tags.add(string(c.Attrs.Tags))
		refs.Inside = refs.Inside || c.Attrs.Inside.IsValid()
	}
	refs.VRFs, refs.Tenants, refs.Roles = vrfs.sorted(), tenants.sorted(), roles.sorted()
	for _, combination := range tags.sorted() {
		refs.Tags = append(refs.Tags, ipam.Tags(combination).Slugs()...)
	}
	return refs
}
