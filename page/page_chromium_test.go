package page_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"allocsync/page"

	"github.com/stretchr/testify/require"
)

// shown is a page in a browser whose contents can be changed.
type shown struct {
	*tab
	url string

	mu       sync.Mutex
	view     page.View
	approved []string
}

func newShown(tb testing.TB, v page.View) *shown {
	tb.Helper()
	s := &shown{tab: mustChromium(tb), view: v}
	o := approving(v, func(digest string) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.approved = append(s.approved, digest)
		return nil
	})
	o.View = func() page.View {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.view
	}
	server := httptest.NewServer(page.New(o))
	tb.Cleanup(server.Close)
	// The name is that of another machine to the browser: over plain HTTP, it
	// gives less than it gives to localhost.
	s.url = strings.Replace(server.URL, "127.0.0.1", "lan.test", 1)
	s.size(tb, 1280, 900)
	return s
}

func (s *shown) change(f func(*page.View)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.view)
}

func (s *shown) mustApproved(tb testing.TB, want ...string) {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Equal(tb, want, s.approved)
}

// longNames is the sample with names that have nowhere to break.
func longNames() page.View {
	v := reserving()
	for i := range v.Sources {
		v.Sources[i].Name = strings.Repeat("n", 70)
		v.Sources[i].Schedule = strings.Repeat("s", 70)
	}
	v.Installation = strings.Repeat("i", 70)
	v.Pending[0].Changes[0] = strings.Repeat("c", 300)
	v.Pending[0].Owners[0].Limit = strings.Repeat("l", 300)
	v.Plan.Held[0].UsedBy = strings.Repeat("u", 300)
	v.Plan.Held[0].Reason = strings.Repeat("r", 300)
	v.Plan.Changes[0].Fields[0].New = strings.Repeat("f", 300)
	v.Networks[0].Network = strings.Repeat("w", 90)
	v.Types[0].Type = strings.Repeat("t", 90)
	v.Passes[5].Error = strings.Repeat("e", 300)
	v.Sources[1].Reasons[0] = strings.Repeat("e", 300)
	return v
}

// Every page loads without a complaint of the browser, on any screen, in the
// light and in the dark, and none is wider than the screen.
func TestChromiumLoads(t *testing.T) {
	for name, v := range map[string]page.View{"sample": sample(), "long": longNames(), "reserving": reserving(), "empty": {}} {
		t.Run(name, func(t *testing.T) {
			s := newShown(t, v)
			for _, width := range []int{1280, 961, 768, 360} {
				s.size(t, width, 800)
				for _, scheme := range []string{"light", "dark"} {
					s.media(t, "prefers-color-scheme", scheme)
					for i, path := range paths() {
						if scheme == "dark" && i > 0 {
							break // colours are the same on all
						}
						s.open(t, s.url+path)
						var got struct {
							Scroll, Width int
							Background    string
							Outside       []string
						}
						s.eval(t, `({Scroll: Math.max(document.documentElement.scrollWidth, document.body.scrollWidth), Width: innerWidth,
							Background: getComputedStyle(document.body).backgroundColor,
							Outside: [...document.querySelectorAll("main *")].filter(e => !e.closest(".unseen, .scroll, thead") && e.getClientRects().length && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))})`, &got)
						require.LessOrEqual(t, got.Scroll, width, path)
						require.Equal(t, width, got.Width, path)
						require.Empty(t, got.Outside, "%s at %d", path, width)
						require.Equal(t, map[string]string{"light": "rgb(246, 247, 248)", "dark": "rgb(14, 18, 22)"}[scheme], got.Background)
						if path != "/nothing" && path != "/plans/"+digest && path != "/passes/900" && path != "/passes/895" {
							require.Empty(t, s.faults, path)
						}
						s.faults = nil
						s.shot(t, strings.Trim(strings.NewReplacer("/", "-", "?", "-", digest, "").Replace(fmt.Sprintf("%s%s-%d-%s", name, path, width, scheme)), "-"))
					}
				}
			}
		})
	}
}

