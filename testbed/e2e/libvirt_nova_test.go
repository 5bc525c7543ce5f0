package e2e_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What Nova writes into the metadata of a running domain is in NetBox after
// the next pass.
func testLiveMetadata(t *testing.T) {
	h := newHosts(t)
	first, second := newPort("fixed 10.200.1.10"), newPort("fixed 10.200.2.10", "fixed 2001:db8:200::10")
	m := h.launch("a", h.red(), "web", first)
	h.reads(hostA(t))
	require.Equal(t, []string{"done create 10.200.1.10/32"}, h.mustSync(exitInStep).lines())
	fixed := h.owned()[0]
	require.Equal(t, h.red()+" 10.200.1.10/32 active fixed "+m.used(first)+" "+first.mac, fixed.line())

	m.ports = append(m.ports, second)
	m.rewrite("--config")
	h.mustInStep() // that is how it will be when it starts anew, and not yet
	m.plug(second)
	m.rewrite("--live", "--config")
	require.ElementsMatch(t, []string{"done create 10.200.2.10/32", "done create 2001:db8:200::10/128"}, h.mustSync(exitInStep).lines())
	for _, address := range []string{"10.200.2.10/32", "2001:db8:200::10/128"} {
		require.Equal(t, h.red()+" "+address+" active fixed "+m.used(second)+" "+second.mac, h.owned().by()[address].line())
	}

	first.addresses = append(first.addresses, "floating 203.0.113.10")
	m.rewrite("--live", "--config")
	require.Equal(t, []string{"done create 203.0.113.10/32"}, h.mustSync(exitInStep).lines())
	floating := h.owned().by()["203.0.113.10/32"]
	require.Equal(t, h.vrf+" 203.0.113.10/32 active floating "+m.used(first), floating.line())
	require.Equal(t, fixed.ID, floating.Inside)
	h.mustInStep()

	before := h.owned()
	first.addresses = []string{"floating 203.0.113.12", "fixed 10.200.1.10"}
	m.rewrite("--live", "--config")
	require.Equal(t, []string{"done update 203.0.113.12/32 address 203.0.113.10/32 -> 203.0.113.12/32"}, h.mustSync(exitInStep).lines())
	require.Equal(t, floating.ID, h.owned().by()["203.0.113.12/32"].ID)
	first.addresses = []string{"fixed 10.200.1.10"}
	m.rewrite("--live", "--config")
	require.Equal(t, []string{"done delete 203.0.113.12/32"}, h.mustSync(exitInStep).lines())
	without := slices.DeleteFunc(before, func(r row) bool { return r.ID == floating.ID })
	require.Equal(t, without, h.owned())

	m.ports = []*port{first}
	m.rewrite("--live", "--config")
	require.ElementsMatch(t, []string{"done delete 10.200.2.10/32", "done delete 2001:db8:200::10/128"}, h.mustSync(exitInStep).lines())
	require.Equal(t, rows{fixed}, h.owned())
	h.mustInStep()
}

// plug puts a NIC into a running domain.
func (m *machine) plug(p *port) {
	m.t.Helper()
	cmd := exec.Command(mustEnv(m.t, "libvirt", libvirtCtl), "virsh", m.host, "attach-device", m.uuid, "/dev/stdin", "--live", "--config")
	cmd.Stdin = strings.NewReader(p.nic())
	out, err := cmd.CombinedOutput()
	require.NoError(m.t, err, "virsh attach-device: %s", out)
}

