package report_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"allocsync/report"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

func page(tb testing.TB, r report.Report) string {
	tb.Helper()
	var got bytes.Buffer
	require.NoError(tb, report.HTML(&got, r))
	return got.String()
}

// The page is well formed: what is opened is closed, in order. (A parser mends
// what is not, so a tokenizer has to look.)
func TestHTMLIsBalanced(t *testing.T) {
	void := map[string]bool{"meta": true, "input": true, "rect": true}
	for _, r := range []report.Report{dryRun(), applied(), inStep(), {}, many(500), reserving(), reserved(), noReservations()} {
		var open []string
		ids := map[string]bool{}
		z := html.NewTokenizer(strings.NewReader(page(t, r)))
		for {
			kind := z.Next()
			if kind == html.ErrorToken {
				break
			}
			token := z.Token()
			for _, a := range token.Attr {
				if a.Key == "id" {
					require.False(t, ids[a.Val], "id %s is there twice", a.Val)
					ids[a.Val] = true
				}
			}
			switch {
			case kind == html.StartTagToken && (!void[token.Data] || token.Data == "rect"):
				open = append(open, token.Data)
			case kind == html.EndTagToken:
				require.NotEmpty(t, open)
				require.Equal(t, open[len(open)-1], token.Data)
				open = open[:len(open)-1]
			}
		}
		require.Empty(t, open)
	}
}

// Links inside the page lead somewhere, and rows to NetBox.
func TestHTMLLinks(t *testing.T) {
	for _, r := range []report.Report{noReservations(), reserved(), dryRun()} {
		text := page(t, r)
		for _, m := range regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(text, -1) {
			require.True(t, strings.Contains(text, `id="`+m[1]+`"`), m[1])
		}
	}
	text := page(t, dryRun())
	require.True(t, strings.Contains(page(t, reserved()), `<a href="https://netbox.example.org/ipam/ip-addresses/311/" rel="noreferrer">#311</a>`), "the row that asks")
	require.True(t, strings.Contains(text, `<a href="https://netbox.example.org/ipam/ip-addresses/41/" rel="noreferrer">#41</a>`))

	r := dryRun()
	r.NetBox.URL = "javascript:alert(1)//"
	require.False(t, strings.Contains(page(t, r), `href="javascript`))
}

// Nothing is loaded, and the policy lets through exactly what is inline.
func TestHTMLStandsAlone(t *testing.T) {
	text := page(t, dryRun())
	requireInertHTML(t, text)
	require.False(t, regexp.MustCompile(`(?i)url\(|@import|<link|<img|<iframe|xlink`).MatchString(text))
	require.False(t, strings.Contains(text, "ZgotmplZ"), "html/template refused a value")
	policy := html.UnescapeString(regexp.MustCompile(`Security-Policy" content="([^"]*)"`).FindStringSubmatch(text)[1])
	for _, tag := range []string{"style", "script"} {
		inline := regexp.MustCompile(`(?s)<`+tag+`>(.*?)</`+tag+`>`).FindAllStringSubmatch(text, -1)
		require.Len(t, inline, 1)
		sum := sha256.Sum256([]byte(inline[0][1]))
		require.Contains(t, policy, tag+"-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	}
	require.Contains(t, policy, "default-src 'none'")
}

// Long groups are folded, and all their rows are there.
func TestHTMLFolds(t *testing.T) {
	text := page(t, many(1000))
	require.Equal(t, 1000, strings.Count(text, `class="a"`)-5, "five rows are held")
	require.True(t, strings.Contains(text, `<details class="rows">`))
	require.Less(t, len(page(t, many(10_000))), 12<<20)
}

func TestHTMLDifference(t *testing.T) {
	text := page(t, dryRun())
	require.True(t, strings.Contains(text, "db-<del>old</del>.shop.example.org"))
	require.True(t, strings.Contains(text, "db-<ins>1</ins>.shop.example.org"))
}

// Text can be read in the light and in the dark: WCAG 2.2 asks for a contrast
// of 4.5 between it and what is behind it.
func TestContrast(t *testing.T) {
	text := page(t, report.Report{})
	light, rest, _ := strings.Cut(text, "prefers-color-scheme: dark")
	dark, _, _ := strings.Cut(rest, "* { box-sizing")
	for name, css := range map[string]string{"light": light, "dark": dark} {
		colors := map[string]float64{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(css, -1) {
			colors[m[1]] = luminance(t, m[2])
		}
		for pair := range strings.FieldsSeq("ink/page ink/paper ink/faint soft/page soft/paper soft/faint link/page link/paper " +
			"create/page create/paper delete/page delete/paper create/create-tint update/update-tint delete/delete-tint held/held-tint") {
			front, back, _ := strings.Cut(pair, "/")
			require.Contains(t, colors, front)
			require.Contains(t, colors, back)
			high, low := max(colors[front], colors[back]), min(colors[front], colors[back])
			require.GreaterOrEqual(t, (high+.05)/(low+.05), 4.5, "%s: %s", name, pair)
		}
	}
}

// luminance is that of WCAG 2.2.
func luminance(tb testing.TB, color string) float64 {
	tb.Helper()
	n, err := strconv.ParseUint(color[1:], 16, 32)
	require.NoError(tb, err)
	part := func(shift int, weight float64) float64 {
		c := float64(n>>shift&255) / 255
		if c <= 0.04045 {
			return weight * c / 12.92
		}
		return weight * math.Pow((c+0.055)/1.055, 2.4)
	}
	return part(16, .2126) + part(8, .7152) + part(0, .0722)
}
