package authn

import (
	"cmp"
	"context"
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
	return Group{Name: NormalizeName(name), DN: normal}
}

// groups are those of the person of entry, each once, sorted by name. Any
// failure is an error: a failed search is not "no groups".
func (d *LDAP) groups(ctx context.Context, entry *ldap.Entry, username string) ([]Group, error) {
	found := groupSet{}
	if err := d.collect(ctx, found, entry, username); err != nil {
		return nil, err
	}
	return found.sorted(), nil
}

func (d *LDAP) collect(ctx context.Context, found groupSet, entry *ldap.Entry, username string) error {
	sids, err := d.sids(ctx, entry)
	if err != nil {
		return err
	}
	known, err := d.addSIDs(ctx, found, cmp.Or(d.cfg.GroupsBase, domainOf(entry.DN)), sids)
	switch {
	case err != nil || d.byToken:
		return err
	case d.cfg.GroupsBase == "":
		return found.addMemberOf(entry)
	case d.cfg.GroupsNested:
		return d.climb(ctx, found, append(known, entry.DN), username)
	}
	_, err = d.addContaining(ctx, found, []string{entry.DN}, username)
	return err
}

// climb goes up from the frontier, a level at a time. A cycle ends it, since a
// group is taken once.
func (d *LDAP) climb(ctx context.Context, found groupSet, frontier []string, username string) error {
	for depth := 0; len(frontier) > 0; depth++ {
		if depth > groupsDepth {
			return fmt.Errorf("%w: groups of %s are nested deeper than %d levels", ErrUnusable, username, groupsDepth)
		}
		var err error
		if frontier, err = d.addContaining(ctx, found, frontier, username); err != nil {
			return err
		}
	}
	return nil
}

// addContaining adds the groups that have one of members in them, and returns
// the DNs of those that are new.
func (d *LDAP) addContaining(ctx context.Context, found groupSet, members []string, username string) ([]string, error) {
	return addChunks(members, func(chunk []string) ([]string, error) {
		var filter strings.Builder
		for _, dn := range chunk {
			filter.WriteString(expand(d.cfg.GroupsFilter, "{dn}", dn, "{username}", username))
		}
		return d.addMatching(ctx, found, d.cfg.GroupsBase, filter.String())
	})
}

// addSIDs adds the groups below base that have one of sids, and returns their DNs.
func (d *LDAP) addSIDs(ctx context.Context, found groupSet, base string, sids [][]byte) ([]string, error) {
	return addChunks(sids, func(chunk [][]byte) ([]string, error) {
		var filter strings.Builder
		for _, sid := range chunk {
			filter.WriteString("(objectSid=" + escapeBytes(sid) + ")")
		}
		return d.addMatching(ctx, found, base, filter.String())
	})
}

// addChunks joins what add returns for parts of all that fit into one search.
func addChunks[T any](all []T, add func([]T) ([]string, error)) (added []string, err error) {
	for chunk := range slices.Chunk(all, groupsChunk) {
		more, err := add(chunk)
		if err != nil {
			return nil, err
		}
		added = append(added, more...)
	}
	return added, nil
}

// addMatching adds the groups below base that match one of filters. More than
// groupsMax in all are a fault, and so is a list that the server cut.
func (d *LDAP) addMatching(ctx context.Context, found groupSet, base, filters string) ([]string, error) {
	request := ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases,
		groupsMax+1, d.timeLimit(), false, "(|"+filters+")", []string{d.cfg.GroupsNameAttribute}, nil)
	result, err := d.pool.search(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("searching groups: %w", err)
	}
	added := found.add(result.Entries, d.cfg.GroupsNameAttribute)
	return added, found.limit()
}

// completeValues are all values of an attribute. Active Directory shows only the
// first of many, under a name like memberOf;range=0-1499: that is an error.
func completeValues(entry *ldap.Entry, name string) (values [][]byte, err error) {
	for _, attribute := range entry.Attributes {
		base, option, _ := strings.Cut(attribute.Name, ";")
		switch {
		case !strings.EqualFold(base, name):
		case strings.HasPrefix(strings.ToLower(option), "range="):
			return nil, fmt.Errorf("%w: the server shows only a part of %s", ErrUnusable, name)
		default:
			values = append(values, attribute.ByteValues...)
		}
	}
	return values, nil
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

// addMemberOf adds the groups that the entry itself names.
func (g groupSet) addMemberOf(entry *ldap.Entry) error {
	dns, err := completeValues(entry, "memberOf")
	if err != nil {
		return fmt.Errorf("%w: use groups.base", err)
	}
	for _, dn := range dns {
		group := groupOf(string(dn), "")
		g[group.DN] = group
	}
	return g.limit()
}

func (g groupSet) limit() error {
	if len(g) > groupsMax {
		return fmt.Errorf("%w: more than %d groups of one person", ErrUnusable, groupsMax)
	}
	return nil
}

func (g groupSet) sorted() []Group {
	return slices.SortedFunc(maps.Values(g), func(a, b Group) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.DN, b.DN))
	})
}
