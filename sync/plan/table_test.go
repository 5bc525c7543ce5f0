package plan_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/sync/plan"
)

// verdictCase is one world and the text of its plan.
type verdictCase struct {
	name  string
	world []part
	want  string
}

func mustPlan(t *testing.T, cases []verdictCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			in := newWorld(t, c.world...)
			require.Equal(t, strings.TrimSpace(strings.ReplaceAll(c.want, "\t", "")), lines(plan.Compute(in)))
			w := &world{TB: t, in: in}
			mustKeepLaws(w, in, 1)
			mustEqualOracle(w, in)
		})
	}
}

// TestTable has one case for each line of the truth table in the package
// comment, in its order.
func TestTable(t *testing.T) {
	mustPlan(t, []verdictCase{
		{"no row, one claim: create", []part{
			claim(lxd, "10.1.2.3/24", "/1.0/instances/u1", wants(status("active"))),
		}, `
			create 10.1.2.3/24, /1.0/instances/u1 of lab/lxd: new at the source: sync_owner "" -> "lab/lxd", used_by "" -> "/1.0/instances/u1", sync_type "" -> "instance", status "" -> "active"`},
		{"own row equal: nothing", []part{
			claim(lxd, "10.1.2.3/24", "/1.0/instances/u1"),
			row(7, lxd, "10.1.2.3/24", "/1.0/instances/u1", has(dnsName("by.hand"))),
		}, `
			lab/lxd: 1 in step`},
		{"own row different: update of what differs", []part{
			claim(lxd, "10.1.2.3/24", "/1.0/instances/u2", wants(dnsName("u2.example")), wants(hwaddr("00:16:3e:00:00:01"))),
			row(7, lxd, "10.1.2.3/32", "/1.0/instances/u1", has(dnsName("u1.example"))),
		}, `
			update 10.1.2.3/24, /1.0/instances/u2 of lab/lxd: changed at the source: address "10.1.2.3/32" -> "10.1.2.3/24", used_by "/1.0/instances/u1" -> "/1.0/instances/u2", hwaddr "" -> "00:16:3e:00:00:01", dns_name "u1.example" -> "u2.example"`},
		{"own row of a user of whom an incomplete source says nothing: hold", []part{
			incomplete(lxd),
			claim(lxd, "10.1.2.3/24", "/1.0/instances/u2"),
			row(7, lxd, "10.1.2.3/24", "/1.0/instances/u1"),
		}, `
			hold update 10.1.2.3/24, /1.0/instances/u2 of lab/lxd: the source did not answer in full (ID 7, /1.0/instances/u1): host h2: connection refused`},
		{"own row of a user that an incomplete source puts elsewhere: update", []part{
			incomplete(lxd),
			claim(lxd, "10.1.2.3/24", "/1.0/instances/u2"),
			claim(lxd, "10.1.2.4/24", "/1.0/instances/u1"),
			row(7, lxd, "10.1.2.3/24", "/1.0/instances/u1"),
			row(8, lxd, "10.1.2.4/24", "/1.0/instances/u1"),
		}, `
			update 10.1.2.3/24, /1.0/instances/u2 of lab/lxd: changed at the source: used_by "/1.0/instances/u1" -> "/1.0/instances/u2"
			lab/lxd: 1 in step`},
		{"row of another complete source that no longer claims it: handover", []part{
			claim(maas, "10.1.2.3/24", "/MAAS/api/2.0/machines/m1/"),
			row(7, lxd, "10.1.2.3/24", "/1.0/instances/u1"),
		}, `
			update 10.1.2.3/24, /MAAS/api/2.0/machines/m1/ of lab/maas: handed over from another source: sync_owner "lab/lxd" -> "lab/maas", used_by "/1.0/instances/u1" -> "/MAAS/api/2.0/machines/m1/"`},
		{"row of a source that did not answer in full: hold", []part{
			incomplete(lxd),
			claim(maas, "10.1.2.3/24", "/MAAS/api/2.0/machines/m1/"),
			row(7, lxd, "10.1.2.3/24", "/1.0/instances/u1"),
		}, `
			hold create 10.1.2.3/24, /MAAS/api/2.0/machines/m1/ of lab/maas: the row belongs to another owner (ID 7, /1.0/instances/u1): lab/lxd: host h2: connection refused`},
		{"row of a source that is not configured: hold", []part{
			claim(lxd, "10.1.2.3/24", "/1.0/instances/u1"),
			row(7, elsewhere, "10.1.2.3/24", "/1.0/instances/u1"),
		}, `
			hold create 10.1.2.3/24, /1.0/instances/u1 of lab/lxd: the row belongs to another owner (ID 7): lab2/lxd is not configured here`},
		{"somebody else's row: hold", []part{
			claim(lxd, "10.1.2.3/24", "/1.0/instances/u1"),
			row(7, "", "10.1.2.3/24", ""),
		}, `
			hold create 10.1.2.3/24, /1.0/instances/u1 of lab/lxd: somebody else's row is there (ID 7)`},
		{"somebody else's row reserved for the source: fill in what is empty", []part{
			claim(lxd, "10.1.2.3/32", "/1.0/instances/u1", wants(status("active")), wants(hwaddr("00:16:3e:00:00:01"))),
			row(7, "", "10.1.2.3/24", "", has(status("reserved")), reserveAt(lxd)),
		}, `
			update 10.1.2.3/24, /1.0/instances/u1 of lab/lxd: reservation is in use: used_by "" -> "/1.0/instances/u1", sync_type "" -> "instance", hwaddr "" -> "00:16:3e:00:00:01"`},
		{"somebody else's row reserved for the source, filled in: nothing", []part{
			claim(lxd, "10.1.2.3/32", "/1.0/instances/u1", wants(hwaddr("00:16:3e:00:00:01"))),
			row(7, "", "10.1.2.3/24", "/by/hand", has(hwaddr("00:16:3e:00:00:99")), reserveAt(lxd)),
		}, `
			lab/lxd: 1 in step`},
		{"two sources claim: the incumbent stays", []part{
			claim(lxd, "10.1.2.3/24", "/1.0/instances/u1"),
			claim(maas, "10.1.2.3/24", "/MAAS/api/2.0/machines/m1/"),
			row(7, maas, "10.1.2.3/24", "/MAAS/api/2.0/machines/m1/"),
		}, `
			hold create 10.1.2.3/24, /1.0/instances/u1 of lab/lxd: claimed more than once: kept for /MAAS/api/2.0/machines/m1/ of lab/maas
			lab/maas: 1 in step`},
		{"two sources claim and none holds it: the first configured gets it", []part{
			claim(maas, "10.1.2.3/24", "/MAAS/api/2.0/machines/m1/"),
			claim(lxd, "10.1.2.3/24", "/1.0/instances/u1"),
		}, `
			create 10.1.2.3/24, /1.0/instances/u1 of lab/lxd: new at the source: sync_owner "" -> "lab/lxd", used_by "" -> "/1.0/instances/u1", sync_type "" -> "instance"
			hold create 10.1.2.3/24, /MAAS/api/2.0/machines/m1/ of lab/maas: claimed more than once: kept for /1.0/instances/u1 of lab/lxd`},
		{"several own rows: the matching one stays", []part{
			claim(lxd, "10.1.2.3/24 dup", "/1.0/instances/u1"),
			row(7, lxd, "10.1.2.3/24 dup", "/1.0/instances/u2"),
			row(9, lxd, "10.1.2.3/24 dup", "/1.0/instances/u1"),
			row(8, lxd, "10.1.2.3/24 dup", "/1.0/instances/u1"),
		}, `
			delete 10.1.2.3/24 in VRF dup, /1.0/instances/u1 of lab/lxd: second row for the same place
			delete 10.1.2.3/24 in VRF dup, /1.0/instances/u2 of lab/lxd: second row for the same place
			lab/lxd: 1 in step`},
		{"own row without a claim, complete: delete", []part{
			row(7, lxd, "10.1.2.3/24", "/1.0/instances/u1"),
		}, `
			delete 10.1.2.3/24, /1.0/instances/u1 of lab/lxd: no longer at the source`},
		{"own row without a claim, incomplete: hold", []part{
			incomplete(lxd),
			row(7, lxd, "10.1.2.3/24", "/1.0/instances/u1"),
		}, `
			hold delete 10.1.2.3/24, /1.0/instances/u1 of lab/lxd: the source did not answer in full (ID 7): host h2: connection refused`},
		{"row of an unknown owner without a claim: hold", []part{
			row(7, elsewhere, "10.1.2.3/24", "/1.0/instances/u1"),
		}, `
			hold delete 10.1.2.3/24, /1.0/instances/u1 of lab2/lxd: the row's owner is not configured here (ID 7): lab2/lxd is not configured here`},
	})
}