// A browser that blocks or reports something is heard: otherwise the test
// above says nothing.
func TestChromiumComplains(t *testing.T) {
	s := newShown(t, sample())
	s.open(t, s.url+"/")
	require.Empty(t, s.faults)
	s.eval(t, `document.body.insertAdjacentHTML("beforeend", "<p style='color:red'>x</p>")`, nil)
	s.eval(t, `new Promise(done => setTimeout(done, 300))`, nil)
	require.NotEmpty(t, s.faults)
}

// The keyboard gets to everything, in order, and one sees where it is.
func TestChromiumKeyboard(t *testing.T) {
	for _, width := range []int{1280, 360} {
		s := newShown(t, sample())
		s.size(t, width, 800)
		s.open(t, s.url+"/")
		var stops []string
		for range 60 {
			s.tab.tab(t)
			var at struct {
				Name, Outline string
				Seen          bool
			}
			s.eval(t, `(() => { const e = document.activeElement, r = e.getBoundingClientRect(), c = getComputedStyle(e);
				return {Name: e.className === "skip" ? "skip" : e.id || e.getAttribute("href") || e.tagName.toLowerCase() + ":" + (e.getAttribute("aria-label") || e.textContent).trim(), Outline: c.outlineStyle,
					Seen: r.width > 1 && r.height > 1 && r.bottom > 0 && r.top < innerHeight}; })()`, &at)
			if strings.HasPrefix(at.Name, "body") {
				break
			}
			require.NotEqual(t, "none", at.Outline, at.Name)
			require.True(t, at.Seen, at.Name)
			stops = append(stops, at.Name)
		}
		order := []string{"skip", "/", "/held", "q", "token-1", "button:Approve plan 3f9a61c2", "/passes/900", "button:Stop updating"}
		last := -1
		for _, name := range order {
			i := slices.Index(stops, name)
			require.Greater(t, i, last, "%s in %q", name, stops)
			last = i
		}
		s.open(t, s.url+"/")
		s.tab.tab(t)
		s.enter(t)
		s.until(t, `document.activeElement.id === "main"`)
	}
}

// A plan is approved with the keyboard alone, with scripts and without.
func TestChromiumApprove(t *testing.T) {
	for _, scripts := range []bool{true, false} {
		t.Run(fmt.Sprintf("scripts=%t", scripts), func(t *testing.T) {
			s := newShown(t, sample())
			s.call(t, "Emulation.setScriptExecutionDisabled", map[string]any{"value": !scripts}, nil)
			s.open(t, s.url+"/")
			s.eval(t, `document.getElementById("token-1").focus()`, nil)
			s.write(t, "wrong")
			s.enter(t)
			s.until(t, `document.querySelector("[role=alert]")?.textContent.includes("not the approval token")`)
			s.mustApproved(t)
			s.shot(t, fmt.Sprintf("refused-%t", scripts))
			s.eval(t, `document.getElementById("token-1").focus()`, nil)
			s.write(t, approveToken)
			s.tab.tab(t)
			s.enter(t) // on the button
			s.until(t, `document.querySelector(".said")?.textContent.includes("was approved")`)
			s.mustApproved(t, digest)
			s.shot(t, fmt.Sprintf("approved-%t", scripts))
			var href string
			s.eval(t, `location.href`, &href)
			require.NotContains(t, href, approveToken)
		})
	}
}

// Another site cannot make a browser approve, even with the right token.
func TestChromiumForeignForm(t *testing.T) {
	s := newShown(t, sample())
	s.open(t, s.url+"/")
	var proof string
	s.eval(t, `document.querySelector("[name=form]").value`, &proof)
	foreign := strings.Replace(s.url, "lan.test", "127.0.0.1", 1)
	evil := httptest.NewServer(nil)
	t.Cleanup(evil.Close)
	for _, to := range []string{s.url, foreign} {
		s.call(t, "Page.navigate", map[string]any{"url": evil.URL}, nil)
		s.until(t, `location.href.startsWith("`+evil.URL+`")`)
		s.eval(t, fmt.Sprintf(`(() => { const f = document.createElement("form"); f.method = "post"; f.action = %q;
			for (const [k, v] of Object.entries({digest: %q, token: %q, form: %q})) { const i = document.createElement("input"); i.name = k; i.value = v; f.append(i); }
			document.body.append(f); f.submit(); })()`, to+"/approve", digest, approveToken, proof), nil)
		s.until(t, `document.querySelector("h1")?.textContent === "Not approved"`)
		s.mustApproved(t)
	}
}

