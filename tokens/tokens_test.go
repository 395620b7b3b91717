package tokens

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
)

func pemOf(t testing.TB, key any) authn.SecretFile {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return authn.SecretFile{Name: "test.pem", Secret: authn.Secret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))}
}

func generate(t testing.TB) authn.SecretFile {
	t.Helper()
	k, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ring(t testing.TB, now func() time.Time, keys ...authn.SecretFile) *Keyring {
	t.Helper()
	k, err := NewKeyring(Config{Issuer: "gatehouse", Service: "gatehouse", Lifetime: 15 * time.Minute, RefreshLifetime: time.Hour, KeyFiles: keys, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sample(t testing.TB) Token {
	scope, err := authz.ParseScope([]string{"repository:team/app:pull,push registry:catalog:*"})
	if err != nil {
		t.Fatal(err)
	}
	return Token{Kind: Access, Subject: authn.Ref{Directory: "corp", Username: "alice", ID: "u-1"}, PasswordStamp: "p1", Scope: scope}
}

// TestKeys signs and verifies with each kind of key, and after a rotation.
func TestKeys(t *testing.T) {
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rs, _ := rsa.GenerateKey(rand.Reader, 2048)
	old := generate(t)
	for _, key := range []authn.SecretFile{old, pemOf(t, ec), pemOf(t, rs)} {
		k := ring(t, nil, key)
		for range 8 { // an ECDSA signature comes in two forms at random
			text, issued, err := k.Issue(sample(t))
			if err != nil {
				t.Fatal(err)
			}
			got, err := ring(t, nil, generate(t), key).Verify(text, Access, 0)
			if err != nil || got.ID != issued.ID || got.Subject != issued.Subject || got.PasswordStamp != "p1" || got.Scope.String() != issued.Scope.String() || !got.Expires.Equal(issued.Expires) {
				t.Fatalf("%+v %v, want %+v", got, err, issued)
			}
			if _, err := ring(t, nil, generate(t)).Verify(text, Access, 0); !errors.Is(err, ErrInvalidToken) {
				t.Fatalf("a foreign token: %v", err)
			}
		}
	}
	small, _ := rsa.GenerateKey(rand.Reader, 1024)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	for name, keys := range map[string][]authn.SecretFile{"none": nil, "small RSA": {pemOf(t, small)}, "P-384": {pemOf(t, p384)}, "junk": {{Name: "x", Secret: authn.Secret("junk")}}, "twice": {old, old}} {
		var fault *authn.KeyError
		if _, err := NewKeyring(Config{KeyFiles: keys}); !errors.As(err, &fault) || !strings.HasPrefix(fault.Key, "key_files") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTime(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	key := generate(t)
	k := ring(t, func() time.Time { return now }, key)
	text, issued, err := k.Issue(sample(t))
	if err != nil || issued.Expires.Sub(issued.IssuedAt) != 15*time.Minute {
		t.Fatal(issued, err)
	}
	for _, c := range []struct {
		at    time.Duration
		grace time.Duration
		want  error
	}{
		{0, 0, nil}, {15 * time.Minute, 0, nil}, {15*time.Minute + time.Second, 0, ErrExpired}, {16 * time.Minute, time.Minute, nil},
		{16*time.Minute + time.Second, time.Minute, ErrExpired}, {6 * time.Hour, 6 * time.Hour, nil}, {-time.Minute, 0, ErrInvalidToken},
	} {
		at := issued.IssuedAt.Add(c.at)
		if _, err := ring(t, func() time.Time { return at }, key).Verify(text, Access, c.grace); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("at %s with grace %s: %v, want %v", c.at, c.grace, err, c.want)
		}
	}
	// A cached token ends as well.
	if _, err := k.Verify(text, Access, 0); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	if _, err := k.Verify(text, Access, 0); !errors.Is(err, ErrExpired) {
		t.Errorf("from the cache: %v", err)
	}
}

// people is a directory with one person, who can change.
type people struct {
	id  authn.Identity
	err error
}

func (p *people) Name() string { return "corp" }
func (p *people) Find(_ context.Context, login string) (authn.Identity, error) {
	if p.err == nil && login != p.id.Username {
		return authn.Identity{}, authn.ErrUnknownUser
	}
	return p.id, p.err
}
func (p *people) Verify(_ context.Context, id authn.Identity, password authn.Secret) (authn.Identity, error) {
	if password != "good" {
		return id, authn.ErrInvalidCredentials
	}
	return id, nil
}
func (p *people) Lookup(_ context.Context, ref authn.Ref) (authn.Identity, error) {
	if p.err == nil && ref.ID != p.id.ID {
		return authn.Identity{}, authn.ErrUnknownUser
	}
	return p.id, p.err
}

func TestGrant(t *testing.T) {
	p := &people{id: authn.Identity{Directory: "corp", Username: "alice", ID: "u-1", PasswordStamp: "p1"}}
	policy, err := authz.New(authz.Config{Directories: []string{"corp"}, Rules: []authz.Rule{{Allow: []string{"pull"}, Repositories: []string{"team/**"}, To: []string{"directory:corp"}}}})
	if err != nil {
		t.Fatal(err)
	}
	chain := authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{p}})
	g := NewGranter(GranterConfig{Keyring: ring(t, nil, generate(t)), Chain: chain, Policy: policy})
	login := func(password string) GrantRequest {
		return GrantRequest{Attempt: &authn.Attempt{Login: "alice", Password: authn.Secret(password), Source: netip.MustParseAddr("127.0.0.1")},
			Scopes: []string{"repository:team/a:pull,push repository:x:pull"}, Offline: true}
	}
	reply, err := g.Grant(t.Context(), login("good"))
	if err != nil || reply.Granted.Scope.String() != "repository:team/a:pull" || reply.RefreshToken == "" || reply.ExpiresIn != 15*time.Minute {
		t.Fatalf("%+v %v", reply, err)
	}
	if _, err := g.Grant(t.Context(), login("bad")); !errors.Is(err, authn.ErrInvalidCredentials) {
		t.Errorf("a wrong password: %v", err)
	}
	once := login("good")
	once.Offline, once.Service = false, "gatehouse"
	if r, err := g.Grant(t.Context(), once); err != nil || r.RefreshToken != "" || r.NoRefresh != "" || r.Granted.Scope.String() != "repository:team/a:pull" {
		t.Errorf("our service by its name, and no refresh token asked for: %+v %v", r, err)
	}
	if r, err := g.Grant(t.Context(), GrantRequest{Offline: true}); err != nil || r.RefreshToken != "" || r.NoRefresh != "" {
		t.Errorf("nobody asks for a refresh token: %+v %v", r, err)
	}
	if _, err := g.Grant(t.Context(), GrantRequest{Scopes: []string{strings.Repeat("x ", 1001)}}); !errors.Is(err, ErrInvalidRequest) {
		t.Errorf("1,001 scopes: %v", err)
	}
	if _, err := g.Grant(t.Context(), GrantRequest{Service: "other"}); !errors.Is(err, ErrInvalidRequest) {
		t.Errorf("another service: %v", err)
	}
	if r, err := g.Grant(t.Context(), GrantRequest{Scopes: []string{"repository:team/a:pull"}}); err != nil || !r.Identity.Anonymous() || r.Granted.Scope.String() != "" {
		t.Errorf("anonymous: %+v %v", r, err)
	}
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("repository:team/%040d:pull", i))
	}
	big := login("good")
	big.Scopes = many
	if _, err := g.Grant(t.Context(), big); !errors.Is(err, ErrInvalidRequest) {
		t.Errorf("a token over 16 KiB: %v", err)
	}
	redeem := GrantRequest{RefreshToken: authn.Secret(reply.RefreshToken), Scopes: []string{"repository:team/a:pull"}}
	if r, err := g.Grant(t.Context(), redeem); err != nil || r.Granted.Scope.String() != "repository:team/a:pull" {
		t.Errorf("refresh: %+v %v", r, err)
	}
	access := redeem
	access.RefreshToken = authn.Secret(reply.Token)
	if _, err := g.Grant(t.Context(), access); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("an access token as refresh: %v", err)
	}
	token, err := g.cfg.Keyring.Verify(reply.Token, Access, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*people){
		"re-created": func(p *people) { p.id.ID = "u-2" }, "new password": func(p *people) { p.id.PasswordStamp = "p2" },
		"stamp gone": func(p *people) { p.id.PasswordStamp = "" }, "deleted": func(p *people) { p.err = authn.ErrUnknownUser },
	} {
		before := *p
		change(p)
		if _, err := g.cfg.Keyring.Identify(t.Context(), chain, token, false); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := g.Grant(t.Context(), redeem); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("%s, refresh: %v", name, err)
		}
		*p = before
	}
	p.err = authn.ErrUnavailable
	if _, err := g.cfg.Keyring.Identify(t.Context(), chain, token, false); !errors.Is(err, authn.ErrUnavailable) || errors.Is(err, ErrInvalidToken) {
		t.Errorf("a fault: %v", err)
	}
	p.err, p.id.PasswordStamp = nil, ""
	if r, err := g.Grant(t.Context(), login("good")); err != nil || r.RefreshToken != "" || r.NoRefresh == "" {
		t.Errorf("without a stamp: %+v %v", r, err)
	}
}

func FuzzVerify(f *testing.F) {
	k := ring(f, nil, generate(f))
	good, _, err := k.Issue(sample(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("a.b.c")
	f.Add(strings.Replace(good, ".", "..", 1))
	f.Fuzz(func(t *testing.T, text string) {
		got, err := k.Verify(text, Access, 0)
		if (err == nil) != (text == good) || err != nil && got.ID != "" {
			t.Fatalf("%q: %+v %v", text, got, err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	k := ring(b, nil, generate(b))
	text, _, _ := k.Issue(sample(b))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Verify(text, Access, 0); err != nil {
			b.Fatal(err)
		}
	}
}
