package tokens

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/apitoken"
	"gatehouse/authn/machine"
	"gatehouse/authz"
	"gatehouse/metrics"
)

// watched is a directory of people that counts who comes to it.
type watched struct {
	*strictPeople
	asked atomic.Int64
}

func (w *watched) Find(ctx context.Context, login string) (authn.Identity, error) {
	w.asked.Add(1)
	return w.strictPeople.Find(ctx, login)
}

func (w *watched) Verify(ctx context.Context, id authn.Identity, password authn.Secret) (authn.Identity, error) {
	w.asked.Add(1)
	return w.strictPeople.Verify(ctx, id, password)
}

// counted is a directory of machines that counts what is looked up in it.
type counted struct {
	*machine.Directory
	asked atomic.Int64
}

func (c *counted) Owner(hash [32]byte, source netip.Addr) (authn.Identity, error) {
	c.asked.Add(1)
	return c.Directory.Owner(hash, source)
}

// shop is a realm for people and machines.
type shop struct {
	people   *watched
	machines *counted
	keyring  *Keyring
	chain    *authn.Chain
	granter  *Granter
	now      time.Time
	token    authn.Secret // of the machine ci/app
	metrics  *metrics.Metrics
	key      authn.SecretFile
}

const tokenLife = time.Hour

func newShop(t *testing.T, change func(*machine.Machine, *Config)) *shop {
	t.Helper()
	s := &shop{people: &watched{strictPeople: alice()}, now: time.Now(), token: apitoken.Machine.New(), metrics: metrics.New(metrics.BuildInfo{}), key: generate(t)}
	clock := func() time.Time { return s.now }
	shown, err := apitoken.Parse(s.token)
	if err != nil {
		t.Fatal(err)
	}
	m := machine.Machine{Name: "ci/app", Groups: []string{"ci"}, Tokens: []machine.Token{{Hash: shown.Hash.String(), Expires: machine.Expiry{Time: s.now.Add(tokenLife)}}}}
	cfg := Config{Issuer: "gatehouse", Service: "gatehouse", Lifetime: 15 * time.Minute, RefreshLifetime: 24 * time.Hour, KeyFiles: []authn.SecretFile{s.key}, Now: clock, Metrics: s.metrics}
	if change != nil {
		change(&m, &cfg)
	}
	d, err := machine.New(machine.Config{Name: "robots", Machines: []machine.Machine{m}, Now: clock})
	if d == nil {
		t.Fatal(err)
	}
	s.machines = &counted{Directory: d}
	if s.keyring, err = NewKeyring(cfg); err != nil {
		t.Fatal(err)
	}
	s.chain = authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{s.people, s.machines}})
	policy, err := authz.New(authz.Config{Directories: []string{"corp", "robots"}, Machines: []string{"robots"}, Rules: []authz.Rule{
		{Allow: []string{"pull", "push"}, Repositories: []string{"{machine}/**"}, To: []string{"machine:robots/**"}}}})
	if err != nil {
		t.Fatal(err)
	}
	s.granter = NewGranter(GranterConfig{Keyring: s.keyring, Chain: s.chain, Policy: policy})
	return s
}

func (s *shop) login(t *testing.T, name string, password authn.Secret) (Login, error) {
	t.Helper()
	return s.keyring.Login(t.Context(), s.chain, authn.Attempt{Login: name, Password: password, Source: netip.MustParseAddr("192.0.2.1")})
}

