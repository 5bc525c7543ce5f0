package config_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"allocsync/config"
	"allocsync/mapping"
	"allocsync/sources/all"
)

func testSchema() []byte {
	var rules []mapping.Rule
	return config.Schema(testKinds(), &rules)
}

func realKinds() map[string]func() any {
	kinds := map[string]func() any{}
	for _, f := range all.Factories() {
		kinds[f.Kind] = f.Options
	}
	return kinds
}

// The published schema is that of the program.
func TestPublishedSchema(t *testing.T) {
	const golden = "../docs/allocsync.schema.json"
	var rules []mapping.Rule
	got := config.Schema(realKinds(), &rules)
	require.Equal(t, string(got), string(config.Schema(realKinds(), &rules)), "the same arguments give the same bytes")
	if *update {
		require.NoError(t, os.WriteFile(golden, got, 0o644))
	}
	require.Equal(t, mustRead(t, golden), string(got), "run go test ./config -update")
}

func TestSchemaAcceptsWhatParseAccepts(t *testing.T) {
	v := newValidator(t, testSchema())
	require.NoError(t, v.text(full))
	require.NoError(t, v.text(mustRead(t, "testdata/full.yaml")))
}

// What the schema cannot say, by a piece of what Parse says.
func beyondSchema(err error) bool {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		known := false
		for _, piece := range []string{
			"is the name of", "want a URL", "must not hold a user", "must end with the path", "it has to be at least 1s", "it has to be from 1s to 10m", "has a meaning only with", "no use for ca_file",
			"there is no file", "is not a regular file", "netip.ParsePrefix", `"${TOKEN}" is not valid here`, `not "${TOKEN}"`, `"${TOKEN}" is not possible`, `"${YES}"`, "is empty",
			"characters; openssl", "give each its own", "belong together", "it has to be from 0s", "has no use without listen",
		} {
			known = known || strings.Contains(line, piece)
		}
		if !known {
			return false
		}
	}
	return true
}

// Schema and Parse are held against each other: every value of a file that
// uses every key is taken out, doubled under a wrong key, and replaced by a
// value of every sort, and both have to agree about the result.
func TestSchemaAgreesWithParse(t *testing.T) {
	var whole any
	require.NoError(t, yaml.Unmarshal([]byte(mustRead(t, "testdata/full.yaml")), &whole))
	v := newValidator(t, testSchema())
	changes, refused, accepted := 0, 0, 0
	compare := func(at string) {
		changes++
		asYAML, err := json.Marshal(whole) // JSON is YAML, without surprises in quoting
		require.NoError(t, err)
		_, _, parseErr := parse(string(asYAML))
		schemaErr := v.check(v.root, whole, "")
		switch {
		case parseErr == nil && schemaErr == nil:
			accepted++
		case parseErr != nil && schemaErr != nil:
			refused++
		case schemaErr == nil && beyondSchema(parseErr):
		default:
			require.Failf(t, "no agreement", "%s\nParse: %v\nschema: %v\n%s", at, parseErr, schemaErr, asYAML)
		}
	}
	vary(whole, "", func(v any) { whole = v }, compare)
	require.Greater(t, changes, 500)
	require.Greater(t, refused, 300)
	require.Greater(t, accepted, 100)
}

// vary calls compare after each change to value or anything in it, and undoes
// the change; replace puts another value in value's place.
func vary(value any, at string, replace func(any), compare func(at string)) {
	for _, other := range []any{
		nil, "", "text", "10.0.0.0/8", "${TOKEN}", "${YES}", "5m", 0, 1, -1, 1.5, 70000, true, []any{}, []any{"a"}, []any{1}, []any{nil}, map[string]any{}, map[string]any{"a": "b"},
	} {
		replace(through(other))
		compare(at)
	}
	replace(value)
	switch v := value.(type) {
	case map[string]any:
		for _, key := range sortedKeys(v) {
			old := v[key]
			delete(v, key)
			compare(at + "." + key + " taken out")
			v[key+"x"] = old
			compare(at + "." + key + "x")
			delete(v, key+"x")
			v[key+"_file"] = "testdata/full.yaml"
			compare(at + "." + key + "_file instead")
			v[key] = old
			compare(at + "." + key + "_file beside")
			delete(v, key+"_file")
			vary(old, at+"."+key, func(other any) { v[key] = other }, compare)
		}
	case []any:
		for i, old := range v {
			vary(old, at+"[]", func(other any) { v[i] = other }, compare)
		}
	}
}

// through makes of a value what decoding YAML makes of it.
func through(value any) any {
	switch n := value.(type) {
	case int:
		if n < 0 {
			return int64(n)
		}
		return uint64(n)
	}
	return value
}

// The keys of the schema are the keys that full.yaml uses, so that the
// comparison above misses none.
func TestFullExampleUsesEveryKey(t *testing.T) {
	var schema, whole map[string]any
	require.NoError(t, json.Unmarshal(testSchema(), &schema))
	require.NoError(t, yaml.Unmarshal([]byte(mustRead(t, "testdata/full.yaml")), &whole))
	want, got := map[string]bool{}, map[string]bool{}
	schemaKeys(schema, schema, "", want)
	valueKeys(whole, "", got)
	for key := range want {
		if !regexp.MustCompile(`(token|secret|password)_file$`).MatchString(key) { // in the place of another
			require.Contains(t, got, key)
		}
	}
	require.Greater(t, len(want), 60)
}

func schemaKeys(root, schema map[string]any, at string, keys map[string]bool) {
	properties, _ := schema["properties"].(map[string]any)
	for key, inner := range properties {
		keys[at+"."+key] = true
		schemaKeys(root, inner.(map[string]any), at+"."+key, keys)
	}
	if items, ok := schema["items"].(map[string]any); ok {
		schemaKeys(root, items, at, keys)
	}
	if then, ok := schema["then"].(map[string]any); ok {
		schemaKeys(root, then, at, keys)
	}
	if ref, ok := schema["$ref"].(string); ok {
		schemaKeys(root, root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any), at, keys)
	}
	for _, several := range []string{"anyOf", "allOf", "oneOf"} {
		list, _ := schema[several].([]any)
		for _, s := range list {
			schemaKeys(root, s.(map[string]any), at, keys)
		}
	}
}

func valueKeys(value any, at string, keys map[string]bool) {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			keys[at+"."+key] = true
			valueKeys(inner, at+"."+key, keys)
		}
	case []any:
		for _, element := range v {
			valueKeys(element, at, keys)
		}
	}
}
