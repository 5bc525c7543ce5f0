package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What testbed/libvirt puts on its hosts; the UUIDs are always the same.
const (
	tenantNetwork  = "/networks/c087c7a3-e077-5487-8f22-e52a33383215"
	otherNetwork   = "/networks/95348f5a-f635-5705-a19c-5d745459f5ee"
	defaultNetwork = "/networks/b8ddfe40-3356-54b3-ad58-e2b47eb1462a"
	web1           = "/servers/4fa44310-91b3-5314-8938-157d348ec32e?port=804a6a70-6fe9-59a3-abe9-3726210998a6"
	db1First       = "/servers/0dc3a83f-4e35-59f2-9add-b49a5058ba9f?port=7b144517-d937-59cc-a500-6646216398f5"
	db1Second      = "/servers/0dc3a83f-4e35-59f2-9add-b49a5058ba9f?port=84027d14-bee3-5064-9d78-82d36904a07b"
	v6only         = "/servers/067692bd-83f8-53da-9763-6f2b52def58a?port=2eb86f21-bc60-5c09-88db-c2b084d6e3e6"
	noip           = "/servers/397de592-015c-51ed-ac47-9712a6f22e40?port=286e0097-703c-5102-a43f-3208246c3995"
	stopped        = "/servers/76acfda9-8cfe-520b-94cb-47aea6037439?port=98a6067b-a6f3-5aea-9047-ee992b8417df"
	plain1         = "/domains/7a4dbbc3-3291-5713-8acd-d8de34f3e7a7?mac=52:54:00:00:01:01"
	plain2         = "/domains/48bf5e9f-cfdc-568f-8084-1377e8ee49f5?mac=52:54:00:00:01:02"
)

// line is a row in short, but for its owner.
func (r row) line() string {
	return strings.TrimSpace(strings.Join([]string{r.VRF, r.Address, r.Status, r.Type, r.UsedBy, r.MAC}, " "))
}

func (r rows) lines() []string {
	var lines []string
	for _, row := range r {
		lines = append(lines, row.line())
	}
	slices.Sort(lines)
	return lines
}

// mustLease is the address that libvirt leases to a MAC.
func mustLease(t *testing.T, host, network, mac string) string {
	t.Helper()
	for line := range strings.Lines(mustVirsh(t, host, "net-dhcp-leases", network)) {
		if words := strings.Fields(line); len(words) > 4 && words[2] == mac {
			address, _, _ := strings.Cut(words[4], "/")
			return address
		}
	}
	t.Fatalf("no lease of %s on network %s of host %s", mac, network, host)
	return ""
}

// The eight domains of a compute host, four of which run: their rows are
// exactly these.
func testComputeHost(t *testing.T) {
	h := newHosts(t)
	h.rules = "  - set: {vrf: " + h.vrf + "}\n  - match: {dynamic: true}\n    set: {status: dhcp}\n"
	h.reads(hostA(t))
	const mac = " fa:16:3e:00:00:"
	lease := func(n string) string { return mustLease(t, "a", "tenant", "fa:16:3e:00:00:"+n) }
	want := []string{
		"10.77.0.0/24 active network " + tenantNetwork,
		"10.77.0.1/24 active network " + tenantNetwork,
		"10.77.0.11/24 active fixed " + web1 + mac + "01",
		"10.77.0.12/24 active fixed " + db1First + mac + "02",
		"10.77.0.13/24 active fixed " + db1Second + mac + "03",
		"10.77.0.19/24 active fixed " + stopped + mac + "09",
		"2001:db8:77::/64 active network " + tenantNetwork,
		"2001:db8:77::1/64 active network " + tenantNetwork,
		"2001:db8:77::12/64 active fixed " + db1First + mac + "02",
		"2001:db8:77::14/64 active fixed " + v6only + mac + "04",
		"203.0.113.11/32 active floating " + web1,
		// What the guests took by DHCP besides; that of web-1 is its fixed one.
		lease("02") + "/24 dhcp domain " + db1First + mac + "02",
		lease("04") + "/24 dhcp domain " + v6only + mac + "04",
		lease("06") + "/24 dhcp domain " + noip + mac + "06",
	}
	for i := range want {
		want[i] = h.vrf + " " + want[i]
	}
	slices.Sort(want)

	r := h.mustSync(exitInStep)
	require.Equal(t, len(want), r.Totals.Create)
	rows := h.rows()
	require.Equal(t, want, rows.lines())
	require.Equal(t, rows, rows.of(h.owner("nova")))
	for address, row := range rows.by() {
		require.Equal(t, address == "10.77.0.0/24" || address == "2001:db8:77::/64", row.Prefix, address)
		inside := 0
		if address == "203.0.113.11/32" {
			inside = rows.by()["10.77.0.11/24"].ID
		}
		require.Equal(t, inside, row.Inside, address)
	}
	require.Equal(t, len(want), h.mustInStep().Totals.InStep)
	require.Equal(t, rows, h.rows())
}

