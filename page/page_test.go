package page_test

import (
	"flag"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"allocsync/page"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

var update = flag.Bool("update", false, "rewrite testdata")

// proofs are what is different in each process.
var proofs = regexp.MustCompile(`name="form" value="[^"]*"`)

func TestGolden(t *testing.T) {
	for name, path := range map[string]string{"overview": "/", "plan": "/plans/" + digest, "pass": "/passes/900", "search": "/search?q=10.40", "networks": "/networks",
		"reserving": "/", "reserving-pass": "/passes/900"} {
		t.Run(name, func(t *testing.T) {
			v := sample()
			if strings.HasPrefix(name, "reserving") {
				v = reserving()
			}
			answer, body := get(t, page.New(approving(v, accept)), path)
			require.Equal(t, http.StatusOK, answer.StatusCode)
			body = proofs.ReplaceAllString(body, `name="form" value="PROOF"`)
			file := filepath.Join("testdata", name+".html")
			if *update {
				require.NoError(t, os.MkdirAll("testdata", 0o755))
				require.NoError(t, os.WriteFile(file, []byte(body), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(want), body)
		})
	}
}

// accept approves everything.
func accept(string) error { return nil }

// What needs somebody stands first, and in words.
func TestHeadline(t *testing.T) {
	calm := func() page.View {
		v := sample()
		v.Pending, v.Plan.Held, v.Plan.Changes, v.Notices = nil, nil, nil, nil
		v.Passes = v.Passes[3:]
		v.Sources = v.Sources[:1]
		return v
	}
	for want, change := range map[string]func(*page.View){
		"In step":                  func(*page.View) {},
		"3 changes not done":       func(v *page.View) { v.Plan.Held, v.Plan.Changes = nil, reserving().Plan.Changes[:3] },
		"In step, 3 held":          func(v *page.View) { v.Plan.Held = sampleHeld() },
		"1 change not done":        func(v *page.View) { v.Plan.Held, v.Plan.Changes = sampleHeld(), sampleChanges() },
		"A source answers in part": func(v *page.View) { v.Sources = sample().Sources[:2] },
		"A source does not answer": func(v *page.View) { v.Sources = sample().Sources },
		"The last pass failed":     func(v *page.View) { v.Passes = samplePasses()[5:] },
		"A pass is overdue":        func(v *page.View) { v.Next = v.Now.Add(-3 * 60e9) },
		"Needs a person":           func(v *page.View) { v.Pending, v.Sources = sample().Pending, sample().Sources },
		"Nothing read yet":         func(v *page.View) { *v = page.View{} },
		"2 sources answer in part": func(v *page.View) { v.Sources = []page.Source{sample().Sources[1], sample().Sources[1]} },
		"2 sources do not answer":  func(v *page.View) { v.Sources = []page.Source{sample().Sources[2], sample().Sources[2]} },
		"In step, 10,000 held":     func(v *page.View) { v.Plan.Held = big().Plan.Held },
	} {
		t.Run(want, func(t *testing.T) {
			v := calm()
			change(&v)
			_, body := get(t, page.New(options(v)), "/")
			require.Equal(t, want, text(one(t, parsed(t, body), "h1")))
		})
	}
}

// What is asked of a source and not held stands at the source, and what cannot
// be done with what is, in the words of that direction.
func TestReservations(t *testing.T) {
	h := page.New(approving(reserving(), accept))
	_, body := get(t, h, "/")
	root := parsed(t, body)
	for _, want := range []string{
		"reservations: 12 asked for, 1,100 ours", "reservations: 13 asked for, 3 not held, 1,101 ours", "2 reserved, 1 released",
		"releasehwaddr 52:54:00:00:00:0a", "web9 runs", "taken at the source by somebody else 1",
		"+ reserve Row #311 in NetBox", "± change", "− release", "asked for at another address in NetBox", "the source refuses",
		"Nothing is reserved there, and nothing released.", "Nothing is released there.", "release 10.40.0.96/24 for /1.0/instances/web4 at dc1/lab",
	} {
		require.Contains(t, text(root), want)
	}
	require.Equal(t, "Needs a person", text(one(t, root, "h1")))
	_, body = get(t, h, "/passes/900")
	require.Contains(t, body, `complete</span><p><small>4 reserved, 2 released</small></p>`)
	_, body = get(t, page.New(approving(sample(), accept)), "/")
	require.NotRegexp(t, `(?i)reservation|reserved|release`, body, "no source holds any")
}

// At the first start there is nothing, and the page says so.
func TestEmpty(t *testing.T) {
	_, body := get(t, page.New(options(page.View{})), "/")
	requireValid(t, body)
	for _, want := range []string{"The first pass has not begun.", "No source is configured.", "Nothing is held.", "There was none yet.", "No source has listed anything yet."} {
		require.Contains(t, body, want)
	}
	for _, path := range []string{"/held?from=5", "/changes", "/passes", "/networks?from=-1", "/passes/1", "/plans/x", "/plans/"} {
		answer, body := get(t, page.New(options(page.View{})), path)
		require.Contains(t, []int{200, 404}, answer.StatusCode, path)
		requireValid(t, body)
	}
	v := page.View{Running: true}
	_, body = get(t, page.New(options(v)), "/")
	require.Contains(t, body, "The first pass is running.")
}

// However much there is, the page stays small and says how much more.
func TestBounded(t *testing.T) {
	h := page.New(approving(big(), accept))
	for path, wants := range map[string][]string{
		"/":                                 {"and 9,950 more", "and 4,985 more", "and 988 more", "and 200 more", "and 290 more", "and 288 more"},
		"/held":                             {"1 to 100 of 10,000", "/held?from=100"},
		"/changes?from=9950":                {"9,901 to 10,000 of 10,000", "/changes?from=9800"},
		"/networks":                         {"1 to 100 of 5,000", "/networks?from=100", "and 200 more"},
		"/networks?from=123456":             {"4,901 to 5,000 of 5,000"},
		"/networks?from=x":                  {"1 to 100 of 5,000"},
		"/passes?from=100":                  {"101 to 200 of 1,000"},
		"/plans/" + strings.Repeat("0", 32): {"and 9,500 more"},
	} {
		answer, body := get(t, h, path)
		require.Equal(t, http.StatusOK, answer.StatusCode, path)
		require.Less(t, len(body), 2<<20, path)
		requireValid(t, body)
		for _, want := range wants {
			require.True(t, strings.Contains(body, want), "%s: %s", path, want)
		}
	}
}

// hostile are texts that some reader would obey.
var hostile = []string{
	"\x1b[31mred", "line\nbreak", "\r\n", "tab\t", "nul\x00", "\x7f", "\u009b", "bi\u202edi\u2066", "zero\u200bwidth", "para\u2029", "\ufeff", "bad \xff\xfe", "\U000e0041tag",
	"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, `' onfocus='alert(1)`, "</title></style></script><b>", "{{.Digest}}", "javascript:alert(1)", "&lt;", "<!--", "]]>",
	"https://evil.example/\"x", "../../x?y#z", "", " ", "東京", "e\u0301", strings.Repeat("\u202e<", 5000),
}

func FuzzHostile(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v := reserving()
		taint(reflect.ValueOf(&v).Elem(), s)
		hits := sampleHits()
		taint(reflect.ValueOf(&hits).Elem(), s)
		o := approving(v, accept)
		o.Search = func(string) []page.Hit { return hits }
		h := page.New(o)
		for _, path := range paths() {
			_, body := get(t, h, path)
			requireInert(t, body)
			requireValid(t, body)
		}
		r, err := http.NewRequest(http.MethodGet, "http://x/search", nil)
		require.NoError(t, err)
		q := r.URL.Query()
		q.Set("q", s)
		r.URL.RawQuery = q.Encode()
		_, body := do(t, h, r)
		requireInert(t, body)
		requireValid(t, body)
	})
}

