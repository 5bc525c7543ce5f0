package mapping

import (
	"net/netip"
	"strconv"
	"strings"

	"allocsync/ipam"
)

// condition is one key of a rule's match.
type condition struct {
	key    string
	wants  string // for explanations: "web-* or db-*"
	holds  func(*fact) bool
	actual func(*fact) string
}

// conditions compiles m; what is wrong is reported under its key.
func conditions(m Match, report func(key, text string)) []condition {
	var list []condition
	words := func(key string, patterns []string, actual func(*fact) string) {
		if c, ok := wordCondition(key, patterns, actual, report); ok {
			list = append(list, c)
		}
	}
	truth := func(key string, want *bool, actual func(*fact) bool) {
		if want == nil {
			return
		}
		w := *want
		list = append(list, condition{
			key: key, wants: strconv.FormatBool(w),
			holds:  func(f *fact) bool { return actual(f) == w },
			actual: func(f *fact) string { return strconv.FormatBool(actual(f)) },
		})
	}
	words("source", m.Source, func(f *fact) string { return f.source })
	words("type", m.Type, func(f *fact) string { return f.Type })
	words("project", m.Project, func(f *fact) string { return f.Project })
	words("network", m.Network, func(f *fact) string { return f.Network })
	for _, kind := range m.Kind {
		if _, err := ipam.ParseKind(kind); err != nil {
			report("match.kind", "no kind "+strconv.Quote(kind)+"; "+instead(kind, []string{"address", "prefix"}))
		}
	}
	words("kind", m.Kind, func(f *fact) string { return f.Kind.String() })
	truth("nat", m.NAT, func(f *fact) bool { return f.NAT })
	truth("dynamic", m.Dynamic, func(f *fact) bool { return f.Dynamic })
	words("name", m.Name, func(f *fact) string { return f.Name })
	words("used_by", m.UsedBy, func(f *fact) string { return string(f.UsedBy) })
	if c, ok := cidrCondition(m.CIDR, report); ok {
		list = append(list, c)
	}
	return list
}

// wordCondition holds where any of the patterns fits. A nil list is no
// condition; one that is there but empty could never hold and is refused.
func wordCondition(key string, patterns []string, actual func(*fact) string, report func(key, text string)) (condition, bool) {
	if patterns == nil {
		return condition{}, false
	}
	if len(patterns) == 0 {
		report("match."+key, "lists nothing, so the rule could never match; leave the key out to match everything")
		return condition{}, false
	}
	globs := make([]glob, 0, len(patterns))
	for _, p := range patterns {
		g, err := parseGlob(p)
		if err != nil {
			report("match."+key, strconv.Quote(p)+" "+err.Error())
			continue
		}
		globs = append(globs, g)
	}
	return condition{
		key: key, wants: anyOf(patterns), actual: actual,
		holds: func(f *fact) bool {
			text := actual(f)
			for i := range globs {
				if globs[i].holds(text) {
					return true
				}
			}
			return false
		},
	}, true
}

// cidrCondition holds where one of the prefixes holds the whole allocation.
func cidrCondition(texts []string, report func(key, text string)) (condition, bool) {
	if texts == nil {
		return condition{}, false
	}
	if len(texts) == 0 {
		report("match.cidr", "lists nothing, so the rule could never match; leave the key out to match everything")
		return condition{}, false
	}
	prefixes := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		p, err := ipam.ParsePrefix(text)
		if err != nil {
			report("match.cidr", err.Error())
			continue
		}
		if p != p.Masked() {
			report("match.cidr", "prefix "+p.String()+" has host bits set; did you mean "+p.Masked().String()+"?")
			continue
		}
		prefixes = append(prefixes, p)
	}
	return condition{
		key: "cidr", wants: anyOf(texts),
		actual: func(f *fact) string { return place(f).String() },
		holds: func(f *fact) bool {
			inner := place(f)
			for _, p := range prefixes {
				if p.Bits() <= inner.Bits() && p.Contains(inner.Addr()) {
					return true
				}
			}
			return false
		},
	}, true
}

// place is what the allocation takes up: of an address the host alone.
func place(f *fact) netip.Prefix {
	if f.Kind == ipam.Address {
		return ipam.HostPrefix(f.Prefix.Addr())
	}
	return f.Prefix
}

func anyOf(words []string) string {
	shown := make([]string, len(words))
	for i, w := range words {
		if shown[i] = w; w == "" {
			shown[i] = `""`
		}
	}
	return strings.Join(shown, " or ")
}
