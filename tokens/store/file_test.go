package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"gatehouse/authn/authntest"
)

func newFile(t *testing.T) (*File, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, path
}

// TestFileLasts: what was written is there when the file is opened again, whose mode
// keeps others out; nothing else lies beside it.
func TestFileLasts(t *testing.T) {
	f, path := newFile(t)
	put(t, f, Write{Table: "t", Key: "k", Value: []byte("v")}, Write{Table: "l", Value: []byte("1"), Log: true})
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if names, _ := filepath.Glob(filepath.Dir(path) + "/*"); len(names) != 1 {
		t.Errorf("beside the file: %q", names)
	}
	again, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if v, err := again.Get(t.Context(), "t", "k"); string(v) != "v" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
	if list, err := again.Since(t.Context(), "l", ""); len(list) != 1 || err != nil {
		t.Errorf("%v, %v", list, err)
	}
}

// TestFileInUse: a second process is refused, with the name of the file.
func TestFileInUse(t *testing.T) {
	_, path := newFile(t)
	if _, err := OpenFile(path); err == nil || !strings.Contains(err.Error(), path+" is in use by another process") {
		t.Errorf("%v", err)
	}
	if err := CheckFile(path); err != nil {
		t.Errorf("looking at it without opening it: %v", err)
	}
}

// TestDamagedFile: one that is cut anywhere, empty, overwritten or another program's is
// told, and left as it is: never is an empty store made in its place.
func TestDamagedFile(t *testing.T) {
	f, path := newFile(t)
	for i := range 400 {
		put(t, f, Write{Table: "t", Key: fmt.Sprint(i), Value: make([]byte, 400)})
	}
	f.Close()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	cases := map[string][]byte{"empty": {}, "text": []byte("hello"), "long text": []byte(strings.Repeat("hello ", 10_000)),
		"the heads alone": good[:2*page], "cut in the first page": good[:100], "cut at the second head": good[:page],
		"zeros": make([]byte, len(good)), "heads of zeros": append(make([]byte, 2*page), good[2*page:]...)}
	for n := 3 * page; n < f.span(t, good)-1; n += 7 * page {
		cases[fmt.Sprintf("cut at %d", n)] = good[:n]
	}
	for n := 2 * page; n < f.span(t, good); n += page { // a page of noise, where there is something
		noise := append([]byte{}, good...)
		for i := range page {
			noise[n+i] = byte(i*7 + 13)
		}
		cases[fmt.Sprintf("noise at %d", n)] = noise
	}
	for name, text := range cases {
		path := filepath.Join(t.TempDir(), "store.db")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := OpenFile(path)
		if err == nil {
			all, listErr := f.List(t.Context(), "t")
			f.Close()
			if len(all) != 400 && listErr == nil { // noise on a free page hurts nobody
				t.Errorf("%s: opened with %d records", name, len(all))
			}
			continue
		}
		if !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: %v", name, err)
		}
		if after, _ := os.ReadFile(path); string(after) != string(text) {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

// span is how many bytes of the file are in use.
func (f *File) span(t *testing.T, text []byte) int {
	t.Helper()
	page := os.Getpagesize()
	return int(max(spanOf(text[headOffset:headOffset+headSize]), spanOf(text[page+headOffset:page+headOffset+headSize])))
}

// TestOthersFile: a bbolt file that we did not make, one that others can write, and what
// is no file are refused; of one that is not there that is said.
func TestOthersFile(t *testing.T) {
	dir := t.TempDir()
	foreign := filepath.Join(dir, "foreign")
	db, err := bbolt.Open(foreign, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	if _, err := OpenFile(foreign); err == nil || !strings.Contains(err.Error(), "not a store of ours") {
		t.Errorf("another program's: %v", err)
	}
	f, path := newFile(t)
	f.Close()
	if os.Chmod(path, 0o620) != nil {
		t.Fatal("chmod")
	}
	if _, err := OpenFile(path); err == nil || !strings.Contains(err.Error(), "chmod") {
		t.Errorf("one that others can write: %v", err)
	}
	if _, err := OpenFile(dir); err == nil {
		t.Error("a folder was opened")
	}
	if _, err := OpenFile(filepath.Join(dir, "no", "where")); err == nil {
		t.Error("a file in no folder was made")
	}
	if err := CheckFile(filepath.Join(dir, "new")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// TestInterruptedStart: what a start left that was killed stands in nobody's way.
func TestInterruptedStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	if err := os.WriteFile(path+".new", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// TestFullDisk: a disk without room is told, what was there stays, and the store works
// again when there is room. The limit is one of this process, so another is started.
func TestFullDisk(t *testing.T) {
	if path := os.Getenv("STORE_FULL"); path != "" {
		fillUp(t, path)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestFullDisk$")
	cmd.Env = append(os.Environ(), "STORE_FULL="+filepath.Join(t.TempDir(), "store.db"))
	if out, err := authntest.Run(cmd); err != nil {
		t.Fatal(out, err)
	}
}

func fillUp(t *testing.T, path string) {
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	signal.Ignore(syscall.SIGXFSZ)
	small := syscall.Rlimit{Cur: 96 << 10, Max: 1 << 40}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	written := 0
	for err == nil && written < 1000 {
		if err = f.Put(t.Context(), Write{Table: "t", Key: fmt.Sprint(written), Value: make([]byte, 1000)}); err == nil {
			written++
		}
	}
	if !errors.Is(err, ErrUnavailable) || written == 0 {
		t.Fatalf("after %d records: %v", written, err)
	}
	if all, err := f.List(t.Context(), "t"); len(all) != written || err != nil {
		t.Errorf("%d records of %d, %v", len(all), written, err)
	}
	large := syscall.Rlimit{Cur: 1 << 30, Max: 1 << 40}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &large); err != nil {
		t.Fatal(err)
	}
	if err := f.Put(t.Context(), Write{Table: "t", Key: "more", Value: []byte("x")}); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
