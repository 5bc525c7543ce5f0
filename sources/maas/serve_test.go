package maas_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	maasd "allocsync/fixtures/maas"
	"allocsync/ipam"
	"allocsync/sources"
	"allocsync/sources/maas"
)

// mustOpen opens a source on a region as its administrator, with the defaults,
// edited.
func mustOpen(tb testing.TB, region *maasd.Region, url string, edit ...func(*maas.Options)) *maas.Source {
	tb.Helper()
	o := maas.Factory().Options().(*maas.Options)
	o.URL, o.APIKey = url, maas.Key(region.Key(maasd.Admin))
	for _, e := range edit {
		e(o)
	}
	s, err := maas.Open(*o)
	require.NoError(tb, err)
	return s
}

// newRegion serves a region of some version, and opens a source on it.
func newRegion(tb testing.TB, version string) (*maasd.Region, *maas.Source) {
	tb.Helper()
	region, url := maasd.Start(tb)
	region.SetVersion(version)
	return region, mustOpen(tb, region, url)
}

// The versions that the tests are about: with reserved IPs and without.
const (
	since36  = "3.6.1"
	before36 = "3.5.8"
)

// mustSurvey reads a region completely.
func mustSurvey(tb testing.TB, s sources.Reserver) sources.Survey {
	tb.Helper()
	survey, err := s.Survey(tb.Context())
	require.NoError(tb, err)
	require.Empty(tb, survey.Missing)
	return survey
}

func mustAddr(tb testing.TB, text string) netip.Addr {
	tb.Helper()
	addr, err := netip.ParseAddr(text)
	require.NoError(tb, err)
	return addr
}

// text writes allocations one to a line, for golden lists and messages.
func text(allocations []ipam.Allocation) string {
	var b strings.Builder
	for _, a := range allocations {
		fields := []string{a.Kind.String(), a.Prefix.String(), a.Type, string(a.UsedBy)}
		for _, f := range [][2]string{{"network", a.Network}, {"project", a.Project}, {"name", a.Name}, {"mac", string(a.MAC)}} {
			if f[1] != "" {
				fields = append(fields, f[0]+"="+f[1])
			}
		}
		if a.Dynamic {
			fields = append(fields, "dynamic")
		}
		b.WriteString(strings.Join(fields, " ") + "\n")
	}
	return b.String()
}

// heldText writes reservations likewise.
func heldText(held []ipam.Reservation) string {
	var b strings.Builder
	for _, h := range held {
		fields := []string{h.Addr.String(), h.Type, string(h.Ref), "on=" + strings.TrimPrefix(string(h.Network), "/MAAS/api/2.0/")}
		for _, f := range [][2]string{{"mac", string(h.MAC)}, {"for", string(h.For)}, {"name", h.Name}, {"mark", h.Mark}, {"in use", h.InUse}} {
			if f[1] != "" {
				fields = append(fields, f[0]+"="+f[1])
			}
		}
		if h.Unmarkable {
			fields = append(fields, "unmarkable")
		}
		b.WriteString(strings.Join(fields, " ") + "\n")
	}
	return b.String()
}

func mustDecode(tb testing.TB, body []byte, into any) {
	tb.Helper()
	require.NoError(tb, json.Unmarshal(body, into), "%s", body)
}

// newForm is the body of a request with a form.
func newForm(r *http.Request, fields url.Values) io.ReadCloser {
	body := fields.Encode()
	r.ContentLength = int64(len(body))
	return io.NopCloser(strings.NewReader(body))
}
