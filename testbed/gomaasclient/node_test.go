package gomaasclient_test

import (
	"net/http"
	"testing"

	"github.com/canonical/gomaasclient/entity"
	"github.com/stretchr/testify/require"

	maasd "allocsync/fixtures/maas"
)

func TestMachines(t *testing.T) {
	c, _ := newClient(t, maasd.Admin)
	machines, err := c.Machines.Get(&entity.MachinesParams{})
	require.NoError(t, err)
	require.Len(t, machines, 4)
	web := machines[0]
	require.Equal(t, "web-1.maas", web.FQDN)
	require.Equal(t, "Deployed", web.StatusName)
	require.EqualValues(t, 6, web.Status)
	require.Equal(t, []string{"virtual"}, web.TagNames)
	require.Equal(t, "172.16.1.11", web.IPAddresses[0].String())
	require.Equal(t, "2001:db8:1::1:0:11", web.IPAddresses[1].String())
	require.Equal(t, "auto", web.InterfaceSet[0].Links[0].Mode)
	require.Equal(t, "172.16.1.11", web.InterfaceSet[0].Links[0].IPAddress)
	require.Equal(t, 1, web.InterfaceSet[0].Links[0].Subnet.ID)
	require.Equal(t, web.InterfaceSet[0], web.BootInterface)
	require.Equal(t, "default", web.Pool.Name)

	spare := machines[2]
	require.Equal(t, "dhcp", spare.InterfaceSet[0].Links[0].Mode)
	require.Equal(t, "172.16.1.100", spare.InterfaceSet[0].Links[0].IPAddress)
	require.Equal(t, "172.16.1.100", spare.InterfaceSet[0].Discovered[0].IPAddress)
	require.Equal(t, 1, spare.InterfaceSet[0].Discovered[0].Subnet.ID)

	same, err := c.Machine.Get(web.SystemID)
	require.NoError(t, err)
	require.Equal(t, web, *same)
	require.NoError(t, c.Machine.Delete(web.SystemID))
	_, err = c.Machine.Get(web.SystemID)
	requireRefused(t, err, http.StatusNotFound, "No Machine matches the given query.")
	freed, err := c.IPAddresses.Get(&entity.IPAddressesParams{IP: "172.16.1.11", All: true})
	require.NoError(t, err)
	require.Empty(t, freed)
}

func TestDevices(t *testing.T) {
	c, _ := newClient(t, maasd.Operator)
	devices, err := c.Devices.Get()
	require.NoError(t, err)
	require.Empty(t, devices) // the others are the administrator's
	made, err := c.Devices.Create(&entity.DeviceCreateParams{Hostname: "camera-1", Description: "roof", Domain: "maas", MacAddresses: []string{"52:54:00:00:77:01", "52:54:00:00:77:02"}})
	require.NoError(t, err)
	require.Equal(t, "camera-1.maas", made.FQDN)
	require.Equal(t, "operator", made.Owner)
	require.Equal(t, 1, made.NodeType)
	require.Equal(t, "Device", made.NodeTypeName)
	require.Len(t, made.InterfaceSet, 2)
	require.Equal(t, "52:54:00:00:77:02", made.InterfaceSet[1].MACAddress)
	require.Equal(t, "maas", made.Domain.Name)
	require.Equal(t, "default", made.Zone.Name)
	changed, err := c.Device.Update(made.SystemID, &entity.DeviceUpdateParams{Hostname: "camera-2", Description: "cellar"})
	require.NoError(t, err)
	require.Equal(t, "camera-2", changed.Hostname)
	require.Equal(t, "cellar", changed.Description)
	noted, err := c.Device.SetWorkloadAnnotations(made.SystemID, map[string]string{"allocsync": "dc1/maas"})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"allocsync": "dc1/maas"}, noted.WorkloadAnnotations)
	again, err := c.Device.Get(made.SystemID)
	require.NoError(t, err)
	require.Equal(t, *noted, *again)
	_, err = c.Devices.Create(&entity.DeviceCreateParams{MacAddresses: []string{"52:54:00:00:77:01"}})
	requireRefused(t, err, http.StatusBadRequest, "MAC address 52:54:00:00:77:01 already in use on camera-2.")
	require.NoError(t, c.Device.Delete(made.SystemID))
	requireRefused(t, c.Device.Delete(made.SystemID), http.StatusNotFound, "No Device matches the given query.")
}

