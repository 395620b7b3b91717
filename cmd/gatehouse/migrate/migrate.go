// Package migrate writes a config from what other programs are configured by. What
// means something else here, or has no counterpart, is told with the line that it stands
// on; a right is never wider in silence.
package migrate

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// ErrLost reports that all was written, and that something of it means less than before.
var ErrLost = errors.New("something was lost")

// ConfigName is the file that is written.
const ConfigName = "gatehouse.yaml"

// FillIn marks a line that the old config does not know.
const FillIn = "# FILL IN: "

// Command is migrate with a command for each kind of file.
func Command() *cobra.Command {
	migrate := &cobra.Command{
		Use: "migrate", Short: "Write a config from another program's", Args: cobra.NoArgs,
		Example: "  gatehouse migrate htpasswd /etc/registry/htpasswd -o gatehouse",
		RunE:    func(*cobra.Command, []string) error { return errors.New("a kind of file is needed") },
	}
	migrate.AddCommand(kind("htpasswd", "Write a config from an htpasswd file", htpasswd))
	return migrate
}

// kind is the command of one kind of file.
func kind(name, short string, read func(file string, text []byte) (*result, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use: name + " FILE", Short: short, Args: cobra.ExactArgs(1),
		Long:    short + ". What is lost or means something else is told on\nstderr; the status is 1 then, and the files are written all the same.",
		Example: "  gatehouse migrate " + name + " FILE -o gatehouse && gatehouse check -c gatehouse/" + ConfigName,
	}
	folder := cmd.Flags().StringP("output", "o", ".", "the `DIR` to write to")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		text, err := os.ReadFile(args[0])
		if err != nil {
			return err
		}
		r, err := read(args[0], text)
		if err != nil {
			return err
		}
		if err := r.write(*folder); err != nil {
			return err
		}
		return r.tell(cmd.ErrOrStderr())
	}
	return cmd
}

// result is what is to be written and told.
type result struct {
	file  string            // that was read, as the user named it
	texts map[string]string // by name, in the folder that is written to
	told  []finding
}

// finding is one line for the reader.
type finding struct {
	line int
	text string
	note bool // nothing is lost by it
}

func (r *result) lost(line int, format string, args ...any) {
	r.told = append(r.told, finding{line, fmt.Sprintf(format, args...), false})
}

func (r *result) note(line int, format string, args ...any) {
	r.told = append(r.told, finding{line, fmt.Sprintf(format, args...), true})
}

// tell prints each finding once, in the order of the lines.
func (r *result) tell(w io.Writer) error {
	slices.SortStableFunc(r.told, func(a, b finding) int { return cmp.Compare(a.line, b.line) })
	var err error
	for _, f := range slices.Compact(r.told) {
		mark := "note: "
		if !f.note {
			mark, err = "", ErrLost
		}
		fmt.Fprintf(w, "%s%s:%d: %s\n", mark, r.file, f.line, printable(f.text))
	}
	return err
}

// printable keeps control characters off the terminal.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 {
			return '?'
		}
		return c
	}, s)
}

// write makes the files, none of which may be there: they hold somebody's work.
func (r *result) write(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for name := range r.texts {
		if _, err := os.Lstat(filepath.Join(folder, name)); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s is there already; name another folder with -o", filepath.Join(folder, name))
		}
	}
	for name, text := range r.texts {
		if err := writeNew(filepath.Join(folder, name), text); err != nil {
			return err
		}
	}
	return nil
}

// writeNew makes one file that others cannot read: hashes and passwords stand in it.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// quote is a text as YAML writes it on one line.
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(c))
		case c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 || c == '\u2028' || c == '\u2029' || c == '\ufeff':
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// quoteList is a list as YAML writes it on one line.
func quoteList(list []string) string {
	quoted := make([]string, len(list))
	for i, text := range list {
		quoted[i] = quote(text)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
