package plan_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/sync/plan"
)

func TestRenumbering(t *testing.T) {
	const u = "/1.0/instances/u"
	mustPlan(t, []verdictCase{
		{"a user that moves keeps its row", []part{
			claim(lxd, "10.1.2.9/24", u),
			row(7, lxd, "10.1.2.3/24", u, has(dnsName("by.hand"))),
		}, `
			update 10.1.2.9/24, /1.0/instances/u of lab/lxd: renumbered: address "10.1.2.3/24" -> "10.1.2.9/24"`},
		{"several are paired in the order of their places", []part{
			claim(lxd, "10.1.2.20/24", u),
			claim(lxd, "10.1.2.3/24", u),
			claim(lxd, "10.1.2.100/24", u),
			row(9, lxd, "10.1.2.4/24", u),
			row(7, lxd, "10.1.2.30/24", u),
		}, `
			create 10.1.2.100/24, /1.0/instances/u of lab/lxd: new at the source: sync_owner "" -> "lab/lxd", used_by "" -> "/1.0/instances/u", sync_type "" -> "instance"
			update 10.1.2.3/24, /1.0/instances/u of lab/lxd: renumbered: address "10.1.2.4/24" -> "10.1.2.3/24"
			update 10.1.2.20/24, /1.0/instances/u of lab/lxd: renumbered: address "10.1.2.30/24" -> "10.1.2.20/24"`},
		{"more rows than claims: the rest goes", []part{
			claim(lxd, "10.1.2.20/24", u),
			row(9, lxd, "10.1.2.4/24", u),
			row(7, lxd, "10.1.2.30/24", u),
		}, `
			update 10.1.2.20/24, /1.0/instances/u of lab/lxd: renumbered: address "10.1.2.4/24" -> "10.1.2.20/24"
			delete 10.1.2.30/24, /1.0/instances/u of lab/lxd: no longer at the source`},
		{"another user", []part{
			claim(lxd, "10.1.2.9/24", u),
			row(7, lxd, "10.1.2.3/24", "/1.0/instances/v"),
		}, `
			create 10.1.2.9/24, /1.0/instances/u of lab/lxd: new at the source: sync_owner "" -> "lab/lxd", used_by "" -> "/1.0/instances/u", sync_type "" -> "instance"
			delete 10.1.2.3/24, /1.0/instances/v of lab/lxd: no longer at the source`},
		{"another owner", []part{
			claim(lxd, "10.1.2.9/24", u),
			row(7, maas, "10.1.2.3/24", u),
		}, `
			create 10.1.2.9/24, /1.0/instances/u of lab/lxd: new at the source: sync_owner "" -> "lab/lxd", used_by "" -> "/1.0/instances/u", sync_type "" -> "instance"
			delete 10.1.2.3/24, /1.0/instances/u of lab/maas: no longer at the source`},
		{"another VRF", []part{
			claim(lxd, "10.1.2.9/24", u),
			row(7, lxd, "10.1.2.3/24 red", u),
		}, `
			create 10.1.2.9/24, /1.0/instances/u of lab/lxd: new at the source: sync_owner "" -> "lab/lxd", used_by "" -> "/1.0/instances/u", sync_type "" -> "instance"
			delete 10.1.2.3/24 in VRF red, /1.0/instances/u of lab/lxd: no longer at the source`},
		{"another kind", []part{
			claim(lxd, "net 10.1.3.0/24", u),
			row(7, lxd, "10.1.2.3/24", u),
		}, `
			create 10.1.3.0/24, /1.0/instances/u of lab/lxd: new at the source: sync_owner "" -> "lab/lxd", used_by "" -> "/1.0/instances/u", sync_type "" -> "instance"
			delete 10.1.2.3/24, /1.0/instances/u of lab/lxd: no longer at the source`},
		{"another family", []part{
			claim(lxd, "fd00::9/64", u),
			row(7, lxd, "10.1.2.3/24", u),
		}, `
			create fd00::9/64, /1.0/instances/u of lab/lxd: new at the source: sync_owner "" -> "lab/lxd", used_by "" -> "/1.0/instances/u", sync_type "" -> "instance"
			delete 10.1.2.3/24, /1.0/instances/u of lab/lxd: no longer at the source`},
		{"another MAC", []part{
			claim(lxd, "10.1.2.9/24", u, wants(hwaddr("00:16:3e:00:00:01"))),
			row(7, lxd, "10.1.2.3/24", u, has(hwaddr("00:16:3e:00:00:02"))),
		}, `
			create 10.1.2.9/24, /1.0/instances/u of lab/lxd: new at the source: sync_owner "" -> "lab/lxd", used_by "" -> "/1.0/instances/u", sync_type "" -> "instance", hwaddr "" -> "00:16:3e:00:00:01"
			delete 10.1.2.3/24, /1.0/instances/u of lab/lxd: no longer at the source`},
		{"another type: a port's floating address does not become its fixed one", []part{
			claim(lxd, "10.1.2.9/24", u, wants(allocated("fixed"))),
			row(7, lxd, "203.0.113.3/32", u, has(allocated("floating"))),
		}, `
			create 10.1.2.9/24, /1.0/instances/u of lab/lxd: new at the source: sync_owner "" -> "lab/lxd", used_by "" -> "/1.0/instances/u", sync_type "" -> "fixed"
			delete 203.0.113.3/32, /1.0/instances/u of lab/lxd: no longer at the source`},
		{"both addresses of a port: each keeps its row", []part{
			claim(lxd, "10.1.2.9/24", u, wants(allocated("fixed"))),
			claim(lxd, "10.1.2.3/32", u, wants(allocated("floating"))),
			row(7, lxd, "10.1.2.4/32", u, has(allocated("floating"))),
			row(8, lxd, "10.1.2.8/24", u, has(allocated("fixed"))),
		}, `
			update 10.1.2.3/32, /1.0/instances/u of lab/lxd: renumbered: address "10.1.2.4/32" -> "10.1.2.3/32"
			update 10.1.2.9/24, /1.0/instances/u of lab/lxd: renumbered: address "10.1.2.8/24" -> "10.1.2.9/24"`},
		{"a lease that becomes a static address of the same instance", []part{
			claim(lxd, "10.1.2.9/24", u, rank(3)),
			row(7, lxd, "10.1.2.3/24", u, has(status("dhcp"))),
		}, `
			update 10.1.2.9/24, /1.0/instances/u of lab/lxd: renumbered: address "10.1.2.3/24" -> "10.1.2.9/24"`},
		{"an incomplete source leaves no place", []part{
			incomplete(lxd),
			claim(lxd, "10.1.2.9/24", u),
			row(7, lxd, "10.1.2.3/24", u),
		}, `
			create 10.1.2.9/24, /1.0/instances/u of lab/lxd: new at the source: sync_owner "" -> "lab/lxd", used_by "" -> "/1.0/instances/u", sync_type "" -> "instance"
			hold delete 10.1.2.3/24, /1.0/instances/u of lab/lxd: the source did not answer in full (ID 7): host h2: connection refused`},
		{"two users that swap are two updates", []part{
			claim(lxd, "10.1.2.3/24", "/1.0/instances/v"),
			claim(lxd, "10.1.2.9/24", u),
			row(7, lxd, "10.1.2.3/24", u),
			row(8, lxd, "10.1.2.9/24", "/1.0/instances/v"),
		}, `
			update 10.1.2.3/24, /1.0/instances/v of lab/lxd: changed at the source: used_by "/1.0/instances/u" -> "/1.0/instances/v"
			update 10.1.2.9/24, /1.0/instances/u of lab/lxd: changed at the source: used_by "/1.0/instances/v" -> "/1.0/instances/u"`},
		{"into a place that somebody else holds: the row goes, the claim is held", []part{
			claim(lxd, "10.1.2.9/24", u),
			row(7, lxd, "10.1.2.3/24", u),
			row(8, "", "10.1.2.9/24", ""),
		}, `
			delete 10.1.2.3/24, /1.0/instances/u of lab/lxd: no longer at the source
			hold create 10.1.2.9/24, /1.0/instances/u of lab/lxd: somebody else's row is there (ID 8)`},
		{"is preferred over a mark", []part{
			deprecating(lxd),
			claim(lxd, "10.1.2.9/24", u),
			row(7, lxd, "10.1.2.3/24", u),
		}, `
			update 10.1.2.9/24, /1.0/instances/u of lab/lxd: renumbered: address "10.1.2.3/24" -> "10.1.2.9/24"`},
		{"revives a row that waits", []part{
			deprecating(lxd),
			claim(lxd, "10.1.2.9/24", u),
			row(7, lxd, "10.1.2.3/24", u, has(status("deprecated")), gone(short)),
		}, `
			update 10.1.2.9/24, /1.0/instances/u of lab/lxd: renumbered: address "10.1.2.3/24" -> "10.1.2.9/24", status "deprecated" -> "active", gone_since "2026-03-04T04:06:07Z" -> ""`},
		{"revives a row whose time is over", []part{
			deprecating(lxd),
			claim(lxd, "10.1.2.9/24", u, wants(status("reserved"))),
			row(7, lxd, "10.1.2.3/24", u, has(status("deprecated")), gone(long)),
		}, `
			update 10.1.2.9/24, /1.0/instances/u of lab/lxd: renumbered: address "10.1.2.3/24" -> "10.1.2.9/24", status "deprecated" -> "reserved", gone_since "2026-03-01T05:06:07Z" -> ""`},
		{"a second row of a place stands in for nothing", []part{
			claim(lxd, "10.1.2.3/24 dup", u),
			claim(lxd, "10.1.2.9/24 dup", u),
			row(7, lxd, "10.1.2.3/24 dup", u),
			row(8, lxd, "10.1.2.3/24 dup", u),
		}, `
			create 10.1.2.9/24 in VRF dup, /1.0/instances/u of lab/lxd: new at the source: sync_owner "" -> "lab/lxd", used_by "" -> "/1.0/instances/u", sync_type "" -> "instance"
			delete 10.1.2.3/24 in VRF dup, /1.0/instances/u of lab/lxd: second row for the same place
			lab/lxd: 1 in step`},
	})
}

