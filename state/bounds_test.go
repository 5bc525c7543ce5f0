package state

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
)

// newQuick is a store that does not wait for the disk.
func newQuick(tb testing.TB) *Store {
	tb.Helper()
	s, err := Open(tb.TempDir())
	require.NoError(tb, err)
	s.db.NoSync = true
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func mustSize(tb testing.TB, s *Store) int64 {
	tb.Helper()
	stat, err := os.Stat(s.db.Path())
	require.NoError(tb, err)
	return stat.Size()
}

// what makes a list of allocations that does not compress too well.
func allocations(n, round int) []Allocation {
	list := make([]Allocation, n)
	for i := range list {
		list[i] = Allocation{
			UsedBy: fmt.Sprintf("/1.0/instances/web-%08x?project=team-%d", uint32(i*2654435761+round), i%40), Kind: "address",
			Address: fmt.Sprintf("10.%d.%d.%d/32", i>>16&255, i>>8&255, i&255), Type: "instance", Network: fmt.Sprint("br", i%30),
			Project: fmt.Sprint("team-", i%40), Name: fmt.Sprintf("web-%08x", uint32(i*2654435761+round)), MAC: fmt.Sprintf("00:16:3e:%02x:%02x:%02x", i>>16&255, i>>8&255, i&255),
		}
	}
	return list
}

// The file does not grow with the passes: what is freed is used again.
func TestTheFileStaysSmall(t *testing.T) {
	s := newQuick(t)
	var half int64
	for i := range 5000 {
		pass := Pass{Start: time.Now(), Trigger: "schedule", Sources: make([]PassSource, 5), Error: strings.Repeat("e", i%3000)}
		_, err := s.AddPass(pass)
		require.NoError(t, err)
		if i%5 == 0 {
			require.NoError(t, s.SetSaid(Said{Source: fmt.Sprint(i % 4), Allocations: allocations(500+i*37%700, i)}))
			require.NoError(t, s.SetPending([]Pending{{Changes: make([]string, i%500)}}))
		}
		if i == 2500 {
			half = mustSize(t, s)
		}
	}
	list, err := s.Passes(0)
	require.NoError(t, err)
	require.Len(t, list, maxPasses)
	require.Equal(t, uint64(5000), list[0].ID)
	require.Less(t, mustSize(t, s), int64(10<<20))
	require.LessOrEqual(t, mustSize(t, s), 2*half)
}

func TestPassesAreBounded(t *testing.T) {
	s := newQuick(t)
	long := strings.Repeat("ä", 10_000)
	lines := make([]string, 1000)
	for i := range lines {
		lines[i] = fmt.Sprint(i, long)
	}
	pass := Pass{Trigger: long, Detail: long, Outcome: "\xff", Error: long, Digest: long, Asked: lines}
	for range 1000 {
		pass.Sources = append(pass.Sources, PassSource{Name: long, Owner: long, Answer: long, Missing: lines})
	}
	kept, err := s.AddPass(pass)
	require.NoError(t, err)
	require.Len(t, kept.Sources, maxSources)
	require.Len(t, kept.Sources[0].Missing, maxMissing)
	require.Equal(t, "… and 981 more", kept.Sources[0].Missing[maxMissing-1])
	require.Len(t, pass.Sources[0].Missing, 1000, "the caller's stays as it is")
	require.LessOrEqual(t, len(kept.Error), maxText)
	require.True(t, strings.HasSuffix(kept.Error, "ä…"))
	require.Equal(t, "\uFFFD", kept.Outcome)
	list, err := s.Passes(0)
	require.NoError(t, err)
	require.Equal(t, []Pass{kept}, list)

	pending := make([]Pending, 100)
	for i := range pending {
		pending[i] = Pending{Digest: long, Asked: lines, Changes: lines, Owners: make([]PendingOwner, 1000)}
	}
	require.NoError(t, s.SetPending(pending))
	require.Len(t, pending[0].Changes, 1000)
	got, err := s.Pending()
	require.NoError(t, err)
	require.Len(t, got, maxPending)
	require.Len(t, got[0].Changes, maxChanges)
	require.Equal(t, "… and 501 more", got[0].Changes[maxChanges-1])
	require.Len(t, got[0].Owners, maxOwners)
	require.Less(t, mustSize(t, s), int64(16<<20))
}

func TestClip(t *testing.T) {
	require.Equal(t, "abc", clip("abc", 3))
	require.Equal(t, "a…", clip("abcde", 4))
	require.Equal(t, "…", clip("ääää", 4))
	require.Equal(t, "ä…", clip("ääää", 5))
	require.Nil(t, clipLines(nil, 2, 10))
	require.Equal(t, []string{"a", "b"}, clipLines([]string{"a", "b"}, 2, 10))
	require.Equal(t, []string{"a", "… and 2 more"}, clipLines([]string{"a", "b", "c"}, 2, 10))
}

func TestSaidIsBounded(t *testing.T) {
	s := newQuick(t)
	require.NoError(t, s.SetSaid(Said{Source: "big", Allocations: make([]Allocation, maxAllocations+5), More: 1}))
	list, err := s.Said()
	require.NoError(t, err)
	require.Len(t, list[0].Allocations, maxAllocations)
	require.Equal(t, 6, list[0].More)
	require.ErrorContains(t, s.SetSaid(Said{}), `keep what source "" said: a name of 1 to 500 bytes is needed`)
	require.Error(t, s.SetSaid(Said{Source: strings.Repeat("x", 501)}))
	for i := range maxSaid - 1 {
		require.NoError(t, s.SetSaid(Said{Source: fmt.Sprint(i)}))
	}
	require.ErrorContains(t, s.SetSaid(Said{Source: "one more"}), "there are 200 sources already")
	require.NoError(t, s.SetSaid(Said{Source: "big"}))
	require.NoError(t, s.KeepSources([]string{"1", "big", "unknown"}))
	list, err = s.Said()
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, "1", list[0].Source)
	require.Empty(t, list[1].Allocations)
	require.NoError(t, s.db.View(func(tx *bbolt.Tx) error {
		require.Len(t, keys(tx.Bucket([]byte(allocationsBucket))), 2)
		return nil
	}))
}