// Two hosts in one source, with a VRF and a tenant for each project; what is
// not Nova's has the host's name for its project. A floating address stands in
// another VRF than the fixed one it leads to.
func testProjects(t *testing.T) {
	h := newHosts(t)
	for _, project := range []string{"demo", "kvm-a", "kvm-b"} {
		name := h.installation + "-" + project
		h.netbox.mustCreate(t, "ipam/vrfs", object{"name": name})
		h.netbox.mustCreate(t, "tenancy/tenants", object{"name": name, "slug": name})
	}
	h.rules = fmt.Sprintf(`  - set: {vrf: "%[1]s-{project}", tenant: "%[1]s-{project}"}
  - match: {type: floating}
    set: {vrf: %[2]s}
`, h.installation, h.vrf)
	h.reads(hostA(t), hostB(t))
	require.Equal(t, 22, h.mustSync(exitInStep).Totals.Create)
	rows := h.owned()
	require.Len(t, rows, 22)
	for address, want := range map[string]string{
		"10.77.0.0/24": "kvm-a", "10.77.0.1/24": "kvm-a", "2001:db8:77::/64": "kvm-a", "2001:db8:77::1/64": "kvm-a",
		"192.168.122.0/24": "kvm-b", "192.168.122.12/24": "kvm-b", "10.79.0.1/24": "kvm-b",
		"10.77.0.11/32": "demo", "10.77.0.12/32": "demo", "2001:db8:77::14/128": "demo",
	} {
		require.Equal(t, h.installation+"-"+want, rows.by()[address].VRF, address)
		require.Equal(t, h.installation+"-"+want, rows.by()[address].Tenant, address)
	}
	floating := rows.by()["203.0.113.11/32"]
	require.Equal(t, h.vrf, floating.VRF)
	require.Equal(t, h.installation+"-demo", floating.Tenant)
	require.Equal(t, rows.by()["10.77.0.11/32"].ID, floating.Inside)
	require.Equal(t, 22, h.mustInStep().Totals.InStep)
	require.Equal(t, rows, h.owned())
}

// A host without Nova: its networks, static hosts and leases.
func testPlainHost(t *testing.T) {
	h := newHosts(t)
	h.netbox.mustCreate(t, "ipam/vrfs", object{"name": h.installation + "-kvm-b"})
	h.rules = "  - set: {vrf: \"" + h.installation + "-{project}\"}\n  - match: {nat: true}\n    set: {description: behind NAT}\n"
	h.reads(hostB(t))
	h.mustSync(exitInStep)
	leased := []string{mustLease(t, "b", "default", "52:54:00:00:01:01") + "/24", mustLease(t, "b", "default", "52:54:00:00:01:50") + "/24"}
	want := []string{
		"10.79.0.0/24 active network " + otherNetwork,
		"10.79.0.1/24 active network " + otherNetwork,
		"192.168.122.0/24 active network " + defaultNetwork,
		"192.168.122.1/24 active network " + defaultNetwork,
		"192.168.122.12/24 active domain " + plain2 + " 52:54:00:00:01:02",
		"192.168.122.99/24 reserved reservation " + defaultNetwork + "?mac=52:54:00:00:01:99 52:54:00:00:01:99",
		leased[0] + " active domain " + plain1 + " 52:54:00:00:01:01",
		leased[1] + " active lease " + defaultNetwork + "?mac=52:54:00:00:01:50 52:54:00:00:01:50",
	}
	for i := range want {
		want[i] = h.installation + "-kvm-b " + want[i]
	}
	slices.Sort(want)
	rows := h.owned()
	require.Equal(t, want, rows.lines())
	for address, row := range rows.by() {
		require.Equal(t, strings.HasPrefix(address, "192.168."), row.Description == "behind NAT", address)
	}
	h.mustInStep()

	h.rules += "  - match: {dynamic: true}\n    set: {skip: true}\n"
	h.reads(hostB(t))
	r := h.mustSync(exitInStep)
	require.ElementsMatch(t, []string{"done delete " + leased[0], "done delete " + leased[1]}, r.lines())
	kept := slices.DeleteFunc(rows, func(r row) bool { return slices.Contains(leased, r.Address) })
	require.Equal(t, kept, h.owned(), "leases are left out, and nothing else")
	h.mustInStep()
}

// Link-local addresses are left out unless a rule asks for them.
func testLinkLocal(t *testing.T) {
	h := newHosts(t)
	p := newPort("fixed 10.200.1.5", "fixed fe80::f816:3eff:fe00:5")
	m := h.define("a", h.red(), "web", p)
	h.reads(hostA(t))
	require.Equal(t, []string{"done create 10.200.1.5/32"}, h.mustSync(exitInStep).lines())
	h.mustInStep()

	h.rules += "  - match: {cidr: \"fe80::/10\"}\n    set: {skip: false}\n"
	h.reads(hostA(t))
	require.Equal(t, []string{"done create fe80::f816:3eff:fe00:5/128"}, h.mustSync(exitInStep).lines())
	row := h.owned().by()["fe80::f816:3eff:fe00:5/128"]
	require.Equal(t, h.red()+" fe80::f816:3eff:fe00:5/128 active fixed "+m.used(p)+" "+p.mac, row.line())
	h.mustInStep()
}
