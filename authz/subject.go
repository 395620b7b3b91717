package authz

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gatehouse/authn"
)

// subject is a compiled entry of `to` or `except`.
type subject struct {
	kind      subjectKind
	directory string // the only one it speaks of; empty: any
	name      string // lower case
}

type subjectKind uint8

const (
	nobody subjectKind = iota // the zero subject must not mean everyone
	everyone
	authenticated
	user
	group
	groupDN
	directory
)

// matches reports whether the caller is meant.
func (s *subject) matches(who *person) bool {
	if s.kind == everyone {
		return true
	}
	if who.Anonymous() || s.directory != "" && s.directory != who.Directory {
		return false
	}
	switch s.kind {
	case authenticated, directory:
		return true
	case user:
		return who.Username == s.name
	case group:
		return who.inGroup(s.name)
	case groupDN:
		return who.inGroupDN(s.name)
	}
	return false
}

func anySubject(list []subject, who *person) bool {
	for i := range list {
		if list[i].matches(who) {
			return true
		}
	}
	return false
}

// errBareName is a warning: who owns the name is up to the directories' order.
var errBareName = errors.New("with several directories the same name may be another person's in each of them; write user:DIRECTORY/NAME or group:DIRECTORY/NAME")

// compileSubject reads an entry of `to` or `except`. directories maps the names
// that may be used, as authn.NormalizeName has them, to themselves. errBareName comes
// beside a subject that works.
func compileSubject(text string, directories map[string]string) (subject, error) {
	kind, name, _ := strings.Cut(text, ":")
	switch {
	case text == "everyone":
		return subject{kind: everyone}, nil
	case text == "authenticated":
		return subject{kind: authenticated}, nil
	case kind != "user" && kind != "group" && kind != "directory":
		return subject{}, fmt.Errorf("%q is none of everyone, authenticated, user:NAME, group:NAME, directory:NAME", text)
	case authn.NormalizeName(name) == "":
		return subject{}, fmt.Errorf("%q: a name is missing after the colon", text)
	case kind == "directory":
		known, err := findDirectory(name, directories)
		return subject{kind: directory, directory: known}, err
	case kind == "user":
		return compileName(user, name, directories)
	}
	return compileGroup(name, directories)
}

// words are those of the kinds that have a name.
var words = map[subjectKind]string{user: "user", group: "group"}

// compileName reads NAME or DIRECTORY/NAME.
func compileName(kind subjectKind, text string, directories map[string]string) (subject, error) {
	first, name, bound := strings.Cut(text, "/")
	if strings.Contains(text, "*") {
		return subject{}, fmt.Errorf("%q: names take no wildcards; write authenticated or directory:NAME for many people", text)
	}
	if !bound {
		s := subject{kind: kind, name: authn.NormalizeName(text)}
		if len(directories) > 1 {
			return s, errBareName
		}
		return s, nil
	}
	known, err := findDirectory(first, directories)
	if err != nil {
		return subject{}, fmt.Errorf("%w; a name that has a slash itself is written %s:DIRECTORY/%s", err, words[kind], text)
	}
	s := subject{kind: kind, directory: known, name: authn.NormalizeName(name)}
	if s.name == "" {
		return s, fmt.Errorf("%q: a name is missing after the slash", text)
	}
	return s, nil
}

// compileGroup reads what stands after `group:`. A `=` before any slash makes it a
// distinguished name, and behind DIRECTORY/ it does so too.
func compileGroup(text string, directories map[string]string) (subject, error) {
	first, rest, _ := strings.Cut(text, "/")
	if strings.Contains(first, "=") {
		dn, err := normalizeDN(text)
		return subject{kind: groupDN, name: dn}, err
	}
	if behind, _, _ := strings.Cut(rest, "/"); !strings.Contains(behind, "=") {
		return compileName(group, text, directories)
	}
	known, err := findDirectory(first, directories)
	if err != nil {
		return subject{}, err
	}
	dn, err := normalizeDN(rest)
	return subject{kind: groupDN, directory: known, name: dn}, err
}

func findDirectory(name string, directories map[string]string) (string, error) {
	if known, ok := directories[authn.NormalizeName(name)]; ok {
		return known, nil
	}
	return "", fmt.Errorf("there is no directory %q; there are: %s", name, strings.Join(slices.Sorted(maps.Values(directories)), ", "))
}

// normalizeDN gives the spelling that authn.Group.DN has.
func normalizeDN(text string) (string, error) {
	dn, ok := authn.NormalizeDN(text)
	if !ok {
		return "", fmt.Errorf("%q is no distinguished name (RFC 4514)", text)
	}
	return dn, nil
}
