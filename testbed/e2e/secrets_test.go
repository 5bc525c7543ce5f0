package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Both versions of API tokens work, and neither stands in anything that the
// program writes: not in a report of any format, not in an error, not in help.
// (Every other test looks for them as well.)
func TestTokenAppearsNowhere(t *testing.T) {
	for _, version := range []string{"version 1", "version 2"} {
		t.Run(version, func(t *testing.T) {
			w := newWorld(t)
			if version == "version 2" {
				w.token = w.netbox.tokenV2
			}
			lxd := newLXD(t, append(instances(3), br0())...)
			lab := source("lab", lxd.socket)
			w.configure(lab)

			for _, args := range [][]string{
				{"--help"}, {"sync", "--help"}, {"config", "schema"}, {"check"}, {"setup", "--dry-run"},
				{"allocations"}, {"allocations", "--explain", "10.81.3.1"}, {"version"},
			} {
				w.mustRun(exitInStep, args...)
			}
			for _, format := range []string{"table", "json", "markdown", "html"} {
				file := filepath.Join(w.folder, "report."+format)
				w.mustRun(exitChanges, "sync", "--dry-run", "--format", format)
				w.mustRun(exitChanges, "sync", "--dry-run", "--format", format, "--output", file)
				mustHoldNoSecret(t, file, mustRead(t, file))
			}
			w.mustSync(exitInStep)
			w.mustInStep()

			right := w.url
			for _, wrong := range []string{
				right + "/nowhere", "http://127.0.0.1:1", "https://" + right[len("http://"):], "ftp://x", "http://%zz",
				"http://someone:" + w.token + "@127.0.0.1:1", right + "/?token=" + w.token, right + "#" + w.token,
			} {
				w.url = wrong
				w.netboxKeys = []string{"retries: 0"}
				w.configure(lab)
				w.mustRun(exitFailed, "sync")
				w.mustRun(exitFailed, "check")
			}
			w.url = right

			// A token with something that is none behind it, as a file with a
			// second line has.
			token := w.token
			w.token += "\nsecond line"
			w.netboxKeys = nil
			w.configure(lab)
			w.mustRun(exitFailed, "sync")
			w.token = token

			// From a file, as containers get it.
			file := filepath.Join(w.folder, "token")
			require.NoError(t, os.WriteFile(file, []byte(token+"\n"), 0o600))
			config := strings.Replace(mustRead(t, w.configPath()), "token: ${E2E_TOKEN}", "token_file: token", 1)
			require.NoError(t, os.WriteFile(w.configPath(), []byte(config), 0o600))
			w.mustInStep()

			// Written into the file itself, next to a mistake that is reported.
			file = filepath.Join(w.folder, "inline.yaml")
			require.NoError(t, os.WriteFile(file, []byte("installation: x\nnetbox: {url: http://127.0.0.1:1, token: "+token+", tokens: "+token+"}\nsources: 7\n"), 0o600))
			o := w.mustRun(exitFailed, "sync", "--config", file)
			require.Contains(t, o.stderr, "inline.yaml:2:")
		})
	}
}

func mustRead(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(content)
}