func b64of(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// wrongSum is the token with another checksum.
func wrongSum(token authn.Secret) authn.Secret {
	last := byte('0')
	if token[len(token)-1] == last {
		last = '1'
	}
	return token[:len(token)-1] + authn.Secret(last)
}

// TestTokensReachNoPeople: what looks like a token is never shown to a directory of
// people, whatever is wrong with it, and one with a wrong checksum to none at all.
func TestTokensReachNoPeople(t *testing.T) {
	s := newShop(t, nil)
	id := s.people.id
	refresh, _, err := s.keyring.Issue(tokenFor(Refresh, Login{Identity: id}, authz.Scope{}))
	if err != nil {
		t.Fatal(err)
	}
	access, _, err := s.keyring.Issue(tokenFor(Access, Login{Identity: id}, authz.Scope{}))
	if err != nil {
		t.Fatal(err)
	}
	jwt := func(header string) authn.Secret {
		return authn.Secret(b64of(header) + "." + b64of(`{"iss":"https://issuer.example"}`) + ".c2ln")
	}
	for _, c := range []struct {
		name     string
		password authn.Secret
		kind     CredentialKind
		err      error // nil: good
		lookups  int64
	}{
		{"a machine's", s.token, FromMachine, nil, 1},
		{"nobody's", apitoken.Machine.New(), FromMachine, authn.ErrUnknownToken, 1},
		{"a wrong checksum", wrongSum(s.token), FromMachine, authn.ErrMalformedToken, 0},
		{"cut", s.token[:30], FromMachine, authn.ErrMalformedToken, 0},
		{"the beginning", "gthm_", FromMachine, authn.ErrMalformedToken, 0},
		{"too long", s.token + "0", FromMachine, authn.ErrMalformedToken, 0},
		{"with a newline", s.token + "\n", FromMachine, authn.ErrMalformedToken, 0},
		{"16 KiB of it", authn.Secret("gthm_" + strings.Repeat("0", 16<<10)), FromMachine, authn.ErrMalformedToken, 0},
		{"a personal one", apitoken.Personal.New(), FromPersonal, authn.ErrUnknownToken, 0},
		{"a personal one, cut", "gthp_x", FromPersonal, authn.ErrMalformedToken, 0},
		{"a refresh token", authn.Secret(refresh), FromRefresh, nil, 0},
		{"a refresh token, forged", authn.Secret(refresh[:len(refresh)-8] + "AAAAAAAA"), FromRefresh, authn.ErrUnknownToken, 0},
		{"a refresh token with blanks", authn.Secret(" " + refresh + "\n"), FromRefresh, nil, 0},
		{"an access token", authn.Secret(access), FromOIDC, authn.ErrUnknownToken, 0},
		{"an ID token", jwt(`{"alg":"RS256","typ":"JWT"}`), FromOIDC, authn.ErrUnknownToken, 0},
		{"alg none", authn.Secret(b64of(`{"alg":"none"}`) + ".e30."), FromOIDC, authn.ErrMalformedToken, 0},
		{"a header that is cut", jwt(`{"alg":"RS256","ty`), FromOIDC, authn.ErrMalformedToken, 0},
		{"an escaped name", jwt(`{"\u0061lg":"RS256"}`), FromOIDC, authn.ErrUnknownToken, 0},
		{"padded", authn.Secret(base64.URLEncoding.EncodeToString([]byte(`{"alg":"R"}`)) + ".e30=.e30="), FromOIDC, authn.ErrMalformedToken, 0},
		{"an odd payload", authn.Secret(b64of(`{"alg":"RS256","typ":"refresh+jwt"}`) + ".bm8.c2ln"), FromOIDC, authn.ErrMalformedToken, 0},
		{"no payload", authn.Secret(b64of(`{"alg":"RS256"}`) + ".."), FromOIDC, authn.ErrMalformedToken, 0},
	} {
		s.people.asked.Store(0)
		s.machines.asked.Store(0)
		for _, name := range []string{"alice", "", "nobody"} {
			l, err := s.login(t, name, c.password)
			if l.Shown.Kind != c.kind || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) || c.err != nil && !errors.Is(err, authn.ErrBadToken) {
				t.Errorf("%s as %q: %+v, %v", c.name, name, l.Shown, err)
			}
			if err != nil && len(c.password) > 10 && strings.Contains(err.Error(), string(c.password)) {
				t.Errorf("%s: the error shows it: %v", c.name, err)
			}
		}
		if n := s.people.asked.Load(); n != 0 {
			t.Errorf("%s: people were asked %d times", c.name, n)
		}
		if n := s.machines.asked.Load(); n != 3*c.lookups {
			t.Errorf("%s: looked up %d times, want %d", c.name, n, 3*c.lookups)
		}
	}
}

