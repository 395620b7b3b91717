package content

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Folder is where large content is kept, by one process alone:
//
//	lock                 held by that process
//	v1/ab/sha256-ab...   content, named by its digest
//	v1/tmp/              what is not whole yet
//	v1/clean             what the last process left in order, which can be believed
type Folder struct {
	path  string
	lock  *os.File
	left  []os.DirEntry    // in v1/tmp, of a process that is gone
	clean map[string]stamp // what can be believed, by digest; nil: the last process did not end in order
}

// stamp is how a file looks from outside. One that looks otherwise was changed by somebody else.
type stamp struct {
	size int64 // bytes
	time int64 // when it was written, or after that, to the hour, when it was last used; nanoseconds since 1970
}

func stampOf(info fs.FileInfo) stamp { return stamp{info.Size(), info.ModTime().UnixNano()} }

// OpenFolder makes the folder where there is none, though not those above it, and locks
// it. The error tells what is wrong with it, such as another process that has it.
func OpenFolder(path string) (*Folder, error) {
	f := &Folder{path: path}
	if err := makeFolder(path); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	f.lock = lock
	if err := f.settle(); err != nil {
		lock.Close()
		return nil, err
	}
	return f, nil
}

// settle takes the lock, and makes the folders.
func (f *Folder) settle() error {
	err := syscall.Flock(int(f.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return fmt.Errorf("another process keeps its cache there (%s is locked); give each a folder of its own", f.lock.Name())
	case err != nil:
		return fmt.Errorf("%s cannot be locked: %w", f.lock.Name(), err)
	}
	if err := f.makeFolders(); err != nil {
		return err
	}
	f.readMark()
	f.left, err = os.ReadDir(f.at("tmp"))
	return err
}

func (f *Folder) makeFolders() error {
	for _, dir := range []string{f.at(), f.at("tmp")} {
		if err := makeFolder(dir); err != nil {
			return err
		}
	}
	return nil
}

// readMark takes what the last process left in order.
func (f *Folder) readMark() {
	mark, _, err := openFile(f.at("clean"))
	if err != nil {
		return // then all has to be looked at
	}
	defer mark.Close()
	f.clean = map[string]stamp{}
	for lines := bufio.NewScanner(mark); lines.Scan(); {
		var digest string
		var s stamp
		if _, err := fmt.Sscan(lines.Text(), &digest, &s.size, &s.time); err == nil {
			f.clean[digest] = s
		}
	}
}

// makeFolder makes a folder for us alone, or believes one that is for us alone.
func makeFolder(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is no folder", path)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s can be written by others (mode %04o)", path, info.Mode().Perm())
	}
	return nil
}

func (f *Folder) at(names ...string) string {
	return filepath.Join(append([]string{f.path, "v1"}, names...)...)
}

// place is the folder and the name of content.
func (f *Folder) place(digest string) (dir, path string) {
	algorithm, encoded, _ := strings.Cut(digest, ":")
	dir = f.at(encoded[:2])
	return dir, filepath.Join(dir, algorithm+"-"+encoded)
}

// digestAt is the digest of which a file is the place; "": none.
func digestAt(dir, name string) string {
	algorithm, encoded, _ := strings.Cut(name, "-")
	if digest := algorithm + ":" + encoded; Known(digest) && encoded[:2] == dir {
		return digest
	}
	return ""
}

// create makes a file for content that is not whole yet, with so much room. Where somebody has
// emptied the folder it makes those in it again.
func (f *Folder) create(size int64) (*os.File, fs.FileInfo, error) {
	file, err := os.CreateTemp(f.at("tmp"), "*")
	if errors.Is(err, fs.ErrNotExist) && f.makeFolders() == nil {
		file, err = os.CreateTemp(f.at("tmp"), "*")
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = allocate(file, size)
	}
	if err != nil {
		file.Close()
		os.Remove(file.Name())
		return nil, nil, err
	}
	return file, info, nil
}

// openFile opens an ordinary file, and no link, to be read.
func openFile(path string) (*os.File, fs.FileInfo, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no ordinary file", path)
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

// open opens content, and says how it looks.
func (f *Folder) open(digest string) (*os.File, stamp, error) {
	_, path := f.place(digest)
	file, info, err := openFile(path)
	if err != nil {
		return nil, stamp{}, err
	}
	return file, stampOf(info), nil
}

// keep gives whole content its name, has it last over a loss of power, and says how it looks.
func (f *Folder) keep(file *os.File, digest string) (stamp, error) {
	dir, path := f.place(digest)
	if err := file.Sync(); err != nil {
		return stamp{}, err
	}
	info, err := file.Stat()
	if err != nil {
		return stamp{}, err
	}
	err = os.Mkdir(dir, 0o700)
	if err == nil {
		err = syncFolder(f.at())
	} else if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err != nil {
		return stamp{}, err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return stamp{}, err
	}
	return stampOf(info), syncFolder(dir)
}

func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// remove removes content. Who reads it reads on.
func (f *Folder) remove(digest string) {
	_, path := f.place(digest)
	_ = os.Remove(path) // what cannot be removed is found again by the next scan
}

// space is how many bytes of the file system we may still write, and how many it has.
func (f *Folder) space() (free, all int64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(f.path, &s); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", f.path, err)
	}
	return int64(s.Bavail) * int64(s.Bsize), int64(s.Blocks) * int64(s.Bsize), nil
}

// scan takes the mark of a good end away, removes what never became whole, and shows all content there is, how it looks, and
// whether it can be believed. Of what has the name of content but is none nothing stays; other
// files are not ours. Its error tells what could not be read, beside which the rest was shown.
func (f *Folder) scan(show func(digest string, s stamp, good bool)) error {
	err := f.clear()
	dirs, readErr := os.ReadDir(f.at())
	err = errors.Join(err, readErr)
	for _, dir := range dirs {
		if len(dir.Name()) != 2 || !dir.IsDir() {
			continue
		}
		files, readErr := os.ReadDir(f.at(dir.Name()))
		err = errors.Join(err, readErr)
		for _, file := range files {
			f.scanFile(dir.Name(), file, show)
		}
	}
	f.clean = nil // it takes room
	return err
}

func (f *Folder) scanFile(dir string, file fs.DirEntry, show func(string, stamp, bool)) {
	digest := digestAt(dir, file.Name())
	if digest == "" {
		return
	}
	info, err := file.Info()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		f.remove(digest)
		return
	}
	s := stampOf(info)
	show(digest, s, s == f.clean[digest])
}

// clear removes the mark, and what the last process did not bring to its end. Downloads of this
// one may have begun.
func (f *Folder) clear() error {
	err := os.Remove(f.at("clean"))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	} else if err == nil {
		err = syncFolder(f.at())
	}
	for _, file := range f.left {
		err = errors.Join(err, os.RemoveAll(f.at("tmp", file.Name())))
	}
	return err
}

// Close gives the folder up in order: nothing is being written there any more. What is good of
// it the next process believes.
func (f *Folder) Close(good map[string]stamp) error {
	defer f.lock.Close()
	mark, err := os.OpenFile(f.at("clean"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(mark)
	for digest, s := range good {
		fmt.Fprintln(w, digest, s.size, s.time) // Flush tells of a fault
	}
	return errors.Join(w.Flush(), mark.Sync(), mark.Close(), syncFolder(f.at()))
}
