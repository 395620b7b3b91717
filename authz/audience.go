package authz

import (
	"errors"
	"slices"

	"gatehouse/authn"
)

// Audience is a set of callers in the words of a rule's `to`. The nil Audience is
// nobody. It is immutable and safe for concurrent use.
type Audience struct {
	to     []subject
	groups *memberships
}

// NewAudience reads the words; directories are the names that they may use. Its error
// joins *authn.KeyError values with the keys [0], [1] and so on, warnings among them;
// where all of them are warnings the *Audience is returned as well.
func NewAudience(words, directories, machines []string) (*Audience, error) {
	c := newCompiler(directories, machines)
	a := &Audience{c.subjects("", words), newMemberships()}
	a.groups.add(a.to)
	if c.failed {
		return nil, errors.Join(c.found...)
	}
	return a, errors.Join(c.found...)
}

// Misses are the words of other, by their index, whose people are surely not all among a's.
// Groups may be anybody's, so of a person or a group that is said only where a has none.
func (a *Audience) Misses(other *Audience) []int {
	var list []int
	loose := slices.ContainsFunc(a.to, func(t subject) bool { return t.kind == group || t.kind == directory })
	for i, s := range other.to {
		switch s.kind {
		case machine, anyMachine:
			continue
		case everyone, authenticated:
			s.kind = anyPerson
		case user, group:
			if loose {
				continue
			}
		}
		if !slices.ContainsFunc(a.to, func(t subject) bool { return t.kind == anyPerson || t.covers(s) }) {
			list = append(list, i)
		}
	}
	return list
}

// Has reports whether the caller is among them.
func (a *Audience) Has(id authn.Identity) bool {
	return a != nil && anySubject(a.to, &person{Identity: id, known: a.groups})
}
