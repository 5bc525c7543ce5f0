package config

import (
	"encoding"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// scalar decodes one piece of text into v. What it reports shows the text as
// it stands in the file, so a variable's value is never shown, and of a secret
// nothing.
func (d *decoder) scalar(n ast.Node, key string, v reflect.Value, c constraints) {
	pos := start(n)
	raw, ok := d.raw(n, key, v.Type())
	if !ok {
		return
	}
	text, expanded, err := d.expand(raw)
	if err != nil {
		d.report(pos, key, "%v", err)
		return
	}
	_, isText := n.(*ast.StringNode)
	if _, block := n.(*ast.LiteralNode); block {
		isText = true
	}
	s := scalar{text: text, shown: shown(raw), isText: isText, loose: expanded}
	if !isText {
		s.shown = raw
	}
	if c.secret {
		s.shown = "this value"
	}
	switch fault := s.into(v, c); {
	case fault != "":
		d.report(pos, key, "%s", fault)
	case c.path && v.Kind() == reflect.String && text != "" && !filepath.IsAbs(text):
		v.SetString(filepath.Join(d.folder, text))
	}
}

// raw returns the text of a scalar as it is in the file.
func (d *decoder) raw(n ast.Node, key string, want reflect.Type) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		if n.Value == nil {
			return "", true
		}
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode, *ast.MergeKeyNode:
		return n.GetToken().Value, true
	case *ast.NullNode, nil:
		d.report(start(n), key, "has no value; give one, or remove the key")
	case *ast.MappingNode, *ast.MappingValueNode:
		hint := ""
		if wanted(want) == "text" {
			hint = "; put a text that holds a : or begins with { in quotes"
		}
		d.report(start(n), key, "want %s, not keys with values%s", wanted(want), hint)
	default:
		d.report(start(n), key, "want %s, not %s", wanted(want), sort(n))
	}
	return "", false
}

func wanted(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "a duration such as 90s, 10m or 72h"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64:
		return "a number"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64:
		return "a whole number"
	}
	return "text"
}

// scalar is a piece of text on its way into a value.
type scalar struct {
	text   string
	shown  string // for messages
	isText bool   // YAML takes it for text, not for a number or a truth value
	loose  bool   // a variable was put in, so that YAML's opinion does not count
}

// into sets v, or says what is wrong with the text.
func (s scalar) into(v reflect.Value, c constraints) string {
	t := v.Type()
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return s.duration(v, c)
	case v.Kind() == reflect.String || t == reflect.TypeFor[Secret]() || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return s.string(v, c)
	case s.isText && !s.loose:
		return fmt.Sprintf("want %s, not the text %s", wanted(t), s.shown)
	case v.Kind() == reflect.Bool:
		if s.text != "true" && s.text != "false" {
			return fmt.Sprintf("want true or false, not %s", s.shown)
		}
		v.SetBool(s.text == "true")
		return ""
	}
	return s.number(v, c)
}

func (s scalar) string(v reflect.Value, c constraints) string {
	switch {
	case !s.isText && !s.loose:
		return fmt.Sprintf("want text; put %s in quotes", s.shown)
	case c.required && s.text == "" && s.loose:
		return fmt.Sprintf("is required, and %s is empty", s.shown)
	case c.required && s.text == "":
		return "is required and must not be empty"
	case c.enum != nil && !slices.Contains(c.enum, s.text):
		return fmt.Sprintf("%s is not possible; %s", s.shown, instead(s.text, nonEmpty(c.enum)))
	case s.text != "" && !c.fits(s.text):
		if c.want == "" {
			c.want = "text that matches " + c.pattern
		}
		return fmt.Sprintf("%s does not do; want %s", s.shown, c.want)
	}
	if v.Type() == reflect.TypeFor[Secret]() {
		v.Set(reflect.ValueOf(NewSecret(s.text)))
		return ""
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if s.text == "" {
			return "must not be empty"
		}
		if err := u.UnmarshalText([]byte(s.text)); err != nil {
			if s.loose || c.secret {
				return fmt.Sprintf("%s is not valid here", s.shown)
			}
			return err.Error()
		}
		return ""
	}
	v.SetString(s.text)
	return ""
}

func nonEmpty(words []string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "" })
}

func (s scalar) duration(v reflect.Value, c constraints) string {
	want := "want a duration with its unit, such as 90s, 10m or 72h"
	if !s.isText && !s.loose {
		return fmt.Sprintf("%s, not the number %s", want, s.shown)
	}
	d, err := time.ParseDuration(s.text)
	if err != nil {
		return fmt.Sprintf("%s, not %s", want, s.shown)
	}
	low, _ := time.ParseDuration(c.min)
	high, err := time.ParseDuration(c.max)
	if c.min != "" && d < low || c.max != "" && err == nil && d > high {
		return fmt.Sprintf("%s is out of range; it has to be %s", s.shown, c.span())
	}
	v.SetInt(int64(d))
	return ""
}

func (s scalar) number(v reflect.Value, c constraints) string {
	wrong := fmt.Sprintf("want %s, not %s", wanted(v.Type()), s.shown)
	c = c.bounded(v.Type())
	var size float64
	switch {
	case v.CanInt():
		n, err := strconv.ParseInt(s.text, 10, 64)
		if err != nil {
			return wrong
		}
		v.SetInt(n) // cut where it is out of range, which is reported
		size = float64(n)
	case v.CanUint():
		n, err := strconv.ParseUint(s.text, 10, 64)
		if err != nil {
			return wrong
		}
		v.SetUint(n)
		size = float64(n)
	default:
		n, err := strconv.ParseFloat(s.text, v.Type().Bits())
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return wrong
		}
		v.SetFloat(n)
		size = n
	}
	low, _ := strconv.ParseFloat(c.min, 64)
	high, _ := strconv.ParseFloat(c.max, 64)
	if c.min != "" && size < low || c.max != "" && size > high {
		return fmt.Sprintf("%s is out of range; it has to be %s", s.shown, c.span())
	}
	return ""
}

// bounded narrows the range to what the type can hold.
func (c constraints) bounded(t reflect.Type) constraints {
	if t.Kind() < reflect.Int || t.Kind() > reflect.Uint64 {
		return c
	}
	unsigned := t.Kind() >= reflect.Uint
	if c.min == "" && unsigned {
		c.min = "0"
	}
	if t.Bits() == 64 { // strconv finds what does not fit
		return c
	}
	low, high := -1<<(t.Bits()-1), 1<<(t.Bits()-1)-1
	if unsigned {
		high = 1<<t.Bits() - 1
	}
	if c.min == "" {
		c.min = strconv.Itoa(low)
	}
	if c.max == "" {
		c.max = strconv.Itoa(high)
	}
	return c
}

// span says what range is allowed.
func (c constraints) span() string {
	switch {
	case c.max == "":
		return "at least " + c.min
	case c.min == "":
		return "at most " + c.max
	}
	return "from " + c.min + " to " + c.max
}

// shown quotes a text for messages, cut where it is long.
func shown(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most-1]) + "…"
	}
	return strconv.Quote(s)
}
