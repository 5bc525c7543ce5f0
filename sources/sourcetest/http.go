package sourcetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/sources"
)

// HTTP describes a kind whose systems speak HTTP and answer in JSON. The
// faults are made between the source and the handlers.
type HTTP struct {
	World   http.Handler // a system with addresses of both families
	Nothing http.Handler // a system that hands nothing out; nil where there is no such thing
	Refusal http.Handler // how the system refuses credentials; nil for a bare 401

	// Open serves h until tb ends, and opens a source on it that gives up
	// after patience and limits answers to MaxBytes.
	Open func(tb testing.TB, h http.Handler, patience time.Duration) sources.Source
}

// Setup reads the sane system once to count its answers.
func (h HTTP) Setup(tb testing.TB) Setup {
	tb.Helper()
	p := &prankster{handler: h.World, behaviour: sane()}
	mustComplete(tb, h.Open(tb, p, patient))
	s := Setup{Open: h.open, Answers: int(p.asked.Load())}
	if h.Nothing == nil {
		s.Without = append(s.Without, Empty)
	}
	return s
}

func (h HTTP) open(tb testing.TB, b Behaviour) sources.Source {
	tb.Helper()
	p := &prankster{handler: h.World, refusal: h.Refusal, behaviour: b}
	if b.Fault == Empty {
		p.handler = h.Nothing
	}
	source := h.Open(tb, p, b.Patience)
	tb.Cleanup(func() {
		require.LessOrEqual(tb, p.sent.Load(), int64(MaxBytes+buffers), "the source reads on beyond MaxBytes")
	})
	return source
}

// buffers is more than what the kernel takes of an answer before it is read.
const buffers = 16 << 20

// prankster is a handler that misbehaves.
type prankster struct {
	handler, refusal http.Handler
	behaviour        Behaviour
	asked            atomic.Int64 // requests so far
	sent             atomic.Int64 // bytes of the longest endless answer
}

func (p *prankster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := p.asked.Add(1) - 1
	if p.behaviour.At != Every && int64(p.behaviour.At) != at {
		p.handler.ServeHTTP(w, r)
		return
	}
	switch p.behaviour.Fault {
	case Shuffled:
		p.shuffled(w, r)
	case Denied:
		if p.refusal != nil {
			p.refusal.ServeHTTP(w, r)
			return
		}
		http.Error(w, "unauthorized", http.StatusUnauthorized)
	case Failing:
		http.Error(w, "internal server error", http.StatusInternalServerError)
	case Garbled:
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>It works!</title>")
	case CutOff:
		answer := p.sane(r)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", fmt.Sprint(answer.Body.Len()))
		_, _ = w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
	case Dropped:
		panic(http.ErrAbortHandler)
	case Endless:
		p.endless(w, r)
	case Hanging:
		<-r.Context().Done()
	default:
		p.handler.ServeHTTP(w, r)
	}
}

// sane returns the answer of the handler behind.
func (p *prankster) sane(r *http.Request) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	p.handler.ServeHTTP(answer, r)
	return answer
}

// endless sends the beginning of an answer, and then white space, which JSON
// allows anywhere, until the client hangs up.
func (p *prankster) endless(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	space := bytes.Repeat([]byte(" "), 64<<10)
	for total := int64(0); total < 2*buffers && r.Context().Err() == nil; {
		n, err := w.Write(space)
		if err != nil {
			return
		}
		total += int64(n)
		if total > p.sent.Load() {
			p.sent.Store(total)
		}
	}
}

// shuffled sends the answer with the elements of every list in another order.
func (p *prankster) shuffled(w http.ResponseWriter, r *http.Request) {
	answer := p.sane(r)
	decoder := json.NewDecoder(answer.Body)
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(r.URL.String())) // never fails
	shuffle(v, rand.New(rand.NewPCG(p.behaviour.Seed, sum.Sum64())))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(answer.Code)
	_ = json.NewEncoder(w).Encode(v) // a client that has gone needs no answer
}

func shuffle(v any, random *rand.Rand) {
	switch v := v.(type) {
	case []any:
		random.Shuffle(len(v), func(i, j int) { v[i], v[j] = v[j], v[i] })
		for _, e := range v {
			shuffle(e, random)
		}
	case map[string]any:
		for _, e := range v {
			shuffle(e, random)
		}
	}
}
