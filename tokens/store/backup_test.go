package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// backup is a copy of an open store.
func (f *File) backup(t *testing.T, to string) error {
	t.Helper()
	whole, err := f.Copy()
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	return Backup(to, func(w io.Writer) error {
		_, err := io.Copy(w, whole)
		return err
	})
}

// wantAlone wants nothing in a folder but these files.
func wantAlone(t *testing.T, dir string, names ...string) {
	t.Helper()
	var got []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if fmt.Sprint(got) != fmt.Sprint(names) {
		t.Errorf("%s has %q, want %q", dir, got, names)
	}
}

// TestBackup: the copy has all of one moment, takes no file's place, and is a store.
func TestBackup(t *testing.T) {
	f, path := newFile(t)
	put(t, f, Write{Table: "t", Key: "k", Value: []byte("v")})
	dir := t.TempDir()
	to := filepath.Join(dir, "copy")
	whole, err := f.Copy()
	if err != nil {
		t.Fatal(err)
	}
	put(t, f, Write{Table: "t", Key: "later", Value: []byte("v")}) // while it is read
	if err := Backup(to, func(w io.Writer) error { _, err := io.Copy(w, whole); return err }); err != nil {
		t.Fatal(err)
	}
	whole.Close()
	before, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.backup(t, to); !errors.Is(err, fs.ErrExist) {
		t.Errorf("onto a file that is there: %v", err)
	}
	if after, err := os.ReadFile(to); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the first copy has changed: %v", err)
	}
	again, err := OpenFile(to)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	wantKeys(t, again, "t", "k")
	if info, _ := os.Stat(to); info.Mode() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	wantAlone(t, dir, "copy")
	wantAlone(t, filepath.Dir(path), filepath.Base(path))
}

// TestBackupIdle: a store that nobody has open is copied as it is, and stays so; one that is
// open is told.
func TestBackupIdle(t *testing.T) {
	f, path := newFile(t)
	put(t, f, Write{Table: "t", Key: "k", Value: []byte("v")})
	if err := CopyIdle(path, io.Discard); !errors.Is(err, ErrInUse) {
		t.Errorf("in use: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "copy")
	if err := Backup(to, func(w io.Writer) error { return CopyIdle(path, w) }); err != nil {
		t.Fatal(err)
	}
	again, err := OpenFile(to)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	wantKeys(t, again, "t", "k")
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the store has changed: %v", err)
	}
	if err := CopyIdle(path+".none", io.Discard); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none there: %v", err)
	}
	wantAlone(t, filepath.Dir(path), filepath.Base(path))
}

// TestBackupBroken: what is no whole store never gets the name, and leaves nothing behind.
func TestBackupBroken(t *testing.T) {
	f, path := newFile(t)
	put(t, f, Write{Table: "t", Key: "k", Value: bytes.Repeat([]byte("v"), 100_000)})
	f.Close()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	broken := errors.New("it broke off")
	for name, c := range map[string]struct {
		text []byte
		err  error
		want string
	}{
		"broken off": {text[:len(text)/2], broken, "it broke off"},
		"cut":        {text[:len(text)/2], nil, "damaged"},
		"nothing":    {nil, nil, "damaged"},
		"no store":   {[]byte(strings.Repeat("no store at all ", 4096)), nil, "damaged"},
		"changed":    {bytes.ReplaceAll(text, ours, []byte("somewhere")), nil, "damaged"},
	} {
		err := Backup(filepath.Join(dir, "copy"), func(w io.Writer) error {
			_, err := w.Write(c.text)
			return errors.Join(err, c.err)
		})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		wantAlone(t, dir)
	}
	if err := Backup(filepath.Join(dir, "none", "copy"), func(io.Writer) error { return nil }); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := Backup(filepath.Join(dir, "link"), func(io.Writer) error { return nil }); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a link that leads nowhere: %v", err)
	}
}

// TestBackupRace: a file that appears while the copy is made stays.
func TestBackupRace(t *testing.T) {
	f, _ := newFile(t)
	put(t, f, Write{Table: "t", Key: "k", Value: []byte("v")})
	whole, err := f.Copy()
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	dir := t.TempDir()
	to := filepath.Join(dir, "copy")
	err = Backup(to, func(w io.Writer) error {
		_, err := io.Copy(w, whole)
		return errors.Join(err, os.WriteFile(to, []byte("another's"), 0o600))
	})
	if text, _ := os.ReadFile(to); !errors.Is(err, fs.ErrExist) || string(text) != "another's" {
		t.Errorf("%v, %.20q", err, text)
	}
	wantAlone(t, dir, "copy")
}

// TestOpenIdle: a store is read while no gateway has it, and stays as it is; one that is not
// there yet has nothing in it.
func TestOpenIdle(t *testing.T) {
	f, path := newFile(t)
	put(t, f, Write{Table: "t", Key: "k", Value: []byte("v")}, Write{Table: "log", Value: []byte("e"), Log: true})
	if _, err := OpenIdle(path); !errors.Is(err, ErrInUse) || !errors.Is(err, ErrUnavailable) {
		t.Errorf("in use: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	idle, err := OpenIdle(path)
	if err != nil {
		t.Fatal(err)
	}
	wantKeys(t, idle, "t", "k")
	if list, err := idle.Since(t.Context(), "log", ""); len(list) != 1 || err != nil {
		t.Errorf("%d entries, %v", len(list), err)
	}
	if err := idle.Put(t.Context(), Write{Table: "t", Key: "x", Value: []byte("v")}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("written: %v", err)
	}
	if err := idle.Close(); err != nil {
		t.Error(err)
	}
	none, err := OpenIdle(path + ".none")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := none.Get(t.Context(), "t", "k"); !errors.Is(err, ErrNone) {
		t.Errorf("none there: %v", err)
	}
	if list, err := none.Since(t.Context(), "log", ""); len(list) != 0 || err != nil {
		t.Errorf("%d entries, %v", len(list), err)
	}
	if err := none.Put(t.Context(), Write{Table: "t", Key: "x", Value: []byte("v")}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("written: %v", err)
	}
	wantAlone(t, filepath.Dir(path), filepath.Base(path))
	if err := none.Close(); err != nil {
		t.Error(err)
	}
	if _, err := OpenIdle(filepath.Join(path+".none", "store.db")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without its folder: %v", err)
	}
	if err := os.Truncate(path, 9000); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenIdle(path); !errors.Is(err, ErrUnavailable) {
		t.Errorf("cut: %v", err)
	}
}
