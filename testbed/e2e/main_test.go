package e2e_test

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// suite is what all tests share: the program, and names that no other run has.
type suite struct {
	folder string
	binary string
	run    string // begins every name that this run makes in NetBox and Incus
}

var theSuite suite

func TestMain(m *testing.M) {
	code, err := runSuite(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func runSuite(m *testing.M) (code int, err error) {
	folder, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	theSuite = suite{folder: folder, binary: filepath.Join(folder, "allocsync"), run: "e2e-" + randomHex(4)}
	if os.Getenv(netboxURL) != "" {
		if err := build(theSuite.binary); err != nil {
			return 1, err
		}
		if err := sweepScratch(); err != nil {
			return 1, err
		}
	}
	code = m.Run()
	if err := stopScratch(); err != nil {
		return code, err
	}
	return code, removeLeftovers()
}

// build makes the program as a release does: without cgo.
func build(binary string) error {
	cmd := exec.Command("go", "build", "-o", binary, "allocsync/cmd/allocsync")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build allocsync: %w\n%s", err, out)
	}
	return nil
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// skip skips the test, or fails it where MUST_RUN names what it needs.
func skip(t *testing.T, needs, why string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("MUST_RUN"), ","), needs) {
		t.Fatalf("MUST_RUN names %s, but %s", needs, why)
	}
	t.Skip(why)
}

func mustEnv(t *testing.T, needs, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		skip(t, needs, name+` is not set; see: testbed/all start, eval "$(testbed/all env)"`)
	}
	return v
}

// mustFolder returns a folder whose name is short enough for unix sockets,
// which t.TempDir's may not be.
func mustFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "e2e-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return folder
}
