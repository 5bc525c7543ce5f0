package state_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/state"
)

const childVariable = "ALLOCSYNC_STATE_TEST_CHILD"

// TestMain runs this program as one that writes until it is killed, where it
// was started as such.
func TestMain(m *testing.M) {
	writer, dir, _ := strings.Cut(os.Getenv(childVariable), ":")
	switch writer {
	case "history":
		os.Exit(writeForEver(dir))
	case "ledger":
		os.Exit(reserveForEver(dir))
	}
	os.Exit(m.Run())
}

// writeForEver keeps round after round, and prints each one that is kept.
func writeForEver(dir string) int {
	s, err := state.Open(dir)
	if err != nil {
		fmt.Println("failed", err)
		return 1
	}
	for {
		p, err := s.AddPass(state.Pass{Detail: strings.Repeat("x", 400)})
		round := int(p.ID)
		if err == nil {
			err = s.SetPending([]state.Pending{{Digest: fmt.Sprint(round)}})
		}
		if err == nil {
			err = s.SetSaid(roundSaid(round))
		}
		if err == nil {
			err = s.AddSample("a", state.Sample{At: moment(round), Used: float64(round)})
		}
		if err != nil {
			fmt.Println("failed", err)
			return 1
		}
		fmt.Println(round, s.Notice())
	}
}

// roundSaid is of another size in every round.
func roundSaid(round int) state.Said {
	said := state.Said{Source: "a", At: moment(round)}
	for i := range 10 + round*37%400 {
		said.Allocations = append(said.Allocations, state.Allocation{UsedBy: fmt.Sprintf("%d/%x", round, i*i*7919+round*104729)})
	}
	return said
}

// killed runs such a program, kills it after a while, and returns the last
// round that it knew to be kept, and all that it said.
func killed(t *testing.T, writer, dir string, after time.Duration) (last int, text string) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childVariable+"="+writer+":"+dir)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	timer := time.AfterFunc(after, func() { _ = child.Process.Kill() })
	defer timer.Stop()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		text = lines.Text()
		if n := 0; !strings.HasPrefix(text, "failed") {
			_, err := fmt.Sscan(text, &n)
			require.NoError(t, err, text)
			last = n
			continue
		}
		break
	}
	_ = child.Wait()
	return last, text
}

// After kill -9 at any moment the file is sound, and nothing is lost but what
// was being written.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	rounds, printed := 0, 0 // the last one begun, and the last one known to be kept
	for range 20 {
		last, text := killed(t, "history", dir, 20*time.Millisecond+rand.N(150*time.Millisecond))
		require.NotContains(t, text, "failed")
		require.NotContains(t, text, "cannot be used")
		printed = max(printed, last)
		s := mustOpen(t, dir)
		require.Empty(t, s.Notice())
		list := mustPasses(t, s, 0)
		before := rounds
		if len(list) > 0 {
			rounds = int(list[0].ID)
		}
		require.GreaterOrEqual(t, rounds, max(before, printed), "none of those is lost that were there before")
		require.Len(t, list, min(rounds, 1000))
		for i, p := range list {
			require.Equal(t, rounds-i, int(p.ID))
			require.Len(t, p.Detail, 400)
		}
		if printed > 0 {
			requireKept(t, s, printed, rounds)
		}
		require.NoError(t, s.Close())
	}
	require.Greater(t, rounds, 20, "the test writes enough to mean something")
	require.Empty(t, mustBroken(t, dir))
}

// requireKept requires that everything but the passes is of a round between two.
func requireKept(t *testing.T, s *state.Store, from, to int) {
	t.Helper()
	within := func(round int) {
		require.GreaterOrEqual(t, round, from)
		require.LessOrEqual(t, round, to)
	}
	pending, err := s.Pending()
	require.NoError(t, err)
	round, err := strconv.Atoi(pending[0].Digest)
	require.NoError(t, err)
	within(round)
	said, err := s.Said()
	require.NoError(t, err)
	round = int(said[0].At.Sub(moment(0)).Minutes())
	within(round)
	require.Equal(t, roundSaid(round).Allocations, said[0].Allocations)
	samples, err := s.Samples("a")
	require.NoError(t, err)
	within(int(samples[len(samples)-1].Used))
}

// Killed while it makes its file: nothing half-made is found, and nothing is
// set aside.
func TestKilledAtTheBeginning(t *testing.T) {
	for i := range 20 {
		dir := filepath.Join(t.TempDir(), "state")
		killed(t, "history", dir, time.Duration(2+i)*time.Millisecond)
		s := mustOpen(t, dir)
		require.Empty(t, s.Notice())
		_, err := s.AddPass(state.Pass{})
		require.NoError(t, err)
		require.NoError(t, s.Close())
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "allocsync.db.new"), []byte("half of a fi"), 0o600))
	require.Empty(t, mustOpen(t, dir).Notice())
	require.NoFileExists(t, filepath.Join(dir, "allocsync.db.new"))
}

// The second process is told which the first one is.
func TestAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	_, text := killed(t, "history", dir, 20*time.Second)
	require.Contains(t, text, fmt.Sprintf("failed open state folder %s: another allocsync, process %d on ", dir, os.Getpid()))
	require.NoError(t, s.Close())
}
