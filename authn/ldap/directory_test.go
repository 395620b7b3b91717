package ldap_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
	"gatehouse/authn/ldap"
	"gatehouse/metrics"

	"go.uber.org/goleak"
)

// config is a directory of all of example.com on s, groups from memberOf.
func config(s *authntest.Slapd) ldap.Config {
	return ldap.Config{
		Name: "example", Servers: []string{s.URL()}, CAFile: caFile(s),
		BindDN: authntest.ServiceDN, BindPasswordFile: authn.SecretFile{Secret: authntest.Password},
		Users: ldap.Users{Base: authntest.BaseDN, Filter: "(&(|(uid={login})(mail={login}))(objectClass=person))"},
	}
}

// caFile is the CA of a server of authntest's, as a config that was read has it.
func caFile(s interface{ CAFile() string }) authn.File { return readFile(s.CAFile()) }

func readFile(name string) authn.File {
	data, err := os.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return authn.File{Name: name, Data: data}
}

// password is a file that holds text.
func password(text authn.Secret) authn.SecretFile {
	return authn.SecretFile{Name: "password.txt", Secret: text}
}

// groupsBelow is a section with that base; none for an empty one.
func groupsBelow(base string) *ldap.Groups {
	if base == "" {
		return nil
	}
	return &ldap.Groups{Base: base}
}

// open starts the directory of cfg; at the end of the test it is closed, and
// nothing of it may be left.
func open(t testing.TB, cfg ldap.Config) *ldap.Directory {
	t.Helper()
	before := goleak.IgnoreCurrent()
	d, err := ldap.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.Close()
		goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("gatehouse/authn/authntest.startTied.func1"))
	})
	return d
}

// login finds and verifies.
func login(d authn.Directory, name string, password authn.Secret) (authn.Identity, error) {
	id, err := d.Find(context.Background(), name)
	if err != nil {
		return authn.Identity{}, err
	}
	return d.Verify(context.Background(), id, password)
}

func names(groups []authn.Group) []string {
	var all []string
	for _, group := range groups {
		all = append(all, group.Name)
	}
	return all
}

// TestLDAPLogin shows who gets in, and under which name, over every kind of connection.
func TestLDAPLogin(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	for name, change := range map[string]func(*ldap.Config){
		"ldap":     func(*ldap.Config) {},
		"ldaps":    func(c *ldap.Config) { c.Servers = []string{s.TLSURL()} },
		"ldapi":    func(c *ldap.Config) { c.Servers = []string{s.SocketURL()} },
		"StartTLS": func(c *ldap.Config) { c.StartTLS = true },
		"by group search": func(c *ldap.Config) {
			c.Groups = &ldap.Groups{Base: authntest.GroupsDN}
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(s)
			change(&cfg)
			d := open(t, cfg)
			var first authn.Identity
			for _, typed := range []string{"mozart", "MOZART", "mozart@example.com", "Mozart@Example.COM"} {
				id, err := login(d, typed, authntest.Password)
				if err != nil {
					t.Fatalf("login as %q: %v", typed, err)
				}
				if first.ID == "" {
					first = id
				}
				if id.Username != "mozart" || id.ID != first.ID || id.DN != authntest.MozartDN || id.Directory != "example" {
					t.Errorf("login as %q is %+v", typed, id)
				}
			}
			if !slices.Equal(first.Groups, []authn.Group{{Name: "composers", DN: "cn=composers," + authntest.GroupsDN}}) {
				t.Errorf("groups = %v", first.Groups)
			}
			again, err := d.Lookup(context.Background(), authn.Ref{Directory: "example", Username: "mozart", ID: first.ID})
			if err != nil || again.DN != first.DN || !slices.Equal(again.Groups, first.Groups) {
				t.Errorf("Lookup = %+v, %v; want %+v", again, err, first)
			}
		})
	}
}

