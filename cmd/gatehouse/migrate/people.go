package migrate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gatehouse/authn"
)

// person is one user of a static directory.
type person struct {
	line           int
	name, password string // the password's hash
	groups         []string
}

// localName is the static directory.
const localName = "local"

// sound are the people that a static directory takes, each name once; of the others it
// tells why they are not written.
func (r *result) sound(people []person) []person {
	var kept []person
	seen := map[string]person{}
	for _, p := range people {
		name := authn.NormalizeName(p.name)
		before, twice := seen[name]
		why := refused(p)
		switch {
		case why != "":
			r.lost(p.line, "user %q is not written: %s", p.name, why)
		case twice && before.name == p.name:
			r.lost(p.line, "user %q stands twice (first in line %d) and is written once, with the first password", p.name, before.line)
		case twice:
			r.lost(p.line, "user %q is not written: names are lower-case here, and %q of line %d is the same one", p.name, before.name, before.line)
		default:
			seen[name] = p
			kept = append(kept, p)
			if name != p.name {
				r.note(p.line, "user %q is written %q: names are lower-case here, and logins are taken in any letter case", p.name, name)
			}
		}
	}
	return kept
}

// refused is why a static directory would not take somebody, or could not let them in.
func refused(p person) string {
	if p.password == "" {
		return "there is no password, and there any one would do"
	}
	return judged(p, false)
}

// weak tells of hashes that are taken with a warning.
func (r *result) weak(people []person) {
	for _, p := range people {
		if why := judged(p, true); why != "" {
			r.note(p.line, "user %q: %s", p.name, why)
		}
	}
}

// judged is the first fault, or the first warning, that a static directory has of somebody.
func judged(p person, warning bool) string {
	user := authn.StaticUser{Username: p.name, PasswordHash: authn.Secret(p.password), Groups: p.groups}
	_, err := authn.NewStatic(authn.StaticConfig{Name: localName, Users: []authn.StaticUser{user}})
	joined, _ := err.(interface{ Unwrap() []error })
	if joined == nil {
		return ""
	}
	for _, err := range joined.Unwrap() {
		var k *authn.KeyError
		if errors.As(err, &k) && k.Warning == warning {
			return k.Err.Error()
		}
	}
	return ""
}

// staticYAML is the directory of these people.
func staticYAML(people []person) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - name: %s\n    static:\n", localName)
	for _, p := range people {
		fmt.Fprintf(&b, "      - username: %s\n        password_hash: %s\n", quote(authn.NormalizeName(p.name)), quote(p.password))
		if len(p.groups) > 0 {
			groups := slices.Compact(slices.Sorted(slices.Values(p.groups)))
			fmt.Fprintf(&b, "        groups: %s\n", quoteList(groups))
		}
	}
	return b.String()
}
