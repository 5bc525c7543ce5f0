package worker_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/mapping"
	"allocsync/netbox"
	"allocsync/netbox/netboxtest"
	"allocsync/sync/apply"
	"allocsync/sync/worker"
)

// newHooked is a bench whose requests go through before and after, each of
// which may be nil.
func newHooked(tb testing.TB, before, after func(*http.Request)) bench {
	tb.Helper()
	const token = "0123456789abcdef0123456789abcdef01234567"
	server := netboxtest.New(netboxtest.Options{Version: netboxtest.V47, Token: token})
	var armed atomic.Bool
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if armed.Load() && before != nil {
			before(r)
		}
		server.ServeHTTP(w, r)
		if armed.Load() && after != nil {
			after(r)
		}
	}))
	tb.Cleanup(web.Close)
	client, err := netbox.Open(netbox.Options{URL: web.URL, Token: token, Retries: -1})
	require.NoError(tb, err)
	_, err = client.Setup(tb.Context(), false)
	require.NoError(tb, err)
	server.ResetRequests()
	armed.Store(true)
	return bench{server, client}
}

// other is a source with one address.
func other() *listing {
	return &listing{allocations: []ipam.Allocation{
		{UsedBy: "/1.0/instances/other", Kind: ipam.Address, Prefix: netip.MustParsePrefix("192.0.2.7/32"), Type: "instance"},
	}}
}

func mustCompile(tb testing.TB, set mapping.Set) *mapping.Mapping {
	tb.Helper()
	rules, err := mapping.Compile([]mapping.Rule{{Set: set}})
	require.NoError(tb, err)
	return rules
}

func TestRun(t *testing.T) {
	b := newBench(t, netboxtest.V47)
	listings := map[string]*listing{"a": {allocations: instances(20)}, "b": other()}
	p := b.pass(t, listings, "a", "b")

	o := p.Run(t.Context(), "")
	require.NoError(t, o.Err)
	require.Equal(t, worker.Applied, o.Verdict())
	require.Equal(t, []string{"a", "b"}, o.Asked)
	require.False(t, o.Started.IsZero() || o.Ended.Before(o.Started))
	require.Equal(t, len(b.server.Requests()), o.Requests)
	require.Equal(t, 21, o.RowsWritten)
	require.Zero(t, o.RowsRead)
	require.Empty(t, o.Again())
	sources := o.Sources()
	require.Positive(t, sources[0].Took)
	sources[0].Took, sources[1].Took = 0, 0
	require.Equal(t, []worker.SourceOutcome{
		{Name: "a", Owner: "dc1/a", Answer: worker.Complete, Missing: []string{}, Allocations: 20, Rows: 20, Planned: 20, Created: 20},
		{Name: "b", Owner: "dc1/b", Answer: worker.Complete, Missing: []string{}, Allocations: 1, Rows: 1, Planned: 1, Created: 1},
	}, sources)

	o = p.Run(t.Context(), "")
	require.Equal(t, worker.InStep, o.Verdict())
	require.Equal(t, []int{20, 20}, []int{o.Sources()[0].Rows, o.Sources()[0].InStep})
	require.Equal(t, 21, o.RowsRead)
	require.Zero(t, o.RowsWritten)

	p.Only = []string{"b"}
	listings["b"].allocations[0].MAC = "00:16:3e:00:00:99"
	o = p.Run(t.Context(), "")
	require.Equal(t, worker.Applied, o.Verdict())
	require.Equal(t, []string{"b"}, o.Asked)
	require.Equal(t, 1, o.Sources()[0].Updated)
	require.Equal(t, 1+1+1, o.RowsRead, "its own row, and that again before it is written; of the other source the prefix alone")

	p.Only = []string{"c"}
	o = p.Run(t.Context(), "")
	require.EqualError(t, o.Err, `source "c" is not configured; there are: a, b`)
	require.Equal(t, worker.Failed, o.Verdict())
	require.Empty(t, o.Again())
}

