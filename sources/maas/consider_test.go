package maas_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	maasd "allocsync/fixtures/maas"
	"allocsync/ipam"
	"allocsync/sources"
	"allocsync/sources/maas"
)

// TestConsiderRefuses: each refusal says why, and asks nothing.
func TestConsiderRefuses(t *testing.T) {
	const free = "172.16.1.60"
	for _, test := range []struct {
		version, network, addr, mac, of, want string
	}{
		{since36, "", "", "", "", "neither network nor address is named"},
		{since36, "nope", free, "", "", `MAAS has no subnet "nope"`},
		{since36, "", "192.0.2.1", "", "", "no subnet of MAAS holds 192.0.2.1"},
		{since36, "mgmt", "172.16.3.60", "", "", "172.16.3.60 is not in subnet mgmt (172.16.1.0/24)"},
		{since36, "mgmt", "2001:db8:1::9:9", "", "", "2001:db8:1::9:9 is not in subnet mgmt (172.16.1.0/24)"},
		{since36, "", "172.16.1.0", "", "", "172.16.1.0 is the address of subnet mgmt itself"},
		{since36, "", "172.16.1.255", "52:54:00:00:00:99", "", "172.16.1.255 is the broadcast address of subnet mgmt"},
		{since36, "", "10.9.9.7", "", "", "10.9.9.7 is the broadcast address of subnet narrow"},
		{since36, "", "2001:db8:1::", "", "", "2001:db8:1:: is the address of subnet mgmt-v6 itself"},
		{since36, "", "172.16.1.1", "", "", "172.16.1.1 is the gateway of subnet mgmt"},
		{since36, "", "172.16.1.150", "", "", "172.16.1.150 is inside the dynamic range 172.16.1.100 to 172.16.1.199 of subnet mgmt"},
		{since36, "", "172.16.1.199", "52:54:00:00:00:99", "", "172.16.1.199 is inside the dynamic range 172.16.1.100 to 172.16.1.199 of subnet mgmt"},
		{since36, "", "172.16.1.205", "", "", "172.16.1.205 is inside the reserved range 172.16.1.200 to 172.16.1.210 of subnet mgmt, which MAAS keeps out of use already"},
		{since36, "", "172.16.1.11", "", "", "172.16.1.11 is taken: it is an address of machine web-1"},
		{since36, "", "172.16.1.2", "", "", "172.16.1.2 is taken: it is an address of controller happy-rack"},
		{since36, "", "172.16.1.12", "", "", "172.16.1.12 is taken: it is linked to machine db-1"},
		{since36, "", "172.16.1.50", "52:54:00:00:00:99", "", "172.16.1.50 is taken: reserved for 52:54:00:00:01:50"},
		{since36, "", "172.16.3.60", "", "", "172.16.3.60 is taken: reserved by the user operator"},
		{since36, "", "172.16.1.51", "52:54:00:00:01:50", "", "the MAC 52:54:00:00:01:50 has the reserved IP 172.16.1.50 in this subnet already, and MAAS takes one for each MAC and subnet"},
		{before36, "", free, "52:54:00:00:01:30", "", "the MAC 52:54:00:00:01:30 is of printer, and this MAAS knows no reserved IPs (3.6 and later); reserve for that device instead"},
		{before36, "", free, "52:54:00:00:01:12", "", "the MAC 52:54:00:00:01:12 is of db-1, and this MAAS knows no reserved IPs (3.6 and later); reserve for that machine instead"},

		{since36, "", free, "", "nobody", `MAAS has no machine or device "nobody", or the API key may not see it`},
		{since36, "", free, "", "happy-rack", "happy-rack is a controller, whose interfaces MAAS does not let anybody link"},
		{since36, "", free, "", "db-1", "db-1 is Deployed; MAAS changes only machines that are New, Ready, Allocated or Broken"},
		{since36, "", free, "", "spare", "interface enp1s0 of spare is set to DHCP, which MAAS would end; change that in MAAS first"},
		{since36, "", free, "", "new-1", "no interface of new-1 is on the VLAN of subnet mgmt; it has enp1s0 (52:54:00:00:03:14)"},
		{since36, "", "172.16.3.70", "52:54:00:00:00:99", "new-1", "new-1 has no interface with the MAC 52:54:00:00:00:99 on the VLAN of subnet internal; it has enp1s0 (52:54:00:00:03:14)"},
		{since36, "", "172.16.3.70", "", "twins", "twins has several interfaces on the VLAN of subnet internal; name one by its name or MAC: eth0 (52:54:00:00:77:01), eth1 (52:54:00:00:77:02)"},
		{since36, "", "172.16.3.70", "", "bare", "bare has no interface"},
		{since36, "lab", "", "", "", "MAAS does not manage subnet lab, so that none of its addresses can be chosen; name one outside of its reserved ranges"},
		{since36, "", "172.16.3.70", "", "kept", "kept is a device that is there for a reservation; reserve for its MAC instead"},
		{before36, "", "172.16.3.70", "52:54:00:00:77:03", "", "the MAC 52:54:00:00:77:03 is of the device kept, which is there for a reservation of other/maas"},
	} {
		region, url := maasd.Start(t)
		region.SetVersion(test.version)
		region.AddMachine(maasd.Node{Hostname: "twins", Status: "Ready", Interfaces: []maasd.Interface{
			{Name: "eth0", MAC: "52:54:00:00:77:01", VLAN: 5002}, {Name: "eth1", MAC: "52:54:00:00:77:02", VLAN: 5002},
		}})
		region.AddMachine(maasd.Node{Hostname: "bare", Status: "Ready"})
		region.AddDevice(maasd.Node{Hostname: "kept", Description: "[allocsync other/maas]", Interfaces: []maasd.Interface{{MAC: "52:54:00:00:77:03", VLAN: 5002}}})
		source := mustOpen(t, region, url)
		desk := mustSurvey(t, source).Desk
		region.Forget()
		wish := ipam.Reservation{Network: ipam.UsedBy(test.network), MAC: ipam.MAC(test.mac), For: ipam.UsedBy(test.of), Mark: mark}
		if test.addr != "" {
			wish.Addr = mustAddr(t, test.addr)
		}
		_, err := desk.Consider(wish)
		require.ErrorIs(t, err, sources.ErrRefused)
		require.EqualError(t, err, "consider "+wish.String()+": the source refuses: "+test.want)
		require.Zero(t, region.Count(""))
	}
}

