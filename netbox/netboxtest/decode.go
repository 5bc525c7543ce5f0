package netboxtest

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// decoder reads one object of a write's body into a row, field by field, and
// collects NetBox's errors: one dictionary for all fields.
type decoder struct {
	s    *Server
	user *user
	k    *kind
	body *object
	// creating is false for an update; partial says that required fields may be
	// absent (PATCH).
	creating, partial bool
	errs              *object
}

const (
	required      = "This field is required."
	notNull       = "This field may not be null."
	notBlank      = "This field may not be blank."
	noNul         = "Null characters are not allowed."
	relatedByID   = "Related object not found using the provided numeric ID: %d"
	relatedByAttr = "Related object not found using the provided attributes: %s"
	relatedMany   = "Multiple objects match the provided attributes: %s"
	relatedForm   = "Related objects must be referenced by numeric ID or by dictionary of attributes. Received an unrecognized value: %s"
)

func (d *decoder) fail(field string, messages ...string) {
	d.errs.set(field, texts(messages...))
}

func texts(messages ...string) []any {
	list := make([]any, len(messages))
	for i, m := range messages {
		list[i] = m
	}
	return list
}

// given fetches a field's value; false when it is absent or already refused.
func (d *decoder) given(field string, must, null bool) (any, bool) {
	v, ok := d.body.vals[field]
	switch {
	case !ok:
		if must && !d.partial {
			d.fail(field, required)
		}
		return nil, false
	case v == nil && !null:
		d.fail(field, notNull)
		return nil, false
	}
	return v, true
}

type textRule struct {
	max                int
	must, filled, null bool
	valid              func(string) bool
	message            string
}

// text reads a CharField: numbers become text, spaces around are cut.
func (d *decoder) text(field string, to *string, rule textRule) {
	v, ok := d.given(field, rule.must, rule.null)
	if !ok {
		return
	}
	if v == nil {
		*to = ""
		return
	}
	var s string
	switch v := v.(type) {
	case string:
		s = v
	case int64, *big.Int, float64:
		s = pyStr(v)
	default:
		d.fail(field, "Not a valid string.")
		return
	}
	s = strings.TrimSpace(s)
	var errs []string
	switch {
	case s == "" && rule.filled:
		errs = []string{notBlank}
	case s != "":
		if rule.max > 0 && utf8.RuneCountInString(s) > rule.max {
			errs = append(errs, fmt.Sprintf("Ensure this field has no more than %d characters.", rule.max))
		}
		if strings.ContainsRune(s, 0) {
			errs = append(errs, noNul)
		}
		if rule.valid != nil && !rule.valid(s) {
			errs = append(errs, rule.message)
		}
	}
	if errs != nil {
		d.fail(field, errs...)
		return
	}
	*to = strings.Clone(s) // s is part of the whole body, which must not stay for it
}

func (d *decoder) bool(field string, to *bool) {
	v, ok := d.given(field, false, false)
	if !ok {
		return
	}
	if s, ok := v.(string); ok {
		v = strings.ToLower(s)
	}
	switch v {
	case true, int64(1), 1.0, "t", "y", "yes", "true", "on", "1":
		*to = true
	case false, int64(0), 0.0, "f", "n", "no", "false", "off", "0":
		*to = false
	default:
		d.fail(field, "Must be a valid boolean.")
	}
}

// int reads an IntegerField within 0 and max.
func (d *decoder) int(field string, to *int, max int) {
	v, ok := d.given(field, false, false)
	if !ok {
		return
	}
	n, ok := drfInt(v)
	switch {
	case !ok:
		d.fail(field, "A valid integer is required.")
	case n < 0:
		d.fail(field, "Ensure this value is greater than or equal to 0.")
	case n > max:
		d.fail(field, "Ensure this value is less than or equal to "+strconv.Itoa(max)+".")
	default:
		*to = n
	}
}

// drfInt is the IntegerField of a serializer: 1.0 is 1, true is no number.
func drfInt(v any) (int, bool) {
	s := pyStr(v)
	if i := strings.IndexByte(s, '.'); i >= 0 && strings.Trim(strings.TrimSpace(s[i+1:]), "0") == "" {
		s = s[:i]
	}
	return parsePyInt(s)
}

// choice reads a ChoiceField. null stands for "" there, which only blank fields
// take.
func (d *decoder) choice(field string, to *string, choices []choice, must, blank bool) {
	v, ok := d.given(field, must, true)
	if !ok {
		return
	}
	if v == nil || v == "" {
		if !blank {
			d.fail(field, notBlank)
			return
		}
		*to = ""
		return
	}
	switch v := v.(type) {
	case []any, *object:
		d.fail(field, `Value must be passed directly (e.g. "foo": 123); do not use a dictionary or list.`)
		return
	case string:
		if c, ok := choiceOf(choices, v); ok {
			*to = c.value
			return
		}
		// NetBox tries text as a boolean and a number before it looks it up,
		// and quotes what came out of that.
		switch n, isInt := parsePyInt(v); {
		case strings.EqualFold(v, "true"):
			d.fail(field, "True is not a valid choice.")
		case strings.EqualFold(v, "false"):
			d.fail(field, "False is not a valid choice.")
		case isInt:
			d.fail(field, strconv.Itoa(n)+" is not a valid choice.")
		default:
			d.fail(field, v+" is not a valid choice.")
		}
		return
	}
	d.fail(field, pyStr(v)+" is not a valid choice.")
}