// TestLDAPRefused lists names and passwords that must not get in, and with which
// of the sentinels.
func TestLDAPRefused(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	d := open(t, config(s))
	for _, test := range []struct {
		name     string
		password authn.Secret
		want     error
	}{
		{"nobody", authntest.Password, authn.ErrUnknownUser},
		{"", authntest.Password, authn.ErrUnknownUser},
		{"*", authntest.Password, authn.ErrUnknownUser},
		{"moz*", authntest.Password, authn.ErrUnknownUser},
		{"a)(uid=*", authntest.Password, authn.ErrUnknownUser},
		{"mozart)(|(uid=*", authntest.Password, authn.ErrUnknownUser},
		{"mozart\x00", authntest.Password, authn.ErrUnknownUser},
		{" mozart", authntest.Password, authn.ErrUnknownUser},
		{"mozart ", authntest.Password, authn.ErrUnknownUser},
		{"ｍozart", authntest.Password, authn.ErrUnknownUser},
		{authntest.MozartDN, authntest.Password, authn.ErrUnknownUser},
		{"mozart", "wrong", authn.ErrInvalidCredentials},
		{"mozart", "", authn.ErrInvalidCredentials},
		{"mozart", " ", authn.ErrInvalidCredentials},
		{"mozart", "\x00\x00", authn.ErrInvalidCredentials},
		{"mozart", authntest.Password + "\x00", authn.ErrInvalidCredentials},
		{"mozart", "{SSHA}x", authn.ErrInvalidCredentials},
	} {
		if _, err := login(d, test.name, test.password); !errors.Is(err, test.want) {
			t.Errorf("login as %q with %q: %v, want %v", test.name, string(test.password), err, test.want)
		}
	}
	if _, err := login(d, "mozart", authntest.Password); err != nil {
		t.Errorf("good login after the bad ones: %v", err)
	}
}

// TestLDAPPasswordIsTakenLiterally: what means something in a filter or a DN
// means nothing in a password.
func TestLDAPPasswordIsTakenLiterally(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	d := open(t, config(s))
	const odd = `p(a*s)s\2aä",+={login}`
	s.Replace(authntest.MozartDN, "userPassword", odd)
	if _, err := login(d, "mozart", odd); err != nil {
		t.Error(err)
	}
}

// TestLDAPAmbiguous: a name that two entries match is nobody's.
func TestLDAPAmbiguous(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	log := new(lockedBuffer)
	cfg := config(s)
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	d := open(t, cfg)
	id, err := d.Find(t.Context(), "mozart")
	if err != nil {
		t.Fatal(err)
	}
	s.Add("uid=mozart,ou=it,"+authntest.BaseDN, map[string][]string{
		"objectClass": {"inetOrgPerson"}, "uid": {"mozart"}, "cn": {"Impostor"}, "sn": {"Impostor"}, "userPassword": {"mine"}})
	for _, attempt := range []authn.Secret{authntest.Password, "mine"} {
		if _, err := login(d, "mozart", attempt); !errors.Is(err, authn.ErrUnknownUser) || !strings.Contains(err.Error(), "ambiguous") {
			t.Errorf("login: %v", err)
		}
	}
	if _, err := d.Lookup(t.Context(), authn.Ref{Directory: "example", Username: "mozart", ID: id.ID}); !errors.Is(err, authn.ErrUnknownUser) {
		t.Errorf("Lookup: %v", err)
	}
	if !strings.Contains(log.String(), "ambiguous") {
		t.Errorf("the log says nothing of it: %s", log)
	}
}

// TestLDAPGone follows one person through deletion and a namesake's arrival.
func TestLDAPGone(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	d := open(t, config(s))
	id, err := login(d, "mozart", authntest.Password)
	if err != nil {
		t.Fatal(err)
	}
	ref := authn.Ref{Directory: "example", Username: "mozart", ID: id.ID}
	s.Delete(authntest.MozartDN)
	if _, err := d.Lookup(t.Context(), ref); !errors.Is(err, authn.ErrUnknownUser) {
		t.Errorf("Lookup of a deleted person: %v", err)
	}
	if _, err := d.Verify(t.Context(), id, authntest.Password); !errors.Is(err, authn.ErrInvalidCredentials) {
		t.Errorf("Verify of a deleted person: %v", err)
	}
	s.AddUser("mozart", nil)
	if _, err := d.Lookup(t.Context(), ref); !errors.Is(err, authn.ErrUnknownUser) || !strings.Contains(err.Error(), "re-created") {
		t.Errorf("Lookup of a re-created person: %v", err)
	}
	renewed, err := login(d, "mozart", authntest.Password)
	if err != nil || renewed.ID == id.ID || len(renewed.Groups) != 0 {
		t.Errorf("the namesake is %+v, %v", renewed, err)
	}
}