func TestContested(t *testing.T) {
	const at = "10.1.2.3/24"
	mustPlan(t, []verdictCase{
		{"one source: the lowest rank wins, whatever the row says", []part{
			claim(lxd, at, "/1.0/instances/a", rank(2)),
			claim(lxd, at, "/1.0/networks/z", rank(1)),
			row(7, lxd, at, "/1.0/instances/a"),
		}, `
			update 10.1.2.3/24, /1.0/networks/z of lab/lxd: changed at the source: used_by "/1.0/instances/a" -> "/1.0/networks/z"
			hold create 10.1.2.3/24, /1.0/instances/a of lab/lxd: claimed more than once: kept for /1.0/networks/z of lab/lxd`},
		{"one source, one rank: the user that the row names wins", []part{
			claim(lxd, at, "/1.0/instances/a"),
			claim(lxd, at, "/1.0/instances/b"),
			row(7, lxd, at, "/1.0/instances/b"),
		}, `
			hold create 10.1.2.3/24, /1.0/instances/a of lab/lxd: claimed more than once: kept for /1.0/instances/b of lab/lxd
			lab/lxd: 1 in step`},
		{"one source, one rank: a row of another owner has no say", []part{
			claim(lxd, at, "/1.0/instances/a"),
			claim(lxd, at, "/1.0/instances/b"),
			row(7, maas, at, "/1.0/instances/b"),
		}, `
			update 10.1.2.3/24, /1.0/instances/a of lab/lxd: handed over from another source: sync_owner "lab/maas" -> "lab/lxd", used_by "/1.0/instances/b" -> "/1.0/instances/a"
			hold create 10.1.2.3/24, /1.0/instances/b of lab/lxd: claimed more than once: kept for /1.0/instances/a of lab/lxd`},
		{"one source, one rank, nothing named: the first in order wins", []part{
			claim(lxd, at, "/1.0/instances/b"),
			claim(lxd, at, "/1.0/instances/a"),
		}, `
			create 10.1.2.3/24, /1.0/instances/a of lab/lxd: new at the source: sync_owner "" -> "lab/lxd", used_by "" -> "/1.0/instances/a", sync_type "" -> "instance"
			hold create 10.1.2.3/24, /1.0/instances/b of lab/lxd: claimed more than once: kept for /1.0/instances/a of lab/lxd`},
		{"several claims of one source, then of another", []part{
			claim(lxd, at, "/1.0/instances/b", rank(1)),
			claim(lxd, at, "/1.0/instances/a", rank(2)),
			claim(maas, at, "/m/1", rank(0)),
		}, `
			create 10.1.2.3/24, /1.0/instances/b of lab/lxd: new at the source: sync_owner "" -> "lab/lxd", used_by "" -> "/1.0/instances/b", sync_type "" -> "instance"
			hold create 10.1.2.3/24, /1.0/instances/a of lab/lxd: claimed more than once: kept for /1.0/instances/b of lab/lxd
			hold create 10.1.2.3/24, /m/1 of lab/maas: claimed more than once: kept for /1.0/instances/b of lab/lxd`},
		{"the incumbent of a VRF with duplicates is each that has a row", []part{
			claim(lxd, at+" dup", "/1.0/instances/a", wants(status("active"))),
			claim(maas, at+" dup", "/m/1", wants(status("active"))),
			row(7, lxd, at+" dup", "/1.0/instances/a"),
			row(8, maas, at+" dup", "/m/1", has(status("dhcp"))),
		}, `
			update 10.1.2.3/24 in VRF dup, /m/1 of lab/maas: changed at the source: status "dhcp" -> "active"
			lab/lxd: 1 in step`},
		{"a reservation makes an incumbent", []part{
			claim(lxd, at, "/1.0/instances/a"),
			claim(maas, at, "/m/1"),
			row(7, "", at, "", reserveAt(maas)),
		}, `
			update 10.1.2.3/24, /m/1 of lab/maas: reservation is in use: used_by "" -> "/m/1", sync_type "" -> "instance"
			hold create 10.1.2.3/24, /1.0/instances/a of lab/lxd: claimed more than once: kept for /m/1 of lab/maas`},
		{"the first of two newcomers takes over what a third left", []part{
			source(maas, func(s *plan.Source) { s.Owner = "lab/bgp" }),
			func(in *plan.Input) {
				in.Sources = append(in.Sources, plan.Source{Owner: maas, Allow: plan.AllowAll()})
			},
			claim("lab/bgp", at, "/route"),
			claim(maas, at, "/m/1"),
			row(7, lxd, at, "/1.0/instances/a"),
		}, `
			update 10.1.2.3/24, /route of lab/bgp: handed over from another source: sync_owner "lab/lxd" -> "lab/bgp", used_by "/1.0/instances/a" -> "/route"
			hold create 10.1.2.3/24, /m/1 of lab/maas: claimed more than once: kept for /route of lab/bgp`},
		{"a claim of an owner that is not configured", []part{
			claim(elsewhere, at, "/1.0/instances/a"),
			claim(lxd, at, "/1.0/instances/b"),
		}, `
			create 10.1.2.3/24, /1.0/instances/b of lab/lxd: new at the source: sync_owner "" -> "lab/lxd", used_by "" -> "/1.0/instances/b", sync_type "" -> "instance"
			hold create 10.1.2.3/24, /1.0/instances/a of lab2/lxd: the row's owner is not configured here: no source here is lab2/lxd`},
	})
}

