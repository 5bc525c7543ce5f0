package maas

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxComment is how many characters MAAS keeps of a reserved IP's comment
// (models/reservedip.py).
const maxComment = 255

// markPattern is what a mark is: INSTALLATION/SOURCE.
var markPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100}$`)

// marked finds a mark at the end of a comment or description.
var marked = regexp.MustCompile(`^(?s:(.*?))\s*\[allocsync ([A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100})\]\s*$`)

// writeMark is the comment of a reserved IP, or the description of a device,
// that is a reservation: "printer-3 [allocsync lab/maas]".
func writeMark(name, mark string) string {
	tail := "[allocsync " + mark + "]"
	if name = line(name); name == "" {
		return tail
	}
	room := maxComment - len(tail) - 1
	if utf8.RuneCountInString(name) > room {
		name = string([]rune(name)[:room])
	}
	return strings.TrimSpace(name) + " " + tail
}

// readMark reads what writeMark writes, also where a person changed the words
// before. The mark is "" where there is none.
func readMark(comment string) (name, mark string) {
	found := marked.FindStringSubmatch(comment)
	if found == nil {
		return line(comment), ""
	}
	return line(found[1]), found[2]
}

// hostPattern is what MAAS takes for the name of a device or of an address.
var hostPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// hostname is the host name in a reservation's name, "" where it is none: words
// for people, or a name with dots, of which MAAS would look for the domain.
func hostname(name string) string {
	name = strings.ToLower(name)
	if !hostPattern.MatchString(name) {
		return ""
	}
	return name
}
