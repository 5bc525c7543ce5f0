package netboxtest

import (
	"regexp"
	"slices"
	"time"
)

// customFields reads "custom_fields" of a write into m. What it does not name
// stays as it was. A new row without any is given null for every field, else
// nothing for those not named; defaults come on top.
func (d *decoder) customFields(m *meta) {
	v, ok := d.given("custom_fields", false, false)
	if d.creating {
		if _, named := d.body.vals["custom_fields"]; !named {
			m.custom = d.k.nulls
		}
		for _, f := range d.k.fields {
			if f.fallback != nil {
				d.s.setCustom(m, f, f.fallback)
			}
		}
	}
	if !ok {
		return
	}
	o, ok := v.(*object)
	if !ok {
		d.fail("custom_fields", "Invalid data format. Custom field data must be passed as a dictionary mapping field names to their values.")
		return
	}
	if !d.knownCustomFields(o) {
		return
	}
	m.custom = slices.Clone(m.custom)
	for _, f := range d.k.fields {
		if v, ok := o.vals[f.name]; ok {
			d.s.setCustom(m, f, v)
		}
	}
}

// knownCustomFields refuses names that this object type has no field for: since
// 4.7 under the field, before as an error of the whole object (and only after
// the other fields were found right, which makes no difference in the text).
func (d *decoder) knownCustomFields(o *object) bool {
	var unknown []string
	for _, name := range o.keys {
		if !slices.ContainsFunc(d.k.fields, func(f *customField) bool { return f.name == name }) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return true
	}
	if !d.s.version.since(V47) {
		d.fail("__all__", "Unknown field name '"+unknown[0]+"' in custom field data.")
		return false
	}
	slices.Sort(unknown)
	errs := newObject()
	for _, name := range unknown {
		errs.set(name, "Custom field '"+name+"' does not exist for this object type.")
	}
	d.errs.set("custom_fields", errs)
	return false
}

// setCustom stores a value.
func (s *Server) setCustom(m *meta, f *customField, v any) {
	i := slices.IndexFunc(m.custom, func(c customValue) bool { return c.field == f.id })
	json := s.intern(f.id, string(appendValue(nil, v)))
	m.custom = slices.Clone(m.custom) // shared with the row it was cloned from
	if i >= 0 {
		m.custom[i].json = json
		return
	}
	m.custom = append(m.custom, customValue{f.id, json})
}

// internLimit bounds the distinct values shared per field: owners and types
// repeat in every row, users do not.
const internLimit = 256

func (s *Server) intern(field int, json string) string {
	shared := s.interned[field]
	if shared == nil {
		shared = make(map[string]string)
		s.interned[field] = shared
	}
	if same, ok := shared[json]; ok {
		return same
	}
	if len(shared) < internLimit {
		shared[json] = json
	}
	return json
}

// checkCustom validates a row's custom field values and looks for required ones.
func (s *Server) checkCustom(k *kind, m *meta) *object {
	for _, f := range k.fields {
		json := m.value(f.id)
		if json == "" {
			switch {
			case f.required && m.stored(f.id) != "":
				return newObject("__all__", texts("Invalid value for custom field '"+f.name+"': Required field cannot be empty."))
			case f.required:
				return newObject("__all__", texts("Missing required custom field '"+f.name+"'."))
			}
			continue
		}
		v, err := parseJSON([]byte(json), s.version)
		if err != nil {
			continue
		}
		if message := s.invalidValue(f, v); message != "" {
			return newObject("__all__", texts("Invalid value for custom field '"+f.name+"': "+message))
		}
		if f.unique && v != "" && s.taken(k, m.id, f, json) {
			return newObject("__all__", texts("Custom field '"+f.name+"' must have a unique value."))
		}
	}
	return nil
}

func (s *Server) taken(k *kind, id int, f *customField, json string) bool {
	for r := range k.ids.all() {
		if r.rowID() != id && r.(objectRow).base().value(f.id) == json {
			return true
		}
	}
	return false
}

// invalidValue gives NetBox's complaint about a custom field's value, "" for
// none. Text has no maximum length.
func (s *Server) invalidValue(f *customField, v any) string {
	if v == nil || v == "" {
		if f.required {
			return "Required field cannot be empty."
		}
		return ""
	}
	text, isText := v.(string)
	switch f.typ {
	case "text", "longtext", "url":
		if !isText {
			return "Value must be a string."
		}
		if f.regex != "" {
			if re, err := regexp.Compile(`^(?:` + f.regex + `)`); err == nil && !re.MatchString(text) {
				return "Value must match regex '" + f.regex + "'"
			}
		}
	case "integer":
		if typeName(v) != "int" {
			return "Value must be an integer."
		}
	case "decimal":
		if name := typeName(v); name != "int" && name != "float" {
			return "Value must be a decimal."
		}
	case "boolean":
		if v != true && v != false && v != int64(0) && v != int64(1) {
			return "Value must be true or false."
		}
	case "date":
		if _, err := time.Parse(time.DateOnly, text); err != nil {
			return "Date values must be in ISO 8601 format (YYYY-MM-DD)."
		}
	case "datetime":
		if _, ok := parseTime(text); !ok {
			return "Date and time values must be in ISO 8601 format (YYYY-MM-DD HH:MM:SS)."
		}
	case "select", "multiselect":
		return s.invalidChoice(f, v)
	}
	return ""
}

func (s *Server) invalidChoice(f *customField, v any) string {
	r, ok := s.choiceSets.get(f.choiceSet)
	if !ok {
		return ""
	}
	set := r.(*choiceSet)
	valid := func(v any) bool {
		text, ok := v.(string)
		_, known := choiceOf(set.choices, text)
		return ok && known
	}
	if f.typ == "select" {
		if valid(v) {
			return ""
		}
		return "Invalid choice (" + pyStr(v) + ") for choice set " + set.name + "."
	}
	if list, ok := v.([]any); ok && !slices.ContainsFunc(list, func(v any) bool { return !valid(v) }) {
		return ""
	}
	return "Invalid choice(s) (" + pyStr(v) + ") for choice set " + set.name + "."
}

// parseTime reads an ISO 8601 date and time, in UTC when it names no zone.
func parseTime(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999", "2006-01-02 15:04:05.999999",
		"2006-01-02 15:04:05.999999Z07:00", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// customColumn renders "custom_fields": every field of the object type, null
// where the row has no value.
func (s *Server) customColumn(k *kind) column {
	return column{name: "custom_fields", write: func(w *writer, r row) {
		m := r.(objectRow).base()
		if len(k.fields) == 0 {
			w.raw("{}")
			return
		}
		for i, f := range k.fields {
			w.key(f.name, i == 0)
			w.customValue(f, m.value(f.id))
		}
		w.b = append(w.b, '}')
	}}
}

func (w *writer) customValue(f *customField, json string) {
	if json == "" {
		w.null()
		return
	}
	// Since 4.7 a selection reads back with its label, before as it was written.
	if f.choiceSet == 0 || !w.s.version.since(V47) {
		w.raw(json)
		return
	}
	v, _ := parseJSON([]byte(json), w.s.version)
	r, _ := w.s.choiceSets.get(f.choiceSet)
	set, _ := r.(*choiceSet)
	if list, ok := v.([]any); ok {
		labelled := make([]any, len(list))
		for i, e := range list {
			labelled[i] = set.labelled(e)
		}
		w.value(labelled)
		return
	}
	w.value(set.labelled(v))
}
