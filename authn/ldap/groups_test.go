package ldap

import (
	"slices"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/authn"
)

// TestMemberOf: names from first RDNs, sorted, once each; a list that the server
// cut is a fault.
func TestMemberOf(t *testing.T) {
	found := groupSet{}
	err := found.addMemberOf(ldap.NewEntry("uid=x", map[string][]string{"memberOf": {
		"CN=Beta,DC=x", "cn=alpha,dc=x", "cn=beta,dc=x", "cn=Beta,dc=y"}}), "", "cn")
	groups := found.sorted()
	want := []authn.Group{{Name: "alpha", DN: "cn=alpha,dc=x"}, {Name: "beta", DN: "cn=beta,dc=x"}, {Name: "beta", DN: "cn=beta,dc=y"}}
	if err != nil || len(groups) != len(want) {
		t.Fatalf("groups = %v, %v; want %v", groups, err, want)
	}
	for i := range want {
		if groups[i] != want[i] {
			t.Errorf("groups[%d] = %v, want %v", i, groups[i], want[i])
		}
	}
	if err := found.addMemberOf(ldap.NewEntry("uid=x", map[string][]string{"memberOf;range=0-1499": {"cn=a,dc=x"}}), "", "cn"); err == nil {
		t.Error("a part of memberOf was taken for all")
	}
}

// TestMemberOfBase: what counts is where a group stands, not how its DN is spelled
// or what its name looks like. // row D7
func TestMemberOfBase(t *testing.T) {
	const base = "CN=groups , cn=accounts,dc=example,DC=com"
	entry := ldap.NewEntry("uid=x", map[string][]string{"memberOf": {
		"cn=editors,cn=groups,cn=accounts,dc=example,dc=com",
		"cn=deep,cn=more,CN=Groups, CN=Accounts,DC=Example,dc=com",
		"cn=release,cn=roles,cn=accounts,dc=example,dc=com",
		"cn=groups,cn=accounts,dc=example,dc=com",
		`cn=release\,cn=groups,cn=accounts,dc=example,dc=com`,
		"cn=release,cn=groups,cn=accounts,dc=example,dc=com,dc=org",
		"release"}})
	found := groupSet{}
	if err := found.addMemberOf(entry, base, "cn"); err != nil || !slices.Equal(groupNames(found.sorted()), []string{"deep", "editors"}) {
		t.Errorf("groups below %s = %v, %v", base, found.sorted(), err)
	}
}

func groupNames(groups []authn.Group) (names []string) {
	for _, group := range groups {
		names = append(names, group.Name)
	}
	return names
}

// TestNameOf: which of several values is the name hangs on the RDN, not on the
// order in which a server shows them. // rows D4, A22
func TestNameOf(t *testing.T) {
	for _, test := range []struct {
		dn              string
		values          []string
		normal, written string
		others          []string
	}{
		{"uid=grieg,dc=x", []string{"edvard", "grieg"}, "grieg", "grieg", []string{"edvard"}},
		{"uid=grieg,dc=x", []string{"Hagerup", "Grieg", "edvard"}, "grieg", "Grieg", []string{"edvard", "hagerup"}},
		{"UserID= GRIEG,dc=x", []string{"edvard", "Grieg"}, "grieg", "Grieg", []string{"edvard"}},
		{"cn=grieg,dc=x", []string{"grieg", "Edvard"}, "edvard", "Edvard", []string{"grieg"}},
		{"cn=a+uid=grieg,dc=x", []string{"edvard", "grieg"}, "grieg", "grieg", []string{"edvard"}},
		{"uid=other,dc=x", []string{"b", "a"}, "a", "a", []string{"b"}},
		{"no DN", []string{"b", "a"}, "a", "a", []string{"b"}},
		{"cn=x,dc=x", []string{" Gri\u00adeg", "edvard\x00", "a\xff", " "}, "", "", nil}, // nobody can see who that is
		{"cn=x,dc=x", nil, "", "", nil},
	} {
		for range 2 {
			got := nameOf(ldap.NewEntry(test.dn, map[string][]string{"UID": test.values}), "uid")
			if got.normal != test.normal || got.written != test.written || !slices.Equal(got.others, test.others) {
				t.Errorf("%s %q: %+v", test.dn, test.values, got)
			}
			slices.Reverse(test.values)
		}
	}
}

// TestGroupNameOfSeveralParts: the name of a group whose RDN has parts is that of
// the name attribute, in whatever order the server writes them. // row D4
func TestGroupNameOfSeveralParts(t *testing.T) {
	for dn, want := range map[string]string{"ou=b+cn=a,dc=x": "a", "cn=a+ou=b,dc=x": "a", "o=b+gidNumber=7,dc=x": "7", "gidNumber=7+o=b,dc=x": "7", "x": "x"} {
		if got := rdnName(dn, "cn"); got != want {
			t.Errorf("%s is named %q, want %q", dn, got, want)
		}
	}
}
