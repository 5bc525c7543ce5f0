package config

import (
	"fmt"
	"strings"
)

// instead suggests what may have been meant: the nearest of the valid words,
// or all of them where none is near.
func instead(word string, valid []string) string {
	if near := nearest(word, valid); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	if len(valid) == 0 {
		return "remove it"
	}
	return "valid are " + strings.Join(valid, ", ")
}

// nearest returns the valid word that takes the fewest edits, "" where that
// would be more than a slip of the fingers.
func nearest(word string, valid []string) string {
	const tooLong = 64 // no key is; it bounds the work
	if len(word) > tooLong {
		return ""
	}
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
