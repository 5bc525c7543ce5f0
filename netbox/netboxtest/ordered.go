package netboxtest

import (
	"iter"
	"slices"
)

// chunkSize bounds how much an insert moves: a page of the list, not the list.
const chunkSize = 512

// ordered is a list kept in the order of cmp, which must be total. Insert,
// remove and look-up take a binary search and one chunk's move, so that tables
// of 100,000 rows can be filled in any order.
type ordered[T any] struct {
	cmp    func(a, b T) int
	chunks [][]T
	n      int
}

func newOrdered[T any](cmp func(a, b T) int) *ordered[T] { return &ordered[T]{cmp: cmp} }

func (o *ordered[T]) len() int { return o.n }

// find gives the chunk and the place in it of the first element that is not
// below the key, where below(e) < 0 means that e is below it.
func (o *ordered[T]) find(below func(T) int) (chunk, place int) {
	chunk, _ = slices.BinarySearchFunc(o.chunks, 0, func(c []T, _ int) int { return below(c[len(c)-1]) })
	if chunk == len(o.chunks) {
		return chunk, 0
	}
	place, _ = slices.BinarySearchFunc(o.chunks[chunk], 0, func(e T, _ int) int { return below(e) })
	return chunk, place
}

func (o *ordered[T]) insert(v T) {
	o.n++
	if len(o.chunks) == 0 {
		o.chunks = [][]T{{v}}
		return
	}
	c, i := o.find(func(e T) int { return o.cmp(e, v) })
	if c == len(o.chunks) {
		c--
		i = len(o.chunks[c])
	}
	chunk := slices.Insert(o.chunks[c], i, v)
	o.chunks[c] = chunk
	if len(chunk) < chunkSize {
		return
	}
	half := len(chunk) / 2
	if c == len(o.chunks)-1 && i == len(chunk)-1 {
		half = len(chunk) - 1 // appended: leave the full chunk full
	}
	right := slices.Clone(chunk[half:])
	clear(chunk[half:])
	o.chunks[c] = chunk[:half:half]
	o.chunks = slices.Insert(o.chunks, c+1, right)
}

// remove takes the element that compares equal to v out.
func (o *ordered[T]) remove(v T) {
	c, i := o.find(func(e T) int { return o.cmp(e, v) })
	if c == len(o.chunks) || o.cmp(o.chunks[c][i], v) != 0 {
		return
	}
	o.n--
	o.chunks[c] = slices.Delete(o.chunks[c], i, i+1)
	if len(o.chunks[c]) == 0 {
		o.chunks = slices.Delete(o.chunks, c, c+1)
	}
}

// all yields every element in order.
func (o *ordered[T]) all() iter.Seq[T] { return o.from(0) }

// from yields the elements from place n on.
func (o *ordered[T]) from(n int) iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, chunk := range o.chunks {
			if n >= len(chunk) {
				n -= len(chunk)
				continue
			}
			for _, e := range chunk[n:] {
				if !yield(e) {
					return
				}
			}
			n = 0
		}
	}
}

// seek yields the elements from the first on for which below is not negative.
func (o *ordered[T]) seek(below func(T) int) iter.Seq[T] {
	return func(yield func(T) bool) {
		c, i := o.find(below)
		for ; c < len(o.chunks); c, i = c+1, 0 {
			for _, e := range o.chunks[c][i:] {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// lookup gives the element equal to the key.
func (o *ordered[T]) lookup(below func(T) int) (found T, ok bool) {
	c, i := o.find(below)
	if c == len(o.chunks) || below(o.chunks[c][i]) != 0 {
		return found, false
	}
	return o.chunks[c][i], true
}
