package apply_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/netbox"
	"allocsync/netbox/netboxtest"
	"allocsync/sync/apply"
	"allocsync/sync/plan"
)

const (
	addresses = "/api/ipam/ip-addresses/"
	jsonType  = "application/json"
)

func (b *bed) creates(n int) []plan.Change {
	var changes []plan.Change
	for i := range n {
		changes = append(changes, b.create(b.address(fmt.Sprintf("10.1.%d.%d/16", i/250, i%250+1))))
	}
	return changes
}

func count(requests []netboxtest.Request, method string) int {
	n := 0
	for _, r := range requests {
		if r.Method == method {
			n++
		}
	}
	return n
}

// A write whose answer was lost is looked up before anything is sent again:
// what was done is not done twice, what was not is done.
func TestLostAnswers(t *testing.T) {
	for _, v := range []netboxtest.Version{netboxtest.V37, netboxtest.V47} {
		faults := map[string]netboxtest.Fault{
			"carried out, connection cut": {Kind: netboxtest.LostAnswer},
			"carried out, 504":            {Kind: netboxtest.LostAnswer, Status: 504},
			"carried out, 500":            {Kind: netboxtest.LostAnswer, Status: 500, Header: map[string]string{"Content-Type": jsonType}, Body: `{"error":"redis","exception":"ConnectionError"}`},
			"carried out, cut off":        {Kind: netboxtest.Truncate},
			"not seen":                    {Kind: netboxtest.Drop},
			"refused by the proxy":        {Status: 502},
			"slow down":                   {Status: 429, Header: map[string]string{"Retry-After": "9"}},
		}
		for name, fault := range faults {
			t.Run(string(v)+" "+name, func(t *testing.T) {
				t.Parallel()
				b := newBed(t, v)
				rows := b.mustCreate(t, "10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24")
				changes := append(b.creates(3), b.update(rows[0], func(r *ipam.Record) { r.Attrs.UsedBy = "/x" }), b.remove(rows[1]))
				for _, method := range []string{http.MethodPost, http.MethodPatch, http.MethodDelete} {
					fault.Method, fault.Path = method, addresses
					b.embedded.Fault(fault)
				}
				var waits []time.Duration
				b.embedded.ResetRequests()
				result := apply.Run(t.Context(), b.session, approve(t, changes...), noWait(&waits))
				require.NoError(t, result.Err)
				require.Equal(t, len(changes), result.Count(apply.Done), summary(result))
				require.Len(t, b.own(t), 3+3-1, "nothing twice, nothing missing")
				require.Len(t, waits, len(waits))
				carriedOut := fault.Kind == netboxtest.LostAnswer || fault.Kind == netboxtest.Truncate
				if fault.Kind == netboxtest.Truncate { // a delete has no answer that could be cut off
					return
				}
				for _, method := range []string{http.MethodPost, http.MethodPatch, http.MethodDelete} {
					require.Equal(t, map[bool]int{true: 1, false: 2}[carriedOut], count(b.embedded.Requests(), method), method)
				}
				require.Len(t, waits, 3)
				if fault.Status == 429 {
					require.GreaterOrEqual(t, waits[0], 9*time.Second)
				}
			})
		}
	}
}

// Somebody makes a row at the place while the answer is missing: it stays.
func TestLostAnswerAndSomebodyElsesRow(t *testing.T) {
	b := newBed(t, netboxtest.V47)
	changes := b.creates(2)
	b.embedded.Fault(netboxtest.Fault{Method: http.MethodPost, Path: addresses, Kind: netboxtest.Drop})
	o := noWait(nil)
	o.Sleep = func(context.Context, time.Duration) error {
		b.embedded.MustPOST(addresses, map[string]any{"address": "10.1.0.2/16", "vrf": b.vrfID})
		return nil
	}
	result := apply.Run(t.Context(), b.session, approve(t, changes...), o)
	require.Equal(t, apply.Done, result.Outcomes[0].Status)
	require.Equal(t, apply.Kept, result.Outcomes[1].Status)
	require.Contains(t, result.Outcomes[1].Detail, "of nobody that syncs was made there meanwhile")
}

// One row on which NetBox chokes, without saying why, does not take the others
// with it.
func TestPoisonedRow(t *testing.T) {
	b := newBed(t, netboxtest.V47)
	changes := b.creates(60)
	poisoned := poison{Session: b.session, place: changes[17].After.Place}
	var waits []time.Duration
	result := apply.Run(t.Context(), &poisoned, approve(t, changes...), noWait(&waits))
	require.NoError(t, result.Err)
	require.Equal(t, 59, result.Count(apply.Done), summary(result))
	require.Equal(t, apply.Failed, result.Outcomes[17].Status)
	require.Contains(t, result.Outcomes[17].Detail, "choked")
	require.Less(t, poisoned.sent, 25)
	require.Less(t, len(waits), 15)
}

