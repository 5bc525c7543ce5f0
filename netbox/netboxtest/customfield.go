package netboxtest

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// customField is a row of /api/extras/custom-fields/.
type customField struct {
	meta
	name, label, group, description, comments string
	typ, logic, visible, editable, regex      string
	types                                     []string // "ipam.prefix"
	required, unique, cloneable, nullsFirst   bool
	searchWeight, weight                      int
	fallback, minimum, maximum                any // default value, validation bounds
	choiceSet                                 int
}

func (f *customField) clone() objectRow { c := *f; return &c }

// title is the label, or the name made readable.
func (f *customField) title() string {
	if f.label != "" {
		return f.label
	}
	s := strings.ToLower(strings.ReplaceAll(f.name, "_", " "))
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func customFieldTypes() []choice {
	return []choice{
		{"text", "Text"}, {"longtext", "Text (long)"}, {"integer", "Integer"}, {"decimal", "Decimal"},
		{"boolean", "Boolean"}, {"date", "Date"}, {"datetime", "Date & time"}, {"url", "URL"}, {"json", "JSON"},
		{"select", "Selection"}, {"multiselect", "Multiple selection"},
	}
}

func filterLogics() []choice {
	return []choice{{"disabled", "Disabled"}, {"loose", "Loose"}, {"exact", "Exact"}}
}

func visibilities() []choice {
	return []choice{{"always", "Always"}, {"if-set", "If set"}, {"hidden", "Hidden"}}
}

func editabilities() []choice {
	return []choice{{"yes", "Yes"}, {"no", "No"}, {"hidden", "Hidden"}}
}

func (s *Server) newCustomFields() *kind {
	k := &kind{app: "extras", model: "customfield", class: "CustomField", verbose: "custom field", path: "extras/custom-fields"}
	k.text = func(r row) string { return r.(*customField).title() }
	k.blank = func() objectRow {
		return &customField{logic: "loose", visible: "always", editable: "yes", searchWeight: 1000, weight: 100, nullsFirst: true}
	}
	k.columns = s.customFieldColumns(k)
	k.brief = pick(k.columns, "id", "url", "display", "name", "description")
	if !s.version.since(V42) {
		k.brief = pick(k.columns, "id", "url", "display", "name")
	}
	k.decode = func(d *decoder, r objectRow) { s.decodeCustomField(d, r.(*customField)) }
	k.check = func(r objectRow) *object { return s.checkCustomField(r.(*customField)) }
	k.data = func(w *writer, r objectRow) { w.object(pick(k.columns, "name", "label", "required", "weight"), r) }
	field := func(get func(*customField) string) filterDef {
		return filterDef{text: func(r row) (string, bool) { return get(r.(*customField)), true }}
	}
	k.filters = map[string]filterDef{
		"name":         field(func(f *customField) string { return f.name }),
		"label":        field(func(f *customField) string { return f.label }),
		"group_name":   field(func(f *customField) string { return f.group }),
		"description":  field(func(f *customField) string { return f.description }),
		"type":         {text: func(r row) (string, bool) { return r.(*customField).typ, true }, choices: customFieldTypes()},
		"filter_logic": field(func(f *customField) string { return f.logic }),
		"required":     {flag: func(r row) bool { return r.(*customField).required }},
	}
	// The filter by assigned type is called after the version's own word.
	objectType := "object_type"
	if !s.version.since(V42) {
		objectType = "content_types"
	}
	k.filters[objectType] = filterDef{texts: func(r row) []string { return r.(*customField).types }}
	k.attribute = attributes(map[string]func(row) any{"name": func(r row) any { return r.(*customField).name }})
	return k.init(func(a, b row) int {
		x, y := a.(*customField), b.(*customField)
		return cmp.Or(cmp.Compare(x.group, y.group), cmp.Compare(x.weight, y.weight), cmp.Compare(x.name, y.name), cmp.Compare(x.id, y.id))
	})
}

// typesKey is the member that lists the object types of a custom field.
func (v Version) typesKey() string {
	if v.since(V42) {
		return "object_types"
	}
	return "content_types"
}

func (s *Server) customFieldColumns(k *kind) []column {
	v := s.version
	text := func(name string, get func(*customField) string) column {
		return column{name: name, write: func(w *writer, r row) { w.text(get(r.(*customField))) }}
	}
	flag := func(name string, get func(*customField) bool) column {
		return column{name: name, write: func(w *writer, r row) { w.bool(get(r.(*customField))) }}
	}
	number := func(name string, get func(*customField) int) column {
		return column{name: name, write: func(w *writer, r row) { w.int(get(r.(*customField))) }}
	}
	value := func(name string, get func(*customField) any) column {
		return column{name: name, write: func(w *writer, r row) { w.value(get(r.(*customField))) }}
	}
	pickOf := func(name string, choices []choice, get func(*customField) string) column {
		return column{name: name, write: func(w *writer, r row) {
			c, _ := choiceOf(choices, get(r.(*customField)))
			w.choice(c)
		}}
	}
	related := "related_object_type"
	if !v.since(V42) {
		related = "object_type"
	}
	columns := slices.Concat(identity(v, k), []column{
		{name: v.typesKey(), write: func(w *writer, r row) { w.objectTypes(r.(*customField).types) }},
		pickOf("type", customFieldTypes(), func(f *customField) string { return f.typ }),
		constant(related, "null"),
		text("data_type", dataType),
		text("name", func(f *customField) string { return f.name }),
		text("label", func(f *customField) string { return f.label }),
		text("group_name", func(f *customField) string { return f.group }),
		text("description", func(f *customField) string { return f.description }),
		flag("required", func(f *customField) bool { return f.required }),
		flag("unique", func(f *customField) bool { return f.unique }),
		number("search_weight", func(f *customField) int { return f.searchWeight }),
		pickOf("filter_logic", filterLogics(), func(f *customField) string { return f.logic }),
		pickOf("ui_visible", visibilities(), func(f *customField) string { return f.visible }),
		pickOf("ui_editable", editabilities(), func(f *customField) string { return f.editable }),
		flag("is_cloneable", func(f *customField) bool { return f.cloneable }),
		flag("nulls_first", func(f *customField) bool { return f.nullsFirst }),
		value("default", func(f *customField) any { return f.fallback }),
		constant("related_object_filter", "null"),
		number("weight", func(f *customField) int { return f.weight }),
		value("validation_minimum", func(f *customField) any { return f.minimum }),
		value("validation_maximum", func(f *customField) any { return f.maximum }),
		text("validation_regex", func(f *customField) string { return f.regex }),
		constant("validation_schema", "null"),
		{name: "choice_set", write: func(w *writer, r row) { w.related(s.choiceSets, r.(*customField).choiceSet, s.choiceSets.nested) }},
		constant("status", `{"value":"active","label":"Active"}`),
		constant("owner", "null"),
		text("comments", func(f *customField) string { return f.comments }),
	}, times())
	switch {
	case !v.since(V42):
		return drop(columns, "unique", "related_object_filter", "comments", "nulls_first", "validation_schema", "status", "owner")
	case !v.since(V47):
		return drop(columns, "nulls_first", "validation_schema", "status", "owner")
	}
	return columns
}

func drop(columns []column, names ...string) []column {
	return slices.DeleteFunc(columns, func(c column) bool { return slices.Contains(names, c.name) })
}

func dataType(f *customField) string {
	switch f.typ {
	case "integer", "decimal", "boolean":
		return f.typ
	case "json":
		return "object"
	case "multiselect":
		return "array"
	}
	return "string"
}

// objectTypes writes the types in the order the database gave them when
// recorded: by its own IDs, which 4.7 hands out in another order.
func (w *writer) objectTypes(types []string) {
	types = slices.Clone(types)
	slices.Sort(types)
	if w.s.version.since(V47) {
		slices.Reverse(types)
	}
	w.b = append(w.b, '[')
	for i, t := range types {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.text(t)
	}
	w.b = append(w.b, ']')
}

func (s *Server) decodeCustomField(d *decoder, f *customField) {
	name := f.name
	s.decodeObjectTypes(d, &f.types)
	before := f.typ
	d.choice("type", &f.typ, customFieldTypes(), true, false)
	if before != "" && f.typ != before {
		d.fail("type", "Changing the type of custom fields is not supported.")
	}
	d.text("name", &f.name, textRule{max: 50, must: true, filled: true, valid: onlyWord, message: "Only alphanumeric characters and underscores are allowed."})
	if _, bad := d.errs.vals["name"]; !bad && strings.Contains(f.name, "__") {
		d.fail("name", "Double underscores are not permitted in custom field names.")
	}
	if f.name != name {
		for r := range s.fields.rows.all() {
			if r.rowID() != f.id && r.(*customField).name == f.name {
				d.fail("name", "custom field with this name already exists.")
			}
		}
	}
	d.text("label", &f.label, textRule{max: 50})
	d.text("group_name", &f.group, textRule{max: 50})
	d.text("description", &f.description, textRule{max: 200})
	d.text("validation_regex", &f.regex, textRule{max: 500})
	if s.version.since(V42) {
		d.text("comments", &f.comments, textRule{})
		d.bool("unique", &f.unique)
	}
	d.bool("required", &f.required)
	d.bool("is_cloneable", &f.cloneable)
	d.bool("nulls_first", &f.nullsFirst)
	d.int("search_weight", &f.searchWeight, 32767)
	d.int("weight", &f.weight, 32767)
	d.choice("filter_logic", &f.logic, filterLogics(), false, false)
	d.choice("ui_visible", &f.visible, visibilities(), false, false)
	d.choice("ui_editable", &f.editable, editabilities(), false, false)
	d.related("choice_set", &f.choiceSet, s.choiceSets)
	for field, to := range map[string]*any{"default": &f.fallback, "validation_minimum": &f.minimum, "validation_maximum": &f.maximum} {
		if v, ok := d.body.vals[field]; ok {
			*to = v
		}
	}
}

func onlyWord(s string) bool {
	for _, c := range s {
		if c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

func (s *Server) decodeObjectTypes(d *decoder, to *[]string) {
	key := s.version.typesKey()
	v, ok := d.given(key, true, false)
	if !ok {
		return
	}
	list, ok := v.([]any)
	if !ok {
		d.fail(key, `Expected a list of items but got type "`+typeName(v)+`".`)
		return
	}
	types := make([]string, 0, len(list))
	for _, item := range list {
		name, isText := item.(string)
		app, model, found := strings.Cut(name, ".")
		switch {
		case !isText || !found || strings.Contains(model, "."):
			d.fail(key, "Invalid value. Specify a content type as '<app_label>.<model_name>'.")
			return
		case !s.customizable(app + "." + model):
			d.fail(key, "Invalid content type: "+name)
			return
		}
		if !slices.Contains(types, name) {
			types = append(types, name)
		}
	}
	*to = types
}

// customizable says whether custom fields can be assigned to the object type.
// Of the types that this server does not hold, the commonest are known.
func (s *Server) customizable(name string) bool {
	for _, k := range s.kinds {
		if k.name() == name {
			return k.customizable
		}
	}
	return slices.Contains([]string{"dcim.device", "dcim.interface", "dcim.site", "ipam.aggregate", "ipam.iprange", "ipam.vlan",
		"virtualization.cluster", "virtualization.virtualmachine", "virtualization.vminterface"}, name)
}

func (s *Server) checkCustomField(f *customField) *object {
	selects := f.typ == "select" || f.typ == "multiselect"
	switch {
	case selects && f.choiceSet == 0:
		return newObject("choice_set", texts("Selection fields must specify a set of choices."))
	case !selects && f.choiceSet != 0:
		return newObject("choice_set", texts("Choices may be set only on selection fields."))
	case f.regex != "" && f.typ != "text" && f.typ != "longtext" && f.typ != "url":
		return newObject("validation_regex", texts("Regular expression validation is supported only for text and URL fields"))
	case f.regex != "" && !compiles(f.regex):
		return newObject("validation_regex", texts(f.regex+" is not a valid regular expression."))
	}
	if f.fallback != nil {
		if message := s.invalidValue(f, f.fallback); message != "" {
			return newObject("default", texts(`Invalid default value "`+pyStr(f.fallback)+`": `+message))
		}
	}
	return nil
}

func compiles(pattern string) bool {
	_, err := regexp.Compile(pattern)
	return err == nil
}
