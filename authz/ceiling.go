package authz

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// maxCeiling is how many patterns a ceiling has at most, maxPattern how long each is.
const (
	maxCeiling = 20
	maxPattern = 256
)

// Ceiling is what a token lets its owner do at most, whatever the rules allow them: on
// every request both are asked. What a rule allows everyone to pull is below each. It is
// immutable and safe for concurrent use.
type Ceiling struct {
	repositories []string
	patterns     []Pattern // none: all repositories
	actions      actionSet
}

// NewCeiling reads patterns without placeholders, none for all repositories, and actions
// of pull, push and delete, none for pull.
func NewCeiling(repositories, actions []string) (*Ceiling, error) {
	if len(repositories) > maxCeiling {
		return nil, fmt.Errorf("%d patterns; there may be %d", len(repositories), maxCeiling)
	}
	c := &Ceiling{repositories: repositories}
	for _, text := range repositories {
		if len(text) > maxPattern {
			return nil, fmt.Errorf("a pattern over %d bytes", maxPattern)
		}
		p, err := NewPattern(text)
		if err != nil {
			return nil, err
		}
		c.patterns = append(c.patterns, p)
	}
	if len(actions) == 0 {
		c.actions = pullBit
	}
	for _, name := range actions {
		if !slices.Contains(repositoryActions[:], Action(name)) {
			return nil, fmt.Errorf("unknown action %.40q; there are pull, push and delete", name)
		}
		c.actions |= bit(Action(name))
	}
	return c, nil
}

// Impossible are the patterns that no repository can ever match.
func (c *Ceiling) Impossible() []string {
	var list []string
	for i, p := range c.patterns {
		if !p.Possible() {
			list = append(list, c.repositories[i])
		}
	}
	return list
}

// Repositories are the patterns; none: all repositories.
func (c *Ceiling) Repositories() []string { return c.repositories }

// Actions are its actions, in the order pull, push, delete.
func (c *Ceiling) Actions() []string { return strings.Split(c.actions.String(), ",") }

// Below is of authn.Ceiling.
func (c *Ceiling) Below() {}

// Covers reports whether a repository is one of the ceiling's.
func (c *Ceiling) Covers(repository string) bool {
	return len(c.patterns) == 0 || slices.ContainsFunc(c.patterns, func(p Pattern) bool { return p.Match(repository) })
}

// leaves are those of the actions that the ceiling lets through.
func (c *Ceiling) leaves(repository string, actions actionSet) actionSet {
	if !c.Covers(repository) {
		return 0
	}
	return actions & c.actions
}

// under are those of the actions that the caller's ceiling leaves, with the pull that is
// everyone's.
func (c *Caller) under(repository string, actions actionSet, source netip.Addr) actionSet {
	if c.person.Ceiling == nil {
		return actions
	}
	of, ok := c.person.Ceiling.(*Ceiling)
	if !ok || of == nil {
		return 0
	}
	left := of.leaves(repository, actions)
	if actions&pullBit != 0 && left&pullBit == 0 && c.everyone(repository, source) {
		left |= pullBit
	}
	return left
}

// everyone reports whether the anonymous caller may pull it.
func (c *Caller) everyone(repository string, source netip.Addr) bool {
	nobody := Caller{policy: c.policy}
	return nobody.Decide(Request{Repository: repository, Action: Pull, Source: source}).Allowed
}

// withhold refuses what a rule allows and the ceiling does not leave.
func (c *Caller) withhold(d Decision, r *Request) Decision {
	if d.Allowed && c.person.Ceiling != nil && c.under(r.Repository, bit(r.Action), r.Source) == 0 {
		return Decision{Ceiling: true}
	}
	return d
}
