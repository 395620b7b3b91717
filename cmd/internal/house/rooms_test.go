package main

import (
	"go/build"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rooms stand on one line: each may import those before it.
var rooms = []string{"metrics", "authn", "authz", "tokens", "proxy", "cmd"}

// importLine is a package and what it may import of this module.
type importLine struct {
	plugs   bool // it is a wing that may import its room
	imports []string
}

// importLines reads the block of docs/architecture.md.
func importLines(t *testing.T) map[string]importLine {
	t.Helper()
	page, err := os.ReadFile(docs("architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```imports\n(.*?)```").FindSubmatch(page)
	if block == nil {
		t.Fatal("docs/architecture.md has no block of imports")
	}
	lines := map[string]importLine{}
	for text := range strings.Lines(string(block[1])) {
		name, imports, _ := strings.Cut(strings.TrimSpace(text), "<-")
		name, plugs := strings.CutSuffix(strings.TrimSpace(name), "*")
		lines[name] = importLine{plugs, strings.Fields(imports)}
	}
	return lines
}

// TestImports: each package imports what its line in docs/architecture.md names.
func TestImports(t *testing.T) {
	lines := importLines(t)
	for _, dir := range goDirs(t) {
		name, err := filepath.Rel(root, dir)
		if err != nil {
			t.Fatal(err)
		}
		pkg, err := build.ImportDir(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		line, ok := lines[name]
		if !ok {
			t.Errorf("docs/architecture.md has no line for %s", name)
		}
		for _, path := range ours(pkg.Imports) {
			if !slices.Contains(line.imports, path) {
				t.Errorf("%s imports %s, which its line in docs/architecture.md does not name", name, path)
			}
		}
		for _, path := range ours(slices.Concat(pkg.TestImports, pkg.XTestImports)) {
			if !slices.Contains(line.imports, path) && path != name && !helper(path) && roomOf(path) >= roomOf(name) {
				t.Errorf("the tests of %s import %s, which its line in docs/architecture.md does not name", name, path)
			}
		}
	}
}

// helper reports whether a package is for tests: those of any room may use one to
// their left, and only cmd's can use one below cmd/internal.
func helper(path string) bool {
	return path == "authn/authntest" || strings.HasPrefix(path, "cmd/internal/")
}

// TestImportLines: the lines themselves keep to the rules.
func TestImportLines(t *testing.T) {
	for name, line := range importLines(t) {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, path := range line.imports {
			switch {
			case roomOf(path) < 0 || roomOf(path) > roomOf(name):
				t.Errorf("%s may import %s, which does not stand to its left", name, path)
			case strings.HasPrefix(name, path+"/") && !line.plugs:
				t.Errorf("the wing %s may import its room and is not said to plug into it", name)
			}
		}
	}
}

// roomOf is where a package's room stands on the line; -1: nowhere.
func roomOf(path string) int {
	room, _, _ := strings.Cut(path, "/")
	return slices.Index(rooms, room)
}

// ours are the imports that are of this module, without its name.
func ours(imports []string) []string {
	var list []string
	for _, path := range imports {
		if inner, ok := strings.CutPrefix(path, "gatehouse/"); ok {
			list = append(list, inner)
		}
	}
	return list
}

// TestRooms: each folder with Go stands in a room, and none is named for nothing.
func TestRooms(t *testing.T) {
	for _, dir := range goDirs(t) {
		name, err := filepath.Rel(root, dir)
		if err != nil || roomOf(name) < 0 {
			t.Errorf("%s stands in no room (%v)", dir, err)
		}
		if slices.Contains([]string{"util", "utils", "common", "types", "pkg"}, filepath.Base(dir)) {
			t.Errorf("there is a package %s; its parts belong where they are used", name)
		}
	}
}

// goDirs are the folders of the repository with Go files in them.
func goDirs(t *testing.T) []string {
	t.Helper()
	var dirs []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != root) {
			return filepath.SkipDir
		}
		if err == nil && strings.HasSuffix(path, ".go") && !slices.Contains(dirs, filepath.Dir(path)) {
			dirs = append(dirs, filepath.Dir(path))
		}
		return err
	})
	if err != nil || len(dirs) < 10 {
		t.Fatalf("%d folders with Go: %v", len(dirs), err)
	}
	return dirs
}
