package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	maasd "allocsync/fixtures/maas"
	"allocsync/webhook"
)

const apiToken = "a-token-for-reservations"

// maasLab is a lab whose source is a MAAS that holds reservations.
type maasLab struct {
	*lab
	maas *maasd.Region
	key  string
}

func newMAASLab(t *testing.T, version string) *maasLab {
	t.Helper()
	region, address := maasd.Start(t)
	region.SetVersion(version)
	l := &maasLab{newLab(t), region, region.Key(maasd.Admin)}
	l.write(t, fmt.Sprintf(`installation: dc1
netbox:
  url: %s
  token: ${NETBOX_TOKEN}
  retries: 0
sources:
  - name: maas
    kind: maas
    reserve: true
    options: {url: %q, api_key: %q}
`, l.url, address, l.key))
	l.mustRun(t, exitInStep, "setup")
	return l
}

// here are the flags with which a command does it in its own process.
func (l *maasLab) here() []string { return []string{"--state-dir", filepath.Join(l.folder, "state")} }

// there starts serve, and returns it and the flags that ask it.
func (l *maasLab) there(t *testing.T) (*served, []string) {
	t.Helper()
	text, err := os.ReadFile(l.config)
	require.NoError(t, err)
	l.write(t, string(text)+"serve:\n  listen: 127.0.0.1:0\n  schedule: \"\"\n  settle: 20ms\n  watch: false\n  state_dir: "+filepath.Join(l.folder, "state")+
		"\n  netbox_secret: "+hookSecret+"\n  resync_token: "+resyncToken+"\n  page_token: "+pageToken+"\n  approve_token: "+approveToken+"\n  api_token: "+apiToken+"\n")
	s := l.serve(t)
	file := filepath.Join(l.folder, "token")
	require.NoError(t, os.WriteFile(file, []byte(apiToken+"\n"), 0o600))
	return s, []string{"--server", s.base, "--token-file", file}
}

// mustAsk runs a command and reads its JSON.
func (l *maasLab) mustAsk(t *testing.T, into any, args ...string) {
	t.Helper()
	out := l.mustRun(t, exitInStep, append(args, "--format", "json")...)
	d := json.NewDecoder(strings.NewReader(out.stdout))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(into), out.stdout)
	l.secretFree(t, out.stdout+out.stderr)
}

func (l *maasLab) secretFree(t *testing.T, text string) {
	t.Helper()
	for _, secret := range append(strings.Split(l.key, ":"), labToken, apiToken) {
		require.NotContains(t, text, secret)
	}
}

// atMAAS is what MAAS holds of an address.
func (l *maasLab) atMAAS(address string) []maasd.Held {
	var found []maasd.Held
	bare, _, _ := strings.Cut(address, "/")
	for _, h := range l.maas.Held() {
		if h.IP.String() == bare {
			found = append(found, h)
		}
	}
	return found
}

// maasCase is one of the three ways to reserve at MAAS.
type maasCase struct {
	name string
	args []string
	want webhook.Reservation // but for what MAAS counts and chooses
}

func maasCases() []maasCase {
	const subnets = "/MAAS/api/2.0/subnets/"
	return []maasCase{
		{
			name: "unmanaged device", args: []string{"--network", "172.16.1.0/24", "--address", "172.16.1.61", "--mac", "52-54-00-00-01-61", "--user", "printer-3"},
			want: webhook.Reservation{Address: "172.16.1.61/24", Network: subnets + "1/", MAC: "52:54:00:00:01:61", Name: "printer-3"},
		},
		{
			name: "unmanaged device, any address", args: []string{"--network", "internal", "--mac", "52:54:00:00:03:62"},
			want: webhook.Reservation{Network: subnets + "3/", MAC: "52:54:00:00:03:62"},
		},
		{
			name: "extra address of a node", args: []string{"--network", "3", "--address", "172.16.3.91", "--node", "new-1"},
			want: webhook.Reservation{Address: "172.16.3.91/24", Network: subnets + "3/", MAC: "52:54:00:00:03:14", Name: "new-1"},
		},
		{
			name: "user reservation", args: []string{"--network", subnets + "3/", "--address", "172.16.3.92", "--user", "vip-2"},
			want: webhook.Reservation{Address: "172.16.3.92/24", Network: subnets + "3/", Name: "vip-2"},
		},
		{
			name: "user reservation, any address", args: []string{"--network", "2001:db8:3::/48"},
			want: webhook.Reservation{Network: subnets + "6/"},
		},
	}
}

