package plan_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/sync/plan"
)

// newDigestWorld holds one change of every kind that there is.
func newDigestWorld(tb testing.TB) plan.Input {
	tb.Helper()
	return newWorld(tb,
		deprecating(lxd),
		claim(lxd, "10.1.2.1/24 red", "/u/new", wants(everything)),
		claim(lxd, "10.1.2.2/24", "/u/changed", wants(everything)), row(2, lxd, "10.1.2.2/24", "/u/old"),
		claim(lxd, "10.1.2.3/24", "/u/moved"), row(3, lxd, "10.1.2.33/24", "/u/moved"),
		claim(lxd, "10.1.2.4/24", "/u/handed"), row(4, maas, "10.1.2.4/24", "/m/4"),
		claim(lxd, "10.1.2.5/24", "/u/back"), row(5, lxd, "10.1.2.5/24", "/u/back", gone(short)),
		row(6, lxd, "10.1.2.6/24", "/u/gone"),
		row(7, lxd, "10.1.2.7/24", "/u/long", gone(long)),
		row(8, maas, "10.1.2.8/24", "/m/8"),
		claim(maas, "10.1.2.9/24", "/m/9"), row(9, "", "10.1.2.9/24", "", reserveAt(maas)),
		claim(maas, "10.1.2.10/24 dup", "/m/10"), row(10, maas, "10.1.2.10/24 dup", "/m/10"), row(11, maas, "10.1.2.10/24 dup", "/m/10"),
		claim(lxd, "net 10.1.2.0/24", "/n"),
		claim(maas, "10.1.2.12/24", "/held"), row(12, "", "10.1.2.12/24", ""),
	)
}

// everything sets every field that a rule may set.
func everything(a *ipam.Attrs) {
	a.MAC = "00:16:3e:00:00:01"
	a.Status, a.Role, a.Tenant, a.DNSName, a.Description = "reserved", "vip", "blue", "u.example", "text"
	a.Tags = ipam.TagsOf("edge", "lxd")
	a.Inside = netip.MustParseAddr("192.0.2.1")
}

func TestDigestIsStable(t *testing.T) {
	in := newDigestWorld(t)
	digest := plan.Compute(in).Digest()
	require.Regexp(t, "^[0-9a-f]{8,64}$", digest)
	for seed := range uint64(20) {
		require.Equal(t, digest, plan.Compute(newShuffled(in, seed)).Digest())
	}
	for _, later := range []time.Duration{time.Second, time.Hour, 24 * time.Hour} {
		in.Now = now.Add(later)
		require.Equal(t, digest, plan.Compute(in).Digest(), "%s later", later)
	}
	in = newDigestWorld(t)
	in.Claims = append(in.Claims, ipam.Claim{Record: in.Current[0].Record}) // held: not a change
	in.Claims[len(in.Claims)-1].Owner = elsewhere
	require.Equal(t, digest, plan.Compute(in).Digest(), "what is held is not approved")
	for i := range in.Current {
		in.Current[i].LastUpdated = now
	}
	require.Equal(t, digest, plan.Compute(in).Digest(), "a row that was saved again says the same")
}

