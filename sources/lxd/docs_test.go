package lxd_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/sources/lxd"
)

// TestDocumented: every option stands in the page of this source.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/sources/lxd.md")
	require.NoError(t, err)
	_, options, found := strings.Cut(string(page), "\n## Options\n")
	require.True(t, found)
	options, _, _ = strings.Cut(options, "\n## ")
	for field := range reflect.TypeFor[lxd.Options]().Fields() {
		require.NotEmpty(t, field.Tag.Get("doc"), field.Name)
		require.Contains(t, options, "`"+field.Tag.Get("yaml")+"`")
	}
}
