package sockets

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestLocal: a socket is its owner's alone whatever the umask, one that nobody listens at
// is replaced, one of a living process is not, and what is no socket stays what it is.
func TestLocal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	old := syscall.Umask(0)
	s, err := Open(Addresses{Socket: path})
	syscall.Umask(old)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || Names(s.Socket) != path {
		t.Errorf("%v %v, named %s", info, err, Names(s.Socket))
	}
	if _, err := Open(Addresses{Socket: path}); err == nil || !strings.Contains(err.Error(), "is in use by another process") {
		t.Errorf("a living one: %v", err)
	}
	s.Close()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("it stays when it is closed: %v", err)
	}
	left, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	left.Close()
	if err := os.WriteFile(path+".new", nil, 0o600); err != nil { // of a process that died while it made one
		t.Fatal(err)
	}
	if s, err = Open(Addresses{Socket: path}); err != nil {
		t.Fatalf("a dead one: %v", err)
	}
	s.Close()
	for name, want := range map[string]string{"file": "is there already and is no socket", "none/x": "no such file or directory", "file/x": "not a directory"} {
		file := filepath.Join(filepath.Dir(path), "file")
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Addresses{Socket: filepath.Join(filepath.Dir(path), name)}); err == nil || !strings.HasPrefix(err.Error(), "admin.socket ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
		if text, err := os.ReadFile(file); string(text) != "x" {
			t.Errorf("%q %v", text, err)
		}
	}
}

// TestLocalHandover: where addresses are shared the next process takes the name, and the
// end of the first leaves it there.
func TestLocalHandover(t *testing.T) {
	a := Addresses{Socket: filepath.Join(t.TempDir(), "admin.sock"), Shared: true}
	first, err := Open(a)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Open(a)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	first.Close()
	go func() {
		if conn, err := second.Socket[0].Accept(); err == nil {
			conn.Write([]byte("x"))
			conn.Close()
		}
	}()
	conn, err := net.Dial("unix", a.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n, err := conn.Read(make([]byte, 2)); n != 1 {
		t.Errorf("%d %v", n, err)
	}
}
