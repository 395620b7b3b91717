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
	directory string      // the only one it speaks of; empty: any
	name      string      // lower case
	pattern   []component // of a machine's name
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
	machine
	anyMachine
	anyPerson
)

// directories are those that rules may name.
type directories struct {
	names    map[string]string // as authn.NormalizeName has them, to themselves
	machines map[string]bool   // those of machines
}

func newDirectories(all, ofMachines []string) directories {
	d := directories{names: make(map[string]string, len(all)), machines: make(map[string]bool, len(ofMachines))}
	for _, name := range all {
		d.names[authn.NormalizeName(name)] = name
	}
	for _, name := range ofMachines {
		d.machines[name] = true
	}
	return d
}

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
	case anyMachine:
		return who.Machine
	case anyPerson:
		return !who.Machine
	case machine:
		return who.Machine && matchName(s.pattern, who.Username, values{})
	case user:
		return who.Username == s.name && !who.Machine
	case group:
		return who.inNamed(s.name)
	case groupDN:
		return who.inNamedDN(s.name)
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

// errNoPerson is a warning: the rule will never speak to anybody.
var errNoPerson = errors.New("that directory knows machines and no people; write machine:DIRECTORY/NAME")

// whole are the entries that are one word.
var whole = map[string]subjectKind{"everyone": everyone, "authenticated": authenticated, "machines": anyMachine, "people": anyPerson}

// compileSubject reads an entry of `to` or `except`. errBareName and errNoPerson come
// beside a subject that works.
func compileSubject(text string, directories directories) (subject, error) {
	kind, name, _ := strings.Cut(text, ":")
	switch {
	case whole[text] != nobody:
		return subject{kind: whole[text]}, nil
	case kind != "user" && kind != "group" && kind != "directory" && kind != "machine":
		return subject{}, fmt.Errorf("%q is none of everyone, authenticated, people, machines, user:NAME, group:NAME, directory:NAME, machine:DIRECTORY/NAME", text)
	case authn.NormalizeName(name) == "":
		return subject{}, fmt.Errorf("%q: a name is missing after the colon", text)
	case kind == "machine":
		return compileMachine(name, directories)
	case kind == "directory":
		known, err := directories.find(name)
		return subject{kind: directory, directory: known}, err
	case kind == "user":
		return compileName(user, name, directories)
	}
	return compileGroup(name, directories)
}

// words are those of the kinds that have a name.
var words = map[subjectKind]string{user: "user", group: "group"}

// compileMachine reads DIRECTORY/NAME, where NAME may be a pattern.
func compileMachine(text string, directories directories) (subject, error) {
	first, name, _ := strings.Cut(text, "/")
	known, err := directories.find(first)
	switch {
	case name == "":
		return subject{}, fmt.Errorf("%q: write machine:DIRECTORY/NAME; NAME may hold * and **", text)
	case err != nil:
		return subject{}, err
	case !directories.machines[known]:
		return subject{}, fmt.Errorf("the directory %q knows people and no machines", known)
	}
	s := subject{kind: machine, directory: known}
	for text := range strings.SplitSeq(authn.NormalizeName(name), "/") {
		c, err := compileComponent(text)
		if err == nil && slices.ContainsFunc(c.parts, func(p part) bool { return p.kind > star }) {
			err = errors.New("a machine's name takes no placeholder")
		}
		if err != nil {
			return subject{}, fmt.Errorf("machine %q: %w", name, err)
		}
		s.pattern = append(s.pattern, c)
	}
	return s, nil
}

// compileName reads NAME or DIRECTORY/NAME.
func compileName(kind subjectKind, text string, directories directories) (subject, error) {
	first, name, bound := strings.Cut(text, "/")
	if strings.Contains(text, "*") {
		return subject{}, fmt.Errorf("%q: names take no wildcards; write authenticated or directory:NAME for many people", text)
	}
	if !bound {
		s := subject{kind: kind, name: authn.NormalizeName(text)}
		several := len(directories.names)
		if kind == user {
			several -= len(directories.machines)
		}
		if several > 1 {
			return s, errBareName
		}
		return s, nil
	}
	known, err := directories.find(first)
	if err != nil {
		return subject{}, fmt.Errorf("%w; a name that has a slash itself is written %s:DIRECTORY/%s", err, words[kind], text)
	}
	s := subject{kind: kind, directory: known, name: authn.NormalizeName(name)}
	if s.name == "" {
		return s, fmt.Errorf("%q: a name is missing after the slash", text)
	}
	if kind == user && directories.machines[known] {
		return s, errNoPerson
	}
	return s, nil
}

// compileGroup reads what stands after `group:`. A `=` before any slash makes it a
// distinguished name, and behind DIRECTORY/ it does so too.
func compileGroup(text string, directories directories) (subject, error) {
	first, rest, _ := strings.Cut(text, "/")
	if strings.Contains(first, "=") {
		dn, err := normalizeDN(text)
		return subject{kind: groupDN, name: dn}, err
	}
	if behind, _, _ := strings.Cut(rest, "/"); !strings.Contains(behind, "=") {
		return compileName(group, text, directories)
	}
	known, err := directories.find(first)
	if err != nil {
		return subject{}, err
	}
	dn, err := normalizeDN(rest)
	return subject{kind: groupDN, directory: known, name: dn}, err
}

func (d directories) find(name string) (string, error) {
	if known, ok := d.names[authn.NormalizeName(name)]; ok {
		return known, nil
	}
	return "", fmt.Errorf("there is no directory %q; there are: %s", name, strings.Join(slices.Sorted(maps.Values(d.names)), ", "))
}

// normalizeDN gives the spelling that authn.Group.DN has.
func normalizeDN(text string) (string, error) {
	dn, ok := authn.NormalizeDN(text)
	if !ok {
		return "", fmt.Errorf("%q is no distinguished name (RFC 4514)", text)
	}
	return dn, nil
}
