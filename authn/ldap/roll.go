package ldap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/authn"
)

const (
	rollPage  = 500 // entries of one answer
	rollNames = 50  // that one search asks for
)

// roll looks for names on a connection of its own, as Inspect does.
type roll struct {
	*Directory
	conn    *conn
	has     map[authn.Named]bool
	members func() error // sees every group that somebody is in by memberOf, once
}

// Lacks is of authn.Roll. What a search does not find is believed only while the
// directory shows what must be there, as everywhere.
func (d *Directory) Lacks(ctx context.Context, names []authn.Named) (lacking []authn.Named, err error) {
	c, err := d.openAny(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	defer c.close()
	defer context.AfterFunc(ctx, c.close)() // go-ldap's searches know no context
	r := &roll{Directory: d, conn: c, has: map[authn.Named]bool{}}
	r.members = sync.OnceValue(r.memberships)
	for _, look := range []func([]authn.Named) ([]authn.Named, error){r.people, r.groupsByName, r.groupsByDN, machines} {
		more, failed := look(names)
		lacking, err = append(lacking, more...), errors.Join(err, shown(failed))
	}
	if len(lacking) > 0 {
		if lost := d.Canary(ctx); lost != nil {
			return nil, unavailable(lost)
		}
	}
	return lacking, err
}

// openAny connects to the first server that can be reached.
func (d *Directory) openAny(ctx context.Context) (c *conn, err error) {
	for _, s := range d.pool.servers {
		one, failed := d.pool.open(ctx, s, true)
		if failed == nil {
			return one, nil
		}
		err = errors.Join(err, fmt.Errorf("server %s: %s", s.url, explainOpen(failed)))
	}
	return nil, err
}

// shown tells a server that cut its answer from one at fault.
func shown(err error) error {
	if ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) || errors.Is(err, authn.ErrUnusable) {
		return fmt.Errorf("%w: %w", authn.ErrPartial, err)
	}
	if err != nil {
		return unavailable(err)
	}
	return nil
}

// of are the names of one kind.
func of(kind authn.NamedKind, names []authn.Named) []authn.Named {
	return slices.DeleteFunc(slices.Clone(names), func(n authn.Named) bool { return n.Kind != kind })
}

// machines: there are none.
func machines(names []authn.Named) ([]authn.Named, error) { return of(authn.MachineName, names), nil }

// people are those that users.filter lets log in, by the name that rules know them by.
func (r *roll) people(names []authn.Named) ([]authn.Named, error) {
	attribute := r.cfg.Users.UsernameAttribute
	see := func(e *ldap.Entry) error {
		r.has[authn.Named{Kind: authn.Person, Name: nameOf(e, attribute).normal}] = true
		return nil
	}
	names = of(authn.Person, names)
	for some := range slices.Chunk(names, rollNames) {
		filters := each(some, func(n authn.Named) string { return r.cfg.Users.lookupFilter(n.Name) })
		if err := r.walk(r.cfg.Users.Base, "(|"+filters+")", attribute, see); err != nil {
			return nil, err
		}
	}
	left := authn.Missing(names, r.has)
	if !slices.ContainsFunc(left, func(n authn.Named) bool { return !r.cfg.Users.equalInDirectory(n.Name) }) {
		return left, nil
	}
	err := r.walk(r.cfg.Users.Base, "(&("+attribute+"=*)"+whoever(r.cfg.Users.Filter)+")", attribute, see)
	return r.unless(err, left)
}

// unless is what is still missing, nothing where it could not be looked for.
func (r *roll) unless(err error, names []authn.Named) ([]authn.Named, error) {
	if err != nil {
		return nil, err
	}
	return authn.Missing(names, r.has), nil
}

// groupsByName looks for entries of these names. Whoever has groups by memberOf may be in
// some that are not shown, so all that people are in are looked through then.
func (r *roll) groupsByName(names []authn.Named) ([]authn.Named, error) {
	names = of(authn.GroupName, names)
	attribute, base := r.groups.NameAttribute, cmp.Or(r.groups.Base, r.groups.MemberOfBase, domainOf(r.cfg.Users.Base))
	for some := range slices.Chunk(names, rollNames) {
		filters := each(some, func(n authn.Named) string { return "(" + attribute + "=" + ldap.EscapeFilter(n.Name) + ")" })
		// Those without the attribute are called by their RDN.
		err := r.walk(base, "(&(|"+filters+"(!("+attribute+"=*)))(!(objectClass=person)))", attribute, r.seeGroup)
		if err != nil && r.searched() {
			return nil, err
		}
	}
	left, named := authn.Missing(names, r.has), Users{UsernameAttribute: attribute}
	switch odd := func(n authn.Named) bool { return !named.equalInDirectory(n.Name) }; {
	case len(left) == 0 || r.searched() && !slices.ContainsFunc(left, odd):
		return left, nil
	case r.searched():
		return r.unless(r.walk(base, "("+attribute+"=*)", attribute, r.seeGroup), left)
	}
	return r.unless(r.members(), left)
}

// searched reports whether every group of a person is found by a search below the base.
func (r *roll) searched() bool { return r.groups.Base != "" || r.groups.ad }

func (r *roll) seeGroup(e *ldap.Entry) error {
	r.seen(groupOfEntry(e, r.groups.NameAttribute))
	return nil
}

func (r *roll) seen(g authn.Group) {
	r.has[authn.Named{Kind: authn.GroupName, Name: g.Name}] = true
	r.has[authn.Named{Kind: authn.GroupDN, Name: g.DN}] = true
}

// memberships are the groups of all people.
func (r *roll) memberships() error {
	return r.walk(r.cfg.Users.Base, "(&(memberOf=*)"+whoever(r.cfg.Users.Filter)+")", "memberOf", func(e *ldap.Entry) error {
		groups := groupSet{}
		if err := groups.addMemberOf(e, r.groups.MemberOfBase, r.groups.NameAttribute); err != nil {
			return err
		}
		for _, g := range groups {
			r.seen(g)
		}
		return nil
	})
}

// groupsByDN reads the entries.
func (r *roll) groupsByDN(names []authn.Named) ([]authn.Named, error) {
	names = of(authn.GroupDN, names)
	base := cmp.Or(r.groups.Base, r.groups.MemberOfBase)
	for _, n := range names {
		if at, _ := authn.NormalizeDN(base); base != "" && n.Name != at && !below(n.Name, base) {
			continue
		}
		_, err := readEntry(r.conn, n.Name, []string{"1.1"})
		r.has[n] = r.has[n] || err == nil
		if r.searched() && err != nil && !ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax) {
			return nil, err
		}
	}
	if left := authn.Missing(names, r.has); r.searched() || len(left) == 0 {
		return left, nil
	}
	return r.unless(r.members(), names)
}

// walk sees every entry below base that matches, page by page.
func (r *roll) walk(base, filter, attribute string, see func(*ldap.Entry) error) error {
	page := ldap.NewControlPaging(rollPage)
	for {
		result, err := r.conn.ldap.Search(ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, r.timeLimit(), false,
			filter, []string{attribute}, []ldap.Control{page}))
		if err != nil {
			return fmt.Errorf("looking through %s: %w", base, err)
		}
		for _, e := range result.Entries {
			if err := see(e); err != nil {
				return err
			}
		}
		next, more := ldap.FindControl(result.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if !more || len(next.Cookie) == 0 {
			return nil
		}
		page.SetCookie(next.Cookie)
	}
}