// taint puts s into every text of a value, whatever fields it will have.
func taint(v reflect.Value, s string) {
	switch v.Kind() {
	case reflect.String:
		if v.CanSet() {
			v.SetString(s)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[page.View]() || v.Type().PkgPath() == reflect.TypeFor[page.View]().PkgPath() {
			for i := range v.NumField() {
				taint(v.Field(i), s)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			taint(v.Index(i), s)
		}
	}
}

// requireInert: foreign text brings no element, no attribute and no hidden
// character with it.
func requireInert(tb testing.TB, body string) {
	tb.Helper()
	require.True(tb, utf8.ValidString(body))
	require.False(tb, strings.Contains(body, "ZgotmplZ"), "html/template refused a value")
	allowed := map[string]bool{}
	for tag := range strings.FieldsSeq("html head meta title link script body a header div span b nav ul ol li form label input button main h1 h2 h3 p dl dt dd section article code table caption thead tbody tr th td time small strong details summary svg rect polyline del ins footer") {
		allowed[tag] = true
	}
	z := html.NewTokenizer(strings.NewReader(body))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return
		case html.CommentToken:
			require.Fail(tb, "comment")
		case html.TextToken:
			requireVisible(tb, z.Token().Data)
		case html.StartTagToken, html.SelfClosingTagToken:
			token := z.Token()
			require.True(tb, allowed[token.Data], "element %s", token.Data)
			for _, a := range token.Attr {
				require.NotRegexp(tb, `^on|^style$|^srcset$|^formaction$|^poster$|^background$`, a.Key, token.Data)
				switch a.Key {
				case "src", "action":
					require.Regexp(tb, `^/(assets/page\.js|approve|search)$`, a.Val)
				case "href":
					require.Regexp(tb, `^($|#[a-z0-9-]+$|/|https?://)`, a.Val)
					require.NotRegexp(tb, `^//`, a.Val)
				case "value": // the digest goes back as it came
				default:
					requireVisible(tb, a.Val)
				}
			}
		}
	}
}

