package authz

import (
	"errors"

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

// Has reports whether the caller is among them.
func (a *Audience) Has(id authn.Identity) bool {
	return a != nil && anySubject(a.to, &person{Identity: id, known: a.groups})
}