// TestDigestIsSensitive changes the plan by one thing at a time; no two of
// them have the same digest.
func TestDigestIsSensitive(t *testing.T) {
	attrs := func(set func(a *ipam.Attrs)) func(p *plan.Plan) {
		return func(p *plan.Plan) { set(&p.Changes[at(p, plan.Changed)].After.Attrs) }
	}
	tweaks := map[string]func(p *plan.Plan){
		"nothing":     func(*plan.Plan) {},
		"one less":    func(p *plan.Plan) { p.Changes = p.Changes[1:] },
		"one more":    func(p *plan.Plan) { p.Changes = append(p.Changes, p.Changes[0]) },
		"none":        func(p *plan.Plan) { p.Changes = nil },
		"action":      func(p *plan.Plan) { p.Changes[0].Action = plan.Update },
		"reason":      func(p *plan.Plan) { p.Changes[at(p, plan.NowGone)].Reason = plan.GoneLong },
		"owner":       func(p *plan.Plan) { p.Changes[0].Owner = maas },
		"row":         func(p *plan.Plan) { p.Changes[at(p, plan.Changed)].Before.ID = 99 },
		"row deleted": func(p *plan.Plan) { p.Changes[len(p.Changes)-1].Before.ID = 99 },
		"old owner":   func(p *plan.Plan) { p.Changes[at(p, plan.Handover)].Before.Owner = "lab/third" },
		"new owner":   func(p *plan.Plan) { p.Changes[at(p, plan.Changed)].After.Owner = maas },
		"old address": func(p *plan.Plan) {
			p.Changes[at(p, plan.Renumbered)].Before.Place.Prefix = netip.MustParsePrefix("10.7.7.7/32")
		},
		"new address": func(p *plan.Plan) {
			p.Changes[at(p, plan.Renumbered)].After.Place.Prefix = netip.MustParsePrefix("10.7.7.7/32")
		},
		"address deleted": func(p *plan.Plan) {
			p.Changes[at(p, plan.GoneLong)].Before.Place.Prefix = netip.MustParsePrefix("10.7.7.7/32")
		},
		"user deleted":    func(p *plan.Plan) { p.Changes[at(p, plan.GoneLong)].Before.Attrs.UsedBy = "/other" },
		"VRF":             func(p *plan.Plan) { p.Changes[at(p, plan.Changed)].After.Place.VRF = "red" },
		"VRF of a create": func(p *plan.Plan) { p.Changes[at(p, plan.New)].After.Place.VRF = "blue" },
		"old value":       func(p *plan.Plan) { p.Changes[at(p, plan.Changed)].Before.Attrs.DNSName = "old.example" },
		"since when":      func(p *plan.Plan) { p.Changes[at(p, plan.Revived)].Before.Attrs.GoneUnix++ },
		"mask":            attrs(func(a *ipam.Attrs) { a.Mask = 25 }),
		"used_by":         attrs(func(a *ipam.Attrs) { a.UsedBy += "2" }),
		"sync_type":       attrs(func(a *ipam.Attrs) { a.Type += "2" }),
		"hwaddr":          attrs(func(a *ipam.Attrs) { a.MAC = "00:16:3e:00:00:02" }),
		"status":          attrs(func(a *ipam.Attrs) { a.Status = "dhcp" }),
		"role":            attrs(func(a *ipam.Attrs) { a.Role = "hsrp" }),
		"tenant":          attrs(func(a *ipam.Attrs) { a.Tenant = "green" }),
		"dns_name":        attrs(func(a *ipam.Attrs) { a.DNSName = "v.example" }),
		"description":     attrs(func(a *ipam.Attrs) { a.Description = "texts" }),
		"no description":  attrs(func(a *ipam.Attrs) { a.Description = "" }),
		"tags":            attrs(func(a *ipam.Attrs) { a.Tags = ipam.TagsOf("edge") }),
		"nat_inside":      attrs(func(a *ipam.Attrs) { a.Inside = netip.MustParseAddr("192.0.2.2") }),
		"gone_since":      attrs(func(a *ipam.Attrs) { a.GoneUnix = 1 }),
		"tenant of a create": func(p *plan.Plan) {
			p.Changes[at(p, plan.New)].After.Attrs.Tenant = "green"
		},
	}
	seen := map[string]string{}
	for name, tweak := range tweaks {
		p := plan.Compute(newDigestWorld(t))
		tweak(&p)
		digest := p.Digest()
		require.Empty(t, seen[digest], "the same digest as with %q", name)
		seen[digest] = name
	}
}

// at is the index of the first change of a reason.
func at(p *plan.Plan, r plan.Reason) int {
	for i, c := range p.Changes {
		if c.Reason == r {
			return i
		}
	}
	panic("no change is " + string(r))
}