func TestRunOverLimits(t *testing.T) {
	b := newBench(t, netboxtest.V47)
	listings := map[string]*listing{"a": {allocations: instances(20)}, "b": other()}
	p := b.pass(t, listings, "a", "b")
	require.Equal(t, worker.Applied, p.Run(t.Context(), "").Verdict())
	listings["a"].allocations = instances(10)
	listings["b"].allocations[0].MAC = "00:16:3e:00:00:99"

	o := p.Run(t.Context(), "")
	require.Equal(t, worker.OverLimits, o.Verdict())
	require.Equal(t, "10 rows of 20 would be changed (0 updated, 10 deleted), 50 % is over the limit of 30 %", o.Sources()[0].Excess)
	require.Equal(t, []int{10, 0}, []int{o.Sources()[0].Planned, o.Sources()[0].Deleted})
	require.Equal(t, 1, o.Sources()[1].Updated)
	require.Empty(t, o.Sources()[1].Excess)
	require.Empty(t, o.Again(), "a person has to look at it")

	o = p.Run(t.Context(), "0123456789ab")
	require.ErrorIs(t, o.Err, worker.ErrApproval)
	require.ErrorContains(t, o.Err, "the plan has changed since")
	require.Equal(t, worker.Failed, o.Verdict())
	require.Nil(t, o.Result)
	require.Empty(t, o.Again())
	require.NotNil(t, o.Proposal.Excess)

	o = p.Run(t.Context(), o.Proposal.Plan.Digest())
	require.Equal(t, worker.Applied, o.Verdict())
	require.Equal(t, 10, o.Sources()[0].Deleted)
	require.Empty(t, o.Sources()[0].Excess)
}

func TestRunPartly(t *testing.T) {
	b := newBench(t, netboxtest.V47)
	listings := map[string]*listing{"a": {allocations: instances(5)}, "b": other()}
	p := b.pass(t, listings, "a", "b")
	require.Equal(t, worker.Applied, p.Run(t.Context(), "").Verdict())

	listings["a"].err = errors.New("connection refused")
	o := p.Run(t.Context(), "")
	require.Equal(t, worker.Partly, o.Verdict())
	require.Equal(t, []string{"a"}, o.Again())
	require.Equal(t, worker.None, o.Sources()[0].Answer)
	require.Equal(t, []string{"connection refused"}, o.Sources()[0].Missing)
	require.Equal(t, 5, o.Sources()[0].Rows)

	listings["b"].err = errors.New("timeout")
	o = p.Run(t.Context(), "")
	require.ErrorIs(t, o.Err, worker.ErrNoSource)
	require.Equal(t, worker.Failed, o.Verdict())
	require.Equal(t, []string{"a", "b"}, o.Again())
	require.Equal(t, worker.None, o.Sources()[1].Answer)
	require.Equal(t, []string{"timeout"}, o.Sources()[1].Missing)
	listings["a"].err, listings["b"].err = nil, nil

	// A name that NetBox lacks is a person's to make: the schedule is soon enough.
	slip := "tem"
	p.Mapping = mustCompile(t, mapping.Set{Tenant: &slip})
	o = p.Run(t.Context(), "")
	require.Equal(t, worker.Partly, o.Verdict())
	require.Equal(t, worker.Incomplete, o.Sources()[1].Answer)
	require.Empty(t, o.Again())
	p.Mapping, _ = mapping.Compile(nil)

	// NetBox refuses a row.
	listings["b"].allocations[0].MAC = "00:16:3e:00:00:99"
	b.server.Fault(netboxtest.Fault{Method: http.MethodPatch, Times: -1, Status: 400, Header: map[string]string{"Content-Type": "application/json"}, Body: `{"detail":"no"}`})
	o = p.Run(t.Context(), "")
	require.Equal(t, worker.Partly, o.Verdict())
	require.Equal(t, 1, o.Sources()[1].Failed)
	require.Empty(t, o.Again(), "it would refuse it again")
	b.server.ClearFaults()

	// NetBox is away while it is written to.
	b.server.Fault(netboxtest.Fault{Method: http.MethodPatch, Times: -1, Status: 403})
	o = p.Run(t.Context(), "")
	require.Error(t, o.Result.Err)
	require.Equal(t, worker.Failed, o.Verdict(), "nothing was done")
	b.server.ClearFaults()
	b.server.Fault(netboxtest.Fault{Method: http.MethodPatch, Times: -1, Kind: netboxtest.Drop})
	p.Apply.Sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	o = p.Run(t.Context(), "")
	require.Equal(t, worker.Partly, o.Verdict())
	require.Equal(t, []string{"b"}, o.Again())
	b.server.ClearFaults()
}

func TestRunWithoutNetBox(t *testing.T) {
	client, err := netbox.Open(netbox.Options{URL: "http://127.0.0.1:1", Token: "t", Retries: -1})
	require.NoError(t, err)
	p := bench{client: client}.pass(t, map[string]*listing{"a": {}, "b": {}}, "a", "b")
	o := p.Run(t.Context(), "")
	require.ErrorContains(t, o.Err, "prepare NetBox: ")
	require.Equal(t, worker.Failed, o.Verdict())
	require.Equal(t, []string{"a", "b"}, o.Again())
	require.Nil(t, o.Proposal)
	require.Empty(t, o.Sources())
	require.Positive(t, o.Requests)
}

