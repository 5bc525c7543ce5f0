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

// On a full disk nothing is reserved that the ledger does not know: a change is
// refused whole, and what is there stays.
func TestFullDiskAndTheLedger(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("needs root: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	s := mustOpen(t, dir)
	first := []state.Reservation{reservation("dc1/lab", "/n", "10.0.0.1")}
	require.NoError(t, s.ChangeReservations(first, nil))
	path := filepath.Join(dir, "x")
	f, err := os.Create(path)
	require.NoError(t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, f.Close())
	kept, tried := first, 0
	for batch := 0; ; batch++ {
		more := make([]state.Reservation, 20)
		for i := range more {
			more[i] = reservation("dc1/lab", "/n", fmt.Sprintf("10.1.%03d.%03d", batch, i))
			more[i].Name = strings.Repeat("x", 400)
		}
		if err := s.ChangeReservations(more, nil); err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
			require.ErrorContains(t, err, "keep reservations: ")
			require.ErrorContains(t, err, "make room in the state folder")
			if tried++; tried > 3 {
				break
			}
		} else {
			kept = append(kept, more...)
		}
		require.Equal(t, kept, mustReservations(t, s))
	}
	require.NoError(t, s.Close())

	// A damaged one stays where it is until there is room for a new one, so that
	// what is said of it is not lost.
	ledger, err := os.OpenFile(filepath.Join(dir, ledgerName), os.O_RDWR, 0)
	require.NoError(t, err)
	magic := make([]byte, 4)
	_, err = ledger.ReadAt(magic, 16)
	require.NoError(t, err)
	_, err = ledger.WriteAt([]byte("none"), 16)
	require.NoError(t, err)
	_, err = state.Open(dir)
	require.ErrorIs(t, err, syscall.ENOSPC)
	_, err = ledger.WriteAt(magic, 16)
	require.NoError(t, err)
	require.NoError(t, ledger.Close())

	s = mustOpen(t, dir) // nothing is in the way of that
	require.Empty(t, s.Notices())
	require.Equal(t, kept, mustReservations(t, s))
	require.NoError(t, os.Remove(path))
	require.NoError(t, s.ChangeReservations(nil, kept))
	s = reopened(t, s, dir)
	require.Empty(t, mustReservations(t, s))
}
