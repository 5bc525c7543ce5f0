package config

import (
	"bytes"
	"encoding"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// Schema returns a JSON Schema (draft 2020-12) for the file, made from the
// same structs and tags that Parse goes by; kinds and rules are those of
// Parse. The same arguments give the same bytes. What a schema cannot say is
// left to Parse: unique names, the range of a duration, what files hold.
func Schema(kinds map[string]func() any, rules any) []byte {
	s := schema{rules: rules, names: slices.Sorted(maps.Keys(kinds))}
	defs := object{{"reference", referenceSchema()}}
	for _, kind := range s.names {
		options := reflect.ValueOf(kinds[kind]())
		s.kinds = append(s.kinds, options)
		defs = append(defs, member{optionsName(kind), s.structure(options.Elem())})
	}
	defaults := Default()
	root := s.structure(reflect.ValueOf(&defaults).Elem())
	root = append(object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"title", "allocsync configuration"},
	}, root...)
	root = append(root, member{"$defs", defs})
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(root); err != nil { // only types made here are in it
		panic(err)
	}
	return b.Bytes()
}

// object is a JSON object whose members keep their order.
type object []member

type member struct {
	key   string
	value any
}

// MarshalJSON writes the members in order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := e.Encode(m.key); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := e.Encode(m.value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

type schema struct {
	rules any
	names []string        // of the kinds, sorted
	kinds []reflect.Value // pointers to their options, in the order of names
}

func optionsName(kind string) string { return "options-" + kind }

// referenceSchema is a text with a variable in it: it may stand where YAML
// wants a number, so that a number can come from the environment.
func referenceSchema() object {
	return object{{"type", "string"}, {"pattern", `\$\{[A-Za-z_][A-Za-z0-9_]*\}`}}
}

func orReference(o object) object {
	return object{{"anyOf", []any{o, object{{"$ref", "#/$defs/reference"}}}}}
}

// structure describes a struct; v holds its defaults.
func (s schema) structure(v reflect.Value) object {
	var properties object
	var required []string
	var rest []any // what is about several keys at once
	for _, f := range fieldsOf(v.Type()) {
		properties = append(properties, member{f.key, s.field(f, v)})
		switch {
		case f.secret:
			properties = append(properties, member{f.twin(), object{
				{"description", "File that holds " + f.key + "."}, {"type", "string"}, {"minLength", 1},
			}})
			one, both := []string{f.key}, []string{f.key, f.twin()}
			if f.required {
				rest = append(rest, object{{"oneOf", []any{object{{"required", one}}, object{{"required", []string{f.twin()}}}}}})
			} else {
				rest = append(rest, object{{"not", object{{"required", both}}}})
			}
		case f.required:
			required = append(required, f.key)
		}
	}
	if v.Type() == reflect.TypeFor[Source]() {
		rest = append(rest, s.options()...)
	}
	o := object{{"type", "object"}, {"properties", properties}, {"additionalProperties", false}}
	if required != nil {
		o = append(o, member{"required", required})
	}
	if rest != nil {
		o = append(o, member{"allOf", rest})
	}
	return o
}

// options makes the schema of a source's options depend on its kind.
func (s schema) options() []any {
	var list []any
	for i, kind := range s.names {
		ref := object{{"$ref", "#/$defs/" + optionsName(kind)}}
		then := object{{"properties", object{{"options", object{{"anyOf", []any{ref, object{{"type", "null"}}}}}}}}}
		if slices.ContainsFunc(fieldsOf(s.kinds[i].Type().Elem()), func(f field) bool { return f.required }) {
			then = object{{"properties", object{{"options", ref}}}, {"required", []string{"options"}}}
		}
		list = append(list, object{
			{"if", object{{"properties", object{{"kind", object{{"const", kind}}}}}, {"required", []string{"kind"}}}},
			{"then", then},
		})
	}
	return list
}

