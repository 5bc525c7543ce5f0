package gomaasclient_test

import (
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/canonical/gomaasclient/client"
	"github.com/canonical/gomaasclient/entity"
	"github.com/juju/gomaasapi/v2"
	"github.com/stretchr/testify/require"

	maasd "allocsync/fixtures/maas"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // the client logs every body of unreserved_ip_ranges
	os.Exit(m.Run())
}

// newClient connects as a user to a region with the world of maasd.New.
func newClient(t testing.TB, user string) (*client.Client, *maasd.Region) {
	t.Helper()
	region, url := maasd.Start(t)
	c, err := client.GetClient(url, region.Key(user), "2.0")
	require.NoError(t, err)
	return c, region
}

// requireRefused holds an error to be the server's, with these words.
func requireRefused(t testing.TB, err error, status int, text string) {
	t.Helper()
	require.Error(t, err)
	refused, ok := gomaasapi.GetServerError(err)
	require.True(t, ok, "not an answer of the server: %v", err)
	require.Equal(t, status, refused.StatusCode, refused.BodyMessage)
	require.Contains(t, refused.BodyMessage, text)
}

func TestVersionAndUsers(t *testing.T) {
	c, _ := newClient(t, maasd.Operator)
	version, err := c.Version.Get()
	require.NoError(t, err)
	require.Equal(t, "3.6.1", version.Version)
	require.Contains(t, version.Capabilities, "static-ipaddresses")
	require.NotEmpty(t, version.Subversion)

	me, err := c.Users.Whoami()
	require.NoError(t, err)
	require.Equal(t, entity.User{UserName: "operator", Email: "operator@example.com", ResourceURI: "/MAAS/api/2.0/users/operator/", IsLocal: true}, *me)
	users, err := c.Users.Get()
	require.NoError(t, err)
	require.Len(t, users, 2)
	admin, err := c.User.Get(maasd.Admin)
	require.NoError(t, err)
	require.True(t, admin.IsSuperUser)
	_, err = c.User.Get("nobody")
	requireRefused(t, err, http.StatusNotFound, "No User matches the given query.")
}

func TestSubnets(t *testing.T) {
	c, _ := newClient(t, maasd.Admin)
	subnets, err := c.Subnets.Get()
	require.NoError(t, err)
	require.Len(t, subnets, 6)
	mgmt, err := c.Subnet.Get(1)
	require.NoError(t, err)
	require.Equal(t, subnets[0], *mgmt)
	require.Equal(t, "172.16.1.0/24", mgmt.CIDR)
	require.Equal(t, "172.16.1.1", mgmt.GatewayIP.String())
	require.Equal(t, "172.16.1.2", mgmt.DNSServers[0].String())
	require.Equal(t, "management", mgmt.Space)
	require.True(t, mgmt.Managed)
	require.Equal(t, 2, mgmt.RDNSMode)
	require.Equal(t, "/MAAS/api/2.0/subnets/1/", mgmt.ResourceURI)
	require.Equal(t, 5001, mgmt.VLAN.ID)
	require.Equal(t, "fabric-0", mgmt.VLAN.Fabric)
	require.Equal(t, 1500, mgmt.VLAN.MTU)
	require.True(t, mgmt.VLAN.DHCPOn)
	require.NotEmpty(t, mgmt.VLAN.PrimaryRack)
	require.Equal(t, 10, subnets[2].VLAN.VID)
	require.False(t, subnets[3].Managed)
	require.Nil(t, subnets[2].GatewayIP)

	made, err := c.Subnets.Create(&entity.SubnetParams{CIDR: "10.77.0.0/24", Name: "made", GatewayIP: "10.77.0.1", VLAN: "5002", DNSServers: []string{"10.77.0.2", "10.77.0.3"}, Managed: true})
	require.NoError(t, err)
	require.Equal(t, "10.77.0.0/24", made.CIDR)
	require.Len(t, made.DNSServers, 2)
	changed, err := c.Subnet.Update(made.ID, &entity.SubnetParams{CIDR: "10.77.0.0/24", Name: "changed", Managed: false})
	require.NoError(t, err)
	require.Equal(t, "changed", changed.Name)
	require.False(t, changed.Managed)
	require.NoError(t, c.Subnet.Delete(made.ID))
	_, err = c.Subnet.Get(made.ID)
	requireRefused(t, err, http.StatusNotFound, "No Subnet matches the given query.")
}

