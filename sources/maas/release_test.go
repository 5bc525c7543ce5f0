package maas_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	maasd "allocsync/fixtures/maas"
	"allocsync/ipam"
	"allocsync/sources"
)

// cameraWish is what the tests of devices ask for.
func cameraWish(tb testing.TB) ipam.Reservation {
	tb.Helper()
	return ipam.Reservation{Network: subnetURI(3), Addr: mustAddr(tb, "172.16.3.70"), MAC: "52:54:00:aa:00:01", Name: "camera", Mark: mark}
}

// deviceOf returns the system ID of the camera's device, "" if there is none.
func deviceOf(tb testing.TB, r *maasd.Region) string {
	tb.Helper()
	var list []struct {
		ID string `json:"system_id"`
	}
	mustDecode(tb, mustDo(tb, r, maasd.Admin, "GET", "devices/?mac_address=52:54:00:aa:00:01", nil), &list)
	if len(list) == 0 {
		return ""
	}
	require.Len(tb, list, 1)
	return list[0].ID
}

// TestDeviceCrash: a crash between the two writes leaves a device without an
// address, with which the next Reserve goes on.
func TestDeviceCrash(t *testing.T) {
	region, source := newRegion(t, before36)
	wish := cameraWish(t)
	region.Inject(maasd.Fault{On: "POST nodes/*/interfaces/*/?op=link_subnet", Kind: maasd.Dropped})
	_, err := mustSurvey(t, source).Desk.Reserve(t.Context(), wish)
	require.ErrorIs(t, err, sources.ErrUnreachable)
	left := deviceOf(t, region)
	require.NotEmpty(t, left)
	region.Heal()

	survey := mustSurvey(t, source)
	require.NotContains(t, heldText(survey.Held), "172.16.3.70")
	region.Forget()
	held := mustReserve(t, survey.Desk, wish)
	require.Equal(t, ipam.UsedBy(maasd.Base+"devices/"+left+"/"), held.Ref)
	require.Equal(t, left, deviceOf(t, region))
	require.Equal(t, 2, region.Count(""), "one look and one write")
	require.Contains(t, mustSurvey(t, source).Held, held)

	// The device carries a second address, for its other family. The first is
	// unlinked then, and the last one takes the device along.
	region.AddSubnet(maasd.Subnet{CIDR: "2001:db8:33::/64", Name: "internal-v6", VLAN: 5002})
	survey = mustSurvey(t, source)
	second := wish
	second.Network, second.Addr = subnetURI(7), mustAddr(t, "2001:db8:33::1:0:70")
	other := mustReserve(t, survey.Desk, second)
	require.Equal(t, held.Ref, other.Ref)
	third := wish
	third.Addr = mustAddr(t, "172.16.3.71")
	mustDo(t, region, maasd.Operator, "POST", "ipaddresses/?op=reserve", url.Values{"ip": {"172.16.3.71"}})
	_, err = survey.Desk.Reserve(t.Context(), third)
	require.ErrorIs(t, err, sources.ErrRefused)
	require.Equal(t, left, deviceOf(t, region), "it was not made for the one that was refused")
	region.Forget()
	require.NoError(t, survey.Desk.Release(t.Context(), held))
	require.Equal(t, 1, region.Count("POST nodes/*/interfaces/*/?op=unlink_subnet"))
	require.Equal(t, left, deviceOf(t, region))
	require.NoError(t, survey.Desk.Release(t.Context(), other))
	require.Equal(t, 1, region.Count("DELETE devices/*/"))
	require.Empty(t, deviceOf(t, region))
}