// TestPasswordsStay: what is no token is a person's password, and no machine is found
// by a name.
func TestPasswordsStay(t *testing.T) {
	s := newShop(t, nil)
	for password, want := range map[authn.Secret]error{
		"good": nil, "wrong": authn.ErrInvalidCredentials, "gth_x": authn.ErrInvalidCredentials, "GTHM_x": authn.ErrInvalidCredentials, "a.b.c": authn.ErrInvalidCredentials,
		"e30.e30.e30": authn.ErrInvalidCredentials, "x gthm_": authn.ErrInvalidCredentials, authn.Secret(b64of(`["alg"]`) + ".a.b"): authn.ErrInvalidCredentials,
		authn.Secret(b64of(`{"alg":"x"}`) + ".a.b.c"): authn.ErrInvalidCredentials, authn.Secret(b64of(`{"alg":"x"}`) + ".a.ü"): authn.ErrInvalidCredentials,
	} {
		s.people.asked.Store(0)
		if l, err := s.login(t, "alice", password); !errors.Is(err, want) || l.Shown.Kind != FromPerson || s.people.asked.Load() == 0 {
			t.Errorf("%q: %+v, %v, asked %d times", string(password), l, err, s.people.asked.Load())
		}
	}
	if l, err := s.login(t, "ci/app", "good"); !errors.Is(err, authn.ErrUnknownUser) {
		t.Errorf("a machine by its name: %+v, %v", l, err)
	}
	if id, err := s.chain.Find(t.Context(), "ci/app"); !errors.Is(err, authn.ErrUnknownUser) {
		t.Errorf("found %+v, %v", id, err)
	}
}

// TestMachineGrant: what a machine gets names its token, and ends with it to the second.
func TestMachineGrant(t *testing.T) {
	s := newShop(t, nil)
	request := GrantRequest{Attempt: &authn.Attempt{Login: "x", Password: s.token}, Scopes: []string{"repository:ci/app/x:pull,push,delete repository:other:pull"}, Offline: true}
	reply, err := s.granter.Grant(t.Context(), request)
	shown, _ := apitoken.Parse(s.token)
	origin := Credential{FromMachine, shown.ID}
	if err != nil || !reply.Identity.Machine || reply.Credential != origin || reply.Granted.Scope.String() != "repository:ci/app/x:pull,push" || reply.ExpiresIn != 15*time.Minute || reply.RefreshToken == "" {
		t.Fatalf("%+v, %v", reply, err)
	}
	redeem := GrantRequest{Attempt: &authn.Attempt{Password: authn.Secret(reply.RefreshToken)}, Offline: true}
	for _, c := range []struct {
		before time.Duration // the token's end
		lasts  time.Duration // what is issued; 0: refused
	}{{tokenLife, 15 * time.Minute}, {15 * time.Minute, 15 * time.Minute}, {10 * time.Minute, 10 * time.Minute}, {2 * time.Second, 2 * time.Second}, {0, 0}} {
		s.now = time.Now().Truncate(time.Second).Add(tokenLife)
		end := reply.Identity.ValidUntil.Truncate(time.Second)
		s.now = end.Add(-c.before)
		if c.before == 0 {
			s.now = reply.Identity.ValidUntil
		}
		for name, r := range map[string]GrantRequest{"the token": request, "the refresh token": redeem} {
			got, err := s.granter.Grant(t.Context(), r)
			if c.lasts == 0 {
				if !errors.Is(err, authn.ErrBadToken) {
					t.Errorf("%s at the end: %+v, %v", name, got, err)
				}
				continue
			}
			token, verr := s.keyring.Verify(got.Token, Access, 0)
			if err != nil || verr != nil || got.ExpiresIn != c.lasts || token.Credential != origin || token.Expires.After(end) {
				t.Errorf("%s %s before the end: %+v, %v, %+v, %v", name, c.before, got, err, token, verr)
			}
		}
	}
	if _, err := s.granter.Grant(t.Context(), GrantRequest{RefreshToken: authn.Secret(reply.RefreshToken)}); !errors.Is(err, authn.ErrBadToken) {
		t.Errorf("the refresh token after the end: %v", err)
	}
}

