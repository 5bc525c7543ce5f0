package mapping

import (
	"cmp"
	"slices"
	"strings"

	"allocsync/ipam"
)

// Input is what one source handed out in this pass.
type Input struct {
	Owner       string // INSTALLATION/SOURCE
	Source      string // name of the source, for match.source and {source}
	Allocations []ipam.Allocation
}

// Mapped is what became of the allocations. Each of them is one of Claims,
// Skipped or Problems; what one user of a source states several times about one
// place shares one claim, that of the lowest rank, and allocations of which the
// same is wrong share a problem.
type Mapped struct {
	Claims   []ipam.Claim // sorted by ipam.Claim.Compare; one user claims a place once
	Skipped  []Skip       // sorted by owner and allocation
	Problems []Problem    // sorted likewise; one owner has a text once
}

// Skip is an allocation that a rule leaves out of NetBox.
type Skip struct {
	Owner      string
	Allocation ipam.Allocation
	Rule       string // the rule that decided: "rule 3 (nat)"
}

// Map applies the rules. Known are the prefixes that NetBox holds for sources
// that did not answer in full; they serve as masks and become no claims.
// The order of the inputs, of their allocations and of known means nothing.
func (m *Mapping) Map(inputs []Input, known []ipam.Place) Mapped {
	total := 0
	for _, in := range inputs {
		total += len(in.Allocations)
	}
	mapped := Mapped{Claims: make([]ipam.Claim, 0, total)}
	unions := map[[2]ipam.Tags]ipam.Tags{}
	blocked := m.blocked(inputs, unions)
	var f fact
	for _, in := range inputs {
		f.source = in.Source
		for i := range in.Allocations {
			f.Allocation = in.Allocations[i]
			c, skippedBy, problem := m.claim(in.Owner, &f, unions)
			if b, ok := blocked[spot{c.Owner, c.Place}]; ok && b.rank <= c.Rank && problem == "" {
				problem = "it is claimed more than once, and the first cannot be written: " + b.text
			}
			switch {
			case problem != "":
				mapped.Problems = append(mapped.Problems, Problem{Owner: in.Owner, Allocation: f.Allocation, Text: problem})
			case skippedBy != "":
				mapped.Skipped = append(mapped.Skipped, Skip{Owner: in.Owner, Allocation: f.Allocation, Rule: skippedBy})
			default:
				mapped.Claims = append(mapped.Claims, c)
			}
		}
	}
	setMasks(mapped.Claims, slices.Concat(known, placesOf(blocked)))
	sortClaims(&mapped.Claims)
	setInsides(mapped.Claims, mapped.Claims)
	slices.SortFunc(mapped.Skipped, func(a, b Skip) int {
		return cmp.Or(strings.Compare(a.Owner, b.Owner), a.Allocation.Compare(b.Allocation), strings.Compare(a.Rule, b.Rule))
	})
	mapped.Problems = gather(mapped.Problems)
	return mapped
}

// verdict is which rules decide about an allocation, as indices into
// Mapping.rules; -1 where none does.
type verdict struct {
	skip int
	by   [fields]int
	tags ipam.Tags
}

// judge asks every rule. Unions remembers sets of tags that were put together
// before: there are few of them and many allocations.
func (m *Mapping) judge(f *fact, unions map[[2]ipam.Tags]ipam.Tags) verdict {
	v := verdict{skip: -1}
	for i := range v.by {
		v.by[i] = -1
	}
	for i := range m.rules {
		r := &m.rules[i]
		if !r.matches(f) {
			continue
		}
		if r.skip != nil {
			v.skip = i
		}
		for k, s := range r.sets {
			if s != nil && s.applies(f.Kind) {
				v.by[k] = i
			}
		}
		switch {
		case r.tags == "":
		case v.tags == "":
			v.tags = r.tags
		default:
			pair := [2]ipam.Tags{v.tags, r.tags}
			union, done := unions[pair]
			if !done {
				union = v.tags.Union(r.tags)
				unions[pair] = union
			}
			v.tags = union
		}
	}
	return v
}

func (r *rule) matches(f *fact) bool {
	for i := range r.match {
		if !r.match[i].holds(f) {
			return false
		}
	}
	return true
}

