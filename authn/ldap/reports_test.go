package ldap_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
	"gatehouse/authn/ldap"
)

// What use has found, at a real slapd.

// refOf is what a token of id says.
func refOf(id authn.Identity) authn.Ref {
	return authn.Ref{Directory: id.Directory, Username: id.Username, ID: id.ID}
}

// posix adds a person with the number of a primary group.
func posix(s *authntest.Slapd, uid, gid string) {
	s.AddUser(uid, map[string][]string{"objectClass": {"inetOrgPerson", "posixAccount"},
		"uidNumber": {"1000"}, "gidNumber": {gid}, "homeDirectory": {"/home/" + uid}})
}

func posixGroup(s *authntest.Slapd, cn, gid string, members ...string) {
	attributes := map[string][]string{"objectClass": {"posixGroup"}, "cn": {cn}, "gidNumber": {gid}}
	if len(members) > 0 {
		attributes["memberUid"] = members
	}
	s.Add("cn="+cn+","+authntest.GroupsDN, attributes)
}

// TestPosixGroups: groups that list names list them as the entry writes them, and
// the primary group is one, whose number a person's entry may have too.
// rows D1, D2, A1
func TestPosixGroups(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	posix(s, "Handel", "700")
	posix(s, "haydn", "701")
	posixGroup(s, "Interns", "1", "Handel")
	posixGroup(s, "others", "2", "handel", "HANDEL", "Haydn")
	posixGroup(s, "staff", "700")
	posixGroup(s, "haydns", "701", "haydn")
	s.AddGroup("strings", "uid=Handel,"+authntest.UsersDN)
	s.AddGroup("orchestra", "cn=strings,"+authntest.GroupsDN)
	for _, test := range []struct {
		name, filter, base string
		nested             bool
		handel, haydn      []string
	}{
		{"preset", "", authntest.GroupsDN, false, []string{"interns", "staff"}, []string{"haydns"}},
		{"people are no groups", "", authntest.BaseDN, false, []string{"interns", "staff"}, []string{"haydns"}},
		{"names", "(memberUid={username})", authntest.GroupsDN, false, []string{"interns"}, []string{"haydns"}},
		{"number", "(&(objectClass=posixGroup)(gidNumber={gid_number}))", authntest.GroupsDN, false, []string{"staff"}, []string{"haydns"}},
		{"nested", "(|(member={dn})(memberUid={username})(gidNumber={gid_number}))", authntest.GroupsDN, true,
			[]string{"interns", "orchestra", "staff", "strings"}, []string{"haydns"}},
	} {
		cfg := config(s)
		cfg.Preset, cfg.Users.Filter = "rfc2307", ""
		cfg.Groups = &ldap.Groups{Base: test.base, Filter: test.filter, Nested: test.nested}
		d := open(t, cfg)
		for login, want := range map[string][]string{"handel": test.handel, "HANDEL": test.handel, "Haydn": test.haydn} {
			id, err := d.Find(t.Context(), login)
			if err != nil || !slices.Equal(names(id.Groups), want) {
				t.Errorf("%s: %s is in %q, %v; want %q", test.name, login, names(id.Groups), err, want)
			}
			if again, err := d.Lookup(t.Context(), refOf(id)); err != nil || !slices.Equal(again.Groups, id.Groups) {
				t.Errorf("%s: looked up, %s is in %q, %v; want %q", test.name, login, names(again.Groups), err, want)
			}
		}
	}
}

// TestNoPrimaryGroup: who has no number is in no group by number. // row D2
func TestNoPrimaryGroup(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	posixGroup(s, "root", "0")
	cfg := config(s)
	cfg.Groups = &ldap.Groups{Base: authntest.GroupsDN, Filter: "(|(member={dn})(gidNumber={gid_number}))"}
	id, err := open(t, cfg).Find(t.Context(), "mozart")
	if err != nil || !slices.Equal(names(id.Groups), []string{"composers"}) {
		t.Errorf("groups = %q, %v", names(id.Groups), err)
	}
}