// TestHeldNames: a namesake in a later directory does not take the place of who is
// disabled, nor of several with one name, whether the answer is remembered or not.
func TestHeldNames(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	s.AddUser("salieri", map[string][]string{"objectClass": {"inetOrgPerson", "shadowAccount"}, "shadowExpire": {"10000"}, "mail": {"two@example.com"}})
	s.AddUser("clementi", map[string][]string{"mail": {"two@example.com"}})
	static, err := authn.NewStatic(authn.StaticConfig{Name: "local", Users: []authn.StaticUser{
		{Username: "salieri", PasswordFile: authn.SecretFile{Secret: "later"}}, {Username: "two@example.com", PasswordFile: authn.SecretFile{Secret: "later"}}, {Username: "haydn", PasswordFile: authn.SecretFile{Secret: "later"}}}})
	if static == nil {
		t.Fatal(err)
	}
	cache, err := authn.NewCache(open(t, config(s)), authn.CacheConfig{FreshFor: time.Minute, NegativeFor: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	chain := authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{cache, static}})
	for range 2 {
		for name, want := range map[string]error{"salieri": authn.ErrInvalidCredentials, "two@example.com": authn.ErrInvalidCredentials, "haydn": nil} {
			if id, err := chain.Authenticate(t.Context(), authn.Attempt{Login: name, Password: "later"}); !errors.Is(err, want) {
				t.Errorf("%s is %+v, %v; want %v", name, id, err, want)
			}
		}
	}
}

// TestLDAPPasswordStamp: a password change changes the stamp.
func TestLDAPPasswordStamp(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	d := open(t, config(s))
	before, err := d.Find(t.Context(), "mozart")
	if err != nil || before.PasswordStamp != "" {
		t.Fatalf("before: %+v, %v; want no stamp, the password is from slapadd", before, err)
	}
	s.Replace(authntest.MozartDN, "userPassword", "another")
	after, err := login(d, "mozart", "another")
	if err != nil || after.PasswordStamp == "" {
		t.Errorf("after: %+v, %v; want a stamp", after, err)
	}
}

// TestLDAPNestedGroups: groups of groups count where the config says so, cycles
// end, and too deep a chain is a fault and not a shorter list.
func TestLDAPNestedGroups(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	cfg := config(s)
	cfg.Groups = &ldap.Groups{Base: authntest.GroupsDN, Nested: true}
	d := open(t, cfg)
	artists := "cn=artists," + authntest.GroupsDN
	top := s.AddGroup("Top", artists)
	s.Replace("cn=composers,"+authntest.GroupsDN, "member", authntest.MozartDN, top)
	id, err := d.Find(t.Context(), "mozart")
	if want := []string{"artists", "composers", "top"}; err != nil || !slices.Equal(names(id.Groups), want) {
		t.Errorf("groups = %v, %v; want %v", names(id.Groups), err, want)
	}
	for _, next := range []string{"l3", "l4", "l5", "l6"} {
		top = s.AddGroup(next, top)
	}
	if id, err := d.Find(t.Context(), "mozart"); !errors.Is(err, authn.ErrUnavailable) {
		t.Errorf("too deep: %+v, %v; want a fault", names(id.Groups), err)
	}
}

// TestLDAPGroupsByName finds POSIX groups, which list names.
func TestLDAPGroupsByName(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	cfg := config(s)
	cfg.Groups = &ldap.Groups{Base: authntest.GroupsDN, Filter: "(|(memberUid={username})(member={dn}))"}
	d := open(t, cfg)
	s.Add("cn=Players,"+authntest.GroupsDN, map[string][]string{
		"objectClass": {"posixGroup"}, "cn": {"Players"}, "gidNumber": {"100"}, "memberUid": {"mozart", "haydn"}})
	id, err := d.Find(t.Context(), "mozart@example.com")
	if want := []string{"composers", "players"}; err != nil || !slices.Equal(names(id.Groups), want) {
		t.Errorf("groups = %v, %v; want %v", names(id.Groups), err, want)
	}
}

