package config_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/config"
	"allocsync/mapping"
)

const page = "../docs/configuration.md"

// published is the schema of the program, decoded.
func published(t testing.TB) map[string]any {
	t.Helper()
	var rules []mapping.Rule
	var schema map[string]any
	require.NoError(t, json.Unmarshal(config.Schema(realKinds(), &rules), &schema))
	return schema
}

// The tables of keys in the documentation are made from the code.
func TestDocumentedKeys(t *testing.T) {
	schema := published(t)
	text := mustRead(t, page)
	seen := map[string]bool{}
	blocks := regexp.MustCompile(`(?s)<!-- keys: ?(\S*) -->\n.*?<!-- /keys -->`)
	got := blocks.ReplaceAllStringFunc(text, func(block string) string {
		name := blocks.FindStringSubmatch(block)[1]
		seen[name] = true
		return fmt.Sprintf("<!-- keys: %s-->\n%s<!-- /keys -->", strings.TrimPrefix(name+" ", " "), keyTable(t, schema, name))
	})
	for _, name := range append(sections(), optionSections(schema)...) {
		require.True(t, seen[name], "%s has no block <!-- keys: %s -->", page, name)
	}
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(got), 0o644))
	}
	require.Equal(t, got, mustRead(t, page), "run go test ./config -update")
}

func sections() []string {
	return []string{"", "netbox", "limits", "sources", "sources.allow", "sources.gone", "rules", "rules.match", "rules.set"}
}

func optionSections(schema map[string]any) []string {
	var names []string
	for _, name := range sortedKeys(schema["$defs"].(map[string]any)) {
		if strings.HasPrefix(name, "options-") {
			names = append(names, name)
		}
	}
	return names
}

// keyTable lists the keys of one section. The order is that of the code, which
// decoding the schema has lost: it is found in its text.
func keyTable(t testing.TB, schema map[string]any, name string) string {
	t.Helper()
	at := schema
	if strings.HasPrefix(name, "options-") {
		at = schema["$defs"].(map[string]any)[name].(map[string]any)
	} else if name != "" {
		for step := range strings.SplitSeq(name, ".") {
			at = inside(at["properties"].(map[string]any)[step].(map[string]any))
		}
	}
	properties := at["properties"].(map[string]any)
	required := map[string]bool{}
	list, _ := at["required"].([]any)
	for _, key := range list {
		required[key.(string)] = true
	}
	var b strings.Builder
	b.WriteString("| key | value | default | |\n|---|---|---|---|\n")
	for _, key := range keysInOrder(t, name, properties) {
		p := properties[key].(map[string]any)
		preset := "required"
		if !required[key] {
			preset = ""
			if d, ok := p["default"]; ok {
				if n, isNumber := d.(float64); isNumber {
					d = strconv.FormatFloat(n, 'f', -1, 64)
				}
				preset = fmt.Sprintf("`%v`", d)
			}
		}
		if _, secret := properties[key+"_file"]; secret && strings.Contains(fmt.Sprint(at["allOf"]), "oneOf:[map[required:["+key+"]]") {
			preset = "required, or `" + key + "_file`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", key, sortOf(p), preset, p["description"])
	}
	return b.String()
}

// inside is the schema of what a key holds: of a list, its elements.
func inside(s map[string]any) map[string]any {
	if several, ok := s["anyOf"].([]any); ok {
		return inside(several[0].(map[string]any))
	}
	if items, ok := s["items"].(map[string]any); ok {
		return inside(items)
	}
	return s
}

func sortOf(s map[string]any) string {
	if several, ok := s["anyOf"].([]any); ok {
		return sortOf(several[0].(map[string]any))
	}
	if enum, ok := s["enum"].([]any); ok {
		var words []string
		for _, w := range enum {
			if w != "" {
				words = append(words, fmt.Sprintf("`%s`", w))
			}
		}
		return strings.Join(words, ", ")
	}
	switch s["type"] {
	case "array":
		if inner := sortOf(s["items"].(map[string]any)); inner != "text" && inner != "keys" {
			return "list of " + inner
		}
		return "list"
	case "string":
		if pattern, ok := s["pattern"].(string); ok && strings.Contains(pattern, "ns|us") {
			return "duration"
		}
		return "text"
	case "boolean":
		return "`true`, `false`"
	case "integer", "number":
		low, hasLow := s["minimum"]
		high, hasHigh := s["maximum"]
		switch {
		case hasLow && hasHigh:
			return fmt.Sprintf("%v to %v", low, high)
		case hasLow:
			return fmt.Sprintf("from %v", low)
		}
		return "number"
	}
	return "keys"
}