func requireVisible(tb testing.TB, s string) {
	tb.Helper()
	for i, r := range s {
		if r != '\n' && (!unicode.IsGraphic(r) || r == '\u2028' || r == '\u2029') {
			require.Fail(tb, "hidden character", "%U in %q", r, s[max(0, i-40):min(len(s), i+40)])
		}
	}
}

// Hidden characters are shown as what they are.
func TestHostileIsSeen(t *testing.T) {
	v := sample()
	v.Sources[0].Name = "a\u202eb\x1b[0m<script>"
	_, body := get(t, page.New(options(v)), "/")
	require.Contains(t, body, `a\u202eb\x1b[0m&lt;script&gt;`)
	v.Sources[0].Name = strings.Repeat("x", 401)
	_, body = get(t, page.New(options(v)), "/")
	require.Contains(t, body, strings.Repeat("x", 400)+"… (1 more bytes)")
}

// Only an address of the web becomes a link, and no password is in it.
func TestNetBoxLink(t *testing.T) {
	for url, want := range map[string]string{
		"https://netbox.example.org/":        `href="https://netbox.example.org/ipam/prefixes/41/"`,
		"http://[2001:db8::1]:8000/sub":      `href="http://[2001:db8::1]:8000/sub/ipam/prefixes/41/"`,
		"https://u:secret@n.example.org?q=1": `href="https://n.example.org/ipam/prefixes/41/"`,
		"javascript:alert(1)//":              "",
		"javascript://n.example.org/%0aa(1)": "",
		"ftp://n.example.org":                "",
		"":                                   "",
	} {
		v := sample()
		v.NetBoxURL = url
		_, body := get(t, page.New(options(v)), "/")
		require.NotContains(t, body, "secret")
		require.NotContains(t, body, "ZgotmplZ")
		if want == "" {
			require.NotRegexp(t, `href="[^"/#]`, body)
			continue
		}
		require.Contains(t, body, want)
	}
}

