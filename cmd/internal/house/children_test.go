package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestChildrenAreHeard: where a program is run and its standard error goes nowhere, a
// failure cannot say why (row T1). authntest.Run and CombinedOutput keep it; a function
// that calls Output or Run of a command itself has to say where it goes.
func TestChildrenAreHeard(t *testing.T) {
	for _, dir := range goDirs(t) {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && imports(file, "os/exec") && unheard(f) {
					t.Errorf("%s: %s runs a program without its standard error", fset.Position(f.Pos()), f.Name.Name)
				}
			}
		}
	}
}

func imports(file *ast.File, path string) bool {
	for _, i := range file.Imports {
		if strings.Trim(i.Path.Value, `"`) == path {
			return true
		}
	}
	return false
}

// unheard reports whether a function calls Output() or Run() of something other than
// the tests themselves (m.Run) and sets no Stderr.
func unheard(f *ast.FuncDecl) bool {
	calls, heard := false, false
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			s, ok := n.Fun.(*ast.SelectorExpr)
			if !ok || len(n.Args) > 0 {
				break
			}
			of, _ := s.X.(*ast.Ident)
			calls = calls || s.Sel.Name == "Output" || s.Sel.Name == "Run" && (of == nil || of.Name != "m")
		case *ast.SelectorExpr:
			heard = heard || n.Sel.Name == "Stderr"
		}
		return true
	})
	return calls && !heard
}
