package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"testing"
)

// foundRows are the rows of docs/found.md.
func foundRows() []string {
	var all []string
	for _, family := range []struct {
		letter string
		last   int
	}{{"D", 19}, {"H", 11}, {"T", 1}, {"A", 25}} {
		for i := 1; i <= family.last; i++ {
			all = append(all, fmt.Sprint(family.letter, i))
		}
	}
	return slices.DeleteFunc(all, func(row string) bool { return row == "D13" }) // it turned out to be none
}

// TestFound: each row of docs/found.md names tests that there are, and the sources of
// these name the row.
func TestFound(t *testing.T) {
	page, err := os.ReadFile(docs("found.md"))
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^\| ([DHTA]\d+) \|.*$`).FindAllStringSubmatch(string(page), -1) {
		lines[line[1]] = line[0]
	}
	for _, row := range foundRows() {
		tests := testPattern.FindAllStringSubmatch(lines[row], -1)
		if len(tests) == 0 {
			t.Errorf("row %s names no test", row)
		}
		named := false
		for _, test := range tests {
			if err := findTest(test[1], test[2], test[3]); err != nil {
				t.Errorf("row %s: %s: %v", row, test[0], err)
			}
			named = named || names(t, test[1], row)
		}
		if !named {
			t.Errorf("no source of the tests of row %s names it", row)
		}
		delete(lines, row)
	}
	if len(lines) > 0 {
		t.Errorf("rows that nobody asked for: %v", lines)
	}
}

// names reports whether a test or script of a folder mentions a row.
func names(t *testing.T, folder, row string) bool {
	t.Helper()
	word := regexp.MustCompile(`\b` + row + `\b`)
	files := glob(t, folder+"/*_test.go")
	if folder == "cmd/gatehouse" {
		files = append(files, glob(t, folder+"/testdata/*.txtar")...)
	}
	return slices.ContainsFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return word.Match(text)
	})
}
