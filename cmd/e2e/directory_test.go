package e2e

import (
	"testing"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/authn/authntest"
)

// The account that the gateway searches with: its password is a canary too.
const (
	bindDN       = "uid=gatehouse,ou=it,dc=example,dc=com"
	bindPassword = "canary-bind-5e60"
	bindLDIF     = `
dn: ` + bindDN + `
objectClass: inetOrgPerson
uid: gatehouse
cn: Gatehouse
sn: Gatehouse
userPassword: ` + bindPassword + `

`
	// People may change their own passwords: after a change by anybody else
	// ppolicy wants another one at the next login.
	acl = `access to attrs=userPassword by self write by anonymous auth by * none
access to * by users read by * none`
)

// startDirectory runs a slapd with the musicians.
func startDirectory(t *testing.T) *authntest.Slapd {
	t.Helper()
	return authntest.StartSlapd(t, authntest.Options{LDIF: bindLDIF, ACL: acl})
}

// changePassword is what a person does himself (RFC 3062).
func changePassword(t *testing.T, slapd *authntest.Slapd, person, from, to string) {
	t.Helper()
	c, err := ldap.DialURL(slapd.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Bind(person, from); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PasswordModify(ldap.NewPasswordModifyRequest("", from, to)); err != nil {
		t.Fatal(err)
	}
}

// leave takes a person out of a group.
func leave(slapd *authntest.Slapd, group, person string) {
	request := ldap.NewModifyRequest(group, nil)
	request.Delete("member", []string{person})
	slapd.Do(func(c *ldap.Conn) error { return c.Modify(request) })
}
