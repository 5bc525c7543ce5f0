package mapping

import (
	"fmt"
	"strings"

	"allocsync/ipam"
)

// Explanation says how the rules came to what they make of one allocation.
type Explanation struct {
	Owner      string
	Allocation ipam.Allocation
	Rules      []RuleResult // of every rule in order, those that are built in first

	// One of three: the rule that skips the allocation, why it cannot be in
	// NetBox, or what is claimed for it.
	SkippedBy string
	Problem   string
	Claim     ipam.Claim
}

// RuleResult is what one rule had to say.
type RuleResult struct {
	Rule   string     // "rule 3 (nat)", "built in (reservations)"
	Failed []Mismatch // conditions that do not hold; none means that the rule matched
	Set    []Setting  // of a rule that matched, in the order of the keys of set
}

// Matched reports whether every condition holds.
func (r RuleResult) Matched() bool { return len(r.Failed) == 0 }

// Mismatch is a condition that does not hold.
type Mismatch struct {
	Key    string // of match: "network"
	Wants  string // "web-* or db-*"
	Actual string
}

// Setting is one value that a rule sets.
type Setting struct {
	Key   string // of set: "status"
	Value string // placeholders filled in, as NetBox would keep it
	Void  string // why it has no effect: "overridden by rule 4 (dmz)"; "" where it has
}

// Explain says what Map makes of a, which belongs to in, and why. The mask and
// the VRF of an inside address are found among the allocations of in alone.
func (m *Mapping) Explain(in Input, a ipam.Allocation) Explanation {
	f := &fact{source: in.Source, Allocation: a}
	unions := map[[2]ipam.Tags]ipam.Tags{}
	e := Explanation{Owner: in.Owner, Allocation: a}
	v := m.judge(f, unions)
	for i := range m.rules {
		e.Rules = append(e.Rules, m.result(i, f, v))
	}
	e.Claim, e.SkippedBy, e.Problem = m.claim(in.Owner, f, unions)
	if e.Problem != "" {
		e.Claim = ipam.Claim{} // the one that cannot be written
	}
	if e.SkippedBy == "" && e.Problem == "" {
		around := m.Map([]Input{in}, nil)
		known := make([]ipam.Place, 0, len(around.Claims))
		for _, c := range around.Claims {
			known = append(known, c.Place)
		}
		own := []ipam.Claim{e.Claim}
		setMasks(own, known)
		setInsides(own, around.Claims)
		e.Claim = own[0]
	}
	return e
}

// result is the part of rule i in a verdict.
func (m *Mapping) result(i int, f *fact, v verdict) RuleResult {
	r := &m.rules[i]
	result := RuleResult{Rule: r.label}
	for _, c := range r.match {
		if !c.holds(f) {
			result.Failed = append(result.Failed, Mismatch{Key: c.key, Wants: c.wants, Actual: c.actual(f)})
		}
	}
	if !result.Matched() {
		return result
	}
	if r.skip != nil {
		s := Setting{Key: "skip", Value: fmt.Sprint(*r.skip)}
		if v.skip != i {
			s.Void = "overridden by " + m.rules[v.skip].label
		}
		result.Set = append(result.Set, s)
	}
	for k, s := range r.sets {
		if s != nil {
			result.Set = append(result.Set, m.setting(field(k), i, f, v))
		}
	}
	if r.tags != "" {
		result.Set = append(result.Set, Setting{Key: "tags", Value: string(r.tags)})
	}
	return result
}

// setting is what rule i, which matched, does to field k.
func (m *Mapping) setting(k field, i int, f *fact, v verdict) Setting {
	s := m.rules[i].sets[k]
	value, gap := s.value(k, f)
	explained := Setting{Key: k.String(), Value: value}
	switch {
	case !s.applies(f.Kind):
		explained.Void = fmt.Sprintf("has no meaning for %s", plural(f.Kind))
	case v.by[k] != i:
		explained.Void = "overridden by " + m.rules[v.by[k]].label
	case gap:
		explained.Void = fmt.Sprintf("not set, because a placeholder of %s is empty here", s.source)
	case value == "" && s.source != "":
		explained.Void = fmt.Sprintf("not set, because %s comes out empty", s.source)
	}
	return explained
}

func plural(k ipam.Kind) string {
	if k == ipam.Address {
		return "addresses"
	}
	return "prefixes"
}

// String writes the explanation for people: what was asked about, one
// paragraph for each rule, and the outcome.
func (e Explanation) String() string {
	var b strings.Builder
	a := e.Allocation
	fmt.Fprintf(&b, "%s %s of %s, type %s, used by %s\n", a.Kind, a.Prefix, e.Owner, a.Type, a.UsedBy)
	for _, r := range e.Rules {
		if !r.Matched() {
			fmt.Fprintf(&b, "  %s: no match\n", r.Rule)
			for _, c := range r.Failed {
				fmt.Fprintf(&b, "    %s is %s, wanted %s\n", c.Key, shown(c.Actual), c.Wants)
			}
			continue
		}
		fmt.Fprintf(&b, "  %s: matches\n", r.Rule)
		for _, s := range r.Set {
			fmt.Fprintf(&b, "    %s: %s", s.Key, shown(s.Value))
			if s.Void != "" {
				fmt.Fprintf(&b, " (%s)", s.Void)
			}
			b.WriteByte('\n')
		}
	}
	switch {
	case e.Problem != "":
		fmt.Fprintf(&b, "=> cannot be in NetBox: %s\n", e.Problem)
	case e.SkippedBy != "":
		fmt.Fprintf(&b, "=> skipped by %s\n", e.SkippedBy)
	default:
		b.WriteString("=> " + claimText(e.Claim) + "\n")
	}
	return b.String()
}

// claimText writes a claim in one line, fields that are not set left out.
func claimText(c ipam.Claim) string {
	var b strings.Builder
	table := "the global table"
	if c.Place.VRF != "" {
		table = "VRF " + c.Place.VRF
	}
	fmt.Fprintf(&b, "%s %s in %s, rank %d", c.Place.Kind, c.CIDR(), table, c.Rank)
	for _, p := range [][2]string{
		{ipam.StatusField, c.Attrs.Status}, {ipam.RoleField, c.Attrs.Role}, {ipam.TenantField, c.Attrs.Tenant},
		{ipam.DNSNameField, c.Attrs.DNSName}, {ipam.DescriptionField, c.Attrs.Description},
		{ipam.TagsField, string(c.Attrs.Tags)}, {ipam.MACField, string(c.Attrs.MAC)}, {ipam.InsideField, insideText(c.Attrs)},
	} {
		if p[1] != "" {
			fmt.Fprintf(&b, ", %s %s", p[0], p[1])
		}
	}
	return b.String()
}

// insideText names the inside address of a claim; "" where it has none.
func insideText(a ipam.Attrs) string {
	switch {
	case !a.Inside.IsValid():
		return ""
	case a.InsideVRF == "":
		return a.Inside.String()
	}
	return a.Inside.String() + " in VRF " + a.InsideVRF
}

func shown(s string) string {
	if s == "" {
		return `""`
	}
	return s
}
