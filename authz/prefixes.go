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
// be pulled. Whoever reads a long list of names need not look elsewhere.
func (c *Caller) Prefixes(source netip.Addr) []string {
	var list []string
	now := c.policy.now(time.Time{})
	for _, i := range c.all() {
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
