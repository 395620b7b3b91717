package authz

import (
	"slices"

	"gatehouse/authn"
)

// person is an identity whose groups can be looked up, for rules ask for many and
// a person may be in a thousand.
type person struct {
	authn.Identity
	known *memberships // of the policy; nil: each group may be named by a rule
	found *membership  // of the groups; nil: not asked for yet
}

// user is what {user} stands for; empty, which matches nothing, for a machine.
func (p *person) user() string {
	if p.Machine {
		return ""
	}
	return p.Username
}

// few groups are walked: no search is quicker.
const few = 8

// membership is that of the person, who has more than few groups.
func (p *person) membership() *membership {
	switch {
	case p.found != nil:
	case p.known != nil:
		p.found = p.known.of(p.Groups)
	default:
		own := newMembership(p.Groups, func(authn.Group) bool { return true })
		p.found = &own
	}
	return p.found
}

// named are the groups of the person that rules name; of a person with few groups there are
// others among them.
func (p *person) named() []authn.Group {
	if len(p.Groups) <= few {
		return p.Groups
	}
	return p.membership().byName
}

// inNamed reports whether the person has a group of this name, which a rule names.
func (p *person) inNamed(name string) bool { return hasName(p.named(), name) }

// inGroup reports whether the person has a group of this name.
func (p *person) inGroup(name string) bool {
	groups := p.Groups
	if len(groups) > few {
		if all := p.membership().all; all != nil {
			groups = all
		}
	}
	return hasName(groups, name)
}

// hasName looks for a group among few, or among those that are in the order of their names.
func hasName(groups []authn.Group, name string) bool {
	if len(groups) <= few {
		return slices.ContainsFunc(groups, func(g authn.Group) bool { return g.Name == name })
	}
	_, found := slices.BinarySearchFunc(groups, authn.Group{Name: name}, orderByName)
	return found
}

// inNamedDN reports whether the person has the group with this DN, which a rule names.
func (p *person) inNamedDN(dn string) bool {
	if len(p.named()) <= few {
		return slices.ContainsFunc(p.named(), func(g authn.Group) bool { return g.DN == dn })
	}
	_, found := slices.BinarySearchFunc(p.membership().byDN, authn.Group{DN: dn}, orderByDN)
	return found
}
