package ldap_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
	"gatehouse/authn/ldap"
)

// rollPeople are entries that have names by other ways than most.
const rollPeople = `
dn: uid=grieg,ou=musicians,dc=example,dc=com
objectClass: inetOrgPerson
uid: edvard
uid: grieg
cn: Grieg
sn: Grieg
userPassword: password

dn: uid=dvořák,ou=musicians,dc=example,dc=com
objectClass: inetOrgPerson
uid: Dvořák
cn: Antonín
sn: Dvořák
memberOf: cn=hidden,ou=elsewhere,dc=example,dc=org

dn: ou=quartet,ou=groups,dc=example,dc=com
objectClass: organizationalUnit
objectClass: extensibleObject
ou: quartet
member: uid=grieg,ou=musicians,dc=example,dc=com

dn: cn=night,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: rel-old
cn: night
member: uid=grieg,ou=musicians,dc=example,dc=com

`

// named reads `user:x group:y` as rules have it, with + for a blank.
func named(words string) (list []authn.Named) {
	for word := range strings.FieldsSeq(words) {
		kind, name, _ := strings.Cut(strings.ReplaceAll(word, "+", " "), ":")
		n := authn.Named{Kind: map[string]authn.NamedKind{"user": authn.Person, "group": authn.GroupName, "machine": authn.MachineName}[kind], Name: name}
		if strings.Contains(name, "=") {
			n.Kind = authn.GroupDN
		}
		list = append(list, n)
	}
	return list
}

// lacks asks for the names, and wants those behind the stroke to be lacking.
func lacks(t *testing.T, d *ldap.Directory, text string) {
	t.Helper()
	has, lacking, _ := strings.Cut(text, "|")
	want := named(lacking)
	got, err := d.Lacks(t.Context(), append(named(has), want...))
	if err != nil {
		t.Errorf("%s: %v", text, err)
	}
	for _, n := range got {
		if !slices.Contains(want, n) {
			t.Errorf("lacks %+v, which is there", n)
		}
	}
	for _, n := range want {
		if !slices.Contains(got, n) {
			t.Errorf("%+v is not lacking", n)
		}
	}
}

// TestLacks: who a directory surely lacks, by its own ways to find people and groups.
func TestLacks(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{LDIF: rollPeople})
	s.AddGroup("empty", "cn=gone,"+authntest.UsersDN)
	for _, c := range []struct {
		name   string
		change func(*ldap.Config)
		want   string
	}{
		{"people", func(*ldap.Config) {}, "user:mozart user:kant user:grieg user:dvořák | user:ghost user:edvard user:mozart@example.com user:*ozart user:smetaná machine:mozart"},
		{"of a filter", func(c *ldap.Config) { c.Users.Base, c.Users.Filter = authntest.UsersDN, "(&(uid={login})(mail=*))" }, "user:mozart user:bach | user:grieg user:kant"},
		{"memberOf", func(*ldap.Config) {}, "group:composers group:empty group:hidden group:cn=hidden,ou=elsewhere,dc=example,dc=org group:cn=composers,ou=groups,dc=example,dc=com |" +
			" group:ghosts group:mozart group:cn=ghosts,ou=groups,dc=example,dc=com group:cn=composers,ou=elsewhere,dc=example,dc=org"},
		{"memberOf below a base", func(c *ldap.Config) { c.Groups = &ldap.Groups{MemberOfBase: authntest.GroupsDN} },
			"group:composers group:cn=night,ou=groups,dc=example,dc=com | group:hidden group:cn=hidden,ou=elsewhere,dc=example,dc=org group:it"},
		{"searched", func(c *ldap.Config) { c.Groups = groupsBelow(authntest.GroupsDN) },
			"group:composers group:night group:quartet group:empty group:cn=empty,ou=groups,dc=example,dc=com | group:rel-old group:hidden group:grieg" +
				" group:cn=hidden,ou=elsewhere,dc=example,dc=org group:cn=ghosts,ou=groups,dc=example,dc=com group:nacht·musik"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(s)
			c.change(&cfg)
			lacks(t, open(t, cfg), c.want)
		})
	}
}

// TestLacksAtFault: of a directory at fault nothing is lacking, nor of one that shows a
// part, or that has lost what must be there.
func TestLacksAtFault(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	for _, c := range []struct {
		name, ask string
		change    func(*ldap.Config)
		want      string
	}{
		{"down", "user:ghost", func(c *ldap.Config) { c.Servers = []string{"ldap://127.0.0.1:1"} }, "connection refused"},
		{"a wrong password", "user:ghost", func(c *ldap.Config) { c.BindPasswordFile = password("sesame") }, "bind_password_file"},
		{"no base", "user:ghost", func(c *ldap.Config) { c.Users.Base = "ou=nowhere,dc=example,dc=com" }, "No Such Object"},
		{"no base of groups", "group:ghosts", func(c *ldap.Config) { c.Groups = groupsBelow("ou=nowhere,dc=example,dc=com") }, "No Such Object"},
		{"no canary", "user:ghost", func(c *ldap.Config) { c.CanaryUser = "haydn" }, "canary_user"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(s)
			c.change(&cfg)
			lacking, err := open(t, cfg).Lacks(t.Context(), named(c.ask))
			if len(lacking) > 0 || !errors.Is(err, authn.ErrUnavailable) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v %v, want %s", lacking, err, c.want)
			}
		})
	}
	for i := range 510 { // more than slapd shows
		s.AddUser(fmt.Sprint("extra", i), nil)
	}
	s.AddGroup("many", "uid=extra1,"+authntest.UsersDN)
	d := open(t, config(s))
	lacking, err := d.Lacks(t.Context(), named("user:ghost user:händel group:ghosts group:many"))
	if !errors.Is(err, authn.ErrPartial) || errors.Is(err, authn.ErrUnavailable) || len(lacking) > 1 {
		t.Errorf("%v %v", lacking, err)
	}
	lacks(t, d, "user:extra509 group:many | user:ghost")
}
