package netboxtest

import (
	"math"
	"math/big"
	"strconv"
	"time"
	"unicode/utf8"
)

// writer appends JSON to a buffer, as DRF's renderer writes it: compact, UTF-8
// left as it is.
type writer struct {
	s *Server
	b []byte
	// base is the scheme and host that the request was made to; URLs in rows
	// start with it.
	base string
	// nested keeps the rendered form of related rows: a page of 1000 addresses
	// names the same VRF 1000 times.
	nested map[nestedKey][]byte
}

type nestedKey struct {
	k  *kind
	id int
}

func (w *writer) raw(s string)  { w.b = append(w.b, s...) }
func (w *writer) null()         { w.raw("null") }
func (w *writer) int(n int)     { w.b = strconv.AppendInt(w.b, int64(n), 10) }
func (w *writer) bool(v bool)   { w.b = strconv.AppendBool(w.b, v) }
func (w *writer) text(s string) { w.b = appendText(w.b, s) }

// key writes the name of an object's next member; first says that it opens the
// object.
func (w *writer) key(name string, first bool) {
	if first {
		w.b = append(w.b, '{')
	} else {
		w.b = append(w.b, ',')
	}
	w.text(name)
	w.b = append(w.b, ':')
}

// textOrNull writes "" as null.
func (w *writer) textOrNull(s string) {
	if s == "" {
		w.null()
		return
	}
	w.text(s)
}

// time writes microseconds since 1970 as DRF does: without a fraction when it is
// zero.
func (w *writer) time(micros int64) {
	w.b = append(w.b, '"')
	w.b = appendTime(w.b, micros)
	w.raw(`Z"`)
}

func appendTime(b []byte, micros int64) []byte {
	layout := "2006-01-02T15:04:05.000000"
	if micros%1e6 == 0 {
		layout = "2006-01-02T15:04:05"
	}
	return time.UnixMicro(micros).UTC().AppendFormat(b, layout)
}

// choice writes {"value", "label"}, or null for no choice.
func (w *writer) choice(c choice) {
	if c.value == "" {
		w.null()
		return
	}
	w.raw(`{"value":`)
	w.text(c.value)
	w.raw(`,"label":`)
	w.text(c.label)
	w.raw(`}`)
}

func (w *writer) value(v any) { w.b = appendValue(w.b, v) }

func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case *big.Int:
		return v.Append(b, 10)
	case float64:
		if math.IsInf(v, 0) {
			return append(b, "null"...) // JSON has no word for it
		}
		return append(b, pyFloat(v)...)
	case string:
		return appendText(b, v)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendValue(b, e)
		}
		return append(b, ']')
	case *object:
		b = append(b, '{')
		for i, k := range v.keys {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendText(b, k), ':')
			b = appendValue(b, v.vals[k])
		}
		return append(b, '}')
	}
	panic("netboxtest: no JSON value")
}

func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	plain := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == '\u2028' || r == '\u2029' || r == utf8.RuneError && n == 1 {
				b = appendEscape(append(b, s[plain:i]...), r)
				plain = i + n
			}
			i += n
			continue
		}
		b = appendEscape(append(b, s[plain:i]...), rune(c))
		i++
		plain = i
	}
	return append(append(b, s[plain:]...), '"')
}

func appendEscape(b []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch r {
	case '"', '\\':
		return append(b, '\\', byte(r))
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	return append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}
