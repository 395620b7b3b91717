package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"gatehouse/cmd/gatehouse/cli"
)

// TestManPages writes a page for each command, to the folder $GATEHOUSE_MAN_PAGES where
// that is set: so `make share` makes them. The tree of commands is this package's
// alone, and in a test the generator does not become part of the program.
func TestManPages(t *testing.T) {
	dir := os.Getenv("GATEHOUSE_MAN_PAGES")
	if dir == "" {
		dir = t.TempDir()
	}
	root := rootCommand()
	root.DisableAutoGenTag = true
	root.InitDefaultCompletionCmd()
	header := &doc.GenManHeader{Section: "1", Source: "Gatehouse", Manual: "Gatehouse"}
	if err := doc.GenManTree(root, header, dir); err != nil {
		t.Fatal(err)
	}
	for _, command := range append(root.Commands(), root) {
		checkManPage(t, dir, command)
	}
}

// checkManPage sees that a command's page is there and names its flags.
func checkManPage(t *testing.T, dir string, command *cobra.Command) {
	t.Helper()
	if !command.IsAvailableCommand() || command.IsAdditionalHelpTopicCommand() {
		return
	}
	name := strings.ReplaceAll(command.CommandPath(), " ", "-") + ".1"
	page, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Error(err)
		return
	}
	text := strings.ReplaceAll(string(page), `\-`, "-")
	for _, want := range []string{".SH NAME", ".SH SYNOPSIS", command.Short, "--help"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s lacks %q", name, want)
		}
	}
	if flag := command.Flags().Lookup("config"); flag != nil && !strings.Contains(text, "--config") {
		t.Errorf("%s lacks --config", name)
	}
}

// TestCompletion: each shell gets a script, which asks the program itself what may follow.
func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if status, out := said(t, "completion", shell); status != cli.OK || !strings.Contains(out, "__complete") {
			t.Errorf("%s: status %d, %d bytes", shell, status, len(out))
		}
	}
	for _, args := range [][]string{{"completion"}, {"completion", "csh"}} {
		if status, out := said(t, args...); status != cli.Usage || out != "" {
			t.Errorf("%v: status %d, %q", args, status, out)
		}
	}
	for _, c := range []struct{ name, args, want string }{
		{"commands", "ch", "check"},
		{"flags", "check --on", "--online"},
		{"files after -c", "check -c ", ":0"},
	} {
		if _, out := said(t, append([]string{"__complete"}, strings.Split(c.args, " ")...)...); !strings.Contains(out, c.want) {
			t.Errorf("%s: %q lacks %q", c.name, out, c.want)
		}
	}
}

// said runs a command and returns its status and what it wrote to stdout.
func said(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	status := run(t.Context(), args, strings.NewReader(""), &out, io.Discard)
	return status, out.String()
}
