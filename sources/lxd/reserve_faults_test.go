package lxd_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/sources"
	"allocsync/sources/lxd"
)

// fault is a way in which one answer to a change goes wrong.
type fault func(w http.ResponseWriter, r *http.Request, carryOut func()) bool

// times has a fault the first n times that a method is asked for.
func times(n int64, method string, f fault) fault {
	var asked atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, carryOut func()) bool {
		return r.Method == method && asked.Add(1) <= n && f(w, r, carryOut)
	}
}

func drop(carriedOut bool) fault {
	return func(_ http.ResponseWriter, _ *http.Request, carryOut func()) bool {
		if carriedOut {
			carryOut()
		}
		panic(http.ErrAbortHandler)
	}
}

func says(code int, body string) fault {
	return func(w http.ResponseWriter, _ *http.Request, _ func()) bool {
		answer(w, code, body)
		return true
	}
}

// cutOff carries the change out and sends half of the answer.
func cutOff(w http.ResponseWriter, _ *http.Request, carryOut func()) bool {
	carryOut()
	w.Header().Set("Content-Length", "100")
	_, _ = w.Write([]byte(`{"type":"sync","meta`))
	return true
}

// wishes are one of each kind that the written server can meet, and the method
// that makes them.
func wishes() map[string]ipam.Reservation {
	return map[string]ipam.Reservation{
		http.MethodPatch: {Addr: addr("198.51.100.77"), For: "res-free", Mark: mark},
		http.MethodPost:  {Network: "/1.0/networks/brpub", Addr: addr("203.0.113.77"), Mark: mark},
	}
}

// newDesk reads a written server.
func newDesk(tb testing.TB, edit ...func(*lxd.Options)) (*written, sources.Desk) {
	tb.Helper()
	s := newWritten(tb)
	source := mustOpen(tb, serve(tb, s), edit...)
	survey := mustSurvey(tb, source)
	s.did("")
	return s, survey.Desk
}

// TestReserveFaults: whatever becomes of one answer, the reservation is made
// once and said to be, or it is said that it may or may not be.
func TestReserveFaults(t *testing.T) {
	const locked = "Failed to begin transaction: database is locked"
	for _, test := range []struct {
		name   string
		fault  fault
		n      int64 // how many answers go wrong
		cause  error
		writes int
		made   bool
	}{
		{"no fault", nil, 0, nil, 1, true},
		{"the answer is lost, and it was carried out", drop(true), 1, nil, 1, true},
		{"the answer is lost, and it was not", drop(false), 1, nil, 2, true},
		{"the answer is cut off", cutOff, 1, nil, 1, true},
		{"all answers are lost", drop(false), 9, sources.ErrUnreachable, 2, false},
		{"trouble once", says(500, failure(500, locked)), 1, nil, 2, true},
		{"trouble all the time", says(500, failure(500, locked)), 9, sources.ErrUnreachable, 2, false},
		{"a gateway's page", says(502, "<html>bad gateway"), 9, sources.ErrUnreachable, 2, false},
		{"something else entirely", says(200, "<html>It works!"), 9, sources.ErrUnreachable, 2, false},
		{"neither sync nor async", says(200, `{"type":"","metadata":null}`), 9, sources.ErrUnreachable, 2, false},
		{"an error with status 200", says(200, `{"type":"error","error":"no","error_code":0}`), 9, sources.ErrRefused, 1, false},
		{"denied", says(403, failure(403, "not authorized")), 9, sources.ErrDenied, 1, false},
		{"denied by a 500", says(500, failure(500, `User does not have permissions for project "default"`)), 9, sources.ErrDenied, 1, false},
		{"a validation", says(500, failure(500, `Invalid devices: Device validation failed for "eth0": Device IP address "198.51.100.77" not within network "brpub" subnet`)), 9, sources.ErrRefused, 1, false},
		{"another validation", says(500, failure(500, `Failed creating forward: Forward listen address "203.0.113.77/32" overlaps with another network or NIC`)), 9, sources.ErrRefused, 1, false},
		{"trouble that begins like a validation", says(500, failure(500, "Failed creating forward: database is locked")), 9, sources.ErrUnreachable, 2, false},
		{"bad request", says(400, failure(400, "Bad request")), 9, sources.ErrRefused, 1, false},
		{"changed by somebody else twice", says(412, failure(412, "ETag doesn't match")), 2, nil, 3, true},
		{"changed by somebody else all the time", says(412, failure(412, "ETag doesn't match")), 99, sources.ErrUnreachable, 5, false},
	} {
		for method, wish := range wishes() {
			t.Run(test.name+", "+method, func(t *testing.T) {
				t.Parallel()
				s, desk := newDesk(t)
				wish, err := desk.Consider(wish)
				require.NoError(t, err)
				if test.fault != nil {
					s.fault = times(test.n, method, test.fault)
				}
				held, err := desk.Reserve(t.Context(), wish)
				if test.cause != nil {
					require.ErrorIs(t, err, test.cause)
				} else {
					require.NoError(t, err)
					require.Equal(t, mark, held.Mark)
				}
				require.Len(t, s.did(method), test.writes)
				require.Equal(t, test.made, s.holds(wish))
				if test.cause == nil { // and released, with the same fault
					release := map[string]string{http.MethodPatch: http.MethodPatch, http.MethodPost: http.MethodDelete}[method]
					if test.fault != nil {
						s.fault = times(test.n, release, test.fault)
					}
					require.NoError(t, desk.Release(t.Context(), held))
					require.Len(t, s.did(release), test.writes)
					require.False(t, s.holds(wish))
				}
			})
		}
	}
}

