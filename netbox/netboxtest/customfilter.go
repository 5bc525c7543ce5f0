package netboxtest

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// customCondition filters by a custom field. A field that does not exist, is not
// assigned to this object type or has filtering disabled is no filter: every row
// is listed.
func (s *Server) customCondition(k *kind, key string, values []string) (*filter, []string) {
	name, lookup, _ := strings.Cut(strings.TrimPrefix(key, "cf_"), "__")
	for _, f := range k.fields {
		if f.name != name || f.logic == "disabled" {
			continue
		}
		if f.typ == "integer" {
			return numberCondition(k, key, filterDef{number: func(r row) (int, bool) {
				n, err := strconv.Atoi(r.(objectRow).base().value(f.id))
				return n, err == nil
			}}, lookup, filled(values))
		}
		exact := f.logic == "exact" || f.typ == "select" || lookup != ""
		if exact && (lookup == "" || lookup == "n") {
			return exactCustom(f, lookup == "n", filled(values))
		}
		if lookup == "" {
			lookup = "ic"
		}
		return textCondition(filterDef{text: func(r row) (string, bool) {
			json := r.(objectRow).base().value(f.id)
			return jsonText(json), json != ""
		}}, lookup, filled(values))
	}
	return nil, nil
}

func exactCustom(f *customField, negated bool, values []string) (*filter, []string) {
	if len(values) == 0 {
		return nil, nil
	}
	if errs := noNulValues(values); errs != nil {
		return nil, errs
	}
	wanted := make(map[string]bool, len(values))
	for _, v := range values {
		switch v {
		case nullChoice:
			wanted[""] = true
		default:
			wanted[string(appendText(nil, v))] = true
		}
	}
	if len(wanted) == 1 {
		// The usual case, for which every row of the table is looked at.
		for want := range wanted {
			return &filter{match: func(r row) bool { return (r.(objectRow).base().value(f.id) == want) != negated }}, nil
		}
	}
	return &filter{match: func(r row) bool { return wanted[r.(objectRow).base().value(f.id)] != negated }}, nil
}

// jsonText is PostgreSQL's ->>: the text of a JSON string, other JSON as it is.
func jsonText(json string) string {
	if len(json) < 2 || json[0] != '"' {
		return json
	}
	if strings.IndexByte(json, '\\') < 0 && utf8.ValidString(json) {
		return json[1 : len(json)-1]
	}
	v, err := parseJSON([]byte(json), V47)
	if s, ok := v.(string); ok && err == nil {
		return s
	}
	return json
}
