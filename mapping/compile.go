package mapping

import (
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"allocsync/ipam"
)

// Mapping is a compiled list of rules. It is immutable and may be used by
// several goroutines at once.
type Mapping struct {
	rules []rule // those that are built in, then those of the configuration
	names Names  // that no row can be written with
}

type rule struct {
	label   string   // "rule 3 (nat)"
	name    string   // "nat"
	sources []string // patterns of match.source, for CheckSources
	match   []condition
	skip    *bool
	sets    [fields]*setting
	tags    ipam.Tags
}

// field is a key of set whose last rule decides.
type field uint8

const (
	vrf field = iota
	status
	role
	tenant
	dns
	text
	fields = iota
)

func (f field) String() string {
	return [...]string{"vrf", "status", "role", "tenant", "dns_name", "description"}[f]
}

// setting is the value that a rule sets for a field.
type setting struct {
	template
	only ipam.Kind // the one kind that it applies to; 0 for both
}

func (s *setting) applies(kind ipam.Kind) bool { return s.only == 0 || s.only == kind }

// Compile checks rules and makes a Mapping of them. The error is a Faults with
// everything that is wrong with any of them. No rules at all are fine.
func Compile(rules []Rule) (*Mapping, error) {
	m := &Mapping{rules: make([]rule, 0, builtIns+len(rules))}
	for _, r := range builtIn() {
		c := compileRule(r, func(string, string) {})
		c.label = "built in (" + r.Name + ")"
		m.rules = append(m.rules, c)
	}

	var faults Faults
	names := map[string]int{}
	for i, r := range rules {
		report := func(key, text string) {
			faults = append(faults, Fault{Rule: i, Name: r.Name, Key: key, Text: text})
		}
		if earlier, taken := names[r.Name]; taken && r.Name != "" {
			report("name", fmt.Sprintf("rule %d is called %s already; give each its own name", earlier+1, r.Name))
		} else {
			names[r.Name] = i
		}
		c := compileRule(r, report)
		c.label = label(i, r.Name)
		m.rules = append(m.rules, c)
	}
	if faults != nil {
		return nil, faults
	}
	return m, nil
}

const (
	reservationType = "reservation"
	reservedStatus  = "reserved"
)

// builtIns is how many rules stand before those of the configuration.
const builtIns = 2

// builtIn lists them; the package comment says why they are there.
func builtIn() [builtIns]Rule {
	reserved, skip := reservedStatus, true
	return [...]Rule{
		{Name: "reservations", Match: Match{Type: []string{reservationType}}, Set: Set{Status: &reserved}},
		{Name: "link-local", Match: Match{CIDR: []string{linkLocal}}, Set: Set{Skip: &skip}},
	}
}

// linkLocal is the prefix of RFC 4291, section 2.5.6.
const linkLocal = "fe80::/10"

func compileRule(r Rule, report func(key, text string)) rule {
	c := rule{name: r.Name, sources: r.Match.Source, match: conditions(r.Match, report), skip: r.Set.Skip}
	if r.Set.empty() {
		report("set", "sets nothing; valid keys are skip, vrf, status, role, tenant, dns_name, description, tags")
	}
	set := func(f field, value *string, check func(string) (ipam.Kind, string)) {
		if value == nil {
			return
		}
		only, fault := check(*value)
		if fault != "" {
			report("set."+f.String(), fault)
			return
		}
		c.sets[f] = &setting{template: template{source: *value, constant: *value}, only: only}
	}
	fill := func(f field, value *string, clean func(string) string) {
		if value == nil {
			return
		}
		t, err := parseTemplate(*value)
		if err != nil {
			report("set."+f.String(), strconv.Quote(*value)+": "+err.Error())
			return
		}
		if fault := checkConstant(f, &t, clean); fault != "" {
			report("set."+f.String(), fault)
		}
		c.sets[f] = &setting{template: t, only: onlyKind(f)}
	}
	fill(vrf, r.Set.VRF, line)
	set(status, r.Set.Status, checkStatus)
	set(role, r.Set.Role, checkRole)
	fill(tenant, r.Set.Tenant, line)
	fill(dns, r.Set.DNSName, dnsName)
	fill(text, r.Set.Description, description)
	for _, tag := range r.Set.Tags {
		if !slug(tag) {
			report("set.tags", fmt.Sprintf("tag %q is not a slug; a slug is made of letters, digits, - and _", tag))
		}
	}
	c.tags = ipam.TagsOf(r.Set.Tags...)
	return c
}

func (s Set) empty() bool {
	return s.Skip == nil && s.VRF == nil && s.Status == nil && s.Role == nil && s.Tenant == nil &&
		s.DNSName == nil && s.Description == nil && len(s.Tags) == 0
}

func onlyKind(f field) ipam.Kind {
	if f == dns {
		return ipam.Address
	}
	return 0
}

// checkConstant cleans a constant once, so that nothing is left to do for each
// allocation, and refuses one that would not reach NetBox as it is written.
func checkConstant(f field, t *template, clean func(string) string) string {
	if t.parts != nil {
		return ""
	}
	before := t.constant
	t.constant = clean(before)
	if before != "" && t.constant == "" {
		return fmt.Sprintf("of %q nothing is left that NetBox takes", before)
	}
	if f == text && utf8.RuneCountInString(before) > maxDescription {
		return fmt.Sprintf("is %d characters long; NetBox takes %d", utf8.RuneCountInString(before), maxDescription)
	}
	return ""
}

// CheckSources says which rules name a source that is none of names: such a
// rule can never match. The error is a Faults.
func (m *Mapping) CheckSources(names []string) error {
	var faults Faults
	for i, r := range m.rules {
		for _, pattern := range r.sources {
			g, err := parseGlob(pattern)
			if err == nil && !slices.ContainsFunc(names, g.holds) {
				faults = append(faults, Fault{
					Rule: i - builtIns, Name: r.name, Key: "match.source",
					Text: fmt.Sprintf("no source is called %s; %s", strconv.Quote(pattern), instead(pattern, names)),
				})
			}
		}
	}
	if faults == nil {
		return nil
	}
	return faults
}
