package config

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Loaded is a config as it was read, with everything that is wrong with it.
type Loaded struct {
	Report
	// Custom: the file with .custom appended was read instead.
	Custom bool
	// SHA256 is of the bytes of the file, in hex; empty where it cannot be read.
	SHA256 string
	// At is when it was read.
	At time.Time
	// Config is what the file says, with what the files that it names hold.
	Config Config

	folder string // relative names start here
	owners owners // of files that are believed
}

func newLoaded(path string) *Loaded {
	return &Loaded{Report: Report{File: path, files: map[string]bool{}}, folder: filepath.Dir(path), owners: ownersBeside(path)}
}

// Decoded reports whether the file could be read as YAML; which keys are missing is
// only known then.
func (l *Loaded) Decoded() bool {
	return !slices.ContainsFunc(l.findings, func(f Finding) bool { return f.Key == "" && !f.Warning && !strings.HasPrefix(f.Text, unknownKey) })
}

// walk visits every value of the config, the inner first.
func (l *Loaded) walk(visit func(field)) {
	walk(field{value: reflect.ValueOf(&l.Config).Elem()}, visit)
}

// Path is a file name of the config, from the config's own folder.
func (l *Loaded) Path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(l.folder, name)
}

// AuditFile is the audit stream's name, with its path.
func (l *Loaded) AuditFile() string {
	if name := l.Config.Audit.File; name == "" || name == "-" {
		return name
	}
	return l.Path(l.Config.Audit.File)
}

// AdminSocket is the file of admin.socket, with its path; empty: there is none.
func (l *Loaded) AdminSocket() string {
	if l.Config.Admin.Socket == "" {
		return ""
	}
	return l.Path(l.Config.Admin.Socket)
}

// StoreFile is the store's name, with its path; empty: it is no file.
func (l *Loaded) StoreFile() string {
	if l.Config.Store.File == "" {
		return ""
	}
	return l.Path(l.Config.Store.File)
}
