package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// pair is one key of a mapping with its value.
type pair struct {
	name  string
	pos   position // of the key
	value ast.Node
}

// pairs lists the keys of a mapping, each once; null counts as an empty one,
// which is what a key is whose contents are commented out.
func (d *decoder) pairs(n ast.Node, key string) ([]pair, bool) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return nil, true
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		d.report(start(n), key, "want keys with values here, not %s", sort(n))
		return nil, false
	}
	list := make([]pair, 0, len(values))
	first := map[string]position{}
	for _, v := range values {
		p := pair{pos: start(v), value: v.Value}
		switch k := v.Key.(type) {
		case *ast.StringNode:
			p.name = k.Value
		case *ast.MergeKeyNode:
			d.report(p.pos, key, "merge keys (<<) are not supported; repeat the keys, or let an alias stand for the whole value")
			continue
		default:
			d.report(p.pos, key, "a key has to be plain text")
			continue
		}
		if at, twice := first[p.name]; twice {
			d.report(p.pos, join(key, p.name), "is there already, in line %d; keep one of them", at.line)
			continue
		}
		first[p.name] = p.pos
		list = append(list, p)
	}
	return list, true
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// structure decodes the fields in the order of the struct, because the type of
// a later one may depend on an earlier one. At is where n is, or would be.
func (d *decoder) structure(n ast.Node, at position, key string, v reflect.Value) {
	pairs, ok := d.pairs(n, key)
	if !ok {
		return
	}
	fields := fieldsOf(v.Type())
	given := map[string]pair{}
	meant := map[string]bool{} // keys that are there, but misspelt
	valid := keysOf(fields)
	for _, p := range pairs {
		switch {
		case slices.Contains(valid, p.name):
			given[p.name] = p
		case !d.full():
			d.report(p.pos, join(key, p.name), "unknown key; %s", instead(p.name, valid))
			meant[nearest(p.name, valid)] = true
		}
	}
	for _, f := range fields {
		f.required = f.required && !meant[f.key] && !meant[f.twin()]
		if _, ok := v.Addr().Interface().(*Source); ok && f.key == "kind" {
			f.enum = slices.Sorted(maps.Keys(d.kinds))
		}
		d.field(at, key, f, v, given)
	}
}

func (d *decoder) field(at position, key string, f field, v reflect.Value, given map[string]pair) {
	if cfg, ok := v.Addr().Interface().(*Config); ok {
		d.source.Limits = cfg.Limits // decoded before the sources
	}
	target, name := v.FieldByIndex(f.index), join(key, f.key)
	p, ok := given[f.key]
	if f.secret {
		if twin, named := given[f.twin()]; named {
			if ok {
				d.report(twin.pos, join(key, f.twin()), "stands beside %s; keep one of them", f.key)
				return
			}
			d.secretFile(twin.value, join(key, f.twin()), target)
			return
		}
	}
	if f.typ.Kind() == reflect.Interface {
		d.open(f.key, v, target)
		if !ok && !target.IsNil() && target.Elem().Elem().Kind() == reflect.Struct {
			d.structure(nil, at, name, target.Elem().Elem()) // it may lack required keys
			return
		}
	}
	switch {
	case ok:
		d.value(p.value, name, target, f.constraints)
	case f.required && f.secret:
		d.report(at, name, "is required; add it, or %s with the path of a file that holds it", f.twin())
	case f.required:
		d.report(at, name, "is required; add it")
	}
}

// open puts the pointer to decode into in a field of interface type: the rules
// that the caller gave, or the options of the source's kind, none for an
// unknown kind.
func (d *decoder) open(key string, parent, target reflect.Value) {
	var into any
	switch p := parent.Addr().Interface().(type) {
	case *Config:
		into = d.rules
	case *Source:
		if options, known := d.kinds[p.Kind]; known {
			into = options()
		}
	}
	if v := reflect.ValueOf(into); v.Kind() == reflect.Pointer && !v.IsNil() {
		target.Set(v)
	}
}

// list decodes a sequence; one piece of text will do for a list of one.
func (d *decoder) list(n ast.Node, key string, v reflect.Value, c constraints) {
	required := c.required
	c.required = false
	var elements []ast.Node
	switch s := n.(type) {
	case *ast.NullNode:
		if required {
			d.report(start(n), key, "is required; list at least one")
		}
		return
	case *ast.SequenceNode:
		elements = s.Values
	case *ast.StringNode, *ast.LiteralNode:
		elements = []ast.Node{n}
	default:
		elements = nil
	}
	_, single := n.(*ast.SequenceNode)
	if single = !single; single && (elements == nil || v.Type().Elem().Kind() != reflect.String) {
		d.report(start(n), key, "want a list, not %s; begin each element with -", sort(n))
		return
	}
	if required && len(elements) == 0 {
		d.report(start(n), key, "is required; list at least one")
	}
	made := reflect.MakeSlice(v.Type(), 0, min(len(elements), maxAliased))
	for i, element := range elements {
		if d.full() || d.aliased > maxAliased {
			return
		}
		e := reflect.New(v.Type().Elem()).Elem()
		if s, ok := e.Addr().Interface().(*Source); ok {
			*s = d.source
		}
		name := fmt.Sprintf("%s[%d]", key, i)
		if single {
			name = key
		}
		d.value(element, name, e, c)
		made = reflect.Append(made, e)
	}
	v.Set(made)
}

// mapping decodes keys that are not known beforehand.
func (d *decoder) mapping(n ast.Node, key string, v reflect.Value) {
	pairs, ok := d.pairs(n, key)
	if !ok || v.Type().Key().Kind() != reflect.String {
		return
	}
	made := reflect.MakeMap(v.Type())
	for _, p := range pairs {
		if d.full() || d.aliased > maxAliased {
			return
		}
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(p.value, join(key, p.name), e, constraints{})
		made.SetMapIndex(reflect.ValueOf(p.name).Convert(v.Type().Key()), e)
	}
	v.Set(made)
}

// sort names the sort of a value for messages.
func sort(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys with values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode, nil:
		return "nothing"
	case *ast.BoolNode:
		return "true or false"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	}
	return "text"
}