// TestConsiderCompletes: a person may name networks and nodes in many ways; the
// answer is as Held spells it.
func TestConsiderCompletes(t *testing.T) {
	region, source := newRegion(t, since36)
	desk := mustSurvey(t, source).Desk
	id := systemIDOf(t, region, "new-1")
	whole := ipam.Reservation{Network: subnetURI(3), Addr: mustAddr(t, "172.16.3.70"), MAC: "52:54:00:00:03:14", For: ipam.UsedBy(maasd.Base + "machines/" + id + "/"), Mark: mark}
	for _, of := range []string{id, "new-1", "NEW-1", "new-1.maas", maasd.Base + "nodes/" + id + "/", string(whole.For)} {
		for _, network := range []string{"", "3", "internal", "172.16.3.0/24", string(whole.Network)} {
			for _, mac := range []ipam.MAC{"", whole.MAC} {
				got, err := desk.Consider(ipam.Reservation{Network: ipam.UsedBy(network), Addr: whole.Addr, MAC: mac, For: ipam.UsedBy(of), Mark: mark})
				require.NoError(t, err)
				require.Equal(t, whole, got)
			}
		}
	}

	// What was filled into a row for a reservation that is gone names no user.
	for _, of := range []ipam.UsedBy{maasd.Base + "reservedips/77/", maasd.Base + "ipaddresses/?ip=172.16.3.70"} {
		got, err := desk.Consider(ipam.Reservation{Addr: whole.Addr, For: of, Mark: mark})
		require.NoError(t, err)
		require.Equal(t, ipam.Reservation{Network: subnetURI(3), Addr: whole.Addr, Mark: mark}, got)
	}
}

// TestConsiderMet: what is held already is no reason to refuse, whoever made it,
// if it is for the same user.
func TestConsiderMet(t *testing.T) {
	region, source := newRegion(t, since36)
	survey := mustSurvey(t, source)
	region.Forget()
	db := ipam.UsedBy(maasd.Base + "machines/" + systemIDOf(t, region, "db-1") + "/")
	for _, wish := range []ipam.Reservation{
		{Addr: mustAddr(t, "172.16.1.12"), For: "db-1"}, // though it is deployed
		{Addr: mustAddr(t, "172.16.3.12"), For: db, MAC: "52:54:00:00:03:12"},
		{Addr: mustAddr(t, "172.16.1.50"), MAC: "52:54:00:00:01:50"}, // a person's reserved IP
		{Addr: mustAddr(t, "172.16.1.30"), MAC: "52:54:00:00:01:30"}, // a person's device
		{Addr: mustAddr(t, "10.9.9.2")},                              // of the key's own user
	} {
		wish.Mark = mark
		completed, err := survey.Desk.Consider(wish)
		require.NoError(t, err)
		held, err := survey.Desk.Reserve(t.Context(), completed)
		require.NoError(t, err)
		require.Contains(t, survey.Held, held)
		require.Empty(t, held.Mark, "it is not ours")
	}
	require.Zero(t, region.Count(""))
}

