package ldap

import (
	"errors"
	"slices"
	"testing"

	"gatehouse/authn"
)

// TestNewLDAPFaults: each faulty value is told under its own key, all at once.
func TestNewLDAPFaults(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{"good", func(*Config) {}, nil},
		{"empty", func(c *Config) { *c = Config{} }, []string{"servers", "users.base", "users.filter"}},
		{"preset fills the filter", func(c *Config) { c.Preset, c.Users.Filter = "ad", "" }, nil},
		{"unknown preset", func(c *Config) { c.Preset = "novell" }, []string{"preset"}},
		{"plain text off loopback", func(c *Config) { c.Servers = []string{"ldap://127.0.0.1", "ldap://ldap.example.com"} }, []string{"servers[1]"}},
		{"plain text allowed", func(c *Config) { c.Servers, c.AllowPlaintext = []string{"ldap://ldap.example.com"}, true }, nil},
		{"StartTLS off loopback", func(c *Config) { c.Servers, c.StartTLS = []string{"ldap://ldap.example.com"}, true }, nil},
		{"loopback names", func(c *Config) {
			c.Servers = []string{"ldap://[::1]:3389", "ldap://localhost", "ldapi://%2Frun%2Fldapi"}
		}, nil},
		{"a name that only looks like loopback", func(c *Config) { c.Servers = []string{"ldap://127.0.0.1.example.com"} }, []string{"servers[0]"}},
		{"StartTLS over TLS", func(c *Config) { c.Servers, c.StartTLS = []string{"ldaps://x", "ldapi://%2Fx"}, true }, []string{"servers[0]", "servers[1]"}},
		{"no URLs", func(c *Config) {
			c.Servers = []string{"127.0.0.1", "http://x", "ldaps://", "ldaps://x/dc=y", "ldaps://u:p@x", "ldapi://", "ldaps://x:y"}
		}, []string{"servers[0]", "servers[1]", "servers[2]", "servers[3]", "servers[4]", "servers[5]", "servers[6]"}},
		{"bind_dn alone", func(c *Config) { c.BindDN = "cn=x" }, []string{"bind_dn"}},
		{"bind_dn no DN", func(c *Config) { c.BindDN, c.BindPasswordFile.Secret = "x", "y" }, []string{"bind_dn"}},
		{"bind_dn of AD", func(c *Config) { c.BindDN, c.BindPasswordFile.Secret = `EXAMPLE\x`, "y" }, nil},
		{"base no DN", func(c *Config) { c.Users.Base = "example.com" }, []string{"users.base"}},
		{"filter without login", func(c *Config) { c.Users.Filter = "(uid=mozart)" }, []string{"users.filter"}},
		{"filter open", func(c *Config) { c.Users.Filter = "(&(uid={login})" }, []string{"users.filter"}},
		{"two filters", func(c *Config) { c.Users.Filter = "(uid={login})(a=b)" }, []string{"users.filter"}},
		{"a DN's escape in a filter", func(c *Config) { c.Users.Filter = `(&(uid={login})(memberOf=CN=a\, b,DC=x))` }, []string{"users.filter"}},
		{"a parenthesis in a value", func(c *Config) {
			c.Groups = &Groups{Base: "dc=x", Filter: `(&(member={dn})(cn=a (b))`}
		}, []string{"groups.filter"}},
		{"a placeholder of other software", func(c *Config) {
			c.Groups = &Groups{Base: "dc=x", Filter: "(|(member={dn})(memberUid={user}))"}
		}, []string{"groups.filter"}},
		{"a placeholder of groups for users", func(c *Config) { c.Users.Filter = "(&(uid={login})(cn={username}))" }, []string{"users.filter"}},
		{"domains", func(c *Config) { c.Users.Domains = []string{"ADTEST", "ad.test"} }, nil},
		{"no domains", func(c *Config) { c.Users.Domains = []string{"", "a", `a\`, "@a", "a b"} },
			[]string{"users.domains[0]", "users.domains[2]", "users.domains[3]", "users.domains[4]"}},
		{"pattern", func(c *Config) { c.Users.LoginPattern = "[" }, []string{"users.login_pattern"}},
		{"attribute", func(c *Config) { c.Users.UsernameAttribute = "uid)(x" }, []string{"users.username_attribute"}},
		{"nested without base", func(c *Config) { c.Groups = &Groups{Nested: true} }, []string{"groups.base"}},
		{"groups", func(c *Config) { c.Groups = &Groups{Base: "x", Filter: "(member=x)", NameAttribute: "-"} },
			[]string{"groups.base", "groups.filter", "groups.name_attribute"}},
		{"groups by number", func(c *Config) { c.Groups = &Groups{Base: "dc=x", Filter: "(gidNumber={gid_number})"} }, nil},
		{"member_of_base", func(c *Config) { c.Groups = &Groups{MemberOfBase: "ou=groups,dc=x"} }, nil},
		{"member_of_base no DN", func(c *Config) { c.Groups = &Groups{MemberOfBase: "groups"} }, []string{"groups.member_of_base"}},
		{"member_of_base and filter", func(c *Config) { c.Groups = &Groups{MemberOfBase: "dc=x", Filter: "(member={dn})"} }, []string{"groups.filter"}}, // row A11
		{"filter alone", func(c *Config) { c.Groups = &Groups{Filter: "(member={dn})"} }, []string{"groups"}},                                           // row A11
		{"two ways to groups", func(c *Config) { c.Groups = &Groups{Base: "dc=x", MemberOfBase: "dc=x"} }, []string{"groups.member_of_base"}},
		{"nested by name", func(c *Config) {
			c.Groups = &Groups{Base: "dc=x", Filter: "(memberUid={username})", Nested: true}
		}, []string{"groups.filter"}},
		{"TLS settings", func(c *Config) {
			c.Servers, c.CertFile.Name, c.ServerName = []string{"ldap://127.0.0.1", "ldaps://x"}, "x.crt", "x"
		}, nil},
		{"TLS settings without TLS", func(c *Config) { c.CertFile.Name, c.ServerName = "x.crt", "x" }, []string{"cert_file", "server_name"}},
		{"canary", func(c *Config) { c.CanaryUser = "bach" }, nil},
		{"canary of a domain", func(c *Config) { c.CanaryUser, c.Users.Domains = `A\bach`, []string{"a"} }, nil},
		{"canary outside the pattern", func(c *Config) { c.CanaryUser = "b ach" }, []string{"canary_user"}},
		{"timeout", func(c *Config) { c.Timeout = -1 }, []string{"timeout"}},
	} {
		cfg := Config{Name: "example", Servers: []string{"ldap://127.0.0.1"}, Users: Users{Base: "dc=example,dc=com", Filter: "(uid={login})"}}
		test.change(&cfg)
		d, err := New(cfg)
		if keys := keysOf(err); !slices.Equal(keys, test.want) {
			t.Errorf("%s: faults %q (%v), want %q", test.name, keys, err, test.want)
		}
		if (d == nil) != (len(test.want) > 0) {
			t.Errorf("%s: directory %v beside %v", test.name, d, err)
		}
		if d != nil {
			d.Close()
		}
	}
}

// keysOf are the keys of the KeyErrors in err, sorted.
func keysOf(err error) []string {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	var keys []string
	for _, one := range joined.Unwrap() {
		var fault *authn.KeyError
		if errors.As(one, &fault) {
			keys = append(keys, fault.Key)
		}
	}
	slices.Sort(keys)
	return keys
}

// TestLookupFilter: a person is looked up by the canonical name, under the
// operator's conditions, whatever the login was. // row D5
func TestLookupFilter(t *testing.T) {
	for _, test := range []struct{ filter, want string }{
		{"(&(uid={login})(x=y))", `(&(uid=a\2ab)(&(uid=a\2ab)(x=y)))`},
		{"(|(UID={login})(mail={login}))", `(&(uid=a\2ab)(|(|(UID=a\2ab)(mail=a\2ab))(|(UID=*)(mail=*))))`},
		{"(&(mail={login})(x=y))", `(&(uid=a\2ab)(&(mail=*)(x=y)))`},
		{"(&(uid:caseExactMatch:={login})(x:dn:=y)(z>=1))", `(&(uid=a\2ab)(&(objectClass=*)(x:dn:=y)(z>=1)))`},
		{"(|(uid={login})(entryDN=uid={login},ou=people,dc=x))", `(&(uid=a\2ab)(|(|(uid=a\2ab)(entryDN=uid=a\2ab,ou=people,dc=x))(|(uid=*)(entryDN=*))))`},
		{"(cn=*{login}*)", `(&(uid=a\2ab)(cn=*))`},
		{"(labeledURI=http://x?u={login})", `(&(uid=a\2ab)(labeledURI=http://x?u=*))`},
		{"(mail={login}@example.com)", `(&(uid=a\2ab)(mail=*@example.com))`},
		{"(|(cn~={login})(mail={login}))", `(&(uid=a\2ab)(|(objectClass=*)(mail=*)))`},
	} {
		u := Users{UsernameAttribute: "uid", Filter: test.filter}
		if got := u.lookupFilter("a*b"); got != test.want {
			t.Errorf("%s: %s, want %s", test.filter, got, test.want)
		}
	}
	if got := expand("(|(a={dn})(b={username}))", "{dn}", "{username}", "{username}", "(x)"); got != `(|(a={username})(b=\28x\29))` {
		t.Errorf("a value was expanded again: %s", got)
	}
}

// TestIPAGroups: the preset knows where FreeIPA keeps groups, or says that it does not. // row D7
func TestIPAGroups(t *testing.T) {
	for base, want := range map[string]string{
		"cn=users,cn=accounts,dc=ipa,dc=example,dc=com": "cn=groups,cn=accounts,dc=ipa,dc=example,dc=com",
		"CN=users , CN=Accounts,dc=example,dc=com":      "cn=groups,cn=accounts,dc=example,dc=com",
		"cn=users,cn=accounts,o=corp":                   "cn=groups,cn=accounts,o=corp",
		"dc=example,dc=com":                             "cn=groups,cn=accounts,dc=example,dc=com",
		"ou=people,domainComponent=example,DC=com":      "cn=groups,cn=accounts,dc=example,dc=com",
		"o=corp": "",
	} {
		d, err := New(Config{Name: "ipa", Preset: "freeipa", Servers: []string{"ldap://127.0.0.1"}, Users: Users{Base: base}})
		if want == "" {
			if keys := keysOf(err); !slices.Equal(keys, []string{"groups"}) {
				t.Errorf("%s: %v", base, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", base, err)
			continue
		}
		if got, _ := authn.NormalizeDN(d.cfg.Groups.MemberOfBase); got != want {
			t.Errorf("%s: %q, want %q", base, got, want)
		}
		d.Close()
	}
}