// TestRenumberingOfEqualRows: of many rows that differ in nothing but their ID
// the lowest is kept.
func TestRenumberingOfEqualRows(t *testing.T) {
	var parts []part
	for i, user := range []string{"/c", "/a", "/b"} {
		parts = append(parts, claim(lxd, fmt.Sprintf("10.1.2.%d/24 dup", 10+i), user))
		for id := 300 + i; id > 0; id -= 3 {
			parts = append(parts, row(id, lxd, "10.1.2.3/24 dup", user))
		}
	}
	p := plan.Compute(newWorld(t, parts...))
	var kept []int
	for _, c := range p.Changes {
		if c.Reason == plan.Renumbered {
			kept = append(kept, c.Before.ID)
		}
	}
	require.Equal(t, []int{3, 1, 2}, kept) // of /c, /a and /b
	require.Equal(t, 299, p.Sources[0].Delete)
}

func TestGone(t *testing.T) {
	const at, u = "10.1.2.3/24", "/1.0/instances/u"
	mustPlan(t, []verdictCase{
		{"marked first", []part{
			deprecating(lxd),
			row(7, lxd, at, u),
		}, `
			update 10.1.2.3/24, /1.0/instances/u of lab/lxd: no longer at the source: status "active" -> "deprecated", gone_since "" -> "2026-03-04T05:06:07Z"
			lab/lxd: 1 marked`},
		{"marked, though a person deprecated it already", []part{
			deprecating(lxd),
			row(7, lxd, at, u, has(status("deprecated"))),
		}, `
			update 10.1.2.3/24, /1.0/instances/u of lab/lxd: no longer at the source: gone_since "" -> "2026-03-04T05:06:07Z"
			lab/lxd: 1 marked`},
		{"waits while the time runs", []part{
			deprecating(lxd),
			row(7, lxd, at, u, has(status("deprecated")), gone(long+1)),
		}, `
			lab/lxd: 1 waiting`},
		{"deleted when the time is over", []part{
			deprecating(lxd),
			row(7, lxd, at, u, has(status("deprecated")), gone(long)),
		}, `
			delete 10.1.2.3/24, /1.0/instances/u of lab/lxd: no longer at the source for the configured time`},
		{"a mark from the future waits", []part{
			deprecating(lxd),
			row(7, lxd, at, u, has(status("deprecated")), gone(now.Add(time.Hour).Unix())),
		}, `
			lab/lxd: 1 waiting`},
		{"without the policy a marked row is deleted at once", []part{
			row(7, lxd, at, u, has(status("deprecated")), gone(short)),
		}, `
			delete 10.1.2.3/24, /1.0/instances/u of lab/lxd: no longer at the source`},
		{"an incomplete source marks nothing and deletes nothing", []part{
			deprecating(lxd), incomplete(lxd),
			row(7, lxd, at, u),
			row(8, lxd, "10.1.2.4/24", u, has(status("deprecated")), gone(long)),
			row(9, lxd, "10.1.2.5/24", u, has(status("deprecated")), gone(short)),
		}, `
			hold delete 10.1.2.3/24, /1.0/instances/u of lab/lxd: the source did not answer in full (ID 7): host h2: connection refused
			hold delete 10.1.2.4/24, /1.0/instances/u of lab/lxd: the source did not answer in full (ID 8): host h2: connection refused
			hold delete 10.1.2.5/24, /1.0/instances/u of lab/lxd: the source did not answer in full (ID 9): host h2: connection refused`},
		{"back: the mark goes, and the status with it", []part{
			deprecating(lxd),
			claim(lxd, at, u),
			row(7, lxd, at, u, has(status("deprecated")), gone(short)),
		}, `
			update 10.1.2.3/24, /1.0/instances/u of lab/lxd: back at the source: status "deprecated" -> "active", gone_since "2026-03-04T04:06:07Z" -> ""`},
		{"back: a rule's status comes before active", []part{
			deprecating(lxd),
			claim(lxd, at, u, wants(status("reserved"))),
			row(7, lxd, at, u, has(status("deprecated")), gone(short)),
		}, `
			update 10.1.2.3/24, /1.0/instances/u of lab/lxd: back at the source: status "deprecated" -> "reserved", gone_since "2026-03-04T04:06:07Z" -> ""`},
		{"back: a status that a person set since stays", []part{
			deprecating(lxd),
			claim(lxd, at, u),
			row(7, lxd, at, u, has(status("dhcp")), gone(short)),
		}, `
			update 10.1.2.3/24, /1.0/instances/u of lab/lxd: back at the source: gone_since "2026-03-04T04:06:07Z" -> ""`},
		{"back, at an incomplete source", []part{
			deprecating(lxd), incomplete(lxd),
			claim(lxd, at, u),
			row(7, lxd, at, u, has(status("deprecated")), gone(short)),
		}, `
			update 10.1.2.3/24, /1.0/instances/u of lab/lxd: back at the source: status "deprecated" -> "active", gone_since "2026-03-04T04:06:07Z" -> ""`},
		{"back at another source: handed over and revived", []part{
			deprecating(lxd),
			claim(maas, at, "/m/1"),
			row(7, lxd, at, u, has(status("deprecated")), gone(short)),
		}, `
			update 10.1.2.3/24, /m/1 of lab/maas: handed over from another source: sync_owner "lab/lxd" -> "lab/maas", used_by "/1.0/instances/u" -> "/m/1", status "deprecated" -> "active", gone_since "2026-03-04T04:06:07Z" -> ""`},
		{"deprecated by a person, claimed: nothing", []part{
			claim(lxd, at, u),
			row(7, lxd, at, u, has(status("deprecated"))),
		}, `
			lab/lxd: 1 in step`},
	})
}

