package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// lockTime is how long a second process waits for the file.
const lockTime = time.Second

// ErrInUse: another process has the file.
var ErrInUse = errors.New("in use by another process")

// ours marks a file that we made; it holds the version of what stands in it.
var ours = []byte("gatehouse")

const version = "1"

// File is a Backend of a bbolt file, which one process has at a time. Each change is on
// the disk when it is answered.
type File struct {
	db *bbolt.DB // nil: there is none yet, and it is only read
}

var _ Backend = (*File)(nil)

// OpenFile opens the store of that name, or makes it where there is none. One that is
// cut, empty, damaged or another program's is an error, and stays as it is; so is one
// that another process has open.
func OpenFile(path string) (*File, error) {
	db, err := whole(path, false)
	if errors.Is(err, fs.ErrNotExist) {
		return create(path)
	}
	if err != nil {
		return nil, err
	}
	return &File{db}, nil
}

// whole opens a store that is there, and checks all of it. One that is not is
// fs.ErrNotExist.
func whole(path string, readOnly bool) (*bbolt.DB, error) {
	if err := CheckFile(path); err != nil {
		return nil, err
	}
	db, err := open(path, readOnly)
	if err != nil {
		return nil, err
	}
	if err := verify(db); err != nil {
		_ = db.Close() // it was not changed
		return nil, damaged(err)
	}
	return db, nil
}

// open takes the file, and tells who has it otherwise.
func open(path string, readOnly bool) (db *bbolt.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			db, err = nil, damaged(fmt.Errorf("%v", p))
		}
	}()
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTime, ReadOnly: readOnly})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%s is %w; a file serves one gateway, redis serves several", path, ErrInUse)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return nil, damaged(err)
	}
	return db, err
}

// create makes a store under another name, so that one that was not finished is never
// taken for it.
func create(path string) (*File, error) {
	made := path + ".new"
	if err := os.Remove(made); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	db, err := open(made, false)
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(ours)
		if err != nil {
			return err
		}
		return b.Put([]byte("version"), []byte(version))
	})
	if err == nil {
		err = os.Link(made, path) // which fails where another process was faster
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &File{db}, os.Remove(made)
}

func damaged(err error) error {
	return fmt.Errorf("it is damaged or not a store of ours (%w); put a backup in its place, or move it away to begin without any token", err)
}

// verify reads all of it once: what is wrong is to be told at the start.
func verify(db *bbolt.DB) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			return err
		}
		b := tx.Bucket(ours)
		if b == nil {
			return errors.New("without our mark")
		}
		if v := string(b.Get([]byte("version"))); v != version {
			return fmt.Errorf("of version %.20q, where this program knows %s", v, version)
		}
		return nil
	})
}

// The two heads of a bbolt file (its format, version 2): each after the 16 bytes of a
// page's header, with numbers in the machine's order.
const (
	headOffset = 16
	headSize   = 64
	headMagic  = 0xED0CDAED
)

// CheckFile reads the heads of a file without opening it as a store: nothing is locked
// or made. A file that is not there is fs.ErrNotExist.
func CheckFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("it is no ordinary file")
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others can write it (mode %04o); chmod go-w it", info.Mode().Perm())
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	need := int64(0)
	for _, pageSize := range []int64{0, int64(os.Getpagesize())} {
		head := make([]byte, headSize)
		if _, err := f.ReadAt(head, pageSize+headOffset); err == nil {
			need = max(need, spanOf(head))
		}
	}
	switch {
	case need == 0:
		return damaged(errors.New("it has no head"))
	case info.Size() < need:
		return damaged(fmt.Errorf("it was cut: %d bytes of at least %d", info.Size(), need))
	}
	return nil
}

// spanOf is how long the file is at least, of which this is a head; 0: it is none.
func spanOf(head []byte) int64 {
	order := binary.NativeEndian
	if order.Uint32(head) != headMagic || order.Uint32(head[8:]) == 0 {
		return 0
	}
	pages := order.Uint64(head[40:]) // the first page that was never used
	return int64(pages) * int64(order.Uint32(head[8:]))
}

