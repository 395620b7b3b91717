package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// figures are what is measured of one package, or of several.
type figures struct {
	path       string // the import path
	files      int    // without tests
	lines      int    // of those files, comments and all
	testLines  int
	functions  []function
	fields     int        // exported, of exported structs
	documented int        // of them, those with a comment
	bare       []string   // exported names without a comment
	circles    [][]string // files that use each other, directly or not; the largest first
	parsed     []*ast.File
	fset       *token.FileSet
}

// function is one function with a body, or a method.
type function struct {
	name  string // file:line name
	lines int    // from func to the closing brace
}

// listed is what `go list` knows of a package.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
	Module                  *struct{ Main bool }
	Error                   *struct{ Err string }
}

// load measures every package of the module in folder.
func load(folder string) ([]*figures, error) {
	all, err := list(folder)
	if err != nil {
		return nil, err
	}
	exports := map[string]string{}
	for _, p := range all {
		exports[p.ImportPath] = p.Export
	}
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	var measured []*figures
	for _, p := range all {
		if p.Module == nil || !p.Module.Main {
			continue
		}
		f, err := measure(fset, imports, p)
		if err != nil {
			return nil, err
		}
		measured = append(measured, f)
	}
	return measured, nil
}

// list asks the go command for the packages of the module and all that they import,
// compiled.
func list(folder string) ([]listed, error) {
	command := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,Module,Error", "./...")
	command.Dir = folder
	var said bytes.Buffer
	command.Stderr = &said
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, &said)
	}
	var all []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		if p.Error != nil {
			return nil, errors.New(p.Error.Err)
		}
		all = append(all, p)
	}
}

func measure(fset *token.FileSet, imports types.Importer, p listed) (*figures, error) {
	f := &figures{path: p.ImportPath, fset: fset, files: len(p.GoFiles)}
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		f.parsed = append(f.parsed, file)
		f.lines += fset.File(file.Pos()).LineCount()
		f.measureFile(file)
	}
	var err error
	if f.testLines, err = testLines(p.Dir); err != nil {
		return nil, err
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: imports}
	pkg, err := config.Check(p.ImportPath, fset, f.parsed, info)
	if err != nil {
		return nil, err
	}
	f.circles = circles(uses(fset, pkg, info))
	return f, nil
}

// testLines counts the lines of a package's tests: files of Go, and scripts that run the
// program.
func testLines(folder string) (n int, err error) {
	for _, pattern := range []string{"*_test.go", "testdata/*.txtar"} {
		files, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			return 0, err
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				return 0, err
			}
			n += bytes.Count(text, []byte("\n"))
		}
	}
	return n, nil
}

// measureFile counts functions and fields.
func (f *figures) measureFile(file *ast.File) {
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil || ofExported(d.Recv) && !selfEvident[d.Name.Name] {
				f.checkComment(d.Name, d.Doc)
			}
			if d.Body != nil {
				start, end := f.fset.Position(d.Pos()), f.fset.Position(d.End())
				f.functions = append(f.functions, function{fmt.Sprintf("%s:%d %s", filepath.Base(start.Filename), start.Line, d.Name.Name), end.Line - start.Line + 1})
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				f.measureSpec(d, spec)
			}
		}
	}
}

// measureSpec looks at types, variables and constants; the comment of a group is that
// of all in it.
func (f *figures) measureSpec(d *ast.GenDecl, spec ast.Spec) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		f.checkComment(s.Name, d.Doc, s.Doc, s.Comment)
		if s.Name.IsExported() {
			f.measureStruct(s)
		}
	case *ast.ValueSpec:
		for _, name := range s.Names {
			f.checkComment(name, d.Doc, s.Doc, s.Comment)
		}
	}
}

// selfEvident are methods whose meaning is that of the interface which asks for them.
var selfEvident = map[string]bool{"Error": true, "Unwrap": true, "Is": true, "String": true, "Format": true, "LogValue": true, "MarshalText": true, "MarshalJSON": true}

// ofExported reports whether a method's receiver is of an exported type.
func ofExported(receiver *ast.FieldList) bool {
	exported := false
	ast.Inspect(receiver.List[0].Type, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		exported = exported || ok && id.IsExported()
		return true
	})
	return exported
}

func (f *figures) checkComment(name *ast.Ident, comments ...*ast.CommentGroup) {
	said := slices.ContainsFunc(comments, func(c *ast.CommentGroup) bool { return c != nil })
	if name.IsExported() && !said {
		f.bare = append(f.bare, f.fset.Position(name.Pos()).String()+" "+name.Name)
	}
}

// measureStruct counts the exported fields of a struct. The comment of a line is that
// of all its fields, above it or behind it.
func (f *figures) measureStruct(s *ast.TypeSpec) {
	fields, ok := s.Type.(*ast.StructType)
	if !ok {
		return
	}
	for _, line := range fields.Fields.List {
		for _, name := range line.Names {
			if !name.IsExported() {
				continue
			}
			f.fields++
			if line.Doc != nil || line.Comment != nil {
				f.documented++
			}
		}
	}
}

// uses says of each file which files of its package it uses: those that declare a
// package-level name or a method that stands in it.
func uses(fset *token.FileSet, pkg *types.Package, info *types.Info) map[string][]string {
	graph := map[string][]string{}
	for id, object := range info.Uses {
		if object.Pkg() != pkg || object.Parent() != pkg.Scope() && !isMethod(object) {
			continue
		}
		from, to := fileOf(fset, id.Pos()), fileOf(fset, object.Pos())
		if from != to && !slices.Contains(graph[from], to) {
			graph[from] = append(graph[from], to)
		}
	}
	return graph
}

func isMethod(object types.Object) bool {
	f, ok := object.(*types.Func)
	return ok && f.Signature().Recv() != nil
}

func fileOf(fset *token.FileSet, p token.Pos) string { return filepath.Base(fset.Position(p).Filename) }

// circles are the sets of two files or more that reach each other, largest first.
func circles(graph map[string][]string) [][]string {
	reached := map[string]map[string]bool{}
	for file := range graph {
		reached[file] = map[string]bool{}
		reach(graph, file, reached[file])
	}
	seen := map[string]bool{}
	var all [][]string
	for file := range graph {
		var circle []string
		for other := range reached[file] {
			if reached[other][file] && !seen[other] {
				circle = append(circle, other)
				seen[other] = true
			}
		}
		if len(circle) > 1 {
			slices.Sort(circle)
			all = append(all, circle)
		}
	}
	slices.SortFunc(all, func(a, b []string) int { return cmp.Or(len(b)-len(a), cmp.Compare(a[0], b[0])) })
	return all
}

func reach(graph map[string][]string, file string, reached map[string]bool) {
	for _, next := range graph[file] {
		if !reached[next] {
			reached[next] = true
			reach(graph, next, reached)
		}
	}
}

func (f *figures) add(g *figures) {
	f.files, f.lines, f.testLines = f.files+g.files, f.lines+g.lines, f.testLines+g.testLines
	f.functions = append(f.functions, g.functions...)
	f.fields, f.documented = f.fields+g.fields, f.documented+g.documented
}

func (f *figures) testRatio() float64 { return float64(f.testLines) / float64(max(f.lines, 1)) }

func (f *figures) documentedPercent() float64 {
	if f.fields == 0 {
		return 100
	}
	return 100 * float64(f.documented) / float64(f.fields)
}

func (f *figures) longest() function {
	return slices.MaxFunc(f.functions, func(a, b function) int { return a.lines - b.lines })
}