func TestHeadersAndAssets(t *testing.T) {
	h := page.New(options(sample()))
	for _, path := range append(paths(), "/assets/page.css", "/assets/nothing") {
		answer, _ := get(t, h, path)
		policy := answer.Header.Get("Content-Security-Policy")
		require.Contains(t, policy, "default-src 'none'", path)
		require.Contains(t, policy, "frame-ancestors 'none'")
		require.NotContains(t, policy, "unsafe")
		require.Equal(t, "DENY", answer.Header.Get("X-Frame-Options"))
		require.Equal(t, "nosniff", answer.Header.Get("X-Content-Type-Options"))
		require.Equal(t, "same-origin", answer.Header.Get("Referrer-Policy"))
	}
	answer, body := get(t, h, "/assets/page.css")
	require.Equal(t, "text/css; charset=utf-8", answer.Header.Get("Content-Type"))
	require.Contains(t, body, "prefers-color-scheme: dark")
	tag := answer.Header.Get("ETag")
	require.NotEmpty(t, tag)
	answer, body = get(t, h, "/assets/page.css", func(r *http.Request) { r.Header.Set("If-None-Match", tag) })
	require.Equal(t, http.StatusNotModified, answer.StatusCode)
	require.Empty(t, body)
	answer, _ = get(t, h, "/")
	require.Equal(t, "no-store", answer.Header.Get("Cache-Control"))
	require.Empty(t, answer.Header.Values("Set-Cookie"), "no form, no cookie")
}

func TestSearch(t *testing.T) {
	var asked []string
	o := options(sample())
	o.Search = func(q string) []page.Hit {
		asked = append(asked, q)
		return make([]page.Hit, len(asked)*150)
	}
	h := page.New(o)
	_, body := get(t, h, "/search?q=+10.40.0.54+")
	require.Equal(t, []string{"10.40.0.54"}, asked)
	require.Contains(t, body, "150 hits")
	_, body = get(t, h, "/search?q=web")
	require.Contains(t, body, "Showing the first 200, there are more.")
	require.Equal(t, 200, strings.Count(body, "<tr><th scope=\"row\""))
	_, body = get(t, h, "/search?q=")
	require.Contains(t, body, "Give an address")
	_, body = get(t, h, "/search?q="+strings.Repeat("x", 501))
	require.Contains(t, body, "too long")
	require.Len(t, asked, 2)

	o.Search = func(string) []page.Hit { return nil }
	_, body = get(t, page.New(o), "/search?q=x")
	require.Contains(t, body, "Nothing was found.")
	o.Search = nil
	answer, _ := get(t, page.New(o), "/search?q=x")
	require.Equal(t, http.StatusNotFound, answer.StatusCode)
	_, body = get(t, page.New(o), "/")
	require.NotContains(t, body, `role="search"`)
}

// Text can be read in the light and in the dark: WCAG 2.2 asks for a contrast
// of 4.5 between text and what is behind it, and of 3 for the rims of fields
// and what a chart shows.
func TestContrast(t *testing.T) {
	css, err := os.ReadFile("page.css")
	require.NoError(t, err)
	light, rest, _ := strings.Cut(string(css), "prefers-color-scheme: dark")
	dark, _, _ := strings.Cut(rest, "* { box-sizing")
	for name, part := range map[string]string{"light": light, "dark": dark} {
		colors := map[string]float64{}
		for _, m := range regexp.MustCompile(`--([a-z0-9-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(part, -1) {
			colors[m[1]] = luminance(t, m[2])
		}
		ratio := func(pair string) float64 {
			front, back, _ := strings.Cut(pair, "/")
			require.Contains(t, colors, front)
			require.Contains(t, colors, back)
			return (max(colors[front], colors[back]) + .05) / (min(colors[front], colors[back]) + .05)
		}
		for pair := range strings.FieldsSeq("ink/page ink/paper ink/faint soft/page soft/paper soft/faint link/page link/paper paper/ink held/page " +
			"create/page create/paper delete/page delete/paper create/create-tint update/update-tint delete/delete-tint held/held-tint") {
			require.GreaterOrEqual(t, ratio(pair), 4.5, "%s: %s", name, pair)
		}
		for pair := range strings.FieldsSeq("soft/paper link/paper link/page delete-bar/paper") {
			require.GreaterOrEqual(t, ratio(pair), 3.0, "%s: %s", name, pair)
		}
	}
	report, err := os.ReadFile("../report/page.css")
	require.NoError(t, err)
	reportLight, reportRest, _ := strings.Cut(string(report), "prefers-color-scheme: dark")
	reportDark, _, _ := strings.Cut(reportRest, "* { box-sizing")
	palette := regexp.MustCompile(`--[a-z0-9-]+: [^;]+;`)
	require.Equal(t, palette.FindAllString(reportLight+reportDark, 200), palette.FindAllString(light+dark, 200), "the page and the reports look alike")
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
