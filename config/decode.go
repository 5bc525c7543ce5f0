package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// maxAliased is how many values aliases may add up to. It is far more than
// anybody writes by hand and far less than a file made to exhaust memory.
const maxAliased = 10_000

// decoder turns one file into structs and collects what is wrong with it.
type decoder struct {
	file   string
	folder string
	env    func(string) (string, bool)
	kinds  map[string]func() any
	rules  any
	source Source // what every source starts from

	targets  map[*ast.AliasNode]ast.Node
	aliased  int // values read through aliases
	inAlias  int
	problems Problems
	where    map[string]position
}

func (d *decoder) report(pos position, key, format string, args ...any) {
	if d.full() {
		return
	}
	text := format
	if len(args) > 0 {
		text = fmt.Sprintf(format, args...)
	}
	d.problems = append(d.problems, *d.problemAt(pos, key, text))
}

// maxProblems is how many problems are worth reading.
const maxProblems = 100

func (d *decoder) full() bool { return len(d.problems) >= maxProblems }

// faulty reports whether something is wrong at key already.
func (d *decoder) faulty(key string) bool {
	return slices.ContainsFunc(d.problems, func(p Problem) bool { return p.Key == key })
}

// value decodes n into v, which holds the default. Key names the value in
// messages: "sources[0].options".
func (d *decoder) value(n ast.Node, key string, v reflect.Value, c constraints) {
	if alias, ok := n.(*ast.AliasNode); ok {
		d.alias(alias, key, v, c)
		return
	}
	if d.inAlias > 0 {
		d.aliased++ // lists and maps stop over too many; alias reports it
	}
	pos := start(n)
	if d.inAlias == 0 {
		d.where[key] = pos
	}
	switch n := n.(type) {
	case *ast.AnchorNode:
		d.value(n.Value, key, v, c)
		return
	case *ast.TagNode:
		d.report(pos, key, "tags such as %s are not supported; remove it, and put text in quotes", n.GetToken().Value)
		return
	}
	if v.Kind() == reflect.Pointer {
		inner := reflect.New(v.Type().Elem())
		if !v.IsNil() {
			inner.Elem().Set(v.Elem())
		}
		d.value(n, key, inner.Elem(), c)
		v.Set(inner)
		return
	}
	switch {
	case v.Kind() == reflect.Interface:
		if !v.IsNil() {
			d.value(n, key, v.Elem().Elem(), c)
		}
	case isScalar(v.Type()):
		d.scalar(n, key, v, c)
	case v.Kind() == reflect.Struct:
		if _, null := n.(*ast.NullNode); null && c.required {
			d.report(pos, key, "is required and has nothing in it")
			return
		}
		d.structure(n, pos, key, v)
	case v.Kind() == reflect.Map:
		d.mapping(n, key, v)
	case v.Kind() == reflect.Slice:
		d.list(n, key, v, c)
	default:
		d.report(pos, key, "cannot hold a value: %s is no type for a configuration", v.Type())
	}
}

// alias decodes what an alias stands for.
func (d *decoder) alias(n *ast.AliasNode, key string, v reflect.Value, c constraints) {
	target := d.targets[n]
	if target == nil {
		d.report(start(n), key, "the alias stands for nothing; an anchor of its name has to come before it")
		return
	}
	if d.inAlias == 0 {
		d.where[key] = start(n)
	}
	before := d.aliased
	d.inAlias++
	d.value(target, key, v, c)
	d.inAlias--
	if d.inAlias == 0 && before <= maxAliased && d.aliased > maxAliased {
		d.report(start(n), key, "aliases stand for more than %d values; write out what is meant", maxAliased)
	}
}

// isScalar reports whether a type is written as one piece of text.
func isScalar(t reflect.Type) bool {
	if t == reflect.TypeFor[Secret]() || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	}
	return false
}
