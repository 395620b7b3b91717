package main

import (
	"sync"
	"testing"
)

// The limits of docs/architecture.md, "Measures".
const (
	maxCircle       = 5
	maxMedian       = 10
	maxP90          = 24
	maxFunction     = 50
	maxMain         = 2000
	minDocumented   = 95
	minTestRatio    = 1.0
	mainPackagePath = "gatehouse/cmd/gatehouse"
)

var measured = sync.OnceValues(func() ([]*figures, error) { return load(root) })

func packages(t *testing.T) []*figures {
	t.Helper()
	all, err := measured()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestCircles: the files of a package form a stair, not a knot.
func TestCircles(t *testing.T) {
	for _, p := range packages(t) {
		for _, c := range p.circles {
			if len(c) > maxCircle {
				t.Errorf("%s: %d of %d files use each other in a circle: %v", p.path, len(c), p.files, c)
			}
		}
	}
}

// TestFunctions: they are short, each and on the whole.
func TestFunctions(t *testing.T) {
	all := &figures{}
	for _, p := range packages(t) {
		all.add(p)
		for _, f := range p.functions {
			if f.lines > maxFunction {
				t.Errorf("%s: %s has %d lines", p.path, f.name, f.lines)
			}
		}
	}
	if median, p90 := quantile(all.lengths(), 0.5), quantile(all.lengths(), 0.9); median > maxMedian || p90 > maxP90 {
		t.Errorf("functions have a median of %d lines and a p90 of %d, want at most %d and %d", median, p90, maxMedian, maxP90)
	}
}

// TestMainPackage: what can be a package of its own is none of main's.
func TestMainPackage(t *testing.T) {
	for _, p := range packages(t) {
		if p.path == mainPackagePath && p.lines >= maxMain {
			t.Errorf("%s has %d lines, want fewer than %d", p.path, p.lines, maxMain)
		}
	}
}

// TestNamesAreDocumented: every exported name has a comment.
func TestNamesAreDocumented(t *testing.T) {
	for _, p := range packages(t) {
		for _, name := range p.bare {
			t.Errorf("%s has no comment", name)
		}
	}
}

// TestFieldsAreDocumented: a field says what it holds, in which unit and range.
func TestFieldsAreDocumented(t *testing.T) {
	all := &figures{}
	for _, p := range packages(t) {
		all.add(p)
	}
	if percent := all.documentedPercent(); percent < minDocumented {
		for _, p := range packages(t) {
			t.Logf("%s: %d of %d", p.path, p.documented, p.fields)
		}
		t.Errorf("%.1f %% of exported struct fields have a comment, want %d %%", percent, minDocumented)
	}
}

// TestTestRatio: there are as many lines of tests as of code.
func TestTestRatio(t *testing.T) {
	all := &figures{}
	for _, p := range packages(t) {
		all.add(p)
	}
	if ratio := all.testRatio(); ratio < minTestRatio {
		t.Errorf("%d lines of tests for %d of code: %.2f, want %.2f", all.testLines, all.lines, ratio, minTestRatio)
	}
}
