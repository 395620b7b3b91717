package main

import (
	"go/build"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// line is the order of the rooms: a package imports only packages to its left.
var line = []string{"metrics", "authn", "authz", "tokens", "proxy", "cmd"}

// TestImports keeps the rooms on one line, tests included: what a test needs from
// the right shows that something stands on the wrong side.
func TestImports(t *testing.T) {
	for i, room := range line {
		for _, dir := range goDirs(t, filepath.Join(root, room)) {
			pkg, err := build.ImportDir(dir, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range slices.Concat(pkg.Imports, pkg.TestImports, pkg.XTestImports) {
				inner, ours := strings.CutPrefix(path, "gatehouse/")
				if !ours {
					continue
				}
				if at := slices.Index(line, strings.SplitN(inner, "/", 2)[0]); at > i || at < 0 && room != "cmd" {
					t.Errorf("%s imports %s, which does not stand to its left", dir, path)
				}
			}
		}
	}
}

// TestRooms finds a room that nobody put on the line.
func TestRooms(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if slices.Contains([]string{"util", "common", "types", "pkg", "internal"}, e.Name()) {
			t.Errorf("there is a package %s; its parts belong where they are used", e.Name())
		}
	}
}

// goDirs are the folders below root with Go files in them.
func goDirs(t *testing.T, root string) []string {
	t.Helper()
	var dirs []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "testdata" {
			return filepath.SkipDir
		}
		if err == nil && strings.HasSuffix(path, ".go") && !slices.Contains(dirs, filepath.Dir(path)) {
			dirs = append(dirs, filepath.Dir(path))
		}
		return err
	})
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no Go files below %s: %v", root, err)
	}
	return dirs
}
