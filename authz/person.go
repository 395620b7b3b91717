package authz

import (
	"slices"
	"strings"

	"gatehouse/authn"
)

// person is an identity whose groups can be looked up, for rules ask for many and
// a person may be in a thousand.
type person struct {
	authn.Identity
	byName []authn.Group   // the groups in the order of their names; nil: not asked for yet
	byDN   map[string]bool // nil: not asked for yet
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

// inGroup reports whether the person has a group of this name.
func (p *person) inGroup(name string) bool {
	if len(p.Groups) <= few {
		return slices.ContainsFunc(p.Groups, func(g authn.Group) bool { return g.Name == name })
	}
	if p.byName == nil {
		p.byName = sortedByName(p.Groups)
	}
	_, found := slices.BinarySearchFunc(p.byName, name, func(g authn.Group, name string) int { return strings.Compare(g.Name, name) })
	return found
}

// sortedByName is the list itself where it is sorted, as directories deliver it. One
// that came otherwise must not slip past a deny.
func sortedByName(groups []authn.Group) []authn.Group {
	order := func(a, b authn.Group) int { return strings.Compare(a.Name, b.Name) }
	if slices.IsSortedFunc(groups, order) {
		return groups
	}
	return slices.SortedFunc(slices.Values(groups), order)
}

// inGroupDN reports whether the person has the group with this DN.
func (p *person) inGroupDN(dn string) bool {
	if len(p.Groups) <= few {
		return slices.ContainsFunc(p.Groups, func(g authn.Group) bool { return g.DN == dn })
	}
	if p.byDN == nil {
		p.byDN = dnsOf(p.Groups)
	}
	return p.byDN[dn]
}

func dnsOf(groups []authn.Group) map[string]bool {
	set := make(map[string]bool, len(groups))
	for _, g := range groups {
		set[g.DN] = true
	}
	return set
}
