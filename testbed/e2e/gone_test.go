package e2e_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// With gone: deprecate, a row whose user is gone is marked first, comes back
// to life with its user, and is deleted once the time is over.
func TestGoneIsDeprecatedFirst(t *testing.T) {
	w := newWorld(t)
	lxd := newLXD(t, append(instances(3), br0())...)
	all := append(instances(3), br0())
	two := append(instances(2), br0())
	w.configure(source("lab", lxd.socket, "gone: {action: deprecate, after: 1h}"))
	w.mustSync(exitInStep)
	fresh := w.rows().by()["10.81.3.3/16"]
	require.Equal(t, "active", fresh.Status)

	lxd.lists(two...)
	r := w.mustSync(exitInStep)
	require.Equal(t, 1, r.Totals.Marked)
	marked := w.rows().by()["10.81.3.3/16"]
	require.Equal(t, fresh.ID, marked.ID)
	require.Equal(t, "deprecated", marked.Status)
	require.NotEmpty(t, marked.GoneSince)
	require.Equal(t, 1, w.mustInStep().Totals.Waiting, "the time is not over")

	lxd.lists(all...)
	r = w.mustSync(exitInStep)
	require.Equal(t, "back at the source", r.Changes[0].Reason)
	revived := w.rows().by()["10.81.3.3/16"]
	revived.LastUpdated = fresh.LastUpdated
	require.Equal(t, fresh, revived)

	lxd.lists(two...)
	w.mustSync(exitInStep)
	require.Equal(t, "deprecated", w.rows().by()["10.81.3.3/16"].Status)
	w.configure(source("lab", lxd.socket, "gone: {action: deprecate, after: 0s}"))
	r = w.mustSync(exitInStep)
	require.Equal(t, []string{"done delete 10.81.3.3/16"}, r.lines())
	require.Equal(t, "no longer at the source for the configured time", r.Changes[0].Reason)
	require.Len(t, w.rows(), 4)
}
