package maas_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	maasd "allocsync/fixtures/maas"
	"allocsync/ipam"
	"allocsync/sources"
	"allocsync/sources/maas"
	"allocsync/sources/sourcetest"
)

func TestConformance(t *testing.T) {
	for _, version := range []string{since36, before36} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			region, empty := maasd.New(), maasd.Empty()
			region.SetVersion(version)
			sourcetest.Run(t, sourcetest.HTTP{
				World:   quoting{region},
				Nothing: empty,
				Refusal: http.HandlerFunc(refuse),
				Open: func(tb testing.TB, h http.Handler, patience time.Duration) sources.Source {
					server := httptest.NewServer(h)
					tb.Cleanup(server.Close)
					return mustOpen(tb, region, server.URL+"/MAAS", func(o *maas.Options) {
						o.Timeout, o.MaxBytes = patience, sourcetest.MaxBytes
					})
				},
			}.Setup(t))
		})
	}
}

// quoting makes JSON of MAAS's text answers: the suite shuffles JSON alone.
type quoting struct{ http.Handler }

func (q quoting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := httptest.NewRecorder()
	q.Handler.ServeHTTP(answer, r)
	w.WriteHeader(answer.Code)
	if body := answer.Body.Bytes(); json.Valid(body) {
		_, _ = w.Write(body) // a client that has gone needs no answer
	} else {
		_ = json.NewEncoder(w).Encode(string(body))
	}
}

// refuse is what MAAS answers where it does not know the token (Piston).
func refuse(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusUnauthorized)
	fmt.Fprint(w, "Authorization Error: 'Invalid access token: abc'")
}

// TestDesks: every way in which MAAS holds an address keeps the contract.
func TestDesks(t *testing.T) {
	for name, room := range map[string]func(testing.TB, *maasd.Region) sourcetest.Room{
		since36 + " a MAC": func(tb testing.TB, r *maasd.Region) sourcetest.Room {
			return sourcetest.Room{
				Network: subnetURI(1), Free: mustAddr(tb, "172.16.1.60"), Taken: mustAddr(tb, "172.16.1.30"), Outside: mustAddr(tb, "172.17.0.1"),
				MAC: "52:54:00:aa:00:01", Name: "Camera at the gate",
				Steal: func(tb testing.TB, held ipam.Reservation) {
					target := strings.TrimPrefix(string(held.Ref), maasd.Base)
					mustDo(tb, r, maasd.Admin, "DELETE", target, nil)
					mustDo(tb, r, maasd.Admin, "POST", "reservedips/", url.Values{"ip": {held.Addr.String()}, "mac_address": {"52:54:00:bb:00:01"}, "subnet": {"1"}})
				},
			}
		},
		since36 + " a MAC, its comment rewritten": func(tb testing.TB, r *maasd.Region) sourcetest.Room {
			return sourcetest.Room{
				Network: subnetURI(2), Free: mustAddr(tb, "2001:db8:1::1:0:60"), Taken: mustAddr(tb, "2001:db8:1::1:0:11"), Outside: mustAddr(tb, "2001:db8:2::1"),
				MAC: "52:54:00:aa:00:01",
				Steal: func(tb testing.TB, held ipam.Reservation) {
					mustDo(tb, r, maasd.Admin, "PUT", strings.TrimPrefix(string(held.Ref), maasd.Base), url.Values{"comment": {"mine now"}})
				},
			}
		},
		before36 + " a MAC": func(tb testing.TB, r *maasd.Region) sourcetest.Room {
			return sourcetest.Room{
				Network: subnetURI(1), Free: mustAddr(tb, "172.16.1.60"), Taken: mustAddr(tb, "172.16.1.30"), Outside: mustAddr(tb, "172.17.0.1"),
				MAC: "52:54:00:aa:00:01", Name: "gate-camera",
				Steal: func(tb testing.TB, held ipam.Reservation) {
					mustDo(tb, r, maasd.Admin, "PUT", strings.TrimPrefix(string(held.Ref), maasd.Base), url.Values{"description": {"mine now"}})
				},
			}
		},
		since36 + " a node by its name": func(tb testing.TB, r *maasd.Region) sourcetest.Room {
			return nodeRoom(tb, r, "new-1", "")
		},
		before36 + " a node by its system ID and MAC": func(tb testing.TB, r *maasd.Region) sourcetest.Room {
			return nodeRoom(tb, r, ipam.UsedBy(systemIDOf(tb, r, "web-1-c1")), "52:54:00:00:03:40")
		},
		since36 + " nobody":  userRoom,
		before36 + " nobody": userRoom,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sourcetest.RunDesks(t, sourcetest.Desks{Open: func(tb testing.TB) sourcetest.Room {
				version, _, _ := strings.Cut(name, " ")
				region, source := newRegion(tb, version)
				r := room(tb, region)
				r.Source, r.Requests = source, func() int { return region.Count("") }
				return r
			}})
		})
	}
}

