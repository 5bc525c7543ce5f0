package state_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/state"
)

const fileName = "allocsync.db"

func mustOpen(tb testing.TB, dir string) *state.Store {
	tb.Helper()
	s, err := state.Open(dir)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// reopened closes a store and opens its folder again, with nothing to notice.
func reopened(tb testing.TB, s *state.Store, dir string) *state.Store {
	tb.Helper()
	require.NoError(tb, s.Close())
	s = mustOpen(tb, dir)
	require.Empty(tb, s.Notice())
	return s
}

// moment is a time that JSON keeps as it is.
func moment(minutes int) time.Time {
	return time.Date(2026, 3, 1, 12, minutes, 0, 0, time.UTC)
}

func mustPasses(tb testing.TB, s *state.Store, limit int) []state.Pass {
	tb.Helper()
	list, err := s.Passes(limit)
	require.NoError(tb, err)
	return list
}

func TestEverythingComesBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := mustOpen(t, dir)
	require.Empty(t, s.Notice())
	require.Empty(t, mustPasses(t, s, 0))

	pass := state.Pass{
		Start: moment(0), End: moment(1), Trigger: "webhook", Detail: "ip address 12 updated by alice", Asked: []string{"lab"},
		Sources: []state.PassSource{{Name: "lab", Owner: "dc1/lab", Answer: "incomplete", Missing: []string{"project x: refused"}, Allocations: 1, Rows: 2,
			InStep: 3, Created: 4, Updated: 5, Deleted: 6, Held: 7, Failed: 8, Took: time.Second}},
		Requests: 9, RowsRead: 10, RowsWritten: 11, Outcome: "partly", Error: "no", Digest: "abc",
	}
	kept, err := s.AddPass(pass)
	require.NoError(t, err)
	pass.ID = 1
	require.Equal(t, pass, kept)
	second, err := s.AddPass(state.Pass{Start: moment(2), End: moment(3)})
	require.NoError(t, err)
	require.Equal(t, uint64(2), second.ID)

	pending := []state.Pending{{Digest: "abc", Asked: []string{"lab"}, Since: moment(1), Owners: []state.PendingOwner{{Owner: "dc1/lab", Rows: 100, Updates: 1, Deletes: 90, Limit: "more than 50 deletes"}}, Changes: []string{"delete 10.0.0.1/32"}}}
	require.NoError(t, s.SetPending(pending))
	said := []state.Said{
		{Source: "lab", At: moment(1), Complete: true, Allocations: []state.Allocation{{UsedBy: "/1.0/instances/a", Kind: "address", Address: "10.0.0.1/32", Type: "instance", Network: "br0", Project: "p", Name: "a", MAC: "00:16:3e:00:00:01", Inside: "10.0.0.2", NextHop: "10.0.0.3", Dynamic: true, NAT: true}}},
		{Source: "other", At: moment(2)},
	}
	require.NoError(t, s.SetSaid(said[1]))
	require.NoError(t, s.SetSaid(said[0]))
	require.NoError(t, s.AddSample("10.0.0.0/24", state.Sample{At: moment(1), Used: 1.5, Capacity: 254}))

	s = reopened(t, s, dir)
	require.Equal(t, []state.Pass{second, pass}, mustPasses(t, s, 0))
	require.Equal(t, []state.Pass{second}, mustPasses(t, s, 1))
	got, err := s.Pending()
	require.NoError(t, err)
	require.Equal(t, pending, got)
	heard, err := s.Said()
	require.NoError(t, err)
	require.Equal(t, said, heard)
	samples, err := s.Samples("10.0.0.0/24")
	require.NoError(t, err)
	require.Len(t, samples, 1)
	require.True(t, samples[0].At.Equal(moment(1)))
	require.Equal(t, []float64{1.5, 254}, []float64{samples[0].Used, samples[0].Capacity})
	samples, err = s.Samples("10.0.1.0/24")
	require.NoError(t, err)
	require.Empty(t, samples)

	require.NoError(t, s.SetPending(nil))
	got, err = s.Pending()
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestNobodyElseMayRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := mustOpen(t, dir)
	mode := func(name string) fs.FileMode {
		stat, err := os.Stat(name)
		require.NoError(t, err)
		return stat.Mode().Perm()
	}
	require.Equal(t, fs.FileMode(0o700), mode(dir))
	require.Equal(t, fs.FileMode(0o600), mode(filepath.Join(dir, fileName)))
	require.Equal(t, fs.FileMode(0o600), mode(filepath.Join(dir, "allocsync.lock")))
	require.NoError(t, s.Close())
	require.NoError(t, os.Chmod(filepath.Join(dir, fileName), 0o644))
	mustOpen(t, dir)
	require.Equal(t, fs.FileMode(0o600), mode(filepath.Join(dir, fileName)))
}

