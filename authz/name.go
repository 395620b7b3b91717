package authz

import (
	"strings"
	"unicode"
)

// maxName is how long a repository name may be: registries answer 500 beyond.
const maxName = 255

// ValidRepository reports whether name is in the grammar of the OCI distribution
// specification ("Pulling manifests") and at most 255 bytes long: components
// joined by `/`, each of lower-case alphanumeric runs joined by `.`, `_`, `__` or
// any number of `-`.
func ValidRepository(name string) bool {
	if len(name) > maxName {
		return false
	}
	for {
		component, rest, more := strings.Cut(name, "/")
		if !validComponent(component) {
			return false
		}
		if !more {
			return true
		}
		name = rest
	}
}

// validComponent walks runs and separators in turn; a component begins and ends
// with a run.
func validComponent(s string) bool {
	for {
		run := 0
		for run < len(s) && alphanumeric(s[run]) {
			run++
		}
		if run == 0 {
			return false
		}
		if s = s[run:]; s == "" {
			return true
		}
		s = s[separator(s):]
	}
}

// separator is the length of the separator that s begins with, 0 for none. What
// is none, or follows one that is too long, is no run, so it fails there.
func separator(s string) int {
	switch {
	case strings.HasPrefix(s, "__"):
		return 2
	case s[0] == '.' || s[0] == '_':
		return 1
	}
	return len(s) - len(strings.TrimLeft(s, "-"))
}

func alphanumeric(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// ValidTag reports whether tag is in the specification's grammar: 1 to 128 letters,
// digits, `_`, `.` and `-`, the first of them neither `.` nor `-`.
func ValidTag(tag string) bool {
	return tag != "" && len(tag) <= 128 && tag[0] != '.' && tag[0] != '-' &&
		!strings.ContainsFunc(tag, func(r rune) bool { return r > unicode.MaxASCII || !nameByte(byte(r)) })
}

// nameByte reports whether c can stand in a repository's component or in a tag.
func nameByte(c byte) bool {
	return alphanumeric(c) || 'A' <= c && c <= 'Z' || c == '_' || c == '.' || c == '-'
}
