package authz

import "gatehouse/authn"

// Name is somebody that a rule names.
type Name struct {
	authn.Named
	// Directory is the only one that is meant; empty: any.
	Directory string
}

// Named are the rules, by their places in the policy, that speak of nobody but people,
// groups and machines by their names; and those names.
func (p *Policy) Named() map[int][]Name {
	rules := map[int][]Name{}
	for i := range p.rules {
		var names []Name
		for _, s := range p.rules[i].to {
			if name, ok := s.named(); ok {
				names = append(names, name)
			}
		}
		if len(names) == len(p.rules[i].to) {
			rules[i] = names
		}
	}
	return rules
}

// named is the subject as a name; false: it may be anybody.
func (s *subject) named() (Name, bool) {
	n := Name{authn.Named{Name: s.name}, s.directory}
	switch s.kind {
	case user:
		n.Kind = authn.Person
	case group:
		n.Kind = authn.GroupName
	case groupDN:
		n.Kind = authn.GroupDN
	case machine:
		n.Kind = authn.MachineName
		if !all(s.pattern, func(c component) bool { return c.fixed() }) {
			return Name{}, false
		}
		n.Name = joined(s.pattern)
	default:
		return Name{}, false
	}
	return n, true
}