// TestDeviceIsCleanedUp: a device that gets no address does not stay, unless it
// cannot be told whether it did.
func TestDeviceIsCleanedUp(t *testing.T) {
	for _, test := range []struct {
		name   string
		faults []maasd.Fault
		cause  error
		stays  bool
	}{
		{"refused", nil, sources.ErrRefused, false},
		{"refused, and deleting it fails", []maasd.Fault{{On: "DELETE devices/*/", Kind: maasd.Forbidden}}, sources.ErrUnreachable, true},
		{"no rights", []maasd.Fault{{On: "POST nodes/*/interfaces/*/", Kind: maasd.Forbidden}}, sources.ErrDenied, false},
		{"unknown", []maasd.Fault{{On: "POST nodes/*/interfaces/*/", Kind: maasd.Timeout}}, sources.ErrUnreachable, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			region, source := newRegion(t, before36)
			desk := mustSurvey(t, source).Desk
			mustDo(t, region, maasd.Operator, "POST", "ipaddresses/?op=reserve", url.Values{"ip": {"172.16.3.70"}})
			for _, f := range test.faults {
				region.Inject(f)
			}
			_, err := desk.Reserve(t.Context(), cameraWish(t))
			require.ErrorIs(t, err, test.cause)
			require.Equal(t, test.stays, deviceOf(t, region) != "")
			if test.cause == sources.ErrUnreachable && len(test.faults) == 1 && test.faults[0].Kind == maasd.Forbidden {
				require.ErrorContains(t, err, "the device camera that was made for it is left in MAAS, without an address")
			}
		})
	}
}

// TestDeviceOfSomebodyElse: a device with the MAC that somebody made meanwhile is
// not touched.
func TestDeviceOfSomebodyElse(t *testing.T) {
	region, source := newRegion(t, before36)
	desk := mustSurvey(t, source).Desk
	region.AddDevice(maasd.Node{Hostname: "theirs", Interfaces: []maasd.Interface{{MAC: "52:54:00:aa:00:01", VLAN: 5002}}})
	_, err := desk.Reserve(t.Context(), cameraWish(t))
	require.ErrorIs(t, err, sources.ErrRefused)
	require.ErrorContains(t, err, "the MAC 52:54:00:aa:00:01 is of the device theirs, which was not made for lab/maas")
	require.Empty(t, region.Writes())
}

// TestDeviceNames: a name that MAAS would not take, or that is taken, is left to
// MAAS; the words stay in the description.
func TestDeviceNames(t *testing.T) {
	for name, want := range map[string]string{"camera": "camera", "Camera": "camera", "printer": "", "the camera at the gate": "", "cam.example.org": "", "": ""} {
		region, source := newRegion(t, before36)
		wish := cameraWish(t)
		wish.Name = name
		held := mustReserve(t, mustSurvey(t, source).Desk, wish)
		if want == "" {
			require.Regexp(t, "^moral-", held.Name, name)
		} else {
			require.Equal(t, want, held.Name)
		}
		var device struct{ Description string }
		mustDecode(t, mustDo(t, region, maasd.Admin, "GET", strings.TrimPrefix(string(held.Ref), maasd.Base), nil), &device)
		require.Equal(t, strings.TrimSpace(name+" [allocsync lab/maas]"), device.Description)
	}
}

// TestUpgrade: what was reserved with a device on an older MAAS stays, and is
// released as it was made.
func TestUpgrade(t *testing.T) {
	region, source := newRegion(t, before36)
	wish := cameraWish(t)
	held := mustReserve(t, mustSurvey(t, source).Desk, wish)
	region.SetVersion(since36)
	survey := mustSurvey(t, source)
	require.Contains(t, survey.Held, held)
	region.Forget()
	require.Equal(t, held, mustReserve(t, survey.Desk, wish))
	require.Zero(t, region.Count(""))
	require.NoError(t, survey.Desk.Release(t.Context(), held))
	require.Empty(t, deviceOf(t, region))
}