// related reads a reference: an ID, or a dictionary of attributes that match
// exactly one row. k is nil for types that this server does not hold: their
// tables are empty.
func (d *decoder) related(field string, to *int, k *kind) {
	v, ok := d.given(field, false, true)
	if !ok {
		return
	}
	if v == nil {
		*to = 0
		return
	}
	r, message := d.find(k, v)
	if message != "" {
		d.fail(field, message)
		return
	}
	*to = r.rowID()
}

func (d *decoder) find(k *kind, v any) (row, string) {
	if attrs, ok := v.(*object); ok {
		// Since 4.7 attributes find only what the user may view; an ID alone finds
		// everything.
		if d.s.version.since(V47) && k != nil && !slices.Equal(attrs.keys, []string{"id"}) && !d.user.may("view", k) {
			k = nil
		}
		return findByAttributes(k, attrs)
	}
	id, ok := pyInt(v)
	if !ok {
		return nil, fmt.Sprintf(relatedForm, pyStr(v))
	}
	if k != nil {
		if r, ok := k.get(id); ok {
			return r, ""
		}
	}
	return nil, fmt.Sprintf(relatedByID, id)
}

func findByAttributes(k *kind, attrs *object) (row, string) {
	attrs = flatten(attrs, "", newObject())
	var found []row
	if k != nil {
		for r := range k.ids.all() {
			match := true
			for _, name := range attrs.keys {
				value, known := k.attribute(r, name)
				if !known {
					return nil, fmt.Sprintf("Cannot resolve keyword %s into field.", pyQuote(name))
				}
				match = match && equalValues(value, attrs.vals[name])
			}
			if match {
				found = append(found, r)
			}
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Sprintf(relatedByAttr, pyRepr(attrs))
	case 1:
		return found[0], ""
	}
	return nil, fmt.Sprintf(relatedMany, pyRepr(attrs))
}

// flatten turns {"group": {"slug": "x"}} into {"group__slug": "x"}.
func flatten(o *object, prefix string, into *object) *object {
	for _, k := range o.keys {
		if inner, ok := o.vals[k].(*object); ok {
			flatten(inner, prefix+k+"__", into)
			continue
		}
		into.set(prefix+k, o.vals[k])
	}
	return into
}

// tags reads "tags", and since 4.7 "add_tags" and "remove_tags".
func (d *decoder) tags(m *meta) {
	list, ok := d.tagList("tags")
	if ok {
		m.tags = list
	}
	if !d.s.version.since(V47) {
		return
	}
	add, adding := d.tagList("add_tags")
	remove, removing := d.tagList("remove_tags")
	if removing && d.creating {
		d.fail("remove_tags", `Cannot use "remove_tags" when creating a new object.`)
		return
	}
	if !adding && !removing {
		return
	}
	if len(list) > 0 && len(add)+len(remove) > 0 {
		d.fail("tags", `Cannot specify "tags" together with "add_tags" or "remove_tags".`)
		return
	}
	kept := append([]int(nil), m.tags...)
	for _, id := range add {
		kept = appendNew(kept, id)
	}
	m.tags = nil
	for _, id := range kept {
		if !contains(remove, id) {
			m.tags = append(m.tags, id)
		}
	}
}

func (d *decoder) tagList(field string) ([]int, bool) {
	v, ok := d.given(field, false, false)
	if !ok {
		return nil, false
	}
	items, ok := v.([]any)
	if !ok {
		d.errs.set(field, newObject(d.s.version.nonField(), texts(`Expected a list of items but got type "`+typeName(v)+`".`)))
		return nil, false
	}
	ids := make([]int, 0, len(items))
	var aligned []any
	bad := false
	for _, item := range items {
		r, message := d.find(d.s.tags, item)
		if message == "" {
			ids = appendNew(ids, r.rowID())
			aligned = append(aligned, newObject())
			continue
		}
		bad = true
		if d.s.version.since(V42) {
			d.fail(field, message) // the first bad one is the only one named
			return nil, false
		}
		aligned = append(aligned, texts(message))
	}
	if bad {
		d.errs.set(field, aligned)
		return nil, false
	}
	return ids, true
}

func contains(list []int, n int) bool {
	for _, e := range list {
		if e == n {
			return true
		}
	}
	return false
}

func appendNew(list []int, n int) []int {
	if contains(list, n) {
		return list
	}
	return append(list, n)
}
