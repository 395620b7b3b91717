package authn

import (
	"testing"

	"github.com/go-ldap/ldap/v3"
)

// TestNormalizeDN: spellings of one name become one; what is none stays.
func TestNormalizeDN(t *testing.T) {
	for _, test := range []struct {
		dn, want string
		ok       bool
	}{
		{"cn=Composers,ou=groups,dc=example,dc=com", "cn=composers,ou=groups,dc=example,dc=com", true},
		{"CN = Composers , OU=Groups;DC=example,DC=com", "cn=composers,ou=groups,dc=example,dc=com", true},
		{`cn=a\,b,dc=x`, `cn=a\,b,dc=x`, true},
		{`cn=a\2cb,dc=x`, `cn=a\,b,dc=x`, true},
		{`cn=a\, cn\=admins,dc=x`, `cn=a\, cn=admins,dc=x`, true},
		{`cn=\20a\20,dc=x`, `cn=\ a\ ,dc=x`, true},
		{`cn=\#a,dc=x`, `cn=\#a,dc=x`, true},
		{`cn=a\00b,dc=x`, `cn=a\00b,dc=x`, true},
		{`cn=M\C3\9Cller,dc=x`, `cn=müller,dc=x`, true},
		{"cn=Müller,dc=x", "cn=müller,dc=x", true},
		{"uid=b+cn=A,dc=x", "cn=a+uid=b,dc=x", true},
		{"", "", true},
		{"composers", "composers", false},
		{"cn=A,,dc=x", "cn=A,,dc=x", false},
	} {
		if got, ok := NormalizeDN(test.dn); got != test.want || ok != test.ok {
			t.Errorf("NormalizeDN(%q) = %q, %v; want %q, %v", test.dn, got, ok, test.want, test.ok)
		}
		if again, ok := NormalizeDN(test.want); again != test.want || ok != test.ok {
			t.Errorf("NormalizeDN(%q) = %q, %v: not stable", test.want, again, ok)
		}
	}
}

// TestMemberOf: names from first RDNs, sorted, once each; a list that the server
// cut is a fault.
func TestMemberOf(t *testing.T) {
	found := groupSet{}
	err := found.addMemberOf(ldap.NewEntry("uid=x", map[string][]string{"memberOf": {
		"CN=Beta,DC=x", "cn=alpha,dc=x", "cn=beta,dc=x", "cn=Beta,dc=y"}}))
	groups := found.sorted()
	want := []Group{{"alpha", "cn=alpha,dc=x"}, {"beta", "cn=beta,dc=x"}, {"beta", "cn=beta,dc=y"}}
	if err != nil || len(groups) != len(want) {
		t.Fatalf("groups = %v, %v; want %v", groups, err, want)
	}
	for i := range want {
		if groups[i] != want[i] {
			t.Errorf("groups[%d] = %v, want %v", i, groups[i], want[i])
		}
	}
	if err := found.addMemberOf(ldap.NewEntry("uid=x", map[string][]string{"memberOf;range=0-1499": {"cn=a,dc=x"}})); err == nil {
		t.Error("a part of memberOf was taken for all")
	}
}
