package main

import (
	"context"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/tokens"
)

// people is a directory of one, for the cache to remember.
type people struct{ authn.Identity }

func (p people) Name() string                                              { return p.Directory }
func (p people) Find(context.Context, string) (authn.Identity, error)      { return p.Identity, nil }
func (p people) Lookup(context.Context, authn.Ref) (authn.Identity, error) { return p.Identity, nil }
func (p people) Verify(context.Context, authn.Identity, authn.Secret) (authn.Identity, error) {
	return p.Identity, nil
}
func (people) Available() bool { return true }
func (people) Close()          {}

func (people) Timeout() time.Duration       { return 0 }
func (people) Canary(context.Context) error { return nil }

var mozart = authn.Identity{
	Directory: "example", Username: "mozart", ID: "5ba1a4e2-0000-4000-8000-000000000001",
	DN:            "uid=mozart,ou=musicians,dc=example,dc=com",
	Groups:        []authn.Group{{Name: "composers", DN: "cn=composers,ou=groups,dc=example,dc=com"}, {Name: "pianists", DN: "cn=pianists,ou=groups,dc=example,dc=com"}},
	PasswordStamp: "20240101000000Z",
}

// admission is what a request with a token passes before it is forwarded.
type admission struct {
	keyring *tokens.Keyring
	chain   *authn.Chain
	policy  *authz.Policy
	token   string
}

func newAdmission(tb testing.TB) admission {
	tb.Helper()
	fatal := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	cache, err := authn.NewCache(people{mozart}, authn.CacheConfig{FreshFor: time.Hour, StaleFor: time.Hour, NegativeFor: time.Minute})
	fatal(err)
	tb.Cleanup(cache.Close)
	key, err := tokens.GenerateKey()
	fatal(err)
	g := admission{chain: authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{cache}})}
	g.keyring, err = tokens.NewKeyring(tokens.Config{Issuer: "gatehouse", Service: "gatehouse", Lifetime: time.Hour, KeyFiles: []authn.SecretFile{key}})
	fatal(err)
	g.policy, err = authz.New(authz.Config{Directories: []string{"example"}, Rules: []authz.Rule{
		{Position: "p:1", Allow: []string{"*"}, Repositories: []string{"**"}, To: []string{"group:admins"}},
		{Position: "p:2", Allow: []string{"pull"}, Repositories: []string{"public/**"}, To: []string{"everyone"}},
		{Position: "p:3", Allow: []string{"pull", "push"}, Repositories: []string{"{group}/**", "{user}/**"}, To: []string{"directory:example"}},
		{Position: "p:4", Deny: []string{"push", "delete"}, Repositories: []string{"prod/**"}, Tags: []string{"v*"}, To: []string{"authenticated"}, Except: []string{"group:release"}},
	}})
	fatal(err)
	scope, err := authz.ParseScope([]string{"repository:composers/requiem:pull,push"})
	fatal(err)
	g.token, _, err = g.keyring.Issue(tokens.Token{
		Kind: tokens.Access, Subject: authn.Ref{Directory: "example", Username: "mozart", ID: mozart.ID},
		PasswordStamp: mozart.PasswordStamp, Scope: scope,
	})
	fatal(err)
	return g
}

// pass takes all three steps, as package proxy does, and reports whether they let in.
func (g admission) pass(ctx context.Context, r authz.Request) (bool, error) {
	token, err := g.keyring.Verify(g.token, tokens.Access, time.Minute)
	if err != nil {
		return false, err
	}
	person, err := g.keyring.Identify(ctx, g.chain, token, false)
	if err != nil {
		return false, err
	}
	return token.Scope.Allows(r.Repository, r.Action) && g.policy.Decide(person, r).Allowed, nil
}

// TestAdmission shows that the benchmark below measures what admits and refuses.
func TestAdmission(t *testing.T) {
	g := newAdmission(t)
	for repository, want := range map[string]bool{"composers/requiem": true, "prod/requiem": false} {
		if got, err := g.pass(t.Context(), authz.Request{Repository: repository, Action: authz.Pull}); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", repository, got, err, want)
		}
	}
}

func BenchmarkVerifyLookupDecide(b *testing.B) {
	g, ctx := newAdmission(b), b.Context()
	request := authz.Request{Repository: "composers/requiem", Action: authz.Pull}
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := g.pass(ctx, request); err != nil || !ok {
			b.Fatal(ok, err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	g, ctx := newAdmission(b), b.Context()
	ref := authn.Ref{Directory: "example", Username: "mozart", ID: mozart.ID}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.chain.Lookup(ctx, ref); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	g := newAdmission(b)
	request := authz.Request{Repository: "composers/requiem", Action: authz.Pull}
	b.ReportAllocs()
	for b.Loop() {
		if !g.policy.Decide(mozart, request).Allowed {
			b.Fatal("denied")
		}
	}
}
