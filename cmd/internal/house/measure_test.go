package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestMeasure measures a module of which everything is known.
func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.com/m\n\ngo 1.24\n",
		// a and b use each other, b by a method alone; c uses a and is used by nobody;
		// d uses a field of a's struct, which is no use.
		"a.go":      "package m\n\n// T is one.\ntype T struct {\n\t// A is said.\n\tA int\n\tB, C int // both\n\tD int\n\tlow int\n}\n\nfunc one() int { return two() }\n",
		"b.go":      "package m\n\nfunc two() int {\n\treturn T{}.three()\n}\n\nfunc (t T) three() int { return t.low }\n",
		"c.go":      "package m\n\nfunc four() int {\n\ta := one()\n\n\treturn a\n}\n",
		"d.go":      "package m\n\nimport \"fmt\"\n\nfunc five(x struct{ A int }) { fmt.Println(x.A) }\n",
		"a_test.go": "package m\n\n// no test\n",

		"testdata/run.txtar": "exec m\nstdout ok\n", "testdata/other.txt": "no test\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := load(dir)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d packages, %v", len(all), err)
	}
	f := all[0]
	if got, want := fmt.Sprint(f.circles), "[[a.go b.go]]"; got != want {
		t.Errorf("circles %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(f.lengths()), "[1 1 1 3 5]"; got != want {
		t.Errorf("lengths %s, want %s", got, want)
	}
	if f.fields != 4 || f.documented != 3 || f.documentedPercent() != 75 {
		t.Errorf("%d of %d fields documented", f.documented, f.fields)
	}
	if f.files != 4 || f.lines != 31 || f.testLines != 5 {
		t.Errorf("%d files, %d lines, %d lines of tests", f.files, f.lines, f.testLines)
	}
	if got := f.longest(); got.name != "c.go:3 four" || got.lines != 5 {
		t.Errorf("the longest is %+v", got)
	}
}

// TestCirclesOfAGraph: what reaches each other, by any way round, is one circle.
func TestCirclesOfAGraph(t *testing.T) {
	graph := map[string][]string{
		"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, // a circle with a way out
		"d": {"e"}, "e": {"f"}, // a stair
		"x": {"y"}, "y": {"x", "f"},
	}
	if got, want := fmt.Sprint(circles(graph)), "[[a b c] [x y]]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
