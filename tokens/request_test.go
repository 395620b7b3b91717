package tokens

import (
	"context"
	"fmt"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
)

// warmRequest is what every request under /v2/ costs here: the token from its
// cache, the person with twenty groups from the directory's cache, and a policy of
// twenty rules of which the last one allows.
func warmRequest(t testing.TB) func(context.Context) error {
	t.Helper()
	alice := authn.Identity{Directory: "corp", Username: "alice", ID: "u-1", PasswordStamp: "p1"}
	cfg := authz.Config{Directories: []string{"corp"}}
	for i := range 19 {
		alice.Groups = append(alice.Groups, authn.Group{Name: fmt.Sprintf("group-%02d", i)})
		cfg.Rules = append(cfg.Rules, authz.Rule{Allow: []string{"pull", "push"}, Repositories: []string{fmt.Sprintf("team-%d/**", i)}, To: []string{"group:release"}})
	}
	alice.Groups = append(alice.Groups, authn.Group{Name: "team"})
	cfg.Rules = append(cfg.Rules, authz.Rule{Allow: []string{"*"}, Repositories: []string{"users/{user}/**"}, To: []string{"group:team"}})
	policy, err := authz.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := authn.NewCache(village{"alice": alice}, authn.CacheConfig{FreshFor: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cache.Close)
	chain, k := authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{cache}}), ring(t, nil, generate(t))
	text, _, err := k.Issue(tokenFor(Access, Login{Identity: alice}, sample(t).Scope))
	if err != nil {
		t.Fatal(err)
	}
	q := authz.Request{Repository: "users/alice/app", Action: authz.Push, Tags: []string{"v1"}}
	return func(ctx context.Context) error {
		token, err := k.Verify(text, Access, time.Minute)
		if err != nil {
			return err
		}
		id, err := k.Identify(ctx, chain, token, false)
		if err == nil && !policy.Decide(id, q).Allowed {
			err = authn.ErrUnknownUser
		}
		return err
	}
}

// BenchmarkRequest: the aim is 3 us and 4 allocations at most.
func BenchmarkRequest(b *testing.B) {
	request, ctx := warmRequest(b), b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if err := request(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

func TestRequestAllocates(t *testing.T) {
	request, ctx := warmRequest(t), t.Context()
	if err := request(ctx); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { request(ctx) }); n > 4 {
		t.Errorf("%v allocations", n)
	}
}
