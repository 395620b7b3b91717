package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// owners are the user ids whose files are believed: root, the process' own user,
// and whoever owns the config, as they could name other files in it. A secret is only
// as good as who else could put another in its place, so, as sshd has it, the file and
// every folder above it belong to one of them and nobody else can write there.
type owners []uint32

// ownersBeside are the owners for the files that the config at path names.
func ownersBeside(path string) owners {
	list := owners{0, uint32(os.Geteuid())}
	if info, err := os.Stat(path); err == nil {
		list = append(list, uidOf(info))
	}
	return list
}

func uidOf(info fs.FileInfo) uint32 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Uid
	}
	return 0
}

// check reports how others could change or replace a file; name is the config's.
func (o owners) check(name, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%s cannot be read: %w", name, reason(err))
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("%s can be written by others (mode %04o); chmod go-w it", name, mode)
	}
	if uid := uidOf(info); !slices.Contains(o, uid) {
		return fmt.Errorf("%s belongs to another user (uid %d), who can write it; chown it to root or to the user that the gateway runs as, and check as that user (this is uid %d)",
			name, uid, os.Geteuid())
	}
	paths := []string{path}
	if target, err := filepath.EvalSymlinks(path); err == nil && target != path {
		paths = append(paths, target)
	}
	for _, p := range paths {
		if err := o.checkFolders(p); err != nil {
			return fmt.Errorf("%s can be replaced by others: %w", name, err)
		}
	}
	return nil
}

// checkFolder reports how others could change what is in a folder, or the folder that will be
// made there; name is the config's.
func (o owners) checkFolder(name, path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !isDir(filepath.Dir(path)):
		return fmt.Errorf("%s cannot be made: its folder does not exist", name)
	case errors.Is(err, fs.ErrNotExist):
		if err := o.checkFolders(path); err != nil {
			return fmt.Errorf("%s can be replaced by others: %w", name, err)
		}
		return nil
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s is no folder", name)
	}
	return o.check(name, path)
}

// checkFolders looks at every folder above a file. One that only its owner can enter
// keeps all below it, but that everybody may write beside a secret nobody means.
func (o owners) checkFolders(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	var first error
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		switch problem := o.folder(info); {
		case problem != "" && info.Mode()&0o002 != 0 && dir == filepath.Dir(path):
			return fmt.Errorf("its folder %s %s", dir, problem)
		case problem == "" && info.Mode()&0o011 == 0:
			return nil
		case problem != "" && first == nil:
			first = fmt.Errorf("its folder %s %s", dir, problem)
		}
		if dir == filepath.Dir(dir) {
			return first
		}
	}
}

// folder is what lets others replace files in a folder. A sticky one lets them not.
func (o owners) folder(info fs.FileInfo) string {
	switch mode := info.Mode(); {
	case !slices.Contains(o, uidOf(info)):
		return fmt.Sprintf("belongs to another user (uid %d); chown it to root or to the user that the gateway runs as", uidOf(info))
	case mode&0o022 != 0 && mode&fs.ModeSticky == 0:
		return fmt.Sprintf("can be written by them (mode %04o); chmod go-w it", mode.Perm())
	}
	return ""
}

// reason is an error without the path that the message names already.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
