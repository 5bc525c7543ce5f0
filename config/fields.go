package config

import (
	"reflect"
	"regexp"
	"strings"
)

// field is one key of a struct.
type field struct {
	key   string
	doc   string
	index []int // for reflect.Value.FieldByIndex
	typ   reflect.Type
	constraints
}

// constraints is what a value has to be, beyond its type.
type constraints struct {
	required bool
	secret   bool
	path     bool
	enum     []string
	pattern  string
	want     string // the pattern in words
	min, max string
}

// fieldsOf lists the keys of a struct in the order of its fields.
func fieldsOf(t reflect.Type) []field {
	var list []field
	for i := range t.NumField() {
		sf := t.Field(i)
		if !sf.IsExported() {
			continue
		}
		key, options, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		if key == "-" {
			continue
		}
		if options == "inline" && sf.Type.Kind() == reflect.Struct {
			for _, inner := range fieldsOf(sf.Type) {
				inner.index = append([]int{i}, inner.index...)
				list = append(list, inner)
			}
			continue
		}
		if key == "" {
			key = strings.ToLower(sf.Name)
		}
		list = append(list, field{
			key: key, doc: sf.Tag.Get("doc"), index: []int{i}, typ: sf.Type,
			constraints: constraintsOf(key, sf),
		})
	}
	return list
}

func constraintsOf(key string, sf reflect.StructField) constraints {
	c := constraints{pattern: sf.Tag.Get("pattern"), want: sf.Tag.Get("want"), min: sf.Tag.Get("min"), max: sf.Tag.Get("max")}
	if enum, ok := sf.Tag.Lookup("enum"); ok {
		c.enum = strings.Split(enum, "|")
	}
	text := sf.Type.Kind() == reflect.String
	c.secret = sf.Type == reflect.TypeFor[Secret]()
	for _, suffix := range []string{"_file", "_dir", "_folder"} {
		c.path = c.path || text && strings.HasSuffix(key, suffix)
	}
	for option := range strings.SplitSeq(sf.Tag.Get("config"), ",") {
		switch option {
		case "required":
			c.required = true
		case "secret":
			c.secret = true
		case "path":
			c.path = true
		}
	}
	return c
}

// twin is the key under which a secret's value may be read from a file.
func (f field) twin() string { return f.key + "_file" }

// keysOf lists what may be written, for messages.
func keysOf(fields []field) []string {
	var keys []string
	for _, f := range fields {
		keys = append(keys, f.key)
		if f.secret {
			keys = append(keys, f.twin())
		}
	}
	return keys
}

// fits reports whether s matches the pattern. Patterns stand in tags, so one
// that does not compile is a mistake in the code, which the schema's test finds.
func (c constraints) fits(s string) bool {
	if c.pattern == "" {
		return true
	}
	re, err := regexp.Compile(c.pattern)
	return err == nil && re.MatchString(s)
}
