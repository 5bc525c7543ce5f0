package libvirt

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDocumented: every option stands in the page of this source.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/sources/libvirt.md")
	require.NoError(t, err)
	_, options, found := strings.Cut(string(page), "\n## Options\n")
	require.True(t, found)
	options, _, _ = strings.Cut(options, "\n## ")
	for i := range reflect.TypeFor[Options]().NumField() {
		key := reflect.TypeFor[Options]().Field(i).Tag.Get("yaml")
		require.Contains(t, options, "`"+key+"`", "docs/sources/libvirt.md does not say what %s means", key)
	}
}