// field describes one key: its description, its type and its default.
func (s schema) field(f field, parent reflect.Value) object {
	v := parent.FieldByIndex(f.index)
	var o object
	if f.doc != "" {
		doc := f.doc
		if f.typ == reflect.TypeFor[time.Duration]() && (f.min != "" || f.max != "") {
			doc += " It has to be " + f.span() + "."
		}
		o = append(o, member{"description", doc})
	}
	switch {
	case f.typ.Kind() == reflect.Interface && parent.Type() == reflect.TypeFor[Source]():
		return append(o, member{"type", []string{"object", "null"}})
	case f.typ.Kind() == reflect.Interface:
		if v = reflect.ValueOf(s.rules); !v.IsValid() {
			return o
		}
		v = v.Elem()
	case f.typ == reflect.TypeFor[string]() && f.key == "kind" && parent.Type() == reflect.TypeFor[Source]():
		f.enum = s.names
	}
	o = append(o, s.value(v, f.constraints)...)
	if d := defaultOf(v); d != nil && !f.secret && !f.required {
		o = append(o, member{"default", d})
	}
	return o
}

// defaultOf returns what is written for a default, nil where nothing is.
func defaultOf(v reflect.Value) any {
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		return shortDuration(time.Duration(v.Int()))
	case v.Kind() == reflect.Bool, v.CanInt(), v.CanUint(), v.CanFloat():
		return v.Interface()
	case v.Kind() == reflect.String && v.Len() > 0:
		return v.String()
	}
	return nil
}

// shortDuration writes 72h0m0s as 72h.
func shortDuration(d time.Duration) string {
	switch {
	case d == 0:
		return "0s"
	case d%time.Hour == 0:
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	case d%time.Minute == 0:
		return strconv.FormatInt(int64(d/time.Minute), 10) + "m"
	}
	return d.String()
}

// value describes a value by its type; v holds its default.
func (s schema) value(v reflect.Value, c constraints) object {
	t := v.Type()
	switch {
	case t.Kind() == reflect.Pointer:
		return s.value(reflect.New(t.Elem()).Elem(), c)
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		c.required = true // an address, say, has no empty form
		return text(c)
	case t == reflect.TypeFor[Secret](), t.Kind() == reflect.String:
		return text(c)
	case t == reflect.TypeFor[time.Duration]():
		return orReference(object{{"type", "string"}, {"pattern", `^[-+]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$`}})
	case t.Kind() == reflect.Bool:
		return orReference(object{{"type", "boolean"}})
	case v.CanInt(), v.CanUint(), v.CanFloat():
		return orReference(number(v, c))
	}
	var o object
	switch t.Kind() {
	case reflect.Struct:
		o = s.structure(v)
	case reflect.Map:
		o = object{{"type", "object"}, {"additionalProperties", s.value(reflect.New(t.Elem()).Elem(), constraints{})}}
	case reflect.Slice:
		o = s.list(v, c)
	default:
		return object{}
	}
	if c.required {
		return o
	}
	return object{{"anyOf", []any{o, object{{"type", "null"}}}}}
}

func (s schema) list(v reflect.Value, c constraints) object {
	element := reflect.New(v.Type().Elem()).Elem()
	if element.Type() == reflect.TypeFor[Source]() {
		element.Set(reflect.ValueOf(Default().Sources[0]))
	}
	inner := c
	inner.required = element.Kind() == reflect.Struct // no element is null
	items := s.value(element, inner)
	o := object{{"type", "array"}, {"items", items}}
	if c.required {
		o = append(o, member{"minItems", 1})
	}
	if element.Kind() == reflect.String {
		return object{{"anyOf", []any{o, items}}}
	}
	return o
}

func text(c constraints) object {
	o := object{{"type", "string"}}
	if c.enum != nil {
		return orReference(append(o, member{"enum", c.enum}))
	}
	if c.required {
		o = append(o, member{"minLength", 1})
	}
	if c.pattern != "" {
		return orReference(append(o, member{"pattern", c.pattern}))
	}
	return o
}

func number(v reflect.Value, c constraints) object {
	o := object{{"type", "integer"}}
	if v.CanFloat() {
		o = object{{"type", "number"}}
	}
	c = c.bounded(v.Type())
	if c.min != "" {
		o = append(o, member{"minimum", json.Number(c.min)})
	}
	if c.max != "" {
		o = append(o, member{"maximum", json.Number(c.max)})
	}
	return o
}