// A source that says the same again costs a small write.
func TestTheSameAgain(t *testing.T) {
	s := newQuick(t)
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	written := func() (n int64) { // pages, by the number of the last one in use
		require.NoError(t, s.db.View(func(tx *bbolt.Tx) error { n = tx.Size(); return nil }))
		return n
	}
	require.NoError(t, s.SetSaid(Said{Source: "a", At: at, Allocations: allocations(20_000, 0)}))
	before := written()
	require.NoError(t, s.SetSaid(Said{Source: "a", At: at.Add(time.Hour), Complete: true, Allocations: allocations(20_000, 0)}))
	require.LessOrEqual(t, written()-before, int64(8*os.Getpagesize()))
	list, err := s.Said()
	require.NoError(t, err)
	require.Equal(t, Said{Source: "a", At: at.Add(time.Hour), Complete: true, Allocations: allocations(20_000, 0)}, list[0])
}

// 100,000 allocations, for the sizes and times in the decision.
func BenchmarkSaid(b *testing.B) {
	s, err := Open(b.TempDir())
	require.NoError(b, err)
	list := allocations(100_000, 0)
	b.Run("set", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			list[0].Name = fmt.Sprint(i)
			require.NoError(b, s.SetSaid(Said{Source: "a", Allocations: list}))
		}
	})
	b.Run("same", func(b *testing.B) {
		for b.Loop() {
			require.NoError(b, s.SetSaid(Said{Source: "a", Allocations: list}))
		}
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			_, err := s.Said()
			require.NoError(b, err)
		}
	})
	text, _ := json.Marshal(list)
	sealed, _ := sealText("b", "k", text)
	b.Logf("%d KiB of JSON, %d KiB in the file of %d KiB", len(text)>>10, len(sealed)>>10, mustSize(b, s)>>10)
	name := s.db.Path()
	require.NoError(b, s.Close())
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			s, err := Open(filepath.Dir(name))
			require.NoError(b, err)
			require.NoError(b, s.Close())
		}
	})
}

// Samples for 200 days: 400 samples over 90 days, evenly.
func TestThinning(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var list []Sample
	for _, every := range []time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour} {
		list = nil
		for at := start; at.Before(start.Add(200 * 24 * time.Hour)); at = at.Add(every) {
			x := Sample{At: at, Used: float64(at.Unix() / 60)} // another value each time
			list, _ = addSample(list, x)
			require.LessOrEqual(t, len(list), maxSamples)
			require.Equal(t, at, list[len(list)-1].At)
		}
		covered := list[len(list)-1].At.Sub(list[0].At)
		require.LessOrEqual(t, covered, sampleSpan)
		require.Greater(t, covered, sampleSpan*95/100)
		require.Greater(t, len(list), maxSamples*9/10)
		widest := time.Duration(0)
		for i := 1; i < len(list); i++ {
			widest = max(widest, list[i].At.Sub(list[i-1].At))
		}
		require.Less(t, widest, 3*sampleEvery, "every %s", every)
	}
	// A young series is not coarse.
	list = nil
	for i := range 300 {
		list, _ = addSample(list, Sample{At: start.Add(time.Duration(i) * time.Minute), Used: float64(i)})
	}
	require.Len(t, list, 300)
	for i := range 2000 {
		list, _ = addSample(list, Sample{At: start.Add(time.Duration(300+i) * time.Minute), Used: float64(i)})
	}
	require.Len(t, list, maxSamples)
	require.Equal(t, start, list[0].At)
}

