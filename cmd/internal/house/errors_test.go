package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestErrorsPage: docs/errors.md has every message that a client is told, every code, every
// line of the log that warns or is an error, and every reason for which a token is refused or
// a directory or registry fails.
func TestErrorsPage(t *testing.T) {
	text, err := os.ReadFile(docs("errors.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := strings.Join(strings.Fields(string(text)), " ")
	said := map[string]string{}
	for _, dir := range goDirs(t) {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") && !strings.Contains(file, "authntest") {
				saidIn(t, file, said)
			}
		}
	}
	if len(said) < 120 {
		t.Fatalf("only %d messages found", len(said))
	}
	for message, place := range said {
		if !strings.Contains(page, message) {
			t.Errorf("%s: docs/errors.md says nothing of %q: add a row with its cause and what helps", place, message)
		}
	}
}

// reasonFiles are those whose errors stand in the log as the reason of a refusal.
var reasonFiles = regexp.MustCompile(`/(tokens/(keyring|claims|tokens|redeem|revoke|identify)|authn/(outcome|canary|ldap/(pool|probe)|apitoken/apitoken|certificate/(certificate|lists)|oidc/(token|keys|oidc)|workload/(workload|template))|proxy/upstream/error)\.go$`)

// saidIn adds the messages of a file, and where each stands.
func saidIn(t *testing.T, name string, said map[string]string) {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	add := func(n ast.Node) {
		ast.Inspect(n, func(n ast.Node) bool {
			if _, ok := n.(*ast.CallExpr); ok {
				return false // clip(key), strconv.Itoa(n): not what is written here
			}
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				for _, part := range parts(lit.Value) {
					said[part] = fset.Position(lit.Pos()).String()
				}
			}
			return true
		})
	}
	inProxy := strings.Contains(name, "/proxy/") && !strings.Contains(name, "/proxy/ui/")
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && inProxy && slices.Contains([]string{"message", "Message", "code"}, key.Name) {
				add(n.Value)
			}
		case *ast.CallExpr:
			for _, i := range messageArguments(n, inProxy, reasonFiles.MatchString(filepath.ToSlash(name))) {
				if i < len(n.Args) {
					add(n.Args[i])
				}
			}
		}
		return true
	})
}

// messageArguments are the places of a call's arguments that hold a message.
func messageArguments(call *ast.CallExpr, inProxy, reasons bool) []int {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		switch {
		case inProxy && (f.Name == "badRequest" || f.Name == "malformed"):
			return []int{0}
		case inProxy && f.Name == "invalid":
			return []int{0, 1}
		}
	case *ast.SelectorExpr:
		on := ""
		switch x := f.X.(type) {
		case *ast.Ident:
			on = x.Name
		case *ast.SelectorExpr:
			on = x.Sel.Name
		}
		switch {
		case strings.EqualFold(on, "log") || strings.EqualFold(on, "logger"):
			if f.Sel.Name == "Warn" || f.Sel.Name == "Error" {
				return []int{0}
			}
		case f.Sel.Name == "logLocked":
			return []int{1}
		case reasons && (on == "errors" && f.Sel.Name == "New" || on == "fmt" && f.Sel.Name == "Errorf"):
			return []int{0}
		}
	}
	return nil
}

// parts are what of a literal is the same in each message: between the verbs of a format.
func parts(literal string) (all []string) {
	text, err := strconv.Unquote(literal)
	if err != nil {
		return nil
	}
	for _, part := range regexp.MustCompile(`%[-+#.0-9]*[a-z]`).Split(text, -1) {
		if part = strings.Trim(strings.Join(strings.Fields(part), " "), ` :;,("`); len(part) >= 6 {
			all = append(all, part)
		}
	}
	return all
}
