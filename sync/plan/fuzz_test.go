package plan_test

import (
	"math/rand/v2"
	"testing"
)

// bytesSource draws from bytes first, so that a fuzzer steers every choice by
// one byte, and then from a fixed sequence.
type bytesSource struct {
	left []byte
	then *rand.PCG
}

func (s *bytesSource) Uint64() uint64 {
	n := s.then.Uint64()
	if len(s.left) > 0 {
		n = n>>8 | uint64(s.left[0])<<56
		s.left = s.left[1:]
	}
	return n
}

// FuzzCompute holds Compute to the laws and to the oracle in worlds that the
// fuzzer draws.
func FuzzCompute(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("a world is drawn from these bytes, one for each choice"))
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 3))
		b := make([]byte, 20+r.IntN(200))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, s := range []size{tiny, crowd, small} {
			in := newDrawnWorld(&bytesSource{left: b, then: rand.NewPCG(1, 4)}, s)
			w := &world{TB: t, in: in}
			mustKeepLaws(w, in, uint64(len(b)))
			mustEqualOracle(w, in)
		}
	})
}
