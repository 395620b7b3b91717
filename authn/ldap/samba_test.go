//go:build ldapservers

package ldap_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
	"gatehouse/authn/ldap"
)

// TestSamba runs a Directory with the preset `ad` against a real Active
// Directory domain controller.
func TestSamba(t *testing.T) {
	s := authntest.StartSamba(t)
	t.Run("conformance", func(t *testing.T) {
		conform(t, sambaConfig(s), transports(s.URL(), s.TLSURL()), "composers", "domain users", "musicians")
	})
	t.Run("groups", func(t *testing.T) { sambaGroups(t, s) })
	t.Run("spellings", func(t *testing.T) { spellings(t, sambaConfig(s)) })
	d := open(t, sambaConfig(s))
	t.Run("codes", func(t *testing.T) {
		// The text of result 49 says why ([MS-ADTS] 3.1.1.5.1.1): data 52e, 533, 701, 773, 775.
		binds(t, d, s.DN, []refusal{
			{"mozart", "wrong", "wrong password"},
			{"disabled", authntest.Password, "the account is disabled"},
			{"expired", authntest.Password, "the account has expired"},
			{"mustchange", authntest.Password, "the password must be changed first"},
			{"locked", authntest.Password, "the account is locked"},
			{"locked", "wrong", "the account is locked"},
			{"nobody", authntest.Password, "wrong password"},
		})
	})
	t.Run("names", func(t *testing.T) { sambaNames(t, s) })
	t.Run("roll", func(t *testing.T) {
		const want = "user:mozart user:disabled group:composers group:domain+users group:musicians | user:ghost group:ghosts group:cn=ghosts,cn=users,dc=example,dc=com"
		lacks(t, d, want) // memberOf, and the primary group
		searched := sambaConfig(s)
		searched.Groups = &ldap.Groups{Base: authntest.SambaBaseDN, Nested: true}
		lacks(t, open(t, searched), want)
	})
	t.Run("domains", func(t *testing.T) { sambaDomains(t, s) })
	t.Run("inspect", func(t *testing.T) { sound(t, d, "Active Directory") })
	t.Run("states and changes", func(t *testing.T) {
		authntest.Conformance(t, authntest.Subject{
			Directory: d, Login: "bach", Username: "bach", Password: authntest.Password, Groups: []string{"domain users"},
			Held: []authntest.Held{
				{Login: "disabled", Gone: true, Reason: "the account is disabled"},
				{Login: "expired", Gone: true, Reason: "the account has expired"},
				{Login: "mustchange", Password: authntest.Password, Reason: "the password has expired"},
				{Login: "locked", Password: authntest.Password, Reason: "the account is locked"},
			},
			Change:   func(password authn.Secret) { s.SetPassword("bach", string(password)) },
			Remove:   func() { s.Delete("bach") },
			Recreate: func() { s.AddUser("bach", nil) },
		})
	})
}

// sambaGroups: whichever way the groups are asked for, the primary group is
// among them, and nested ones where they are wanted.
func sambaGroups(t *testing.T, s *authntest.Samba) {
	direct, nested := []string{"composers", "domain users", "musicians"}, []string{"artists", "composers", "domain users", "musicians", "users"}
	for name, test := range map[string]struct {
		change func(*ldap.Config)
		want   []string
	}{
		"memberOf":    {func(*ldap.Config) {}, direct},
		"search":      {func(c *ldap.Config) { c.Groups = &ldap.Groups{Base: authntest.SambaBaseDN} }, direct},
		"tokenGroups": {func(c *ldap.Config) { c.Groups = &ldap.Groups{Base: authntest.SambaBaseDN, Nested: true} }, nested},
		"in chain": {func(c *ldap.Config) {
			c.Groups = &ldap.Groups{Base: authntest.SambaBaseDN, Filter: "(member:1.2.840.113556.1.4.1941:={dn})"}
		}, nested},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := sambaConfig(s)
			test.change(&cfg)
			id, err := open(t, cfg).Find(t.Context(), "mozart")
			if err != nil || !slices.Equal(names(id.Groups), test.want) {
				t.Errorf("groups = %q, %v; want %q", names(id.Groups), err, test.want)
			}
		})
	}
}

// sambaNames: the service account may be given as the product's users write
// names, and its people may log in by such a one where the filter says so.
func sambaNames(t *testing.T, s *authntest.Samba) {
	for _, name := range []string{"gatehouse@ad.test", `ADTEST\gatehouse`} {
		cfg := sambaConfig(s)
		cfg.BindDN = name
		cfg.Users.Filter = "(&(|(sAMAccountName={login})(userPrincipalName={login}))(objectCategory=person)(objectClass=user))"
		id, err := login(open(t, cfg), "Mozart@AD.test", authntest.Password)
		if err != nil || id.Username != "mozart" {
			t.Errorf("with bind_dn %s: %+v, %v", name, id, err)
		}
	}
}

// sambaDomains: people type their domain as Windows lets them, those without a
// userPrincipalName too; another domain's name is nobody's here. // row D9
func sambaDomains(t *testing.T, s *authntest.Samba) {
	s.AddUser("noupn", map[string][]string{"userPrincipalName": nil})
	cfg := sambaConfig(s)
	t.Run("without", func(t *testing.T) {
		if id, err := open(t, cfg).Find(t.Context(), "noupn@ad.test"); !errors.Is(err, authn.ErrUnknownUser) {
			t.Errorf("noupn@ad.test is %+v, %v", id, err)
		}
	})
	cfg.Users.Domains = []string{"adtest", "AD.test"}
	with := open(t, cfg)
	for _, name := range []string{`ADTEST\mozart`, `adtest\Mozart`, `ad.test\mozart`, "mozart@ad.test", "mozart@ADTEST", "noupn@ad.test", `ADTEST\noupn`, "noupn"} {
		id, err := login(with, name, authntest.Password)
		if err != nil || !strings.Contains(strings.ToLower(name), id.Username) {
			t.Errorf("%s is %+v, %v", name, id, err)
		}
		if again, err := with.Lookup(t.Context(), refOf(id)); err != nil || again.ID != id.ID {
			t.Errorf("looked up, %s is %+v, %v", name, again, err)
		}
	}
	for _, name := range []string{`OTHER\mozart`, "noupn@other.test", `ADTEST\`, `ADTEST\ADTEST\mozart`} {
		if id, err := with.Find(t.Context(), name); !errors.Is(err, authn.ErrUnknownUser) {
			t.Errorf("%s is %+v, %v", name, id, err)
		}
	}
}

// sambaConfig is a directory of all its people, by the preset ad, over TLS.
func sambaConfig(s *authntest.Samba) ldap.Config {
	return ldap.Config{
		Name: "ad", Preset: "ad", Servers: []string{s.TLSURL()}, CAFile: caFile(s),
		BindDN: authntest.SambaServiceDN, BindPasswordFile: authn.SecretFile{Secret: authntest.Password}, Users: ldap.Users{Base: authntest.SambaBaseDN},
	}
}