// poison is a NetBox that answers 500 to every batch with one certain row.
type poison struct {
	*netbox.Session
	place ipam.Place
	sent  int
}

type choked struct{}

func (choked) Error() string { return "choked" }
func (choked) Unsure() bool  { return true }

func (p *poison) Create(ctx context.Context, batch []ipam.Record) ([]ipam.Stored, error) {
	p.sent++
	for _, record := range batch {
		if record.Place == p.place {
			return nil, choked{}
		}
	}
	return p.Session.Create(ctx, batch)
}

// A NetBox that answers nothing but errors ends the run after a bounded number
// of tries, and what was not tried says so.
func TestNetBoxGoesAway(t *testing.T) {
	t.Run("writes fail", func(t *testing.T) {
		b := newBed(t, netboxtest.V47)
		b.embedded.Fault(netboxtest.Fault{Method: http.MethodPost, Path: addresses, Times: -1, Status: 503})
		result := apply.Run(t.Context(), b.session, approve(t, b.creates(200)...), noWait(nil))
		require.ErrorContains(t, result.Err, "20 writes in a row failed")
		require.Equal(t, 20, count(b.embedded.Requests(), http.MethodPost))
		require.Equal(t, 200, result.Count(apply.Failed)+result.Count(apply.Skipped))
		require.GreaterOrEqual(t, result.Count(apply.Skipped), 150)
		require.Empty(t, b.own(t))
	})
	t.Run("everything fails", func(t *testing.T) {
		b := newBed(t, netboxtest.V47)
		b.embedded.Fault(netboxtest.Fault{Path: addresses, Times: -1, Kind: netboxtest.Drop})
		result := apply.Run(t.Context(), b.session, approve(t, b.creates(200)...), noWait(nil))
		require.Error(t, result.Err)
		require.Equal(t, 1, count(b.embedded.Requests(), http.MethodPost), "what cannot be looked up is not sent again")
		require.Equal(t, 50, result.Count(apply.Failed))
		require.Equal(t, 150, result.Count(apply.Skipped))
		require.Contains(t, result.Outcomes[0].Detail, "it is not known whether this was done")
	})
	t.Run("before anything was sent", func(t *testing.T) {
		b := newBed(t, netboxtest.V47)
		row := b.mustCreate(t, "10.0.0.1/24")[0]
		b.embedded.Fault(netboxtest.Fault{Path: addresses, Times: -1, Status: 503})
		result := apply.Run(t.Context(), b.session, approve(t, b.remove(row)), noWait(nil))
		require.Error(t, result.Err)
		require.Equal(t, 1, result.Count(apply.Skipped))
		b.embedded.ClearFaults()
		require.Len(t, b.own(t), 1)
	})
}

// A token that may not write ends the run at once; one whose permission leaves
// out a row has that row refused.
func TestDenied(t *testing.T) {
	for _, v := range []netboxtest.Version{netboxtest.V37, netboxtest.V47} {
		t.Run(string(v), func(t *testing.T) {
			b := newBed(t, v)
			b.embedded.AddToken("reader-token", netboxtest.Permissions{View: true})
			client, err := netbox.Open(netbox.Options{URL: b.url, Token: "reader-token"})
			require.NoError(t, err)
			session, err := client.Prepare(t.Context(), netbox.Refs{VRFs: []string{b.vrf}})
			require.NoError(t, err)
			b.embedded.ResetRequests()
			result := apply.Run(t.Context(), session, approve(t, b.creates(120)...), noWait(nil))
			require.ErrorIs(t, result.Err, netbox.ErrDenied)
			require.Equal(t, 50, result.Count(apply.Refused))
			require.Equal(t, 70, result.Count(apply.Skipped))
			require.Equal(t, 1, count(b.embedded.Requests(), http.MethodPost))
		})
	}
	t.Run("a constraint that leaves rows out", func(t *testing.T) {
		b := newBed(t, netboxtest.V47)
		b.embedded.AddToken("writer-token", netboxtest.Permissions{View: true, Write: []netboxtest.Constraint{{Field: "sync_owner", Prefix: "elsewhere/"}}})
		client, err := netbox.Open(netbox.Options{URL: b.url, Token: "writer-token"})
		require.NoError(t, err)
		session, err := client.Prepare(t.Context(), netbox.Refs{VRFs: []string{b.vrf}, Inside: true, Reservable: true, Deprecate: true})
		require.NoError(t, err)
		rows := b.mustCreate(t, "10.0.0.1/24", "10.0.0.2/24")
		result := apply.Run(t.Context(), session, approve(t, append(b.creates(2),
			b.update(rows[0], func(r *ipam.Record) { r.Attrs.UsedBy = "/x" }), b.remove(rows[1]))...), noWait(nil))
		require.NoError(t, result.Err)
		require.Equal(t, 4, result.Count(apply.Refused), summary(result))
		require.Contains(t, result.Outcomes[0].Detail, "You do not have permission")
		require.Contains(t, result.Outcomes[3].Detail, "does not exist", "which is how NetBox says that it may not be seen")
	})
}

