package ldap_test

import (
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
	"gatehouse/authn/ldap"
)

// onSlapd is mozart on a slapd that nobody else uses, with people in every state that
// OpenLDAP has.
func onSlapd(t *testing.T, change func(*ldap.Config)) (ldap.Config, authntest.Subject) {
	s := authntest.StartSlapd(t, authntest.Options{MustChange: true})
	cfg := config(s)
	change(&cfg)
	s.AddUser("expired", map[string][]string{"objectClass": {"inetOrgPerson", "shadowAccount"}, "shadowExpire": {"10000"}})
	s.Replace(s.AddUser("locked", nil), "pwdAccountLockedTime", "000001010000Z")
	s.Replace(s.AddUser("reset", nil), "pwdReset", "TRUE")
	return cfg, authntest.Subject{
		Login: "mozart", Username: "mozart", Password: authntest.Password,
		Groups: []string{"composers"}, Names: []string{"mozart@example.com"},
		Held: []authntest.Held{
			{Login: "expired", Gone: true, Reason: "the account has expired"},
			{Login: "locked", Gone: true, Reason: "locked by an administrator"},
			{Login: "reset", Password: authntest.Password, Reason: "must be changed"},
		},
		// pwdReset follows a password that the administrator sets.
		Change: func(password authn.Secret) {
			s.Replace(authntest.MozartDN, "userPassword", string(password))
			s.Replace(authntest.MozartDN, "pwdReset")
		},
		Remove:   func() { s.Delete(authntest.MozartDN) },
		Recreate: func() { s.AddUser("mozart", nil) },
	}
}

// TestConformance runs the suite on a real server and on the scripted one.
func TestConformance(t *testing.T) {
	for name, change := range map[string]func(*ldap.Config){
		"slapd": func(*ldap.Config) {},
		"slapd nested": func(c *ldap.Config) {
			c.Groups = &ldap.Groups{Base: authntest.GroupsDN, Nested: true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, subject := onSlapd(t, change)
			if cfg.Groups != nil {
				subject.Groups = []string{"artists", "composers"}
			}
			subject.Directory = open(t, cfg)
			authntest.Conformance(t, subject)
		})
	}
	t.Run("fake", func(t *testing.T) {
		authntest.Conformance(t, authntest.Subject{Directory: open(t, faultConfig(authntest.StartFake(t))),
			Login: "mozart", Username: "mozart", Password: authntest.Password})
	})
}

// TestConformanceCached: a cache in front changes nothing but how soon a change is seen.
func TestConformanceCached(t *testing.T) {
	for name, test := range map[string]struct {
		cfg      authn.CacheConfig
		patience time.Duration
	}{
		"remembers": {authn.CacheConfig{FreshFor: 300 * time.Millisecond, StaleFor: time.Hour, NegativeFor: 100 * time.Millisecond,
			PasswordFor: 200 * time.Millisecond, WrongPasswordFor: 100 * time.Millisecond}, 10 * time.Second},
		"remembers nothing": {authn.CacheConfig{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, subject := onSlapd(t, func(*ldap.Config) {})
			cache, err := authn.NewCache(open(t, cfg), test.cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer cache.Close()
			subject.Directory, subject.Patience = cache, test.patience
			authntest.Conformance(t, subject)
		})
	}
}

// TestPresets: with a base and nothing else, each preset finds the person and the
// groups that its kind of server keeps.
func TestPresets(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	dn := s.AddUser("clara", map[string][]string{"objectClass": {"inetOrgPerson", "posixAccount"},
		"uidNumber": {"1000"}, "gidNumber": {"100"}, "homeDirectory": {"/"}})
	s.AddGroup("by-dn", dn)
	s.Add("cn=unique,"+authntest.GroupsDN, map[string][]string{"objectClass": {"groupOfUniqueNames"}, "cn": {"unique"}, "uniqueMember": {dn}})
	s.Add("cn=posix,"+authntest.GroupsDN, map[string][]string{"objectClass": {"posixGroup"}, "cn": {"posix"}, "gidNumber": {"7"}, "memberUid": {"clara"}})
	for _, test := range []struct {
		preset, base string
		want         []string
	}{
		{"openldap", "", []string{"by-dn"}},
		{"openldap", authntest.GroupsDN, []string{"by-dn"}},
		{"389ds", authntest.GroupsDN, []string{"by-dn", "unique"}},
		{"freeipa", "", nil}, // these groups do not stand where FreeIPA has them
		{"freeipa", authntest.GroupsDN, []string{"by-dn"}},
		{"rfc2307", authntest.GroupsDN, []string{"posix"}},
	} {
		t.Run(test.preset+" "+test.base, func(t *testing.T) {
			cfg := config(s)
			cfg.Preset, cfg.Users.Filter, cfg.Groups = test.preset, "", groupsBelow(test.base)
			authntest.Conformance(t, authntest.Subject{Directory: open(t, cfg), Login: "clara", Username: "clara",
				Password: authntest.Password, Groups: test.want})
		})
	}
}
