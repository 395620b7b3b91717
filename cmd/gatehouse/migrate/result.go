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
)

// ErrLost reports that all was written, and that something of it means less than before.
var ErrLost = errors.New("something was lost")

// ConfigName is the file that is written.
const ConfigName = "gatehouse.yaml"

// FillIn marks a line that the old config does not know.
const FillIn = "# FILL IN: "

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
