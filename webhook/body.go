package webhook

import (
	"errors"
	"io"
	"sync/atomic"
)

var (
	errTooLarge = errors.New("body is too large")
	errBusy     = errors.New("too many bodies are being received")
)

// firstRead is what a body is given before it says more; most fit.
const firstRead = 4 << 10

// budget is what all bodies that are being received may take together, so that
// many senders of large ones, none of whom has proved anything yet, cannot fill
// the memory.
type budget struct{ left atomic.Int64 }

func newBudget(bytes int64) *budget {
	b := &budget{}
	b.left.Store(bytes)
	return b
}

func (b *budget) take(n int64) bool {
	if b.left.Add(-n) < 0 {
		b.left.Add(n)
		return false
	}
	return true
}

// read returns the whole of r, of at most max bytes, and what gives its memory
// back to the budget, which is to be called in any case.
func (b *budget) read(r io.Reader, max int64) (body []byte, release func(), err error) {
	var taken int64
	release = func() { b.left.Add(taken); taken = 0 }
	size := min(firstRead, max+1)
	for {
		if !b.take(size - taken) {
			return nil, release, errBusy
		}
		taken = size
		grown := make([]byte, len(body), size)
		copy(grown, body)
		n, err := io.ReadFull(r, grown[len(body):size])
		body = grown[:len(body)+n]
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return body, release, nil
		case err != nil:
			return nil, release, err
		case size > max:
			return nil, release, errTooLarge
		}
		size = min(2*size, max+1)
	}
}
