package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"gatehouse/authn"
)

// Place is where something stands in the config file, both counted from 1; zero: nowhere.
type Place struct {
	Line, Column int // as an editor shows them
}

func (p Place) known() bool { return p.Line > 0 }

// Finding is one fault or warning of a config.
type Finding struct {
	// File is the config as the user named it.
	File string
	// Place is where the key stands, or the nearest section above it that is there.
	Place Place
	// Key is the config path, such as directories[1].ldap.users.filter; empty where the text says it.
	Key string
	// Text says what is wrong and what to do.
	Text string
	// Warning: the config works, but its owner should know.
	Warning bool
	// Content: the fault is in a file that the config names, not in the config itself.
	Content bool
}

// String is `gatehouse.yaml:12:7: directories[1].ldap.users.filter: what is wrong`.
func (f Finding) String() string {
	s := f.File + ":"
	if f.Place.known() {
		s += fmt.Sprintf("%d:%d:", f.Place.Line, f.Place.Column)
	}
	if f.Key != "" {
		s += " " + f.Key + ":"
	}
	return s + " " + f.Text
}

// Report collects what is found, so that one run shows everything.
type Report struct {
	// File is the config that was read, as the user named it.
	File string

	places   map[string]Place // by key; set once the file is decoded
	files    map[string]bool  // the keys that name files
	findings []Finding
	next     *Report // of policy_next_file, where there is one
}

func (r *Report) at(p Place, key, format string, args ...any) {
	text := oneLine(fmt.Sprintf(format, args...))
	r.findings = append(r.findings, Finding{File: r.origin(key).File, Place: p, Key: key, Text: text, Content: r.files[key]})
}

// oneLine keeps control characters, which a name or a library's error may have, out of
// what is one line of a log or a terminal.
func oneLine(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return '?'
		}
		return c
	}, text)
}

// Fault adds a fault of a key.
func (r *Report) Fault(key, format string, args ...any) {
	r.at(r.find(key), key, format, args...)
}

// Warn adds a warning of a key, and returns it.
func (r *Report) Warn(key, format string, args ...any) Finding {
	r.Fault(key, format, args...)
	warning := &r.findings[len(r.findings)-1]
	warning.Warning = true
	return *warning
}

// Errors adds what a section's check or a package's constructor said:
// *authn.KeyError values, joined, with keys relative to prefix.
func (r *Report) Errors(prefix string, err error) {
	if err == nil {
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			r.Errors(prefix, e)
		}
		return
	}
	var k *authn.KeyError
	if !errors.As(err, &k) {
		r.Fault(prefix, "%v", err)
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
		r.Warn(key, "%v", k.Err)
	case r.reported(key), k.Key == "" && r.Faulty(key): // better than it could be told of the section as a whole
	default:
		r.Fault(key, "%v", k.Err)
	}
}

// Faulty reports whether a key, or one below it, has a fault already, so that it is
// not told twice.
func (r *Report) Faulty(key string) bool {
	return slices.ContainsFunc(r.findings, func(f Finding) bool {
		below, ok := strings.CutPrefix(f.Key, key)
		return !f.Warning && ok && (below == "" || below[0] == '.' || below[0] == '[')
	})
}

// reported reports whether a key itself has a fault already.
func (r *Report) reported(key string) bool {
	return slices.ContainsFunc(r.findings, func(f Finding) bool { return f.Key == key && !f.Warning })
}

// find is where a key stands, or the nearest section above it that is there.
func (r *Report) find(key string) Place {
	r = r.origin(key)
	for key != "" {
		if p, ok := r.places[key]; ok {
			return p
		}
		key = key[:max(strings.LastIndexAny(key, ".["), 0)]
	}
	return Place{1, 1}
}

// Faults are the findings that keep the config from being used, in the order of the file.
func (r *Report) Faults() []Finding { return r.only(false) }

// Warnings are the findings that its owner should know, in the order of the file.
func (r *Report) Warnings() []Finding { return r.only(true) }

func (r *Report) only(warning bool) []Finding {
	var list []Finding
	for _, f := range r.findings {
		if f.Warning == warning {
			list = append(list, f)
		}
	}
	slices.SortStableFunc(list, func(a, b Finding) int {
		if a.File != b.File { // the config first
			return cmp.Compare(boolean(a.File != r.File), boolean(b.File != r.File))
		}
		return cmp.Or(cmp.Compare(a.Place.Line, b.Place.Line), cmp.Compare(a.Place.Column, b.Place.Column))
	})
	return list
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

// nextKey is the section that may stand in a file of its own.
const nextKey = "policy_next"

// origin is the report of the file in which a key stands.
func (r *Report) origin(key string) *Report {
	if rest, ok := strings.CutPrefix(key, nextKey); ok && r.next != nil && (rest == "" || rest[0] == '[') {
		return r.next
	}
	return r
}

// Position is what names a rule: base name and line.
func (r *Report) Position(key string) string {
	return fmt.Sprintf("%s:%d", filepath.Base(r.origin(key).File), r.find(key).Line)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// item is the path of an item of a list.
func item(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// Print writes findings, one a line.
func Print(w io.Writer, list []Finding) {
	for _, f := range list {
		if f.Warning {
			fmt.Fprint(w, "warning: ")
		}
		fmt.Fprintln(w, f)
	}
}
