package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// scratch is a second NetBox with a database of its own, for tests that change
// what all others would notice. Its folder is named after this process, so that
// a later run can tell one that was left behind.
var scratch struct {
	once   sync.Once
	server server
	folder string
	err    error
}

const scratchPrefix = "allocsync-e2e-"

func mustScratch(t *testing.T) server {
	t.Helper()
	mustNetBox(t)
	mustEnv(t, "netbox", netboxCtl)
	scratch.once.Do(func() {
		scratch.folder = filepath.Join(os.TempDir(), scratchPrefix+strconv.Itoa(os.Getpid()))
		if scratch.err = os.Mkdir(scratch.folder, 0o755); scratch.err != nil { //nolint:gosec // PostgreSQL's user passes through
			return
		}
		if _, scratch.err = control(scratch.folder, "start"); scratch.err != nil {
			return
		}
		var env string
		env, scratch.err = control(scratch.folder, "env")
		exported := map[string]string{}
		for line := range strings.Lines(env) {
			name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
			exported[name] = value
		}
		scratch.server = server{url: exported[netboxURL], token: exported[netboxToken], tokenV2: exported[netboxTokenV2]}
		secrets.add(scratch.server.token, scratch.server.tokenV2)
	})
	require.NoError(t, scratch.err)
	return scratch.server
}

// control runs testbed/netbox for the NetBox in a folder.
func control(folder string, args ...string) (string, error) {
	cmd := exec.Command(os.Getenv(netboxCtl), args...)
	cmd.Env = append(os.Environ(), "ALLOCSYNC_TESTBED="+folder)
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s in %s: %w\n%s", os.Getenv(netboxCtl), strings.Join(args, " "), folder, err, words.Bytes())
	}
	return out.String(), nil
}

// mustSet changes a setting of the second NetBox until the test's end.
func mustSet(t *testing.T, name, value string) {
	t.Helper()
	_, err := control(scratch.folder, "set", name, value)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := control(scratch.folder, "set")
		require.NoError(t, err)
	})
}

func stopScratch() error {
	if scratch.folder == "" {
		return nil
	}
	_, err := control(scratch.folder, "stop")
	return errors.Join(err, os.RemoveAll(scratch.folder))
}

// sweepScratch ends what runs that were killed left behind.
func sweepScratch() error {
	left, err := filepath.Glob(filepath.Join(os.TempDir(), scratchPrefix+"*"))
	if err != nil {
		return err
	}
	for _, folder := range left {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(folder), scratchPrefix))
		if err != nil || !isGone(pid) || os.Getenv(netboxCtl) == "" {
			continue
		}
		if _, err := control(folder, "stop"); err != nil {
			return err
		}
		if err := os.RemoveAll(folder); err != nil {
			return err
		}
	}
	return nil
}
