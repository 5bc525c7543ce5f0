package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	maasd "allocsync/fixtures/maas"
	"allocsync/netbox/netboxtest"
)

// gate stands before NetBox and MAAS, counts what passes, and does one thing to
// one request.
type gate struct {
	mu   sync.Mutex
	seen int
	at   int    // counted from 1; 0 for none
	do   string // "kill", "kill after", "drop", "lose", "busy"
	kill func()
}

func (g *gate) set(at int, do string, kill func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen, g.at, g.do, g.kill = 0, at, do, kill
}

func (g *gate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seen
}

func (g *gate) next() (string, func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen++
	if g.seen == g.at {
		return g.do, g.kill
	}
	return "", nil
}

func (g *gate) before(behind http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		do, kill := g.next()
		switch do {
		case "kill":
			kill()
		case "kill after":
			behind.ServeHTTP(httptest.NewRecorder(), r)
			kill()
		case "drop":
		case "lose":
			behind.ServeHTTP(httptest.NewRecorder(), r)
		case "busy":
			w.Header().Set("Retry-After", "3")
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		default:
			behind.ServeHTTP(w, r)
			return
		}
		panic(http.ErrAbortHandler)
	})
}

// faultWorld is one seeded sequence: what people did is known, and what has to
// be true at the end follows from it.
type faultWorld struct {
	*testing.T
	rand   *rand.Rand
	gate   gate
	netbox *netboxtest.Server
	region *maasd.Region
	url    string
	folder string
	log    []string

	reached bool // the last one that was to be killed came so far

	rows   map[int]personRow         // in NetBox, that people made, by ID
	theirs map[netip.Addr]maasd.Held // at MAAS, that people made
}

// personRow is what a person wrote into a row.
type personRow struct {
	addr                 netip.Addr
	mac, usedBy, reserve string
	description          string
}

const (
	poolFirst = 60 // of 172.16.1.0/24: addresses that people ask for
	poolSize  = 8
	faultUser = "allocsync" // whose key the program has
)

func newFaultWorld(t *testing.T, seed uint64) *faultWorld {
	w := &faultWorld{
		T: t, rand: rand.New(rand.NewPCG(seed, 6)), folder: t.TempDir(),
		netbox: netboxtest.New(netboxtest.Options{Token: labToken}), region: maasd.New(),
		rows: map[int]personRow{}, theirs: map[netip.Addr]maasd.Held{},
	}
	if seed%2 == 1 {
		w.region.SetVersion("3.5.8") // without reserved IPs
	}
	key := w.region.AddUser(faultUser, true)
	netbox, maas := httptest.NewServer(w.gate.before(w.netbox)), httptest.NewServer(w.gate.before(w.region))
	t.Cleanup(netbox.Close)
	t.Cleanup(maas.Close)
	w.url = netbox.URL
	require.NoError(t, os.WriteFile(filepath.Join(w.folder, "allocsync.yaml"), fmt.Appendf(nil, `installation: dc1
netbox: {url: %s, token: %s, retries: 1}
limits: {share: 1, from_rows: 1, count: 1000}
serve: {state_dir: %s}
sources:
  - name: maas
    kind: maas
    reserve: true
    options: {url: "%s/MAAS", api_key: "%s"}
`, netbox.URL, labToken, filepath.Join(w.folder, "state"), maas.URL, key), 0o600))
	w.must(exitInStep, "setup")
	w.must(exitInStep, "sync")
	return w
}

func (w *faultWorld) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

// run runs the program in this process.
func (w *faultWorld) run(args ...string) outcome {
	l := &lab{config: filepath.Join(w.folder, "allocsync.yaml")}
	return l.run(w.Context(), args...)
}

func (w *faultWorld) must(code int, args ...string) outcome {
	w.Helper()
	o := w.run(args...)
	require.Equal(w, code, o.code, "allocsync %s\n%s\n%s\n%s", strings.Join(args, " "), o.stdout, o.stderr, strings.Join(w.log, "\n"))
	return o
}

// killed runs a pass in a process of its own and kills that at a request.
func (w *faultWorld) killed(at int, do string) {
	child := exec.Command(os.Args[0], "-test.run=^TestBeTheProgram$")
	child.Env = append(os.Environ(), "ALLOCSYNC_BE=sync", "ALLOCSYNC_CONFIG="+filepath.Join(w.folder, "allocsync.yaml"))
	started, ended := make(chan struct{}), make(chan struct{})
	w.gate.set(at, do, func() {
		<-started
		_ = child.Process.Kill()
		<-ended
	})
	require.NoError(w, child.Start())
	close(started)
	_ = child.Wait() // killed, or done before it came to that
	close(ended)
	w.reached = w.gate.count() >= at
	w.gate.set(0, "", nil)
}