// nodeRoom is the room of a node on VLAN 5002.
func nodeRoom(tb testing.TB, r *maasd.Region, of ipam.UsedBy, mac ipam.MAC) sourcetest.Room {
	return sourcetest.Room{
		Network: subnetURI(3), Free: mustAddr(tb, "172.16.3.70"), Taken: mustAddr(tb, "172.16.3.12"), Outside: mustAddr(tb, "172.16.4.1"),
		For: of, MAC: mac,
		Steal: func(tb testing.TB, held ipam.Reservation) {
			// Somebody gives the address to another interface of the node.
			id := strings.Split(strings.TrimPrefix(string(held.Ref), maasd.Base), "/")[1]
			old := interfaceOf(tb, r, id, string(held.MAC))
			mustDo(tb, r, maasd.Admin, "POST", fmt.Sprintf("nodes/%s/interfaces/%d/?op=unlink_subnet", id, old.ID), url.Values{"id": {fmt.Sprint(old.linkOf(held.Addr))}})
			mustDo(tb, r, maasd.Admin, "POST", "nodes/"+id+"/interfaces/?op=create_physical", url.Values{"mac_address": {"52:54:00:bb:00:02"}, "name": {"eth9"}, "vlan": {"5002"}})
			other := interfaceOf(tb, r, id, "52:54:00:bb:00:02")
			mustDo(tb, r, maasd.Admin, "POST", fmt.Sprintf("nodes/%s/interfaces/%d/?op=link_subnet", id, other.ID),
				url.Values{"mode": {"static"}, "subnet": {"3"}, "ip_address": {held.Addr.String()}})
		},
	}
}

func userRoom(tb testing.TB, r *maasd.Region) sourcetest.Room {
	return sourcetest.Room{
		Network: subnetURI(3), Free: mustAddr(tb, "172.16.3.70"), Taken: mustAddr(tb, "172.16.3.60"), Outside: mustAddr(tb, "172.16.4.1"),
		Name: "appliance",
		Steal: func(tb testing.TB, held ipam.Reservation) {
			mustDo(tb, r, maasd.Admin, "POST", "ipaddresses/?op=release", url.Values{"ip": {held.Addr.String()}})
			mustDo(tb, r, maasd.Operator, "POST", "ipaddresses/?op=reserve", url.Values{"ip": {held.Addr.String()}})
		},
	}
}

func subnetURI(id int) ipam.UsedBy { return ipam.UsedBy(fmt.Sprintf("%ssubnets/%d/", maasd.Base, id)) }

// mustDo does what somebody else does meanwhile.
func mustDo(tb testing.TB, r *maasd.Region, user, method, target string, fields url.Values) []byte {
	tb.Helper()
	status, body := r.Do(user, method, target, fields)
	require.Less(tb, status, 300, "%s %s: %s", method, target, body)
	return body
}

// systemIDOf finds a node by its name.
func systemIDOf(tb testing.TB, r *maasd.Region, hostname string) string {
	tb.Helper()
	var list []struct {
		ID string `json:"system_id"`
	}
	mustDecode(tb, mustDo(tb, r, maasd.Admin, "GET", "nodes/?hostname="+hostname, nil), &list)
	require.Len(tb, list, 1)
	return list[0].ID
}

// wireInterface is an interface as MAAS writes it.
type wireInterface struct {
	ID    int    `json:"id"`
	Name  string `json:"name"`
	MAC   string `json:"mac_address"`
	Links []struct {
		ID   int    `json:"id"`
		Mode string `json:"mode"`
		IP   string `json:"ip_address"`
	} `json:"links"`
}

func (i wireInterface) linkOf(addr netip.Addr) int {
	for _, l := range i.Links {
		if l.IP == addr.String() {
			return l.ID
		}
	}
	return 0
}

func mustInterfaces(tb testing.TB, r *maasd.Region, systemID string) []wireInterface {
	tb.Helper()
	var list []wireInterface
	mustDecode(tb, mustDo(tb, r, maasd.Admin, "GET", "nodes/"+systemID+"/interfaces/", nil), &list)
	return list
}

func interfaceOf(tb testing.TB, r *maasd.Region, systemID, mac string) wireInterface {
	tb.Helper()
	for _, i := range mustInterfaces(tb, r, systemID) {
		if i.MAC == mac {
			return i
		}
	}
	require.Fail(tb, "no such interface", "%s of %s", mac, systemID)
	return wireInterface{}
}
