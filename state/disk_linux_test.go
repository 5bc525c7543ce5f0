package state_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/state"
)

// A disk that is full: an error that says so, what was there stays, and with
// room again it goes on.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("needs root: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	fill := func(name string) string {
		path := filepath.Join(dir, name)
		f, err := os.Create(path)
		require.NoError(t, err)
		for err == nil {
			_, err = f.Write(make([]byte, 4096))
		}
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.NoError(t, f.Close())
		return path
	}
	path := fill("x")
	for range 2 {
		_, err := state.Open(dir)
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.ErrorContains(t, err, "make room there, or name another folder with --state-dir")
	}
	require.NoError(t, os.Remove(path))
	s := mustOpen(t, dir)
	require.Empty(t, s.Notice())
	_, err := s.AddPass(state.Pass{Detail: "before"})
	require.NoError(t, err)
	path = fill("y")
	lines := make([]string, 500)
	for i := range lines {
		lines[i] = fmt.Sprintf("%d %x", i, i*7919)
	}
	for range 3 {
		for i := range 50 { // what is free in the file goes first
			if err = s.SetSaid(state.Said{Source: fmt.Sprint(i), Allocations: []state.Allocation{{UsedBy: strings.Join(lines, " ")}}}); err != nil {
				break
			}
		}
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.ErrorContains(t, err, "make room in the state folder")
		require.Equal(t, "before", mustPasses(t, s, 0)[0].Detail)
	}
	require.NoError(t, os.Remove(path))
	_, err = s.AddPass(state.Pass{Detail: "after"})
	require.NoError(t, err)
	s = reopened(t, s, dir)
	require.Equal(t, "after", mustPasses(t, s, 1)[0].Detail)
}
