package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// customSuffix names the file that is loaded instead of the config it stands beside.
const customSuffix = ".custom"

// Loaded is a config as it was read, with everything that is wrong with it.
type Loaded struct {
	Report
	// Custom: the file with .custom appended was read instead.
	Custom bool
	// Config is what the file says, with what the files that it names hold.
	Config Config

	folder string // relative names start here
	owners owners // of files that are believed
}

// Load reads and checks a config. It touches nothing but files, and what it finds
// stands in the report.
func Load(path string) *Loaded {
	text, err := readRegular(path + customSuffix)
	custom := !errors.Is(err, fs.ErrNotExist)
	if custom {
		path += customSuffix
	} else {
		text, err = readRegular(path)
	}
	l := newLoaded(path)
	l.Custom = custom
	if err != nil {
		l.at(Place{}, "", "cannot be read: %v; name the config with -c or $GATEHOUSE_CONFIG", reason(err))
		return l
	}
	l.checkMode(path)
	l.parse(text)
	return l
}

func newLoaded(path string) *Loaded {
	return &Loaded{Report: Report{File: path, files: map[string]bool{}}, folder: filepath.Dir(path), owners: ownersBeside(path)}
}

// checkMode warns of a config that others can write: it decides who may do what.
func (l *Loaded) checkMode(path string) {
	info, err := os.Stat(path)
	if err != nil || info.Mode()&0o022 == 0 {
		return
	}
	l.at(Place{1, 1}, "", "can be written by others (mode %04o), and so can who may do what; chmod go-w it", info.Mode().Perm())
	l.findings[len(l.findings)-1].Warning = true
}

// parse takes the text of the file and, where it is YAML, the files that it names.
func (l *Loaded) parse(text []byte) {
	l.places = decodeConfig(bytes.TrimPrefix(text, []byte("\ufeff")), &l.Config, &l.Report)
	if !l.Decoded() {
		return
	}
	for i := range l.Config.Policy {
		l.Config.Policy[i].Position = l.Position(fmt.Sprintf("policy[%d]", i))
	}
	l.checkTags()
	l.readFiles()
	l.checkSections()
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
