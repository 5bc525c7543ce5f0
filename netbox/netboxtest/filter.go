package netboxtest

import (
	"regexp"
	"strconv"
	"strings"
)

// filterDef says what a filter of an object type looks at; one of its readers
// is set.
type filterDef struct {
	text   func(row) (string, bool) // false: the row has no value
	texts  func(row) []string       // matches when one of them does
	number func(row) (int, bool)
	time   func(row) int64
	flag   func(row) bool
	// choices are the only values a text filter takes.
	choices []choice
	// kind makes number a reference: values must be IDs (or, with by, the named
	// attribute) of existing rows. every makes repeated values an AND (tags).
	kind  *kind
	by    func(row) string
	ids   func(row) []int
	every bool
	// custom filters take all values at once.
	custom func(values []string) (*filter, []string)
}

// filter is a condition made from one query parameter. seek, if set, gives the
// only rows that can match, in any order.
type filter struct {
	match func(row) bool
	seek  func() []row
}

const nullChoice = "null"

// condition makes a filter from a query parameter. nil, nil means that NetBox
// ignores the parameter: it knows no such filter, or was given no value.
func (s *Server) condition(k *kind, key string, values []string) (*filter, []string) {
	name, lookup, _ := strings.Cut(key, "__")
	if strings.HasPrefix(key, "cf_") && k.customizable {
		return s.customCondition(k, key, values)
	}
	def, ok := k.filters[name]
	if !ok {
		if def, ok = commonFilters(k)[name]; !ok {
			return nil, nil
		}
	}
	switch {
	case def.custom != nil:
		if values = filled(values); lookup != "" || len(values) == 0 {
			return nil, nil
		}
		return def.custom(values)
	case def.kind != nil:
		return relatedCondition(def, lookup, values)
	case def.text != nil:
		return textCondition(def, lookup, filled(values))
	case def.texts != nil:
		if values = filled(values); lookup != "" || len(values) == 0 {
			return nil, nil
		}
		return anyOf(def.texts, values), nil
	case def.number != nil:
		return numberCondition(k, name, def, lookup, filled(values))
	case def.time != nil:
		return timeCondition(def, lookup, filled(values))
	}
	return flagCondition(def.flag, lookup, values)
}

// filled drops empty values: `?name=` is no filter at all in NetBox, so that a
// list filtered by an empty owner holds every row.
func filled(values []string) []string {
	var kept []string
	for _, v := range values {
		if v != "" {
			kept = append(kept, v)
		}
	}
	return kept
}

func commonFilters(k *kind) map[string]filterDef {
	defs := map[string]filterDef{"id": {number: func(r row) (int, bool) { return r.rowID(), true }}}
	if k.readOnly {
		return defs
	}
	defs["created"] = filterDef{time: func(r row) int64 { return r.(objectRow).base().created }}
	defs["last_updated"] = filterDef{time: func(r row) int64 { return r.(objectRow).base().updated }}
	return defs
}

func anyOf(get func(row) []string, values []string) *filter {
	return &filter{match: func(r row) bool {
		for _, have := range get(r) {
			for _, want := range values {
				if have == want {
					return true
				}
			}
		}
		return false
	}}
}

// textMatch gives the comparison of a lookup: exact, or one of NetBox's
// suffixes. n says that it is a negation.
func textMatch(lookup string) (match func(have, want string) bool, n, ok bool) {
	base := strings.TrimPrefix(lookup, "n")
	n = base != lookup
	switch base {
	case "":
		return func(have, want string) bool { return have == want }, n, true
	case "ie":
		return strings.EqualFold, n, true
	case "ic":
		return func(have, want string) bool { return strings.Contains(strings.ToLower(have), strings.ToLower(want)) }, n, true
	case "isw":
		return func(have, want string) bool { return strings.HasPrefix(strings.ToLower(have), strings.ToLower(want)) }, n, true
	case "iew":
		return func(have, want string) bool { return strings.HasSuffix(strings.ToLower(have), strings.ToLower(want)) }, n, true
	case "regex", "iregex":
		if n {
			return nil, false, false
		}
		return func(have, want string) bool {
			re, err := regexp.Compile(map[bool]string{true: "(?i)"}[base == "iregex"] + want)
			return err == nil && re.MatchString(have)
		}, false, true
	}
	return nil, false, false
}

func textCondition(def filterDef, lookup string, values []string) (*filter, []string) {
	if len(values) == 0 {
		return nil, nil
	}
	if lookup == "empty" {
		return flagCondition(func(r row) bool { v, ok := def.text(r); return !ok || v == "" }, "", values)
	}
	match, negated, ok := textMatch(lookup)
	if !ok {
		return nil, nil
	}
	if def.choices != nil && lookup == "" {
		for _, v := range values {
			if _, ok := choiceOf(def.choices, v); !ok && v != nullChoice {
				return nil, []string{"Select a valid choice. " + v + " is not one of the available choices."}
			}
		}
	}
	if errs := noNulValues(values); errs != nil {
		return nil, errs
	}
	wanted := map[string]bool{}
	for _, v := range values {
		wanted[v] = true
	}
	return &filter{match: func(r row) bool {
		have, ok := def.text(r)
		hit := false
		switch {
		case !ok:
			hit = wanted[nullChoice]
		case lookup == "" || lookup == "n":
			hit = wanted[have]
		default:
			for _, v := range values {
				hit = hit || match(have, v)
			}
		}
		return hit != negated
	}}, nil
}