// TestMachineHasNoLeeway: an access token ends at the end of what it was issued for, and
// not a minute later, nor for uploads.
func TestMachineHasNoLeeway(t *testing.T) {
	s := newShop(t, nil)
	s.now = s.now.Add(tokenLife - 10*time.Second)
	reply, err := s.granter.Grant(t.Context(), GrantRequest{Attempt: &authn.Attempt{Password: s.token}})
	if err != nil || reply.ExpiresIn > 10*time.Second {
		t.Fatalf("%+v, %v", reply, err)
	}
	live := func() error {
		token, err := s.keyring.Verify(reply.Token, Access, time.Hour)
		if err != nil {
			return err
		}
		_, err = s.keyring.Identify(t.Context(), s.chain, token, false)
		return err
	}
	if err := live(); err != nil {
		t.Errorf("before the end: %v", err)
	}
	s.now = reply.Identity.ValidUntil
	if err := live(); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("at the end: %v", err)
	}
}

// TestMachineNetworks: a login from elsewhere is refused, with a refresh token too.
func TestMachineNetworks(t *testing.T) {
	s := newShop(t, func(m *machine.Machine, _ *Config) { m.Networks = []string{"10.0.0.0/8"} })
	inside, outside := netip.MustParseAddr("10.1.1.1"), netip.MustParseAddr("192.0.2.1")
	from := func(password authn.Secret, source netip.Addr) (Reply, error) {
		return s.granter.Grant(t.Context(), GrantRequest{Attempt: &authn.Attempt{Password: password, Source: source}, Offline: true, Source: source})
	}
	reply, err := from(s.token, inside)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := from(s.token, outside); !errors.Is(err, authn.ErrMismatchedToken) {
		t.Errorf("from elsewhere: %v", err)
	}
	if _, err := from(authn.Secret(reply.RefreshToken), inside); err != nil {
		t.Errorf("refreshed: %v", err)
	}
	if _, err := from(authn.Secret(reply.RefreshToken), outside); !errors.Is(err, authn.ErrBadToken) {
		t.Errorf("refreshed from elsewhere: %v", err)
	}
	if _, err := s.granter.Grant(t.Context(), GrantRequest{RefreshToken: authn.Secret(reply.RefreshToken), Source: outside}); !errors.Is(err, authn.ErrBadToken) {
		t.Errorf("refreshed by grant_type from elsewhere: %v", err)
	}
	token, err := s.keyring.Verify(reply.Token, Access, 0)
	if _, ierr := s.keyring.Identify(t.Context(), s.chain, token, false); err != nil || ierr != nil {
		t.Errorf("a running token: %v, %v", err, ierr)
	}
}