// TestReleaseRefuses: what is not as it was is not touched.
func TestReleaseRefuses(t *testing.T) {
	held := func(of ipam.UsedBy, addr string, mac ipam.MAC) ipam.Reservation {
		return ipam.Reservation{Network: subnetURI(1), Addr: mustAddr(t, addr), Ref: of, MAC: mac, Type: "x"}
	}
	region, source := newRegion(t, since36)
	desk := mustSurvey(t, source).Desk
	uri := func(kind, hostname string) ipam.UsedBy {
		return ipam.UsedBy(maasd.Base + kind + "/" + systemIDOf(t, region, hostname) + "/")
	}
	printer, spare := uri("devices", "printer"), uri("machines", "db-1")
	region.Forget()
	for _, test := range []struct {
		held ipam.Reservation
		want string
	}{
		{held("/somewhere/else", "172.16.1.50", ""), `"/somewhere/else" is nothing that can be released at MAAS`},
		{held(subnetURI(1), "172.16.1.50", ""), `"/MAAS/api/2.0/subnets/1/" is nothing that can be released at MAAS`},
		{held(maasd.Base+"reservedips/1/", "172.16.1.50", "52:54:00:00:00:99"), "reserved IP 1 is 172.16.1.50 for 52:54:00:00:01:50 by now"},
		{held(maasd.Base+"reservedips/1/", "172.16.1.51", "52:54:00:00:01:50"), "reserved IP 1 is 172.16.1.50 for 52:54:00:00:01:50 by now"},
		{held(maasd.Base+"reservedips/77/", "172.16.1.50", "52:54:00:00:01:50"), "172.16.1.50 is reserved for 52:54:00:00:01:50 by now, in another entry"},
		{held(maasd.Base+"ipaddresses/?ip=172.16.3.60", "172.16.3.60", ""), "172.16.3.60 is reserved by the user operator by now"},
		{held(maasd.Base+"ipaddresses/?ip=172.16.1.40", "172.16.1.40", ""), "172.16.1.40 is reserved for the MAC 52:54:00:00:01:40 by now"},
		{held(printer, "172.16.1.30", "52:54:00:00:00:99"), "172.16.1.30 is linked to the interface eth0 (52:54:00:00:01:30) by now"},
		{held(spare, "172.16.1.12", "52:54:00:00:01:12"), `MAAS answers 409 "Cannot unlink subnet interface because the machine is not Ready, Allocated, or Broken."`},
	} {
		err := desk.Release(t.Context(), test.held)
		require.ErrorIs(t, err, sources.ErrRefused)
		require.EqualError(t, err, "release "+test.held.String()+": the source refuses: "+test.want)
	}
	marked := held(maasd.Base+"reservedips/1/", "172.16.1.50", "52:54:00:00:01:50")
	marked.Mark = mark
	require.ErrorContains(t, desk.Release(t.Context(), marked), "its mark is gone, so that it may be somebody else's by now")
	moved := held(printer, "172.16.1.30", "52:54:00:00:01:30")
	moved.Network = subnetURI(3)
	require.ErrorContains(t, desk.Release(t.Context(), moved), "172.16.1.30 is of another subnet by now")
	require.Empty(t, region.Writes())
}

// TestReleaseOfWhatIsGone succeeds, however it went.
func TestReleaseOfWhatIsGone(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			region, source := newRoomy(t, w.version)
			before := mustSurvey(t, source)
			held := mustReserve(t, before.Desk, w.wish(1))
			target := strings.TrimPrefix(string(held.Ref), maasd.Base)
			switch w.name {
			case "reserved IP", "device":
				mustDo(t, region, maasd.Admin, "DELETE", target, nil)
			case "static link":
				region.Remove(strings.Split(target, "/")[1])
			default:
				mustDo(t, region, maasd.Admin, "POST", "ipaddresses/?op=release", url.Values{"ip": {held.Addr.String()}})
			}
			region.Forget()
			require.NoError(t, before.Desk.Release(t.Context(), held))
			require.Empty(t, region.Writes())
		})
	}
}

// TestReleaseRaces: what somebody else released between the look and the write
// is released.
func TestReleaseRaces(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			region, _ := newRoomy(t, w.version)
			once := false
			at := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet && !once && (r.Method == http.MethodDelete || strings.Contains(r.URL.RawQuery, "release") || strings.Contains(r.URL.RawQuery, "unlink")) {
					once = true
					require.NoError(t, r.ParseForm())
					mustDo(t, region, maasd.Admin, r.Method, strings.TrimPrefix(r.URL.RequestURI(), maasd.Base), r.PostForm)
					r.Body = newForm(r, r.PostForm)
				}
				region.ServeHTTP(rw, r)
			}))
			source := mustOpen(t, region, at)
			before := mustSurvey(t, source)
			held := mustReserve(t, before.Desk, w.wish(1))
			require.NoError(t, before.Desk.Release(t.Context(), held))
			require.True(t, once)
			require.Equal(t, before.Held, mustSurvey(t, source).Held)
		})
	}
}

