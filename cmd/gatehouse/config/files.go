package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"gatehouse/authn"
)

// readFiles reads every file that the config names. This is the only place that does.
func (l *Loaded) readFiles() {
	l.walk(func(f field) {
		if !named(f.value.Type()) {
			return
		}
		l.files[f.key] = textOfField(f.value) != ""
		switch v := f.value.Addr().Interface().(type) {
		case *authn.File:
			l.readFile(f.key, v)
		case *authn.SecretFile:
			l.readSecret(f.key, v)
		case *authn.Folder:
			l.readFolder(f.key, v)
		}
	})
}

func (l *Loaded) readFile(key string, f *authn.File) {
	if f.Name == "" {
		return
	}
	name, path := f.Name, l.Path(f.Name)
	f.Reread = func() ([]byte, error) { return readNamed(name, path) }
	text, err := f.Reread()
	if f.Data = text; err != nil {
		l.Fault(key, "%v", err)
	} else if err := l.owners.check(name, path); err != nil { // it holds no secret, but may say who is trusted
		l.Warn(key, "%v", err)
	}
}

func (l *Loaded) readSecret(key string, f *authn.SecretFile) {
	if f.Name == "" {
		return
	}
	name, path := f.Name, l.Path(f.Name)
	f.Reread = func() (authn.Secret, error) { return l.owners.read(name, path) }
	text, err := f.Reread()
	if f.Secret = text; err != nil {
		l.Fault(key, "%v", err)
		return
	}
	if info, err := os.Stat(path); err == nil && info.Mode()&0o044 != 0 {
		l.Warn(key, "%s can be read by others (mode %04o); chmod go-r it", name, info.Mode().Perm())
	}
}

func (l *Loaded) readFolder(key string, f *authn.Folder) {
	if f.Name == "" {
		return
	}
	entries, err := os.ReadDir(l.Path(f.Name))
	if err != nil {
		l.Fault(key, "%s cannot be read: %v", f.Name, reason(err))
	}
	for _, e := range entries {
		name := filepath.Join(f.Name, e.Name())
		if strings.HasPrefix(e.Name(), ".") || isDir(l.Path(name)) {
			continue
		}
		file := authn.File{Name: name}
		l.readFile(key, &file)
		if file.Data != nil {
			f.Files = append(f.Files, file)
		}
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// readNamed returns what a file holds; the error names it as the config does.
func readNamed(name, path string) ([]byte, error) {
	text, err := readRegular(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s cannot be read: %w", name, reason(err))
	case len(text) > maxConfigBytes:
		return nil, fmt.Errorf("%s is larger than %d MiB", name, maxConfigBytes>>20)
	}
	return text, nil
}

// read reads a file that must be kept from others, without the CR and LF at
// its end, which an editor adds.
func (o owners) read(name, path string) (authn.Secret, error) {
	text, err := readNamed(name, path)
	if err != nil {
		return "", err
	}
	if err := o.check(name, path); err != nil {
		return "", err
	}
	if text = bytes.TrimRight(text, "\r\n"); len(text) == 0 {
		return "", fmt.Errorf("%s is empty; write the secret into it", name)
	}
	return authn.Secret(text), nil
}

// readRegular reads a file, but no pipe or device that might never end.
func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errors.New("it is a folder")
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no ordinary file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
}