// The three cases of MAAS, reserved, listed and released: by a command alone,
// and by one that asks serve; at a MAAS that knows reserved IPs and at one
// before.
func TestReserveAtMAAS(t *testing.T) {
	for _, version := range []string{"3.6.1", "3.5.8"} {
		for _, c := range maasCases() {
			t.Run(version+" "+c.name, func(t *testing.T) {
				l := newMAASLab(t, version)
				l.mustRun(t, exitInStep, "sync") // has the prefixes from which NetBox chooses
				c.run(t, l, l.here())
			})
		}
		t.Run(version+" through serve", func(t *testing.T) {
			l := newMAASLab(t, version)
			s, flags := l.there(t)
			for _, c := range maasCases() {
				c.run(t, l, flags)
			}
			s.end()
			l.secretFree(t, s.log.String())
		})
	}
}

func (c maasCase) run(t *testing.T, l *maasLab, where []string) {
	t.Helper()
	with := func(args ...string) []string { return append(args, where...) }
	var made, again, gone webhook.Reservation
	reserve := with(append([]string{"reserve", "--source", "maas"}, c.args...)...)
	l.mustAsk(t, &made, reserve...)
	want := c.want
	want.Source, want.State = "maas", "held"
	if want.Address == "" {
		require.NotEmpty(t, made.Address)
		want.Address = made.Address
	}
	require.NotEmpty(t, made.UsedBy)
	require.NotEmpty(t, made.Type)
	require.NotZero(t, made.Row)
	want.UsedBy, want.Type, want.Row = made.UsedBy, made.Type, made.Row
	if strings.Contains(strings.Join(c.args, " "), "--node") {
		require.Contains(t, made.For, "/machines/")
		want.For = made.For
	}
	if want.Name == "" {
		want.Name = made.Name // MAAS has one for everything
	}
	require.Equal(t, want, made)
	require.Len(t, l.atMAAS(made.Address), 1)
	row := l.mustRow(t, made.Row)
	require.Equal(t, made.Address, row["address"])
	require.Equal(t, "dc1/maas", row["custom_fields"].(map[string]any)["reserve_at"])
	require.Equal(t, made.UsedBy, row["custom_fields"].(map[string]any)["used_by"])

	// Listed as it was answered.
	var list webhook.ReservationList
	l.mustAsk(t, &list, with("reservations", made.Address)...)
	require.Equal(t, []webhook.Reservation{made}, list.Reservations)
	require.Empty(t, list.Unread)

	if !strings.Contains(c.name, "any address") { // else it would be one more
		l.mustAsk(t, &again, reserve...)
		require.Equal(t, made, again, "twice is once")
		require.Len(t, l.atMAAS(made.Address), 1)
	}

	l.mustAsk(t, &gone, with("release", "--source", "maas", made.Address)...)
	made.State = "released"
	require.Equal(t, made, gone)
	require.Empty(t, l.atMAAS(made.Address))
	require.Nil(t, l.mustRow(t, made.Row))
	out := l.mustRun(t, exitFailed, with("release", "--source", "maas", made.Address)...)
	require.Contains(t, out.stderr, "no row asks dc1/maas for")
}

// mustRow is a row of NetBox by its ID, nil where there is none.
func (l *lab) mustRow(t *testing.T, id int) map[string]any {
	t.Helper()
	for _, row := range l.addresses(t) {
		if row["id"] == float64(id) {
			return row
		}
	}
	return nil
}

