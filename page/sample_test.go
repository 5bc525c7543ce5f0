package page_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"allocsync/page"

	"github.com/stretchr/testify/require"
)

const (
	digest       = "3f9a61c2d47be0815566aa90fe12cd34"
	approveToken = "approve-Zk3qT8mW"
	readToken    = "read-7hLq29Xc"
)

func noon() time.Time { return time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC) }

// sample is an installation with a bit of everything.
func sample() page.View {
	now := noon()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	return page.View{
		Installation: "dc1", Version: "1.4.0", NetBoxURL: "https://netbox.example.org/", NetBoxVersion: "4.7.3",
		Now: now, Next: now.Add(9 * time.Minute),
		Notices: []string{"The configuration of 11:58:02 was refused: sources[1].url: no address. The one of before goes on."},
		Sources: []page.Source{
			{Name: "lab", Owner: "dc1/lab", Kind: "lxd", Answer: page.AnswerComplete, Asked: ago(6 * time.Minute), Success: ago(6 * time.Minute), Took: 420 * time.Millisecond,
				Allocations: 1284, Rows: 1280, InStep: 1280, Held: 3, LastCreated: 2, LastUpdated: 1, Changed: ago(3 * time.Hour), Next: now.Add(9 * time.Minute), Schedule: "every 15m", Watch: "connected"},
			{Name: "nova", Owner: "dc1/nova", Kind: "nova", Answer: page.AnswerIncomplete, Reasons: []string{"host compute7: dial tcp 192.0.2.7:22: connection refused", "host compute9: timed out after 30s"},
				Asked: ago(6 * time.Minute), Success: ago(26 * time.Hour), Took: 30 * time.Second, Allocations: 5210, Rows: 5344, Failed: 1, LastUpdated: 12, LastDeleted: 4, Changed: ago(26 * time.Hour), Next: now.Add(9 * time.Minute), Schedule: "every 15m"},
			{Name: "edge", Owner: "dc1/edge", Kind: "lxd", Answer: page.AnswerNone, Reasons: []string{"x509: certificate has expired"}, Asked: ago(6 * time.Minute), Success: ago(50 * time.Hour),
				Rows: 88, Next: now.Add(24 * time.Minute), Schedule: "0 */30 * * * *, Europe/Berlin", Watch: "reconnecting: connection refused", WatchBroken: true},
			{Name: "new", Owner: "dc1/new", Kind: "libvirt"},
		},
		Plan: page.Plan{At: ago(6 * time.Minute), Held: sampleHeld(), Changes: sampleChanges()},
		Pending: []page.Pending{{Digest: digest, Asked: []string{"lab"}, Since: ago(21 * time.Minute),
			Owners:  []page.PendingOwner{{Owner: "dc1/lab", Rows: 1280, Creates: 1, Updates: 0, Deletes: 512, Limit: "512 of 1,280 rows are 40 %, more than 30 %"}},
			Changes: []string{"create 10.40.0.200/24 /1.0/instances/web9", "delete 10.40.0.12/24 /1.0/instances/web2?project=web", "delete 10.40.0.13/24 /1.0/instances/web3?project=web"}, More: 510}},
		Passes: samplePasses(), Networks: sampleNetworks(), Types: sampleTypes(),
	}
}

func sampleHeld() []page.Held {
	foreign := page.Held{
		Change: page.Change{Owner: "dc1/lab", Action: "create", Kind: page.KindAddress, Address: "198.51.100.12/24", UsedBy: "/1.0/instances/web2?project=web", Reason: "somebody else's row is there",
			Fields: []page.Field{{Name: "sync_type", New: "instance"}, {Name: "dns_name", New: "web2.web.example.org"}}},
		InTheWay: page.Row{Kind: page.KindAddress, ID: 2, Fields: []page.Field{{Name: "status", Old: "active"}, {Name: "description", Old: "Please ask Ana before changing"}}},
		Advice:   "Somebody else keeps this row. Leave it, or delete it in NetBox, or give it to the source: set its sync_owner to dc1/lab.",
	}
	second := foreign
	second.Address, second.UsedBy, second.InTheWay.ID = "198.51.100.13/24", "/1.0/instances/web3?project=web", 5
	contested := page.Held{
		Change: page.Change{Owner: "dc1/lab", Action: "update", Kind: page.KindAddress, Address: "10.40.0.54/24", VRF: "lab-nat", UsedBy: "/1.0/instances/dns1", Reason: "two users claim the address", RowID: 7,
			Fields: []page.Field{{Name: "dns_name", Old: "dns-old.example.org", New: "dns1.example.org"}}},
		Advice: "Two users claim one address. Free it at one of them.", Note: "/1.0/instances/dns2 claims it too",
	}
	return []page.Held{foreign, second, contested}
}

func sampleChanges() []page.Change {
	return []page.Change{{
		Owner: "dc1/nova", Action: "update", Kind: page.KindPrefix, Address: "10.80.0.0/22", VRF: "tenants", UsedBy: "nova:network/80", Reason: "changed at the source", RowID: 41, Status: "refused",
		Detail: "tenant: object with slug acme not found", Fields: []page.Field{{Name: "tenant", New: "acme"}, {Name: "description", Old: "tenant net 80", New: "tenant net 80 (acme)"}},
	}}
}

