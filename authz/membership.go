package authz

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync/atomic"
	"weak"

	"gatehouse/authn"
)

// memberships know of lists of groups which of them rules name: of a thousand that
// somebody is in hardly any, and a list comes back with each of the person's requests.
// What was found out of the lists of late is kept. They are safe for concurrent use.
type memberships struct {
	names, dns map[string]bool // of groups that rules name
	seed       maphash.Seed
	kept       [keptLists]atomic.Pointer[keptMembership]
}

// keptLists is how many lists are known at most. One takes the place of another before, by
// chance.
const keptLists = 4096

// keptMembership is that of a list of which the place in memory is known: no list is
// changed once it is there (see authn.Identity), and a list that is gone has no place. The
// list does not stay for the sake of this.
type keptMembership struct {
	membership
	first  weak.Pointer[authn.Group]
	length int
}

func newMemberships() *memberships {
	return &memberships{names: map[string]bool{}, dns: map[string]bool{}, seed: maphash.MakeSeed()}
}

// add takes in what a list of a rule names; all of a policy's are, before the first is asked.
func (m *memberships) add(list []subject) {
	for i := range list {
		switch s := &list[i]; s.kind {
		case group:
			m.names[s.name] = true
		case groupDN:
			m.dns[s.name] = true
		}
	}
}

// of is the membership of a list, which is not empty.
func (m *memberships) of(groups []authn.Group) *membership {
	first := &groups[0]
	place := &m.kept[maphash.Comparable(m.seed, first)%keptLists]
	if k := place.Load(); k != nil && k.length == len(groups) && k.first.Value() == first {
		return &k.membership
	}
	k := &keptMembership{newMembership(groups, m.named), weak.Make(first), len(groups)}
	place.Store(k)
	return &k.membership
}

func (m *memberships) named(g authn.Group) bool { return m.names[g.Name] || m.dns[g.DN] }

// membership is a list of groups, to be looked up in.
type membership struct {
	byName []authn.Group // of those that rules name, in the order of their names
	byDN   []authn.Group // the same in the order of their DNs
	all    []authn.Group // the list in the order of the names; nil: it has that order itself
}

func newMembership(groups []authn.Group, named func(authn.Group) bool) (m membership) {
	for _, g := range groups {
		if named(g) {
			m.byName = append(m.byName, g)
		}
	}
	m.byDN = slices.SortedFunc(slices.Values(m.byName), orderByDN)
	slices.SortFunc(m.byName, orderByName)
	if !slices.IsSortedFunc(groups, orderByName) { // as directories deliver it; one that came otherwise must not slip past a deny
		m.all = slices.SortedFunc(slices.Values(groups), orderByName)
	}
	return m
}

func orderByName(a, b authn.Group) int { return strings.Compare(a.Name, b.Name) }

func orderByDN(a, b authn.Group) int { return strings.Compare(a.DN, b.DN) }
