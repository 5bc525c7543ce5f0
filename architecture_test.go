// Package allocsync_test holds what is true of the code as a whole: who may
// import whom, and the rules of style that a person would have to look for.
package allocsync_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "allocsync"

// arrow says what the packages of some folders may import of ours. The first
// entry whose folder fits counts.
type arrow struct {
	folder string   // path.Match pattern; "/..." at the end takes in what is below
	ours   []string // patterns likewise, "" for nothing
	pure   bool     // no way to the world outside, and no clock
}

func arrows() []arrow {
	return []arrow{
		{folder: "ipam", pure: false},
		{folder: "mapping", ours: []string{"ipam"}, pure: true},
		{folder: "sync/plan", ours: []string{"ipam"}, pure: true},
		{folder: "sync/apply", ours: []string{"ipam", "sync/plan"}},
		{folder: "sync/reserve", ours: []string{"ipam", "sources", "sync/plan", "sync/apply"}},
		{folder: "sync/worker", ours: []string{"ipam", "mapping", "netbox", "sources", "sync/plan", "sync/apply", "sync/reserve"}},
		{folder: "sources", ours: []string{"ipam"}},
		{folder: "sources/all", ours: []string{"sources", "sources/*"}},
		{folder: "sources/sourcetest", ours: []string{"ipam", "sources"}},
		{folder: "sources/*", ours: []string{"ipam", "sources"}},
		{folder: "sources/*/...", ours: []string{"ipam", "sources"}},
		{folder: "netbox", ours: []string{"ipam"}},
		{folder: "netbox/netboxtest", ours: nil},
		{folder: "report", ours: []string{"ipam", "mapping", "sync/plan", "sync/apply"}},
		{folder: "config", ours: nil},
		{folder: "webhook", ours: nil},
		{folder: "page", ours: nil},
		{folder: "state", ours: nil},
		{folder: "metrics", ours: nil},
		{folder: "fixtures/...", ours: nil},
		{folder: "testbed/...", ours: nil},
		{folder: "cmd/...", ours: []string{"*", "*/..."}},
		{folder: "bench", ours: []string{"*", "*/..."}}, // a program too
	}
}

// libraries says where a module of others may be imported; what is not listed
// may be imported anywhere but in pure packages.
func libraries() map[string][]string {
	return map[string][]string{
		"github.com/netbox-community/go-netbox": {"netbox"},
		"github.com/robfig/cron":                {"sync/worker"},
		"github.com/digitalocean/go-libvirt":    {"sources/libvirt", "fixtures/libvirt", "bench"},
		"golang.org/x/crypto":                   {"sources/libvirt"},
		"github.com/coder/websocket":            {"sources/*", "page"}, // page: its tests drive a browser
		"go.etcd.io/bbolt":                      {"state"},
		"github.com/prometheus/client_golang":   {"metrics"},
		"github.com/go-resty/resty":             {"netbox", "sources/*"},
		"github.com/spf13/cobra":                {"cmd/..."},
		"github.com/rs/zerolog":                 {"sync/worker", "webhook", "cmd/..."},
		"github.com/goccy/go-yaml":              {"config"},
	}
}

// source is one parsed Go file.
type source struct {
	name   string // path from here, with slashes
	folder string
	test   bool
	file   *ast.File
	set    *token.FileSet
	lines  int
}

func (s source) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.name, s.set.Position(n.Pos()).Line)
}

// mustSources parses every Go file of the module.
func mustSources(t testing.TB) []source {
	t.Helper()
	var list []source
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() {
			if name != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "vendor") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		s := source{name: filepath.ToSlash(name), set: token.NewFileSet(), test: strings.HasSuffix(base, "_test.go"), lines: strings.Count(string(text), "\n")}
		s.folder = path.Dir(s.name)
		s.file, err = parser.ParseFile(s.set, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%s does not parse: %v", s.name, err) // somebody is still writing it
			return nil
		}
		list = append(list, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 10 {
		t.Fatalf("only %d Go files found", len(list))
	}
	return list
}

// fits reports whether a folder fits a pattern.
func fits(pattern, folder string) bool {
	if below, ok := strings.CutSuffix(pattern, "/..."); ok {
		for at := folder; at != "."; at = path.Dir(at) {
			if match, _ := path.Match(below, at); match {
				return true
			}
		}
		return false
	}
	match, _ := path.Match(pattern, folder)
	return match
}

func anyFits(patterns []string, folder string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return fits(p, folder) })
}

// importFaults returns what is wrong with the imports of one file.
func importFaults(s source) []string {
	var faults []string
	rules := arrows()
	i := slices.IndexFunc(rules, func(a arrow) bool { return fits(a.folder, s.folder) })
	if i < 0 {
		return []string{fmt.Sprintf("%s: no arrow says what folder %s may import; add one to arrows()", s.name, s.folder)}
	}
	rule := rules[i]
	for _, spec := range s.file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		at := s.at(spec)
		if ours, ok := strings.CutPrefix(imported, module+"/"); ok {
			if ours != s.folder && !anyFits(rule.ours, ours) {
				faults = append(faults, fmt.Sprintf("%s: %s may not import %s; it may import %s", at, s.folder, imported, orNothing(rule.ours)))
			}
			continue
		}
		if rule.pure && worldly(imported) {
			faults = append(faults, fmt.Sprintf("%s: %s is pure and may not import %s", at, s.folder, imported))
		}
		for library, folders := range libraries() {
			if (imported == library || strings.HasPrefix(imported, library+"/")) && !anyFits(folders, s.folder) {
				faults = append(faults, fmt.Sprintf("%s: %s belongs in %s only", at, library, strings.Join(folders, ", ")))
			}
		}
	}
	return faults
}

