package lxd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/fixtures"
)

// TestRecorded reads what real servers answered. The golden files were
// compared with the answers by eye; -update writes them anew.
func TestRecorded(t *testing.T) {
	for _, name := range fixtures.LXDScenarios() {
		if strings.HasPrefix(name, "broken-") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			allocations := mustSnapshot(t, mustOpen(t, serve(t, fixtures.LXD(name))))
			for _, a := range allocations {
				require.NoError(t, a.Check())
			}
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(text(allocations)), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), text(allocations))
		})
	}
}
