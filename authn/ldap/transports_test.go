package ldap_test

import (
	"slices"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"

	"gatehouse/authn/authntest"
	"gatehouse/authn/ldap"
)

// transports are the ways to a server that speaks LDAPS on one port and LDAP
// with StartTLS on another.
func transports(plain, secure string) map[string]func(*ldap.Config) {
	return map[string]func(*ldap.Config){
		"plain":    func(c *ldap.Config) { c.Servers = []string{plain} },
		"StartTLS": func(c *ldap.Config) { c.Servers, c.StartTLS = []string{plain}, true },
		"ldaps":    func(c *ldap.Config) { c.Servers = []string{secure} },
	}
}

// conform runs the conformance suite on mozart by every transport.
func conform(t *testing.T, cfg ldap.Config, ways map[string]func(*ldap.Config), groups ...string) {
	for name, change := range ways {
		t.Run(name, func(t *testing.T) {
			cfg := cfg
			change(&cfg)
			authntest.Conformance(t, authntest.Subject{
				Directory: open(t, cfg), Login: "mozart", Username: "mozart", Password: authntest.Password, Groups: groups,
			})
		})
	}
}

// TestConformanceTransports: the way to the server changes nothing.
func TestConformanceTransports(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	ways := transports(s.URL(), s.TLSURL())
	ways["ldapi"] = func(c *ldap.Config) { c.Servers = []string{s.SocketURL()} }
	conform(t, config(s), ways, "composers")
}

// TestGroupRenamed: memberOf and member follow a group to its new name (overlays
// memberof and refint), and so do the person's groups, however they are asked for.
func TestGroupRenamed(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	s.Do(func(c *goldap.Conn) error {
		return c.ModifyDN(goldap.NewModifyDNRequest("cn=composers,"+authntest.GroupsDN, "cn=Authors", true, ""))
	})
	for base, want := range map[string][]string{"": {"authors"}, authntest.GroupsDN: {"artists", "authors"}} {
		t.Run("base "+base, func(t *testing.T) {
			cfg := config(s)
			cfg.Groups = groupsBelow(base)
			if cfg.Groups != nil {
				cfg.Groups.Nested = true
			}
			if id, err := open(t, cfg).Find(t.Context(), "mozart"); err != nil || !slices.Equal(names(id.Groups), want) {
				t.Errorf("groups = %q, %v; want %q", names(id.Groups), err, want)
			}
		})
	}
}
