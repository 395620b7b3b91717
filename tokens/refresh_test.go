package tokens

import (
	"context"
	"errors"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
)

// strictPeople notes how it was asked.
type strictPeople struct {
	people
	refs []authn.Ref
}

func (p *strictPeople) Lookup(ctx context.Context, ref authn.Ref) (authn.Identity, error) {
	p.refs = append(p.refs, ref)
	return p.people.Lookup(ctx, ref)
}

// granter is a realm for alice alone; lifetime is refresh_lifetime.
func granter(t testing.TB, d authn.Directory, lifetime time.Duration, now func() time.Time, key authn.SecretFile) *Granter {
	t.Helper()
	policy, err := authz.New(authz.Config{Directories: []string{"corp"}, Rules: []authz.Rule{
		{Allow: []string{"pull"}, Repositories: []string{"**"}, To: []string{"directory:corp"}}}})
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewKeyring(Config{Issuer: "gatehouse", Service: "gatehouse", Lifetime: time.Minute, RefreshLifetime: lifetime, KeyFiles: []authn.SecretFile{key}, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return NewGranter(GranterConfig{Keyring: k, Policy: policy, Chain: authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{d}})})
}

var offlineLogin = GrantRequest{Attempt: &authn.Attempt{Login: "alice", Password: "good"}, Offline: true}

func alice() *strictPeople {
	return &strictPeople{people: people{id: authn.Identity{Directory: "corp", Username: "alice", ID: "u-1", PasswordStamp: "p1"}}}
}

// TestRefreshLife: a refresh token goes on over restarts until its end, or until
// refresh_lifetime is made shorter or switched off; the reply to it holds none.
func TestRefreshLife(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	clock := func() time.Time { return now }
	key, p := generate(t), alice()
	reply, err := granter(t, p, 24*time.Hour, clock, key).Grant(t.Context(), offlineLogin)
	if err != nil || reply.RefreshToken == "" {
		t.Fatalf("%+v %v", reply, err)
	}
	redeem := GrantRequest{RefreshToken: authn.Secret(reply.RefreshToken), Scopes: []string{"repository:a:pull,push"}, Offline: true}
	for _, c := range []struct {
		age, lifetime time.Duration
		want          error
	}{
		{0, 24 * time.Hour, nil}, {24 * time.Hour, 24 * time.Hour, nil}, {24*time.Hour + time.Second, 24 * time.Hour, ErrExpired},
		{24*time.Hour + time.Second, 48 * time.Hour, ErrExpired}, {time.Hour, time.Hour, nil}, {2 * time.Hour, time.Hour, ErrExpired}, {0, 0, ErrInvalidToken},
	} {
		now = reply.Granted.IssuedAt.Add(c.age)
		got, err := granter(t, p, c.lifetime, clock, key).Grant(t.Context(), redeem)
		if !errors.Is(err, c.want) || c.want != nil && !errors.Is(err, ErrInvalidToken) || c.want == nil && err != nil {
			t.Errorf("after %s of %s: %v, want %v", c.age, c.lifetime, err, c.want)
		}
		if err == nil && (got.RefreshToken != "" || got.Identity.Username != "alice" || got.Granted.Scope.String() != "repository:a:pull") {
			t.Errorf("after %s of %s: %+v", c.age, c.lifetime, got)
		}
	}
	for _, ref := range p.refs {
		if !ref.Strict {
			t.Error("the realm takes a stale answer")
		}
	}
}

// TestRefreshRefused: who may not have one, and what is no good as one.
func TestRefreshRefused(t *testing.T) {
	key, p := generate(t), alice()
	g := granter(t, p, time.Hour, nil, key)
	reply, err := g.Grant(t.Context(), offlineLogin)
	if err != nil {
		t.Fatal(err)
	}
	redeem := GrantRequest{RefreshToken: authn.Secret(reply.RefreshToken)}
	if r, err := g.Grant(t.Context(), GrantRequest{Offline: true}); err != nil || r.RefreshToken != "" {
		t.Errorf("anonymous: %+v %v", r, err)
	}
	if r, err := granter(t, p, 0, nil, key).Grant(t.Context(), offlineLogin); err != nil || r.RefreshToken != "" {
		t.Errorf("switched off: %+v %v", r, err)
	}
	if _, err := granter(t, p, time.Hour, nil, generate(t)).Grant(t.Context(), redeem); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("another gateway's: %v", err)
	}
	if _, err := g.Grant(t.Context(), GrantRequest{RefreshToken: "junk"}); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("junk: %v", err)
	}
	stampless, _, err := g.cfg.Keyring.Issue(tokenFor(Refresh, Login{Identity: authn.Identity{Directory: "corp", Username: "alice", ID: "u-1"}}, authz.Scope{}))
	if err != nil {
		t.Fatal(err)
	}
	nobodys, _, err := g.cfg.Keyring.Issue(Token{Kind: Refresh})
	if err != nil {
		t.Fatal(err)
	}
	p.id.PasswordStamp = ""
	for name, text := range map[string]string{"without a stamp": stampless, "nobody's": nobodys} {
		if _, err := g.Grant(t.Context(), GrantRequest{RefreshToken: authn.Secret(text)}); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p.id.PasswordStamp, p.id.NoLogin = "p1", "locked"
	if _, err := g.Grant(t.Context(), redeem); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("of a person who may not log in: %v", err)
	}
	p.id.NoLogin, p.err = "", authn.ErrUnavailable
	if _, err := g.Grant(t.Context(), redeem); !errors.Is(err, authn.ErrUnavailable) || errors.Is(err, ErrInvalidToken) {
		t.Errorf("the directory at fault: %v", err)
	}
}

// TestForeignDirectory: a token is asked of the directory that it names, and is
// worth nothing where that is gone from the config.
func TestForeignDirectory(t *testing.T) {
	p, k := alice(), ring(t, nil, generate(t))
	chain := authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{p}})
	for _, ref := range []authn.Ref{{Directory: "gone", Username: "alice", ID: "u-1"}, {Directory: "CORP", Username: "alice", ID: "u-1"}} {
		if _, err := k.Identify(t.Context(), chain, Token{Kind: Access, Subject: ref, PasswordStamp: "p1"}, false); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("%+v: %v", ref, err)
		}
	}
	if len(p.refs) != 0 {
		t.Errorf("another directory was asked: %+v", p.refs)
	}
	if id, err := k.Identify(t.Context(), chain, Token{Kind: Access}, true); err != nil || !id.Anonymous() {
		t.Errorf("anonymous: %+v %v", id, err)
	}
}