// The page follows what happens, without disturbing who types, and can be
// told to stand still.
func TestChromiumLive(t *testing.T) {
	v := sample()
	v.Running = true // it looks more often then
	s := newShown(t, v)
	s.open(t, s.url+"/")
	s.eval(t, `document.getElementById("lines-1").open = false; document.querySelector("a[href='/passes/900']").focus(); window.same = true`, nil)
	s.change(func(v *page.View) { v.Sources[0].Allocations = 4321 })
	s.until(t, `document.querySelector("main").textContent.includes("4,321")`)
	s.until(t, `window.same && !document.getElementById("lines-1").open && document.activeElement.getAttribute("href") === "/passes/900"`)

	s.eval(t, `document.getElementById("token-1").focus()`, nil)
	s.write(t, "half")
	s.change(func(v *page.View) { v.Sources[0].Allocations = 8765 })
	s.eval(t, `new Promise(done => setTimeout(done, 5000))`, nil)
	s.until(t, `document.getElementById("token-1").value === "half" && !document.querySelector("main").textContent.includes("8,765")`)
	s.eval(t, `document.getElementById("token-1").value = ""; document.activeElement.blur()`, nil)
	s.until(t, `document.querySelector("main").textContent.includes("8,765")`)

	s.change(func(v *page.View) { v.Pending, v.Sources = nil, v.Sources[:2] })
	s.until(t, `document.getElementById("live").textContent === document.querySelector("h1").textContent && document.title.startsWith("1 change not done")`)

	s.eval(t, `[...document.querySelectorAll("footer button")].find(b => b.textContent === "Stop updating").click()`, nil)
	s.change(func(v *page.View) { v.Sources[0].Allocations = 1111 })
	s.eval(t, `new Promise(done => setTimeout(done, 5000))`, nil)
	s.until(t, `!document.querySelector("main").textContent.includes("1,111")`)
	require.Empty(t, s.faults)

	s.media(t, "prefers-reduced-motion", "reduce")
	s.open(t, s.url+"/held")
	s.until(t, `[...document.querySelectorAll("footer button")].some(b => b.textContent === "Keep up to date")`)
}

// To a screen reader a table stays a table where it is laid out as cards.
func TestChromiumTables(t *testing.T) {
	s := newShown(t, sample())
	s.size(t, 360, 800)
	s.open(t, s.url+"/")
	var tree struct {
		Nodes []struct {
			Ignored    bool
			Role, Name struct{ Value json.RawMessage }
		}
	}
	s.call(t, "Accessibility.getFullAXTree", nil, &tree)
	roles := map[string]int{}
	for _, n := range tree.Nodes {
		if !n.Ignored {
			roles[strings.Trim(string(n.Role.Value), `"`)]++
		}
	}
	require.Equal(t, 8, roles["table"], roles)
	require.GreaterOrEqual(t, roles["row"], 30)
	require.GreaterOrEqual(t, roles["rowheader"], 20)
	require.GreaterOrEqual(t, roles["columnheader"], 30)
	for _, landmark := range []string{"banner", "main", "contentinfo", "navigation", "search"} {
		require.Equal(t, 1, roles[landmark], landmark)
	}
}

// Where ALLOCSYNC_TEST_AXE names axe-core's script, it finds nothing.
func TestChromiumAxe(t *testing.T) {
	file := os.Getenv("ALLOCSYNC_TEST_AXE")
	if file == "" {
		t.Skip("ALLOCSYNC_TEST_AXE names no axe.min.js")
	}
	script, err := os.ReadFile(file)
	require.NoError(t, err)
	s := newShown(t, sample())
	for _, width := range []int{1280, 360} {
		for _, scheme := range []string{"light", "dark"} {
			s.size(t, width, 800)
			s.media(t, "prefers-color-scheme", scheme)
			for _, path := range paths() {
				s.open(t, s.url+path)
				s.eval(t, string(script)+"\n;true", nil)
				var faults []string
				s.eval(t, `axe.run({runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then(r => r.violations.flatMap(v => v.nodes.map(n => v.id + ": " + n.html + " " + n.failureSummary)))`, &faults)
				require.Empty(t, faults, "%s %d %s", path, width, scheme)
			}
		}
	}
}
