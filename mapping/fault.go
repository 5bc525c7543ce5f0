package mapping

import (
	"fmt"
	"strings"
)

// Fault is one thing that is wrong with one rule.
type Fault struct {
	Rule int    // index, from 0
	Name string // of the rule; "" where it has none
	Key  string // within the rule: "set.status"; "" for the rule as a whole
	Text string // what is wrong and what would be right
}

// Path names the value in the configuration file: "rules[2].set.status".
func (f Fault) Path() string {
	path := fmt.Sprintf("rules[%d]", f.Rule)
	if f.Key != "" {
		path += "." + f.Key
	}
	return path
}

// Error returns the fault as one line: rule 3 (nat): set.status: …
func (f Fault) Error() string {
	text := label(f.Rule, f.Name) + ": "
	if f.Key != "" {
		text += f.Key + ": "
	}
	return text + f.Text
}

// Faults is the error of Compile: everything that is wrong, in the order of
// the rules and their keys.
type Faults []Fault

// Error returns one line for each fault.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// label names a rule for people, who count from 1.
func label(index int, name string) string {
	if name == "" {
		return fmt.Sprintf("rule %d", index+1)
	}
	return fmt.Sprintf("rule %d (%s)", index+1, name)
}

// instead suggests what may have been meant: the nearest of the valid words,
// or all of them where none is near.
func instead(word string, valid []string) string {
	if near := nearest(word, valid); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	return "valid are " + strings.Join(valid, ", ")
}

// nearest returns the valid word that takes the fewest edits, "" where that
// would be more than a slip of the fingers.
func nearest(word string, valid []string) string {
	best, fewest := "", 1+max(1, len(word)/3)
	for _, v := range valid {
		if d := edits(strings.ToLower(word), v); d < fewest {
			best, fewest = v, d
		}
	}
	return best
}

// edits counts the insertions, deletions, replacements and swaps of neighbours
// that make a into b.
func edits(a, b string) int {
	before, last, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}
