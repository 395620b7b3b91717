package authntest

import (
	"slices"
	"strings"
	"unicode/utf8"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// fakeEntry is what a Fake was given by Put.
type fakeEntry struct {
	dn         string
	attributes map[string][]string
}

// Put gives the Fake an entry, or replaces the one of that DN. From the first on
// it is a small directory: searches are answered by base, scope and filter, and
// mozart is no longer there from the start. Values may be bytes. An attribute that
// only a base read shows (Active Directory's tokenGroups) is named with a
// leading "base:". A userPassword is what its binds need instead of Password; it is
// not shown.
func (f *Fake) Put(dn string, attributes map[string][]string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entries = slices.DeleteFunc(f.entries, func(e fakeEntry) bool { return strings.EqualFold(e.dn, dn) })
	f.entries = append(f.entries, fakeEntry{dn, attributes})
}

// Limit is how many entries the server gives in one answer, whatever is asked; 0: any.
func (f *Fake) Limit(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limit = n
}

// passwordLocked is what a bind as a name needs.
func (f *Fake) passwordLocked(name string) string {
	for _, e := range f.entries {
		if own := e.attributes["userPassword"]; strings.EqualFold(e.dn, name) && len(own) > 0 {
			return own[0]
		}
	}
	return Password
}

// matching answers a search from what was put.
func (f *Fake) matching(search *ber.Packet) []*ber.Packet {
	f.mu.Lock()
	defer f.mu.Unlock()
	base, _ := search.Children[0].Value.(string)
	scope, _ := search.Children[1].Value.(int64)
	asked, _ := search.Children[3].Value.(int64)
	limit := min(bound(asked), bound(int64(f.limit)))
	code := uint16(ldap.LDAPResultNoSuchObject)
	var replies []*ber.Packet
	for _, e := range f.entries {
		switch {
		case !below(e.dn, base):
			continue
		case code == ldap.LDAPResultNoSuchObject:
			code = ldap.LDAPResultSuccess
		}
		if scope == ldap.ScopeBaseObject && !strings.EqualFold(e.dn, base) || !e.matches(search.Children[6]) {
			continue
		}
		if len(replies) == limit {
			code = ldap.LDAPResultSizeLimitExceeded
			break
		}
		replies = append(replies, e.packet(scope))
	}
	return append(replies, result(ldap.ApplicationSearchResultDone, code))
}

func bound(n int64) int {
	if n <= 0 {
		return 1 << 30
	}
	return int(n)
}

func below(dn, base string) bool {
	dn, base = strings.ToLower(dn), strings.ToLower(base)
	return dn == base || base == "" || strings.HasSuffix(dn, ","+base)
}

// matches evaluates a filter (RFC 4511 4.5.1.7): and, or, not, equality, presence.
func (e fakeEntry) matches(filter *ber.Packet) bool {
	every := func(p *ber.Packet) bool { return e.matches(p) }
	switch filter.Tag {
	case ldap.FilterAnd:
		return !slices.ContainsFunc(filter.Children, func(p *ber.Packet) bool { return !every(p) })
	case ldap.FilterOr:
		return slices.ContainsFunc(filter.Children, every)
	case ldap.FilterNot:
		return !every(filter.Children[0])
	case ldap.FilterPresent:
		return len(e.values(filter.Data.String())) > 0
	case ldap.FilterEqualityMatch:
		name, _ := filter.Children[0].Value.(string)
		value := filter.Children[1].Data.String()
		return slices.ContainsFunc(e.values(name), func(v string) bool {
			return v == value || utf8.ValidString(v) && strings.EqualFold(v, value)
		})
	}
	return false
}

func (e fakeEntry) values(name string) []string {
	if strings.EqualFold(name, "objectClass") && len(e.attributes["objectClass"]) == 0 {
		return []string{"top"}
	}
	for attribute, values := range e.attributes {
		if strings.EqualFold(attribute, name) {
			return values
		}
	}
	return nil
}

// packet shows all of the entry but its password, whatever was asked for.
func (e fakeEntry) packet(scope int64) *ber.Packet {
	var list []*ber.Packet
	for name, values := range e.attributes {
		name, base := strings.CutPrefix(name, "base:")
		if name != "userPassword" && (!base || scope == ldap.ScopeBaseObject) {
			list = append(list, attribute(name, values...))
		}
	}
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
	p.AppendChild(text(e.dn))
	p.AppendChild(sequence(list...))
	return p
}
