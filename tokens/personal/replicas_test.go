package personal

import (
	"errors"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/tokens"
)

// branch is one gateway of several that share keys and a store.
type branch struct {
	desk    *Desk
	revoker *tokens.Revoker
	keyring *tokens.Keyring
	chain   *authn.Chain
	granter *tokens.Granter
}

func newBranch(t *testing.T, o *office, key authn.SecretFile) *branch {
	t.Helper()
	clock := o.now
	b := &branch{revoker: tokens.NewRevoker(nil, clock)}
	if err := b.revoker.Use(t.Context(), o.store); err != nil {
		t.Fatal(err)
	}
	b.desk = &Desk{Config: o.Config, Book: NewBook(b.revoker, clock), Makers: o.Makers, Keep: o.Keep}
	b.desk.Book.Use(o.store)
	var err error
	b.keyring, err = tokens.NewKeyring(tokens.Config{Issuer: "g", Service: "g", Lifetime: 15 * time.Minute, RefreshLifetime: 24 * time.Hour,
		KeyFiles: []authn.SecretFile{key}, Now: clock, Personal: b.desk, Revoker: b.revoker})
	if err != nil {
		t.Fatal(err)
	}
	people, err := authn.NewStatic(authn.StaticConfig{Name: "corp", Users: []authn.StaticUser{{Username: "alice", PasswordHash: benchPassword}}, Hasher: authn.NewHasher(1)})
	if people == nil {
		t.Fatal(err)
	}
	b.chain = authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{people}})
	policy, _ := authz.New(authz.Config{Directories: []string{"corp"}, Rules: []authz.Rule{{Allow: []string{"*"}, Repositories: []string{"**"}, To: []string{"authenticated"}}}})
	b.granter = tokens.NewGranter(tokens.GranterConfig{Keyring: b.keyring, Chain: b.chain, Policy: policy})
	return b
}

func (b *branch) grant(t *testing.T, secret authn.Secret) (tokens.Reply, error) {
	t.Helper()
	a := authn.Attempt{Password: secret}
	return b.granter.Grant(t.Context(), tokens.GrantRequest{Attempt: &a, Scopes: []string{"repository:team/app:pull,push"}, Offline: true})
}

// use is a request with an access token.
func (b *branch) use(t *testing.T, text string) error {
	t.Helper()
	token, err := b.keyring.Verify(text, tokens.Access, time.Minute)
	if err == nil {
		_, err = b.keyring.Identify(t.Context(), b.chain, token, false)
	}
	return err
}

// TestBranches: a token that was made at one gateway is good at another, and so is what is
// issued for it; once it ended at one, nothing of it is good at the other after its next
// look; and a person who is ended everywhere can begin again.
func TestBranches(t *testing.T) {
	o := newOffice(t, "redis")
	key, err := tokens.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	here, there := newBranch(t, o, key), newBranch(t, o, key)
	owner, err := here.chain.Find(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	secret, made, err := here.desk.Make(t.Context(), owner, Order{Name: "ci", Repositories: []string{"team/**"}})
	if err != nil {
		t.Fatal(err)
	}
	granted, err := there.grant(t, secret)
	if err != nil || granted.Granted.Scope.String() != "repository:team/app:pull" || granted.Credential.ID != made.ID || granted.RefreshToken == "" {
		t.Fatalf("%+v, %v", granted, err)
	}
	redeem := func(b *branch) error {
		_, err := b.granter.Grant(t.Context(), tokens.GrantRequest{RefreshToken: authn.Secret(granted.RefreshToken)})
		return err
	}
	if err := errors.Join(here.use(t, granted.Token), there.use(t, granted.Token), redeem(here)); err != nil {
		t.Error(err)
	}
	if _, err := here.desk.Revoke(t.Context(), owner, made.ID); err != nil {
		t.Fatal(err)
	}
	if err := here.use(t, granted.Token); !errors.Is(err, tokens.ErrRevoked) {
		t.Errorf("at once: %v", err)
	}
	if err := there.revoker.Follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := there.use(t, granted.Token); !errors.Is(err, tokens.ErrRevoked) {
		t.Errorf("elsewhere after a look: %v", err)
	}
	if _, err := there.grant(t, secret); !errors.Is(err, authn.ErrRevokedToken) {
		t.Errorf("the realm elsewhere, which knew it: %v", err)
	}
	if err := redeem(there); !errors.Is(err, authn.ErrRevokedToken) {
		t.Errorf("the refresh token elsewhere: %v", err)
	}
	checkEverything(t, here, owner)
}

// checkEverything: of a person all is ended, and what they make afterwards is good, in the same
// second.
func checkEverything(t *testing.T, b *branch, owner authn.Identity) {
	t.Helper()
	secret, _, err := b.desk.Make(t.Context(), owner, Order{Name: "second"})
	if err != nil {
		t.Fatal(err)
	}
	granted, err := b.grant(t, secret)
	if err != nil {
		t.Fatal(err)
	}
	if ended, err := b.desk.RevokeAll(t.Context(), "alice", time.Hour); len(ended) != 1 || err != nil {
		t.Errorf("%+v, %v", ended, err)
	}
	if err := b.use(t, granted.Token); !errors.Is(err, tokens.ErrRevoked) {
		t.Errorf("an access token of before: %v", err)
	}
	if secret, _, err = b.desk.Make(t.Context(), owner, Order{Name: "second", After: b.desk.Book.revoker.Last(owner.Directory, owner.Username)}); err != nil {
		t.Fatal(err)
	}
	if granted, err = b.grant(t, secret); err != nil {
		t.Fatal(err)
	}
	if err := b.use(t, granted.Token); err != nil {
		t.Errorf("what was made afterwards: %v", err)
	}
}