// Ctrl-C while a write is in flight: it is brought to its end and reported,
// the rest is skipped.
func TestCancel(t *testing.T) {
	t.Run("in flight", func(t *testing.T) {
		b := newBed(t, netboxtest.V47)
		ctx, cancel := context.WithCancel(t.Context())
		slow := &during{Session: b.session, what: cancel}
		result := apply.Run(ctx, slow, approve(t, b.creates(120)...), noWait(nil))
		require.ErrorIs(t, result.Err, context.Canceled)
		require.Equal(t, 50, result.Count(apply.Done))
		require.Equal(t, 70, result.Count(apply.Skipped))
		require.Len(t, b.own(t), 50)
	})
	t.Run("in flight, and the answer is lost", func(t *testing.T) {
		b := newBed(t, netboxtest.V47)
		b.embedded.Fault(netboxtest.Fault{Method: http.MethodPost, Path: addresses, Kind: netboxtest.LostAnswer})
		ctx, cancel := context.WithCancel(t.Context())
		result := apply.Run(ctx, &during{Session: b.session, what: cancel}, approve(t, b.creates(120)...), noWait(nil))
		require.ErrorIs(t, result.Err, context.Canceled)
		require.Equal(t, 50, result.Count(apply.Done), "found out although the run was cancelled")
		require.Equal(t, 70, result.Count(apply.Skipped))
	})
	t.Run("while waiting, half of a batch done", func(t *testing.T) {
		b := newBed(t, netboxtest.V47)
		b.embedded.Fault(netboxtest.Fault{Method: http.MethodPost, Path: addresses, Times: 3, Kind: netboxtest.Drop})
		ctx, cancel := context.WithCancel(t.Context())
		var waits int
		o := apply.Options{Sleep: func(ctx context.Context, _ time.Duration) error {
			if waits++; waits == 3 {
				cancel()
			}
			return ctx.Err()
		}}
		result := apply.Run(ctx, b.session, approve(t, b.creates(60)...), o)
		require.ErrorIs(t, result.Err, context.Canceled)
		require.Equal(t, 50, result.Count(apply.Failed), summary(result))
		require.Equal(t, 10, result.Count(apply.Skipped))
	})
	t.Run("before", func(t *testing.T) {
		b := newBed(t, netboxtest.V47)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		result := apply.Run(ctx, b.session, approve(t, b.creates(3)...), apply.Options{})
		require.ErrorIs(t, result.Err, context.Canceled)
		require.Equal(t, 3, result.Count(apply.Skipped))
		require.Empty(t, b.embedded.Requests())
	})
}

// during does something while the first create is in flight.
type during struct {
	*netbox.Session
	what func()
}

func (d *during) Create(ctx context.Context, batch []ipam.Record) ([]ipam.Stored, error) {
	d.what()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("the write in flight was cancelled: %w", err)
	}
	return d.Session.Create(ctx, batch)
}

// A row that goes between the last look and the write.
func TestRowsThatGoInBetween(t *testing.T) {
	for _, v := range []netboxtest.Version{netboxtest.V37, netboxtest.V47} {
		t.Run(string(v), func(t *testing.T) {
			b := newBed(t, v)
			rows := b.mustCreate(t, "10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24", "10.0.0.4/24")
			gone := &vanishing{Session: b.session, then: func(id int) { b.embedded.MustDELETE(fmt.Sprintf("%s%d/", addresses, id)) }}
			change := func(r *ipam.Record) { r.Attrs.UsedBy = "/x" }
			result := apply.Run(t.Context(), gone, approve(t, b.update(rows[0], change), b.update(rows[1], change), b.remove(rows[2]), b.remove(rows[3])), noWait(nil))
			require.NoError(t, result.Err)
			require.Equal(t, "update 10.0.0.1/24 kept: deleted by somebody since it was read\nupdate 10.0.0.2/24 done\ndelete 10.0.0.3/24 done\ndelete 10.0.0.4/24 done", summary(result))
			require.Len(t, b.own(t), 1)
		})
	}
}