func TestSubnetUse(t *testing.T) {
	c, _ := newClient(t, maasd.Admin)
	addresses, err := c.Subnet.GetIPAddresses(1)
	require.NoError(t, err)
	require.Len(t, addresses, 7)
	web := addresses[1]
	require.Equal(t, "172.16.1.11", web.IP.String())
	require.Equal(t, maasd.Auto, web.AllocType)
	require.Equal(t, "admin", web.User)
	require.Equal(t, "web-1", web.NodeSummary.Hostname)
	require.Equal(t, "web-1.maas", web.NodeSummary.FQDN)
	require.Equal(t, "enp1s0", web.NodeSummary.Via)
	require.Regexp(t, `^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2}\. \d{4} \d\d:\d\d:\d\d$`, web.Created)

	used, err := c.Subnet.GetReservedIPRanges(1)
	require.NoError(t, err)
	require.Equal(t, []string{"gateway-ip"}, used[0].Purpose)
	require.Equal(t, "172.16.1.1", used[0].Start.String())
	free, err := c.Subnet.GetUnreservedIPRanges(1)
	require.NoError(t, err)
	require.Equal(t, 8, free[0].NumAddresses)
	require.Equal(t, "172.16.1.10", free[0].End.String())
	total := 0
	for _, r := range used {
		total += r.NumAddresses
	}
	for _, r := range free {
		total += r.NumAddresses
	}
	statistics, err := c.Subnet.GetStatistics(1)
	require.NoError(t, err)
	require.Equal(t, 254, total)
	require.Equal(t, total, statistics.TotalAddresses)
	require.Equal(t, total, statistics.NumAvailable+statistics.NumUnavailable)
	require.Equal(t, "172.16.1.254", statistics.LastAddress.String())
	require.Equal(t, 4, statistics.IPVersion)
}

func TestReservedIPs(t *testing.T) {
	c, region := newClient(t, maasd.Operator) // needs no administrator
	made, err := c.ReservedIPs.Create(&entity.ReservedIPCreateParams{IP: "172.16.3.70", MACAddress: "52:54:00:00:77:70", Comment: "ours", Subnet: 3})
	require.NoError(t, err)
	require.Equal(t, "172.16.3.70", made.IP)
	require.Equal(t, 3, made.Subnet.ID)
	require.Equal(t, "/MAAS/api/2.0/reservedips/"+strconv.Itoa(made.ID)+"/", made.ResourceURI)
	list, err := c.ReservedIPs.Get()
	require.NoError(t, err)
	require.Len(t, list, 4)
	require.Equal(t, *made, list[3])
	v6, err := c.ReservedIPs.Create(&entity.ReservedIPCreateParams{IP: "2001:db8:3::70", MACAddress: "52:54:00:00:77:70"})
	require.NoError(t, err)
	require.Equal(t, 6, v6.Subnet.ID)

	changed, err := c.ReservedIP.Update(made.ID, &entity.ReservedIPUpdateParams{Comment: "still ours"})
	require.NoError(t, err)
	require.Equal(t, "still ours", changed.Comment)
	require.Equal(t, made.IP, changed.IP)
	again, err := c.ReservedIP.Get(made.ID)
	require.NoError(t, err)
	require.Equal(t, *changed, *again)

	_, err = c.ReservedIPs.Create(&entity.ReservedIPCreateParams{IP: "172.16.3.70", MACAddress: "52:54:00:00:77:71"})
	requireRefused(t, err, http.StatusBadRequest, `"Reserved IP with this IP address already exists."`)
	_, err = c.ReservedIPs.Create(&entity.ReservedIPCreateParams{IP: "172.16.3.71", MACAddress: "52:54:00:00:77:70"})
	requireRefused(t, err, http.StatusBadRequest, `"__all__"`)

	require.NoError(t, c.ReservedIP.Delete(made.ID))
	requireRefused(t, c.ReservedIP.Delete(made.ID), http.StatusNotFound, "No ReservedIP matches the given query.")
	region.SetVersion("3.5.8")
	_, err = c.ReservedIPs.Get()
	requireRefused(t, err, http.StatusNotFound, "Unknown API endpoint")
}

