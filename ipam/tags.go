package ipam

import (
	"slices"
	"strings"
)

// Tags is a set of tag slugs in one comparable string: sorted, each once,
// joined by commas ("edge,lxd"). NetBox slugs hold no comma.
type Tags string

// TagsOf makes the set of the given slugs; empty ones are left out.
func TagsOf(slugs ...string) Tags {
	slugs = slices.DeleteFunc(slices.Clone(slugs), func(s string) bool { return s == "" })
	slices.Sort(slugs)
	return Tags(strings.Join(slices.Compact(slugs), ","))
}

// Slugs lists the set in order; nil for the empty set.
func (t Tags) Slugs() []string {
	if t == "" {
		return nil
	}
	return strings.Split(string(t), ",")
}

// Contains reports whether every tag of u is in t.
func (t Tags) Contains(u Tags) bool {
	have := t.Slugs()
	for _, slug := range u.Slugs() {
		if !slices.Contains(have, slug) {
			return false
		}
	}
	return true
}

// Union returns the tags of both.
func (t Tags) Union(u Tags) Tags { return TagsOf(append(t.Slugs(), u.Slugs()...)...) }
