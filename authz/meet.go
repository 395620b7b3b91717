package authz

import (
	"slices"
	"strings"
)

// meetings are the deletes that removal allows to people of r, in repositories of r: a rule
// for each subject and each pattern that are of both. Networks and times do not matter: who
// deletes may create from elsewhere and later.
func (r *rule) meetings(removal *rule) (list []rule) {
	tags, ok := meetingTags(r.tags, removal.tags)
	if !ok {
		return nil
	}
	places := meetingPatterns(r.repositories, removal.repositories)
	if len(places) == 0 {
		return nil
	}
	excepted := slices.Concat(r.except, removal.except)
	for _, s := range r.to {
		for _, t := range removal.to {
			who, ok := s.meet(t)
			if !ok || slices.ContainsFunc(excepted, func(e subject) bool { return e.covers(who) }) {
				continue
			}
			for _, p := range places {
				one := *removal
				one.actions, one.deny, one.to, one.repositories, one.tags, one.except = deleteBit, true, []subject{who}, []pattern{p}, tags, excepted
				list = append(list, one)
			}
		}
	}
	return list
}

// meet is the narrower of two subjects of which one means all that the other does, or
// people of a group. Whether two groups have somebody in common is not known here.
func (s subject) meet(t subject) (narrower subject, ok bool) {
	ofGroup := func(x subject) bool { return x.kind == group || x.kind == groupDN }
	switch {
	case s.covers(t), s.kind == anyPerson && ofGroup(t):
		return t, true
	case t.covers(s), t.kind == anyPerson && ofGroup(s):
		return s, true
	}
	return subject{}, false
}

// meetingTags are those of which both lists are, none for any; false: they have none in common.
func meetingTags(a, b []pattern) (tags []pattern, ok bool) {
	switch {
	case len(a) == 0:
		return b, true
	case len(b) == 0:
		return a, true
	}
	tags = meetingPatterns(a, b)
	return tags, len(tags) > 0
}

// meetingPatterns are those that match what patterns of both lists may match: of two the
// narrower, where one is.
func meetingPatterns(a, b []pattern) (list []pattern) {
	wideA, wideB := loose(a), loose(b)
	for i := range a {
		for j := range b {
			switch {
			case !meets(wideA[i].components, wideB[j].components):
			case a[i].covers(&b[j]):
				list = append(list, b[j])
			default:
				list = append(list, a[i])
			}
		}
	}
	return list
}

// near reports whether some of the patterns begin alike, as those do that match something
// in common; others may too.
func near(a, b []pattern) bool {
	for i := range a {
		for j := range b {
			if strings.HasPrefix(a[i].prefix, b[j].prefix) || strings.HasPrefix(b[j].prefix, a[i].prefix) {
				return true
			}
		}
	}
	return false
}

// meets reports whether a name is matched by both patterns, which have no placeholders. It
// notes, from the end, which rests of them match something in common.
func meets(a, b []component) bool {
	next, row := make([]bool, len(b)+1), make([]bool, len(b)+1)
	for i := len(a); i >= 0; i-- {
		for j := len(b); j >= 0; j-- {
			switch inA, inB := i < len(a), j < len(b); {
			case !inA && !inB:
				row[j] = true
			case inA && a[i].anyNumber:
				row[j] = next[j] || inB && row[j+1]
			case inB && b[j].anyNumber:
				row[j] = row[j+1] || inA && next[j]
			default:
				row[j] = inA && inB && a[i].meets(&b[j]) && next[j+1]
			}
		}
		next, row = row, next
	}
	return next[0]
}

// meets reports whether a text is one of both components. Of two that have a star each what
// they begin and end with decides: the stars take the rest.
func (c *component) meets(other *component) bool {
	switch {
	case c.fixed():
		return other.match(c.parts[0].text, values{})
	case other.fixed():
		return c.match(other.parts[0].text, values{})
	}
	begin, end := c.rim()
	otherBegin, otherEnd := other.rim()
	return (strings.HasPrefix(begin, otherBegin) || strings.HasPrefix(otherBegin, begin)) &&
		(strings.HasSuffix(end, otherEnd) || strings.HasSuffix(otherEnd, end))
}

// rim is the literal text before the first star and behind the last; none where a star stands.
func (c *component) rim() (begin, end string) {
	return c.parts[0].text, c.parts[len(c.parts)-1].text
}
