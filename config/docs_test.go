package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"allocsync/config"
	"allocsync/mapping"
)

const page = "../docs/configuration.md"

// schemaNode is a piece of the program's schema whose members keep their order.
type schemaNode struct{ yaml.MapSlice }

// published is the schema of the program. JSON is YAML, and the YAML decoder
// can keep the order of keys.
func published(t testing.TB) schemaNode {
	t.Helper()
	var rules []mapping.Rule
	var root yaml.MapSlice
	require.NoError(t, yaml.UnmarshalWithOptions(config.Schema(realKinds(), &rules), &root, yaml.UseOrderedMap()))
	return schemaNode{root}
}

func (n schemaNode) member(key string) any {
	for _, m := range n.MapSlice {
		if m.Key == key {
			return m.Value
		}
	}
	return nil
}

// node returns a member that is an object, an empty one where there is none.
func (n schemaNode) node(key string) schemaNode {
	inner, _ := n.member(key).(yaml.MapSlice)
	return schemaNode{inner}
}

// first returns the first of a list of objects, and whether there is one.
func (n schemaNode) first(key string) (schemaNode, bool) {
	list, _ := n.member(key).([]any)
	if len(list) == 0 {
		return schemaNode{}, false
	}
	inner, ok := list[0].(yaml.MapSlice)
	return schemaNode{inner}, ok
}

func (n schemaNode) keys() []string {
	var keys []string
	for _, m := range n.MapSlice {
		keys = append(keys, m.Key.(string))
	}
	return keys
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
		return fmt.Sprintf("<!-- keys: %s-->\n%s<!-- /keys -->", strings.TrimPrefix(name+" ", " "), keyTable(schema, name))
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

func optionSections(schema schemaNode) []string {
	return slices.DeleteFunc(schema.node("$defs").keys(), func(name string) bool { return !strings.HasPrefix(name, "options-") })
}

// keyTable lists the keys of one section, in the order of the code.
func keyTable(schema schemaNode, name string) string {
	at := schema
	if strings.HasPrefix(name, "options-") {
		at = schema.node("$defs").node(name)
	} else if name != "" {
		for step := range strings.SplitSeq(name, ".") {
			at = at.node("properties").node(step).inside()
		}
	}
	required, _ := at.member("required").([]any)
	properties := at.node("properties")
	var b strings.Builder
	b.WriteString("| key | value | default | |\n|---|---|---|---|\n")
	for _, key := range properties.keys() {
		p := properties.node(key)
		preset := ""
		d := p.member("default")
		switch {
		case slices.Contains(required, any(key)):
			preset = "required"
		case properties.member(key+"_file") != nil && strings.Contains(fmt.Sprint(at.member("allOf")), "required ["+key+"]"):
			preset = "required, or `" + key + "_file`"
		case d != nil:
			preset = fmt.Sprintf("`%v`", d)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", key, p.sort(), preset, p.member("description"))
	}
	return b.String()
}

// inside is the schema of what a key holds: of a list, its elements.
func (n schemaNode) inside() schemaNode {
	if first, ok := n.first("anyOf"); ok {
		return first.inside()
	}
	if items := n.node("items"); items.MapSlice != nil {
		return items.inside()
	}
	return n
}

// sort says in a word or two what may be written.
func (n schemaNode) sort() string {
	if first, ok := n.first("anyOf"); ok {
		return first.sort()
	}
	if enum, ok := n.member("enum").([]any); ok {
		var words []string
		for _, w := range enum {
			if w != "" {
				words = append(words, fmt.Sprintf("`%s`", w))
			}
		}
		return strings.Join(words, ", ")
	}
	switch n.member("type") {
	case "array":
		if inner := n.node("items").sort(); inner != "text" && inner != "keys" {
			return "list of " + inner
		}
		return "list"
	case "string":
		if pattern, ok := n.member("pattern").(string); ok && strings.Contains(pattern, "ns|us") {
			return "duration"
		}
		return "text"
	case "boolean":
		return "`true`, `false`"
	case "integer", "number":
		low, high := n.member("minimum"), n.member("maximum")
		switch {
		case low != nil && high != nil:
			return fmt.Sprintf("%v to %v", low, high)
		case low != nil:
			return fmt.Sprintf("from %v", low)
		}
		return "number"
	}
	return "keys"
}

// Every YAML block that begins with "# allocsync.yaml" is a complete file:
// Parse, the schema and the rules take it. Blocks that begin with "rules:" are
// rules that are taken.
func TestDocumentedExamples(t *testing.T) {
	v := newValidator(t, func() []byte { var rules []mapping.Rule; return config.Schema(realKinds(), &rules) }())
	complete := 0
	for _, name := range documents(t) {
		blocks := yamlBlocks(mustRead(t, name))
		if filepath.Ext(name) == ".yaml" {
			blocks = []string{"# allocsync.yaml\n" + mustRead(t, name)}
		}
		for i, block := range blocks {
			if strings.HasPrefix(block, "rules:") || strings.HasPrefix(block, "serve:") {
				block = "# allocsync.yaml\ninstallation: x\nnetbox: {url: 'https://a', token: a}\nsources: [{name: lab, kind: lxd}]\n" + block
			}
			if !strings.HasPrefix(block, "# allocsync.yaml\n") {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", filepath.Base(name), i), func(t *testing.T) {
				complete++
				var rules []mapping.Rule
				block, folder := withSecrets(t, block)
				_, err := config.Parse(filepath.Join(folder, "allocsync.yaml"), []byte(block), anyVariable, realKinds(), &rules)
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
	for _, pattern := range []string{"../README.md", "../docs/*.md", "../docs/operating/*.md", "../docs/sources/*.md", "../docs/deploy/*.yaml"} {
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
	return "the value of " + name, true // every secret differs, and is long enough
}

// withSecrets makes a folder with the files that hold an example's secrets. A
// path that begins with / leads into that folder then.
func withSecrets(t testing.TB, block string) (text, folder string) {
	t.Helper()
	folder = t.TempDir()
	block = strings.ReplaceAll(block, "${CREDENTIALS_DIRECTORY}/", "credentials/")
	secret := regexp.MustCompile(`(\b\w*(?:token|password|secret)_file: *)/?([^\s,}]+)`)
	for _, m := range secret.FindAllStringSubmatch(block, -1) {
		name := filepath.Join(folder, m[2])
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
		require.NoError(t, os.WriteFile(name, []byte("the content of "+m[2]+"\n"), 0o600))
	}
	return secret.ReplaceAllString(block, "$1$2"), folder
}
