package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"allocsync/mapping"
	"allocsync/report"
	"allocsync/sync/plan"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

// hostile are texts that some reader of some format would obey.
var hostile = []string{
	"\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\u009b31m", "line\nbreak", "a\r\nb", "tab\there", "nul\x00", "\x7f",
	"bi\u202edi\u2066", "zero\u200bwidth", "para\u2029graph", "\ufeff", "not utf-8 \xff\xfe", "\U000e0041tag",
	"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "</style></script><b>", "{{.Digest}}", "javascript:alert(1)", "&lt;", "<!--", "]]>",
	"a|b", `a\|b`, "`code`", "``` \n# Heading", "**bold**", "[link](https://evil.example)", "@everyone #1", "https://evil.example", "<details>", `\`, "~~~",
	"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "|cmd",
	"", " ", "–", "東京", "e\u0301",
}

// taint puts s into every text of a value, whatever fields it will have.
func taint(v reflect.Value, s string) {
	switch v.Kind() {
	case reflect.String:
		if v.CanSet() {
			v.SetString(s)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				taint(v.Field(i), s)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			taint(v.Index(i), s)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			taint(v.Elem(), s)
		}
	}
}

func tainted(s string) report.Report {
	r := reserved()
	r.Exceeded = applied().Exceeded
	r.Result.Err = nil
	taint(reflect.ValueOf(&r).Elem(), s)
	for i := range r.Result.Outcomes { // as they do in life, they repeat the plan
		r.Result.Outcomes[i].Change = r.Plan.Changes[i]
	}
	for i := range r.Result.Reservations {
		r.Result.Reservations[i].Change = r.Plan.Reservations.Changes[i]
	}
	return r
}

func FuzzHostile(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := tainted(s)
		for _, format := range report.Formats() {
			var got bytes.Buffer
			require.NoError(t, report.Write(&got, format, r, report.Options{Width: 100}))
			requireVisible(t, got.String())
			switch format {
			case report.FormatJSON:
				requireSameText(t, s, got.Bytes())
			case report.FormatMarkdown:
				requireInertMarkdown(t, got.String())
			case report.FormatHTML:
				requireInertHTML(t, got.String())
			}
		}
		requireInertLists(t, s)
	})
}

// requireVisible: nothing in the text does something instead of being seen.
func requireVisible(tb testing.TB, text string) {
	tb.Helper()
	require.True(tb, utf8.ValidString(text))
	for i, r := range text {
		if r != '\n' && (!unicode.IsGraphic(r) || r == '\u2028' || r == '\u2029') {
			require.Fail(tb, "hidden character", "%U in %q", r, text[max(0, i-40):min(len(text), i+40)])
		}
	}
}

// requireSameText: programs get what the source said, byte for byte as far as
// JSON can carry it.
func requireSameText(tb testing.TB, s string, text []byte) {
	tb.Helper()
	var d report.Document
	require.NoError(tb, json.Unmarshal(text, &d))
	want := string([]rune(s)) // with one U+FFFD for each bad byte
	require.Equal(tb, want, d.Changes[0].UsedBy)
	require.Equal(tb, want, d.Installation)
	require.Equal(tb, want, d.Reservations.Changes[0].For)
	require.Equal(tb, want, d.Reservations.Changes[0].Detail)
	require.Equal(tb, want, d.Reservations.Held[0].Note)
}

var (
	codeSpan = regexp.MustCompile("`[^`\n]*`")
	codeTag  = regexp.MustCompile(`<code>([^<\n]*)</code>`)
	// What is left of a row once foreign text is taken out is ours.
	ours = regexp.MustCompile(`^[-A-Za-z0-9 ,.:;|*#_'()!%–&^-]*$`)
)