// TestMachineRevoked: the emergency list knows machines by name and by the id of a token.
func TestMachineRevoked(t *testing.T) {
	s := newShop(t, nil)
	shown, _ := apitoken.Parse(s.token)
	reply, err := s.granter.Grant(t.Context(), GrantRequest{Attempt: &authn.Attempt{Password: s.token}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []Revocation{{ID: shown.ID}, {User: "robots/ci/app"}} {
		k, err := NewKeyring(Config{Issuer: "gatehouse", Service: "gatehouse", Lifetime: time.Minute, KeyFiles: []authn.SecretFile{s.key}, Revoked: []Revocation{r}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Login(t.Context(), s.chain, authn.Attempt{Password: s.token}); !errors.Is(err, authn.ErrRevokedToken) {
			t.Errorf("%+v: a login: %v", r, err)
		}
		if _, err := k.Verify(reply.Token, Access, 0); !errors.Is(err, ErrRevoked) {
			t.Errorf("%+v: what was issued: %v", r, err)
		}
	}
}

// TestCredentialMetric: each login counts once, as what it was.
func TestCredentialMetric(t *testing.T) {
	s := newShop(t, nil)
	for _, password := range []authn.Secret{"good", "wrong", s.token, s.token, wrongSum(s.token), apitoken.Machine.New(), apitoken.Personal.New()} {
		s.login(t, "alice", password)
	}
	s.login(t, "nobody", "x")
	s.login(t, "", "x")
	s.people.err = authn.ErrUnavailable
	s.login(t, "alice", "good")
	s.now = s.now.Add(tokenLife)
	s.login(t, "", s.token)
	scrape := scraped(t, s.metrics)
	for _, want := range []string{"password,ok 1", "password,mismatch 2", "password,unknown 1", "password,unavailable 1", "machine,ok 2", "machine,malformed 1", "machine,unknown 1", "machine,expired 1", "personal,unknown 1"} {
		labels, n, _ := strings.Cut(want, " ")
		kind, result, _ := strings.Cut(labels, ",")
		if line := fmt.Sprintf("gatehouse_credentials_total{kind=%q,result=%q} %s\n", kind, result, n); !strings.Contains(scrape, line) {
			t.Errorf("no %s in:\n%s", line, scrape)
		}
	}
}

// BenchmarkLogin: a machine's token against a person's password that a cache knows.
func BenchmarkLogin(b *testing.B) {
	text := apitoken.Machine.New()
	shown, _ := apitoken.Parse(text)
	d, _ := machine.New(machine.Config{Name: "robots", Machines: []machine.Machine{{Name: "ci", Tokens: []machine.Token{{Hash: shown.Hash.String()}}}}})
	k, chain := ring(b, nil, generate(b)), authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{d}})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Login(b.Context(), chain, authn.Attempt{Password: text}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMachineRequest: verify, look up and decide; the aim is 1.2 us and 1 allocation.
func BenchmarkMachineRequest(b *testing.B) {
	text := apitoken.Machine.New()
	shown, _ := apitoken.Parse(text)
	d, _ := machine.New(machine.Config{Name: "robots", Machines: []machine.Machine{{Name: "ci", Tokens: []machine.Token{{Hash: shown.Hash.String()}}}}})
	k, chain := ring(b, nil, generate(b)), authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{d}})
	policy, err := authz.New(authz.Config{Directories: []string{"robots"}, Machines: []string{"robots"}, Rules: []authz.Rule{
		{Allow: []string{"pull", "push"}, Repositories: []string{"ci/**"}, To: []string{"machine:robots/**"}}}})
	if err != nil {
		b.Fatal(err)
	}
	l, err := k.Login(b.Context(), chain, authn.Attempt{Password: text})
	if err != nil {
		b.Fatal(err)
	}
	access, _, err := k.Issue(tokenFor(Access, l, authz.Scope{}))
	if err != nil {
		b.Fatal(err)
	}
	q := authz.Request{Repository: "ci/app", Action: authz.Push, Tags: []string{"v1"}}
	b.ReportAllocs()
	for b.Loop() {
		token, err := k.Verify(access, Access, 0)
		if err != nil {
			b.Fatal(err)
		}
		id, err := k.Identify(b.Context(), chain, token, false)
		if err != nil || !policy.Decide(id, q).Allowed {
			b.Fatal(err)
		}
	}
}

// scraped is what a scrape shows.
func scraped(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}
