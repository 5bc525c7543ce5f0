package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	maasd "allocsync/fixtures/maas"
)

const moveSeeds = 30

// moveWorld is a faultWorld with more moves.
type moveWorld struct {
	*faultWorld
	rules, lost bool
	machine     string          // URI of new-1
	links       map[string]bool // that people made on new-1
	where       map[int]string  // address of a row on subnet 3, by ID
	plain       []byte          // the configuration
}

func (w *moveWorld) link() string { return fmt.Sprintf("172.16.3.%d", 80+w.rand.IntN(4)) }

func (w *moveWorld) linked(address string) bool {
	return slices.ContainsFunc(w.region.Held(), func(h maasd.Held) bool { return h.IP.String() == address })
}

func (w *moveWorld) move() {
	config := filepath.Join(w.folder, "allocsync.yaml")
	switch w.rand.IntN(11) {
	case 0, 1: // renumber a row
		id, found := w.some()
		to := w.pool()
		if !found || len(w.rowsOf(to.String())) > 0 {
			return
		}
		p := w.rows[id]
		w.note("person renumbers row %d from %s to %s", id, p.addr, to)
		p.addr = to
		w.rows[id] = p
		w.call("PATCH", rowPath(id), map[string]any{"address": to.String() + "/24"}, nil)
	case 2: // a lease
		a := w.pool()
		w.note("lease of %s begins", a)
		w.region.AddLease(w.mac(), a.String())
	case 3:
		for i := range poolSize {
			w.region.EndLease(fmt.Sprintf("172.16.1.%d", poolFirst+i))
		}
		w.note("leases end")
	case 4: // rules
		w.rules = !w.rules
		text := string(w.plain)
		if w.rules {
			text += "rules:\n  - match: {network: mgmt}\n    set: {vrf: blue}\n"
		}
		w.note("rules: %v", w.rules)
		require.NoError(w, os.WriteFile(config, []byte(text), 0o600))
	case 5: // a link by people
		a := w.link()
		if !w.linked(a) {
			w.note("person links %s to new-1", a)
			w.personLinks(a)
			w.links[a] = true
		}
	case 6:
		a := w.link()
		if w.links[a] {
			w.note("person unlinks %s", a)
			w.personUnlinks(a)
			delete(w.links, a)
		}
	case 7: // a row for new-1
		a := w.link()
		if len(w.rowsOf(a)) == 0 {
			id := w.wants(a+"/24", map[string]any{"used_by": w.machine})
			w.where[id] = a
			w.note("person asks for %s for new-1 with row %d", a, id)
		}
	case 8:
		for id, a := range w.where {
			w.note("person deletes row %d of %s for new-1", id, a)
			w.call("DELETE", rowPath(id), nil, nil)
			delete(w.where, id)
			break
		}
	case 9: // by command
		a, m := w.pool(), w.mac()
		o := w.run("reserve", "--source", "maas", "--address", a.String(), "--mac", m, "--format", "json")
		var r struct {
			Row   int
			State string
			MAC   string
		}
		w.note("reserve %s for %s: %d %s", a, m, o.code, o.stderr)
		if o.code == exitInStep {
			require.NoError(w, json.Unmarshal([]byte(o.stdout), &r))
			if _, known := w.rows[r.Row]; !known && r.Row != 0 {
				for _, row := range w.list() {
					if row.ID == r.Row && row.Custom.Owner == "" {
						w.rows[r.Row] = personRow{addr: a, mac: m, reserve: "dc1/maas", description: row.Description}
					}
				}
			}
		}
	case 10:
		a := w.pool()
		o := w.run("release", "--source", "maas", a.String())
		w.note("release %s: %d %s %s", a, o.code, o.stdout, o.stderr)
		if o.code == exitInStep {
			for id, p := range w.rows {
				if p.addr == a && !slices.ContainsFunc(w.list(), func(r netboxRow) bool { return r.ID == id }) {
					require.NotEmpty(w, p.reserve, "a row that asks nothing was deleted\n%s", strings.Join(w.log, "\n"))
					delete(w.rows, id)
				}
			}
		}
	}
}

// rests checks that nothing more is written, pass after pass.
func (w *moveWorld) rests() {
	w.Helper()
	w.converge()
	w.run("sync") // what a killed pass did not tell is told
	for range 2 {
		w.region.Forget()
		w.netbox.ResetRequests()
		o := w.run("sync")
		require.Empty(w, w.written(), "%s\n%s", o.stdout, strings.Join(w.log, "\n"))
		for _, r := range w.netbox.Requests() {
			require.Equal(w, "GET", r.Method, "%s\n%s\n%s", r.Path, o.stdout, strings.Join(w.log, "\n"))
		}
	}
}

func (w *moveWorld) verify() {
	w.Helper()
	report := w.run("sync", "--dry-run").stdout
	say := func() string { return report + "\n" + strings.Join(w.log, "\n") + "\n" + w.region.String() }
	for a := range w.links {
		require.True(w, w.linked(a), "a person's link of %s is gone\n%s", a, say())
	}
	rows := map[int]netboxRow{}
	for _, r := range w.list() {
		rows[r.ID] = r
	}
	asked := map[string]bool{}
	for id, p := range w.rows {
		r, there := rows[id]
		require.True(w, there, "row %d is gone\n%s", id, say())
		require.Equal(w, []string{p.addr.String() + "/24", p.description, p.reserve, ""}, []string{r.Address, r.Description, r.Custom.Reserve, r.Custom.Owner}, say())
		asked[p.addr.String()] = asked[p.addr.String()] || p.reserve != ""
	}
	for _, r := range rows { // the source's own rows that a command has ask
		a, _, _ := strings.Cut(r.Address, "/")
		asked[a] = asked[a] || r.Custom.Reserve != ""
	}
	for id, a := range w.where {
		require.Contains(w, rows, id, say())
		asked[a] = true
		require.True(w, w.linked(a) || strings.Contains(report, a), say())
	}
	for addr, h := range w.theirs {
		require.Contains(w, w.heldList(addr.String()), h.String(), "somebody else's was touched\n%s", say())
	}
	for _, h := range w.region.Held() {
		a := h.IP.String()
		_, foreign := w.theirs[h.IP]
		link := strings.HasPrefix(a, "172.16.3.8")
		leased := strings.Contains(fmt.Sprint(w.heldList(a)), "Observed")
		if w.inPool(h.IP) && h.Alloc != maasd.Discovered || link {
			require.True(w, asked[a] || foreign || w.links[a] || leased || w.lost, "%s was never released\n%s", h, say())
		}
	}
}

func TestReservationMoves(t *testing.T) {
	for seed := range moveSeeds {
		if testing.Short() && seed >= 10 {
			break
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			f := newFaultWorld(t, uint64(seed))
			w := &moveWorld{faultWorld: f, links: map[string]bool{}, where: map[int]string{}}
			w.machine = "/MAAS/api/2.0/machines/" + strings.Split(w.newOne(), "/")[1] + "/"
			var err error
			w.plain, err = os.ReadFile(filepath.Join(w.folder, "allocsync.yaml"))
			require.NoError(t, err)
			w.call("POST", "/api/ipam/vrfs/", map[string]any{"name": "blue"}, nil)
			lose := seed%5 == 4
			for n := range 4 + w.rand.IntN(5) {
				for range 1 + w.rand.IntN(3) {
					w.move()
				}
				w.step()
				if lose && n == 3 {
					w.note("the ledger is lost")
					w.lost = true
					require.NoError(t, os.RemoveAll(filepath.Join(w.folder, "state")))
				}
			}
			w.rests()
			w.verify()
		})
	}
}