// TestHiddenPrimaryGroup: a right that is missing is no reason to be in fewer groups.
// row D2
func TestHiddenPrimaryGroup(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{ACL: `access to attrs=userPassword by anonymous auth by * none
access to dn.subtree="ou=musicians,dc=example,dc=com" attrs=gidNumber by * none
access to * by users read by * none`})
	posix(s, "handel", "700")
	cfg := config(s)
	cfg.Preset, cfg.Users.Filter, cfg.Groups = "rfc2307", "", groupsBelow(authntest.GroupsDN)
	if id, err := open(t, cfg).Find(t.Context(), "handel"); !errors.Is(err, authn.ErrUnavailable) || !strings.Contains(err.Error(), "gidNumber") {
		t.Errorf("handel is %+v, %v", id, err)
	}
}

// TestSeveralNames: the name is the RDN's value whatever the order, and tokens under
// each of the others stay good, through the cache and while the directory is away.
// rows D4, A22
func TestSeveralNames(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	dn := s.AddUser("Grieg", map[string][]string{"uid": {"edvard", "Grieg", "hagerup"}, "mail": {"grieg@example.com"}})
	s.Add("cn=release,"+authntest.GroupsDN, map[string][]string{"objectClass": {"groupOfNames"}, "cn": {"rel-old", "release"}, "member": {dn}})
	cfg := config(s)
	cfg.Groups = &ldap.Groups{Base: authntest.GroupsDN}
	cache, err := authn.NewCache(open(t, cfg), authn.CacheConfig{FreshFor: time.Minute, StaleFor: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	var id authn.Identity
	for _, order := range [][]string{{"Grieg", "hagerup", "edvard"}, {"hagerup", "edvard", "Grieg"}} {
		s.Replace(dn, "uid", order...)
		cache.Expire()
		for _, typed := range []string{"grieg", "edvard", "grieg@example.com"} {
			if id, err = login(cache, typed, authntest.Password); err != nil || id.Username != "grieg" || !slices.Equal(names(id.Groups), []string{"release"}) || id.Note == "" {
				t.Fatalf("%s is %+v, %v", typed, id, err)
			}
		}
	}
	lookup := func(when string) {
		for _, name := range []string{"grieg", "edvard", "hagerup"} {
			got, err := cache.Lookup(t.Context(), authn.Ref{Directory: "example", Username: name, ID: id.ID})
			if err != nil || got.Username != "grieg" {
				t.Errorf("%s, the token of %s: %+v, %v", when, name, got, err)
			}
		}
	}
	lookup("with the directory up")
	s.Stop()
	lookup("remembered")
	cache.Expire()
	lookup("stale")
}

// TestFoundAgain: whoever could log in is found by every later lookup. // rows D5, A1
func TestFoundAgain(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	person := func(uid, kind string) {
		s.AddUser(uid, map[string][]string{"objectClass": {"inetOrgPerson", "posixAccount"}, "employeeType": {kind}, "mail": {uid + "@example.com"},
			"cn": {"Herr  " + uid}, "uidNumber": {"1"}, "gidNumber": {"1"}, "homeDirectory": {"Home-" + uid}})
	}
	person("Anna", "human")
	person("robot", "machine")
	for _, test := range []struct {
		filter, attribute, login, name string
	}{
		{"(|(&(uid={login})(employeeType=machine))(&(mail={login})(employeeType=human)))", "uid", "anna@example.com", "anna"},
		{"(|(&(uid={login})(employeeType=machine))(&(mail={login})(employeeType=human)))", "uid", "robot", "robot"},
		{"(|(&(mail={login})(employeeType=human))(&(employeeType=machine)(|(cn={login})(uid={login}))))", "uid", "ANNA@example.com", "anna"},
		{"(mail={login}@example.com)", "uid", "anna", "anna"},
		{"(cn=*{login}*)", "uid", "anna", "anna"},
		{"(mail={login}@*)", "uid", "anna", "anna"},
		{"(entryDN=uid={login}," + authntest.UsersDN + ")", "uid", "anna", "anna"}, // of a DN no part matches
		{"(&(uid={login})(!(mail={login})))", "uid", "anna", "anna"},
		{"(|(uid={login})(homeDirectory={login}))", "homeDirectory", "anna", "home-anna"}, // which compares case
		{"(homeDirectory={login})", "homeDirectory", "Home-Anna", "home-anna"},
		{"(mail={login})", "cn", "anna@example.com", "herr anna"},
	} {
		cfg := config(s)
		cfg.Users.Filter, cfg.Users.UsernameAttribute = test.filter, test.attribute
		d := open(t, cfg)
		id, err := login(d, test.login, authntest.Password)
		if err != nil || id.Username != test.name {
			t.Errorf("%s: %s is %+v, %v", test.filter, test.login, id, err)
			continue
		}
		if again, err := d.Lookup(t.Context(), refOf(id)); err != nil || again.ID != id.ID || again.Username != id.Username {
			t.Errorf("%s: looked up, %s is %+v, %v", test.filter, test.name, again, err)
		}
		cfg.Users.Filter = "(&" + test.filter + "(!(objectClass=posixAccount)))"
		if again, err := open(t, cfg).Lookup(t.Context(), refOf(id)); !errors.Is(err, authn.ErrUnknownUser) {
			t.Errorf("%s: one who may no longer log in is %+v, %v", test.filter, again, err)
		}
		if again, err := d.Lookup(t.Context(), authn.Ref{Directory: "example", Username: "bach", ID: id.ID}); !errors.Is(err, authn.ErrUnknownUser) {
			t.Errorf("%s: under a name of somebody else they are %+v, %v", test.filter, again, err)
		}
	}
}

// TestFreeIPARoles: memberOf names a role like a group; the preset takes groups
// alone, and member_of_base does so for everybody. // row D7
func TestFreeIPARoles(t *testing.T) {
	const accounts = "cn=accounts," + authntest.BaseDN
	s := authntest.StartSlapd(t, authntest.Options{LDIF: `
dn: cn=accounts,dc=example,dc=com
objectClass: applicationProcess
cn: accounts

dn: uid=clara,cn=accounts,dc=example,dc=com
objectClass: inetOrgPerson
objectClass: posixAccount
uid: clara
cn: Clara
sn: Schumann
uidNumber: 1
gidNumber: 1
homeDirectory: /home/clara
userPassword: password
memberOf: cn=release,cn=roles,cn=accounts,dc=example,dc=com
memberOf: cn=Editors,CN=Groups,cn=accounts,dc=example,dc=com
memberOf: cn=admins,cn=groups,ou=other,dc=example,dc=com

`})
	for name, test := range map[string]struct {
		preset, base string
		want         []string
	}{
		"freeipa":          {"freeipa", "", []string{"editors"}},
		"another base":     {"freeipa", "CN=Roles, cn=accounts," + authntest.BaseDN, []string{"release"}},
		"openldap":         {"openldap", "", []string{"admins", "editors", "release"}},
		"openldap, a base": {"openldap", "cn=groups , CN=ACCOUNTS,dc=Example,dc=com", []string{"editors"}},
	} {
		cfg := config(s)
		cfg.Preset, cfg.Users.Filter, cfg.Users.Base = test.preset, "", accounts
		if test.base != "" {
			cfg.Groups = &ldap.Groups{MemberOfBase: test.base}
		}
		id, err := open(t, cfg).Find(t.Context(), "clara")
		if err != nil || !slices.Equal(names(id.Groups), test.want) {
			t.Errorf("%s: groups = %q, %v; want %q", name, names(id.Groups), err, test.want)
		}
	}
}

// TestAlias: an alias is refused as one, before any password; the entry it stands for
// is not. // row D14
func TestAlias(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	for uid, target := range map[string]string{"wolfgang": authntest.MozartDN, "nobody": "uid=nobody," + authntest.UsersDN} {
		s.Add("uid="+uid+",ou=it,"+authntest.BaseDN, map[string][]string{"objectClass": {"alias", "extensibleObject"}, "aliasedObjectName": {target},
			"uid": {uid}, "mail": {uid + "@example.com"}, "userPassword": {authntest.Password}})
	}
	cfg := config(s)
	cfg.Users.Filter = "(|(uid={login})(mail={login}))"
	d := open(t, cfg)
	for _, name := range []string{"wolfgang", "nobody", "Wolfgang@example.com"} {
		id, err := d.Find(t.Context(), name)
		if !errors.Is(err, authn.ErrHeld) || !strings.Contains(err.Error(), "is an alias") {
			t.Errorf("%s is %+v, %v", name, id, err)
		}
	}
	if id, err := login(d, "mozart", authntest.Password); err != nil || id.DN != authntest.MozartDN {
		t.Errorf("mozart is %+v, %v", id, err)
	}
}

// TestNameless: an entry without a name is nobody's, and no fault of the directory,
// unless the canary shows no name either. // row D17
func TestNameless(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	s.Add("cn=Printer,"+authntest.UsersDN, map[string][]string{"objectClass": {"inetOrgPerson"}, "cn": {"Printer"}, "sn": {"Printer"},
		"mail": {"printer@example.com"}, "userPassword": {authntest.Password}})
	later, err := authn.NewStatic(authn.StaticConfig{Name: "later", Users: []authn.StaticUser{{Username: "printer@example.com", PasswordFile: password(authntest.Password)}}})
	if later == nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		attribute, canary string
		want              error
	}{
		"the entry has none":                 {"uid", "", authn.ErrInvalidCredentials},
		"the entry has none, a canary has":   {"uid", "bach", authn.ErrInvalidCredentials},
		"no entry has any":                   {"employeeNumber", "bach", authn.ErrUnavailable},
		"no entry has any, without a canary": {"employeeNumber", "", authn.ErrInvalidCredentials},
	} {
		cfg := config(s)
		cfg.Users.Filter, cfg.Users.UsernameAttribute, cfg.CanaryUser = "(|(uid={login})(mail={login}))", test.attribute, test.canary
		cache, err := authn.NewCache(open(t, cfg), authn.CacheConfig{NegativeFor: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cache.Close)
		log := new(lockedBuffer)
		chain := authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{cache, later}, Logger: slog.New(slog.NewTextHandler(log, nil))})
		for range 2 {
			_, err := chain.Authenticate(t.Context(), authn.Attempt{Login: "printer@example.com", Password: authntest.Password})
			if !errors.Is(err, test.want) || errors.Is(err, authn.ErrUnavailable) != (test.want == authn.ErrUnavailable) {
				t.Errorf("%s: %v, want %v", name, err, test.want)
			}
		}
		if !strings.Contains(log.String(), "shows no "+test.attribute) {
			t.Errorf("%s: the log does not say why: %s", name, log)
		}
	}
}

