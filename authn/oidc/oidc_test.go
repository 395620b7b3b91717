package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
	"gatehouse/authn/workload"
	"gatehouse/metrics"
)

const ours = "https://registry.example.com"

// testConfig takes tokens of octo-org.
func testConfig(issuer string) Config {
	c := Config{Issuer: issuer, Audiences: []string{ours}, Name: "github", Metrics: metrics.New(metrics.BuildInfo{})}
	c.Defaults()
	c.Workloads = []workload.Workload{{
		Match: workload.Match{{Claim: "repository_owner_id", Any: []string{"46576199"}}, {Claim: "repository", Any: []string{"octo-org/*"}}},
		Name:  "{repository}", Groups: []string{"ci"}, Record: []string{"run_id"}}}
	return c
}

func directory(t testing.TB, cfg Config) *Directory {
	t.Helper()
	d, err := New(cfg)
	if d == nil {
		t.Fatal(err)
	}
	return d
}

// octo are the claims of a job of octo-org, with some changed.
func octo(change map[string]any) map[string]any {
	claims := map[string]any{"repository_owner_id": "46576199", "repository": "octo-org/App", "run_id": 7}
	for name, value := range change {
		claims[name] = value
	}
	return claims
}

// shown is a Directory that finds the machine of a token by its name, as the suite asks
// for people.
type shown struct {
	*Directory
	token authn.Secret
}

func (s shown) Find(ctx context.Context, login string) (authn.Identity, error) {
	id, err := s.Prove(ctx, s.token)
	if err == nil && !strings.EqualFold(login, id.Username) {
		return s.Directory.Find(ctx, login)
	}
	return id, err
}

func TestConformance(t *testing.T) {
	issuer := authntest.StartIssuer(t)
	token := authn.Secret(issuer.Sign(t, issuer.Claims(time.Now(), ours, octo(nil))))
	authntest.Conformance(t, authntest.Subject{Directory: shown{directory(t, testConfig(issuer.URL)), token},
		Login: "octo-org/app", Username: "octo-org/app", Password: token, Groups: []string{"ci"}})
}

// TestProve: what a good token comes out as, and until when.
func TestProve(t *testing.T) {
	issuer := authntest.StartIssuer(t)
	now := time.Now().Truncate(time.Second)
	for _, c := range []struct {
		name          string
		session, life time.Duration
		ends          time.Duration // after iat
		again         bool          // has a session
	}{
		{"a session longer than the token", time.Hour, 5 * time.Minute, time.Hour, true},
		{"a token longer than the session", time.Minute, 5 * time.Minute, 5 * time.Minute, true},
		{"no session", 0, 5 * time.Minute, 5 * time.Minute, false},
	} {
		cfg := testConfig(issuer.URL)
		cfg.Session, cfg.Now = c.session, func() time.Time { return now }
		token := issuer.Sign(t, issuer.Claims(now, ours, octo(map[string]any{"exp": now.Add(c.life).Unix(), "jti": "j1"})))
		id, err := directory(t, cfg).Prove(t.Context(), authn.Secret(token))
		if err != nil || !id.ValidUntil.Equal(now.Add(c.ends)) || id.Proof.Session.IsZero() == c.again {
			t.Errorf("%s: %+v, %v", c.name, id, err)
		}
		if id.Username != "octo-org/app" || !id.Machine || id.Directory != "github" || id.Proof.ID != "j1" || !strings.HasPrefix(id.Proof.Subject, "repo:octo-org/app") ||
			fmt.Sprint(id.Proof.Recorded, id.Groups) != "[{run_id 7}] [{ci }]" {
			t.Errorf("%s: %+v %+v", c.name, id, id.Proof)
		}
	}
}