func TestAllow(t *testing.T) {
	const at, u = "10.1.2.3/24", "/1.0/instances/u"
	mustPlan(t, []verdictCase{
		{"no create", []part{
			allow(lxd, plan.Allow{Update: true, Delete: true}),
			claim(lxd, at, u),
		}, `
			hold create 10.1.2.3/24, /1.0/instances/u of lab/lxd: switched off by policy: policy of lab/lxd does not allow create`},
		{"no update", []part{
			allow(lxd, plan.Allow{Create: true, Delete: true}),
			claim(lxd, at, u),
			row(7, lxd, at, "/v"),
		}, `
			hold update 10.1.2.3/24, /1.0/instances/u of lab/lxd: switched off by policy (ID 7, /v): policy of lab/lxd does not allow update`},
		{"no delete", []part{
			allow(lxd, plan.Allow{Create: true, Update: true}),
			row(7, lxd, at, u),
		}, `
			hold delete 10.1.2.3/24, /1.0/instances/u of lab/lxd: switched off by policy (ID 7): policy of lab/lxd does not allow delete`},
		{"renumbering is an update", []part{
			allow(lxd, plan.Allow{Update: true}),
			claim(lxd, "10.1.2.9/24", u),
			row(7, lxd, at, u),
		}, `
			update 10.1.2.9/24, /1.0/instances/u of lab/lxd: renumbered: address "10.1.2.3/24" -> "10.1.2.9/24"`},
		{"renumbering that is not allowed does not fall apart", []part{
			allow(lxd, plan.Allow{Create: true, Delete: true}),
			claim(lxd, "10.1.2.9/24", u),
			row(7, lxd, at, u),
		}, `
			hold update 10.1.2.9/24, /1.0/instances/u of lab/lxd: switched off by policy (ID 7): policy of lab/lxd does not allow update`},
		{"a handover counts for the source that gets the row", []part{
			allow(lxd, plan.Allow{}),
			claim(maas, at, "/m/1"),
			row(7, lxd, at, u),
		}, `
			update 10.1.2.3/24, /m/1 of lab/maas: handed over from another source: sync_owner "lab/lxd" -> "lab/maas", used_by "/1.0/instances/u" -> "/m/1"`},
		{"a handover to a source that may not update", []part{
			allow(maas, plan.Allow{Create: true, Delete: true}),
			claim(maas, at, "/m/1"),
			row(7, lxd, at, u),
		}, `
			hold update 10.1.2.3/24, /m/1 of lab/maas: switched off by policy (ID 7, /1.0/instances/u): policy of lab/maas does not allow update`},
		{"a mark is an update", []part{
			allow(lxd, plan.Allow{Create: true, Delete: true}), deprecating(lxd),
			row(7, lxd, at, u),
		}, `
			hold update 10.1.2.3/24, /1.0/instances/u of lab/lxd: switched off by policy (ID 7): policy of lab/lxd does not allow update`},
		{"a mark is the first half of a delete", []part{
			allow(lxd, plan.Allow{Create: true, Update: true}), deprecating(lxd),
			row(7, lxd, at, u),
		}, `
			hold update 10.1.2.3/24, /1.0/instances/u of lab/lxd: switched off by policy (ID 7): policy of lab/lxd does not allow delete`},
		{"filling in a reservation is an update", []part{
			allow(lxd, plan.Allow{Create: true}),
			claim(lxd, at, u),
			row(7, "", at, "", reserveAt(lxd)),
		}, `
			hold update 10.1.2.3/24, /1.0/instances/u of lab/lxd: switched off by policy (ID 7): policy of lab/lxd does not allow update`},
		{"nothing to do needs no leave", []part{
			allow(lxd, plan.Allow{}),
			claim(lxd, at, u),
			row(7, lxd, at, u),
		}, `
			lab/lxd: 1 in step`},
	})
}

