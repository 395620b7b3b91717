package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"time"
)

// customSuffix names the file that is loaded instead of the config it stands beside.
const customSuffix = ".custom"

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
	l.Custom, l.At = custom, time.Now()
	if err != nil {
		l.at(Place{}, "", "cannot be read: %v; name the config with -c or $GATEHOUSE_CONFIG", reason(err))
		return l
	}
	sum := sha256.Sum256(text)
	l.SHA256 = hex.EncodeToString(sum[:])
	l.checkMode(path)
	l.parse(text)
	return l
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
	l.settle()
	l.checkTags()
	l.readFiles()
	l.readNext()
	l.position()
	l.checkSections()
}
