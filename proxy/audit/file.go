package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Open opens the file that a config names, in nobody's name yet: nothing changes
// until Use. "": nil, off.
func (s *Stream) Open(name string) (io.WriteCloser, error) {
	switch name {
	case "":
		return nil, nil
	case "-":
		return unclosed{s.stdout}, nil
	}
	if err := CheckFile(name); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, reason(err)
	}
	return f, nil
}

// unclosed is stdout, which is not ours to close.
type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }

// CheckFile reports what is wrong with an audit file that is there already.
func CheckFile(name string) error {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return reason(err)
	case !info.Mode().IsRegular():
		return errors.New("it is no ordinary file")
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("it can be written by others (mode %04o); chmod go-w it", info.Mode().Perm())
	}
	return nil
}

// reason is a file's fault without its name, which whoever tells of it says.
func reason(err error) error {
	if path := new(fs.PathError); errors.As(err, &path) {
		return path.Err
	}
	return err
}