// TestConsiderOverlap: where subnets overlap, MAAS puts an address into the
// smallest.
func TestConsiderOverlap(t *testing.T) {
	region, source := newRegion(t, since36)
	region.AddSubnet(maasd.Subnet{CIDR: "172.16.3.128/25", Name: "upper", VLAN: 5002})
	desk := mustSurvey(t, source).Desk
	got, err := desk.Consider(ipam.Reservation{Addr: mustAddr(t, "172.16.3.200")})
	require.NoError(t, err)
	require.Equal(t, subnetURI(7), got.Network)
	_, err = desk.Consider(ipam.Reservation{Network: subnetURI(3), Addr: mustAddr(t, "172.16.3.200")})
	require.ErrorIs(t, err, sources.ErrRefused)
	require.ErrorContains(t, err, "172.16.3.200 is in the smaller subnet upper (172.16.3.128/25), where MAAS would put it")
}

// TestConsiderBond: the interfaces of a bond have its MAC, and its VLAN; an
// interface on top of the bond has another VLAN. One that is not connected is
// taken where no other is.
func TestConsiderBond(t *testing.T) {
	region, url := maasd.Start(t)
	region.AddMachine(maasd.Node{Hostname: "bonded", Status: "Ready", Interfaces: []maasd.Interface{
		{Name: "eth0", MAC: "52:54:00:00:88:01", VLAN: 5002}, {Name: "eth1", MAC: "52:54:00:00:88:02", VLAN: 5002},
		{Name: "bond0", MAC: "52:54:00:00:88:01", Kind: "bond", Parents: []string{"eth0", "eth1"}, VLAN: 5002},
		{Name: "bond0.10", MAC: "52:54:00:00:88:01", Kind: "vlan", Parents: []string{"bond0"}, VLAN: 5003},
	}})
	desk := mustSurvey(t, mustOpen(t, region, url)).Desk
	for _, mac := range []ipam.MAC{"", "52:54:00:00:88:01"} {
		held := mustReserve(t, desk, ipam.Reservation{Addr: mustAddr(t, "172.16.3.70"), For: "bonded", MAC: mac, Mark: mark})
		require.Equal(t, ipam.MAC("52:54:00:00:88:01"), held.MAC)
	}
	require.Equal(t, 1, region.Count("POST *"))
	links := 0
	for _, i := range mustInterfaces(t, region, systemIDOf(t, region, "bonded")) {
		if i.Name == "bond0" {
			links = i.linkOf(mustAddr(t, "172.16.3.70"))
		}
	}
	require.NotZero(t, links, "it is linked to another interface")
}

// TestConsiderOnHalfAReading: nothing is reserved where what is held there could
// not be read.
func TestConsiderOnHalfAReading(t *testing.T) {
	for _, test := range []struct {
		target string
		answer http.HandlerFunc
		cause  error
	}{
		{addressesOf3, says(500, plain, "boom"), sources.ErrUnreachable},
		{"GET reservedips/", says(403, plain, "Forbidden"), sources.ErrDenied},
	} {
		region := maasd.New()
		source := mustOpen(t, region, serve(t, altered{region, map[string]http.HandlerFunc{test.target: test.answer}}))
		survey, err := source.Survey(t.Context())
		require.NoError(t, err)
		wish := ipam.Reservation{Network: subnetURI(3), Addr: mustAddr(t, "172.16.3.70"), Mark: mark}
		_, err = survey.Desk.Consider(wish)
		require.ErrorIs(t, err, test.cause)
		require.ErrorContains(t, err, "what MAAS holds could not all be read")
		_, err = survey.Desk.Reserve(t.Context(), wish)
		require.ErrorIs(t, err, test.cause)
		require.Empty(t, region.Writes())
	}
}

// TestRights: a key that is no administrator's is told so.
func TestRights(t *testing.T) {
	region, at := maasd.Start(t)
	source := mustOpen(t, region, at, func(o *maas.Options) { o.APIKey = maas.Key(region.Key(maasd.Operator)) })
	survey, err := source.Survey(t.Context())
	require.NoError(t, err)
	wish, err := survey.Desk.Consider(ipam.Reservation{Addr: mustAddr(t, "172.16.3.70"), For: "new-1", Mark: mark})
	require.NoError(t, err)
	_, err = survey.Desk.Reserve(t.Context(), wish)
	require.ErrorIs(t, err, sources.ErrDenied)
	require.NotErrorIs(t, err, sources.ErrRefused)
	require.ErrorContains(t, err, "; use the API key of an administrator")

	// It may reserve for itself, and sees only its own when it lets go.
	wish, err = survey.Desk.Consider(ipam.Reservation{Addr: mustAddr(t, "172.16.3.71"), Mark: mark})
	require.NoError(t, err)
	held, err := survey.Desk.Reserve(t.Context(), wish)
	require.NoError(t, err)
	require.Equal(t, "operator", held.Name)
	require.NoError(t, survey.Desk.Release(t.Context(), held))
	require.JSONEq(t, "[]", string(mustDo(t, region, maasd.Admin, "GET", "ipaddresses/?all=true&ip=172.16.3.71", nil)))
}
