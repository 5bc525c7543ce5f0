package libvirt

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestWalkRefuses(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("<a>", n) + strings.Repeat("</a>", n) }
	for name, c := range map[string]struct{ text, want string }{
		"nothing":             {"", "no element <r>: " + errRoot.Error()},
		"white space":         {" \n", "no element <r>: " + errRoot.Error()},
		"only a comment":      {"<!-- r -->", "no element <r>: " + errRoot.Error()},
		"another root":        {"<s/>", "element <s> instead of <r>: " + errRoot.Error()},
		"a namespace":         {"<r xmlns='x'/>", "element <r> instead of <r>: " + errRoot.Error()},
		"two roots":           {"<r/><r/>", errTail.Error()},
		"text behind":         {"<r/>x", errTail.Error()},
		"text before":         {"x<r/>", errTail.Error()},
		"cut off":             {"<r><a>", "XML syntax error on line 1: unexpected EOF"},
		"cut in a tag":        {"<r><a b='", "XML syntax error on line 1: unexpected EOF"},
		"tags that cross":     {"<r><a><b></a></b></r>", "XML syntax error on line 1: element <b> closed by </a>"},
		"unknown entity":      {"<r>&nbsp;</r>", "XML syntax error on line 1: invalid character entity &nbsp;"},
		"not UTF-8":           {"<r>\xff</r>", "XML syntax error on line 1: invalid UTF-8"},
		"another encoding":    {"<?xml version='1.0' encoding='latin1'?><r/>", `xml: encoding "latin1" declared but Decoder.CharsetReader is nil`},
		"control character":   {"<r>\x01</r>", "XML syntax error on line 1: illegal character code U+0001"},
		"too deep":            {"<r>" + nested(64) + "</r>", errDepth.Error()},
		"too deep, cut off":   {"<r>" + strings.Repeat("<a>", 100_000), errDepth.Error()},
		"entity of its own":   {`<!DOCTYPE r [<!ENTITY a "b">]><r>&a;</r>`, "XML syntax error on line 1: invalid character entity &a;"},
		"entity of a million": {`<r>&#x110000;</r>`, "XML syntax error on line 1: invalid character entity &#x110000;"},
	} {
		t.Run(name, func(t *testing.T) {
			for reader, inside := range map[string]func(*document) error{
				"skips": func(*document) error { return nil },
				"visits": func(d *document) error {
					return d.children(func(element) error { return d.children(func(element) error { return nil }) })
				},
				"reads text": func(d *document) error { _, err := d.text(); return err },
			} {
				err := walk(c.text, "r", inside)
				require.EqualError(t, err, c.want, reader)
			}
		})
	}
	require.NoError(t, walk("<r>"+nested(63)+"</r>", "r", func(*document) error { return nil }))
	require.NoError(t, walk("<?xml version='1.0' encoding='UTF-8'?>\n<!-- by hand -->\n<!DOCTYPE r>\n<r/>\n<!-- end -->\n<?pi?>\n", "r", func(*document) error { return nil }))
}

// Text is what lies directly in an element, however it is written.
func TestText(t *testing.T) {
	for text, want := range map[string]string{
		"<a>x</a>":                    "x",
		"<a>\n  x y\n</a>":            "x y",
		"<a/>":                        "",
		"<a>x<!-- no -->y</a>":        "xy",
		"<a>x<?pi no?>y</a>":          "xy",
		"<a><![CDATA[<x>&amp;]]></a>": "<x>&amp;",
		"<a>&lt;&#233;&#xe9;&gt;&quot;&apos;</a>":   "<éé>\"'",
		"<a>x<b>no<c>no</c></b>y<b/>z</a>":          "xyz",
		"<a b='>'>x</a>":                            "x",
		`<a b="'/>" c='"'>x</a>`:                    "x",
		"<a\n b='1'\t\n>x</a\n>":                    "x",
		"<x:a xmlns:x='urn:x'><x:a>no</x:a>x</x:a>": "x",
	} {
		var got []string
		require.NoError(t, walk("<r><before>b</before>"+text+"<after>a</after></r>", "r", func(d *document) error {
			return d.children(func(e element) error {
				s, err := d.text()
				got = append(got, s)
				return err
			})
		}), text)
		require.Equal(t, []string{"b", want, "a"}, got, text)
	}
}

// What a visitor leaves unread does not come up as something else.
func TestChildren(t *testing.T) {
	const text = `<r><a k='1' x:k='2' xmlns:x='urn:x' l="&lt;"><a k='3'/><b><c/></b></a><a k='4'/>text<b/></r>`
	var seen []string
	require.NoError(t, walk(text, "r", func(d *document) error {
		return d.children(func(e element) error {
			seen = append(seen, e.local+e.attribute("k")+e.attribute("l")+e.attribute("none"))
			return nil
		})
	}))
	require.Equal(t, []string{"a1<", "a4", "b"}, seen)
}

func TestShort(t *testing.T) {
	require.Equal(t, `a "b" é`, short(`a "b" é`))
	require.Equal(t, "a\ufffdb", short("a\nb"))
	long := short(strings.Repeat("é", 1000))
	require.True(t, utf8.ValidString(long))
	require.LessOrEqual(t, len(long), maxQuote+len("…"))
	require.Equal(t, strings.Repeat("é", 100)+"…", long)
}