// holds reports whether the server has what a wish asks for.
func (s *written) holds(wish ipam.Reservation) bool {
	if wish.For == "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.forwards["networks/brpub/forwards/"+wish.Addr.String()] != nil
	}
	return s.device("res-free")["ipv4.address"] == wish.Addr.String()
}

// TestReserveUnreadable: what cannot be read is not written.
func TestReserveUnreadable(t *testing.T) {
	for name, body := range map[string]string{
		"no ETag": sync200(map[string]any{"status": "Stopped"}), "half of it": `{"type":"sync","metadata":{"status":"Sto`,
		"null": `{"type":"sync","metadata":null}`, "other types": `{"type":"sync","metadata":{"status":5,"devices":[]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			s, desk := newDesk(t)
			wish, err := desk.Consider(wishes()[http.MethodPatch])
			require.NoError(t, err)
			s.fault = times(9, http.MethodGet, func(w http.ResponseWriter, _ *http.Request, _ func()) bool {
				if name != "no ETag" {
					w.Header().Set("ETag", "x")
				}
				answer(w, 200, body)
				return true
			})
			_, err = desk.Reserve(t.Context(), wish)
			require.ErrorIs(t, err, sources.ErrUnreachable)
			require.Empty(t, s.did(http.MethodPatch))
		})
	}
}

// TestReleaseWaits: taking a device out again is an operation at the server, and
// how it ends is what counts.
func TestReleaseWaits(t *testing.T) {
	held := ipam.Reservation{
		Network: "/1.0/networks/brnat", Addr: addr("10.77.1.60"), For: "/1.0/instances/res-profile", MAC: "10:66:6a:14:29:94",
		Ref: "/1.0/instances/res-profile", Type: "instance", Mark: mark,
	}
	goesOn := `{"type":"sync","metadata":{"status_code":103}}`
	for _, test := range []struct {
		name  string
		fault fault
		cause error
	}{
		{"it is done at once", nil, nil},
		{"it goes on for a while", times(3, http.MethodGet, inOperation(says(200, goesOn))), nil},
		{"the wait is cut off once", times(1, http.MethodGet, inOperation(cutOff)), nil},
		{"the operation is not known any more, as it is over", inOperation(says(404, failure(404, "Operation not found"))), nil},
		{"it fails for good reason, and nothing was changed", notCarriedOut(`{"type":"sync","metadata":{"status_code":400,"err":"Failed update validation for device \"eth0\": no"}}`), sources.ErrRefused},
		{"it fails", notCarriedOut(`{"type":"sync","metadata":{"status_code":400,"err":"boom"}}`), sources.ErrUnreachable},
		{"it is cancelled", notCarriedOut(`{"type":"sync","metadata":{"status_code":401,"err":""}}`), sources.ErrUnreachable},
		{"it does not end", notCarriedOut(goesOn), sources.ErrUnreachable},
		{"it is none", func(w http.ResponseWriter, r *http.Request, _ func()) bool {
			return r.Method == http.MethodPut && says(202, `{"type":"async","operation":"/1.0/operations/../instances/other"}`)(w, r, nil)
		}, sources.ErrUnreachable},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, desk := newDesk(t, func(o *lxd.Options) { o.Timeout = 5 * time.Second })
			s.fault = test.fault
			err := desk.Release(t.Context(), held)
			if test.cause != nil {
				require.ErrorIs(t, err, test.cause)
				require.NotNil(t, s.device("res-profile"))
				return
			}
			require.NoError(t, err)
			require.Nil(t, s.device("res-profile"), "the device stays, which is the profile's again")
			require.Len(t, s.did(http.MethodPut), 1)
		})
	}
}

// inOperation has a fault in answers about operations.
func inOperation(f fault) fault {
	return func(w http.ResponseWriter, r *http.Request, carryOut func()) bool {
		return strings.Contains(r.URL.Path, "/operations/") && f(w, r, carryOut)
	}
}

// notCarriedOut accepts a PUT, does nothing, and says of the operation what it
// is told to say.
func notCarriedOut(outcome string) fault {
	return func(w http.ResponseWriter, r *http.Request, _ func()) bool {
		switch {
		case r.Method == http.MethodPut:
			answer(w, 202, `{"type":"async","operation":"/1.0/operations/7d3f?project=default"}`)
		case strings.Contains(r.URL.Path, "/operations/"):
			answer(w, 200, outcome)
		default:
			return false
		}
		return true
	}
}

// TestReserveRequests: what one reservation and one release cost.
func TestReserveRequests(t *testing.T) {
	s := newWritten(t)
	asked := &counter{handler: s}
	desk := mustSurvey(t, mustOpen(t, serve(t, asked))).Desk
	asked.sorted()
	for method, want := range map[string][2][]string{
		http.MethodPatch: {
			{"/1.0/instances/res-free?project=default", "/1.0/instances/res-free?project=default", "/1.0/networks/brpub/forwards/198.51.100.77?project=default", "/1.0/networks/brpub/leases?project=default", "/1.0/networks/brpub/leases?project=shared-net"},
			{"/1.0/instances/res-free?project=default", "/1.0/instances/res-free?project=default", "/1.0/profiles/default?project=default"},
		},
		http.MethodPost: {
			{"/1.0/networks/brpub/forwards/203.0.113.77?project=default", "/1.0/networks/brpub/forwards?project=default"},
			{"/1.0/networks/brpub/forwards/203.0.113.77?project=default", "/1.0/networks/brpub/forwards/203.0.113.77?project=default"},
		},
	} {
		wish, err := desk.Consider(wishes()[method])
		require.NoError(t, err)
		held, err := desk.Reserve(t.Context(), wish)
		require.NoError(t, err)
		require.Equal(t, want[0], asked.sorted())
		require.NoError(t, desk.Release(t.Context(), held))
		require.Equal(t, want[1], asked.sorted())
	}
}