// What is wrong with a command is said before anybody is asked anything.
func TestReserveFlags(t *testing.T) {
	l := newMAASLab(t, "3.6.1")
	l.maas.Forget()
	l.netbox.ResetRequests()
	reserve := func(args ...string) []string { return append([]string{"reserve"}, args...) }
	source := []string{"--source", "maas", "--network", "internal"}
	for _, c := range []struct {
		args []string
		want string
	}{
		{reserve(), "--source is missing"},
		{reserve("--source", "maas"), "--network is missing"},
		{reserve(append(source, "--address", "172.16.3.300")...), `--address "172.16.3.300": want one such as`},
		{reserve(append(source, "--address", "172.16.3.1/33")...), `--address "172.16.3.1/33": want`},
		{reserve(append(source, "--address", "fe80::1%eth0")...), `--address "fe80::1%eth0": want`},
		{reserve(append(source, "--address", "::ffff:10.0.0.1")...), `--address`},
		{reserve(append(source, "--mac", "52:54")...), `--mac: hardware address "52:54": want octets`},
		{reserve(append(source, "--for", "web-1")...), `--for "web-1": is no URI; --node takes names and IDs`},
		{reserve(append(source, "--node", "web-1", "--for", "/x")...), "[for node]"},
		{reserve(append(source, "--node", "a\x01b")...), "for: "},
		{reserve(append(source, "--format", "yaml")...), `--format "yaml": want one of table, json`},
		{reserve(append(source, "surplus")...), "surplus"},
		{reserve(append(source, "--server", "http://127.0.0.1:1", "--state-dir", "x")...), "[server state-dir]"},
		{reserve(append(source, "--server", "ftp://127.0.0.1:1")...), "--server: want http://HOST:PORT"},
		{reserve(append(source, "--server", "http://u:secret@127.0.0.1:1")...), "--server: want http://HOST:PORT"},
		{reserve(append(source, "--server", "http://127.0.0.1:1")...), "a token is needed"},
		{reserve(append(source, "--token-file", "x")...), "for --server, which is not given"},
		{reserve(source...), "no state folder is named"},
		{[]string{"release", "10.0.0.1"}, "--source is missing"},
		{[]string{"release", "--source", "maas"}, "accepts 1 arg(s)"},
		{[]string{"release", "--source", "maas", "nonsense"}, `address "nonsense": want one such as`},
		{[]string{"release", "--source", "maas", ""}, `address "": want one such as`},
		{[]string{"reservations", "nonsense"}, `address "nonsense": want one such as`},
		{[]string{"reservations", "10.0.0.1", "10.0.0.2"}, "accepts at most 1 arg(s)"},
		{[]string{"reservations", "--format", "csv"}, `--format "csv"`},
		{[]string{"reservations"}, "no state folder is named"},
	} {
		out := l.mustRun(t, exitFailed, c.args...)
		require.Contains(t, out.stderr, c.want, strings.Join(c.args, " "))
		require.Equal(t, 1, strings.Count(out.stderr, "\n"), "one line: %s", out.stderr)
		require.NotContains(t, out.stderr, "secret")
		require.Empty(t, out.stdout)
	}
	require.Empty(t, l.maas.Requests())
	require.Empty(t, l.netbox.Requests())
}

// What cannot be done changes nothing, and says why.
func TestReserveRefused(t *testing.T) {
	l := newMAASLab(t, "3.6.1")
	l.call(t, http.MethodPost, "/api/ipam/ip-addresses/", `{"address": "172.16.3.70/24", "description": "of a person"}`, nil)
	rows := l.addresses(t)
	for args, want := range map[string]string{
		"--network internal --address 172.16.1.5":                          "has no network",
		"--network nowhere":                                                `has no network "nowhere"; there are: `,
		"--network internal --address 172.16.3.60 --mac 52:54:00:00:00:09": "172.16.3.60 is taken",
		"--network mgmt --address 172.16.1.120":                            "dynamic range",
		"--network internal --node nobody":                                 "nobody",
		"--network internal --address 172.16.3.70":                         "NetBox has a row of 172.16.3.70/24 already",
	} {
		l.maas.Forget()
		out := l.mustRun(t, exitFailed, append(append([]string{"reserve", "--source", "maas"}, strings.Fields(args)...), l.here()...)...)
		said := complaint(out)
		require.Contains(t, said, want, args)
		require.Empty(t, l.maas.Writes(), args)
		require.Equal(t, rows, l.addresses(t), args)
	}
	out := l.mustRun(t, exitFailed, append([]string{"reserve", "--source", "nothing", "--network", "x"}, l.here()...)...)
	require.Contains(t, complaint(out), `source "nothing" is not configured; there are: maas`)

	// A reservation of somebody else's is not released.
	out = l.mustRun(t, exitFailed, append([]string{"release", "--source", "maas", "172.16.3.60"}, l.here()...)...)
	require.Contains(t, complaint(out), "no reservation of it was made here")
	require.Len(t, l.atMAAS("172.16.3.60"), 1)

	l.maas.Inject(maasd.Fault{Kind: maasd.Denied})
	out = l.mustRun(t, exitFailed, append([]string{"reserve", "--source", "maas", "--network", "internal"}, l.here()...)...)
	require.Contains(t, complaint(out), "401")
	out = l.mustRun(t, exitFailed, append([]string{"reservations"}, l.here()...)...)
	require.Contains(t, complaint(out), "401")
}

