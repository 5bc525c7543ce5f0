package mapping

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// What NetBox and the DNS take.
const (
	maxDescription = 200 // characters
	maxDNSName     = 255 // bytes
	maxLabel       = 63  // bytes, RFC 1035 section 2.3.4
)

// dnsName makes s into a name that NetBox takes: lower case; `-` for every
// character other than letters, digits and *-._; no label that is empty, that
// begins or ends with `-`, or that is longer than the DNS allows. It returns ""
// where nothing is left, and where the name would be over 255 long: half a
// name would be another name.
func dnsName(s string) string {
	if cleanDNSName(s) {
		return s
	}
	labels := strings.Split(strings.Map(dnsRune, s), ".")
	kept := labels[:0]
	for _, label := range labels {
		label = strings.Trim(label, "-")
		if len(label) > maxLabel {
			label = strings.TrimRight(label[:maxLabel], "-")
		}
		if label != "" {
			kept = append(kept, label)
		}
	}
	name := strings.Join(kept, ".")
	if len(name) > maxDNSName {
		return ""
	}
	return name
}

func dnsRune(r rune) rune {
	switch {
	case 'A' <= r && r <= 'Z':
		return r + 'a' - 'A'
	case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '*', r == '-', r == '.', r == '_':
		return r
	}
	return '-'
}

// cleanDNSName reports that dnsName would return s itself. Most names are
// clean, and then nothing is allocated.
func cleanDNSName(s string) bool {
	if s == "" || len(s) > maxDNSName {
		return false
	}
	label := 0
	for i := range len(s) {
		c := s[i]
		if dnsRune(rune(c)) != rune(c) || c >= utf8.RuneSelf {
			return false
		}
		edge := label == 0 || i+1 == len(s) || s[i+1] == '.'
		if c == '-' && edge {
			return false
		}
		if c == '.' {
			if label == 0 || i+1 == len(s) {
				return false
			}
			label = 0
			continue
		}
		if label++; label > maxLabel {
			return false
		}
	}
	return true
}

// line makes s into one line without white space around it, as NetBox keeps it.
func line(s string) string {
	for _, r := range s {
		if unicode.IsControl(r) || r == utf8.RuneError {
			s = strings.Map(func(r rune) rune {
				if unicode.IsControl(r) {
					return ' '
				}
				return r
			}, strings.ToValidUTF8(s, "\uFFFD"))
			break
		}
	}
	return strings.TrimSpace(s)
}

// description is line, cut to what NetBox takes, with an ellipsis at the cut.
func description(s string) string {
	s = line(s)
	if len(s) <= maxDescription {
		return s
	}
	kept := 0 // bytes of the first maxDescription-1 characters
	count := 0
	for i := range s {
		if count == maxDescription-1 {
			kept = i
		}
		count++
	}
	if count <= maxDescription {
		return s
	}
	return strings.TrimSpace(s[:kept]) + "…"
}
