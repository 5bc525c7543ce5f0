package state

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
)

// everything is all that a store hands out.
type everything struct {
	Passes  []Pass
	Pending []Pending
	Said    []Said
	Samples [][]Sample
}

func contents(s *Store) (everything, error) {
	var all everything
	var errs [3]error
	all.Passes, errs[0] = s.Passes(0)
	all.Pending, errs[1] = s.Pending()
	all.Said, errs[2] = s.Said()
	for i := range 8 {
		list, err := s.Samples(fmt.Sprint("series ", i))
		if err != nil {
			return all, err
		}
		all.Samples = append(all.Samples, list)
	}
	return all, errors.Join(errs[:]...)
}

// filled makes a file with something of everything, free pages and branches,
// and returns it with what is in it, and what was before the last write.
func filled(tb testing.TB, n int) (file []byte, now, before string) {
	tb.Helper()
	dir := tb.TempDir()
	s, err := Open(dir)
	require.NoError(tb, err)
	s.db.NoSync = true
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range n {
		_, err = s.AddPass(Pass{Start: at, Detail: fmt.Sprint(i), Sources: []PassSource{{Name: "a", Missing: []string{strings.Repeat("y", 100)}}}})
		require.NoError(tb, err)
		samples := map[string]Sample{}
		for j := range 8 {
			samples[fmt.Sprint("series ", j)] = Sample{At: at.Add(time.Duration(i) * time.Minute), Used: float64(i * j)}
		}
		require.NoError(tb, s.AddSamples(samples))
		require.NoError(tb, s.SetPending([]Pending{{Digest: fmt.Sprint(i), Changes: []string{strings.Repeat("z", i)}}}))
		said := Said{Source: fmt.Sprint(i % 3), At: at}
		for j := range 200 {
			said.Allocations = append(said.Allocations, Allocation{UsedBy: fmt.Sprintf("%x", (i+1)*(j+1)*7919)})
		}
		require.NoError(tb, s.SetSaid(said))
	}
	text := func() string {
		all, err := contents(s)
		require.NoError(tb, err)
		out, err := json.Marshal(all)
		require.NoError(tb, err)
		return string(out)
	}
	before = text()
	require.NoError(tb, s.SetPending([]Pending{{Digest: "last", Changes: []string{"last"}}}))
	now = text()
	require.NoError(tb, s.Close())
	file, err = os.ReadFile(filepath.Join(dir, fileName))
	require.NoError(tb, err)
	return file, now, before
}

func checked(file []byte) error {
	return check(historyForm(), bytes.NewReader(file), int64(len(file)), time.Now().Add(time.Minute))
}

// mustOpenAs opens a file that was damaged as a program would find it.
func mustOpenAs(tb testing.TB, file []byte) (notice, text string) {
	tb.Helper()
	dir := tb.TempDir()
	require.NoError(tb, os.WriteFile(filepath.Join(dir, fileName), file, 0o600))
	s, err := Open(dir)
	require.NoError(tb, err)
	s.db.NoSync = true
	all, err := contents(s)
	require.NoError(tb, err)
	out, err := json.Marshal(all)
	require.NoError(tb, err)
	for range 3 { // it can be written to
		_, err = s.AddPass(Pass{})
		require.NoError(tb, err)
		require.NoError(tb, s.SetSaid(Said{Source: "new", At: time.Now(), Allocations: make([]Allocation, 100)}))
	}
	require.NoError(tb, s.Close())
	after, err := os.ReadFile(filepath.Join(dir, fileName))
	require.NoError(tb, err)
	require.NoError(tb, checked(after))
	if s.Notice() != "" {
		kept, err := filepath.Glob(filepath.Join(dir, fileName+brokenMark+"*"))
		require.NoError(tb, err)
		require.Len(tb, kept, 1)
		aside, err := os.ReadFile(kept[0])
		require.NoError(tb, err)
		require.True(tb, bytes.Equal(file, aside), "kept as it was")
	}
	return s.Notice(), string(out)
}

func TestASoundFile(t *testing.T) {
	for _, n := range []int{1, 2, 10, 60} {
		file, now, _ := filled(t, n)
		require.NoError(t, checked(file))
		notice, text := mustOpenAs(t, file)
		require.Empty(t, notice)
		require.Equal(t, now, text)
	}
}

// What our own walk calls sound, bbolt's calls sound as well, and in many
// states of a file.
func TestBboltAgrees(t *testing.T) {
	name := filepath.Join(t.TempDir(), fileName)
	for n := 1; n < 60; n += 11 {
		file, _, _ := filled(t, n)
		require.NoError(t, os.WriteFile(name, file, 0o600))
		db, err := bbolt.Open(name, 0o600, nil)
		require.NoError(t, err)
		require.NoError(t, db.View(func(tx *bbolt.Tx) error {
			for err := range tx.Check() {
				t.Error(err)
			}
			return nil
		}))
		require.NoError(t, db.Close())
		require.NoError(t, checked(file))
	}
}

