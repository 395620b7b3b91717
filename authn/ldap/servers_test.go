//go:build ldapservers

package ldap_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"

	"gatehouse/authn"
	"gatehouse/authn/ldap"
)

// This file has what the tests of Samba and 389-ds share.

// spellings: what is typed finds the one person under one name, or nobody,
// even where the operator's pattern lets everything through.
func spellings(t *testing.T, cfg ldap.Config) {
	cfg.Users.LoginPattern = "(?s).*"
	d := open(t, cfg)
	want, err := d.Find(t.Context(), "mozart")
	if err != nil {
		t.Fatal(err)
	}
	for _, login := range []string{
		"MOZART", "Mozart", " mozart", "mozart ", "mozart\t", "mozart\x00", "\x00mozart", "mozart\x00x", "ｍozart", "mo\u200bzart",
		"mozart\u00ad", "m*", "mozart)(cn=*", `mozart\00`, "uid=mozart", want.DN,
	} {
		id, err := d.Find(t.Context(), login)
		same := err == nil && id.ID == want.ID && id.Username == "mozart"
		if !same && !errors.Is(err, authn.ErrUnknownUser) {
			t.Errorf("Find(%q) = %+v, %v; want the same person or none", login, id, err)
		}
		if same != strings.EqualFold(login, "mozart") {
			t.Errorf("Find(%q): found is %v", login, same)
		}
	}
}

// refusal is a person who may not log in, and why.
type refusal struct {
	name     string
	password authn.Secret
	reason   string
}

// binds asks the server itself, as if the entry had shown nothing: what it
// answers to the bind must refuse the login, with the reason for the log.
func binds(t *testing.T, d *ldap.Directory, dn func(string) string, refusals []refusal) {
	t.Helper()
	for _, r := range refusals {
		_, err := d.Verify(t.Context(), authn.Identity{Directory: d.Name(), Username: r.name, DN: dn(r.name)}, r.password)
		if !errors.Is(err, authn.ErrInvalidCredentials) || !strings.Contains(err.Error(), r.reason) {
			t.Errorf("bind as %s: %v; want it refused with %q", r.name, err, r.reason)
		}
	}
}

// sound: Inspect has no fault, and says which product this is.
func sound(t *testing.T, d *ldap.Directory, vendor string) {
	t.Helper()
	findings := d.Inspect(t.Context())
	for _, f := range findings {
		if !f.OK {
			t.Errorf("%s: %s", f.Subject, f.Detail)
		}
	}
	if !slices.ContainsFunc(findings, func(f ldap.Finding) bool { return strings.Contains(f.Detail, vendor) }) {
		t.Errorf("no finding says %q: %+v", vendor, findings)
	}
}

// resultCode is that of an LDAP error, 0 for none.
func resultCode(err error) uint16 {
	var e *goldap.Error
	if errors.As(err, &e) {
		return e.ResultCode
	}
	return 0
}