// Get is of Backend.
func (f *File) Get(_ context.Context, table, key string) (value []byte, err error) {
	err = f.view(func(tx *bbolt.Tx) error {
		if b := tx.Bucket([]byte(table)); b != nil {
			value = slices.Clone(b.Get([]byte(key)))
		}
		return nil
	})
	if err == nil && value == nil {
		err = ErrNone
	}
	return value, err
}

// List is of Backend.
func (f *File) List(_ context.Context, table string) (all map[string][]byte, err error) {
	err = f.view(func(tx *bbolt.Tx) error {
		all = listed(tx, table)
		return nil
	})
	return all, err
}

func listed(tx *bbolt.Tx, table string) map[string][]byte {
	b := tx.Bucket([]byte(table))
	if b == nil {
		return nil
	}
	all := map[string][]byte{}
	_ = b.ForEach(func(k, v []byte) error { // whose error is the function's
		all[string(k)] = slices.Clone(v)
		return nil
	})
	return all
}

// Put is of Backend.
func (f *File) Put(_ context.Context, changes ...Write) error {
	return f.update(func(tx *bbolt.Tx) error { return apply(tx, changes) })
}

// Update is of Backend.
func (f *File) Update(_ context.Context, table string, change func(map[string][]byte) ([]Write, error)) error {
	var refused error
	err := f.update(func(tx *bbolt.Tx) error {
		changes, err := change(listed(tx, table))
		if refused = err; err != nil {
			return err
		}
		return apply(tx, changes)
	})
	if refused != nil {
		return refused
	}
	return err
}

func apply(tx *bbolt.Tx, changes []Write) error {
	for _, w := range changes {
		b, err := tx.CreateBucketIfNotExists([]byte(w.Table))
		if err != nil {
			return err
		}
		switch key := []byte(w.Key); {
		case w.Value == nil:
			err = errors.Join(b.Delete(key), tidy(tx, w, b))
		case w.Log:
			n, _ := b.NextSequence() // which fails in a transaction that may not write alone
			err = b.Put(fmt.Appendf(nil, "%020d", n), w.Value)
		default:
			err = b.Put(key, w.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tidy takes out a table without records: there is one for each person. A log keeps its
// numbers.
func tidy(tx *bbolt.Tx, w Write, b *bbolt.Bucket) error {
	if first, _ := b.Cursor().First(); first != nil || w.Log {
		return nil
	}
	return tx.DeleteBucket([]byte(w.Table))
}

// Since is of Backend.
func (f *File) Since(_ context.Context, log, after string) (entries []Entry, err error) {
	err = f.view(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(log))
		if b == nil {
			return nil
		}
		c := b.Cursor()
		for k, v := c.Seek([]byte(after)); k != nil; k, v = c.Next() {
			if string(k) > after {
				entries = append(entries, Entry{string(k), slices.Clone(v)})
			}
		}
		return nil
	})
	return entries, err
}

// Remote is of Backend.
func (f *File) Remote() bool { return false }

// Close is of Backend.
func (f *File) Close() error {
	if f.db == nil {
		return nil
	}
	return f.db.Close()
}

// view and update run a transaction; a fault of the disk, or of the file, is none of the
// process.
func (f *File) view(do func(*bbolt.Tx) error) (err error) {
	defer faulty(&err)
	if f.db == nil {
		return nil
	}
	return unavailable(f.db.View(do))
}

func (f *File) update(do func(*bbolt.Tx) error) (err error) {
	defer faulty(&err)
	return unavailable(f.db.Update(do))
}

// faulty makes an error of a panic of bbolt, which is its word for pages that make no sense.
func faulty(err *error) {
	if p := recover(); p != nil {
		*err = unavailable(fmt.Errorf("%v", p))
	}
}
