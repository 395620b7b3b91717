package authz

import (
	"net/netip"
	"slices"
)

// covers reports whether r speaks of every request of which other does. It never says
// yes to what is not so; patterns that mean the same in other words it may not see.
func (r *rule) covers(other *rule) bool {
	return r.actions&other.actions == other.actions && r.coversTime(other) &&
		all(other.to, func(s subject) bool { return anyCovers(r.to, s) }) &&
		all(r.except, func(s subject) bool { return anyCovers(other.except, s) }) &&
		all(other.repositories, func(p pattern) bool {
			return slices.ContainsFunc(r.repositories, func(q pattern) bool { return q.covers(&p) })
		}) &&
		r.coversNetworks(other) && r.coversTags(other)
}

// anyCovers reports whether everybody is meant by the list who is by the subject: whoever has
// logged in is a machine or none.
func anyCovers(list []subject, s subject) bool {
	has := func(kind subjectKind) bool {
		return slices.ContainsFunc(list, func(t subject) bool { return t.kind == kind })
	}
	return slices.ContainsFunc(list, func(t subject) bool { return t.covers(s) }) || s.kind != everyone && has(anyPerson) && has(anyMachine)
}

func all[T any](list []T, is func(T) bool) bool {
	return !slices.ContainsFunc(list, func(one T) bool { return !is(one) })
}

func (r *rule) coversTime(other *rule) bool {
	return !r.from.After(other.from) && (r.until.IsZero() || !other.until.IsZero() && !r.until.Before(other.until))
}

func (r *rule) coversNetworks(other *rule) bool {
	return len(r.networks) == 0 || r.deny && anyClient(r.networks) || len(other.networks) > 0 && all(other.networks, func(n netip.Prefix) bool {
		return slices.ContainsFunc(r.networks, func(m netip.Prefix) bool { return m.Bits() <= n.Bits() && m.Contains(n.Addr()) })
	})
}

// anyClient reports whether the networks are all of both address families.
func anyClient(networks []netip.Prefix) bool {
	whole := func(v4 bool) bool {
		return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Bits() == 0 && n.Addr().Is4() == v4 })
	}
	return whole(true) && whole(false)
}

// coversTags: an allow of create with tags is of uploads too, which name none. An overwrite
// names one always, and a deny of delete with tags is of each that names none.
func (r *rule) coversTags(other *rule) bool {
	switch {
	case len(r.tags) == 0:
		return true
	case len(other.tags) == 0:
		return r.deny && other.actions&^(overwriteBit|deleteBit) == 0 && slices.ContainsFunc(r.tags, pattern.anyTag)
	case !other.deny && other.actions&createBit != 0:
		return false
	}
	return all(other.tags, func(p pattern) bool {
		return slices.ContainsFunc(r.tags, func(q pattern) bool { return q.covers(&p) })
	})
}

// covers reports whether everybody is meant who is by other.
func (s subject) covers(other subject) bool {
	switch s.kind {
	case everyone:
		return true
	case authenticated:
		return other.kind != everyone
	case directory:
		return other.directory == s.directory
	}
	switch {
	case s.kind == anyMachine && other.kind == machine, s.kind == anyPerson && other.kind == user:
		return true
	case other.kind != s.kind || s.directory != "" && other.directory != s.directory:
		return false
	case s.kind == machine:
		return (&pattern{components: s.pattern}).covers(&pattern{components: other.pattern})
	}
	return other.name == s.name
}

// covers walks the other pattern, and notes how many components of its own may be
// behind it by then.
func (p *pattern) covers(other *pattern) bool {
	behind := make([]bool, len(p.components)+1)
	behind[0] = true
	p.skip(behind)
	for i := range other.components {
		c := &other.components[i]
		next := make([]bool, len(behind))
		for at := range p.components {
			switch own := &p.components[at]; {
			case !behind[at]:
			case own.anyNumber:
				next[at] = true
			case own.covers(c):
				next[at+1] = true
			}
		}
		behind = next
		p.skip(behind)
	}
	return behind[len(p.components)]
}

// anyTag reports whether it matches every tag.
func (p pattern) anyTag() bool {
	return len(p.components) == 1 && (&p.components[0]).covers(&component{parts: []part{{kind: star}}})
}

// skip lets each `**` stand for nothing.
func (p *pattern) skip(behind []bool) {
	for at := range p.components {
		if behind[at] && p.components[at].anyNumber {
			behind[at+1] = true
		}
	}
}

// covers reports whether each text of the other component is one of this.
func (c *component) covers(other *component) bool {
	switch {
	case other.anyNumber:
		return false
	case other.place(machineName) >= 0: // it may be several
		return slices.Equal(c.parts, other.parts)
	case len(c.parts) == 1 && c.parts[0].kind == star || slices.Equal(c.parts, other.parts):
		return true
	}
	return other.fixed() && c.match(other.parts[0].text, values{})
}
