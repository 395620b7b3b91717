package sockets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// dialLimit is for the question whether somebody listens at a socket already.
const dialLimit = 2 * time.Second

// local is a unix socket. Its file goes when it is closed, unless another process has
// put its own there since.
type local struct {
	*net.UnixListener
	path string
	made os.FileInfo
}

// Addr names the file.
func (l *local) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close stops listening.
func (l *local) Close() error {
	if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.made) {
		_ = os.Remove(l.path) // a folder that nobody may write any more keeps it, and the next process replaces it
	}
	return l.UnixListener.Close()
}

// listenLocal makes admin.socket. A file that a dead process has left is replaced; one
// of a living process only where addresses are shared, as at a change of processes.
func listenLocal(path string, shared bool) (net.Listener, error) {
	if err := vacant(path, shared); err != nil {
		return nil, fmt.Errorf("admin.socket %s %w", path, err)
	}
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("admin.socket %s cannot be made: %w", path, cause(err))
	}
	cfg := net.ListenConfig{Control: private}
	l, err := cfg.Listen(context.Background(), "unix", fresh)
	if err != nil {
		return nil, fmt.Errorf("admin.socket %s cannot be made in %s: %w", path, filepath.Dir(path), cause(err))
	}
	socket := &local{UnixListener: l.(*net.UnixListener), path: path}
	socket.SetUnlinkOnClose(false)
	if socket.made, err = os.Lstat(fresh); err == nil {
		err = os.Rename(fresh, path) // at once, so that nobody finds none
	}
	if err != nil {
		socket.UnixListener.Close()
		_ = os.Remove(fresh)
		return nil, fmt.Errorf("admin.socket %s cannot be made: %w", path, cause(err))
	}
	return socket, nil
}

// private gives the file that a bind will make mode 0600, whatever the umask is.
func private(_, _ string, conn syscall.RawConn) error {
	return control(conn, func(fd int) error { return syscall.Fchmod(fd, 0o600) })
}

// vacant reports why a socket cannot be made at the path.
func vacant(path string, shared bool) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot be made: %w", cause(err))
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("is there already and is no socket; choose another name, or take it away")
	case shared:
		return nil
	}
	conn, err := net.DialTimeout("unix", path, dialLimit)
	switch {
	case err == nil:
		conn.Close()
		return errors.New("is in use by another process; end that or choose another name")
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return fmt.Errorf("may be in use by another process: %w", cause(err))
}

// cause is an error without the path, which the text has already.
func cause(err error) error {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number
	}
	return err
}
