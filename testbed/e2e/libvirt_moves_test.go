package e2e_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is behind a floating address is renumbered, swapped and made anew: the
// rows stay, and each floating one leads to the row of its port.
func testBehindFloating(t *testing.T) {
	h := newHosts(t)
	h.keys = []string{"limits: {count: 9}"}
	x, y := newPort("fixed 10.200.1.120", "floating 203.0.113.120"), newPort("fixed 10.200.1.121", "floating 203.0.113.121")
	a, b := h.define("a", h.red(), "x", x), h.define("a", h.red(), "y", y)
	h.reads(hostA(t))
	h.mustSync(exitInStep)
	before := h.owned().by()
	mustLead := func(floating, fixed string) {
		t.Helper()
		now := h.owned().by()
		require.Equal(t, now[fixed].ID, now[floating].Inside)
		require.Equal(t, before[floating].ID, now[floating].ID)
	}
	mustLead("203.0.113.120/32", "10.200.1.120/32")
	become := func(first, second []string) syncReport {
		t.Helper()
		x.addresses, y.addresses = first, second
		a.rewrite("--config")
		b.rewrite("--config")
		r := h.mustSync(exitInStep)
		h.mustInStep()
		return r
	}

	// Renumbered: the same row has another address.
	become([]string{"fixed 10.200.1.125", "floating 203.0.113.120"}, y.addresses)
	mustLead("203.0.113.120/32", "10.200.1.125/32")
	require.Equal(t, before["10.200.1.120/32"].ID, h.owned().by()["10.200.1.125/32"].ID)

	// The fixed addresses change places.
	r := become([]string{"fixed 10.200.1.121", "floating 203.0.113.120"}, []string{"fixed 10.200.1.125", "floating 203.0.113.121"})
	require.Zero(t, r.Totals.Create+r.Totals.Delete, "%v", r.lines())
	mustLead("203.0.113.120/32", "10.200.1.121/32")
	mustLead("203.0.113.121/32", "10.200.1.125/32")

	// The floating ones do.
	r = become([]string{"fixed 10.200.1.121", "floating 203.0.113.121"}, []string{"fixed 10.200.1.125", "floating 203.0.113.120"})
	require.Zero(t, r.Totals.Create+r.Totals.Delete, "%v", r.lines())
	mustLead("203.0.113.121/32", "10.200.1.121/32")
	mustLead("203.0.113.120/32", "10.200.1.125/32")

	// A port gets a second fixed address: which of them is meant is not said.
	become([]string{"fixed 10.200.1.121", "fixed 10.200.1.122", "floating 203.0.113.121"}, y.addresses)
	require.Equal(t, before["203.0.113.121/32"].ID, h.owned().by()["203.0.113.121/32"].ID)
}

// Nova undefines a server's domain and defines it again to reboot it hard. A
// pass in between marks the rows; afterwards they are what they were.
func testHardReboot(t *testing.T) {
	h := newHosts(t)
	m := h.launch("a", h.red(), "web", newPort("fixed 10.200.1.130", "fixed 2001:db8:200::130", "floating 203.0.113.130"))
	h.define("a", h.red(), "other", newPort("fixed 10.200.1.131"))
	h.configure(h.nova("", hostA(t)) + "    gone: {action: deprecate, after: 1h}\n")
	h.mustSync(exitInStep)
	before := h.owned()
	require.Len(t, before, 4)

	mustVirsh(t, "a", "destroy", m.uuid)
	mustVirsh(t, "a", "undefine", m.uuid)
	require.Equal(t, 3, h.mustSync(exitInStep).Totals.Marked)
	marked := h.owned()
	require.Len(t, marked, 4)
	for i, row := range marked {
		require.Equal(t, before[i].ID, row.ID)
		require.Equal(t, before[i].Inside, row.Inside)
		require.Equal(t, row.Address != "10.200.1.131/32", row.Status == "deprecated", row.Address)
	}

	m.redefine(m.metadata())
	mustVirsh(t, "a", "start", m.uuid)
	h.mustSync(exitInStep)
	after := slices.Clone(h.owned())
	for i := range after {
		after[i].LastUpdated = before[i].LastUpdated
	}
	require.Equal(t, before, after)
	h.mustInStep()
}
