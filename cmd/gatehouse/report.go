package main

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"gatehouse/authn"
)

// finding is one fault or warning of a config.
type finding struct {
	file    string
	place   place
	key     string // config path; empty where the text says it
	text    string
	warning bool
	// content: the fault is in a file that the config names, not in the config itself.
	content bool
}

// String is `gatehouse.yaml:12:7: directories[1].ldap.users.filter: what is wrong`.
func (f finding) String() string {
	s := f.file + ":"
	if f.place.known() {
		s += fmt.Sprintf("%d:%d:", f.place.line, f.place.column)
	}
	if f.key != "" {
		s += " " + f.key + ":"
	}
	return s + " " + f.text
}

// report collects what is found, so that one run shows everything.
type report struct {
	file     string           // for the messages: as the user named it
	places   map[string]place // set once the file is decoded
	findings []finding
}

// at adds a fault at a place.
func (r *report) at(p place, key, format string, args ...any) {
	r.findings = append(r.findings, finding{file: r.file, place: p, key: key, text: fmt.Sprintf(format, args...)})
}

// fault adds a fault of a key.
func (r *report) fault(key, format string, args ...any) {
	r.at(r.find(key), key, format, args...)
}

// content adds a fault of what a key names.
func (r *report) content(key, format string, args ...any) {
	r.fault(key, format, args...)
	r.findings[len(r.findings)-1].content = true
}

// warn adds a warning of a key.
func (r *report) warn(key, format string, args ...any) {
	r.fault(key, format, args...)
	r.findings[len(r.findings)-1].warning = true
}

// errors adds what a package's constructor said: *authn.KeyError values, joined,
// with keys relative to prefix.
func (r *report) errors(prefix string, err error) {
	if err == nil {
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			r.errors(prefix, e)
		}
		return
	}
	var k *authn.KeyError
	if !errors.As(err, &k) {
		r.fault(prefix, "%v", err)
		return
	}
	key := k.Key
	if prefix != "" && key != "" && !strings.HasPrefix(key, "[") {
		key = join(prefix, key)
	} else {
		key = prefix + key
	}
	switch {
	case k.Warning:
		r.warn(key, "%v", k.Err)
	case !r.faulty(key):
		r.fault(key, "%v", k.Err)
	}
}

// faulty says that a key has a fault already, so that it is not told twice.
func (r *report) faulty(key string) bool {
	return slices.ContainsFunc(r.findings, func(f finding) bool { return f.key == key && !f.warning })
}

// faultyUnder says that a key that begins so has a fault.
func (r *report) faultyUnder(prefix string) bool {
	return slices.ContainsFunc(r.findings, func(f finding) bool { return strings.HasPrefix(f.key, prefix) && !f.warning })
}

// find is where a key stands, or the nearest section above it that is there.
func (r *report) find(key string) place {
	for key != "" {
		if p, ok := r.places[key]; ok {
			return p
		}
		key = key[:max(strings.LastIndexAny(key, ".["), 0)]
	}
	return place{1, 1}
}

// faults and warnings are the two kinds, in the order of the file.
func (r *report) faults() []finding   { return r.only(false) }
func (r *report) warnings() []finding { return r.only(true) }

func (r *report) only(warning bool) []finding {
	var list []finding
	for _, f := range r.findings {
		if f.warning == warning {
			list = append(list, f)
		}
	}
	slices.SortStableFunc(list, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.place.line, b.place.line), cmp.Compare(a.place.column, b.place.column))
	})
	return list
}

// position is what names a rule: base name and line.
func (r *report) position(key string) string {
	return fmt.Sprintf("%s:%d", filepath.Base(r.file), r.find(key).line)
}