func TestIncomplete(t *testing.T) {
	const u = "/1.0/instances/u"
	mustPlan(t, []verdictCase{
		{"of many missing parts the first are named", []part{
			source(lxd, func(s *plan.Source) { s.Missing = []string{"a: x", "b: x", "c: x", "d: x", "e: x"} }),
			row(7, lxd, "10.1.2.3/24", u),
			claim(maas, "10.1.2.4/24", "/m/1"),
			row(8, lxd, "10.1.2.4/24", u),
		}, `
			hold delete 10.1.2.3/24, /1.0/instances/u of lab/lxd: the source did not answer in full (ID 7): a: x; b: x; c: x; and 2 more
			hold create 10.1.2.4/24, /m/1 of lab/maas: the row belongs to another owner (ID 8, /1.0/instances/u): lab/lxd: a: x; b: x; c: x; and 2 more`},
		{"three missing parts are named", []part{
			source(lxd, func(s *plan.Source) { s.Missing = []string{"a: x", "b: x", "c: x"} }),
			row(7, lxd, "10.1.2.3/24", u),
		}, `
			hold delete 10.1.2.3/24, /1.0/instances/u of lab/lxd: the source did not answer in full (ID 7): a: x; b: x; c: x`},
		{"creates, updates and takes rows over all the same", []part{
			incomplete(lxd),
			claim(lxd, "10.1.2.1/24", "/1.0/instances/a"),
			claim(lxd, "10.1.2.2/24", "/1.0/instances/b"),
			claim(lxd, "10.1.2.3/24", "/1.0/instances/c"),
			row(2, lxd, "10.1.2.2/32", "/1.0/instances/b"),
			row(3, maas, "10.1.2.3/24", "/m/1"),
			row(4, lxd, "10.1.2.4/24", u),
		}, `
			create 10.1.2.1/24, /1.0/instances/a of lab/lxd: new at the source: sync_owner "" -> "lab/lxd", used_by "" -> "/1.0/instances/a", sync_type "" -> "instance"
			update 10.1.2.2/24, /1.0/instances/b of lab/lxd: changed at the source: address "10.1.2.2/32" -> "10.1.2.2/24"
			update 10.1.2.3/24, /1.0/instances/c of lab/lxd: handed over from another source: sync_owner "lab/maas" -> "lab/lxd", used_by "/m/1" -> "/1.0/instances/c"
			hold delete 10.1.2.4/24, /1.0/instances/u of lab/lxd: the source did not answer in full (ID 4): host h2: connection refused`},
		{"every part that is missing is named", []part{
			source(lxd, func(s *plan.Source) { s.Missing = []string{"host h1: timed out", "project p: denied"} }),
			row(4, lxd, "10.1.2.4/24", u),
		}, `
			hold delete 10.1.2.4/24, /1.0/instances/u of lab/lxd: the source did not answer in full (ID 4): host h1: timed out; project p: denied`},
		{"another source is not held up", []part{
			incomplete(lxd),
			row(4, maas, "10.1.2.4/24", "/m/1"),
		}, `
			delete 10.1.2.4/24, /m/1 of lab/maas: no longer at the source`},
	})
}
