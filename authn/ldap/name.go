package ldap

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/authn"
)

// entryName is what an entry is called.
type entryName struct {
	normal  string   // as rules, tokens and logs have it; "": the entry shows no name
	written string   // the same value as the entry writes it
	others  []string // its further values, normalised, sorted
}

// nameOf chooses among the values of attribute, whose order means nothing (RFC
// 4511 4.1.7): the one in the entry's RDN, else the lowest. A value with invisible
// characters is none: who may write it could look like somebody else.
func nameOf(entry *ldap.Entry, attribute string) (name entryName) {
	first := naming(entry.DN, attribute)
	for _, value := range slices.Sorted(slices.Values(entry.GetEqualFoldAttributeValues(attribute))) {
		normal := authn.NormalizeName(value)
		switch {
		case normal == "" || !authn.Visible(value) || normal == name.normal:
		case name.normal == "", normal == first, name.normal != first && normal < name.normal:
			if name.normal != "" {
				name.others = append(name.others, name.normal)
			}
			name.normal, name.written = normal, value
		default:
			name.others = append(name.others, normal)
		}
	}
	slices.Sort(name.others)
	name.others = slices.Compact(name.others)
	return name
}

// naming is the value of attribute in the RDN of dn, normalised; "": it has none.
func naming(dn, attribute string) string {
	for _, part := range rdnOf(dn) {
		if authn.NormalizeType(part.Type) == authn.NormalizeType(attribute) {
			return authn.NormalizeName(part.Value)
		}
	}
	return ""
}

// rdnOf are the parts of the first RDN, in an order that does not hang on how the
// server writes them.
func rdnOf(dn string) []*ldap.AttributeTypeAndValue {
	parsed, err := ldap.ParseDN(dn)
	if err != nil || len(parsed.RDNs) == 0 {
		return nil
	}
	return slices.SortedFunc(slices.Values(parsed.RDNs[0].Attributes), func(a, b *ldap.AttributeTypeAndValue) int {
		return cmp.Or(cmp.Compare(authn.NormalizeType(a.Type), authn.NormalizeType(b.Type)), cmp.Compare(a.Value, b.Value))
	})
}

// has reports whether normal is one of the names.
func (n entryName) has(normal string) bool {
	return n.normal == normal || slices.Contains(n.others, normal)
}

// note tells an operator that attribute has several values; "": it has one.
func (n entryName) note(attribute string) string {
	if len(n.others) == 0 {
		return ""
	}
	return fmt.Sprintf("%s has further values (%s): rules and new tokens know %s alone, the value in the RDN or else the lowest",
		attribute, strings.Join(n.others, ", "), n.normal)
}

// domainOf is the DN of an entry's domain, its last DC parts. A person's primary
// group is of the same domain, but seldom below users.base.
func domainOf(dn string) string {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return dn
	}
	first := len(parsed.RDNs)
	for first > 0 && authn.NormalizeType(parsed.RDNs[first-1].Attributes[0].Type) == "dc" {
		first--
	}
	return (&ldap.DN{RDNs: parsed.RDNs[first:]}).String()
}