// TestLDAPFaults: wherever the server cannot or may not tell, nobody becomes unknown.
func TestLDAPFaults(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	for name, change := range map[string]func(*ldap.Config){
		"no such base":           func(c *ldap.Config) { c.Users.Base = "ou=nowhere,dc=example,dc=com" },
		"no such groups base":    func(c *ldap.Config) { c.Groups = &ldap.Groups{Base: "ou=nowhere,dc=example,dc=com"} },
		"foreign base":           func(c *ldap.Config) { c.Users.Base = "dc=example,dc=org" },
		"anonymous may not read": func(c *ldap.Config) { c.BindDN = "" },
		"wrong service password": func(c *ldap.Config) { c.BindPasswordFile = password("wrong") },
		"no CA":                  func(c *ldap.Config) { c.Servers, c.CAFile = []string{s.TLSURL()}, authn.File{} },
		"name not in certificate": func(c *ldap.Config) {
			c.Servers, c.ServerName = []string{s.TLSURL()}, "ldap.example.com"
		},
		"no TLS where TLS is wanted": func(c *ldap.Config) {
			c.Servers = []string{strings.Replace(s.URL(), "ldap:", "ldaps:", 1)}
		},
		"nobody there": func(c *ldap.Config) { c.Servers = []string{"ldap://127.0.0.1:1"} },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(s)
			change(&cfg)
			d := open(t, cfg)
			if id, err := d.Find(t.Context(), "mozart"); !errors.Is(err, authn.ErrUnavailable) || errors.Is(err, authn.ErrUnknownUser) {
				t.Errorf("Find = %+v, %v; want ErrUnavailable", id, err)
			}
		})
	}
}

// TestLDAPClientCertificate: a server that wants one gets it, and the name in its
// own certificate may be another than that of the URL.
func TestLDAPClientCertificate(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{Config: "TLSVerifyClient demand"})
	cert, key := s.KeyPair()
	for _, startTLS := range []bool{false, true} {
		for _, shown := range []bool{false, true} {
			cfg := config(s)
			cfg.ServerName, cfg.StartTLS = "localhost", startTLS
			if shown {
				cfg.CertFile, cfg.KeyFile = readFile(cert), password(authn.Secret(readFile(key).Data))
			}
			if !startTLS {
				cfg.Servers = []string{s.TLSURL()}
			}
			id, err := login(open(t, cfg), "mozart", authntest.Password)
			switch {
			case shown && (err != nil || id.Username != "mozart"):
				t.Errorf("StartTLS %v: %+v, %v", startTLS, id, err)
			case !shown && !errors.Is(err, authn.ErrUnavailable):
				t.Errorf("StartTLS %v, without a certificate: %+v, %v", startTLS, id, err)
			}
		}
	}
}

// TestLDAPDownAndUp stops the server and starts it again.
func TestLDAPDownAndUp(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	d := open(t, config(s))
	if _, err := login(d, "mozart", authntest.Password); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if took := await(t, func() bool { return !d.Available() }); took > time.Second {
		t.Errorf("noticed after %s that the server is gone", took)
	}
	start := time.Now()
	for range 100 {
		if _, err := d.Find(t.Context(), "bach"); !errors.Is(err, authn.ErrUnavailable) {
			t.Fatalf("Find with the server down: %v", err)
		}
	}
	if took := time.Since(start); took > 500*time.Millisecond {
		t.Errorf("100 refusals took %s", took)
	}
	s.Start()
	if took := await(t, d.Available); took > 10*time.Second {
		t.Errorf("back after %s", took)
	}
	if _, err := login(d, "mozart", authntest.Password); err != nil {
		t.Errorf("login after the server came back: %v", err)
	}
}

// TestLDAPFailover uses the second server while the first is gone.
func TestLDAPFailover(t *testing.T) {
	first, second := authntest.StartSlapd(t, authntest.Options{}), authntest.StartSlapd(t, authntest.Options{})
	second.Replace(authntest.MozartDN, "userPassword", "second")
	cfg := config(first)
	cfg.Servers = append(cfg.Servers, second.URL())
	d := open(t, cfg)
	if _, err := login(d, "mozart", authntest.Password); err != nil {
		t.Fatalf("the first server was not asked first: %v", err)
	}
	first.Stop()
	if _, err := login(d, "mozart", "second"); err != nil {
		t.Errorf("login on the second server: %v", err)
	}
	if !d.Available() {
		t.Error("not available with one server up")
	}
}