// A floating address that goes to another server, in another project, with
// the same fixed address behind it: its row stays and leads elsewhere.
func testFloatingMoves(t *testing.T) {
	h := newHosts(t)
	from, to := newPort("fixed 10.200.1.20", "floating 203.0.113.20"), newPort("fixed 10.200.1.20")
	a, b := h.launch("a", h.red(), "from", from), h.define("a", h.blue(), "to", to)
	h.reads(hostA(t))
	h.mustSync(exitInStep)
	inVRF := func(vrf string) row {
		list := slices.DeleteFunc(h.owned(), func(r row) bool { return r.VRF != vrf })
		require.Len(t, list, 1)
		return list[0]
	}
	before := inVRF(h.vrf)
	require.Equal(t, a.used(from), before.UsedBy)
	require.Equal(t, inVRF(h.red()).ID, before.Inside)
	h.mustInStep()

	// Both have it for a moment: the one that has the row keeps it.
	to.addresses = append(to.addresses, "floating 203.0.113.20")
	b.rewrite("--config")
	require.Equal(t, []string{"create 203.0.113.20/32: claimed more than once"}, h.mustInStep().heldLines())
	require.Equal(t, before, inVRF(h.vrf))

	from.addresses = []string{"fixed 10.200.1.20"}
	a.rewrite("--live", "--config")
	r := h.mustSync(exitInStep)
	require.Len(t, r.Changes, 1, "%v", r.lines())
	require.Contains(t, r.lines()[0], "done update 203.0.113.20/32 used_by "+a.used(from)+" -> "+b.used(to))
	after := inVRF(h.vrf)
	require.Equal(t, inVRF(h.blue()).ID, after.Inside)
	after.LastUpdated, after.Inside, after.UsedBy = before.LastUpdated, before.Inside, before.UsedBy
	require.Equal(t, before, after, "the same row")
	h.mustInStep()
}

// libvirt's name of a domain is nowhere in NetBox; Nova's name is where rules
// put it.
func testRename(t *testing.T) {
	h := newHosts(t)
	m := h.define("a", h.red(), "before", newPort("fixed 10.200.1.30", "floating 203.0.113.30"))
	h.rules += "  - match: {type: fixed}\n    set: {description: \"this is {name}\"}\n"
	h.reads(hostA(t))
	h.mustSync(exitInStep)
	before := h.owned()
	require.Len(t, before, 2)

	mustVirsh(t, "a", "domrename", m.name, m.name+"-renamed")
	h.mustInStep()
	require.Equal(t, before, h.owned())

	m.display = `"after" & co`
	m.rewrite("--config")
	require.Equal(t, []string{`done update 10.200.1.30/32 description this is before -> this is "after" & co`}, h.mustSync(exitInStep).lines())
	after := h.owned()
	require.Equal(t, `this is "after" & co`, after.by()["10.200.1.30/32"].Description)
	for i := range after {
		if after[i].Type == "fixed" {
			after[i].Description, after[i].LastUpdated = before[i].Description, before[i].LastUpdated
		}
	}
	require.Equal(t, before, after)
	h.mustInStep()
}

// A server that is deleted takes exactly its rows with it, and a floating
// address that goes elsewhere at the same moment is not among them.
func testServerDeleted(t *testing.T) {
	h := newHosts(t)
	going := newPort("floating 203.0.113.40", "fixed 10.200.1.40", "fixed 2001:db8:200::40", "floating 203.0.113.42")
	staying := newPort("fixed 10.200.1.41", "floating 203.0.113.41")
	h.keys = []string{"limits: {count: 4}"}
	gone, stays := h.launch("a", h.red(), "gone", going), h.define("a", h.red(), "stays", staying)
	h.reads(hostA(t))
	h.mustSync(exitInStep)
	before := h.owned()
	require.Len(t, before, 6)

	mustVirsh(t, "a", "destroy", gone.uuid)
	h.mustInStep() // a server that is stopped has its addresses still

	mustVirsh(t, "a", "undefine", gone.uuid)
	staying.addresses = append(staying.addresses, "floating 203.0.113.42")
	stays.rewrite("--config")
	r := h.mustSync(exitInStep)
	require.Len(t, r.Changes, 4, "%v", r.lines())
	require.Equal(t, 1, r.Totals.Update)
	require.Subset(t, r.lines(), []string{"done delete 203.0.113.40/32", "done delete 10.200.1.40/32", "done delete 2001:db8:200::40/128"})
	after := h.owned()
	moved, then := after.by()["203.0.113.42/32"], before.by()["203.0.113.42/32"]
	require.Equal(t, then.ID, moved.ID)
	require.Equal(t, stays.used(staying), moved.UsedBy)
	require.Equal(t, after.by()["10.200.1.41/32"].ID, moved.Inside)
	for _, address := range []string{"10.200.1.41/32", "203.0.113.41/32"} {
		require.Equal(t, before.by()[address], after.by()[address])
	}
	require.Len(t, after, 3)
	h.mustInStep()
}
