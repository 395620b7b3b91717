package tokens

import (
	"errors"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/apitoken"
	"gatehouse/authz"
)

// TestSession: a session ends when it is said to, is renewed under its id up to its last
// moment, and is no other kind of token.
func TestSession(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	key := generate(t)
	k := ring(t, func() time.Time { return now }, key)
	person := Token{Kind: Session, Subject: authn.Ref{Directory: "corp",
		Username: "alice", ID: "u-1"}, PasswordStamp: "p1", Ends: now.Add(time.Minute)}
	text, issued, err := k.Issue(person)
	if err != nil || !issued.Expires.Equal(now.Add(time.Minute)) {
		t.Fatalf("%+v %v", issued, err)
	}
	for _, kind := range []Kind{Access, Refresh} {
		if _, err := k.Verify(text, kind, time.Hour); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("a session passes for %s: %v", kind, err)
		}
	}
	other, _, err := k.Issue(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Verify(other, Session, 0); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("an access token passes for a session: %v", err)
	}
	now = now.Add(50 * time.Second)
	got, err := k.Verify(text, Session, 0)
	if err != nil {
		t.Fatal(err)
	}
	renewed, _, err := k.Renew(got, now.Add(48*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	if _, err := k.Verify(text, Session, 0); !errors.Is(err, ErrExpired) {
		t.Errorf("the first text: %v", err)
	}
	if again, err := k.Verify(renewed, Session, 0); err != nil || again.ID != issued.ID || !again.IssuedAt.Equal(issued.IssuedAt) || !again.Expires.Equal(issued.IssuedAt.Add(MaxSession)) {
		t.Errorf("%+v %v", again, err)
	}
}

// TestSessionForms: what no session of ours can be is refused, however it is signed.
func TestSessionForms(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	k := ring(t, func() time.Time { return now }, generate(t))
	person := authn.Ref{Directory: "corp", Username: "alice"}
	scope, err := authz.ParseScope([]string{"repository:a:pull"})
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]Token{
		"nobody":       {Kind: Session},
		"with a scope": {Kind: Session, Subject: person, Scope: scope},
		"of a machine": {Kind: Session, Subject: person, Credential: Credential{FromMachine, "x"}},
	} {
		text, _, err := k.Issue(token)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Verify(text, Session, 0); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := Token{Kind: Session, ID: "x", Subject: person, IssuedAt: now,
		Expires: now.Add(MaxSession + time.Second)}
	text, _, err := k.write(long)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Verify(text, Session, 0); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("a long one: %v", err)
	}
}

// bound is a book of tokens that everybody needs.
type bound struct{ PersonalTokens }

func (bound) Required(authn.Identity) bool { return true }

// TestLoginPersonWhoNeedsToken: a password that is good for making tokens alone begins a
// session all the same, for there they are made.
func TestLoginPersonWhoNeedsToken(t *testing.T) {
	k := ring(t, nil, generate(t))
	k.cfg.Personal = bound{}
	chain := authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{alice()}})
	for password, want := range map[authn.Secret]error{"good": nil, "bad": authn.ErrInvalidCredentials} {
		a := authn.Attempt{Login: "alice", Password: password}
		if l, err := k.LoginPerson(t.Context(), chain, a); !errors.Is(err, want) || err == nil && l.Identity.Username != "alice" || l.Shown.Kind != FromPerson {
			t.Errorf("%s: %+v %v", string(password), l, err)
		}
	}
	if _, err := k.Login(t.Context(), chain, authn.Attempt{Login: "alice", Password: "good"}); !errors.Is(err, ErrTokenRequired) {
		t.Errorf("at the realm: %v", err)
	}
}

// TestLoginPerson: a password begins a session, and no token in the place of one.
func TestLoginPerson(t *testing.T) {
	k := ring(t, nil, generate(t))
	chain := authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{alice()}})
	session, _, err := k.Issue(Token{Kind: Session, Subject: authn.Ref{Directory: "corp",
		Username: "alice"}})
	if err != nil {
		t.Fatal(err)
	}
	access, _, err := k.Issue(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []authn.Secret{apitoken.Machine.New(),
		apitoken.Personal.New(), authn.Secret(session), authn.Secret(access),
		"gthp_", authn.Secret(" " + access)} {
		if l, err := k.LoginPerson(t.Context(), chain, authn.Attempt{Login: "alice", Password: token}); !errors.Is(err, authn.ErrBadToken) || !l.Identity.Anonymous() {
			t.Errorf("%.5s: %+v %v", string(token), l, err)
		}
	}
	if l, err := k.LoginPerson(t.Context(), chain, authn.Attempt{Login: "alice", Password: "good"}); err != nil || l.Identity.Username != "alice" {
		t.Errorf("%+v %v", l, err)
	}
	if _, err := k.LoginPerson(t.Context(), chain, authn.Attempt{Login: "alice", Password: "bad"}); !errors.Is(err, authn.ErrInvalidCredentials) {
		t.Errorf("a wrong password: %v", err)
	}
}

// TestLasting: a person's end is remembered until the last that they were given is over, an
// upload that goes on by a token that has ended too.
func TestLasting(t *testing.T) {
	for _, test := range []struct{ grace, refresh, want time.Duration }{
		{6 * time.Hour, 0, MaxSession},
		{72 * time.Hour, 0, 72*time.Hour + maxLife + time.Hour},
		{6 * time.Hour, 30 * 24 * time.Hour, 30*24*time.Hour + time.Hour},
	} {
		if c := (Config{Lifetime: 15 * time.Minute, UploadGrace: test.grace, RefreshLifetime: test.refresh}); c.Lasting() != test.want {
			t.Errorf("%+v: %s", test, c.Lasting())
		}
	}
}
