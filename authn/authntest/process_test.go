package authntest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// put writes a program into a folder of its own and returns its path.
func put(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700))
	return path
}

// TestPrograms: what the distribution installed comes before another program of that
// name on the PATH, which is found where it is the only one (row T1).
func TestPrograms(t *testing.T) {
	other, alone := put(t, "sh", "exit 7"), put(t, "only-on-the-path", "")
	t.Setenv("PATH", filepath.Dir(other)+":"+filepath.Dir(alone)+":"+os.Getenv("PATH"))
	all := Programs("sh")
	if len(all) < 2 || all[0] == other || !slices.Contains(all, other) {
		t.Errorf("sh: %v", all)
	}
	if got := Program("only-on-the-path"); got != alone {
		t.Errorf("got %q, want %q", got, alone)
	}
	if got := Program(alone); got != alone {
		t.Errorf("a path: %q", got)
	}
	if got := Program("nowhere-at-all"); got != "" {
		t.Errorf("what is nowhere: %q", got)
	}
}

// TestRunTellsWhatWasSaid: the error of a program holds its standard error (row T1).
func TestRunTellsWhatWasSaid(t *testing.T) {
	out, err := Run(exec.Command("sh", "-c", "echo figures; echo why >&2; exit 3"))
	if err == nil || out != "figures\n" || !strings.Contains(err.Error(), "why") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := Run(exec.Command("sh", "-c", "echo figures; echo a warning >&2")); err != nil || out != "figures\n" {
		t.Errorf("%q, %v", out, err)
	}
}

// TestAwaitTellsWhatWasSaid: a server that ends at once, or that is never ready, is an
// error with what it wrote (row T1).
func TestAwaitTellsWhatWasSaid(t *testing.T) {
	for script, want := range map[string]string{
		"echo no such key >&2; exit 4":         "exit status 4",
		"echo no such key >&2; exec sleep 600": "not ready after",
	} {
		p, err := StartProcess(exec.Command("sh", "-c", script), syscall.SIGKILL)
		must(t, err)
		limit := 10 * time.Second
		if want == "not ready after" {
			limit = 200 * time.Millisecond
		}
		err = p.Await(limit, func() bool { return false })
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "no such key") {
			t.Errorf("%s: %v", script, err)
		}
		p.Kill()
	}
}

// TestStop asks first, and kills what does not listen.
func TestStop(t *testing.T) {
	for script, want := range map[string]string{
		"trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done": "",
		"trap 'exit 5' TERM; echo up; while :; do sleep 0.01; done":           "exit status 5",
		"trap '' TERM; echo up; while :; do sleep 0.01; done":                 "had to be killed",
	} {
		p, err := StartProcess(exec.Command("sh", "-c", script), syscall.SIGKILL)
		must(t, err)
		must(t, p.Await(10*time.Second, func() bool { return strings.Contains(p.Log(), "up") }))
		limit := 10 * time.Second
		if want == "had to be killed" {
			limit = 100 * time.Millisecond
		}
		err = p.Finish(limit)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", script, err, want)
		}
		if p.Running() {
			t.Errorf("%s: still running", script)
		}
	}
}