// TestReleaseLeavesDevices: a device that people made stays, also when the last
// address that it has was linked here.
func TestReleaseLeavesDevices(t *testing.T) {
	region, source := newRegion(t, since36)
	id := region.AddDevice(maasd.Node{Hostname: "scanner", Description: "third floor", Interfaces: []maasd.Interface{{MAC: "52:54:00:00:66:01", VLAN: 5002}}})
	before := mustSurvey(t, source)
	held := mustReserve(t, before.Desk, ipam.Reservation{Addr: mustAddr(t, "172.16.3.70"), For: "scanner", Mark: mark})
	require.NoError(t, mustSurvey(t, source).Desk.Release(t.Context(), held))
	require.Zero(t, region.Count("DELETE *"))
	require.Equal(t, id, systemIDOf(t, region, "scanner"))
	require.Equal(t, before.Held, mustSurvey(t, source).Held)
}

// TestInUse: whoever uses a reserved address is named.
func TestInUse(t *testing.T) {
	region, source := newRegion(t, since36)
	survey := mustSurvey(t, source)
	camera := mustReserve(t, survey.Desk, cameraWish(t))
	require.Empty(t, camera.InUse)
	linked := mustReserve(t, survey.Desk, ipam.Reservation{Addr: mustAddr(t, "172.16.3.71"), For: "new-1", Mark: mark})
	require.Empty(t, linked.InUse)

	region.AddLease("52:54:00:aa:00:01", "172.16.3.70")
	region.SetStatus(systemIDOf(t, region, "new-1"), "Deployed")
	got := map[string]string{}
	for _, h := range mustSurvey(t, source).Held {
		got[h.Addr.String()] = h.InUse
	}
	require.Equal(t, "leased to a host that MAAS does not know", got["172.16.3.70"])
	require.Equal(t, "new-1 is Deployed", got["172.16.3.71"])
	require.Equal(t, "db-1 is Deployed", got["172.16.1.12"])
	require.Empty(t, got["172.16.3.60"])

	region.EndLease("172.16.3.70")
	region.AddMachine(maasd.Node{Hostname: "late", Status: "Ready", Interfaces: []maasd.Interface{{MAC: "52:54:00:aa:00:02", Links: []maasd.Link{{Mode: "auto", Subnet: 3, IP: "172.16.3.72"}}}}})
	region.AddReservedIP("172.16.3.72", "52:54:00:aa:00:02", "")
	for _, h := range mustSurvey(t, source).Held {
		got[h.Addr.String()] = h.InUse
	}
	require.Empty(t, got["172.16.3.70"])
	require.Equal(t, "late has it", got["172.16.3.72"])
}

// TestSameMACInTwoSubnets: an address of each.
func TestSameMACInTwoSubnets(t *testing.T) {
	_, source := newRegion(t, since36)
	desk := mustSurvey(t, source).Desk
	for n, addr := range []string{"172.16.1.60", "2001:db8:1::1:0:60", "172.16.3.70"} {
		held := mustReserve(t, desk, ipam.Reservation{Addr: mustAddr(t, addr), MAC: "52:54:00:aa:00:01", Name: fmt.Sprint(n), Mark: mark})
		require.Equal(t, fmt.Sprint(n), held.Name)
	}
	require.Contains(t, heldText(mustSurvey(t, source).Held), "2001:db8:1::1:0:60 reservation")
}

// TestRenumbered: one MAC goes from one address to another in one pass, the old
// one being released first.
func TestRenumbered(t *testing.T) {
	_, source := newRegion(t, since36)
	first := cameraWish(t)
	held := mustReserve(t, mustSurvey(t, source).Desk, first)
	desk := mustSurvey(t, source).Desk
	second := first
	second.Addr = mustAddr(t, "172.16.3.71")
	wish, err := desk.Consider(second)
	require.NoError(t, err, "the old one is ours, and may be about to go")
	require.NoError(t, desk.Release(t.Context(), held))
	moved, err := desk.Reserve(t.Context(), wish)
	require.NoError(t, err)
	require.Equal(t, second.Addr, moved.Addr)
	back, err := desk.Reserve(t.Context(), first)
	require.ErrorIs(t, err, sources.ErrRefused, "MAAS has one for each MAC and subnet: %+v", back)
	require.ErrorContains(t, err, "already exists")
}