func TestIPAddresses(t *testing.T) {
	c, region := newClient(t, maasd.Admin)
	mine, err := c.IPAddresses.Get(&entity.IPAddressesParams{})
	require.NoError(t, err)
	require.Len(t, mine, 5)
	all, err := c.IPAddresses.Get(&entity.IPAddressesParams{All: true})
	require.NoError(t, err)
	require.Len(t, all, 15)
	operators, err := c.IPAddresses.Get(&entity.IPAddressesParams{Owner: maasd.Operator})
	require.NoError(t, err)
	require.Len(t, operators, 1)
	require.Equal(t, "operator", operators[0].Owner.UserName)

	made, err := c.IPAddresses.Reserve(&entity.IPAddressesParams{IP: "172.16.3.80"})
	require.NoError(t, err)
	require.Equal(t, maasd.UserReserved, made.AllocType)
	require.Equal(t, "User reserved", made.AllocTypeName)
	require.Equal(t, "172.16.3.80", made.IP.String())
	require.Equal(t, 3, made.Subnet.ID)
	require.Empty(t, made.InterfaceSet)
	require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}$`, made.Created)
	found, err := c.IPAddresses.Get(&entity.IPAddressesParams{IP: "172.16.3.80"})
	require.NoError(t, err)
	require.Equal(t, []entity.IPAddress{*made}, found)
	withMAC, err := c.IPAddresses.Get(&entity.IPAddressesParams{IP: "172.16.1.40"})
	require.NoError(t, err)
	require.Equal(t, "52:54:00:00:01:40", withMAC[0].InterfaceSet[0].MACAddress)
	require.Equal(t, "unknown", withMAC[0].InterfaceSet[0].Type)
	require.Equal(t, "static", withMAC[0].InterfaceSet[0].Links[0].Mode)

	chosen, err := c.IPAddresses.Reserve(&entity.IPAddressesParams{Subnet: "10.9.9.0/29"})
	require.NoError(t, err)
	require.Equal(t, "10.9.9.5", chosen.IP.String())
	_, err = c.IPAddresses.Reserve(&entity.IPAddressesParams{Subnet: "5"})
	require.NoError(t, err)
	_, err = c.IPAddresses.Reserve(&entity.IPAddressesParams{Subnet: "narrow"})
	requireRefused(t, err, http.StatusServiceUnavailable, "No more IPs available in subnet: 10.9.9.0/29.")
	_, err = c.IPAddresses.Reserve(&entity.IPAddressesParams{IP: "172.16.3.80"})
	requireRefused(t, err, http.StatusNotFound, "The IP address 172.16.3.80 is already in use.")
	_, err = c.IPAddresses.Reserve(&entity.IPAddressesParams{IP: "172.16.1.120"})
	requireRefused(t, err, http.StatusForbidden, "belongs to an existing dynamic range")

	require.NoError(t, c.IPAddresses.Release(&entity.IPAddressesParams{IP: "172.16.3.80"}))
	requireRefused(t, c.IPAddresses.Release(&entity.IPAddressesParams{IP: "172.16.3.80"}), http.StatusBadRequest, "does not exist, is not the correct type of address")
	requireRefused(t, c.IPAddresses.Release(&entity.IPAddressesParams{IP: "172.16.3.60"}), http.StatusBadRequest, "or does not belong to the requesting user")
	require.NoError(t, c.IPAddresses.Release(&entity.IPAddressesParams{IP: "172.16.3.60", Force: true}))
	require.NoError(t, c.IPAddresses.Release(&entity.IPAddressesParams{IP: "172.16.1.150", Force: true, Discovered: true}))
	require.Len(t, region.Writes(), 6)
}

func TestIPRanges(t *testing.T) {
	c, _ := newClient(t, maasd.Admin)
	list, err := c.IPRanges.Get()
	require.NoError(t, err)
	require.Len(t, list, 4)
	require.Equal(t, "dynamic", list[0].Type)
	require.Equal(t, "172.16.1.100", list[0].StartIP.String())
	require.Equal(t, "admin", list[0].User.UserName)
	require.Equal(t, 1, list[0].Subnet.ID)
	made, err := c.IPRanges.Create(&entity.IPRangeParams{Type: "dynamic", Subnet: "3", StartIP: "172.16.3.100", EndIP: "172.16.3.110", Comment: "made"})
	require.NoError(t, err)
	changed, err := c.IPRange.Update(made.ID, &entity.IPRangeParams{Type: "dynamic", Subnet: "3", StartIP: "172.16.3.100", EndIP: "172.16.3.120"})
	require.NoError(t, err)
	require.Equal(t, "172.16.3.120", changed.EndIP.String())
	require.Equal(t, "made", changed.Comment)
	again, err := c.IPRange.Get(made.ID)
	require.NoError(t, err)
	require.Equal(t, *changed, *again)
	_, err = c.IPRanges.Create(&entity.IPRangeParams{Type: "reserved", Subnet: "3", StartIP: "172.16.3.115", EndIP: "172.16.3.130"})
	requireRefused(t, err, http.StatusBadRequest, "Requested reserved range conflicts with an existing range.")
	require.NoError(t, c.IPRange.Delete(made.ID))
	_, err = c.IPRange.Get(made.ID)
	requireRefused(t, err, http.StatusNotFound, "No IPRange matches the given query.")
}

func TestBadKeys(t *testing.T) {
	region, url := maasd.Start(t)
	parts := strings.Split(region.Key(maasd.Admin), ":")
	for _, key := range []string{"x:" + parts[1] + ":" + parts[2], parts[0] + ":x:" + parts[2], parts[0] + ":" + parts[1] + ":x"} {
		c, err := client.GetClient(url, key, "2.0")
		require.NoError(t, err)
		_, err = c.Users.Whoami()
		requireRefused(t, err, http.StatusUnauthorized, "Authorization Error: ")
	}
}

// The client waits as Retry-After says and asks again, up to four times.
func TestRetryAfter(t *testing.T) {
	c, region := newClient(t, maasd.Admin)
	for _, kind := range []maasd.Kind{maasd.Busy, maasd.Conflict} {
		region.Inject(maasd.Fault{On: "GET version/", Kind: kind, Times: 1, RetryAfter: 1})
		_, err := c.Version.Get()
		require.NoError(t, err)
	}
	require.Equal(t, 4, region.Count("GET version/"))
	region.Inject(maasd.Fault{Kind: maasd.Busy, RetryAfter: -1})
	_, err := c.Version.Get()
	requireRefused(t, err, http.StatusServiceUnavailable, "rack controller")
	require.Equal(t, 5, region.Count("GET version/"))
}
