package migrate

import (
	"slices"
	"strings"

	"gatehouse/authn"
)

// subject is who a rule speaks to: to without except.
type subject struct{ to, except []string }

func (s subject) none() bool { return len(s.to) == 0 }

// everybody are all callers that docker_auth lets in.
func (s *source) everybody() subject {
	if s.anonymous {
		return subject{to: []string{"everyone"}}
	}
	return subject{to: []string{"authenticated"}}
}

// subjects is who an entry speaks of: at least under, at most over.
func (s *source) subjects(e *entry, label string) (under, over subject) {
	under, over = s.accounts(e)
	if len(e.labels) == 0 {
		return under, over
	}
	groups := groupsOf(e, label)
	signedIn := !slices.ContainsFunc(under.to, func(to string) bool { return strings.HasPrefix(to, "user:") })
	switch {
	case len(over.to) == 0 || len(over.except) > 0: // the anonymous caller has no labels
		return subject{}, subject{}
	case len(e.labels) == 1 && groups != nil && signedIn && !under.none():
		return subject{to: groups}, subject{to: groups}
	case groups != nil && signedIn:
		return subject{}, subject{to: groups}
	case signedIn:
		return subject{}, subject{to: []string{"authenticated"}}
	}
	return subject{}, over
}

// groupsOf are the groups that one of the entry's labels names; nil: they cannot be named.
func groupsOf(e *entry, label string) []string {
	p, ok := e.labels[label]
	if !ok {
		return nil
	}
	names, exact := (reader{accountLetters, ""}).names(p)
	if !exact {
		return nil
	}
	var groups []string
	for _, name := range names {
		groups = append(groups, "group:"+name)
	}
	return groups
}

// accounts is what an entry's `account` says.
func (s *source) accounts(e *entry) (under, over subject) {
	all, signedIn := s.everybody(), subject{to: []string{"authenticated"}}
	p, given := e.match["account"]
	if !given {
		return all, all
	}
	if p == "" {
		if !s.anonymous {
			return subject{}, subject{}
		}
		only := subject{to: []string{"everyone"}, except: []string{"authenticated"}}
		return only, only
	}
	r := reader{alphabet: accountLetters}
	for _, seq := range r.read(p) {
		if seq = merged(seq); len(seq) == 1 && seq[0].wild && !seq[0].vague && seq[0].least <= 1 {
			if seq[0].least == 1 {
				return signedIn, signedIn
			}
			return all, all
		}
	}
	names, exact := r.names(p)
	if !exact {
		return subject{}, all
	}
	var named subject
	for _, name := range names {
		named.to = append(named.to, "user:"+name)
	}
	return named, named
}

// names are the single texts that a pattern stands for; not exact where there are others.
func (r reader) names(p string) (names []string, exact bool) {
	for _, seq := range r.read(p) {
		text := ""
		for _, t := range merged(seq) {
			if t.wild || strings.HasPrefix(t.text, "{") {
				return nil, false
			}
			text += t.text
		}
		if name := authn.NormalizeName(text); nameable(name) {
			names = append(names, name)
		} else {
			return nil, false
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(names))), true
}

// nameable reports whether a rule can speak of the name.
func nameable(name string) bool { return name != "" && !strings.ContainsAny(name, "*/=,") }

// covers reports whether a surely holds everybody that b does.
func (a subject) covers(b subject) bool {
	if slices.Equal(a.to, b.to) && slices.Equal(a.except, b.except) {
		return true
	}
	if len(a.except) > 0 {
		return false
	}
	onlyAnonymous := slices.Contains(b.except, "authenticated")
	anonymousToo := slices.Contains(b.to, "everyone")
	for _, to := range b.to {
		if !slices.Contains(a.to, "everyone") && !slices.Contains(a.to, to) && (!slices.Contains(a.to, "authenticated") || anonymousToo || onlyAnonymous) {
			return false
		}
	}
	return true
}

// apart reports whether surely nobody is in both.
func (a subject) apart(b subject) bool {
	if anonymousOnly(a) != anonymousOnly(b) {
		one := a
		if anonymousOnly(a) {
			one = b
		}
		return !slices.Contains(one.to, "everyone")
	}
	users := func(s subject) bool {
		return !slices.ContainsFunc(s.to, func(to string) bool { return !strings.HasPrefix(to, "user:") })
	}
	return users(a) && users(b) && !slices.ContainsFunc(a.to, func(to string) bool { return slices.Contains(b.to, to) })
}

func anonymousOnly(s subject) bool { return slices.Contains(s.except, "authenticated") }
