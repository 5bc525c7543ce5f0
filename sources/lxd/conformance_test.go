package lxd_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"allocsync/fixtures"
	"allocsync/sources"
	"allocsync/sources/lxd"
	"allocsync/sources/sourcetest"
)

func TestConformance(t *testing.T) {
	for _, scenario := range []string{"incus-6.0.4-ovn", "incus-7.0.2", "lxd-5.0.2-git20231211", "lxd-5.0.2"} {
		t.Run(scenario, func(t *testing.T) {
			t.Parallel()
			sourcetest.Run(t, sourcetest.HTTP{
				World:   fixtures.LXD(scenario),
				Nothing: fixtures.LXD("broken-nothing"),
				Refusal: http.HandlerFunc(refuse),
				Open: func(tb testing.TB, h http.Handler, patience time.Duration) sources.Source {
					return mustOpen(tb, serve(tb, h), func(o *lxd.Options) {
						o.Timeout, o.MaxBytes = patience, sourcetest.MaxBytes
					})
				},
			}.Setup(t))
		})
	}
}

// refuse is what Incus 6.0.4 answers to clients that it does not trust.
func refuse(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	fmt.Fprint(w, `{"type":"error","status":"","status_code":0,"operation":"","error_code":403,"error":"not authorized","metadata":null}`)
}
