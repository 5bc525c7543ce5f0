package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// kvmNet is a libvirt network of one test on host a: 10.82.N.0/24, of which .100
// to .200 are handed out to whoever asks.
type kvmNet struct {
	name, uuid string
	n          int
}

func (n kvmNet) address(host int) string { return fmt.Sprintf("10.82.%d.%d", n.n, host) }

// file writes a definition where virsh can read it.
func (h *hosts) file(xml string) string {
	h.Helper()
	name := filepath.Join(h.folder, randomHex(4)+".xml")
	require.NoError(h, os.WriteFile(name, []byte(xml), 0o600))
	return name
}

func (h *hosts) newKVMNet() kvmNet {
	h.Helper()
	n := kvmNet{name: "e2e-" + randomHex(3), uuid: randomUUID(), n: 1 + rand.IntN(250)}
	mustVirsh(h.T, "a", "net-define", h.file(fmt.Sprintf(`<network><name>%s</name><uuid>%s</uuid><bridge name="e2e%s"/>`+
		`<ip address="%s" prefix="24"><dhcp><range start="%s" end="%s"/></dhcp></ip></network>`,
		n.name, n.uuid, n.name[4:], n.address(1), n.address(100), n.address(200))))
	h.Cleanup(func() {
		mustVirsh(h.T, "a", "net-destroy", n.name)
		mustVirsh(h.T, "a", "net-undefine", n.name)
	})
	mustVirsh(h.T, "a", "net-start", n.name)
	return n
}

// guest defines a machine without a disk that asks for an address as it boots.
func (h *hosts) guest(n kvmNet, mac string) (name, uuid string) {
	h.Helper()
	name, uuid = "e2e-"+randomHex(3), randomUUID()
	mustVirsh(h.T, "a", "define", h.file(fmt.Sprintf(`<domain type="qemu"><name>%s</name><uuid>%s</uuid><memory unit="MiB">32</memory><vcpu>1</vcpu>`+
		`<os><type arch="x86_64" machine="pc">hvm</type><boot dev="network"/></os><features><acpi/></features><devices><controller type="usb" model="none"/>`+
		`<interface type="network"><mac address="%s"/><source network="%s"/><model type="virtio"/></interface><memballoon model="none"/></devices></domain>`,
		name, uuid, mac, n.name)))
	h.Cleanup(func() {
		_, _ = tryControl(h.T, "virsh", "a", "destroy", name)
		mustVirsh(h.T, "a", "undefine", name)
	})
	return name, uuid
}

// testReserve: an address that a person reserves in NetBox is served by libvirt's
// own DHCP server to the machine with the MAC, and no longer when the row is gone.
func testReserve(t *testing.T) {
	h := newHosts(t)
	n := h.newKVMNet()
	mac := "52:54:00:82:" + randomHex(1) + ":" + randomHex(1)
	guest, uuid := h.guest(n, mac)
	h.rules = fmt.Sprintf("  - set: {skip: true}\n  - match: {network: %s}\n    set: {skip: false, vrf: %s}\n", n.name, h.vrf)
	h.keys = append(h.keys, "serve: {state_dir: "+h.stateDir()+"}")
	h.configure(h.nova("", "qemu+unix:///system?socket="+mustEnv(t, "libvirt", libvirtSocket)) + "    reserve: true\n")
	h.mustSync(exitInStep)
	ask := func(host int, custom object) row {
		custom["reserve_at"] = h.owner("nova")
		return rowOf(h.netbox.mustCreate(t, "ipam/ip-addresses", object{
			"address": n.address(host) + "/24", "vrf": h.vrfID, "status": "reserved", "custom_fields": custom,
		}))
	}
	hosts := func() string {
		return mustVirsh(t, "a", "net-dumpxml", n.name) + mustVirsh(t, "a", "net-dumpxml", "--inactive", n.name)
	}
	wish, inside := ask(21, object{"hwaddr": mac}), ask(150, object{"hwaddr": "52:54:00:82:ff:01"})
	require.Contains(t, h.mustRun(exitChanges, "sync", "--dry-run").stdout, n.address(21))
	require.NotContains(t, hosts(), n.address(21))
	h.mustRun(exitInStep, "sync")
	require.Equal(t, 2, strings.Count(hosts(), n.address(21)), "in the running network and in its definition")
	require.NotContains(t, hosts(), "52:54:00:82:ff:01", "what the DHCP server hands out by itself is not reserved")
	require.Contains(t, h.journal(inside.ID)[0], "range")
	row := h.rows().by()[n.address(21)+"/24"]
	require.Equal(t, wish.ID, row.ID)
	require.Equal(t, "/domains/"+uuid+"?mac="+mac, row.UsedBy)
	h.mustInStep()

	leases := func() string { return mustVirsh(t, "a", "net-dhcp-leases", n.name) }
	mustVirsh(t, "a", "start", guest)
	mustBecome(t, time.Minute, "the machine gets the address", func() bool { return strings.Contains(leases(), n.address(21)) })
	h.netbox.must(t, "DELETE", wish.path(), nil)
	h.run("sync")
	require.Contains(t, hosts(), n.address(21), "it is in use")
	require.Equal(t, h.owner("nova"), h.rows().by()[n.address(21)+"/24"].Owner, "NetBox tells who has it")

	// Without the guest and its lease nobody uses it.
	mustVirsh(t, "a", "destroy", guest)
	mustVirsh(t, "a", "net-destroy", n.name)
	mustControl(t, "exec", "a", "rm", "-f", "/var/lib/libvirt/dnsmasq/e2e"+n.name[4:]+".status")
	mustVirsh(t, "a", "net-start", n.name)
	h.run("sync")
	require.NotContains(t, hosts(), n.address(21))
	mustVirsh(t, "a", "start", guest)
	mustBecome(t, time.Minute, "the machine gets another address", func() bool { return strings.Contains(leases(), mac) })
	require.NotContains(t, leases(), n.address(21))
}
