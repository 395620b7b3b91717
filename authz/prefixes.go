package authz

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Prefixes are the beginnings of all repository names that some rule lets the caller
// pull from source, whatever other rules deny: `team/` is for team itself and what is
// below it, `team-` for each name that begins so, "" for any. Without one nothing can
// be pulled. Whoever reads a long list of names need not look elsewhere. Of many rules that
// speak to anybody they are shorter than these say, so that they are few.
func (c *Caller) Prefixes(source netip.Addr) []string {
	list, places := c.open()
	now := c.policy.now(time.Time{})
	for _, i := range places {
		rule := &c.policy.rules[i]
		if rule.deny || rule.actions&pullBit == 0 || !rule.counts(source, now) {
			continue
		}
		for _, pattern := range rule.repositories {
			if pattern.ofMachine {
				own, ok := pattern.forMachine(&c.person)
				if !ok {
					continue
				}
				pattern = own
			}
			list = append(list, pattern.beginning(c.person.user()))
		}
	}
	return outermost(list)
}

// open are prefixes of what many rules let the caller pull, and the places of the others.
func (c *Caller) open() (prefixes []string, places []int) {
	p := c.policy
	switch {
	case c.person.Anonymous() && p.openToAll != nil:
		return slices.Clone(p.openToAll), nil
	case !c.person.Anonymous() && p.open != nil:
		return slices.Clone(p.open), c.places(p.all.underNames(nil, &c.person))
	}
	return nil, c.all()
}

// manyPrefixes are as many as are not worth to be told apart, and manyOpen as many rules as
// nobody is held against one by one.
const manyPrefixes, manyOpen = 1000, 1000

// opened are the prefixes of all that these rules let somebody pull; nil: there are few.
func opened(rules []rule, entries []entry) []string {
	if len(entries) <= manyOpen {
		return nil
	}
	list := []string{}
	for _, e := range entries {
		if rule := &rules[e.rule]; !rule.deny && rule.actions&pullBit != 0 {
			for _, pattern := range loose(rule.repositories) {
				list = append(list, pattern.beginning(""))
			}
		}
	}
	for list = outermost(list); len(list) > manyPrefixes; list = outermost(list) {
		for i, prefix := range list {
			list[i] = prefix[:strings.LastIndexByte(strings.TrimSuffix(prefix, "/"), '/')+1]
		}
	}
	return slices.Clip(list)
}

// outermost are those that do not begin like another one, in order.
func outermost(list []string) []string {
	slices.Sort(list)
	kept := list[:0]
	for _, prefix := range list {
		if n := len(kept); n == 0 || !strings.HasPrefix(prefix, kept[n-1]) {
			kept = append(kept, prefix)
		}
	}
	return kept
}

// beginning is the literal text that a name matching the pattern begins with, up to
// the first part that is not the same for all of them.
func (p pattern) beginning(user string) string {
	var b strings.Builder
	for _, c := range p.components {
		if c.anyNumber {
			break
		}
		for _, part := range c.parts {
			switch part.kind {
			case literal:
				b.WriteString(part.text)
			case userName:
				b.WriteString(user)
			default:
				return b.String()
			}
		}
		b.WriteByte('/')
	}
	return b.String()
}