func TestFilesCutOff(t *testing.T) {
	file, _, _ := filled(t, 20)
	for n := 0; n < len(file); n += 4096 {
		for _, cut := range []int{n, n + 1, n + 2000} {
			if err := checked(file[:min(cut, len(file)-1)]); err != nil {
				require.ErrorIs(t, err, errBroken, "%d", cut)
			}
		}
	}
	for _, n := range []int{0, 1, 100, 4096, 8192, 16384, len(file) / 2} {
		notice, _ := mustOpenAs(t, file[:n])
		require.Contains(t, notice, "cannot be used (the file is damaged: it ", "%d", n)
	}
}

func TestFilesOfGarbage(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	file, _, _ := filled(t, 20)
	for _, n := range []int{1, 4096, 70_000} {
		garbage := make([]byte, n)
		_, _ = random.Read(garbage)
		notice, _ := mustOpenAs(t, garbage)
		require.NotEmpty(t, notice)
		notice, _ = mustOpenAs(t, make([]byte, n))
		require.NotEmpty(t, notice)
	}
	// Sound roots, and garbage or nothing behind them.
	garbage := bytes.Clone(file)
	_, _ = random.Read(garbage[8192:])
	notice, _ := mustOpenAs(t, garbage)
	require.NotEmpty(t, notice)
	clear(garbage[8192:])
	notice, _ = mustOpenAs(t, garbage)
	require.NotEmpty(t, notice)
	// One page of another, in turn.
	size := os.Getpagesize()
	for page := 2; page < len(file)/size; page++ {
		mixed := bytes.Clone(file)
		copy(mixed[page*size:(page+1)*size], file[(page-1)*size:])
		if checked(mixed) == nil {
			_, _ = mustOpenAs(t, mixed)
		}
	}
}

// One bit that is wrong, anywhere: either it is noticed, or everything is there
// as it was, or as it was before the last write.
func TestWrongBits(t *testing.T) {
	file, now, before := filled(t, 12)
	random := rand.New(rand.NewPCG(1, 2))
	noticed, opened := 0, 0
	for i := 0; i < len(file); i++ {
		if i > 16384 {
			i = min(i+random.IntN(20), len(file)-1) // the first pages byte for byte
		}
		bit := byte(1) << random.IntN(8)
		file[i] ^= bit
		err := checked(file)
		switch {
		case err != nil:
			if !errors.Is(err, errLayout) {
				require.ErrorIs(t, err, errBroken)
			}
			noticed++
			if noticed%500 == 0 {
				notice, _ := mustOpenAs(t, file)
				require.NotEmpty(t, notice)
			}
		case random.IntN(100) == 0 || i < 8192 && i%4096 < 100: // the roots: all of them
			opened++
			notice, text := mustOpenAs(t, file)
			require.Empty(t, notice)
			if text != now {
				require.Equal(t, before, text, "byte %d", i)
			}
		}
		file[i] ^= bit
	}
	t.Logf("%d bytes, %d noticed, %d of the others opened", len(file), noticed, opened)
	require.Greater(t, noticed, 1000)
	require.Greater(t, opened, 50)
}

// inPages calls damage with a copy of the file for every page of a kind that is
// in use; it changes the page, which is at an offset, and says whether it could.
func inPages(t *testing.T, file []byte, kind byte, damage func(file []byte, at int) bool) (faults int) {
	t.Helper()
	w := newWalk(historyForm(), bytes.NewReader(file), int64(len(file)), time.Now().Add(time.Minute))
	m, err := w.newest()
	require.NoError(t, err)
	require.NoError(t, check(w.form, w.file, w.size, time.Now().Add(time.Minute)))
	w.page, w.high, w.seen = m.page, m.high, make([]bool, m.high)
	require.NoError(t, w.tree(m.root, span{}, "", 0)) // meets those in use
	for page := 2; page < int(m.high); page++ {
		at := page * int(m.page)
		if file[at+8] != kind || page != int(m.free) && !w.seen[page] {
			continue
		}
		damaged := bytes.Clone(file)
		if !damage(damaged, at) {
			continue
		}
		require.ErrorIs(t, checked(damaged), errBroken, "page %d", page)
		faults++
	}
	return faults
}