// complaint is what a command says last, behind its log.
func complaint(o outcome) string {
	_, text, _ := strings.Cut(o.stderr, "allocsync: ")
	return text
}

// The answer of the source is lost: the command says that it is not finished,
// and the next pass finishes it, without making it twice.
func TestReserveUnfinished(t *testing.T) {
	for _, remote := range []bool{false, true} {
		l := newMAASLab(t, "3.6.1")
		flags, s := l.here(), (*served)(nil)
		if remote {
			s, flags = l.there(t)
		}
		l.maas.Inject(maasd.Fault{On: "POST ipaddresses/?op=reserve", Kind: maasd.Lost, Times: 1})
		l.maas.Inject(maasd.Fault{On: "GET ipaddresses/", Kind: maasd.Broken, Times: 1}) // nor can it be looked at
		args := append([]string{"reserve", "--source", "maas", "--network", "internal", "--address", "172.16.3.92"}, flags...)
		out := l.mustRun(t, exitPartly, args...)
		require.Contains(t, out.stderr, "not finished")
		require.Len(t, l.atMAAS("172.16.3.92"), 1)
		l.maas.Heal()
		if remote {
			before := s.passes()
			s.eventually("makes a pass", func() bool { return s.passes() > before })
		} else {
			l.mustRun(t, exitInStep, append([]string{"sync"}, flags...)...)
		}
		var list webhook.ReservationList
		l.mustAsk(t, &list, append([]string{"reservations", "172.16.3.92"}, flags...)...)
		require.Len(t, list.Reservations, 1)
		require.Equal(t, "held", list.Reservations[0].State)
		require.Len(t, l.atMAAS("172.16.3.92"), 1)
	}
}

// While serve has the state folder, a command alone says whom to ask.
func TestReserveBesideServe(t *testing.T) {
	l := newMAASLab(t, "3.6.1")
	l.there(t)
	for _, args := range [][]string{
		{"reserve", "--source", "maas", "--network", "internal"}, {"release", "--source", "maas", "172.16.3.60"}, {"reservations"},
	} {
		out := l.mustRun(t, exitFailed, args...)
		require.Contains(t, out.stderr, "is in use by another allocsync, process")
		require.Contains(t, out.stderr, "--server URL")
		require.Equal(t, 1, strings.Count(out.stderr, "\n"), out.stderr)
	}
}

// A server that is none, that is another one, or that wants another token.
func TestReserveServers(t *testing.T) {
	l := newMAASLab(t, "3.6.1")
	s, flags := l.there(t)
	out := l.mustRun(t, exitFailed, "reservations", "--server", "http://127.0.0.1:1", "--token-file", flags[3])
	require.Contains(t, out.stderr, "ask http://127.0.0.1:1: ")
	require.Contains(t, out.stderr, "refused")

	out = l.mustRun(t, exitFailed, "reserve", "--source", "maas", "--network", "internal", "--server", l.url, "--token-file", flags[3])
	require.Contains(t, out.stderr, "is not one of allocsync serve")

	wrong := filepath.Join(l.folder, "wrong")
	for _, token := range []string{resyncToken, pageToken, approveToken, apiToken[1:]} {
		require.NoError(t, os.WriteFile(wrong, []byte(token), 0o600))
		out = l.mustRun(t, exitFailed, "reservations", "--server", s.base, "--token-file", wrong)
		require.Contains(t, out.stderr, "the token is missing or wrong")
		require.NotContains(t, out.stderr, token)
	}
	out = l.mustRun(t, exitFailed, "release", "--source", "nothing", "10.0.0.1", flags[0], flags[1], flags[2], flags[3])
	require.Contains(t, out.stderr, "no source of that name is configured; there are: maas")
	for name, text := range map[string]string{"empty": " \n", "long": strings.Repeat("x", 5000), "odd": "a\nb"} {
		require.NoError(t, os.WriteFile(wrong, []byte(text), 0o600))
		out = l.mustRun(t, exitFailed, "reservations", "--server", s.base, "--token-file", wrong)
		require.Contains(t, out.stderr, "token", name)
	}
	l.secretFree(t, s.log.String())
}