// TestLDAPPaused stops the server's process: connections stay, answers do not come.
func TestLDAPPaused(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	cfg := config(s)
	cfg.Timeout = time.Second
	d := open(t, cfg)
	if _, err := login(d, "mozart", authntest.Password); err != nil {
		t.Fatal(err)
	}
	s.Pause()
	start := time.Now()
	if _, err := d.Find(t.Context(), "mozart"); !errors.Is(err, authn.ErrUnavailable) {
		t.Errorf("Find: %v", err)
	}
	if took := time.Since(start); took > 1200*time.Millisecond {
		t.Errorf("gave up after %s", took)
	}
	if took := await(t, func() bool { return !d.Available() }); took > time.Second {
		t.Errorf("a silent server counts as available for %s more", took)
	}
	s.Resume()
	if took := await(t, d.Available); took > 10*time.Second {
		t.Errorf("back after %s", took)
	}
}

// TestLDAPState: what entries say of their accounts, and what servers say at a bind.
func TestLDAPState(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{Lockout: 2, MustChange: true})
	d := open(t, config(s))
	add := func(uid string, more map[string][]string) string {
		if more["shadowExpire"] != nil {
			more["objectClass"] = []string{"inetOrgPerson", "shadowAccount"}
		}
		return s.AddUser(uid, more)
	}
	add("expired", map[string][]string{"shadowExpire": {"10000"}})
	add("current", map[string][]string{"shadowExpire": {"40000"}})
	s.Replace(add("locked", nil), "pwdAccountLockedTime", "000001010000Z")
	s.Replace(add("reset", nil), "pwdReset", "TRUE")
	add("guessed", nil)
	for range 2 {
		login(d, "guessed", "wrong")
	}
	for _, test := range []struct {
		name   string
		want   error
		reason string
	}{
		{"current", nil, ""},
		{"expired", authn.ErrUnknownUser, "expired"},
		{"locked", authn.ErrUnknownUser, "locked by an administrator"},
		{"reset", authn.ErrInvalidCredentials, "must be changed"},
		{"guessed", authn.ErrInvalidCredentials, "locked"},
	} {
		_, err := login(d, test.name, authntest.Password)
		if !errors.Is(err, test.want) || err != nil && !strings.Contains(err.Error(), test.reason) {
			t.Errorf("login as %s: %v, want %v (%s)", test.name, err, test.want, test.reason)
		}
	}
	id, err := d.Find(t.Context(), "guessed")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Lookup(t.Context(), authn.Ref{Directory: "example", Username: "guessed", ID: id.ID}); err != nil {
		t.Errorf("guessing ended a running token: %v", err)
	}
}

// TestLDAPPolicyControl: where the service account may not read the state, the
// bind's response control still tells a password that must be changed, although
// the bind itself is good.
func TestLDAPPolicyControl(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{MustChange: true, ACL: `access to attrs=pwdReset by * none
access to attrs=userPassword by anonymous auth by * none
access to * by users read`})
	d := open(t, config(s))
	s.Replace(s.AddUser("reset", nil), "pwdReset", "TRUE")
	if id, err := d.Find(t.Context(), "reset"); err != nil || id.NoLogin != "" {
		t.Fatalf("Find = %+v, %v: the entry shows its state", id, err)
	}
	for _, password := range []authn.Secret{authntest.Password, "wrong"} {
		_, err := login(d, "reset", password)
		if must := err != nil && strings.Contains(err.Error(), "must be changed"); !errors.Is(err, authn.ErrInvalidCredentials) || must != (password == authntest.Password) {
			t.Errorf("login with %q: %v", string(password), err)
		}
	}
	if _, err := login(d, "mozart", authntest.Password); err != nil {
		t.Errorf("another person on the same bind connection: %v", err)
	}
}