func samplePasses() []page.Pass {
	outcomes := []string{page.OutcomeOver, page.OutcomePartly, page.OutcomeApplied, page.OutcomeInStep, page.OutcomeInStep, page.OutcomeFailed, page.OutcomeInStep}
	var list []page.Pass
	for i, outcome := range outcomes {
		start := noon().Add(-time.Duration(6+15*i) * time.Minute)
		p := page.Pass{ID: uint64(900 - i), Start: start, End: start.Add(time.Duration(1+i) * 700 * time.Millisecond), Trigger: "schedule", Detail: "every 15m",
			Requests: 9 + i, RowsRead: 6712, RowsWritten: i % 3, Outcome: outcome, Digest: digest,
			Sources: []page.PassSource{{Name: "lab", Owner: "dc1/lab", Answer: page.AnswerComplete, Allocations: 1284, Rows: 1280, InStep: 1277, Created: i % 2, Held: 3, Took: 420 * time.Millisecond},
				{Name: "nova", Owner: "dc1/nova", Answer: page.AnswerIncomplete, Missing: []string{"host compute7: connection refused"}, Allocations: 5210, Rows: 5344, Updated: i, Failed: i / 2 % 2, Took: 30 * time.Second}}}
		if outcome == page.OutcomeFailed {
			p.Error, p.Sources, p.Trigger, p.Detail, p.Asked = "prepare NetBox: GET /api/status/: 502 Bad Gateway", nil, "webhook", "ip address 12 updated by alice", []string{"lab"}
		}
		list = append(list, p)
	}
	return list
}

func samples(n int, at func(i int) float64, capacity float64) []page.Sample {
	list := make([]page.Sample, n)
	for i := range list {
		list[i] = page.Sample{At: noon().Add(-time.Duration(n-i) * 6 * time.Hour), Used: at(i), Capacity: capacity}
	}
	return list
}

func sampleNetworks() []page.Network {
	return []page.Network{
		{Source: "lab", Network: "incusbr0", Prefix: "10.40.0.0/24", NAT: true, Used: 241, Capacity: 254, ByType: []page.Count{{Type: "instance", Used: 230}, {Type: "network-forward", Used: 11}},
			Samples: samples(120, func(i int) float64 { return 120 + float64(i) + float64(i*7%13) }, 254)},
		{Source: "lab", Network: "incusbr0", Prefix: "fd40::/64", Used: 230, Capacity: 1 << 63 * 2.0, ByType: []page.Count{{Type: "instance", Used: 230}}, Samples: samples(30, func(i int) float64 { return 200 + float64(i) }, 1<<63*2)},
		{Source: "nova", Network: "tenants", Prefix: "10.80.0.0/22", Used: 310, Capacity: 1022, ByType: []page.Count{{Type: "instance", Used: 300}, {Type: "floating-ip", Used: 10}}},
		{Source: "edge", Prefix: "192.0.2.128/25", Used: 0, Capacity: 126},
	}
}

func sampleTypes() []page.Type {
	return []page.Type{
		{Type: "network-forward", IPv4: 11, Samples: samples(40, func(int) float64 { return 11 }, 0)},
		{Type: "instance", IPv4: 5210, IPv6: 1230, Samples: samples(90, func(i int) float64 { return 6000 + float64(i*i%97) }, 0)},
		{Type: "network", Prefixes: 14},
	}
}

// reserving is the sample with sources that hold addresses for NetBox.
func reserving() page.View {
	v := sample()
	for i := range v.Sources[:3] {
		s := &v.Sources[i]
		s.Reserves, s.AskedFor, s.Unmet, s.Ours, s.LastReserved, s.LastReleased = true, 12+i, 3*i, 1100+i, 2*i, i
	}
	of := func(action, address, user, reason string, fields ...page.Field) page.Change {
		return page.Change{Owner: "dc1/lab", Action: action, Kind: page.KindAddress, Address: address, UsedBy: user, Reason: reason, Fields: fields}
	}
	mac := page.Field{Name: "hwaddr", New: "52:54:00:00:00:0a"}
	v.Plan.Held = append([]page.Held{
		{Change: of("release", "10.40.0.91/24", "/1.0/instances/web9?project=web", "in use at the source", mac), Note: "web9 runs",
			Advice: "It is released once nobody uses it any more: stop its user, or give that another address. To keep it, ask for it again in NetBox."},
		{Change: of("reserve", "10.40.0.90/24", "52:54:00:00:00:0a", "taken at the source by somebody else"), Note: "held for /1.0/instances/dns1",
			Advice: "Somebody else has this address at the source, and what others reserved is never released from here."},
	}, v.Plan.Held...)
	refused := of("reserve", "10.40.0.92/24", "db3.example.org", "asked for in NetBox", mac)
	refused.Status, refused.Detail, refused.RowID = "refused", "Reserved address is in the dynamic range: the source refuses", 311
	waits := of("change", "10.40.0.94/24", "/1.0/instances/db1", "asked for at another address in NetBox", page.Field{Name: "address", Old: "10.40.0.93/24", New: "10.40.0.94/24"}, mac)
	waits.Status = "not approved"
	released := of("release", "10.40.0.95/24", "/1.0/instances/db2", "no longer asked for in NetBox")
	released.Status = "failed"
	v.Plan.Changes = append([]page.Change{refused, waits, released}, v.Plan.Changes...)
	v.Pending[0].Changes = append([]string{"release 10.40.0.96/24 for /1.0/instances/web4 at dc1/lab: no longer asked for in NetBox"}, v.Pending[0].Changes...)
	v.Passes[0].Sources[0].Reserved, v.Passes[0].Sources[0].Released = 4, 2
	v.Passes[3].Sources[0].Reserved, v.Passes[3].Sources[0].Created, v.Passes[3].Sources[1].Updated = 1, 0, 0
	return v
}