// TestBeTheProgram is the program where the environment asks for it.
func TestBeTheProgram(t *testing.T) {
	command, ok := os.LookupEnv("ALLOCSYNC_BE")
	if !ok {
		t.Skip("run by other tests")
	}
	os.Exit(run(t.Context(), []string{command}, os.LookupEnv, strings.NewReader(""), os.Stdout, os.Stderr))
}

// call asks NetBox as a person does.
func (w *faultWorld) call(method, path string, body any, into any) {
	w.Helper()
	text, err := json.Marshal(body)
	require.NoError(w, err)
	request := httptest.NewRequest(method, path, strings.NewReader(string(text)))
	request.Header.Set("Authorization", "Token "+labToken)
	request.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	w.netbox.ServeHTTP(answer, request)
	require.Less(w, answer.Code, 300, "%s %s: %s", method, path, answer.Body)
	if into != nil {
		require.NoError(w, json.Unmarshal(answer.Body.Bytes(), into))
	}
}

func (w *faultWorld) pool() netip.Addr {
	return netip.AddrFrom4([4]byte{172, 16, 1, byte(poolFirst + w.rand.IntN(poolSize))})
}

func (w *faultWorld) mac() string { return fmt.Sprintf("52:54:00:00:aa:%02x", w.rand.IntN(5)) }

type netboxRow struct {
	ID          int
	Address     string
	Status      struct{ Value string }
	Description string
	Custom      struct {
		Owner   string `json:"sync_owner"`
		UsedBy  string `json:"used_by"`
		MAC     string `json:"hwaddr"`
		Reserve string `json:"reserve_at"`
	} `json:"custom_fields"`
}

func (w *faultWorld) list() []netboxRow {
	var list struct{ Results []netboxRow }
	w.call("GET", "/api/ipam/ip-addresses/?limit=1000", nil, &list)
	return list.Results
}

// some is a row of a person's, false where there is none.
func (w *faultWorld) some() (int, bool) {
	ids := make([]int, 0, len(w.rows))
	for id := range w.rows {
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return 0, false
	}
	slices.Sort(ids)
	return ids[w.rand.IntN(len(ids))], true
}

// atNetBox is one thing that a person does in NetBox.
func (w *faultWorld) atNetBox() {
	id, found := w.some()
	p := w.rows[id]
	change := func(body map[string]any) {
		w.call("PATCH", fmt.Sprintf("/api/ipam/ip-addresses/%d/", id), body, nil)
		w.rows[id] = p
	}
	switch n := w.rand.IntN(10); {
	case n < 5 || !found:
		w.ask()
	case n < 7:
		w.note("person deletes row %d of %s", id, p.addr)
		w.call("DELETE", fmt.Sprintf("/api/ipam/ip-addresses/%d/", id), nil, nil)
		delete(w.rows, id)
	case n == 7:
		p.reserve = ""
		w.note("person clears reserve_at of row %d of %s", id, p.addr)
		change(map[string]any{"custom_fields": map[string]any{"reserve_at": nil}})
	case n == 8:
		p.mac, p.usedBy = w.mac(), ""
		w.note("person gives row %d of %s the MAC %s", id, p.addr, p.mac)
		change(map[string]any{"custom_fields": map[string]any{"hwaddr": p.mac, "used_by": nil}})
	default:
		p.reserve = "dc1/maas"
		w.note("person asks with row %d of %s", id, p.addr)
		change(map[string]any{"custom_fields": map[string]any{"reserve_at": p.reserve}})
	}
}

// ask makes a row that asks, for a device, a machine or nobody.
func (w *faultWorld) ask() {
	p := personRow{addr: w.pool(), reserve: "dc1/maas", description: fmt.Sprintf("wish %d", len(w.log))}
	for _, r := range w.list() {
		if strings.HasPrefix(r.Address, p.addr.String()+"/") {
			return // NetBox would refuse it
		}
	}
	custom := map[string]any{"reserve_at": p.reserve}
	if w.rand.IntN(3) > 0 {
		p.mac = w.mac()
		custom["hwaddr"] = p.mac
	}
	var made struct{ ID int }
	w.call("POST", "/api/ipam/ip-addresses/", map[string]any{
		"address": p.addr.String() + "/24", "status": "reserved", "description": p.description, "custom_fields": custom,
	}, &made)
	w.rows[made.ID] = p
	w.note("person asks for %s for %q with row %d", p.addr, p.mac, made.ID)
}

