package store

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// Copy is all of the store as of one moment, in a file without a name that stands at its
// start: so whoever reads it slowly keeps no write waiting. It takes as much room on the
// store's disk until it is closed.
func (f *File) Copy() (*os.File, error) {
	out, err := os.CreateTemp(filepath.Dir(f.db.Path()), ".gatehouse-copy-*")
	if err != nil {
		return nil, unavailable(err)
	}
	err = errors.Join(os.Remove(out.Name()), f.view(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(out)
		return err
	}))
	if err == nil {
		_, err = out.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return out, nil
}

// OpenIdle opens a store that no gateway has open, to read it alone. One that is not there has
// nothing in it, and one that is in use is ErrInUse.
func OpenIdle(path string) (*File, error) {
	db, err := whole(path, true)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err = os.Stat(filepath.Dir(path)); err == nil {
			return &File{}, nil
		}
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return &File{db}, nil
}

// CopyIdle writes all of a store that no gateway has open, which is checked first. One
// that is in use is ErrInUse.
func CopyIdle(path string, to io.Writer) error {
	db, err := whole(path, true)
	if err != nil {
		return err
	}
	err = db.View(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(to)
		return err
	})
	return errors.Join(err, db.Close())
}

// Backup makes a file, mode 0600, of what write gives it: a store, of which all is checked
// before the file has its name. A file that is there already is fs.ErrExist, and stays.
func Backup(path string, write func(io.Writer) error) (err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, &fs.PathError{Op: "backup", Path: path, Err: fs.ErrExist})
	}
	out, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(out.Name())) }() // half a copy is none
	if err := errors.Join(write(out), out.Sync(), out.Close()); err != nil {
		return err
	}
	db, err := whole(out.Name(), true)
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		return err
	}
	if err := os.Link(out.Name(), path); err != nil { // which fails where there is one by now
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes a name last.
func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