func requireInertMarkdown(tb testing.TB, text string) {
	tb.Helper()
	rows := 0
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "```") || strings.HasPrefix(line, "allocsync sync --approve ") {
			continue
		}
		for _, tag := range codeTag.FindAllStringSubmatch(line, -1) {
			require.NotRegexp(tb, "[`|\\\\<>*_\\[\\]@]", tag[1])
			require.NotRegexp(tb, `#[^0-9]`, tag[1])
		}
		for _, span := range codeSpan.FindAllString(line, -1) {
			require.NotContains(tb, span, "|")
		}
		bare := codeTag.ReplaceAllString(codeSpan.ReplaceAllString(line, ""), "")
		require.Regexp(tb, ours, bare, "in %q", line)
		if strings.HasPrefix(bare, "|") {
			rows++
		}
	}
	require.Positive(tb, rows)
}

// requireInertHTML: whatever the text, the elements and attributes are those
// of the template, and nothing is loaded from anywhere.
func requireInertHTML(tb testing.TB, text string) {
	tb.Helper()
	allowed := map[string]bool{}
	for tag := range strings.FieldsSeq("html head meta title style script body a header p b h1 span nav ul li main section dl div dt dd code pre h2 h3 h4 table caption thead tbody tfoot tr th td strong svg rect details summary label input output small del ins figure figcaption footer") {
		allowed[tag] = true
	}
	z := html.NewTokenizer(strings.NewReader(text))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return
		case html.CommentToken:
			require.Fail(tb, "comment")
		case html.StartTagToken, html.SelfClosingTagToken:
			token := z.Token()
			require.True(tb, allowed[token.Data], "element %s", token.Data)
			for _, a := range token.Attr {
				requireInertAttribute(tb, token.Data, a)
			}
		}
	}
}

func requireInertAttribute(tb testing.TB, element string, a html.Attribute) {
	tb.Helper()
	require.NotRegexp(tb, `^on|^style$|^src|^srcset$|^action$|^formaction$|^poster$|^background$|:`, a.Key, element)
	if a.Key == "href" {
		require.Equal(tb, "a", element)
		require.Regexp(tb, `^(#[a-z0-9-]+|https?://.*)$`, a.Val)
	}
}

func requireInertLists(tb testing.TB, s string) {
	tb.Helper()
	list := exampleAllocations()[:3]
	taint(reflect.ValueOf(&list).Elem(), s)
	findings := []report.Finding{{Section: s, Text: s, Fix: s}}
	explained := mapping.Explanation{
		Owner: s, Allocation: list[0].Allocation, SkippedBy: s,
		Rules: []mapping.RuleResult{{Rule: s, Failed: []mapping.Mismatch{{Key: "network", Wants: s, Actual: s}}}, {Rule: s, Set: []mapping.Setting{{Key: "vrf", Value: s, Void: s}}}},
	}
	var got bytes.Buffer
	require.NoError(tb, report.Findings(&got, findings, report.Options{}))
	require.NoError(tb, report.Explain(&got, explained, report.Options{}))
	lines, _ := report.Lines(plan.Plan{Reservations: tainted(s).Plan.Reservations}, 100)
	got.WriteString(strings.Join(lines, "\n"))
	for _, format := range report.AllocationFormats() {
		require.NoError(tb, report.Allocations(&got, format, list, report.Options{}))
		require.NoError(tb, report.Summary(&got, format, report.UsageOf(list), report.Options{}))
	}
	requireVisible(tb, got.String())

	got.Reset()
	require.NoError(tb, report.Allocations(&got, report.FormatCSV, list, report.Options{}))
	rows, err := csv.NewReader(&got).ReadAll()
	require.NoError(tb, err)
	require.Len(tb, rows, 4)
	for _, row := range rows {
		for _, cell := range row {
			require.NotRegexp(tb, `^[=+\-@|%\t\r＝＋－＠]`, cell)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain":          "plain",
		"\x1b[31mred":    `\x1b[31mred`,
		"a\nb\tc":        `a\nb\tc`,
		"\u009b31m":      `\x9b31m`,
		"bi\u202edi":     `bi\u202edi`,
		"\U000e0041":     `\U000e0041`,
		"bad \xff":       `bad \xff`,
		"東京 e\u0301 ñ":   "東京 e\u0301 ñ",
		"soft\u00adhyph": `soft\xadhyph`,
	} {
		require.Equal(t, want, report.Printable(in))
	}
}