// A command that is told to stop stops, and leaves nothing half done.
func TestReserveInterrupted(t *testing.T) {
	l := newMAASLab(t, "3.6.1")
	ctx, stop := context.WithCancel(t.Context())
	stop()
	out := l.run(ctx, append([]string{"reserve", "--source", "maas", "--network", "internal"}, l.here()...)...)
	require.Equal(t, exitFailed, out.code)
	require.Contains(t, out.stderr, "interrupted")
	require.Empty(t, l.addresses(t))
}

// How a reservation stands, and what becomes of each when it is released: made
// here, made by others, and asked for in vain.
func TestReservationStates(t *testing.T) {
	l := newMAASLab(t, "3.6.1")
	ask := func(address, more string) {
		l.call(t, http.MethodPost, "/api/ipam/ip-addresses/", `{"address": "`+address+`", "status": "reserved", "custom_fields": {"reserve_at": "dc1/maas"`+more+`}}`, nil)
	}
	ask("172.16.3.93/24", "")
	ask("172.16.3.60/24", "")                                 // is held by others
	ask("172.16.1.120/24", `, "hwaddr": "52:54:00:00:0a:01"`) // in a dynamic range
	ask("10.99.0.1/24", "")                                   // in no network
	l.mustRun(t, exitInStep, append([]string{"sync"}, l.here()...)...)
	var list webhook.ReservationList
	l.mustAsk(t, &list, append([]string{"reservations", "--source", "maas"}, l.here()...)...)
	states := map[string]string{}
	for _, r := range list.Reservations {
		if r.Row != 0 {
			states[r.Address] = r.State + ": " + r.Reason
		}
	}
	require.Equal(t, "held: ", states["172.16.3.93/24"])
	require.Equal(t, "held by others: ", states["172.16.3.60/24"])
	require.Contains(t, states["172.16.1.120/24"], "asked for: ")
	require.Contains(t, states["172.16.1.120/24"], "dynamic range")
	require.Contains(t, states["10.99.0.1/24"], "no network of the source has this address")
	require.Len(t, states, 4)

	for address, want := range map[string]string{
		"172.16.3.93": "Released 172.16.3.93/24", "172.16.1.120": "Released 172.16.1.120/24", "10.99.0.1": "Released 10.99.0.1/24",
		"172.16.3.60": "172.16.3.60/24 is not asked for any more; it was made by others at the source, and stays there",
	} {
		out := l.mustRun(t, exitInStep, append([]string{"release", "--source", "maas", address}, l.here()...)...)
		require.Contains(t, out.stdout, want)
		require.Equal(t, address == "172.16.3.60", len(l.atMAAS(address)) == 1)
	}
	require.NotContains(t, mustJSON(t, l.addresses(t)), "reserve_at\":\"dc1")
}

// Of several sources that hold reservations, one is away.
func TestReservationsOfSeveral(t *testing.T) {
	l, other := newMAASLab(t, "3.6.1"), newMAASLab(t, "3.5.8")
	text, err := os.ReadFile(l.config)
	require.NoError(t, err)
	theirs, err := os.ReadFile(other.config)
	require.NoError(t, err)
	_, source, _ := strings.Cut(string(theirs), "sources:\n")
	l.write(t, string(text)+strings.Replace(source, "name: maas", "name: edge", 1))
	other.maas.Inject(maasd.Fault{Kind: maasd.Broken})
	out := l.mustRun(t, exitPartly, append([]string{"reservations", "172.16.3.60", "--format", "json"}, l.here()...)...)
	var list webhook.ReservationList
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &list))
	require.Len(t, list.Reservations, 1)
	require.Equal(t, "maas", list.Reservations[0].Source)
	require.Len(t, list.Unread, 1)
	require.Equal(t, "edge", list.Unread[0].Source)
	require.Contains(t, complaint(out), "not listed: source edge: ")
	s, flags := l.there(t)
	out = l.mustRun(t, exitPartly, append([]string{"reservations", "172.16.3.60"}, flags...)...)
	require.Contains(t, out.stdout, "| maas   | 172.16.3.60/24 |")
	require.Contains(t, out.stderr, "not listed: source edge: ")
	s.end()
	other.maas.Heal()
	l.mustAsk(t, &list, "reservations", "172.16.3.60")
	require.Len(t, list.Reservations, 2)
	require.Empty(t, list.Unread)
	l.maas.Inject(maasd.Fault{Kind: maasd.Broken})
	other.maas.Inject(maasd.Fault{Kind: maasd.Broken})
	l.mustRun(t, exitFailed, "reservations")
}

