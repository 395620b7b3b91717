//go:build ldapservers

package ldap_test

import (
	"errors"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
	"gatehouse/authn/ldap"
)

// TestDS389 runs a Directory with the preset `389ds` against a real 389 Directory Server.
func TestDS389(t *testing.T) {
	s := authntest.StartDS389(t)
	s.Lockout(false)
	t.Run("conformance", func(t *testing.T) {
		conform(t, ds389Config(s), transports(s.URL(), s.TLSURL()), "artists", "composers", "soloists")
	})
	t.Run("conformance, groups by search", func(t *testing.T) {
		cfg := ds389Config(s)
		cfg.Groups = &ldap.Groups{Base: authntest.GroupsDN}
		conform(t, cfg, map[string]func(*ldap.Config){
			"direct": func(*ldap.Config) {},
		}, "composers", "soloists")
		conform(t, cfg, map[string]func(*ldap.Config){
			"nested": func(c *ldap.Config) { c.Groups = &ldap.Groups{Base: c.Groups.Base, Nested: true} },
		}, "artists", "composers", "soloists")
	})
	t.Run("spellings", func(t *testing.T) { spellings(t, ds389Config(s)) })
	d := open(t, ds389Config(s))
	s.Lockout(true)
	t.Run("binds", func(t *testing.T) {
		binds(t, d, s.DN, []refusal{
			{"mozart", "wrong", "wrong password"},
			{"disabled", authntest.Password, "the account is"},
			{"disabled", "wrong", "the account is"},
			{"locked", authntest.Password, "the account is locked"},
			{"mustchange", authntest.Password, "the password must be changed first"},
			{"expired", authntest.Password, "the password has expired"},
			{"nobody", authntest.Password, ""},
		})
	})
	t.Run("inactive is result 53", func(t *testing.T) { ds389Inactive(t, s) })
	t.Run("hidden", func(t *testing.T) { ds389Hidden(t, s, d) })
	t.Run("inspect", func(t *testing.T) { sound(t, d, "389") })
	s.Lockout(false)
	t.Run("states and changes", func(t *testing.T) {
		authntest.Conformance(t, authntest.Subject{
			Directory: d, Login: "bach", Username: "bach", Password: authntest.Password,
			Held: []authntest.Held{
				{Login: "disabled", Gone: true, Reason: "the account is disabled"},
				{Login: "mustchange", Password: authntest.Password, Reason: "must be changed"},
				{Login: "expired", Password: authntest.Password, Reason: "the password has expired"},
			},
			Change:   func(password authn.Secret) { s.SetPassword("bach", string(password)) },
			Remove:   func() { s.Delete("bach") },
			Recreate: func() { s.AddUser("bach") },
			// It writes the time of a change after it has answered.
			Patience: 5 * time.Second,
		})
	})
}

// ds389Inactive shows the answer that must not be taken for a fault of the
// server: unwilling to perform, whatever the password.
func ds389Inactive(t *testing.T, s *authntest.DS389) {
	c, err := goldap.DialURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, password := range []string{authntest.Password, "wrong"} {
		if code := resultCode(c.Bind(s.DN("disabled"), password)); code != goldap.LDAPResultUnwillingToPerform {
			t.Errorf("a bind of a locked account with %q: result %d, want 53", password, code)
		}
	}
}

// ds389Hidden: without the ACI, searches succeed and find nobody. Who was known is
// then not gone: the token goes on from the cache and the login is a fault.
func ds389Hidden(t *testing.T, s *authntest.DS389, d *ldap.Directory) {
	cache, err := authn.NewCache(d, authn.CacheConfig{FreshFor: 100 * time.Millisecond, StaleFor: time.Minute, NegativeFor: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	id, err := login(cache, "mozart", authntest.Password)
	if err != nil {
		t.Fatal(err)
	}
	s.Hide()
	defer s.Show()
	ref := authn.Ref{Directory: "ds", Username: "mozart", ID: id.ID}
	await(t, func() bool { // until the cache has to ask
		_, err := cache.Find(t.Context(), "mozart")
		if errors.Is(err, authn.ErrUnknownUser) {
			t.Fatalf("a login of somebody hidden: %v", err)
		}
		return errors.Is(err, authn.ErrUnavailable)
	})
	for range 100 {
		if got, err := cache.Lookup(t.Context(), ref); err != nil || got.ID != id.ID {
			t.Fatalf("the token of somebody hidden: %+v, %v", got, err)
		}
		time.Sleep(5 * time.Millisecond) // longer than FreshFor in all
	}
	s.Show()
	await(t, func() bool {
		_, err := login(cache, "mozart", authntest.Password)
		return err == nil
	})
}

// ds389Config is a directory of all its people, by the preset 389ds, groups from memberOf.
func ds389Config(s *authntest.DS389) ldap.Config {
	return ldap.Config{
		Name: "ds", Preset: "389ds", Servers: []string{s.TLSURL()}, CAFile: caFile(s),
		BindDN: authntest.ServiceDN, BindPasswordFile: authn.SecretFile{Secret: authntest.Password}, Users: ldap.Users{Base: authntest.UsersDN},
	}
}
