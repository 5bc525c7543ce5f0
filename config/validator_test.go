package config_test

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// validator checks values against a JSON Schema, as an editor would. It knows
// the keywords that config.Schema writes and fails over any other.
type validator struct {
	t    testing.TB
	root map[string]any
}

func newValidator(t testing.TB, schema []byte) validator {
	t.Helper()
	v := validator{t: t}
	require.NoError(t, json.Unmarshal(schema, &v.root))
	return v
}

// text checks a YAML text and returns what is wrong with it first.
func (v validator) text(text string) error {
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		return err
	}
	return v.check(v.root, value, "")
}

func (v validator) check(schema map[string]any, value any, at string) error {
	for _, keyword := range sortedKeys(schema) {
		if err := v.keyword(schema, keyword, value, at); err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (v validator) keyword(schema map[string]any, keyword string, value any, at string) error {
	arg := schema[keyword]
	fault := func(ok bool) error {
		if ok {
			return nil
		}
		return fmt.Errorf("%s: %v breaks %s %v", at, value, keyword, arg)
	}
	text, isText := value.(string)
	object, isObject := value.(map[string]any)
	list, isList := value.([]any)
	number, isNumber := numeric(value)
	switch keyword {
	case "$schema", "$defs", "title", "description", "default", "then":
		return nil
	case "$ref":
		return v.check(v.ref(arg.(string)), value, at)
	case "type":
		return fault(v.isType(arg, value))
	case "enum":
		return fault(slices.Contains(arg.([]any), value))
	case "const":
		return fault(arg == value)
	case "pattern":
		return fault(!isText || regexp.MustCompile(arg.(string)).MatchString(text))
	case "minLength":
		return fault(!isText || float64(len(text)) >= arg.(float64))
	case "minimum":
		return fault(!isNumber || number >= arg.(float64))
	case "maximum":
		return fault(!isNumber || number <= arg.(float64))
	case "minItems":
		return fault(!isList || float64(len(list)) >= arg.(float64))
	case "required":
		for _, key := range arg.([]any) {
			if _, there := object[key.(string)]; isObject && !there {
				return fault(false)
			}
		}
		return nil
	case "items":
		for i, element := range list {
			if err := v.check(arg.(map[string]any), element, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
		return nil
	case "properties", "additionalProperties":
		return v.properties(schema, keyword, object, at)
	}
	return v.combination(schema, keyword, value, at)
}

func (v validator) properties(schema map[string]any, keyword string, object map[string]any, at string) error {
	properties, _ := schema["properties"].(map[string]any)
	for _, key := range sortedKeys(object) {
		inner, known := properties[key].(map[string]any)
		if keyword == "additionalProperties" {
			if known {
				continue
			}
			other, allowed := schema["additionalProperties"].(map[string]any)
			if !allowed {
				return fmt.Errorf("%s: unknown key %s", at, key)
			}
			inner, known = other, true
		}
		if known {
			if err := v.check(inner, object[key], at+"."+key); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v validator) combination(schema map[string]any, keyword string, value any, at string) error {
	if keyword == "not" {
		if v.check(schema["not"].(map[string]any), value, at) == nil {
			return fmt.Errorf("%s: breaks not", at)
		}
		return nil
	}
	if keyword == "if" {
		if v.check(schema["if"].(map[string]any), value, at) != nil {
			return nil
		}
		return v.check(schema["then"].(map[string]any), value, at)
	}
	all, ok := schema[keyword].([]any)
	require.True(v.t, ok, "the validator does not know the keyword %s", keyword)
	var faults []string
	for _, s := range all {
		if err := v.check(s.(map[string]any), value, at); err != nil {
			faults = append(faults, err.Error())
		}
	}
	good := len(all) - len(faults)
	switch {
	case keyword == "allOf" && len(faults) == 0, keyword == "anyOf" && good > 0, keyword == "oneOf" && good == 1:
		return nil
	}
	require.Contains(v.t, []string{"allOf", "anyOf", "oneOf"}, keyword)
	return fmt.Errorf("%s: %s: %s", at, keyword, strings.Join(faults, "; "))
}

func (v validator) ref(ref string) map[string]any {
	name, ok := strings.CutPrefix(ref, "#/$defs/")
	require.True(v.t, ok, ref)
	schema, ok := v.root["$defs"].(map[string]any)[name].(map[string]any)
	require.True(v.t, ok, ref)
	return schema
}

func numeric(value any) (float64, bool) {
	switch n := value.(type) {
	case uint64:
		return float64(n), true
	case int64:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

func (v validator) isType(arg, value any) bool {
	if names, ok := arg.([]any); ok {
		return slices.ContainsFunc(names, func(n any) bool { return v.isType(n, value) })
	}
	number, isNumber := numeric(value)
	switch arg {
	case "object":
		_, ok := value.(map[string]any)
		return ok
	case "array":
		_, ok := value.([]any)
		return ok
	case "string":
		_, ok := value.(string)
		return ok
	case "boolean":
		_, ok := value.(bool)
		return ok
	case "null":
		return value == nil
	case "number":
		return isNumber
	case "integer":
		return isNumber && number == math.Trunc(number)
	}
	return false
}