func TestNetworkInterfaces(t *testing.T) {
	c, _ := newClient(t, maasd.Admin)
	device, err := c.Devices.Create(&entity.DeviceCreateParams{Hostname: "camera-1", MacAddresses: []string{"52:54:00:00:77:01"}})
	require.NoError(t, err)
	list, err := c.NetworkInterfaces.Get(device.SystemID)
	require.NoError(t, err)
	require.Equal(t, device.InterfaceSet, list)
	id := list[0].ID
	require.Empty(t, list[0].Links)

	linked, err := c.NetworkInterface.LinkSubnet(device.SystemID, id, &entity.NetworkInterfaceLinkParams{Mode: "STATIC", Subnet: 3, IPAddress: "172.16.3.90"})
	require.NoError(t, err)
	require.Len(t, linked.Links, 1)
	require.Equal(t, "static", linked.Links[0].Mode)
	require.Equal(t, "172.16.3.90", linked.Links[0].IPAddress)
	require.Equal(t, 3, linked.Links[0].Subnet.ID)
	require.Equal(t, 5002, linked.VLAN.ID) // the subnet's
	chosen, err := c.NetworkInterface.LinkSubnet(device.SystemID, id, &entity.NetworkInterfaceLinkParams{Mode: "STATIC", Subnet: 3})
	require.NoError(t, err)
	require.Len(t, chosen.Links, 2)
	held, err := c.IPAddresses.Get(&entity.IPAddressesParams{IP: "172.16.3.90", All: true})
	require.NoError(t, err)
	require.Equal(t, maasd.Sticky, held[0].AllocType)
	require.Equal(t, device.SystemID, held[0].InterfaceSet[0].SystemID)

	_, err = c.NetworkInterface.LinkSubnet(device.SystemID, id, &entity.NetworkInterfaceLinkParams{Mode: "STATIC", Subnet: 3, IPAddress: "172.16.3.12"})
	requireRefused(t, err, http.StatusNotFound, "IP address is already in use.")
	_, err = c.NetworkInterface.LinkSubnet(device.SystemID, id, &entity.NetworkInterfaceLinkParams{Mode: "DHCP", Subnet: 3})
	requireRefused(t, err, http.StatusBadRequest, "is not a valid mode.")

	for _, link := range chosen.Links {
		chosen, err = c.NetworkInterface.UnlinkSubnet(device.SystemID, id, link.ID)
		require.NoError(t, err)
	}
	require.Len(t, chosen.Links, 1) // MAAS leaves no interface without a link
	require.Equal(t, "link_up", chosen.Links[0].Mode)
	require.Empty(t, chosen.Links[0].IPAddress)
	read, err := c.NetworkInterface.Get(device.SystemID, id)
	require.NoError(t, err)
	require.Equal(t, *chosen, *read)
	apart, err := c.NetworkInterface.Disconnect(device.SystemID, id)
	require.NoError(t, err)
	require.Empty(t, apart.Links)
	require.Zero(t, apart.VLAN.ID)

	second, err := c.NetworkInterfaces.CreatePhysical(device.SystemID, &entity.NetworkInterfacePhysicalParams{MACAddress: "52:54:00:00:77:02", Name: "eth7", VLAN: 5001})
	require.NoError(t, err)
	require.Equal(t, "eth7", second.Name)
	require.NoError(t, c.NetworkInterface.Delete(device.SystemID, second.ID))
	_, err = c.NetworkInterface.Get(device.SystemID, second.ID)
	requireRefused(t, err, http.StatusNotFound, "No Interface matches the given query.")
}

func TestEvents(t *testing.T) {
	c, region := newClient(t, maasd.Admin)
	machines, err := c.Machines.Get(&entity.MachinesParams{})
	require.NoError(t, err)
	region.AddEvent(machines[0].SystemID, "INFO", "Deployed", "")
	page, err := c.Events.Get(&entity.EventParams{Limit: "1"})
	require.NoError(t, err)
	require.Equal(t, 1, page.Count)
	require.Equal(t, "web-1", page.Events[0].Hostname)
	require.Contains(t, page.PrevURI, "before=2")
}
