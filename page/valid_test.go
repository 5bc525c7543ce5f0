package page_test

import (
	"slices"
	"strings"
	"testing"

	"allocsync/page"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

// Every page is well formed and can be read without seeing it.
func TestValid(t *testing.T) {
	for _, v := range []page.View{sample(), reserving()} {
		h := page.New(approving(v, accept))
		for _, path := range paths() {
			_, body := get(t, h, path)
			requireInert(t, body)
			requireValid(t, body)
		}
	}
}

func parsed(tb testing.TB, body string) *html.Node {
	tb.Helper()
	root, err := html.Parse(strings.NewReader(body))
	require.NoError(tb, err)
	return root
}

// all lists the elements of a name, in order.
func all(root *html.Node, name string) []*html.Node {
	var list []*html.Node
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && n.Data == name {
			list = append(list, n)
		}
	}
	return list
}

func one(tb testing.TB, root *html.Node, name string) *html.Node {
	tb.Helper()
	list := all(root, name)
	require.Len(tb, list, 1, name)
	return list[0]
}

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, key string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == key })
}

func requireValid(tb testing.TB, body string) {
	tb.Helper()
	requireBalanced(tb, body)
	root := parsed(tb, body)
	require.Equal(tb, "en", attr(one(tb, root, "html"), "lang"))
	one(tb, root, "main")
	require.NotEmpty(tb, text(one(tb, one(tb, root, "head"), "title")))
	ids := requireUniqueIDs(tb, root)
	requireHeadings(tb, root)
	requireLabels(tb, root)
	requireTables(tb, root)
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		require.False(tb, has(n, "style"), "inline style on %s", n.Data)
		for _, key := range []string{"aria-labelledby", "aria-describedby"} {
			for id := range strings.FieldsSeq(attr(n, key)) {
				require.Contains(tb, ids, id, key)
			}
		}
		switch n.Data {
		case "a":
			if to, ok := strings.CutPrefix(attr(n, "href"), "#"); ok {
				require.Contains(tb, ids, to)
			}
			require.NotEmpty(tb, text(n), "a link without words")
		case "script":
			require.NotEmpty(tb, attr(n, "src"))
			require.Empty(tb, text(n), "inline script")
		case "svg":
			require.True(tb, attr(n, "aria-hidden") == "true" || attr(n, "role") == "img" && attr(n, "aria-label") != "", "an image without words")
		case "section":
			require.True(tb, has(n, "aria-labelledby") || has(n, "aria-label"))
		case "nav":
			require.NotEmpty(tb, attr(n, "aria-label"))
		}
		if attr(n, "tabindex") == "0" {
			require.Equal(tb, "region", attr(n, "role"))
			require.NotEmpty(tb, attr(n, "aria-label"))
		}
	}
}

// requireBalanced: what is opened is closed, in order. (A parser mends what is
// not, so a tokenizer has to look.)
func requireBalanced(tb testing.TB, body string) {
	tb.Helper()
	require.True(tb, strings.HasPrefix(body, "<!doctype html>"))
	void := []string{"meta", "link", "input"}
	var open []string
	z := html.NewTokenizer(strings.NewReader(body))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		token := z.Token()
		switch {
		case kind == html.StartTagToken && !slices.Contains(void, token.Data):
			open = append(open, token.Data)
		case kind == html.EndTagToken:
			require.NotEmpty(tb, open)
			require.Equal(tb, open[len(open)-1], token.Data)
			open = open[:len(open)-1]
		}
	}
	require.Empty(tb, open)
}

func requireUniqueIDs(tb testing.TB, root *html.Node) map[string]bool {
	tb.Helper()
	ids := map[string]bool{}
	for n := range root.Descendants() {
		if id := attr(n, "id"); id != "" {
			require.False(tb, ids[id], "id %s is there twice", id)
			ids[id] = true
		}
	}
	return ids
}

// requireHeadings: one h1, and no level left out on the way down.
func requireHeadings(tb testing.TB, root *html.Node) {
	tb.Helper()
	one(tb, root, "h1")
	level := byte('0')
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && len(n.Data) == 2 && n.Data[0] == 'h' && n.Data[1] >= '1' && n.Data[1] <= '6' {
			require.LessOrEqual(tb, n.Data[1], level+1, "heading %q", text(n))
			require.NotEmpty(tb, text(n))
			level = n.Data[1]
		}
	}
}

func requireLabels(tb testing.TB, root *html.Node) {
	tb.Helper()
	labels := map[string]bool{}
	for _, l := range all(root, "label") {
		require.NotEmpty(tb, text(l))
		labels[attr(l, "for")] = true
	}
	for _, i := range all(root, "input") {
		if attr(i, "type") != "hidden" {
			require.True(tb, labels[attr(i, "id")], "field %s has no label", attr(i, "name"))
		}
	}
	for _, b := range all(root, "button") {
		require.NotEmpty(tb, text(b))
	}
}

// requireTables: each has a caption, headings with a scope, and as many cells
// in a row as there are headings.
func requireTables(tb testing.TB, root *html.Node) {
	tb.Helper()
	for _, table := range all(root, "table") {
		require.NotEmpty(tb, text(one(tb, table, "caption")))
		for _, th := range all(table, "th") {
			require.Contains(tb, []string{"col", "row"}, attr(th, "scope"))
		}
		heads := all(one(tb, table, "thead"), "th")
		for _, body := range all(table, "tbody") {
			for _, tr := range all(body, "tr") {
				cells := append(all(tr, "th"), all(tr, "td")...)
				if len(cells) == 1 {
					require.NotEmpty(tb, attr(cells[0], "colspan"))
					continue
				}
				require.Len(tb, cells, len(heads), "%s", text(tr))
				for _, td := range all(tr, "td") {
					if label := attr(td, "data-label"); label != "" {
						require.True(tb, slices.ContainsFunc(heads, func(h *html.Node) bool { return text(h) == label }), label)
					}
				}
			}
		}
	}
}
