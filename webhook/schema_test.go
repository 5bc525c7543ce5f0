package webhook

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// document is an OpenAPI document, as JSON.
type document map[string]any

// resolve follows a $ref to its end.
func (d document) resolve(v any) (map[string]any, error) {
	for range 10 {
		object, ok := v.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%v is no object", v)
		}
		ref, ok := object["$ref"].(string)
		if !ok {
			return object, nil
		}
		if len(object) != 1 {
			return nil, fmt.Errorf("%s has something beside it", ref)
		}
		path, ok := strings.CutPrefix(ref, "#/")
		if !ok {
			return nil, fmt.Errorf("%s leads out of the document", ref)
		}
		v = map[string]any(d)
		for part := range strings.SplitSeq(path, "/") {
			parent, _ := v.(map[string]any)
			if v, ok = parent[part]; !ok {
				return nil, fmt.Errorf("%s leads nowhere", ref)
			}
		}
	}
	return nil, fmt.Errorf("%v goes round in circles", v)
}

// check says what of a value a schema does not allow. A keyword that it does not
// know is a fault too: nothing in the document is there without being checked.
func (d document) check(schema any, value any, at string) []string {
	s, err := d.resolve(schema)
	if err != nil {
		return []string{at + ": " + err.Error()}
	}
	var faults []string
	for _, keyword := range slices.Sorted(maps.Keys(s)) {
		if fault := d.keyword(s, keyword, value); fault != "" {
			faults = append(faults, at+": "+fault)
		}
	}
	switch v := value.(type) {
	case map[string]any:
		properties, _ := s["properties"].(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if of, ok := properties[key]; ok {
				faults = append(faults, d.check(of, v[key], at+"."+key)...)
			} else if s["additionalProperties"] == false {
				faults = append(faults, at+": "+key+" is not in the schema")
			}
		}
	case []any:
		for i, element := range v {
			if s["items"] != nil {
				faults = append(faults, d.check(s["items"], element, fmt.Sprintf("%s[%d]", at, i))...)
			}
		}
	}
	return faults
}

func (d document) keyword(s map[string]any, keyword string, value any) string {
	want := s[keyword]
	text, isText := value.(string)
	number, isNumber := value.(float64)
	object, _ := value.(map[string]any)
	wrong := false
	switch keyword {
	case "description", "properties", "items", "additionalProperties": // looked at by check
	case "example":
		plain := maps.Clone(s)
		delete(plain, "example")
		if faults := d.check(plain, want, "example"); len(faults) > 0 {
			return strings.Join(faults, "; ")
		}
	case "type":
		wrong = typeOf(value) != want && !(want == "number" && typeOf(value) == "integer")
	case "enum":
		wrong = !slices.Contains(want.([]any), value)
	case "required":
		for _, key := range want.([]any) {
			if _, there := object[key.(string)]; object != nil && !there {
				return fmt.Sprintf("%s is missing", key)
			}
		}
	case "pattern":
		wrong = isText && !regexp.MustCompile(want.(string)).MatchString(text)
	case "minLength":
		wrong = isText && float64(utf8.RuneCountInString(text)) < want.(float64)
	case "maxLength":
		wrong = isText && float64(utf8.RuneCountInString(text)) > want.(float64)
	case "minimum":
		wrong = isNumber && number < want.(float64)
	default:
		return "the keyword " + keyword + " is not known here"
	}
	if wrong {
		return fmt.Sprintf("%s is to be %v: %v", keyword, want, value)
	}
	return ""
}

func typeOf(value any) string {
	switch v := value.(type) {
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case string:
		return "string"
	case bool:
		return "boolean"
	case float64:
		if v == math.Trunc(v) {
			return "integer"
		}
		return "number"
	}
	return "null"
}

// checkText is check of JSON.
func (d document) checkText(schema any, text string) []string {
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		return []string{err.Error() + ": " + text}
	}
	return d.check(schema, value, "$")
}
