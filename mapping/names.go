package mapping

import (
	"slices"
	"strconv"
	"strings"

	"allocsync/ipam"
)

// Names are names that rules give to rows and that NetBox does not know, or not
// as one thing: VRFs, tenants, IPAM roles (of prefixes) and tags. To each belongs
// what is wrong with it, in words that stand alone.
type Names struct {
	VRFs, Tenants, Roles, Tags map[string]string

	// SameVRF holds those of VRFs that are another spelling of one that NetBox
	// does know, and that one's name: what is claimed in the one stands in the other.
	SameVRF map[string]string
}

func (n Names) empty() bool {
	return len(n.VRFs)+len(n.Tenants)+len(n.Roles)+len(n.Tags) == 0
}

// Without returns a Mapping of the same rules that makes a Problem of every
// allocation to which they would give one of names.
//
// A place for which the strongest claim of a source cannot be written goes to no
// weaker one either: that would be half an answer. All that is claimed there is a
// Problem.
func (m *Mapping) Without(names Names) *Mapping {
	return &Mapping{rules: m.rules, names: names}
}

// Constants lists the VRFs and tenants that rules spell out, without a
// placeholder: no source has a say in them.
func (m *Mapping) Constants() (vrfs, tenants []string) {
	constant := func(s *setting) []string {
		if s == nil || s.parts != nil || s.constant == "" {
			return nil
		}
		return []string{s.constant}
	}
	for i := range m.rules {
		vrfs = append(vrfs, constant(m.rules[i].sets[vrf])...)
		tenants = append(tenants, constant(m.rules[i].sets[tenant])...)
	}
	return vrfs, tenants
}

// unusable says which of the names of a claim no row can be written with, and
// which rules ask for them; "" where all can be.
func (m *Mapping) unusable(v verdict, f *fact, c *ipam.Claim) string {
	if m.names.empty() {
		return ""
	}
	var texts []string
	check := func(k field, names map[string]string, name string) {
		if why := names[name]; why != "" && name != "" {
			r := &m.rules[v.by[k]]
			text := r.label + ": set." + k.String() + ": "
			if s := r.sets[k]; s.parts != nil {
				text += strconv.Quote(s.source) + ": "
			}
			texts = append(texts, text+why)
		}
	}
	check(vrf, m.names.VRFs, c.Place.VRF)
	check(tenant, m.names.Tenants, c.Attrs.Tenant)
	if c.Place.Kind == ipam.Prefix {
		check(role, m.names.Roles, c.Attrs.Role)
	}
	for _, slug := range c.Attrs.Tags.Slugs() {
		if why := m.names.Tags[slug]; why != "" {
			texts = append(texts, m.tagging(f, slug)+": set.tags: "+why)
		}
	}
	return strings.Join(texts, "; ")
}

// tagging names the first rule that gives a tag to an allocation.
func (m *Mapping) tagging(f *fact, slug string) string {
	for i := range m.rules {
		if slices.Contains(m.rules[i].tags.Slugs(), slug) && m.rules[i].matches(f) {
			return m.rules[i].label
		}
	}
	return "" // not reached: the tag is there because of a rule
}

// spot is a place that a source claims.
type spot struct {
	owner string
	place ipam.Place
}

// block is the strongest claim of a place that cannot be written.
type block struct {
	rank uint8
	text string // why
}

// add notes b where nothing stronger is blocked.
func (b block) add(all map[spot]block, at spot) {
	have, ok := all[at]
	if !ok || b.rank < have.rank || b.rank == have.rank && b.text < have.text {
		all[at] = b
	}
}

// blocked finds the places at which a claim uses one of the names. It is nil
// where every name is known: nearly always.
func (m *Mapping) blocked(inputs []Input, unions map[[2]ipam.Tags]ipam.Tags) map[spot]block {
	if m.names.empty() {
		return nil
	}
	out := map[spot]block{}
	var f fact
	for _, in := range inputs {
		f.source = in.Source
		for i := range in.Allocations {
			f.Allocation = in.Allocations[i]
			c, _, problem := m.claim(in.Owner, &f, unions)
			if problem == "" || c.Owner == "" {
				continue
			}
			b := block{rank: c.Rank, text: problem}
			b.add(out, spot{c.Owner, c.Place})
			if same, ok := m.names.SameVRF[c.Place.VRF]; ok {
				c.Place.VRF = same
				b.add(out, spot{c.Owner, c.Place})
			}
		}
	}
	return out
}

// placesOf lists where there would be rows if all names were known: prefixes
// among them are there all the same, and addresses keep their masks.
func placesOf(blocked map[spot]block) []ipam.Place {
	places := make([]ipam.Place, 0, len(blocked))
	for at := range blocked {
		places = append(places, at.place)
	}
	return places
}
