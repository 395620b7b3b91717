package authn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

const (
	// groupsMax and groupsDepth bound what is resolved of one person. Reaching
	// either is a fault: with some groups missing a deny might not match.
	groupsMax   = 1000
	groupsDepth = 5
	// groupsChunk is how many groups one search of a nested level names.
	groupsChunk = 100
)

// NormalizeDN returns the one spelling of a distinguished name that Gatehouse
// compares: types and values in lower case, no spaces around separators, escapes
// only where RFC 4514 wants them, parts of a multi-valued RDN sorted. false:
// dn is none and comes back as it is, to be compared byte by byte.
func NormalizeDN(dn string) (string, bool) {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return dn, false
	}
	rdns := make([]string, len(parsed.RDNs))
	for i, rdn := range parsed.RDNs {
		parts := make([]string, len(rdn.Attributes))
		for j, part := range rdn.Attributes {
			parts[j] = strings.ToLower(part.Type) + "=" + escapeRDN(strings.ToLower(part.Value))
		}
		slices.Sort(parts)
		rdns[i] = strings.Join(parts, "+")
	}
	return strings.Join(rdns, ","), true
}

// escapeRDN escapes a value as RFC 4514 2.4 says, leaving UTF-8 readable.
func escapeRDN(value string) string {
	var b strings.Builder
	for i := range len(value) {
		c := value[i]
		outer := c == ' ' && (i == 0 || i == len(value)-1) || c == '#' && i == 0
		switch {
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\%02x`, c)
			continue
		case outer, strings.IndexByte(`"+,;<>\`, c) >= 0:
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}

// groupOf makes the Group of an entry's DN; name is that of its name attribute,
// "" takes the DN's first RDN.
func groupOf(dn, name string) Group {
	normal, ok := NormalizeDN(dn)
	if name == "" {
		name = dn
		if parsed, err := ldap.ParseDN(dn); ok && err == nil && len(parsed.RDNs) > 0 {
			name = parsed.RDNs[0].Attributes[0].Value
		}
	}
	return Group{Name: strings.ToLower(name), DN: normal}
}

// groups are those of the person of entry, each once, sorted by name. Any
// failure is an error: a failed search is not "no groups".
func (d *LDAP) groups(ctx context.Context, entry *ldap.Entry, username string) ([]Group, error) {
	if d.cfg.GroupsBase == "" {
		return memberOf(entry)
	}
	found := groupSet{}
	frontier := []string{entry.DN}
	for depth := 0; len(frontier) > 0; depth++ {
		if depth > groupsDepth {
			return nil, fmt.Errorf("groups of %s are nested deeper than %d levels", username, groupsDepth)
		}
		var next []string
		for members := range slices.Chunk(frontier, groupsChunk) {
			entries, err := d.groupsWith(ctx, members, username)
			if err != nil {
				return nil, err
			}
			next = append(next, found.add(entries, d.cfg.GroupsNameAttribute)...)
		}
		if len(found) > groupsMax {
			return nil, fmt.Errorf("%s is in more than %d groups", username, groupsMax)
		}
		if !d.cfg.GroupsNested {
			break
		}
		frontier = next
	}
	return found.sorted(), nil
}

// groupsWith are the groups that have one of members in them.
func (d *LDAP) groupsWith(ctx context.Context, members []string, username string) ([]*ldap.Entry, error) {
	var filter strings.Builder
	for _, dn := range members {
		filter.WriteString(expand(d.cfg.GroupsFilter, "{dn}", dn, "{username}", username))
	}
	request := ldap.NewSearchRequest(d.cfg.GroupsBase, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases,
		groupsMax+1, d.timeLimit(), false, "(|"+filter.String()+")", []string{d.cfg.GroupsNameAttribute}, nil)
	result, err := d.pool.search(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("searching groups: %w", err)
	}
	return result.Entries, nil
}

// memberOf reads the groups that the entry itself names.
func memberOf(entry *ldap.Entry) ([]Group, error) {
	found := groupSet{}
	for _, attribute := range entry.Attributes {
		if base, option, _ := strings.Cut(strings.ToLower(attribute.Name), ";"); base != "memberof" {
			continue
		} else if strings.HasPrefix(option, "range=") {
			return nil, errors.New("the server shows only a part of memberOf: use groups.base")
		}
		for _, dn := range attribute.Values {
			group := groupOf(dn, "")
			found[group.DN] = group
		}
	}
	if len(found) > groupsMax {
		return nil, fmt.Errorf("%s is in more than %d groups", entry.DN, groupsMax)
	}
	return found.sorted(), nil
}

// groupSet holds groups by their normalised DN.
type groupSet map[string]Group

// add takes entries in and returns the DNs of those that are new.
func (g groupSet) add(entries []*ldap.Entry, nameAttribute string) (added []string) {
	for _, entry := range entries {
		group := groupOf(entry.DN, entry.GetEqualFoldAttributeValue(nameAttribute))
		if _, seen := g[group.DN]; !seen {
			g[group.DN] = group
			added = append(added, entry.DN)
		}
	}
	return added
}

func (g groupSet) sorted() []Group {
	return slices.SortedFunc(maps.Values(g), func(a, b Group) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.DN, b.DN))
	})
}
