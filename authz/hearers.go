package authz

import "gatehouse/authn"

// hearers are entries of an index that stand in one place, and of many of them those
// whose rules may speak to somebody. The zero value has none.
type hearers struct {
	entries []entry // all; of many, those that are under no name
	byName  *byName // nil: there are few
}

// byName are entries under each name that their rule speaks to, for rules that speak to
// names alone.
type byName struct {
	users, groups, dns map[string][]entry
	machines           map[string][]entry // under the fixed components that their pattern begins with
}

// fewEntries are looked at one by one: nothing is quicker.
const fewEntries = 16

// settle puts many entries under their names; to are the subjects of a rule.
func (h *hearers) settle(to func(place int) []subject) {
	if len(h.entries) <= fewEntries {
		return
	}
	h.byName = &byName{map[string][]entry{}, map[string][]entry{}, map[string][]entry{}, map[string][]entry{}}
	var open []entry
	for _, e := range h.entries {
		if !h.byName.file(e, to(e.rule)) {
			open = append(open, e)
		}
	}
	h.entries = open
}

// file puts the entry under the names; false: one of them is none.
func (n *byName) file(e entry, to []subject) bool {
	for i := range to {
		if lists, _ := n.place(&to[i]); lists == nil {
			return false
		}
	}
	for i := range to {
		lists, name := n.place(&to[i])
		lists[name] = append(lists[name], e)
	}
	return true
}

// place is where a rule stands that speaks to the subject; nil: under no name.
func (n *byName) place(s *subject) (lists map[string][]entry, name string) {
	switch s.kind {
	case user:
		return n.users, s.name
	case group:
		return n.groups, s.name
	case groupDN:
		return n.dns, s.name
	case machine:
		if head, _ := ends(s.pattern); head != "" {
			return n.machines, head
		}
	}
	return nil, ""
}

// visit hands out lists in which each entry stands whose rule speaks to the person, and
// others.
func (h *hearers) visit(who *person, visit func([]entry)) {
	visit(h.entries)
	if h.byName == nil || who.Anonymous() {
		return
	}
	n := h.byName
	if who.Machine {
		for head := range heads(who.Username, len(who.Username)) {
			visit(n.machines[head])
		}
	} else {
		visit(n.users[who.Username])
	}
	visitGroups(n.groups, who.Groups, func(g *authn.Group) string { return g.Name }, who.inGroup, visit)
	visitGroups(n.dns, who.Groups, func(g *authn.Group) string { return g.DN }, who.inGroupDN, visit)
}

// visitGroups hands out the lists of the groups, by whichever are fewer.
func visitGroups(lists map[string][]entry, groups []authn.Group, name func(*authn.Group) string, has func(string) bool, visit func([]entry)) {
	if len(lists) < len(groups) {
		for name, list := range lists {
			if has(name) {
				visit(list)
			}
		}
		return
	}
	for i := range groups {
		visit(lists[name(&groups[i])])
	}
}

// about hands out lists in which each entry stands whose rule speaks to all that the
// subject means, and others.
func (h *hearers) about(s *subject, visit func([]entry)) {
	visit(h.entries)
	if h.byName == nil {
		return
	}
	switch lists, name := h.byName.place(s); {
	case lists == nil:
	case s.kind == machine:
		for head := range heads(name, len(name)) {
			visit(lists[head])
		}
	default:
		visit(lists[name])
	}
}