// atMAAS is one thing that a person does at MAAS.
func (w *faultWorld) atMAAS() {
	held := slices.DeleteFunc(w.region.Held(), func(h maasd.Held) bool { return !w.inPool(h.IP) })
	if len(held) > 0 && w.rand.IntN(2) == 0 {
		h := held[w.rand.IntN(len(held))]
		w.note("person at MAAS ends %s", h)
		w.end(h)
		delete(w.theirs, h.IP)
		return
	}
	addr := w.pool()
	if slices.ContainsFunc(held, func(h maasd.Held) bool { return h.IP == addr }) {
		return
	}
	status, _ := w.region.Do(maasd.Operator, "POST", "ipaddresses/?op=reserve", url.Values{"ip": {addr.String()}})
	if status != http.StatusOK {
		return
	}
	w.theirs[addr] = w.heldAt(addr)
	w.note("person at MAAS reserves %s", w.theirs[addr])
}

func (w *faultWorld) inPool(a netip.Addr) bool {
	return a.Is4() && netip.MustParsePrefix("172.16.1.0/24").Contains(a) && int(a.As4()[3]) >= poolFirst && int(a.As4()[3]) < poolFirst+poolSize
}

func (w *faultWorld) heldAt(a netip.Addr) maasd.Held {
	for _, h := range w.region.Held() {
		if h.IP == a {
			return h
		}
	}
	return maasd.Held{}
}

// end ends a reservation as an administrator does.
func (w *faultWorld) end(h maasd.Held) {
	switch {
	case h.Alloc == maasd.ReservedIP:
		w.region.Do(maasd.Admin, "DELETE", fmt.Sprintf("reservedips/%d/", h.ID), nil)
	case h.Node != "":
		w.region.Remove(h.Node)
	default:
		w.region.Do(maasd.Admin, "POST", "ipaddresses/?op=release", url.Values{"ip": {h.IP.String()}, "force": {"true"}})
	}
}

// step does something, and then has a pass run, now and then with a fault.
func (w *faultWorld) step() {
	for range 1 + w.rand.IntN(3) {
		if w.rand.IntN(4) > 0 {
			w.atNetBox()
		} else {
			w.atMAAS()
		}
	}
	at := 1 + w.rand.IntN(30)
	switch do := []string{"", "", "kill", "kill after", "drop", "lose", "busy"}[w.rand.IntN(7)]; do {
	case "kill", "kill after":
		w.note("pass, %s at request %d", do, at)
		w.killed(at, do)
	default:
		w.note("pass, %q at request %d", do, at)
		w.gate.set(at, do, nil)
		w.run("sync")
		w.gate.set(0, "", nil)
	}
}

// converge has passes run until there is nothing more to do.
func (w *faultWorld) converge() {
	w.Helper()
	for range 6 {
		o := w.run("sync", "--dry-run", "--format", "json")
		var plan struct{ Digest string }
		switch o.code {
		case exitChanges, exitLimits:
			require.NoError(w, json.Unmarshal([]byte(o.stdout), &plan))
			o = w.run("sync", "--approve", plan.Digest)
			w.note("approved %s: %d\n%s\n%s", plan.Digest, o.code, o.stdout, o.stderr)
		default:
			require.Contains(w, []int{exitInStep, exitPartly}, o.code, "%s\n%s", o.stdout, o.stderr)
			return
		}
	}
	w.Fatalf("it does not come to rest:\n%s\n%s", w.run("sync", "--dry-run").stdout, strings.Join(w.log, "\n"))
}

