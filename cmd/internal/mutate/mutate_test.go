package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sample = `package sample

var sizes = map[string][]int{"small": {1, 2}}

func Check(s []int, limit int, strict bool) (bool, error) {
	count := 0
	for _, n := range s {
		if n < 0 || strict && n > limit {
			return false, nil
		}
		count++
	}
	switch count {
	case 0:
		return false, nil
	}
	return true, nil
}
`

// TestMutants: every kind of change that stands in the sample is made, once.
func TestMutants(t *testing.T) {
	ids := 0
	s, err := parseSource("sample.go", []byte(sample), &ids)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range s.mutants {
		got = append(got, strings.TrimPrefix(m.name, "sample.go "))
	}
	want := []string{
		`sizes: no entry "small"`, `sizes: no 1 in "small"`, `sizes: no 2 in "small"`,
		"Check: deleted for _, n := range s {", "Check: zero instead of return true, nil",
		"Check: deleted count++", "Check: always n < 0 || strict && n > limit", "Check: never n < 0 || strict && n > limit",
		"Check: without || n < 0", "Check: without || strict && n > limit", "Check: bound of n < 0", "Check: not n < 0",
		"Check: without && strict", "Check: without && n > limit", "Check: bound of n > limit", "Check: not n > limit", "Check: nothing for case 0",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if ids != len(want) {
		t.Errorf("%d ids for %d mutants", ids, len(want))
	}
}

// TestRun mutates a module whose test looks at one half of a check: the other
// half survives, and what is listed as equivalent must be.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	source := "package sample\n\nfunc In(n int) bool { return n > 0 && n < 10 }\n"
	put("go.mod", "module example.com/m\n\ngo 1.24\n")
	put("sample/sample.go", source)
	put("sample/sample_test.go", "package sample\n\nimport \"testing\"\n\nfunc TestIn(t *testing.T) {\n\tif !In(1) || !In(5) || In(0) {\n\t\tt.Fail()\n\t}\n}\n")
	put("equal", "# a comment\n\nsample/sample.go In: bound of n < 10\tfor the test\n")
	put("wrong", "sample/sample.go In: bound of n > 0\tnot so\n")
	put("stale", "sample/sample.go In: gone\tonce\n")
	t.Chdir(dir)
	score, err := run([]string{"sample/sample.go"}, "", map[string]string{"sample": "In"})
	if err != nil || score < 70 || score > 72 { // 5 of 7: without && n < 10, and its bound, survive
		t.Errorf("%v %v", score, err)
	}
	if score, err := run([]string{"sample/sample.go"}, "equal", nil); err != nil || score < 83 || score > 84 {
		t.Errorf("with one that changes nothing: %v %v", score, err)
	}
	for list, want := range map[string]string{"wrong": "a test notices it", "stale": "no mutant any more", "missing": "no such file"} {
		if _, err := run([]string{"sample/sample.go"}, list, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", list, err, want)
		}
	}
	if text, err := os.ReadFile("sample/sample.go"); err != nil || string(text) != source {
		t.Errorf("the tree was changed: %q %v", text, err)
	}
}