// TestDomainLogin: a login with a domain of ours is the plain name's. // row D9
func TestDomainLogin(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	cfg := config(s)
	cfg.Users.Domains = []string{"EXAMPLE", "corp.example.com"}
	d := open(t, cfg)
	for _, name := range []string{`example\mozart`, "mozart@CORP.example.com", "mozart@example.com"} {
		if id, err := login(d, name, authntest.Password); err != nil || id.Username != "mozart" {
			t.Errorf("%s is %+v, %v", name, id, err)
		}
	}
	for _, name := range []string{`other\mozart`, "mozart@corp", `EXAMPLE\corp.example.com\mozart`, `EXAMPLE\`} {
		if id, err := d.Find(t.Context(), name); !errors.Is(err, authn.ErrUnknownUser) {
			t.Errorf("%s is %+v, %v", name, id, err)
		}
	}
}

// TestTooManyGroups (audit, plausible): a list of groups that the server cut is the
// person's own fault, who keeps nothing of it; the directory is well.
func TestTooManyGroups(t *testing.T) {
	var groups strings.Builder
	for i := range 501 { // slapd shows 500
		fmt.Fprintf(&groups, "dn: cn=g%d,ou=groups,dc=example,dc=com\nobjectClass: groupOfNames\ncn: g%d\nmember: %s\n\n", i, i, authntest.BachDN)
	}
	s := authntest.StartSlapd(t, authntest.Options{LDIF: groups.String()})
	cfg := config(s)
	cfg.Groups = groupsBelow(authntest.GroupsDN)
	d := open(t, cfg)
	if id, err := d.Find(t.Context(), "bach"); !errors.Is(err, authn.ErrUnusable) {
		t.Errorf("bach is %s in %d groups, %v", id.Username, len(id.Groups), err)
	}
	if id, err := d.Find(t.Context(), "mozart"); err != nil || len(id.Groups) != 1 {
		t.Errorf("mozart is in %q, %v", names(id.Groups), err)
	}
}
