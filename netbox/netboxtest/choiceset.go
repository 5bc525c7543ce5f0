package netboxtest

import (
	"cmp"
	"slices"
)

// choiceSet is a row of /api/extras/custom-field-choice-sets/: the values of
// selection custom fields.
type choiceSet struct {
	meta
	name, description string
	choices           []choice
}

func (c *choiceSet) clone() objectRow { n := *c; return &n }

func (c *choiceSet) labelled(v any) any {
	label := v
	if text, ok := v.(string); ok && c != nil {
		if known, ok := choiceOf(c.choices, text); ok {
			label = known.label
		}
	}
	return newObject("value", v, "label", label)
}

func (s *Server) newChoiceSets() *kind {
	k := &kind{app: "extras", model: "customfieldchoiceset", class: "CustomFieldChoiceSet", verbose: "custom field choice set", path: "extras/custom-field-choice-sets"}
	k.text = func(r row) string { return r.(*choiceSet).name }
	k.blank = func() objectRow { return &choiceSet{} }
	k.columns = slices.Concat(identity(s.version, k), []column{
		{name: "name", write: func(w *writer, r row) { w.text(r.(*choiceSet).name) }},
		{name: "description", write: func(w *writer, r row) { w.text(r.(*choiceSet).description) }},
		constant("base_choices", "null"),
		{name: "extra_choices", write: func(w *writer, r row) {
			list := []any{}
			for _, c := range r.(*choiceSet).choices {
				list = append(list, texts(c.value, c.label))
			}
			w.value(list)
		}},
		constant("order_alphabetically", "false"),
		{name: "choices_count", write: func(w *writer, r row) { w.int(len(r.(*choiceSet).choices)) }},
	}, times())
	k.brief = pick(k.columns, "id", "url", "display", "name", "description", "choices_count")
	k.decode = decodeChoiceSet
	k.check = func(objectRow) *object { return nil }
	k.data = func(w *writer, r objectRow) { w.object(pick(k.columns, "name", "description", "extra_choices"), r) }
	k.filters = map[string]filterDef{"name": {text: func(r row) (string, bool) { return r.(*choiceSet).name, true }}}
	k.attribute = attributes(map[string]func(row) any{"name": func(r row) any { return r.(*choiceSet).name }})
	k.protected = func(r row) []protector {
		var users []protector
		for f := range s.fields.rows.all() {
			if f.(*customField).choiceSet == r.rowID() {
				users = append(users, protector{s.fields, f})
			}
		}
		return users
	}
	return k.init(func(a, b row) int {
		return cmp.Or(cmp.Compare(a.(*choiceSet).name, b.(*choiceSet).name), cmp.Compare(a.rowID(), b.rowID()))
	})
}

func decodeChoiceSet(d *decoder, r objectRow) {
	c := r.(*choiceSet)
	d.text("name", &c.name, textRule{max: 100, must: true, filled: true})
	d.text("description", &c.description, textRule{max: 200})
	v, ok := d.given("extra_choices", true, false)
	if !ok {
		return
	}
	list, ok := v.([]any)
	if !ok {
		d.fail("extra_choices", `Expected a list of items but got type "`+typeName(v)+`".`)
		return
	}
	c.choices = nil
	for _, item := range list {
		pair, ok := item.([]any)
		if !ok || len(pair) != 2 {
			d.fail("extra_choices", "Each choice is a value and a label.")
			return
		}
		c.choices = append(c.choices, choice{pyStr(pair[0]), pyStr(pair[1])})
	}
}