// Each of these is a fault that nothing but one check sees.
func TestFaultsOfStructure(t *testing.T) {
	file, _, _ := filled(t, 60)
	e := binary.NativeEndian
	count := func(by int) func(file []byte, at int) bool {
		return func(file []byte, at int) bool {
			n := int(e.Uint16(file[at+10:]))
			e.PutUint16(file[at+10:], uint16(n+by))
			return n > 1
		}
	}
	require.Positive(t, inPages(t, file, leafPage, count(-1)), "values that are not counted")
	require.Positive(t, inPages(t, file, leafPage, count(1)), "values that are not there")
	require.Positive(t, inPages(t, file, leafPage, func(file []byte, at int) bool {
		e.PutUint32(file[at+pageHeader+4:], e.Uint32(file[at+pageHeader+4:])+1)
		return e.Uint16(file[at+10:]) > 0
	}), "a key that begins a byte later")
	require.Positive(t, inPages(t, file, branchPage, func(file []byte, at int) bool {
		e.PutUint32(file[at+pageHeader:], e.Uint32(file[at+pageHeader:])+1)
		return true
	}), "a key of a branch that begins a byte later")
	require.Positive(t, inPages(t, file, leafPage, func(file []byte, at int) bool {
		one, two := file[at+pageHeader:], file[at+pageHeader+element:]
		n := int(e.Uint32(one[8:]) + e.Uint32(one[12:])) // of key and value
		if e.Uint16(file[at+10:]) < 2 || !bytes.Equal(one[8:16], two[8:16]) || one[0] != 0 {
			return false
		}
		first := one[e.Uint32(one[4:]):][:n]
		second := two[e.Uint32(two[4:]):][:n]
		kept := bytes.Clone(first)
		copy(first, second)
		copy(second, kept)
		return true
	}), "two values in the wrong order")
	require.Equal(t, 1, inPages(t, file, freePage, count(-1)), "a page that nobody has")
	require.Equal(t, 1, inPages(t, file, freePage, func(file []byte, at int) bool {
		n := int(e.Uint16(file[at+10:]))
		e.PutUint16(file[at+10:], uint16(n+1))
		copy(file[at+pageHeader+n*8:], file[at+pageHeader:at+pageHeader+8])
		return n > 0
	}), "a page that is free twice")
	require.Positive(t, inPages(t, file, branchPage, func(file []byte, at int) bool {
		copy(file[at+pageHeader+8:], file[at:at+8])
		return true
	}), "a page whose first child is itself")
	require.Positive(t, inPages(t, file, branchPage, func(file []byte, at int) bool {
		second := at + pageHeader + element
		key := second + int(e.Uint32(file[second:])) + int(e.Uint32(file[second+4:])) - 1
		file[key]++ // the first key of that child is below
		return e.Uint16(file[at+10:]) > 1 && file[key] != 0
	}), "a branch that leads past its keys")
}

func TestOtherLayouts(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	require.NoError(t, err)
	require.NoError(t, s.db.Update(func(tx *bbolt.Tx) error {
		// Values of another layout may be of any form.
		if err := tx.Bucket([]byte(passesBucket)).Put([]byte("x"), []byte("y")); err != nil {
			return err
		}
		if _, err := tx.CreateBucket([]byte("zebras")); err != nil {
			return err
		}
		return tx.Bucket([]byte(aboutBucket)).Put([]byte(layoutKey), []byte("2"))
	}))
	require.NoError(t, s.Close())
	s, err = Open(dir)
	require.NoError(t, err)
	require.Contains(t, s.Notice(), `(the file is of another version of allocsync: layout "2", this one writes 1): kept as `+dir)
	require.NoError(t, s.Close())
	s, err = Open(dir)
	require.NoError(t, err)
	require.Empty(t, s.Notice())
	require.NoError(t, s.Close())

	// A file of another program.
	dir = t.TempDir()
	db, err := bbolt.Open(filepath.Join(dir, fileName), 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	s, err = Open(dir)
	require.NoError(t, err)
	require.Contains(t, s.Notice(), "it is not a whole state file of allocsync")
	require.NoError(t, s.Close())

	// One without one of our buckets.
	dir = t.TempDir()
	s, err = Open(dir)
	require.NoError(t, err)
	require.NoError(t, s.db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(saidBucket)) }))
	require.NoError(t, s.Close())
	s, err = Open(dir)
	require.NoError(t, err)
	require.Contains(t, s.Notice(), "it is not a whole state file of allocsync")
	require.NoError(t, s.Close())
}

// A check that takes too long sets nothing aside.
func TestASlowDisk(t *testing.T) {
	file, _, _ := filled(t, 2)
	err := check(historyForm(), bytes.NewReader(file), int64(len(file)), time.Now().Add(-time.Second))
	require.EqualError(t, err, "checking the state file takes too long")
	err = check(historyForm(), failing{}, 1<<20, time.Now().Add(time.Minute))
	require.Error(t, err)
}

type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, errors.New("input/output error") }

// A file that is cut off while it is open ends no program.
func TestAFileThatIsCutOffLater(t *testing.T) {
	file, _, _ := filled(t, 60)
	dir := t.TempDir()
	name := filepath.Join(dir, fileName)
	require.NoError(t, os.WriteFile(name, file, 0o600))
	s, err := Open(dir)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(name, 8192))
	_, err = contents(s)
	require.ErrorIs(t, err, errBroken)
}

// Whatever is in a file, the check ends and bbolt can deal with what it lets
// pass.
func FuzzCheck(f *testing.F) {
	file, _, _ := filled(f, 3)
	f.Add(uint32(0), []byte{1})
	f.Add(uint32(8192), []byte("garbage"))
	f.Add(uint32(16384+8), []byte{1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, at uint32, text []byte) {
		damaged := bytes.Clone(file)
		for i, b := range text {
			damaged[(int(at)+i)%len(damaged)] ^= b
		}
		if err := checked(damaged); err != nil {
			require.True(t, errors.Is(err, errBroken) || errors.Is(err, errLayout), err.Error())
			return
		}
		if len(text) > 0 && text[0]%16 == 0 { // opening takes long
			notice, _ := mustOpenAs(t, damaged)
			require.Empty(t, notice)
		}
	})
}