func TestSamples(t *testing.T) {
	s := newQuick(t)
	at := func(h float64) time.Time {
		return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(h * float64(time.Hour)))
	}
	hours := func(series string) []float64 {
		list, err := s.Samples(series)
		require.NoError(t, err)
		var out []float64
		for _, x := range list {
			out = append(out, x.At.Sub(at(0)).Hours())
		}
		return out
	}
	for _, h := range []float64{0, 1, 2, 3, 6, 7} {
		require.NoError(t, s.AddSample("same", Sample{at(h), 1, 2}))
	}
	require.Equal(t, []float64{0, 6}, hours("same"), "repeated only after five hours")
	require.NoError(t, s.AddSample("same", Sample{at(8), 1, 3}))
	require.Equal(t, []float64{0, 6, 8}, hours("same"))
	require.NoError(t, s.AddSample("same", Sample{at(7), 1, 3}))
	require.Equal(t, []float64{0, 6, 7}, hours("same"), "the clock was set back")

	require.NoError(t, s.AddSamples(map[string]Sample{
		"nan": {at(0), math.NaN(), 1}, "inf": {at(0), 1, math.Inf(1)}, "old": {time.Unix(0, 0), 1, 1}, "none": {}, "good": {at(0), 1, 1},
		"late": {time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC), 1, 1}, "": {at(0), 1, 1}, strings.Repeat("x", 5000): {at(1), 1, 1}, strings.Repeat("x", 5001): {at(2), 1, 1},
	}))
	for _, name := range []string{"nan", "inf", "old", "none", "late"} {
		require.Empty(t, hours(name))
	}
	require.Equal(t, []float64{0}, hours("good"))
	require.Equal(t, []float64{0}, hours(""))
	require.Equal(t, []float64{1}, hours(strings.Repeat("x", 5000)))
	require.Equal(t, []float64{2}, hours(strings.Repeat("x", 5001)))
}

func TestSeriesAreBounded(t *testing.T) {
	s := newQuick(t)
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	first, second := map[string]Sample{}, map[string]Sample{}
	for i := range maxSeries {
		first[fmt.Sprintf("a%04d", i)] = Sample{at.Add(time.Duration(i) * time.Second), 1, 1}
	}
	require.NoError(t, s.AddSamples(first))
	for i := range 10 {
		second[fmt.Sprint("b", i)] = Sample{at.Add(24 * time.Hour), 1, 1}
	}
	second["a0003"] = Sample{at.Add(24 * time.Hour), 2, 1}
	require.NoError(t, s.AddSamples(second))
	require.NoError(t, s.db.View(func(tx *bbolt.Tx) error {
		names := keys(tx.Bucket([]byte(samplesBucket)))
		require.Len(t, names, maxSeries)
		require.Equal(t, []string{"a0003", "a0011", "a0012"}, names[:3])
		return nil
	}))
	require.NoError(t, s.AddSamples(nil))
}

// All that can be kept, at its full size, is far below the bound of the file.
func BenchmarkSamples(b *testing.B) {
	s := newQuick(b)
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	list := make([]Sample, maxSamples)
	for i := range list {
		list[i] = Sample{at.Add(time.Duration(i) * sampleEvery), float64(i * 7919 % 60000), 65534}
	}
	require.NoError(b, s.db.Update(func(tx *bbolt.Tx) error {
		for i := range maxSeries {
			if err := put(tx, samplesBucket, fmt.Sprint(i), pointsOf(list)); err != nil {
				return err
			}
		}
		return nil
	}))
	n := 0
	for b.Loop() {
		n++
		added := map[string]Sample{}
		for i := range maxSeries {
			added[fmt.Sprint(i)] = Sample{list[maxSamples-1].At.Add(time.Duration(n) * time.Minute), float64(n), 1}
		}
		require.NoError(b, s.AddSamples(added))
	}
	b.Logf("%d KiB", mustSize(b, s)>>10)
}