// TestAlgorithms: each that the config may name, by a key that is one for it.
func TestAlgorithms(t *testing.T) {
	issuer := authntest.StartIssuer(t)
	keys := otherKeys(t, issuer)
	cfg := testConfig(issuer.URL)
	cfg.Algorithms = algorithms
	all := directory(t, cfg)
	few := directory(t, testConfig(issuer.URL))
	for _, alg := range algorithms {
		key := keys[alg]
		token := authn.Secret(authntest.SignAs(t, issuer.Claims(time.Now(), ours, octo(nil)), map[string]any{"alg": alg, "kid": key.kid}, key.private))
		if id, err := all.Prove(t.Context(), token); err != nil || id.Username != "octo-org/app" {
			t.Errorf("%s: %+v, %v", alg, id, err)
		}
		if _, err := few.Prove(t.Context(), token); (err == nil) != (alg == "RS256" || alg == "ES256") {
			t.Errorf("%s where it is not in the list: %v", alg, err)
		}
	}
}

// TestLookup: what a token of ours carries is mapped again, by the config of the moment.
func TestLookup(t *testing.T) {
	issuer := authntest.StartIssuer(t)
	now := time.Now().Truncate(time.Second)
	clock := func() time.Time { return now }
	build := func(change func(*Config)) *Directory {
		cfg := testConfig(issuer.URL)
		cfg.Now = clock
		change(&cfg)
		return directory(t, cfg)
	}
	same := func(*Config) {}
	d := build(same)
	id, err := d.Prove(t.Context(), authn.Secret(issuer.Sign(t, issuer.Claims(now, ours, octo(nil)))))
	if err != nil {
		t.Fatal(err)
	}
	issuer.Instead(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	keys, _ := issuer.Asked()
	bare := id.Ref()
	bare.Proof = ""
	junk := id.Ref()
	junk.Proof = "{"
	for _, c := range []struct {
		name  string
		d     *Directory
		ref   authn.Ref
		after time.Duration
		ok    bool
	}{
		{"the same", d, id.Ref(), 0, true}, {"again", d, id.Ref(), 0, true}, {"a new config like it", build(same), id.Ref(), 0, true},
		{"a moment before the end of its session", d, id.Ref(), time.Hour - time.Second, true}, {"at its end", d, id.Ref(), time.Hour, false},
		{"another match", build(func(c *Config) { c.Workloads[0].Match[0].Any = []string{"1"} }), id.Ref(), 0, false},
		{"another name", build(func(c *Config) { c.Workloads[0].Name = "x/{repository}" }), id.Ref(), 0, false},
		{"a claim that it does not carry", build(func(c *Config) {
			c.Workloads[0].Match = append(c.Workloads[0].Match, workload.Condition{Claim: "ref", Any: []string{"**"}})
		}), id.Ref(), 0, false},
		{"another issuer", build(func(c *Config) { c.Issuer = "https://other.example.com" }), id.Ref(), 0, false},
		{"a shorter session", build(func(c *Config) { c.Session = 0 }), id.Ref(), 6 * time.Minute, false},
		{"no claims", d, bare, 0, false}, {"broken claims", d, junk, 0, false},
	} {
		began := now
		now = now.Add(c.after)
		got, err := c.d.Lookup(t.Context(), c.ref)
		now = began
		if c.ok && (err != nil || got.Username != id.Username || got.Proof.Carried != id.Proof.Carried) || !c.ok && (!errors.Is(err, authn.ErrUnknownUser) || errors.Is(err, authn.ErrBadToken)) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
	if after, _ := issuer.Asked(); after != keys {
		t.Error("the issuer was asked")
	}
	if n := testing.AllocsPerRun(100, func() { d.Lookup(t.Context(), id.Ref()) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

// TestFind: nobody is known by a name.
func TestFind(t *testing.T) {
	issuer := authntest.StartIssuer(t)
	d := directory(t, testConfig(issuer.URL))
	if id, err := d.Find(t.Context(), "octo-org/app"); !errors.Is(err, authn.ErrUnknownUser) {
		t.Errorf("%+v, %v", id, err)
	}
	if d.Name() != "github" || d.Issuer() != issuer.URL || d.Audiences()[0] != ours {
		t.Error(d.Name(), d.Issuer(), d.Audiences())
	}
}
