package ldap

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/authn"
)

const (
	// groupsMax and groupsDepth bound what is resolved of one person. Reaching
	// either is a fault: with some groups missing a deny might not match.
	groupsMax   = 1000
	groupsDepth = 5
	// groupsChunk is how many groups one search of a nested level names.
	groupsChunk = 100
)

// groupOf makes the Group of a DN that has the name.
func groupOf(dn, name string) authn.Group {
	normal, _ := authn.NormalizeDN(dn)
	return authn.Group{Name: authn.NormalizeName(name), DN: normal}
}

// rdnName is the value of attribute in the first RDN of dn, else the value of the
// RDN's first part, else dn.
func rdnName(dn, attribute string) string {
	if name := naming(dn, attribute); name != "" {
		return name
	}
	if parts := rdnOf(dn); len(parts) > 0 {
		return parts[0].Value
	}
	return dn
}

// below reports whether dn stands below base. The DNs are compared part by part: a
// comma within a value is no end of a part.
func below(dn, base string) bool {
	d, err := ldap.ParseDN(dn)
	b, baseErr := ldap.ParseDN(base)
	if err != nil || baseErr != nil || len(d.RDNs) <= len(b.RDNs) {
		return false
	}
	end, _ := authn.NormalizeDN((&ldap.DN{RDNs: d.RDNs[len(d.RDNs)-len(b.RDNs):]}).String())
	want, _ := authn.NormalizeDN(base)
	return end == want
}

// groups are those of the person of entry, each once, sorted by name. Any
// failure is an error: a failed search is not "no groups".
func (d *Directory) groups(ctx context.Context, entry *ldap.Entry, name entryName) ([]authn.Group, error) {
	found, who := groupSet{}, filterValues{username: name.written, gid: entry.GetEqualFoldAttributeValue("gidNumber")}
	if err := d.collect(ctx, found, entry, who); err != nil {
		return nil, err
	}
	return found.sorted(), nil
}

// filterValues are what groups.filter may ask of a person besides the DN.
type filterValues struct {
	username string // as the entry writes it: memberUid compares case (RFC 2307)
	gid      string // of the primary group; "": the entry shows none
}

// noGroup is a number that no group has: (gid_t)-1 means none.
const noGroup = "-1"

// groupFilter is groups.filter for a person, or for a group of that person's groups.
func (d *Directory) groupFilter(dn string, who filterValues) string {
	return expand(d.cfg.Groups.Filter, "{dn}", dn, "{username}", who.username, "{gid_number}", cmp.Or(who.gid, noGroup))
}

func (d *Directory) collect(ctx context.Context, found groupSet, entry *ldap.Entry, who filterValues) error {
	sids, err := d.sids(ctx, entry)
	if err != nil {
		return err
	}
	known, err := d.addSIDs(ctx, found, cmp.Or(d.cfg.Groups.Base, d.cfg.Groups.MemberOfBase, domainOf(entry.DN)), sids)
	switch {
	case err != nil || d.byToken:
		return err
	case d.cfg.Groups.Base == "":
		return found.addMemberOf(entry, d.cfg.Groups.MemberOfBase, d.cfg.Groups.NameAttribute)
	case d.cfg.Groups.Nested:
		return d.climb(ctx, found, append(known, entry.DN), who)
	}
	_, err = d.addContaining(ctx, found, []string{entry.DN}, who)
	return err
}

// climb goes up from the frontier, a level at a time. A cycle ends it, since a
// group is taken once.
func (d *Directory) climb(ctx context.Context, found groupSet, frontier []string, who filterValues) error {
	for depth := 0; len(frontier) > 0; depth++ {
		if depth > groupsDepth {
			return fmt.Errorf("%w: groups of %s are nested deeper than %d levels", authn.ErrUnusable, who.username, groupsDepth)
		}
		var err error
		if frontier, err = d.addContaining(ctx, found, frontier, who); err != nil {
			return err
		}
	}
	return nil
}

// addContaining adds the groups that have one of members in them, and returns
// the DNs of those that are new.
func (d *Directory) addContaining(ctx context.Context, found groupSet, members []string, who filterValues) ([]string, error) {
	return addChunks(members, func(chunk []string) ([]string, error) {
		var filter strings.Builder
		for _, dn := range chunk {
			filter.WriteString(d.groupFilter(dn, who))
		}
		return d.addMatching(ctx, found, d.cfg.Groups.Base, filter.String())
	})
}

// addSIDs adds the groups below base that have one of sids, and returns their DNs.
func (d *Directory) addSIDs(ctx context.Context, found groupSet, base string, sids [][]byte) ([]string, error) {
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
func (d *Directory) addMatching(ctx context.Context, found groupSet, base, filters string) ([]string, error) {
	request := ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases,
		groupsMax+1, d.timeLimit(), false, "(|"+filters+")", []string{d.cfg.Groups.NameAttribute}, nil)
	result, err := d.pool.search(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("searching groups: %w", err)
	}
	added := found.add(result.Entries, d.cfg.Groups.NameAttribute)
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
			return nil, fmt.Errorf("%w: the server shows only a part of %s", authn.ErrUnusable, name)
		default:
			values = append(values, attribute.ByteValues...)
		}
	}
	return values, nil
}

// groupSet holds groups by their normalised DN.
type groupSet map[string]authn.Group

// add takes entries in and returns the DNs of those that are new.
func (g groupSet) add(entries []*ldap.Entry, nameAttribute string) (added []string) {
	for _, entry := range entries {
		group := groupOf(entry.DN, cmp.Or(nameOf(entry, nameAttribute).normal, rdnName(entry.DN, nameAttribute)))
		if _, seen := g[group.DN]; !seen {
			g[group.DN] = group
			added = append(added, entry.DN)
		}
	}
	return added
}

// addMemberOf adds the groups that the entry itself names, those below base where
// there is one.
func (g groupSet) addMemberOf(entry *ldap.Entry, base, nameAttribute string) error {
	dns, err := completeValues(entry, "memberOf")
	if err != nil {
		return fmt.Errorf("%w: use groups.base", err)
	}
	for _, value := range dns {
		if dn := string(value); base == "" || below(dn, base) {
			group := groupOf(dn, rdnName(dn, nameAttribute))
			g[group.DN] = group
		}
	}
	return g.limit()
}

func (g groupSet) limit() error {
	if len(g) > groupsMax {
		return fmt.Errorf("%w: more than %d groups of one person", authn.ErrUnusable, groupsMax)
	}
	return nil
}

func (g groupSet) sorted() []authn.Group {
	return slices.SortedFunc(maps.Values(g), func(a, b authn.Group) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.DN, b.DN))
	})
}