func TestRowsOfOthersBesideOwn(t *testing.T) {
	const at = "10.1.2.3/24 dup"
	mustPlan(t, []verdictCase{
		{"an own row is managed beside somebody else's", []part{
			claim(lxd, at, "/1.0/instances/a", wants(status("active"))),
			row(7, "", at, ""),
			row(8, lxd, at, "/1.0/instances/a", has(status("dhcp"))),
		}, `
			update 10.1.2.3/24 in VRF dup, /1.0/instances/a of lab/lxd: changed at the source: status "dhcp" -> "active"`},
		{"an own row is managed beside that of an owner not configured", []part{
			claim(lxd, at, "/1.0/instances/a", wants(status("active"))),
			row(7, elsewhere, at, "/1.0/instances/a"),
			row(8, lxd, at, "/1.0/instances/a", has(status("dhcp"))),
		}, `
			update 10.1.2.3/24 in VRF dup, /1.0/instances/a of lab/lxd: changed at the source: status "dhcp" -> "active"`},
		{"an own row comes before a reservation", []part{
			claim(lxd, at, "/1.0/instances/a"),
			row(7, "", at, "", reserveAt(lxd)),
			row(8, lxd, at, "/1.0/instances/a"),
		}, `
			lab/lxd: 1 in step`},
		{"an own row is deleted beside somebody else's", []part{
			row(7, "", at, ""),
			row(8, lxd, at, "/1.0/instances/a"),
		}, `
			delete 10.1.2.3/24 in VRF dup, /1.0/instances/a of lab/lxd: no longer at the source`},
		{"of several rows handed over, the one that names the user", []part{
			claim(maas, at, "/u"),
			row(7, lxd, at, "/v"),
			row(8, lxd, at, "/u"),
		}, `
			update 10.1.2.3/24 in VRF dup, /u of lab/maas: handed over from another source: sync_owner "lab/lxd" -> "lab/maas"
			delete 10.1.2.3/24 in VRF dup, /v of lab/lxd: no longer at the source`},
		{"a row of another source beside a claim is gone there, and marked where that source says so", []part{
			deprecating(lxd),
			claim(maas, at, "/u"),
			row(7, maas, at, "/u"),
			row(8, lxd, at, "/v"),
		}, `
			update 10.1.2.3/24 in VRF dup, /v of lab/lxd: no longer at the source: status "active" -> "deprecated", gone_since "" -> "2026-03-04T05:06:07Z"
			lab/lxd: 1 marked
			lab/maas: 1 in step`},
		{"second rows of an incomplete source stay", []part{
			incomplete(lxd),
			claim(lxd, at, "/u"),
			row(7, lxd, at, "/u"),
			row(8, lxd, at, "/u"),
		}, `
			hold delete 10.1.2.3/24 in VRF dup, /u of lab/lxd: the source did not answer in full (ID 8): host h2: connection refused
			lab/lxd: 1 in step`},
		{"somebody else's row is in the way before one that has an owner", []part{
			claim(lxd, at, "/u"),
			row(7, elsewhere, at, "/u"),
			row(8, "", at, ""),
		}, `
			hold create 10.1.2.3/24 in VRF dup, /u of lab/lxd: somebody else's row is there (ID 8)`},
		{"a reservation keeps a gone_since that a person set", []part{
			claim(lxd, at, "/u"),
			row(7, "", at, "/u", gone(short), reserveAt(lxd)),
		}, `
			lab/lxd: 1 in step`},
		{"a row that was read twice is one row", []part{
			claim(lxd, at, "/u"),
			row(7, lxd, at, "/u"),
			row(7, lxd, at, "/u"),
		}, `
			lab/lxd: 1 in step`},
		{"a row that was changed between two reads: the newer one counts", []part{
			claim(lxd, at, "/u"),
			row(7, lxd, at, "/u"),
			row(7, lxd, at, "/old", func(s *ipam.Stored) { s.LastUpdated = s.LastUpdated.Add(-time.Minute) }),
		}, `
			lab/lxd: 1 in step`},
		{"a reservation for another source is somebody else's row", []part{
			claim(lxd, at, "/u"),
			row(7, "", at, "", reserveAt(maas)),
		}, `
			hold create 10.1.2.3/24 in VRF dup, /u of lab/lxd: somebody else's row is there (ID 7)`},
		{"a reservation written by an owner not configured is not ours", []part{
			claim(lxd, at, "/u"),
			row(7, elsewhere, at, "", reserveAt(lxd)),
		}, `
			hold create 10.1.2.3/24 in VRF dup, /u of lab/lxd: the row belongs to another owner (ID 7): lab2/lxd is not configured here`},
	})
}

