package sourcetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
	"allocsync/sources"
)

// toy is a source of two pages of addresses, right unless told otherwise: the
// suite has to pass it, and to catch each way of being wrong.
type toy struct {
	url      string
	patience time.Duration
	wrong    string
}

func (s toy) Snapshot(ctx context.Context) (sources.Snapshot, error) {
	cause := errors.New("out of time")
	if s.wrong != "waits for ever" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.patience, cause)
		defer cancel()
	}
	if s.wrong == "ignores the context" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), soon+slack+time.Second)
		defer cancel()
	}
	var got sources.Snapshot
	for _, page := range []string{"/1", "/2"} {
		list, err := s.page(ctx, page)
		if err != nil && errors.Is(context.Cause(ctx), cause) {
			err = fmt.Errorf("%w: %w", sources.ErrUnreachable, cause)
		}
		switch {
		case err == nil:
		case s.wrong == "drops a page silently" && page == "/2":
			continue
		case s.wrong == "returns a part with the error":
			return got, err
		case s.wrong == "names no reason" && page == "/2":
			got.Missing = append(got.Missing, sources.Missing{Part: "page"})
			continue
		default:
			return sources.Snapshot{}, err
		}
		for _, text := range list {
			got.Allocations = append(got.Allocations, ipam.Allocation{
				UsedBy: ipam.UsedBy("host/" + text), Kind: ipam.Address, Type: "fixed",
				Prefix: ipam.HostPrefix(must(ipam.ParseAddr(text))),
			})
		}
	}
	if s.wrong == "takes empty for an error" && len(got.Allocations) == 0 {
		return sources.Snapshot{}, errors.New("no address at all")
	}
	if s.wrong != "does not sort" {
		slices.SortFunc(got.Allocations, ipam.Allocation.Compare)
	}
	return got, nil
}

func must(addr netip.Addr, err error) netip.Addr {
	if err != nil {
		panic(err)
	}
	return addr
}

func (s toy) page(ctx context.Context, page string) ([]string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+page, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, s.unreachable(ctx, err)
	}
	defer func() { _ = answer.Body.Close() }()
	limit := int64(MaxBytes)
	if s.wrong == "has no limit" {
		limit = 1 << 40
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, limit))
	switch {
	case err != nil && s.wrong == "takes a cut answer for whole":
		return nil, nil
	case err != nil:
		return nil, s.unreachable(ctx, err)
	case answer.StatusCode == http.StatusUnauthorized && s.wrong != "knows no denial":
		return nil, sources.ErrDenied
	case answer.StatusCode != http.StatusOK:
		return nil, s.unreachable(ctx, errors.New(answer.Status))
	}
	var list []string
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, s.unreachable(ctx, err)
	}
	return list, nil
}

func (s toy) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", sources.ErrUnreachable, err)
}

func toySetup(tb testing.TB, wrong string) Setup {
	tb.Helper()
	pages := func(first, second string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, map[string]string{"/1": first, "/2": second}[r.URL.Path])
		})
	}
	return HTTP{
		World:   pages(`["10.1.2.3","10.1.2.4","10.1.2.5"]`, `["fd00::1","10.1.2.1"]`),
		Nothing: pages(`[]`, `[]`),
		Open: func(tb testing.TB, h http.Handler, patience time.Duration) sources.Source {
			server := httptest.NewServer(h)
			tb.Cleanup(server.CloseClientConnections)
			return toy{url: server.URL, patience: patience, wrong: wrong}
		},
	}.Setup(tb)
}

func TestSuitePasses(t *testing.T) { Run(t, toySetup(t, "")) }

func TestSuiteCatches(t *testing.T) {
	for wrong, promise := range map[string]string{
		"drops a page silently":         "one answer failing: never a silent part",
		"returns a part with the error": "one answer garbled: never a silent part",
		"names no reason":               "one answer failing: never a silent part",
		"takes a cut answer for whole":  "one answer cut off: never a silent part",
		"takes empty for an error":      "an empty system is an empty list, and complete",
		"does not sort":                 "lists both families, sorted, each once, every fact possible",
		"knows no denial":               "every answer denied: an error of the right cause",
		"waits for ever":                "every answer hanging: an error of the right cause",
		"ignores the context":           "returns at once when its context is cancelled",
		"has no limit":                  "every answer endless: an error of the right cause",
	} {
		t.Run(wrong, func(t *testing.T) {
			t.Parallel()
			i := slices.IndexFunc(contract(), func(c clause) bool { return c.name == promise })
			require.GreaterOrEqual(t, i, 0)
			require.True(t, fails(t, func(tb testing.TB) { contract()[i].test(tb, toySetup(tb, wrong)) }))
		})
	}
}

// fails runs a test that ends with the outer one at the latest, and reports
// whether it failed.
func fails(t *testing.T, test func(testing.TB)) bool {
	ctx, cancel := context.WithTimeout(t.Context(), impatient+slack+time.Second)
	defer cancel()
	s := &spy{TB: t, ctx: ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for _, f := range slices.Backward(s.cleanups) {
				f()
			}
		}()
		test(s)
	}()
	<-done
	return s.failed
}

// spy takes the failures of a test that is expected to fail.
type spy struct {
	testing.TB
	ctx      context.Context
	failed   bool
	cleanups []func()
}

func (s *spy) Context() context.Context { return s.ctx }
func (s *spy) Cleanup(f func())         { s.cleanups = append(s.cleanups, f) }
func (s *spy) Errorf(string, ...any)    { s.failed = true }
func (s *spy) FailNow()                 { s.failed = true; runtime.Goexit() }

func TestFaultNames(t *testing.T) {
	var names []string
	for f := None; f <= Hanging; f++ {
		names = append(names, f.String())
	}
	require.Equal(t, "none shuffled empty denied failing garbled cut off dropped endless hanging", strings.Join(names, " "))
	require.Equal(t, "fault(99)", Fault(99).String())
}