// big is far more than a page can show.
func big() page.View {
	v := sample()
	v.Sources, v.Pending, v.Plan.Held, v.Plan.Changes, v.Passes, v.Networks, v.Types = nil, nil, nil, nil, nil, nil, nil
	for i := range 10_000 {
		c := page.Change{Owner: "dc1/lab", Action: []string{"create", "update", "delete"}[i%3], Address: fmt.Sprintf("10.%d.%d.%d/16", i>>16, i>>8&255, i&255),
			UsedBy: fmt.Sprintf("/1.0/instances/machine-with-a-long-name-%d?project=production", i), Reason: "changed at the source", RowID: i + 1, Status: "skipped"}
		for k := range 15 {
			c.Fields = append(c.Fields, page.Field{Name: fmt.Sprintf("field%d", k), Old: strings.Repeat("o", 60), New: strings.Repeat("n", 60)})
		}
		v.Plan.Changes = append(v.Plan.Changes, c)
		v.Plan.Held = append(v.Plan.Held, page.Held{Change: c, InTheWay: page.Row{ID: i + 1, Fields: c.Fields}, Advice: "Settle it.", Note: strings.Repeat("note ", 20)})
	}
	for i := range 5_000 {
		v.Networks = append(v.Networks, page.Network{Source: "lab", Network: fmt.Sprintf("net%d", i), Prefix: fmt.Sprintf("10.%d.%d.0/24", i>>8, i&255), Used: i % 250, Capacity: 254,
			ByType: []page.Count{{Type: "instance", Used: i % 250}}, Samples: samples(400, func(k int) float64 { return float64(k % 17) }, 254)})
	}
	for i := range 300 {
		v.Sources = append(v.Sources, page.Source{Name: fmt.Sprintf("s%d", i), Answer: page.AnswerIncomplete, Reasons: []string{"a", "b", "c", "d", strings.Repeat("long ", 5000)}})
		v.Types = append(v.Types, page.Type{Type: fmt.Sprintf("t%d", i), IPv4: i})
		v.Pending = append(v.Pending, page.Pending{Digest: fmt.Sprintf("%032x", i), Changes: make([]string, 500), More: 9500, Owners: make([]page.PendingOwner, 100)})
	}
	for i := range 1000 {
		v.Passes = append(v.Passes, page.Pass{ID: uint64(1000 - i), Start: noon(), End: noon(), Outcome: page.OutcomeFailed, Error: strings.Repeat("error ", 1000), Sources: make([]page.PassSource, 20)})
	}
	return v
}

// options show a View and search nothing.
func options(v page.View) page.Options {
	return page.Options{View: func() page.View { return v }, Now: noon, Search: func(string) []page.Hit { return sampleHits() }}
}

func approving(v page.View, approve func(string) error) page.Options {
	o := options(v)
	o.ApproveToken, o.Approve = approveToken, approve
	return o
}

func sampleHits() []page.Hit {
	return []page.Hit{{Source: "lab", Address: "10.40.0.54/24", Network: "incusbr0", Project: "default", Name: "dns1", Type: "instance", MAC: "10:66:6a:77:70:31", UsedBy: "/1.0/instances/dns1",
		Kind: page.KindAddress, RowID: 7, State: "in step"}, {Source: "lab", Address: "10.40.0.0/24", Kind: page.KindPrefix, VRF: "lab-nat", UsedBy: "/1.0/networks/incusbr0", State: "not in NetBox yet"}}
}

// get asks the handler and returns what it answers.
func get(tb testing.TB, h http.Handler, path string, change ...func(*http.Request)) (*http.Response, string) {
	tb.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for _, c := range change {
		c(r)
	}
	return do(tb, h, r)
}

func do(tb testing.TB, h http.Handler, r *http.Request) (*http.Response, string) {
	tb.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	answer := w.Result()
	body, err := io.ReadAll(answer.Body)
	require.NoError(tb, err)
	return answer, string(body)
}

// paths are all pages of the sample.
func paths() []string {
	return []string{"/", "/held", "/changes", "/plans/" + digest, "/passes", "/passes/900", "/passes/895", "/networks", "/search", "/search?q=10.40", "/nothing"}
}
