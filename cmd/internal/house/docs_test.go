package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
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

// TestDocs: every link from one page to another file of the repository leads there, and
// where it names a part of a page, that has it.
func TestDocs(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#: ]*)(?:#([^)]*))?\)`)
	for _, page := range append(glob(t, "docs/*.md"), glob(t, "*.md")...) {
		for _, found := range link.FindAllStringSubmatch(read(t, page), -1) {
			to := page
			if found[1] != "" {
				to = filepath.Join(filepath.Dir(page), found[1])
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s links to %s: %v", page, found[1], err)
			} else if found[2] != "" && !slices.Contains(anchors(read(t, to)), found[2]) {
				t.Errorf("%s links to %s#%s, which has no such part", page, found[1], found[2])
			}
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// anchors are the names by which links lead to the headings of a page.
func anchors(page string) (all []string) {
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		name := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		all = append(all, strings.ReplaceAll(name, " ", "-"))
	}
	return all
}

// TestIndex: the index of the pages has each of them.
func TestIndex(t *testing.T) {
	index := read(t, docs("README.md"))
	for _, page := range glob(t, "docs/*.md") {
		if name := filepath.Base(page); name != "README.md" && !strings.Contains(index, "("+name+")") {
			t.Errorf("docs/README.md does not lead to %s: add it where its readers look", name)
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