func noNulValues(values []string) []string {
	for _, v := range values {
		if strings.ContainsRune(v, 0) {
			return []string{noNul}
		}
	}
	return nil
}

func compareNumbers(lookup string) (func(have, want int64) bool, bool) {
	switch lookup {
	case "":
		return func(a, b int64) bool { return a == b }, true
	case "gt":
		return func(a, b int64) bool { return a > b }, true
	case "gte":
		return func(a, b int64) bool { return a >= b }, true
	case "lt":
		return func(a, b int64) bool { return a < b }, true
	case "lte":
		return func(a, b int64) bool { return a <= b }, true
	}
	return nil, false
}

func numberCondition(k *kind, name string, def filterDef, lookup string, values []string) (*filter, []string) {
	if len(values) == 0 {
		return nil, nil
	}
	if lookup == "empty" {
		return flagCondition(func(r row) bool { _, ok := def.number(r); return !ok }, "", values)
	}
	negated := lookup == "n"
	compare, ok := compareNumbers(strings.TrimPrefix(lookup, "n"))
	if !ok {
		return nil, nil
	}
	wanted := make([]int64, len(values))
	set := make(map[int]bool, len(values))
	for i, v := range values {
		n, ok := parsePyInt(v)
		if !ok {
			return nil, []string{"Enter a whole number."}
		}
		wanted[i], set[n] = int64(n), true
	}
	f := &filter{match: func(r row) bool {
		have, ok := def.number(r)
		hit := false
		if lookup == "" || negated {
			hit = ok && set[have]
		} else {
			for _, want := range wanted {
				hit = hit || ok && compare(int64(have), want)
			}
		}
		return hit != negated
	}}
	if name == "id" && lookup == "" {
		f.seek = func() []row {
			var rows []row
			for id := range set {
				if r, ok := k.get(id); ok {
					rows = append(rows, r)
				}
			}
			return rows
		}
	}
	return f, nil
}

func timeCondition(def filterDef, lookup string, values []string) (*filter, []string) {
	if len(values) == 0 {
		return nil, nil
	}
	negated := lookup == "n"
	compare, ok := compareNumbers(strings.TrimPrefix(lookup, "n"))
	if !ok {
		return nil, nil
	}
	wanted := make([]int64, len(values))
	for i, v := range values {
		t, ok := parseTime(v)
		if !ok {
			return nil, []string{"Enter a valid date/time."}
		}
		wanted[i] = t.UnixMicro()
	}
	return &filter{match: func(r row) bool {
		hit := false
		for _, want := range wanted {
			hit = hit || compare(def.time(r), want)
		}
		return hit != negated
	}}, nil
}

// flagCondition is a BooleanFilter: anything but true and false is no filter.
func flagCondition(get func(row) bool, lookup string, values []string) (*filter, []string) {
	if lookup != "" || len(values) == 0 {
		return nil, nil
	}
	switch strings.ToLower(values[len(values)-1]) {
	case "true", "1":
		return &filter{match: get}, nil
	case "false", "0":
		return &filter{match: func(r row) bool { return !get(r) }}, nil
	}
	return nil, nil
}

func relatedCondition(def filterDef, lookup string, values []string) (*filter, []string) {
	if lookup != "" && lookup != "n" && !(lookup == "any" && def.every) || len(values) == 0 {
		return nil, nil
	}
	wanted := map[int]bool{}
	for _, v := range values {
		if v == nullChoice {
			wanted[0] = true
			continue
		}
		id, err := def.resolve(v)
		if err != "" {
			return nil, []string{err}
		}
		for _, n := range id {
			wanted[n] = true
		}
	}
	return &filter{match: func(r row) bool {
		hits := 0
		have := def.ids(r)
		for _, id := range have {
			if wanted[id] {
				hits++
			}
		}
		hit := hits > 0 || len(have) == 0 && wanted[0]
		if def.every && lookup != "any" {
			hit = hits == len(wanted)
		}
		return hit != (lookup == "n")
	}}, nil
}

// resolve finds the rows that a reference filter's value names, by ID or
// attribute.
func (def filterDef) resolve(v string) ([]int, string) {
	choose := "Select a valid choice. " + v + " is not one of the available choices."
	if strings.ContainsRune(v, 0) {
		return nil, noNul
	}
	if def.by == nil {
		id, ok := parsePyInt(v)
		if !ok {
			return nil, "“" + v + "” is not a valid value."
		}
		// The value is compared as text with the row's ID: "04" is none.
		if _, ok := def.kind.get(id); !ok || strconv.Itoa(id) != v {
			return nil, choose
		}
		return []int{id}, ""
	}
	var ids []int
	for r := range def.kind.ids.all() {
		if by := def.by(r); by == v && by != "" {
			ids = append(ids, r.rowID())
		}
	}
	if ids == nil {
		return nil, choose
	}
	return ids, ""
}