// TestLDAPHidesEveryone: an access rule that hides the people, and says success,
// refuses nobody who has a token, and is no "unknown user" at a login.
func TestLDAPHidesEveryone(t *testing.T) {
	const hidePeople = `access to attrs=userPassword by anonymous auth by * none
access to dn.base="` + authntest.BaseDN + `" by users read
access to * by * none`
	for name, test := range map[string]struct {
		acl, canary string
	}{
		"the base too":           {"access to attrs=userPassword by anonymous auth by * none\naccess to * by * none", ""},
		"all but the base":       {hidePeople, "bach"},
		"all but the base, mail": {hidePeople, "bach@example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			s := authntest.StartSlapd(t, authntest.Options{})
			cfg := config(s)
			cfg.CanaryUser = test.canary
			cache, err := authn.NewCache(open(t, cfg), authn.CacheConfig{FreshFor: 50 * time.Millisecond, StaleFor: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			defer cache.Close()
			id, err := login(cache, "mozart", authntest.Password)
			if err != nil {
				t.Fatal(err)
			}
			s.SetACL(test.acl)
			ref := authn.Ref{Directory: "example", Username: "mozart", ID: id.ID}
			for range 30 {
				if _, err := cache.Lookup(t.Context(), ref); err != nil {
					t.Fatalf("a running token was refused: %v", err)
				}
				time.Sleep(10 * time.Millisecond) // six times as long as an identity is fresh
			}
			if _, err := login(cache, "mozart", authntest.Password); !errors.Is(err, authn.ErrUnavailable) || errors.Is(err, authn.ErrUnknownUser) {
				t.Errorf("login: %v, want a fault", err)
			}
		})
	}
}

// TestLDAPHidesIDs: whose entry no longer shows its lasting id was not re-created.
func TestLDAPHidesIDs(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	d := open(t, config(s))
	id, err := d.Find(t.Context(), "mozart")
	if err != nil {
		t.Fatal(err)
	}
	s.SetACL("access to attrs=userPassword by anonymous auth by * none\naccess to attrs=entryUUID by * none\naccess to * by users read")
	ref := authn.Ref{Directory: "example", Username: "mozart", ID: id.ID}
	await(t, func() bool { // slapd was restarted
		_, err = d.Lookup(t.Context(), ref)
		return err == nil || errors.Is(err, authn.ErrUnknownUser) || strings.Contains(err.Error(), "no longer shows its lasting id")
	})
	if !errors.Is(err, authn.ErrUnavailable) {
		t.Errorf("Lookup = %v, want a fault", err)
	}
	byDN, err := d.Find(t.Context(), "mozart")
	if err != nil || !strings.EqualFold(byDN.ID, authntest.MozartDN) {
		t.Errorf("a new login is %+v, %v; want the DN as the id", byDN, err)
	}
	ref.ID = byDN.ID
	if _, err := d.Lookup(t.Context(), ref); err != nil {
		t.Errorf("Lookup by the DN: %v", err)
	}
}

// TestLDAPParallel runs many logins at once, good and bad, and shows that no
// search ran as a user: a bind on a shared connection would do that.
func TestLDAPParallel(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{ACL: `access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="` + authntest.ServiceDN + `" read by * none`})
	d := open(t, config(s))
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			password, want := authn.Secret(authntest.Password), error(nil)
			if i%2 == 1 {
				password, want = "wrong", authn.ErrInvalidCredentials
			}
			for range 5 {
				if _, err := login(d, "mozart", password); !errors.Is(err, want) {
					t.Errorf("login: %v, want %v", err, want)
				}
			}
		})
	}
	wg.Wait()
}

// TestLDAPClose: calls after Close work and leave nothing.
func TestLDAPClose(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	d := open(t, config(s))
	for range 2 {
		if _, err := login(d, "mozart", authntest.Password); err != nil {
			t.Error(err)
		}
		d.Close()
	}
}

// await polls until f holds and returns how long that took.
func await(t testing.TB, f func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !f() {
		if time.Since(start) > 20*time.Second {
			t.Fatal("waited in vain")
		}
		time.Sleep(time.Millisecond) // nothing to wait on: the state is the LDAP's own
	}
	return time.Since(start)
}

