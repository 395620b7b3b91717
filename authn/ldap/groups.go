package ldap

import (
	"cmp"
	"context"
	"errors"
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

// Groups is the section `groups`. It has either Base or MemberOfBase.
type Groups struct {
	// Base is the DN below which groups are searched. Default: no search.
	Base string `yaml:"base"`
	// MemberOfBase takes the groups of the entry's memberOf that stand below this DN,
	// without a search. Default: none.
	MemberOfBase string `yaml:"member_of_base"`
	// Filter (RFC 4515) finds the groups of a person, or of a group with Nested. {dn} is
	// the entry's DN, {username} the name as the entry writes it, {gid_number} the
	// primary group's number; all escaped. Default (member={dn}).
	Filter string `yaml:"filter" default:"(member={dn})"`
	// NameAttribute holds a group's name. Default cn.
	NameAttribute string `yaml:"name_attribute" default:"cn"`
	// Nested takes groups of groups. With the preset ad and no Filter, tokenGroups says
	// which they are, else Filter is asked level by level, five at most. Default false.
	Nested bool `yaml:"nested"`
}

// checkSource wants a groups section to say where groups come from, as it was written.
func (g *Groups) checkSource(faults *authn.Faults) {
	switch {
	case g == nil:
	case g.Base != "" && g.MemberOfBase != "":
		faults.Add("groups.member_of_base", errors.New("goes without groups.base: groups are searched, or taken from memberOf"))
	case g.Base != "":
	case g.Nested:
		faults.Add("groups.base", errors.New("is required with nested: memberOf shows direct groups only"))
	case g.MemberOfBase == "":
		faults.Add("groups", errors.New("needs base, where groups are searched, or member_of_base, below which the entry's memberOf counts; without the section all of memberOf counts"))
	case g.Filter != "":
		faults.Add("groups.filter", errors.New("means nothing with member_of_base: no group is searched"))
	}
}

func (g *Groups) check(faults *authn.Faults) {
	if g.MemberOfBase != "" {
		checkBase(faults, "groups.member_of_base", g.MemberOfBase)
	}
	if !attributeName.MatchString(g.NameAttribute) {
		faults.Add("groups.name_attribute", fmt.Errorf("%q is no attribute name", g.NameAttribute))
	}
	if g.Base == "" {
		return
	}
	checkBase(faults, "groups.base", g.Base)
	faults.Add("groups.filter", checkGroupsFilter(g.Filter, g.Nested))
}

// checkGroupsFilter wants a filter that finds the groups of one person.
func checkGroupsFilter(filter string, nested bool) error {
	has := func(placeholder string) bool { return strings.Contains(filter, placeholder) }
	switch {
	case !has("{dn}") && !has("{username}") && !has("{gid_number}"):
		return errors.New("must contain {dn}, {username} or {gid_number}")
	case !has("{dn}") && nested:
		return errors.New("must contain {dn} with nested: groups are members by their DN")
	}
	return checkFilter(filter, "{dn}", "{username}", "{gid_number}")
}

// groupOf makes the Group of a DN that has the name.
func groupOf(dn, name string) authn.Group {
	normal, _ := authn.NormalizeDN(dn)
	return authn.Group{Name: authn.NormalizeName(name), DN: normal}
}

// groupOfEntry is the Group of an entry. One without the attribute is called by its RDN.
func groupOfEntry(e *ldap.Entry, nameAttribute string) authn.Group {
	return groupOf(e.DN, cmp.Or(nameOf(e, nameAttribute).normal, rdnName(e.DN, nameAttribute)))
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

// groupReader resolves the groups of people.
type groupReader struct {
	Groups
	ad        bool // Active Directory: it names groups that nothing else does
	byToken   bool // groups are those of tokenGroups
	timeLimit int  // of a search, in seconds
	search    func(context.Context, *ldap.SearchRequest) (*ldap.SearchResult, error)
}

// groups are those of the person of entry, each once, sorted by name. Any
// failure is an error: a failed search is not "no groups".
func (r *groupReader) groups(ctx context.Context, entry *ldap.Entry, name entryName) ([]authn.Group, error) {
	found, who := groupSet{}, filterValues{username: name.written, gid: entry.GetEqualFoldAttributeValue("gidNumber")}
	if who.gid == "" && strings.Contains(r.Filter, "{gid_number}") && hasClass(entry, "posixAccount", "1.3.6.1.1.1.2.0") {
		return nil, errors.New("the entry is a posixAccount and shows no gidNumber: the service account may not read it")
	}
	if err := r.collect(ctx, found, entry, who); err != nil {
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
func (r *groupReader) groupFilter(dn string, who filterValues) string {
	return expand(r.Filter, "{dn}", dn, "{username}", who.username, "{gid_number}", cmp.Or(who.gid, noGroup))
}

func (r *groupReader) collect(ctx context.Context, found groupSet, entry *ldap.Entry, who filterValues) error {
	sids, err := r.sids(ctx, entry)
	if err != nil {
		return err
	}
	known, err := r.addSIDs(ctx, found, cmp.Or(r.Base, r.MemberOfBase, domainOf(entry.DN)), sids)
	switch {
	case err != nil || r.byToken:
		return err
	case r.Base == "":
		return found.addMemberOf(entry, r.MemberOfBase, r.NameAttribute)
	case r.Nested:
		return r.climb(ctx, found, append(known, entry.DN), who)
	}
	_, err = r.addContaining(ctx, found, []string{entry.DN}, who)
	return err
}

// climb goes up from the frontier, a level at a time. A cycle ends it, since a
// group is taken once.
func (r *groupReader) climb(ctx context.Context, found groupSet, frontier []string, who filterValues) error {
	for depth := 0; len(frontier) > 0; depth++ {
		if depth > groupsDepth {
			return fmt.Errorf("%w: groups of %s are nested deeper than %d levels", authn.ErrUnusable, who.username, groupsDepth)
		}
		var err error
		if frontier, err = r.addContaining(ctx, found, frontier, who); err != nil {
			return err
		}
	}
	return nil
}

// addContaining adds the groups that have one of members in them, and returns
// the DNs of those that are new.
func (r *groupReader) addContaining(ctx context.Context, found groupSet, members []string, who filterValues) ([]string, error) {
	return addChunks(members, func(chunk []string) ([]string, error) {
		filters := each(chunk, func(dn string) string { return r.groupFilter(dn, who) })
		return r.addMatching(ctx, found, r.Base, filters)
	})
}

// addSIDs adds the groups below base that have one of sids, and returns their DNs.
func (r *groupReader) addSIDs(ctx context.Context, found groupSet, base string, sids [][]byte) ([]string, error) {
	return addChunks(sids, func(chunk [][]byte) ([]string, error) {
		filters := each(chunk, func(sid []byte) string { return "(objectSid=" + escapeBytes(sid) + ")" })
		return r.addMatching(ctx, found, base, filters)
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
func (r *groupReader) addMatching(ctx context.Context, found groupSet, base, filters string) ([]string, error) {
	request := ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases,
		groupsMax+1, r.timeLimit, false, "(|"+filters+")", []string{r.NameAttribute}, nil)
	result, err := r.search(ctx, request)
	switch {
	case ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded):
		return nil, fmt.Errorf("%w: more groups of one person than the server shows: %w", authn.ErrUnusable, err)
	case err != nil:
		return nil, fmt.Errorf("searching groups: %w", err)
	}
	added := found.add(result.Entries, r.NameAttribute)
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
		group := groupOfEntry(entry, nameAttribute)
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
