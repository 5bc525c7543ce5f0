package allocsync_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	maxFileLines = 400
	maxFuncLines = 70
	maxMethods   = 3 // of an interface
)

// excuses names files, functions ("FILE FUNC") and package variables ("FILE
// VARIABLE") that break a rule of this file, each with its reason.
func excuses() map[string]string {
	return map[string]string{
		"cmd/allocsync/main.go version": "written by the linker, with -X main.version=…",
	}
}

func TestNoInitAndNoPackageVariables(t *testing.T) {
	for _, s := range mustSources(t) {
		if s.test {
			continue
		}
		for _, decl := range s.file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Name.Name == "init" && d.Recv == nil {
					t.Errorf("%s: func init: do it where main wires things", s.at(d))
				}
			case *ast.GenDecl:
				if d.Tok != token.VAR {
					continue
				}
				for _, spec := range d.Specs {
					v := spec.(*ast.ValueSpec)
					key := s.name + " " + v.Names[0].Name
					if excuses()[key] == "" && !embedded(d) && !allowedVariable(v) {
						t.Errorf("%s: package variable %s: only errors (Err…), compiled regexps, embed.FS and checks such as var _ I = T{} may be one", s.at(v), v.Names[0].Name)
					}
				}
			}
		}
	}
}

// embedded reports whether the compiler fills a variable from a file.
func embedded(d *ast.GenDecl) bool {
	return d.Doc != nil && slices.ContainsFunc(d.Doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// allowedVariable reports whether a package-level variable is one that nobody
// ever writes to.
func allowedVariable(v *ast.ValueSpec) bool {
	if sel, ok := v.Type.(*ast.SelectorExpr); ok && expression(sel) == "embed.FS" {
		return true
	}
	for i, name := range v.Names {
		switch {
		case name.Name == "_":
		case strings.HasPrefix(name.Name, "Err") || strings.HasPrefix(name.Name, "err"):
		case i < len(v.Values) && strings.HasPrefix(expression(v.Values[i]), "regexp.MustCompile"):
		default:
			return false
		}
	}
	return true
}

// expression writes package.Name of a selector or of the call of one.
func expression(e ast.Expr) string {
	if call, ok := e.(*ast.CallExpr); ok {
		e = call.Fun
	}
	if sel, ok := e.(*ast.SelectorExpr); ok {
		if pkg, ok := sel.X.(*ast.Ident); ok {
			return pkg.Name + "." + sel.Sel.Name
		}
	}
	return ""
}

func TestFilesAndFunctionsAreShort(t *testing.T) {
	reasons := excuses()
	complain := func(key, format string, args ...any) {
		if reasons[key] == "" {
			t.Errorf(format, args...)
		}
	}
	for _, s := range mustSources(t) {
		if s.test {
			continue
		}
		if s.lines > maxFileLines {
			complain(s.name, "%s: %d lines, more than %d: split it by subject", s.name, s.lines, maxFileLines)
		}
		for _, decl := range s.file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			lines := s.set.Position(f.End()).Line - s.set.Position(f.Pos()).Line + 1
			if lines > maxFuncLines {
				complain(s.name+" "+f.Name.Name, "%s: func %s has %d lines, more than %d", s.at(f), f.Name.Name, lines, maxFuncLines)
			}
		}
	}
}

func TestExportedNamesHaveComments(t *testing.T) {
	documented := map[string]bool{} // folders with a package comment
	folders := map[string]string{}
	for _, s := range mustSources(t) {
		if s.test {
			continue
		}
		documented[s.folder] = documented[s.folder] || s.file.Doc != nil
		folders[s.folder] = s.name
		for _, decl := range s.file.Decls {
			for _, fault := range uncommented(s, decl) {
				t.Error(fault)
			}
		}
	}
	for folder, name := range folders {
		if !documented[folder] {
			t.Errorf("%s: package %s has no comment in any of its files", name, folder)
		}
	}
}

func uncommented(s source, decl ast.Decl) []string {
	var faults []string
	missing := func(n ast.Node, name string) {
		faults = append(faults, fmt.Sprintf("%s: %s is exported and has no comment", s.at(n), name))
	}
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) && !standardMethod(d) {
			missing(d, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch v := spec.(type) {
			case *ast.TypeSpec:
				if v.Name.IsExported() && d.Doc == nil && v.Doc == nil {
					missing(v, v.Name.Name)
				}
				if i, ok := v.Type.(*ast.InterfaceType); ok && i.Methods.NumFields() > maxMethods {
					faults = append(faults, fmt.Sprintf("%s: interface %s has %d methods, more than %d", s.at(v), v.Name.Name, i.Methods.NumFields(), maxMethods))
				}
			case *ast.ValueSpec: // one comment may stand for a block
				if v.Names[0].IsExported() && d.Doc == nil && v.Doc == nil && v.Comment == nil {
					missing(v, v.Names[0].Name)
				}
			}
		}
	}
	return faults
}

// exportedReceiver reports whether f is a function or the method of an
// exported type.
func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	t := f.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if index, ok := t.(*ast.IndexExpr); ok {
		t = index.X
	}
	name, ok := t.(*ast.Ident)
	return ok && name.IsExported()
}

// standardMethod reports whether what f does is said by the standard
// library's interface that it fulfils.
func standardMethod(f *ast.FuncDecl) bool {
	return f.Recv != nil && slices.Contains([]string{"Error", "Unwrap", "Is", "String"}, f.Name.Name)
}

// Names that say nothing about the domain.
func TestNames(t *testing.T) {
	empty := []string{"util", "utils", "helper", "helpers", "manager", "common", "misc", "info"}
	for _, s := range mustSources(t) {
		if base := strings.TrimSuffix(path.Base(s.name), ".go"); slices.Contains(empty, base) || slices.Contains(empty, s.file.Name.Name) {
			t.Errorf("%s: a name that says nothing about what is in there", s.name)
		}
		for _, decl := range s.file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && !s.test && strings.HasPrefix(f.Name.Name, "Get") && f.Name.IsExported() {
				t.Errorf("%s: func %s: leave out the Get", s.at(f), f.Name.Name)
			}
		}
	}
}

// An excuse whose file is gone excuses something else one day.
func TestExcusesAreNeeded(t *testing.T) {
	for key, reason := range excuses() {
		file, _, _ := strings.Cut(key, " ")
		if _, err := os.Stat(filepath.FromSlash(file)); err != nil || reason == "" {
			t.Errorf("excuses(): %q has no file or no reason; take it out", key)
		}
	}
}