// writes lists what reached NetBox, methods and statuses.
func (b bench) writes() string {
	var list []string
	for _, r := range b.server.Requests() {
		if r.Method != http.MethodGet {
			list = append(list, r.Method)
		}
	}
	return strings.Join(list, " ")
}

// Asked to stop in the middle of a batch, a run lets it land, counts it, and
// begins no other.
func TestRunStopsSoon(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var posts atomic.Int32
	b := newHooked(t, func(r *http.Request) {
		if r.Method == http.MethodPost && posts.Add(1) == 2 {
			stop() // while NetBox has the batch and has not answered
			time.Sleep(50 * time.Millisecond)
		}
	}, nil)
	p := b.pass(t, map[string]*listing{"a": {allocations: instances(121)}}, "a")
	o := p.Run(ctx, "")
	require.NoError(t, o.Err)
	require.ErrorIs(t, o.Result.Err, context.Canceled)
	require.Equal(t, "POST POST", b.writes(), "a prefix, and the first of three batches of addresses")
	require.Equal(t, 51, o.Sources()[0].Created)
	require.Equal(t, 51, o.RowsWritten)
	require.Equal(t, 70, o.Result.Count(apply.Skipped))
	require.Equal(t, 70, o.Sources()[0].Failed)
	require.Equal(t, worker.Partly, o.Verdict())

	o = p.Run(t.Context(), "")
	require.Equal(t, worker.Applied, o.Verdict())
	require.Equal(t, 70, o.Sources()[0].Created)
}

// Asked to stop while it looks at rows before it updates them, it does not.
func TestRunStopsBeforeAWrite(t *testing.T) {
	for range 20 { // the answer may be read before or after ctx ends
		ctx, stop := context.WithCancel(t.Context())
		b := newHooked(t, nil, func(r *http.Request) {
			if strings.HasPrefix(r.URL.RawQuery, "id=") {
				stop()
			}
		})
		l := other()
		p := b.pass(t, map[string]*listing{"b": l}, "b")
		require.Equal(t, worker.Applied, p.Run(t.Context(), "").Verdict())
		l.allocations[0].MAC = "00:16:3e:00:00:99"
		b.server.ResetRequests()
		o := p.Run(ctx, "")
		require.ErrorIs(t, o.Result.Err, context.Canceled)
		require.Equal(t, 1, o.Result.Count(apply.Skipped))
		require.Empty(t, b.writes())
		stop()
	}
}

// When the grace period is over, the batch in flight is given up and said to be
// unknown; the next run finds out, and makes nothing twice.
func TestRunStopsNow(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	release := make(chan struct{})
	var posts atomic.Int32
	b := newHooked(t, nil, func(r *http.Request) { // carried out, and not answered
		if r.Method == http.MethodPost && posts.Add(1) == 2 {
			stop()
			<-release
		}
	})
	p := b.pass(t, map[string]*listing{"a": {allocations: instances(121)}}, "a")
	p.Apply.Grace = 30 * time.Millisecond
	done := make(chan worker.Outcome)
	go func() { done <- p.Run(ctx, "") }()
	var o worker.Outcome
	select {
	case o = <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("it waits for an answer that does not come")
	}
	close(release)
	require.ErrorIs(t, o.Result.Err, context.Canceled)
	require.Equal(t, []int{1, 50, 70}, []int{o.Result.Count(apply.Done), o.Result.Count(apply.Failed), o.Result.Count(apply.Skipped)})
	require.Contains(t, o.Result.Outcomes[1].Detail, "it is not known whether this was done")
	require.Equal(t, "POST POST", b.writes())

	o = p.Run(t.Context(), "")
	require.Equal(t, worker.Applied, o.Verdict())
	require.Equal(t, []int{51, 70}, []int{o.Sources()[0].InStep, o.Sources()[0].Created})
}

// Stopped while it reads, it stops reading and writes nothing.
func TestRunStopsReading(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	b := newHooked(t, func(r *http.Request) {
		if strings.Contains(r.URL.RawQuery, "cf_sync_owner") {
			stop()
		}
	}, nil)
	p := b.pass(t, map[string]*listing{"a": {allocations: instances(5)}}, "a")
	o := p.Run(ctx, "")
	require.ErrorIs(t, o.Err, context.Canceled)
	require.Equal(t, worker.Failed, o.Verdict())
	require.Nil(t, o.Result)
	require.Empty(t, b.writes())
}
