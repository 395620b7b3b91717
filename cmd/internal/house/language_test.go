package main

import (
	"go/parser"
	"go/scanner"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// unwanted are words that the code does without: callers are "they" or "it", functions
// report whether, and what stands behind the gateway is the upstream.
var unwanted = regexp.MustCompile(`(?i)\b(` + strings.Join([]string{"h" + "e", "h" + "is", "h" + "im", "wh" + "om", "an" + "ew", "le" + "st",
	"says" + `\s+` + "whether", "the registry" + `\s+` + "behind"}, "|") + `)\b`)

// lead is the beginning of a line of comment.
var lead = regexp.MustCompile(`\n\s*(//|\*)?\s*`)

// TestLanguage: no Go comment and no string literal has one of those words.
func TestLanguage(t *testing.T) {
	for _, dir := range goDirs(t) {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			for _, found := range unwantedIn(t, file) {
				t.Error(found)
			}
		}
	}
}

// unwantedIn gives each place of a file where an unwanted word stands.
func unwantedIn(t *testing.T, name string) []string {
	t.Helper()
	source, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	look := func(at token.Pos, text string) {
		if word := unwanted.FindString(lead.ReplaceAllString(text, " ")); word != "" {
			found = append(found, fset.Position(at).String()+": "+word)
		}
	}
	for _, group := range parsed.Comments {
		var all strings.Builder
		for _, c := range group.List {
			all.WriteString(c.Text + "\n")
		}
		look(group.Pos(), all.String())
	}
	for at, text := range literals(fset, name, source) {
		look(at, text)
	}
	return found
}

// literals are the string literals of a source, as they are written.
func literals(fset *token.FileSet, name string, source []byte) map[token.Pos]string {
	file := fset.AddFile(name, -1, len(source))
	var s scanner.Scanner
	s.Init(file, source, nil, 0)
	all := map[token.Pos]string{}
	for {
		at, kind, text := s.Scan()
		if kind == token.EOF {
			return all
		}
		if kind == token.STRING {
			all[at] = text
		}
	}
}

// TestPages: nor has a page that users read.
func TestPages(t *testing.T) {
	for _, page := range append(glob(t, "docs/*.md"), glob(t, "*.md")...) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if word := unwanted.FindString(line); word != "" {
				t.Errorf("%s:%d: %s", page, i+1, word)
			}
		}
	}
}
