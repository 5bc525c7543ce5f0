package report

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// plain makes foreign text safe to look at: what a terminal would obey or a
// reader would not see becomes a visible escape (\x1b, \u202e). That is every
// control character, line breaks included, everything invisible (zero width,
// bidirectional overrides: "Trojan Source", CVE-2021-42574) and every byte
// that is not UTF-8. The result is one line.
func plain(s string) string {
	if printableASCII(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case hidden(r):
			b.WriteString(escaped(r))
		default:
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String()
}

func printableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// hidden reports whether r does something instead of being seen.
func hidden(r rune) bool {
	switch {
	case r == ' ':
		return false
	case r >= 0xFE00 && r <= 0xFE0F, r >= 0xE0100 && r <= 0xE01EF: // variation selectors
		return true
	}
	return !unicode.IsGraphic(r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) ||
		r == 0x115F || r == 0x1160 || r == 0x3164 || r == 0xFFA0 || r == 0x2800 // blanks that count as letters
}

func escaped(r rune) string {
	switch {
	case r < 0x100:
		return fmt.Sprintf(`\x%02x`, r)
	case r < 0x10000:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}

// columns is how many columns of a terminal s takes; s is plain.
func columns(s string) int {
	if printableASCII(s) {
		return len(s)
	}
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

// runeColumns is 0 for a mark on the letter before it, 2 for what Unicode's
// UAX #11 calls wide (the blocks that matter, not each of its exceptions), and
// else 1. A wrong guess shifts a border and loses nothing.
func runeColumns(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case r < 0x1100:
		return 1
	case r <= 0x115F, // Hangul Jamo
		r >= 0x2E80 && r <= 0x303E,   // CJK radicals to punctuation
		r >= 0x3041 && r <= 0xA4CF,   // kana to Yi
		r >= 0xAC00 && r <= 0xD7A3,   // Hangul syllables
		r >= 0xF900 && r <= 0xFAFF,   // CJK compatibility
		r >= 0xFE30 && r <= 0xFE6F,   // vertical and small forms
		r >= 0xFF00 && r <= 0xFF60,   // full width
		r >= 0xFFE0 && r <= 0xFFE6,   //
		r >= 0x1F300 && r <= 0x1F64F, // pictures
		r >= 0x1F680 && r <= 0x1F6FF, // transport
		r >= 0x1F900 && r <= 0x1F9FF, // more pictures
		r >= 0x20000 && r <= 0x3FFFD: // CJK extensions
		return 2
	}
	return 1
}

// wrap breaks plain text into lines of at most width columns: after a space
// where there is one, else after a character that separates the parts of a
// URI, else anywhere. It loses nothing but the spaces at which it breaks.
func wrap(s string, width int) []string {
	width = max(width, 2) // one wide letter fits on every line
	var lines []string
	for {
		end := cut(s, width)
		if end == len(s) {
			return append(lines, s)
		}
		lines = append(lines, strings.TrimRight(s[:end], " "))
		s = strings.TrimLeft(s[end:], " ")
	}
}

// cut returns where to break s so that the first line takes at most width
// columns: the best place that leaves the line at least a third full.
func cut(s string, width int) int {
	end, space, soft, n := 0, 0, 0, 0
	for i, r := range s {
		if n += runeColumns(r); n > width {
			break
		}
		end = i + utf8.RuneLen(r)
		switch {
		case r == ' ':
			space = end
		case strings.ContainsRune("/?&,;:=-_.", r):
			soft = end
		}
	}
	switch {
	case end == len(s), s[end] == ' ':
		return end
	case space > end/3:
		return space
	case soft > end/3:
		return soft
	}
	return end
}
