package authn

import (
	"testing"

	"github.com/go-ldap/ldap/v3"
)

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
