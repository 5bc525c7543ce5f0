package mapping

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// glob is a compiled pattern. Patterns without `*` and `?` are compared as text.
type glob struct {
	text  string // of a pattern without wildcards
	steps []step // of one with; nil otherwise
}

// step is one element of a pattern.
type step struct {
	kind    stepKind
	literal rune
}

type stepKind uint8

const (
	exactly stepKind = iota
	one
	many
)

// parseGlob compiles a pattern; the only mistake to make is a lone `\` at the end.
func parseGlob(pattern string) (glob, error) {
	var steps []step
	var text strings.Builder
	wild, escaped := false, false
	for _, r := range pattern {
		s := step{literal: r}
		switch {
		case escaped:
			escaped = false
		case r == '\\':
			escaped = true
			continue
		case r == '?':
			s, wild = step{kind: one}, true
		case r == '*':
			wild = true
			if len(steps) > 0 && steps[len(steps)-1].kind == many {
				continue
			}
			s = step{kind: many}
		}
		steps = append(steps, s)
		if s.kind == exactly {
			text.WriteRune(r)
		}
	}
	if escaped {
		return glob{}, errors.New(`ends in a lone \; write \\ for the character itself`)
	}
	if !wild {
		return glob{text: text.String()}, nil
	}
	return glob{steps: steps}, nil
}

// holds reports whether the pattern fits the whole of s. On a mismatch it goes
// back to the last `*` only, so it takes len(pattern) × len(s) steps at most.
func (g glob) holds(s string) bool {
	if g.steps == nil {
		return g.text == s
	}
	i, pos := 0, 0
	retry, retryPos := -1, 0
	for pos < len(s) {
		r, size := utf8.DecodeRuneInString(s[pos:])
		switch {
		case i < len(g.steps) && g.steps[i].kind == many:
			retry, retryPos = i, pos
			i++
		case i < len(g.steps) && (g.steps[i].kind == one || g.steps[i].literal == r):
			i++
			pos += size
		case retry >= 0:
			_, size = utf8.DecodeRuneInString(s[retryPos:])
			retryPos += size
			i, pos = retry+1, retryPos
		default:
			return false
		}
	}
	for i < len(g.steps) && g.steps[i].kind == many {
		i++
	}
	return i == len(g.steps)
}
