package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a file.
type Problem struct {
	File   string
	Line   int    // from 1; 0 where the problem has no place in the text
	Column int    // in characters, from 1
	Key    string // "sources[0].options.url"; "" for the file as a whole
	Text   string // what is wrong; how to fix it
}

// Error returns FILE:LINE:COLUMN: KEY: TEXT, without the parts that are not
// known.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Problems is the error of Load and Parse: everything that is wrong with the
// file, in the order of the text.
type Problems []Problem

// Error returns one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

func (ps Problems) sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(a.Line-b.Line, a.Column-b.Column, strings.Compare(a.Key, b.Key), strings.Compare(a.Text, b.Text))
	})
	return slices.Compact(ps)
}

// position is a place in the text; both count from 1.
type position struct{ line, column int }

// Problem makes the error for a value that turned out to be wrong only after
// Parse, with the place of the value: of key "rules[2].set.status", or of what
// holds it where the file does not have that key.
func (c *Config) Problem(key, text string) Problem {
	pos := find(c.where, key)
	return Problem{File: c.file, Line: pos.line, Column: pos.column, Key: key, Text: text}
}

// find returns the place of key, or of the nearest thing that holds it.
func find(where map[string]position, key string) position {
	for at := key; at != ""; at = parent(at) {
		if pos, ok := where[at]; ok {
			return pos
		}
	}
	return where[""]
}

// parent cuts the last step off a key: a.b[1].c, a.b[1], a.b, a.
func parent(key string) string { return key[:max(0, strings.LastIndexAny(key, ".["))] }
