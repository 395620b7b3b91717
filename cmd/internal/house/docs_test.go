package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// root is the repository's folder.
const root = "../../.."

// docs is the path of a page.
func docs(name string) string { return filepath.Join(root, "docs", name) }

// TestScripts: every script here and each one that CI runs is one its shell can read.
func TestScripts(t *testing.T) {
	files := []string{filepath.Join(root, "deploy/openldap/start"), filepath.Join(root, ".ci/run")}
	for _, pattern := range []string{"deploy/*.sh", "cmd/internal/scripts/*.sh", "cmd/internal/suites/*.sh"} {
		files = append(files, glob(t, pattern)...)
	}
	for _, file := range files {
		if out, err := exec.Command("bash", "-n", file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
		if info, err := os.Stat(file); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s cannot be executed (%v)", file, err)
		}
	}
}

// glob are the files of a pattern, of which there has to be one.
func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s: %v", pattern, err)
	}
	return files
}

// TestDocs: every link from one page to another file of the repository leads there.
func TestDocs(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, page := range append(glob(t, "docs/*.md"), glob(t, "*.md")...) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), found[1])); err != nil {
				t.Errorf("%s links to %s: %v", page, found[1], err)
			}
		}
	}
}

// TestDeploy: the folder holds what an operator uses, and no program or test of ours.
func TestDeploy(t *testing.T) {
	for _, pattern := range []string{"deploy/*.go", "deploy/*/*.go", "deploy/*/*/*.go"} {
		if files, err := filepath.Glob(filepath.Join(root, pattern)); err != nil || len(files) > 0 {
			t.Errorf("Go in deploy/: %v, %v", files, err)
		}
	}
}