// vanishing deletes the first row of each first reading, right after it.
type vanishing struct {
	*netbox.Session
	then func(id int)
	read []string
}

func (v *vanishing) Rows(ctx context.Context, kind ipam.Kind, ids []int) ([]ipam.Stored, error) {
	rows, err := v.Session.Rows(ctx, kind, ids)
	if key := fmt.Sprint(ids[0]); err == nil && len(rows) > 1 && !strings.Contains(strings.Join(v.read, " "), key) {
		v.read = append(v.read, key)
		v.then(ids[0])
	}
	return rows, err
}

// What lies between writes that fail is not added up: only writes in a row
// count against NetBox.
func TestFailuresInBetweenAreForgotten(t *testing.T) {
	b := newBed(t, netboxtest.V47)
	o := noWait(nil)
	o.Batch = 2
	every := &everyOther{Session: b.session}
	result := apply.Run(t.Context(), every, approve(t, b.creates(60)...), o)
	require.NoError(t, result.Err)
	require.Equal(t, 60, result.Count(apply.Done), summary(result))
	require.Equal(t, 60, every.sent, "each batch of two was sent twice")
}

// everyOther loses every other create.
type everyOther struct {
	*netbox.Session
	sent int
}

func (e *everyOther) Create(ctx context.Context, batch []ipam.Record) ([]ipam.Stored, error) {
	if e.sent++; e.sent%2 == 1 {
		return nil, choked{}
	}
	return e.Session.Create(ctx, batch)
}

// Once rows can no longer be read, nothing is read again for every part of a
// batch.
func TestBlindIsBlind(t *testing.T) {
	b := newBed(t, netboxtest.V47)
	b.embedded.Fault(netboxtest.Fault{Method: http.MethodPost, Path: addresses, Times: -1, Kind: netboxtest.Drop})
	b.embedded.Fault(netboxtest.Fault{Method: http.MethodGet, Path: addresses, Skip: 1, Times: -1, Status: 503})
	b.embedded.ResetRequests()
	result := apply.Run(t.Context(), b.session, approve(t, b.creates(50)...), noWait(nil))
	require.Error(t, result.Err)
	require.Equal(t, 50, result.Count(apply.Failed))
	require.Equal(t, 1+2, count(b.embedded.Requests(), http.MethodGet), "one look that worked, one that did not and was tried twice by the client")
}

// An answer with other than the rows that were sent is looked up.
func TestAnswerThatDoesNotFit(t *testing.T) {
	b := newBed(t, netboxtest.V47)
	result := apply.Run(t.Context(), &forgetful{Session: b.session}, approve(t, b.creates(4)...), noWait(nil))
	require.NoError(t, result.Err)
	require.Equal(t, 4, result.Count(apply.Done), summary(result))
	require.Len(t, b.own(t), 4)
}

// forgetful returns only the first of the rows that it made.
type forgetful struct{ *netbox.Session }

func (f *forgetful) Create(ctx context.Context, batch []ipam.Record) ([]ipam.Stored, error) {
	rows, err := f.Session.Create(ctx, batch)
	return rows[:min(1, len(rows))], err
}

// Two runs of one installation at the same time: the second one's rows are
// refused because the first has just made them. They are as wanted.
func TestTwinRun(t *testing.T) {
	onEveryNetBox(t, func(t *testing.T, b *bed) {
		changes := []plan.Change{b.create(b.address("10.0.1.1/24")), b.create(b.address("10.0.1.2/24")), b.create(b.address("10.0.1.3/24"))}
		made := b.mustCreate(t, "10.0.1.1/24", "10.0.1.3/24")
		result := apply.Run(t.Context(), b.session, approve(t, changes...), noWait(nil))
		require.NoError(t, result.Err)
		require.Equal(t, 3, result.Count(apply.Done), summary(result))
		require.Equal(t, made[0].ID, result.Outcomes[0].ID)
		require.Equal(t, "made meanwhile by another run", result.Outcomes[0].Detail)
		require.Empty(t, result.Outcomes[1].Detail)
		require.Len(t, b.own(t), 3)
	})
}
