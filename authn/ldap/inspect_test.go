package ldap_test

import (
	"strings"
	"testing"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
	"gatehouse/authn/ldap"
)

// TestInspect: a good directory has no fault, and each broken one has the one
// that its operator needs to read.
func TestInspect(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	for _, test := range []struct {
		name   string
		change func(*ldap.Config)
		want   string // in the only fault; "": there is none
	}{
		{"good", func(*ldap.Config) {}, ""},
		{"good ldaps", func(c *ldap.Config) { c.Servers = []string{s.TLSURL()}; c.Groups = groupsBelow(authntest.GroupsDN) }, "renew it"},
		{"down", func(c *ldap.Config) { c.Servers = []string{"ldap://127.0.0.1:1"} }, "connection refused"},
		{"unknown CA", func(c *ldap.Config) { c.Servers, c.CAFile = []string{s.TLSURL()}, authn.File{} }, "ca_file"},
		{"bad service password", func(c *ldap.Config) { c.BindPasswordFile = password("sesame") }, "bind_password_file"},
		{"bad base", func(c *ldap.Config) { c.Users.Base = "ou=nowhere,dc=example,dc=com" }, "users.base"},
		{"canary", func(c *ldap.Config) { c.CanaryUser = "bach" }, ""},
		{"no canary", func(c *ldap.Config) { c.CanaryUser = "haydn" }, "canary_user"},
		{"bad groups base", func(c *ldap.Config) { c.Groups = &ldap.Groups{Base: "ou=nowhere,dc=example,dc=com"} }, "groups.base"},
		{"a rule of Active Directory", func(c *ldap.Config) {
			c.Groups = &ldap.Groups{Base: authntest.GroupsDN, Filter: "(member:1.2.840.113556.1.4.1941:={dn})"}
		}, "groups.filter"},
		{"a filter for everybody", func(c *ldap.Config) { c.Users.Filter = "(|(uid={login})(objectClass=person))" }, "whatever is typed"},
		{"unknown attribute", func(c *ldap.Config) { c.Users.Filter = "(|(uid={login})(sAMAccountName={login}))" }, "no attribute sAMAccountName"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := config(s)
			test.change(&cfg)
			findings := open(t, cfg).Inspect(t.Context())
			var faults []string // and warnings
			for _, finding := range findings {
				if !finding.OK || finding.Warning {
					faults = append(faults, finding.Detail)
				}
				if strings.Contains(finding.Detail, "sesame") {
					t.Errorf("a finding shows the password: %s", finding.Detail)
				}
			}
			switch {
			case len(findings) == 0:
				t.Error("nothing found")
			case test.want == "" && len(faults) > 0:
				t.Errorf("faults: %q", faults)
			case test.want != "" && (len(faults) != 1 || !strings.Contains(faults[0], test.want)):
				t.Errorf("faults: %q, want one with %q", faults, test.want)
			}
		})
	}
}