func orNothing(patterns []string) string {
	if len(patterns) == 0 {
		return "nothing of ours"
	}
	return strings.Join(patterns, ", ")
}

// worldly reports whether a package leads out of pure computation.
func worldly(imported string) bool {
	for _, root := range []string{"context", "os", "net", "log", "io/ioutil", "syscall", "database", "plugin", "math/rand", "crypto/rand", "embed"} {
		if imported == root || strings.HasPrefix(imported, root+"/") {
			return imported != "net/netip" // addresses are values
		}
	}
	return false
}

func TestArrows(t *testing.T) {
	for _, s := range mustSources(t) {
		if s.test {
			continue
		}
		for _, fault := range importFaults(s) {
			t.Error(fault)
		}
	}
}

// The folder sync exists for its children: a package of that name would stand
// in the way of the standard library's.
func TestSyncHoldsNoGoFile(t *testing.T) {
	for _, s := range mustSources(t) {
		if s.folder == "sync" {
			t.Errorf("%s: put it in a folder below sync/", s.name)
		}
	}
}

// clockFaults finds calls that ask the clock or a random number, which a pure
// package takes as input.
func clockFaults(s source) []string {
	var faults []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "After", "Tick", "Sleep", "NewTimer", "NewTicker", "AfterFunc"}, sel.Sel.Name) {
			faults = append(faults, fmt.Sprintf("%s: %s is pure and may not call time.%s; take the time as input", s.at(sel), s.folder, sel.Sel.Name))
		}
		return true
	})
	return faults
}

func TestPurePackagesHaveNoClock(t *testing.T) {
	for _, s := range mustSources(t) {
		for _, rule := range arrows() {
			if (rule.pure || rule.folder == "ipam") && fits(rule.folder, s.folder) && !s.test {
				for _, fault := range clockFaults(s) {
					t.Error(fault)
				}
			}
		}
	}
}

// The checks above see what they are made for.
func TestChecksSee(t *testing.T) {
	parse := func(folder, text string) source {
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, "x.go", text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		return source{name: folder + "/x.go", folder: folder, file: file, set: set}
	}
	imports := func(folder string, paths ...string) []string {
		return importFaults(parse(folder, "package x\nimport (\n\""+strings.Join(paths, "\"\n\"")+"\"\n)"))
	}
	for _, c := range []struct {
		folder string
		path   string
		faults int
	}{
		{"mapping", "allocsync/ipam", 0}, {"mapping", "net/netip", 0}, {"mapping", "net/http", 1}, {"mapping", "context", 1},
		{"mapping", "allocsync/sources", 1}, {"sync/plan", "log/slog", 1}, {"sync/plan", "os/exec", 1}, {"sync/plan", "allocsync/mapping", 1},
		{"ipam", "allocsync/config", 1}, {"config", "allocsync/ipam", 1}, {"config", "os", 0}, {"webhook", "allocsync/sync/worker", 1},
		{"sources/lxd", "allocsync/sources", 0}, {"sources/lxd", "allocsync/sources/maas", 1}, {"sources/all", "allocsync/sources/lxd", 0},
		{"sources/lxd", "github.com/go-resty/resty/v2", 0}, {"report", "github.com/go-resty/resty/v2", 1}, {"netbox", "github.com/netbox-community/go-netbox/v3", 0},
		{"cmd/allocsync", "github.com/netbox-community/go-netbox/v3/netbox", 1}, {"sync/worker", "github.com/robfig/cron/v3", 0}, {"webhook", "github.com/robfig/cron/v3", 1},
		{"netbox/netboxtest", "allocsync/netbox", 1}, {"netbox/netboxtest", "allocsync/ipam", 1}, {"cmd/allocsync", "allocsync/sync/worker", 0}, {"fixtures", "allocsync/ipam", 1},
		{"newfolder", "fmt", 1}, {"sync/apply", "allocsync/netbox", 1}, {"sync/worker", "allocsync/report", 1}, {"netbox", "allocsync/sync/plan", 1},
	} {
		if got := imports(c.folder, c.path); len(got) != c.faults {
			t.Errorf("%s imports %s: %v", c.folder, c.path, got)
		}
	}
	if got := clockFaults(parse("mapping", "package x\nimport \"time\"\nvar a = time.Now()\nvar b = time.Second")); len(got) != 1 {
		t.Errorf("clock: %v", got)
	}
	vars := parse("x", `package x
import ("embed"; "errors"; "regexp")
var ErrA = errors.New("a")
var re = regexp.MustCompile("x")
var files embed.FS
var _ error = ErrA
var count int
var table = map[string]int{}`)
	var bad []string
	for _, decl := range vars.file.Decls {
		if d := decl.(*ast.GenDecl); d.Tok == token.VAR {
			if v := d.Specs[0].(*ast.ValueSpec); !allowedVariable(v) {
				bad = append(bad, v.Names[0].Name)
			}
		}
	}
	if !slices.Equal(bad, []string{"count", "table"}) {
		t.Errorf("variables: %v", bad)
	}
	if got := uncommented(parse("x", "package x\ntype T struct{}"), parse("x", "package x\ntype T struct{}").file.Decls[0]); len(got) != 1 {
		t.Errorf("comments: %v", got)
	}
}
