package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// rows are the families of docs/security.md and how many rows each has.
var rows = map[string]int{"A": 17, "B": 13, "C": 15, "D": 28, "E": 19, "F": 21, "G": 9, "H": 13, "I": 13, "J": 10}

var (
	rowPattern  = regexp.MustCompile(`(?m)^\| ([A-J]\d+) \|.*$`)
	testPattern = regexp.MustCompile("`([a-z0-9/]+) ((?:Test|Fuzz)[A-Za-z0-9]+)(?:/([^`]+))?`")
)

// TestSecurity: every row of docs/security.md stands there once and names a test or
// says why there is none, and every test that the page names exists.
func TestSecurity(t *testing.T) {
	page, err := os.ReadFile(docs("security.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, row := range rowPattern.FindAllStringSubmatch(string(page), -1) {
		seen[row[1]]++
		if !testPattern.MatchString(row[0]) && !strings.Contains(row[0], "(no Go test)") {
			t.Errorf("row %s names no test", row[1])
		}
	}
	for family, n := range rows {
		for i := 1; i <= n; i++ {
			if row := fmt.Sprint(family, i); seen[row] != 1 {
				t.Errorf("row %s stands %d times", row, seen[row])
			}
		}
	}
	tests := testPattern.FindAllStringSubmatch(string(page), -1)
	if len(tests) < 100 {
		t.Errorf("the page names %d tests only", len(tests))
	}
	for _, test := range tests {
		if err := findTest(test[1], test[2], test[3]); err != nil {
			t.Errorf("%s: %v", test[0], err)
		}
	}
}

// findTest looks for a test's function among the sources of a folder, and for its
// case: a text of the sources that begins so, or a script of that name.
func findTest(dir, name, sub string) error {
	files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no tests in %s: %v", dir, err)
	}
	var sources strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		sources.Write(text)
	}
	if !strings.Contains(sources.String(), "func "+name+"(") {
		return fmt.Errorf("there is no %s", name)
	}
	if sub == "" || strings.Contains(sources.String(), `"`+sub+`/`) || strings.Contains(sources.String(), `"`+sub+`"`) {
		return nil
	}
	_, err = os.Stat(filepath.Join(root, dir, "testdata", sub+".txtar"))
	return err
}
