package authntest

import (
	"slices"
	"testing"

	"github.com/go-ldap/ldap/v3"
)

// TestSlapd shows that the helper's server has the data it promises, keeps them
// over a restart, and takes changes.
func TestSlapd(t *testing.T) {
	s := StartSlapd(t, Options{})
	s.Stop()
	s.Start()
	s.Replace(MozartDN, "description", "genius")
	s.Delete(BachDN)
	var entry *ldap.Entry
	s.Do(func(c *ldap.Conn) error {
		result, err := c.Search(ldap.NewSearchRequest(BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, 2, false,
			"(objectClass=inetOrgPerson)", []string{"memberOf", "description"}, nil))
		if ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
			entry, err = result.Entries[0], nil
		}
		return err
	})
	if entry == nil || entry.DN != MozartDN || entry.GetAttributeValue("description") != "genius" {
		t.Fatalf("got %+v, want the changed %s", entry, MozartDN)
	}
	if !slices.Equal(entry.GetAttributeValues("memberOf"), []string{"cn=composers," + GroupsDN}) {
		t.Errorf("memberOf = %v", entry.GetAttributeValues("memberOf"))
	}
}