func TestKindsHaveTheirOwnRows(t *testing.T) {
	mustPlan(t, []verdictCase{
		{"a prefix and an address of one network do not meet", []part{
			claim(lxd, "net 10.1.2.0/24", "/1.0/networks/n"),
			claim(lxd, "10.1.2.0/24", "/1.0/networks/n"),
			row(7, lxd, "net 10.1.2.0/24", "/1.0/networks/n"),
			row(7, lxd, "10.1.2.1/24", "/1.0/networks/n"),
		}, `
			update 10.1.2.0/24, /1.0/networks/n of lab/lxd: renumbered: address "10.1.2.1/24" -> "10.1.2.0/24"
			lab/lxd: 1 in step`},
		{"VRFs do not meet", []part{
			claim(lxd, "10.1.2.3/24 red", "/1.0/instances/a"),
			row(7, lxd, "10.1.2.3/24", "/1.0/instances/b"),
		}, `
			create 10.1.2.3/24 in VRF red, /1.0/instances/a of lab/lxd: new at the source: sync_owner "" -> "lab/lxd", used_by "" -> "/1.0/instances/a", sync_type "" -> "instance"
			delete 10.1.2.3/24, /1.0/instances/b of lab/lxd: no longer at the source`},
		{"a user's row moves to another VRF", []part{
			claim(lxd, "10.1.2.3/24 red", "/1.0/instances/a"),
			row(7, lxd, "10.1.2.3/24", "/1.0/instances/a"),
		}, `
			update 10.1.2.3/24 in VRF red, /1.0/instances/a of lab/lxd: moved to another VRF: vrf "" -> "red"`},
		{"a user's row moves to another VRF, though it is called something else by now", []part{
			claim(lxd, "10.1.2.3/24 red", "/1.0/instances/a", wants(allocated("fixed"))),
			row(7, lxd, "10.1.2.3/24", "/1.0/instances/a"),
		}, `
			update 10.1.2.3/24 in VRF red, /1.0/instances/a of lab/lxd: moved to another VRF: vrf "" -> "red", sync_type "instance" -> "fixed"`},
		{"within a VRF a row is renumbered before one moves there", []part{
			claim(lxd, "10.1.2.3/24 red", "/1.0/instances/a"),
			claim(lxd, "10.1.2.4/24", "/1.0/instances/a"),
			row(7, lxd, "10.1.2.3/24", "/1.0/instances/a"),
		}, `
			create 10.1.2.3/24 in VRF red, /1.0/instances/a of lab/lxd: new at the source: sync_owner "" -> "lab/lxd", used_by "" -> "/1.0/instances/a", sync_type "" -> "instance"
			update 10.1.2.4/24, /1.0/instances/a of lab/lxd: renumbered: address "10.1.2.3/24" -> "10.1.2.4/24"`},
		{"the mask is not part of the place", []part{
			claim(lxd, "fd00::3/64", "/1.0/instances/a"),
			row(7, lxd, "fd00::3/128", "/1.0/instances/a"),
		}, `
			update fd00::3/64, /1.0/instances/a of lab/lxd: changed at the source: address "fd00::3/128" -> "fd00::3/64"`},
		{"prefixes of two lengths do not meet", []part{
			claim(lxd, "net fd00::/64", "/1.0/networks/n"),
			row(7, "", "net fd00::/56", ""),
		}, `
			create fd00::/64, /1.0/networks/n of lab/lxd: new at the source: sync_owner "" -> "lab/lxd", used_by "" -> "/1.0/networks/n", sync_type "" -> "instance"`},
	})
}