// check holds the end against what people did.
func (w *faultWorld) check() {
	w.Helper()
	report := w.run("sync", "--dry-run").stdout
	say := func() string {
		return report + "\n" + strings.Join(w.log, "\n") + "\n" + w.region.String()
	}
	byID := map[int]netboxRow{}
	for _, r := range w.list() {
		byID[r.ID] = r
	}
	asked := map[netip.Addr]personRow{}
	for id, p := range w.rows {
		r, there := byID[id]
		require.True(w, there, "row %d of a person is gone\n%s", id, say())
		require.Equal(w, p.addr.String()+"/24", r.Address, say())
		require.Equal(w, []string{"reserved", p.description, p.reserve, ""}, []string{r.Status.Value, r.Description, r.Custom.Reserve, r.Custom.Owner}, say())
		if p.mac != "" {
			require.Equal(w, p.mac, r.Custom.MAC, say())
		}
		if p.reserve != "" {
			asked[p.addr] = p
		}
	}
	count := map[netip.Addr]int{}
	for _, h := range w.region.Held() {
		if !w.inPool(h.IP) {
			continue
		}
		count[h.IP]++
		theirs, foreign := w.theirs[h.IP]
		_, wanted := asked[h.IP]
		switch {
		case foreign:
			require.Equal(w, theirs, h, "somebody else's was touched\n%s", say())
		default:
			require.True(w, wanted, "%s was never released\n%s", h, say())
		}
	}
	for addr, n := range count {
		require.Equal(w, 1, n, "%s is held more than once\n%s", addr, say())
	}
	for addr := range w.theirs {
		require.Equal(w, 1, count[addr], "somebody else's reservation of %s is lost\n%s", addr, say())
	}
	for addr, p := range asked {
		if count[addr] == 0 {
			require.Contains(w, report, addr.String(), "%s for %s is neither held nor is it said why\n%s", addr, p.mac, say())
		}
	}
}

// Whatever people do on both sides, and wherever passes fail or are killed: no
// reservation is lost or doubled, and none of somebody else's is touched.
func TestReservationFaults(t *testing.T) {
	sequences := 200
	if testing.Short() {
		sequences = 20
	}
	for seed := range sequences {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := newFaultWorld(t, uint64(seed))
			for range 4 + w.rand.IntN(5) {
				w.step()
			}
			w.converge()
			w.check()
			for range 2 { // and all is given back
				for id, p := range w.rows {
					if p.reserve != "" {
						w.call("DELETE", fmt.Sprintf("/api/ipam/ip-addresses/%d/", id), nil, nil)
						delete(w.rows, id)
					}
				}
				w.converge()
				w.check()
			}
		})
	}
}

// Killed at every step of one pass, before the request is carried out and after:
// the next pass heals it, without a double, and without a loss.
func TestKilledAtEveryStep(t *testing.T) {
	for _, version := range []uint64{0, 1} { // with reserved IPs, and without
		for _, do := range []string{"kill", "kill after"} {
			for at := 1; ; at++ {
				reached := false
				name := fmt.Sprintf("%d %s at %d", version, do, at)
				ok := t.Run(name, func(t *testing.T) { reached = killedAt(t, version, at, do) })
				if !ok || !reached {
					break
				}
			}
		}
	}
}

// killedAt makes, changes and releases reservations of all kinds in one pass that
// is killed at a request. It reports whether the pass came to that request.
func killedAt(t *testing.T, version uint64, at int, do string) bool {
	w := newFaultWorld(t, version)
	ask := func(last byte, custom map[string]any) (id int) {
		p := personRow{addr: netip.AddrFrom4([4]byte{172, 16, 1, last}), reserve: "dc1/maas", description: fmt.Sprint(last)}
		p.mac, _ = custom["hwaddr"].(string)
		custom["reserve_at"] = p.reserve
		var made struct{ ID int }
		w.call("POST", "/api/ipam/ip-addresses/", map[string]any{
			"address": p.addr.String() + "/24", "status": "reserved", "description": p.description, "custom_fields": custom,
		}, &made)
		w.rows[made.ID] = p
		return made.ID
	}
	gone, other := ask(60, map[string]any{"hwaddr": "52:54:00:00:aa:01"}), ask(61, map[string]any{"hwaddr": "52:54:00:00:aa:02"})
	ask(62, map[string]any{})
	w.must(exitInStep, "sync")
	w.call("DELETE", fmt.Sprintf("/api/ipam/ip-addresses/%d/", gone), nil, nil)
	delete(w.rows, gone)
	p := w.rows[other]
	p.mac = "52:54:00:00:aa:03"
	w.rows[other] = p
	w.call("PATCH", fmt.Sprintf("/api/ipam/ip-addresses/%d/", other), map[string]any{"custom_fields": map[string]any{"hwaddr": p.mac}}, nil)
	ask(63, map[string]any{"hwaddr": "52:54:00:00:aa:04"})
	ask(64, map[string]any{})
	w.killed(at, do)
	reached := w.reached
	w.note("killed at request %d", at)
	w.converge()
	w.check()
	for last := byte(61); last <= 64; last++ {
		require.NotZero(t, w.heldAt(netip.AddrFrom4([4]byte{172, 16, 1, last})).ID, "172.16.1.%d is not held\n%s", last, w.region)
	}
	return reached
}
