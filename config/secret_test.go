package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"allocsync/config"
)

type holder struct {
	Shown  config.Secret
	hidden config.Secret
}

func TestSecretIsNeverShown(t *testing.T) {
	s := config.NewSecret("s3cret")
	require.Equal(t, "s3cret", s.Reveal())
	require.Empty(t, config.Secret{}.Reveal())
	h := holder{Shown: s, hidden: s}
	var shown []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%U", "%08.3f", "%T %v"} {
		for _, v := range []any{s, &s, h, &h, []config.Secret{s}, map[string]config.Secret{"a": s}, map[config.Secret]int{s: 1}, errors.Join(fmt.Errorf("x %v", s))} {
			shown = append(shown, fmt.Sprintf(verb, v))
		}
		require.Equal(t, "[redacted]", fmt.Sprintf(strings.TrimPrefix(verb, "%T "), s), verb)
	}
	for _, v := range []any{s, &s, h, map[string]any{"a": s}, &config.Config{NetBox: config.NetBox{Token: s}}} {
		asJSON, err := json.Marshal(v)
		require.NoError(t, err)
		asYAML, err := yaml.Marshal(v)
		require.NoError(t, err)
		shown = append(shown, string(asJSON), string(asYAML))
	}
	text, err := s.MarshalText()
	require.NoError(t, err)
	shown = append(shown, string(text), s.String(), fmt.Sprint(s), fmt.Sprintln(h))
	for _, line := range shown {
		require.NotContains(t, line, "s3cret")
		require.NotContains(t, line, "733363726574", "in hexadecimal")
	}
}

func TestSecretFile(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	write("token", "from file\n")
	write("windows", "from file\r\n")
	write("two", "a\n\n")
	write("empty", "\n")
	write("large", strings.Repeat("x", 64<<10+1))
	write("fits", strings.Repeat("x", 64<<10))
	require.NoError(t, os.Mkdir(filepath.Join(folder, "folder"), 0o700))
	require.NoError(t, os.Symlink("token", filepath.Join(folder, "link"))) // as Kubernetes mounts secrets
	load := func(path string) (string, error) {
		text := "installation: dc1\nnetbox: {url: 'https://a', token_file: '" + path + "'}\nsources: [{name: a, kind: lxd, options: {url: x, password_file: token}}]\n"
		c, err := config.Parse(filepath.Join(folder, "a.yaml"), []byte(text), environment, testKinds(), nil)
		if err != nil {
			return "", err
		}
		require.Equal(t, "from file", c.Sources[0].Options.(*options).Password)
		return c.NetBox.Token.Reveal(), nil
	}
	for path, want := range map[string]string{
		"token": "from file", "windows": "from file", "two": "a\n", "link": "from file", "folder/../token": "from file",
		filepath.Join(folder, "token"): "from file", "fits": strings.Repeat("x", 64<<10),
	} {
		got, err := load(path)
		require.NoError(t, err, path)
		require.Equal(t, want, got, path)
	}
	for path, want := range map[string]string{
		"none":     "there is no file " + folder + "/none; a path is relative to the folder of the configuration",
		"empty":    folder + "/empty is empty",
		"large":    folder + "/large is larger than 64 KiB, so it is not a secret",
		"folder":   folder + "/folder is not a regular file",
		"":         "is required and must not be empty",
		"${EMPTY}": `is required, and "${EMPTY}" is empty`,
	} {
		_, err := load(path)
		require.EqualError(t, err, folder+"/a.yaml:2:40: netbox.token_file: "+want, path)
	}
	if os.Getuid() != 0 {
		write("closed", "x")
		require.NoError(t, os.Chmod(filepath.Join(folder, "closed"), 0))
		_, err := load("closed")
		require.ErrorContains(t, err, "may not read")
	}
}

func TestVariables(t *testing.T) {
	for in, want := range map[string]string{
		"x":                     "x",
		"${TOKEN}":              "s3cret",
		"a${TOKEN}b${TOKEN}":    "as3cretbs3cret",
		"${NESTED}":             "${TOKEN}", // what a variable holds is not looked at again
		"$${TOKEN}":             "${TOKEN}",
		"$$${TOKEN}":            "$${TOKEN}",
		"$${TOKEN}${TOKEN}":     "${TOKEN}s3cret",
		"$TOKEN $ $$ {TOKEN} }": "$TOKEN $ $$ {TOKEN} }",
	} {
		c, _ := mustParse(t, strings.Replace(full, "token: '${TOKEN}'", "token: '"+in+"'", 1))
		require.Equal(t, want, c.NetBox.Token.Reveal(), in)
	}
	c, _ := mustParse(t, full+"limits: {count: '${SIZE}'}\n")
	require.Equal(t, 500, c.Limits.Count)
	_, _, err := parse(full + "${TOKEN}: x\n")
	require.EqualError(t, err, "dir/a.yaml:7:1: ${TOKEN}: unknown key; valid are installation, netbox, limits, sources, serve, rules", "keys are no place for variables")
	_, _, err = parse(full + "limits: {count: '5'}\n")
	require.Error(t, err, "a number in quotes is text, unless a variable is in it")
}

func TestLoad(t *testing.T) {
	folder := t.TempDir()
	name := filepath.Join(folder, "allocsync.yaml")
	load := func() error {
		_, err := config.Load(name, environment, testKinds(), nil)
		return err
	}
	require.EqualError(t, load(), name+": cannot be opened: no such file or directory")
	for text, want := range map[string]string{
		full:                                    "",
		"\uFEFF" + full:                         "",
		strings.ReplaceAll(full, "\n", "\r\n"):  "",
		"---\n" + full + "...\n":                "",
		full + "#" + strings.Repeat("x", 1<<20): name + ": is larger than 1024 KiB, the most that is read",
		full + strings.Repeat("#\n", 20_000):    name + ":20001:1: the file has more than 20000 lines, the most that are read",
	} {
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
		if err := load(); want == "" {
			require.NoError(t, err, "%q", text)
		} else {
			require.EqualError(t, err, want)
		}
	}
	_, err := config.Load(folder, environment, testKinds(), nil)
	require.EqualError(t, err, folder+": cannot be read: is a directory")
}

// A person who gets everything wrong is not told about it for ever.
func TestProblemsAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(full)
	for i := range 5000 {
		fmt.Fprintf(&b, "key%d: 1\n", i)
	}
	_, _, err := parse(b.String())
	var problems config.Problems
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, 100)
}
