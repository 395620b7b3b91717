package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
)

// TestSBOM: the document of the real binary names every module of `go version -m`, each
// once, and is the same when it is made again.
func TestSBOM(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "gatehouse")
	if out, err := exec.Command("go", "build", "-o", binary, "gatehouse/cmd/gatehouse").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var text, again bytes.Buffer
	for _, w := range []*bytes.Buffer{&text, &again} {
		if err := write(w, binary, "v1.2.3"); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(text.Bytes(), again.Bytes()) {
		t.Error("two documents of one binary differ")
	}
	var d document
	if err := json.Unmarshal(text.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	checkModules(t, d, binary)
	checkIDs(t, d)
}

// checkModules compares with what Go says of the binary.
func checkModules(t *testing.T, d document, binary string) {
	t.Helper()
	out, err := exec.Command("go", "version", "-m", binary).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	modules := regexp.MustCompile(`(?m)^\tdep\t(\S+)\t(\S+)\t(h1:\S+)`).FindAllStringSubmatch(string(out), -1)
	if len(modules) < 10 || len(d.Packages) != len(modules)+2 {
		t.Errorf("%d packages of %d modules", len(d.Packages), len(modules))
	}
	listed := map[string]component{}
	for _, c := range d.Packages {
		listed[c.Name] = c
	}
	for _, m := range modules {
		c := listed[m[1]]
		if c.Version != m[2] || c.Comment != m[3] || len(c.Refs) != 1 || c.Refs[0].Locator != "pkg:golang/"+m[1]+"@"+m[2] {
			t.Errorf("%s %s is listed as %+v", m[1], m[2], c)
		}
	}
	if c := listed["gatehouse"]; c.Version != "v1.2.3" || len(c.Checksums) != 1 || len(c.Checksums[0].Value) != 64 {
		t.Errorf("the binary is listed as %+v", c)
	}
	if c := listed["stdlib"]; !strings.HasPrefix(c.Version, "go1.") {
		t.Errorf("the standard library is listed as %+v", c)
	}
}

// checkIDs: identifiers are as SPDX writes them, each once, and related to the binary.
func checkIDs(t *testing.T, d document) {
	t.Helper()
	valid := regexp.MustCompile(`^SPDXRef-[A-Za-z0-9.-]+$`)
	related := map[string]int{}
	for _, r := range d.Relationships {
		related[r.To]++
	}
	for _, c := range d.Packages {
		if !valid.MatchString(c.ID) || related[c.ID] != 1 {
			t.Errorf("%s (%s) stands in %d relationships", c.ID, c.Name, related[c.ID])
		}
	}
	if d.Version != "SPDX-2.3" || d.License != "CC0-1.0" || !strings.HasPrefix(d.Namespace, "https://") {
		t.Errorf("the head is %q, %q, %q", d.Version, d.License, d.Namespace)
	}
}

func TestBadInput(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{text, filepath.Join(t.TempDir(), "none")} {
		var out bytes.Buffer
		if err := write(&out, file, "v1"); err == nil || out.Len() > 0 {
			t.Errorf("%s: %v, %q", file, err, out.String())
		}
	}
}

// TestReplaced: what was linked counts, not what was asked for; the time is the commit's.
func TestReplaced(t *testing.T) {
	c := module(&debug.Module{Path: "a.example/b", Version: "v1", Replace: &debug.Module{Path: "c.example/d", Version: "v2", Sum: "h1:x"}})
	if c.Name != "c.example/d" || c.Version != "v2" || c.Comment != "h1:x" {
		t.Errorf("listed as %+v", c)
	}
	info := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.time", Value: "2026-01-02T03:04:05Z"}}}
	if got := built(info); got != "2026-01-02T03:04:05Z" {
		t.Errorf("made at %s", got)
	}
	if got := built(&debug.BuildInfo{}); got != "1970-01-01T00:00:00Z" {
		t.Errorf("without a commit made at %s", got)
	}
}