// claim makes the claim of one allocation, all but the mask; or it names the
// rule that skips it, or says what keeps it from NetBox. Of an allocation with a
// name that NetBox does not know it returns both the claim and the problem.
func (m *Mapping) claim(owner string, f *fact, unions map[[2]ipam.Tags]ipam.Tags) (c ipam.Claim, skippedBy, problem string) {
	if owner == "" {
		return c, "", "the source has no owner"
	}
	if err := f.Check(); err != nil {
		return c, "", err.Error()
	}
	v := m.judge(f, unions)
	if v.skip >= 0 && *m.rules[v.skip].skip {
		return c, m.rules[v.skip].label, ""
	}
	table := ""
	if i := v.by[vrf]; i >= 0 {
		s := m.rules[i].sets[vrf]
		table, _ = s.value(vrf, f)
		if table == "" && s.source != "" {
			return c, "", m.rules[i].label + ": set.vrf: " + s.source + " comes out empty; the global table is meant by \"\" alone"
		}
	}
	c = ipam.Claim{Rank: rank(f), Record: ipam.Record{
		Owner: owner,
		Place: ipam.PlaceOf(table, f.Kind, f.Prefix),
		Attrs: ipam.Attrs{
			UsedBy: f.UsedBy, Type: f.Type, Tags: v.tags,
			Status: m.value(v, status, f), Role: m.value(v, role, f), Tenant: m.value(v, tenant, f),
			DNSName: m.value(v, dns, f), Description: m.value(v, text, f),
		},
	}}
	if f.Kind == ipam.Address {
		c.Attrs.Mask = f.Prefix.Bits() // until setMasks knows better
		c.Attrs.MAC = f.MAC
		c.Attrs.Inside = f.Inside // until setInsides knows better
	}
	return c, "", m.unusable(v, f, &c)
}

// value returns what the deciding rule sets for a field, "" where none does.
func (m *Mapping) value(v verdict, k field, f *fact) string {
	if v.by[k] < 0 {
		return ""
	}
	value, _ := m.rules[v.by[k]].sets[k].value(k, f)
	return value
}

// value fills the template in the form that NetBox keeps. Gap says that the
// value is left unset because a placeholder came out empty: of a DNS name with
// a piece missing, the rest is the name of something else.
func (s *setting) value(k field, f *fact) (value string, gap bool) {
	value, gap = s.fill(f)
	if s.parts == nil {
		return value, false // cleaned by Compile
	}
	switch k {
	case dns:
		if gap {
			return "", true
		}
		return dnsName(value), false
	case text:
		return description(value), false
	}
	return line(value), false
}

// rank orders the claims of one source for one place; see the package comment.
func rank(f *fact) uint8 {
	switch {
	case f.Dynamic:
		return 4
	case f.Type == "network":
		return 0
	case f.Type == "network-load-balancer":
		return 1
	case f.Type == "network-forward":
		return 2
	}
	return 3
}

// sortClaims sorts by ipam.Claim.Compare and keeps one claim for each user of a
// place: that one user states an address twice, as its configuration and as its
// lease, is no conflict, and the lowest rank says it best. Nearly all places
// differ, so looking at them first spares the rest.
func sortClaims(claims *[]ipam.Claim) {
	slices.SortFunc(*claims, func(a, b ipam.Claim) int {
		if c := a.Place.Compare(b.Place); c != 0 {
			return c
		}
		return a.Compare(b)
	})
	kept := (*claims)[:0]
	for _, c := range *claims {
		if !stated(kept, &c) {
			kept = append(kept, c)
		}
	}
	clear((*claims)[len(kept):])
	*claims = kept
}

// stated reports whether the sorted claims end in one of c's user, for c's
// source and place.
func stated(claims []ipam.Claim, c *ipam.Claim) bool {
	for i := len(claims) - 1; i >= 0; i-- {
		d := &claims[i]
		if d.Place != c.Place || d.Owner != c.Owner {
			return false
		}
		if d.Attrs.UsedBy == c.Attrs.UsedBy {
			return true
		}
	}
	return false
}