func TestOneProcessPerFolder(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	_, err := s.AddPass(state.Pass{})
	require.NoError(t, err)
	for range 2 {
		_, err := state.Open(dir)
		var locked *state.LockedError
		require.ErrorAs(t, err, &locked)
		require.Equal(t, os.Getpid(), locked.PID)
		require.Equal(t, dir, locked.Dir)
		host, _ := os.Hostname()
		require.EqualError(t, err, fmt.Sprintf("open state folder %s: another allocsync, process %d on %s is using it; stop that one, or give this one a folder of its own with --state-dir", dir, os.Getpid(), host))
	}
	require.Len(t, mustPasses(t, s, 0), 1, "the first one goes on")
	s = reopened(t, s, dir)
	require.Len(t, mustPasses(t, s, 0), 1)

	// A file of garbage in place of the process's ID.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "allocsync.lock"), []byte("\x00\xff garbage\n\n"), 0o600))
	_, err = state.Open(dir)
	require.ErrorContains(t, err, dir+": another process is using it; ")
}

// Many begin at the same moment, on a damaged file: one of them has it, and the
// others are told.
func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, fileName), []byte(strings.Repeat("garbage", 10_000)), 0o600))
	var wg sync.WaitGroup
	stores, faults := make([]*state.Store, 16), make([]error, 16)
	for i := range stores {
		wg.Go(func() { stores[i], faults[i] = state.Open(dir) })
	}
	wg.Wait()
	opened := 0
	for i, err := range faults {
		if err == nil {
			opened++
			require.NotEmpty(t, stores[i].Notice())
			require.NoError(t, stores[i].Close())
			continue
		}
		var locked *state.LockedError
		require.ErrorAs(t, err, &locked)
	}
	require.Equal(t, 1, opened)
	require.Len(t, mustBroken(t, dir), 1)
}

func mustBroken(tb testing.TB, dir string) []string {
	tb.Helper()
	list, err := filepath.Glob(filepath.Join(dir, fileName+".broken-*"))
	require.NoError(tb, err)
	return list
}

// At most five of the files that were set aside are kept, and none of them is
// overwritten, not even within one second.
func TestFilesSetAside(t *testing.T) {
	dir := t.TempDir()
	for i := range 8 {
		text := fmt.Sprintf("garbage %d", i)
		require.NoError(t, os.WriteFile(filepath.Join(dir, fileName), []byte(text), 0o600))
		s := mustOpen(t, dir)
		require.Contains(t, s.Notice(), "cannot be used (the file is damaged: ")
		name := s.Notice()[strings.Index(s.Notice(), "kept as ")+len("kept as "):]
		name, _, _ = strings.Cut(name, ",")
		kept, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, text, string(kept))
		require.Regexp(t, `allocsync\.db\.broken-\d{8}-\d{6}(-\d)?$`, name)
		_, err = s.AddPass(state.Pass{})
		require.NoError(t, err)
		require.NoError(t, s.Close())
		require.Len(t, mustBroken(t, dir), min(i+1, 5))
		time.Sleep(2 * time.Millisecond) // the age of a file tells which is the oldest
	}
	for _, name := range mustBroken(t, dir) {
		kept, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Greater(t, string(kept), "garbage 2", "the newest are kept")
	}
}

func TestFoldersThatCannotBeUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := state.Open(file)
	require.ErrorContains(t, err, "open state folder "+file+": ")
	_, err = state.Open("")
	require.EqualError(t, err, "open state folder: no folder is named")

	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, fileName), 0o700))
	_, err = state.Open(dir)
	require.ErrorContains(t, err, fileName+" is not a file")
	require.Empty(t, mustBroken(t, dir))
	require.NoError(t, os.Remove(filepath.Join(dir, fileName)))
	mustOpen(t, dir) // and the lock is free again
}

// A Store that is nil keeps nothing, and says nothing of it.
func TestWithoutAFolder(t *testing.T) {
	var s *state.Store
	p, err := s.AddPass(state.Pass{Trigger: "start"})
	require.NoError(t, err)
	require.Equal(t, "start", p.Trigger)
	require.Empty(t, mustPasses(t, s, 0))
	require.NoError(t, s.SetPending([]state.Pending{{}}))
	pending, err := s.Pending()
	require.NoError(t, err)
	require.Empty(t, pending)
	require.NoError(t, s.SetSaid(state.Said{Source: "a"}))
	said, err := s.Said()
	require.NoError(t, err)
	require.Empty(t, said)
	require.NoError(t, s.KeepSources(nil))
	require.NoError(t, s.AddSample("a", state.Sample{At: moment(0)}))
	samples, err := s.Samples("a")
	require.NoError(t, err)
	require.Empty(t, samples)
	require.Empty(t, s.Notice())
	require.NoError(t, s.Close())
}

func TestAfterClose(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	require.NoError(t, s.Close())
	_, err := s.AddPass(state.Pass{})
	require.ErrorContains(t, err, "keep pass: ")
	_, err = s.Passes(1)
	require.ErrorContains(t, err, "read passes: ")
}

func TestAtTheSameTime(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 10 {
				name := fmt.Sprint(i)
				_, err := s.AddPass(state.Pass{Detail: name})
				err = errors.Join(err, s.SetSaid(state.Said{Source: name, At: moment(n)}), s.AddSample("one", state.Sample{At: moment(4*n + i), Used: float64(i)}), s.SetPending([]state.Pending{{Digest: name}}))
				_, e1 := s.Passes(5)
				_, e2 := s.Said()
				_, e3 := s.Samples("one")
				if err = errors.Join(err, e1, e2, e3); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	list := mustPasses(t, s, 0)
	require.Len(t, list, 40)
	for i, p := range list {
		require.Equal(t, uint64(40-i), p.ID)
	}
}
