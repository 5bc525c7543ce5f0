package netboxtest

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a JSON body, where Python would give up with a
// RecursionError.
const maxDepth = 500

// maxDigits is how long a whole number Python reads.
const maxDigits = 4300

// parser reads JSON and fails with the words of Python's json module, which
// NetBox passes on ("JSON parse error - Expecting value: line 1 column 13 (char
// 12)"). Positions count characters, not bytes.
type parser struct {
	text string
	at   int
	// trailing says that a comma before a closing bracket is reported as such,
	// which Python does since 3.13 (NetBox 4.7 runs on it).
	trailing bool
}

// errTooDeep is Python's RecursionError, which is no parse error: NetBox answers
// it with a 500.
var errTooDeep = errors.New("maximum recursion depth exceeded while decoding a JSON array from a unicode string")

type parseError struct{ message string }

func (e *parseError) Error() string { return e.message }

func parseJSON(body []byte, v Version) (any, error) {
	if !utf8.Valid(body) {
		at := invalidUTF8(body)
		return nil, &parseError{fmt.Sprintf("'utf-8' codec can't decode byte 0x%02x in position %d: invalid start byte", body[at], at)}
	}
	p := &parser{text: string(body), trailing: v.since(V47)}
	p.space()
	value, err := p.value(0)
	if err != nil {
		return nil, err
	}
	p.space()
	if p.at < len(p.text) {
		return nil, p.fail("Extra data", p.at)
	}
	return value, nil
}

func invalidUTF8(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return 0
}

func (p *parser) fail(message string, at int) error {
	before := p.text[:at]
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	return &parseError{fmt.Sprintf("%s: line %d column %d (char %d)", message, line, column, utf8.RuneCountInString(before))}
}

func (p *parser) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\n\r", p.text[p.at]) >= 0 {
		p.at++
	}
}

func (p *parser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *parser) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, errTooDeep
	}
	rest := p.text[p.at:]
	switch c := p.peek(); {
	case c == '"':
		return p.string()
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '-' && !strings.HasPrefix(rest, "-Infinity") || c >= '0' && c <= '9':
		return p.number()
	}
	for _, word := range []struct {
		text  string
		value any
	}{{"null", nil}, {"true", true}, {"false", false}} {
		if strings.HasPrefix(rest, word.text) {
			p.at += len(word.text)
			return word.value, nil
		}
	}
	for _, word := range []string{"NaN", "Infinity", "-Infinity"} {
		if strings.HasPrefix(rest, word) {
			return nil, &parseError{"Out of range float values are not JSON compliant: '" + word + "'"}
		}
	}
	return nil, p.fail("Expecting value", p.at)
}

func (p *parser) array(depth int) (any, error) {
	p.at++
	list := []any{}
	p.space()
	if p.peek() == ']' {
		p.at++
		return list, nil
	}
	for {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		p.space()
		if p.peek() == ']' {
			p.at++
			return list, nil
		}
		if p.peek() != ',' {
			return nil, p.fail("Expecting ',' delimiter", p.at)
		}
		comma := p.at
		p.at++
		p.space()
		if p.trailing && p.peek() == ']' {
			return nil, p.fail("Illegal trailing comma before end of array", comma)
		}
	}
}

func (p *parser) object(depth int) (any, error) {
	p.at++
	o := newObject()
	p.space()
	if p.peek() == '}' {
		p.at++
		return o, nil
	}
	for {
		if p.peek() != '"' {
			return nil, p.fail("Expecting property name enclosed in double quotes", p.at)
		}
		key, err := p.string()
		if err != nil {
			return nil, err
		}
		p.space()
		if p.peek() != ':' {
			return nil, p.fail("Expecting ':' delimiter", p.at)
		}
		p.at++
		p.space()
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		o.set(key.(string), v)
		p.space()
		if p.peek() == '}' {
			p.at++
			return o, nil
		}
		if p.peek() != ',' {
			return nil, p.fail("Expecting ',' delimiter", p.at)
		}
		comma := p.at
		p.at++
		p.space()
		if p.trailing && p.peek() == '}' {
			return nil, p.fail("Illegal trailing comma before end of object", comma)
		}
	}
}

func (p *parser) number() (any, error) {
	start := p.at
	if p.peek() == '-' {
		p.at++
	}
	switch c := p.peek(); {
	case c == '0':
		p.at++
	case c >= '1' && c <= '9':
		p.digits()
	default:
		return nil, p.fail("Expecting value", start)
	}
	whole := true
	if p.peek() == '.' {
		p.at++
		if p.digits() == 0 {
			p.at--
		} else {
			whole = false
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		mark := p.at
		p.at++
		if c := p.peek(); c == '+' || c == '-' {
			p.at++
		}
		if p.digits() == 0 {
			p.at = mark
		} else {
			whole = false
		}
	}
	text := p.text[start:p.at]
	if whole {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, nil
		}
		if digits := len(strings.TrimPrefix(text, "-")); digits > maxDigits {
			return nil, &parseError{fmt.Sprintf("Exceeds the limit (%d digits) for integer string conversion: value has %d digits; use sys.set_int_max_str_digits() to increase the limit", maxDigits, digits)}
		}
		n, _ := new(big.Int).SetString(text, 10)
		return n, nil
	}
	f, _ := strconv.ParseFloat(text, 64) // 1e999 is infinite, as in Python
	return f, nil
}

func (p *parser) digits() int {
	start := p.at
	for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
		p.at++
	}
	return p.at - start
}

func (p *parser) string() (any, error) {
	start := p.at
	p.at++
	plain := p.at
	var b []byte
	for {
		switch c := p.peek(); {
		case p.at >= len(p.text):
			return nil, p.fail("Unterminated string starting at", start)
		case c == '"':
			s := p.text[plain:p.at]
			p.at++
			if b == nil {
				return s, nil
			}
			return string(append(b, s...)), nil
		case c < 0x20:
			return nil, p.fail("Invalid control character at", p.at)
		case c == '\\':
			b = append(b, p.text[plain:p.at]...)
			r, err := p.escape(start)
			if err != nil {
				return nil, err
			}
			b = utf8.AppendRune(b, r)
			plain = p.at
		default:
			p.at++
		}
	}
}

func (p *parser) escape(start int) (rune, error) {
	at := p.at
	p.at++
	if p.at >= len(p.text) {
		return 0, p.fail("Unterminated string starting at", start)
	}
	c := p.text[p.at]
	p.at++
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		return rune("\"\\/\b\f\n\r\t"[i]), nil
	}
	if c != 'u' {
		return 0, p.fail(`Invalid \escape`, at)
	}
	r, ok := p.hex()
	if !ok {
		return 0, p.fail(`Invalid \uXXXX escape`, p.at-1)
	}
	if utf16.IsSurrogate(r) && strings.HasPrefix(p.text[p.at:], `\u`) {
		mark := p.at
		p.at += 2
		if low, ok := p.hex(); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
			return utf16.DecodeRune(r, low), nil
		}
		p.at = mark
	}
	return r, nil
}

func (p *parser) hex() (rune, bool) {
	if p.at+4 >= len(p.text) { // even the last text has a quote after it
		return 0, false
	}
	n, err := strconv.ParseUint(p.text[p.at:p.at+4], 16, 32)
	if err != nil {
		return 0, false
	}
	p.at += 4
	return rune(n), true
}