// A part of a source cannot be read: the rest is listed, and that is said.
func TestReservationsInPart(t *testing.T) {
	l := newMAASLab(t, "3.6.1")
	l.maas.Inject(maasd.Fault{On: "GET subnets/3/?op=ip_addresses", Kind: maasd.Broken})
	for _, args := range [][]string{{"reservations"}, {"reservations", "--source", "maas"}} {
		out := l.mustRun(t, exitPartly, append(append(args, "--format", "json"), l.here()...)...)
		var list webhook.ReservationList
		require.NoError(t, json.Unmarshal([]byte(out.stdout), &list))
		require.NotEmpty(t, list.Reservations)
		require.Len(t, list.Unread, 1)
		require.Equal(t, "maas", list.Unread[0].Source)
		require.Contains(t, list.Unread[0].Error, "internal")
		require.Contains(t, complaint(out), "not listed: source maas: ")
	}
}

// No source is to hold anything: that is said, rather than that nothing is held.
func TestReservationsOfNone(t *testing.T) {
	l := newLab(t)
	for _, args := range [][]string{{"reservations"}, {"reserve", "--source", "lab", "--network", "x"}, {"release", "--source", "lab", "10.0.0.1"}} {
		out := l.mustRun(t, exitFailed, append(args, "--state-dir", l.folder)...)
		require.Contains(t, out.stderr, "set reserve: true")
	}
}

// The table suits its terminal, shows what others wrote without obeying it, and
// breaks no URI.
func TestReservationTable(t *testing.T) {
	list := []webhook.Reservation{
		{Source: "lab", Address: "10.0.0.5/24", VRF: "blue", Network: "/1.0/networks/br0", MAC: "00:16:3e:00:00:01", For: "/1.0/instances/u1", State: "held", InUse: "u1 runs", Row: 7},
		{Source: "lab", Address: "2001:db8::1/64", State: "asked for", Reason: "the source cannot hold it: \x1b[2J" + strings.Repeat("long words ", 20), Row: 12},
	}
	var wide, narrow, none strings.Builder
	require.NoError(t, reservationTable(&wide, list, 160))
	require.Equal(t, `+--------+----------------+-------------------+-------------------+----------------------------------------------+-----+
| SOURCE | ADDRESS        | NETWORK           | FOR               | STATE                                        | ROW |
+--------+----------------+-------------------+-------------------+----------------------------------------------+-----+
| lab    | 10.0.0.5/24    | /1.0/networks/br0 | /1.0/instances/u1 | held                                         | #7  |
|        | in blue        |                   | 00:16:3e:00:00:01 | u1 runs                                      |     |
+--------+----------------+-------------------+-------------------+----------------------------------------------+-----+
`, strings.Join(strings.SplitAfter(wide.String(), "\n")[:6], ""))
	require.NoError(t, reservationTable(&narrow, list, 40))
	require.Contains(t, narrow.String(), "10.0.0.5/24\n  source      lab\n  network     /1.0/networks/br0\n  vrf         blue\n  for         /1.0/instances/u1\n")
	for _, text := range []string{wide.String(), narrow.String()} {
		require.NotContains(t, text, "\x1b")
		require.Contains(t, text, "/1.0/instances/u1")
		require.Contains(t, text, "#12")
	}
	for line := range strings.Lines(wide.String()) {
		require.LessOrEqual(t, len([]rune(line)), 161)
	}
	require.NoError(t, reservationTable(&none, nil, 80))
	require.Equal(t, "Nothing is reserved.\n", none.String())
}
