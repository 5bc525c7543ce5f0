package plan_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/sync/plan"
)

// The owners of the hand-written worlds, in the order of the configuration;
// elsewhere is nobody's source here.
const (
	lxd       = "lab/lxd"
	maas      = "lab/maas"
	elsewhere = "lab2/lxd"
)

// now is the moment of every pass in these tests; long and short are moments
// at which a row may have been marked as gone, with 72 hours to wait.
var (
	now   = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	short = now.Add(-time.Hour).Unix()
	long  = now.Add(-72 * time.Hour).Unix()
)

// part is one piece of a hand-written world.
type part func(in *plan.Input)

// newWorld puts a world together. Sources that are named nowhere else and that
// a claim or a row of lxd or maas needs are complete and may do everything.
func newWorld(tb testing.TB, parts ...part) plan.Input {
	tb.Helper()
	in := plan.Input{Now: now, Sources: []plan.Source{{Owner: lxd, Allow: plan.AllowAll()}, {Owner: maas, Allow: plan.AllowAll()}}}
	for _, p := range parts {
		p(&in)
	}
	for i, s := range in.Current {
		require.NotZero(tb, s.ID, "row %d of the world has no ID", i)
	}
	return in
}

// source changes what newWorld says about one of its sources.
func source(owner string, change func(s *plan.Source)) part {
	return func(in *plan.Input) {
		for i := range in.Sources {
			if in.Sources[i].Owner == owner {
				change(&in.Sources[i])
			}
		}
	}
}

func incomplete(owner string) part {
	return source(owner, func(s *plan.Source) { s.Missing = []string{"host h2: connection refused"} })
}

func deprecating(owner string) part {
	return source(owner, func(s *plan.Source) { s.Gone = plan.Gone{Deprecate: true, After: 72 * time.Hour} })
}

func allow(owner string, a plan.Allow) part {
	return source(owner, func(s *plan.Source) { s.Allow = a })
}

// claim is a claim of owner: "10.1.2.3/24" is an address, "net 10.1.2.0/24" a
// prefix, and a VRF may follow ("10.1.2.3/24 red").
func claim(owner, at, user string, sets ...func(c *ipam.Claim)) part {
	return func(in *plan.Input) {
		c := ipam.Claim{Record: record(owner, at, user)}
		for _, set := range sets {
			set(&c)
		}
		in.Claims = append(in.Claims, c)
	}
}

// row is a row that NetBox holds, written like a claim.
func row(id int, owner, at, user string, sets ...func(s *ipam.Stored)) part {
	return func(in *plan.Input) {
		s := ipam.Stored{ID: id, LastUpdated: now.Add(-time.Hour), Record: record(owner, at, user)}
		s.Attrs.Status = "active" // NetBox has no row without a status
		for _, set := range sets {
			set(&s)
		}
		in.Current = append(in.Current, s)
	}
}

func record(owner, at, user string) ipam.Record {
	kind := ipam.Address
	if cut, ok := strings.CutPrefix(at, "net "); ok {
		kind, at = ipam.Prefix, cut
	}
	at, vrf, _ := strings.Cut(at, " ")
	p := netip.MustParsePrefix(at)
	r := ipam.Record{Owner: owner, Place: ipam.PlaceOf(vrf, kind, p)}
	r.Attrs.Type = "instance"
	if kind == ipam.Address {
		r.Attrs.Mask = p.Bits()
	}
	r.Attrs.UsedBy = ipam.UsedBy(user)
	if user == "" {
		r.Attrs.Type = ""
	}
	return r
}

func rank(n uint8) func(*ipam.Claim)                { return func(c *ipam.Claim) { c.Rank = n } }
func wants(set func(*ipam.Attrs)) func(*ipam.Claim) { return func(c *ipam.Claim) { set(&c.Attrs) } }
func has(set func(*ipam.Attrs)) func(*ipam.Stored)  { return func(s *ipam.Stored) { set(&s.Attrs) } }
func gone(unix int64) func(*ipam.Stored)            { return func(s *ipam.Stored) { s.Attrs.GoneUnix = unix } }
func reserveAt(owner string) func(*ipam.Stored) {
	return func(s *ipam.Stored) { s.ReserveAt = owner }
}

func status(s string) func(*ipam.Attrs)   { return func(a *ipam.Attrs) { a.Status = s } }
func dnsName(s string) func(*ipam.Attrs)  { return func(a *ipam.Attrs) { a.DNSName = s } }
func hwaddr(m ipam.MAC) func(*ipam.Attrs) { return func(a *ipam.Attrs) { a.MAC = m } }

func allocated(t string) func(*ipam.Attrs) { return func(a *ipam.Attrs) { a.Type = t } }

// lines is a plan as its report prints it: one line per change and per thing
// held, and one per source that has rows in step or waiting.
func lines(p plan.Plan) string {
	var b strings.Builder
	for _, c := range p.Changes {
		b.WriteString(c.String() + "\n")
	}
	for _, h := range p.Held {
		b.WriteString(h.String() + "\n")
	}
	for _, s := range p.Sources {
		if s.InStep > 0 {
			b.WriteString(s.Owner + ": " + count(s.InStep) + " in step\n")
		}
		if s.Waiting > 0 {
			b.WriteString(s.Owner + ": " + count(s.Waiting) + " waiting\n")
		}
		if s.Marked > 0 {
			b.WriteString(s.Owner + ": " + count(s.Marked) + " marked\n")
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func count(n int) string { return string(rune('0' + n%10)) }
