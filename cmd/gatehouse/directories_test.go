package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/authn/authntest"
	"gatehouse/cmd/gatehouse/cli"
)

// reportedPeople are those of which directories of all kinds write more, or otherwise,
// than ours do.
const reportedPeople = `
dn: uid=Handel,ou=musicians,dc=example,dc=com
objectClass: inetOrgPerson
objectClass: posixAccount
uid: Handel
cn: Handel
sn: Handel
mail: handel@example.com
uidNumber: 1
gidNumber: 700
homeDirectory: /
userPassword: password
memberOf: cn=release,cn=roles,dc=example,dc=com

dn: cn=Franz,ou=musicians,dc=example,dc=com
objectClass: inetOrgPerson
uid:: IGxpc3p0
cn: Franz
sn: Liszt
userPassword: password

dn: uid=grieg,ou=musicians,dc=example,dc=com
objectClass: inetOrgPerson
uid: edvard
uid: grieg
cn: Grieg
sn: Grieg
userPassword: password

dn: cn=interns,ou=groups,dc=example,dc=com
objectClass: posixGroup
cn: interns
gidNumber: 1
memberUid: Handel

dn: cn=staff,ou=groups,dc=example,dc=com
objectClass: posixGroup
cn: staff
gidNumber: 700

dn: cn=night,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: rel-old
cn: night
cn: Night  Shift
member: cn=Franz,ou=musicians,dc=example,dc=com

dn: uid=george,ou=it,dc=example,dc=com
objectClass: alias
objectClass: extensibleObject
aliasedObjectName: uid=Handel,ou=musicians,dc=example,dc=com
uid: george
userPassword: password

`

// TestExplainAtDirectories: a deny bites whatever the directory writes, in the words
// of an operator. // rows D1, D2, D3, D4, D7, D9, D14, A1, A22
func TestExplainAtDirectories(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{LDIF: reportedPeople})
	const (
		posix  = "\n      preset: rfc2307\n      groups: {base: \"ou=groups,dc=example,dc=com\"}"
		groups = "\n      groups: {base: \"ou=groups,dc=example,dc=com\"}"
		any    = `(|(uid={login})(mail={login})(cn={login}))`
	)
	for _, test := range []struct {
		ldap, filter, deny, user string
		status                   int
		says                     string
	}{
		{posix, "", "group:interns", "handel", cli.Fault, "interns"},                // D1, A1
		{posix, "", "group:STAFF", "HANDEL", cli.Fault, "staff"},                    // D2
		{posix, "", "group:others", "handel", cli.OK, "user: handel"},               //
		{groups, any, "user:liszt", "franz", cli.Fault, "user: liszt"},              // D3
		{groups, any, "user: Liszt ", "liszt", cli.Fault, "user: liszt"},            // D3
		{groups, any, "group:night", "franz", cli.Fault, "night"},                   // D4, A22
		{groups, any, "user:grieg", "edvard", cli.Fault, "user: grieg"},             // D4
		{groups, any, "group:rel-old", "franz", cli.OK, "night"},                    // D4
		{"\n      preset: freeipa", any, "group:release", "handel", cli.OK, "none"}, // D7
		{"\n      groups: {member_of_base: \"CN=Roles, dc=example,dc=com\"}", any, "group:release", "handel", cli.Fault, "release"},
		{"", any, "user:handel", `example\handel`, cli.Fault, "user: handel"}, // D9
		{"", any, "user:handel", `other\handel`, cli.Fault, "unknown user"},
		{"", any, "user:george", "george", cli.Fault, "is an alias"}, // D14
	} {
		folder := t.TempDir()
		filter := ""
		if test.filter != "" {
			filter = fmt.Sprintf("filter: %q, ", test.filter)
		}
		text := fmt.Sprintf(`upstream: {url: "http://127.0.0.1:1"}
directories:
  - name: example
    ldap:
      servers: [%q]
      bind_dn: uid=serviceaccount,ou=it,dc=example,dc=com
      bind_password_file: password
      users: {base: "dc=example,dc=com", %sdomains: [Example]}%s
policy:
  - {deny: [push], repositories: ["**"], to: [%q]}
  - {allow: [push], repositories: ["**"], to: [authenticated]}
`, s.URL(), filter, test.ldap, test.deny)
		for name, content := range map[string]string{"gatehouse.yaml": text, "password": authntest.Password} {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var out strings.Builder
		args := []string{"explain", "-c", filepath.Join(folder, "gatehouse.yaml"), test.user, "push", "team/app"}
		status := run(context.Background(), args, strings.NewReader(""), &out, &out)
		if status != test.status || !strings.Contains(out.String(), test.says) {
			t.Errorf("%s, deny to %s, %s: status %d, want %d with %q: %s", test.ldap, test.deny, test.user, status, test.status, test.says, out.String())
		}
	}
}
