package main

import (
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
)

// bound starts the directory and returns a client that may search it.
func bound(t *testing.T) *ldap.Conn {
	t.Helper()
	d, err := startDirectory()
	if err != nil {
		t.Fatal(err)
	}
	client, err := ldap.DialURL("ldap://" + d.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		if err := d.stop(); err != nil {
			t.Error(err)
		}
	})
	if err := client.Bind(serviceAccount, password); err != nil {
		t.Fatal(err)
	}
	return client
}

func TestSearch(t *testing.T) {
	client := bound(t)
	const gateway = "(&(|(uid=LOGIN)(mail=LOGIN))(objectClass=person))"
	for _, c := range []struct {
		base   string
		scope  int
		filter string
		want   string // uids or cns or ous, in order
	}{
		{musiciansBase, 2, strings.ReplaceAll(gateway, "LOGIN", "mozart"), "mozart"},
		{musiciansBase, 2, strings.ReplaceAll(gateway, "LOGIN", "Bach@Example.com"), "bach"},
		{musiciansBase, 2, strings.ReplaceAll(gateway, "LOGIN", "kant"), ""},
		{musiciansBase, 2, strings.ReplaceAll(gateway, "LOGIN", `\2a`), ""},
		{"OU=Musicians, DC=example,DC=com", 2, "(uid=*)", "mozart bach"},
		{suffix, 2, "(&(uid=*)(!(ou=*))(!(uid=serviceaccount)))", "mozart bach schopenhauer kant"},
		{suffix, 2, "(!(uid>=m))", ""},
		{suffix, 2, "(&)", "musicians philosophs it groups composers pianists thinkers mozart bach schopenhauer kant serviceaccount"},
		{suffix, 1, "(objectClass=*)", "musicians philosophs it groups"},
		{musiciansBase, 0, "(objectClass=*)", "musicians"},
		{"ou=groups," + suffix, 2, "(member=UID=mozart, ou=musicians, dc=example, dc=com)", "composers pianists"},
		{suffix, 2, "(memberOf=cn=composers,ou=groups,dc=example,dc=com)", "mozart bach"},
		{suffix, 2, "(cn=*sebastian*ach)", "bach"},
		{suffix, 2, "(cn=bach*)", ""},
		{suffix, 2, "(mail=kant*)", "kant"},
		{suffix, 2, "(uid=ach)", ""},
	} {
		found, err := client.Search(ldap.NewSearchRequest(c.base, c.scope, 0, 0, 0, false, c.filter, nil, nil))
		if err != nil {
			t.Errorf("%s %s: %v", c.base, c.filter, err)
			continue
		}
		var names []string
		for _, e := range found.Entries {
			rdn, _, _ := strings.Cut(e.DN, ",")
			if _, value, _ := strings.Cut(rdn, "="); value != "example" {
				names = append(names, value)
			}
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s %d %s: got %q, want %q", c.base, c.scope, c.filter, got, c.want)
		}
	}
}

func TestAttributes(t *testing.T) {
	client := bound(t)
	for _, c := range []struct {
		asked string
		want  string // "attribute=value" that comes, or "!attribute" that must not
	}{
		{"", "uid=mozart"},
		{"", "!entryUUID"},
		{"*", "sn=Mozart"},
		{"*", "!memberOf"},
		{"+", "pwdChangedTime=20240101000000Z"},
		{"+", "!uid"},
		{"1.1", "!uid"},
		{"uid entryUUID", "entryUUID=5ba1a4e2-0000-4000-8000-000000000001"},
		{"memberOf", "memberOf=cn=composers,ou=groups,dc=example,dc=com"},
		{"memberOf", "!mail"},
	} {
		found, err := client.Search(ldap.NewSearchRequest(musiciansBase, 2, 0, 2, 0, false, "(uid=mozart)", strings.Fields(c.asked), nil))
		if err != nil || len(found.Entries) != 1 {
			t.Fatalf("%q: %v, %v", c.asked, found, err)
		}
		attribute, value, _ := strings.Cut(strings.TrimPrefix(c.want, "!"), "=")
		if got := found.Entries[0].GetEqualFoldAttributeValue(attribute); got != value {
			t.Errorf("asked %q: %s is %q, want %q", c.asked, attribute, got, value)
		}
	}
}

func TestResultCodes(t *testing.T) {
	client := bound(t)
	search := func(base, filter string, limit int) error {
		_, err := client.Search(ldap.NewSearchRequest(base, 2, 0, limit, 0, false, filter, nil, nil))
		return err
	}
	mozart := "uid=mozart," + musiciansBase
	for _, c := range []struct {
		name string
		err  error
		want uint16
	}{
		{"more entries than the limit", search(suffix, "(uid=*)", 2), ldap.LDAPResultSizeLimitExceeded},
		{"no such base", search("ou=painters,"+suffix, "(uid=*)", 0), ldap.LDAPResultNoSuchObject},
		{"a base that is no name", search("painters", "(uid=*)", 0), ldap.LDAPResultInvalidDNSyntax},
		{"a wrong password", client.Bind(mozart, "salieri"), ldap.LDAPResultInvalidCredentials},
		{"a search after a refused bind", search(suffix, "(uid=*)", 0), ldap.LDAPResultInsufficientAccessRights},
		{"no such person", client.Bind("uid=salieri,"+musiciansBase, password), ldap.LDAPResultInvalidCredentials},
		{"a name without a password", client.UnauthenticatedBind(mozart), ldap.LDAPResultUnwillingToPerform},
		{"a name in other letters", client.Bind(strings.ToUpper(mozart), password), ldap.LDAPResultSuccess},
		{"the group has no password", client.Bind("cn=composers,ou=groups,"+suffix, password), ldap.LDAPResultInvalidCredentials},
	} {
		if c.want == ldap.LDAPResultSuccess && c.err == nil {
			continue
		}
		if !ldap.IsErrorWithCode(c.err, c.want) {
			t.Errorf("%s: got %v, want code %d", c.name, c.err, c.want)
		}
	}
}
