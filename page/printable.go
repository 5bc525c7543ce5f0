package page

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// longest is how many characters of one foreign text are shown.
const longest = 400

// plain makes foreign text safe to look at: control characters, what is
// invisible (zero width, bidirectional overrides: "Trojan Source") and what is
// not UTF-8 become visible escapes (\x1b, \u202e), and a text without end gets
// one. html/template does the rest. The reports show the same text alike.
func plain(s string) string {
	var b strings.Builder
	count := 0
	for i := 0; i < len(s); count++ {
		if count == longest {
			fmt.Fprintf(&b, "… (%s more bytes)", number(len(s)-i))
			break
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case hidden(r) && r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case hidden(r) && r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		case hidden(r):
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// hidden reports whether r does something instead of being seen.
func hidden(r rune) bool {
	switch {
	case r >= 0x20 && r < 0x7f:
		return false
	case r >= 0xFE00 && r <= 0xFE0F, r >= 0xE0100 && r <= 0xE01EF: // variation selectors
		return true
	case r == 0x115F || r == 0x1160 || r == 0x3164 || r == 0xFFA0 || r == 0x2800: // blanks that count as letters
		return true
	}
	return !unicode.IsGraphic(r) || unicode.In(r, unicode.Zl, unicode.Zp)
}