// lockedBuffer is a buffer that loggers of several goroutines may write.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// TestOnePerson: however a name is spelled, there is one identity, one entry in
// the cache and one counter of wrong passwords; what a server would match beyond
// that does not get through.
func TestOnePerson(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	dn := s.AddUser("van Ludwig", map[string][]string{"mail": {"Ludwig@example.com"}})
	cfg := config(s)
	cfg.Users.LoginPattern = ".*"
	m := metrics.New(metrics.BuildInfo{})
	cache, err := authn.NewCache(open(t, cfg), authn.CacheConfig{FreshFor: time.Hour, PasswordFor: time.Hour, WrongPasswordFor: time.Hour, Metrics: m})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	chain := authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{cache},
		Throttle: authn.NewThrottle(authn.ThrottleConfig{Failures: 5, Window: time.Hour})})
	try := func(name, password string) (authn.Identity, error) {
		return chain.Authenticate(t.Context(), authn.Attempt{Login: name, Password: authn.Secret(password), Source: netip.MustParseAddr("192.0.2.1")})
	}
	good := []string{"van Ludwig", "VAN LUDWIG", "van ludwig", "van  ludwig", "ludwig@example.com", "LUDWIG@EXAMPLE.COM"}
	for _, name := range good {
		id, err := try(name, authntest.Password)
		if err != nil || id.Username != "van ludwig" || id.DN != dn {
			t.Errorf("%q is %+v, %v", name, id, err)
		}
	}
	if got := scrape(m); !strings.Contains(got, `ldap_cache_entries{cache="identity",directory="example"} 1`+"\n") {
		t.Errorf("not one person is remembered: %s", got)
	}
	for _, name := range []string{" van ludwig", "van ludwig ", "\tvan ludwig", "van\u00a0ludwig", "van \uff4cudwig", "van ludwig\x00",
		"van lud\u200bwig", "van lud\u00adwig", "\u017flave", "van*", dn} {
		if id, err := try(name, authntest.Password); !errors.Is(err, authn.ErrInvalidCredentials) {
			t.Errorf("%q is %+v, %v", name, id, err)
		}
	}
	for i, name := range good[:5] {
		if _, err := try(name, fmt.Sprint("wrong", i)); !errors.Is(err, authn.ErrInvalidCredentials) {
			t.Errorf("wrong password %d: %v", i, err)
		}
	}
	throttled := new(authn.ThrottledError)
	for _, name := range good {
		if _, err := try(name, "a sixth"); !errors.As(err, &throttled) {
			t.Errorf("%q escapes the throttle: %v", name, err)
		}
		if _, err := try(name, authntest.Password); err != nil {
			t.Errorf("%q with the password that is known to be good: %v", name, err)
		}
	}
}

// TestLDAPNames: blanks and forms of Unicode that the directory passes over are
// passed over in the names of people and groups. // row D3
func TestLDAPNames(t *testing.T) {
	s := authntest.StartSlapd(t, authntest.Options{})
	s.Add(`cn=Franz,`+authntest.UsersDN, map[string][]string{"objectClass": {"inetOrgPerson"}, "cn": {"Franz"}, "sn": {"Liszt"},
		"uid": {" Franz  Liszt"}, "mail": {"liszt@example.com"}, "userPassword": {authntest.Password}})
	liszt := "cn=Franz," + authntest.UsersDN
	s.AddGroup("interns ", liszt)
	s.AddGroup("Bu\u0308ro  Nord", liszt)
	for _, base := range []string{"", authntest.GroupsDN} {
		cfg := config(s)
		cfg.Groups = groupsBelow(base)
		d := open(t, cfg)
		id, err := login(d, "liszt@example.com", authntest.Password)
		want := []authn.Group{{Name: "b\u00fcro nord", DN: "cn=b\u00fcro nord," + authntest.GroupsDN}, {Name: "interns", DN: "cn=interns," + authntest.GroupsDN}}
		if err != nil || id.Username != "franz liszt" || !slices.Equal(id.Groups, want) {
			t.Errorf("groups.base %q: %+v, %v; want franz liszt in %v", base, id, err, want)
		}
		if again, err := d.Lookup(t.Context(), authn.Ref{Directory: "example", Username: id.Username, ID: id.ID}); err != nil || again.ID != id.ID {
			t.Errorf("Lookup = %+v, %v", again, err)
		}
	}
}
