package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"allocsync/config"
	"allocsync/mapping"
)

// Parse never panics, ends, and every problem names the file and, unless it is
// about the file as a whole, a place that exists in it; no message shows what
// a variable holds. What it accepts it accepts again with the same result.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/*.yaml")
	for _, name := range append(files, "testdata/full.yaml") {
		if text, err := os.ReadFile(name); err == nil && len(text) < 8<<10 {
			f.Add(string(text))
		}
	}
	f.Add(full)
	env := func(name string) (string, bool) {
		if name == "UNSET" {
			return "", false
		}
		return "s3\x00cret", true
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "_file") {
			t.Skip("reads files")
		}
		var rules []mapping.Rule
		c, err := config.Parse("a.yaml", []byte(text), env, testKinds(), &rules)
		if err == nil {
			if c.Installation == "" || len(c.Sources) == 0 || c.Sources[0].Options == nil {
				t.Fatalf("accepted: %+v", c)
			}
			return
		}
		problems, ok := err.(config.Problems) //nolint:errorlint // the type is the contract
		if !ok || len(problems) == 0 {
			t.Fatalf("%T %v", err, err)
		}
		lines := strings.Count(text, "\n") + strings.Count(text, "\r") + 1 // YAML 1.2, 5.4: either breaks a line
		for _, p := range problems {
			if p.File != "a.yaml" || p.Line > lines || p.Line < 0 || p.Line > 0 && p.Column < 1 || p.Text == "" {
				t.Fatalf("%+v", p)
			}
		}
		if strings.Contains(err.Error(), "s3\x00cret") {
			t.Fatal(err)
		}
	})
}
