package authz

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

// lists appends to found lists in which each entry stands whose rule speaks to the person,
// and others.
func (h *hearers) lists(found [][]entry, who *person) [][]entry {
	return h.underNames(append(found, h.entries), who)
}

// underNames does so with the entries that stand under names alone.
func (h *hearers) underNames(found [][]entry, who *person) [][]entry {
	if h.byName == nil || who.Anonymous() {
		return found
	}
	n := h.byName
	if who.Machine {
		found = underHeads(found, n.machines, who.Username)
	} else if list := n.users[who.Username]; list != nil {
		found = append(found, list)
	}
	return n.groupLists(found, who)
}

// groupLists does so with the lists of the person's groups, by whichever are fewer.
func (n *byName) groupLists(found [][]entry, who *person) [][]entry {
	groups := who.named()
	if len(n.groups)+len(n.dns) < len(groups) {
		for name, list := range n.groups {
			if who.inNamed(name) {
				found = append(found, list)
			}
		}
		for dn, list := range n.dns {
			if who.inNamedDN(dn) {
				found = append(found, list)
			}
		}
		return found
	}
	for i := range groups {
		if list := n.groups[groups[i].Name]; list != nil {
			found = append(found, list)
		}
		if list := n.dns[groups[i].DN]; list != nil {
			found = append(found, list)
		}
	}
	return found
}

// about appends to found lists in which each entry stands whose rule speaks to all that the
// subject means, and others.
func (h *hearers) about(found [][]entry, s *subject) [][]entry {
	found = append(found, h.entries)
	if h.byName == nil {
		return found
	}
	lists, name := h.byName.place(s)
	if s.kind == machine {
		return underHeads(found, lists, name)
	}
	return append(found, lists[name])
}
