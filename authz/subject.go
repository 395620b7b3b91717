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

// matches says whether the caller is meant. Groups are walked, not searched:
// a caller's list that came unsorted must not slip past a deny.
func (s *subject) matches(id *authn.Identity) bool {
	if s.kind == everyone {
		return true
	}
	if id.Anonymous() || s.directory != "" && s.directory != id.Directory {
		return false
	}
	switch s.kind {
	case authenticated, directory:
		return true
	case user:
		return id.Username == s.name
	case group, groupDN:
		return s.matchesGroup(id.Groups)
	}
	return false
}

func (s *subject) matchesGroup(groups []authn.Group) bool {
	for i := range groups {
		if s.kind == group && groups[i].Name == s.name || s.kind == groupDN && groups[i].DN == s.name {
			return true
		}
	}
	return false
}

func anySubject(list []subject, id *authn.Identity) bool {
	for i := range list {
		if list[i].matches(id) {
			return true
		}
	}
	return false
}

// errBareName is a warning: who owns the name is up to the directories' order.
var errBareName = errors.New("with several directories the same name may be another person's in each of them; write user:DIRECTORY/NAME or group:DIRECTORY/NAME")

// compileSubject reads an entry of `to` or `except`. directories maps the names
// that may be used, in lower case, to themselves. errBareName comes beside a
// subject that works.
func compileSubject(text string, directories map[string]string) (subject, error) {
	kind, name, _ := strings.Cut(text, ":")
	switch {
	case text == "everyone":
		return subject{kind: everyone}, nil
	case text == "authenticated":
		return subject{kind: authenticated}, nil
	case kind != "user" && kind != "group" && kind != "directory":
		return subject{}, fmt.Errorf("%q is none of everyone, authenticated, user:NAME, group:NAME, directory:NAME", text)
	case strings.TrimSpace(name) != name || name == "":
		return subject{}, fmt.Errorf("%q: a name is missing after %s:, or has spaces around it", text, kind)
	case kind == "directory":
		known, err := findDirectory(name, directories)
		return subject{kind: directory, directory: known}, err
	case kind == "user":
		return compileName(user, name, directories)
	}
	return compileGroup(name, directories)
}

// compileName reads NAME or DIRECTORY/NAME.
func compileName(kind subjectKind, text string, directories map[string]string) (subject, error) {
	first, name, bound := strings.Cut(text, "/")
	if strings.Contains(text, "*") {
		return subject{}, fmt.Errorf("%q: names take no wildcards; write authenticated or directory:NAME for many people", text)
	}
	if !bound {
		s := subject{kind: kind, name: strings.ToLower(text)}
		if len(directories) > 1 {
			return s, errBareName
		}
		return s, nil
	}
	known, err := findDirectory(first, directories)
	if err == nil && name == "" {
		err = fmt.Errorf("%q: a name is missing after the slash", text)
	}
	return subject{kind: kind, directory: known, name: strings.ToLower(name)}, err
}

// compileGroup reads what stands after `group:`. A `=` before any slash makes it a
// distinguished name, and one after DIRECTORY/ does so too.
func compileGroup(text string, directories map[string]string) (subject, error) {
	first, rest, _ := strings.Cut(text, "/")
	if strings.Contains(first, "=") {
		dn, err := normalizeDN(text)
		return subject{kind: groupDN, name: dn}, err
	}
	if !strings.Contains(rest, "=") {
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
	if known, ok := directories[strings.ToLower(name)]; ok {
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