// keysInOrder returns the keys of a section in the order of the code.
func keysInOrder(t testing.TB, name string, properties map[string]any) []string {
	t.Helper()
	var rules []mapping.Rule
	text := string(config.Schema(realKinds(), &rules))
	if name != "" { // begin where the section does
		step := name[strings.LastIndex(name, ".")+1:]
		if before, _, nested := strings.Cut(name, "."); nested {
			text = text[strings.Index(text, `"`+before+`": {`):]
		}
		i := strings.Index(text, `"`+step+`": {`)
		require.GreaterOrEqual(t, i, 0, name)
		text = text[i:]
	}
	at := map[string]int{}
	keys := sortedKeys(properties)
	indent := indentOf(text)
	for _, key := range keys {
		at[key] = strings.Index(text, "\n"+indent+`"`+key+`": {`)
		require.GreaterOrEqual(t, at[key], 0, key)
	}
	sortBy(keys, func(k string) int { return at[k] })
	return keys
}

// indentOf finds the indentation of the first "properties" of text and adds
// one step: that of its keys.
func indentOf(text string) string {
	m := regexp.MustCompile(`\n( *)"properties": \{`).FindStringSubmatch(text)
	return m[1] + "  "
}

func sortBy(keys []string, by func(string) int) {
	for i := range keys {
		for j := i; j > 0 && by(keys[j]) < by(keys[j-1]); j-- {
			keys[j], keys[j-1] = keys[j-1], keys[j]
		}
	}
}

// Every YAML block that begins with "# allocsync.yaml" is a complete file:
// Parse, the schema and the rules take it. Blocks that begin with "rules:" are
// rules that are taken.
func TestDocumentedExamples(t *testing.T) {
	v := newValidator(t, func() []byte { var rules []mapping.Rule; return config.Schema(realKinds(), &rules) }())
	complete := 0
	for _, name := range documents(t) {
		for i, block := range yamlBlocks(mustRead(t, name)) {
			if strings.HasPrefix(block, "rules:") {
				block = "# allocsync.yaml\ninstallation: x\nnetbox: {url: 'https://a', token: a}\nsources: [{name: lab, kind: lxd}]\n" + block
			}
			if !strings.HasPrefix(block, "# allocsync.yaml\n") {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", filepath.Base(name), i), func(t *testing.T) {
				complete++
				var rules []mapping.Rule
				_, err := config.Parse(filepath.Join(newSecrets(t, block), "allocsync.yaml"), []byte(block), anyVariable, realKinds(), &rules)
				require.NoError(t, err)
				_, err = mapping.Compile(rules)
				require.NoError(t, err)
				require.NoError(t, v.text(block))
			})
		}
	}
	require.GreaterOrEqual(t, complete, 6)
}

// documents are the pages and files that may hold a configuration.
func documents(t testing.TB) []string {
	t.Helper()
	names := []string{page}
	for _, pattern := range []string{"../README.md", "../docs/*.md", "../docs/sources/*.md", "../docs/deploy/*.md"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, name := range found {
			if name != page {
				names = append(names, name)
			}
		}
	}
	return names
}

func yamlBlocks(text string) []string {
	var blocks []string
	for _, m := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

func anyVariable(name string) (string, bool) {
	if strings.HasSuffix(name, "URL") {
		return "https://example.org", true
	}
	return "value", true
}

// newSecrets makes a folder with the files that hold an example's secrets.
func newSecrets(t testing.TB, block string) string {
	t.Helper()
	folder := t.TempDir()
	for _, m := range regexp.MustCompile(`\b(?:token|password|secret)_file: *([^\s,}]+)`).FindAllStringSubmatch(block, -1) {
		require.False(t, filepath.IsAbs(m[1]), "%s: examples name files beside them, so that this test can make them", m[1])
		name := filepath.Join(folder, m[1])
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
		require.NoError(t, os.WriteFile(name, []byte("secret\n"), 0o600))
	}
	return folder
}
