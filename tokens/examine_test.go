package tokens

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/apitoken"
	"gatehouse/authn/machine"
	"gatehouse/authz"
)

// drawer has one personal token of alice's, which begins with gthp_, and counts its uses.
type drawer struct {
	shown    apitoken.Token
	held     Held
	used     int
	required bool
}

func (d *drawer) Find(_ context.Context, shown apitoken.Token) (Held, error) {
	if !shown.Hash.Equal(d.shown.Hash) {
		return Held{}, authn.ErrUnknownToken
	}
	return d.held, nil
}
func (d *drawer) End(context.Context, apitoken.Token) (Held, error) { return d.held, nil }
func (d *drawer) Used(string, netip.Addr)                           { d.used++ }
func (d *drawer) Required(authn.Identity) bool                      { return d.required }

func newDrawer(t *testing.T) *drawer {
	t.Helper()
	shown, err := apitoken.Parse(apitoken.Personal.New())
	if err != nil {
		t.Fatal(err)
	}
	ceiling, err := authz.NewCeiling(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &drawer{shown: shown, held: Held{ID: shown.ID, Owner: authn.Ref{Directory: "corp", Username: "alice", ID: "u-1"}, Made: time.Now().Add(-time.Minute), Ceiling: ceiling}}
}

// examined is a shop whose tokens are examined.
type examined struct {
	*shop
	*drawer
	revoker *Revoker
}

func newExamined(t *testing.T) *examined {
	t.Helper()
	e := &examined{drawer: newDrawer(t), revoker: NewRevoker(nil, nil)}
	e.shop = newShop(t, func(_ *machine.Machine, c *Config) { c.Revoker, c.Personal = e.revoker, e.drawer })
	return e
}

func (e *examined) issue(t *testing.T, kind Kind, change func(*Token)) string {
	t.Helper()
	token := sample(t)
	if token.Kind = kind; kind != Access {
		token.Scope = authz.Scope{}
	}
	if change != nil {
		change(&token)
	}
	text, _, err := e.keyring.Issue(token)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestExamine: a token of ours is judged as a request with it would be, and shown even where
// it is good no more.
func TestExamine(t *testing.T) {
	login := func(t *Token) { t.PasswordStamp = "" }
	for name, c := range map[string]struct {
		kind   Kind
		issue  func(*Token)
		change func(*examined, Token) error
		want   error
	}{
		"access":                   {kind: Access},
		"refresh":                  {kind: Refresh},
		"its person is asked":      {kind: Access, change: func(e *examined, _ Token) error { e.people.err = authn.ErrUnavailable; return nil }, want: authn.ErrUnavailable},
		"gone":                     {kind: Access, change: func(e *examined, _ Token) error { e.people.id.ID = "u-2"; return nil }, want: ErrInvalidToken},
		"gone, refresh":            {kind: Refresh, change: func(e *examined, _ Token) error { e.people.id.ID = "u-2"; return nil }, want: ErrInvalidToken},
		"another password":         {kind: Refresh, change: func(e *examined, _ Token) error { e.people.id.PasswordStamp = "p2"; return nil }, want: ErrInvalidToken},
		"no login":                 {kind: Refresh, change: func(e *examined, _ Token) error { e.people.id.NoLogin = "locked"; return nil }, want: ErrInvalidToken},
		"no login, access":         {kind: Access, change: func(e *examined, _ Token) error { e.people.id.NoLogin = "locked"; return nil }},
		"a token is required":      {kind: Refresh, change: func(e *examined, _ Token) error { e.required = true; return nil }, want: ErrTokenRequired},
		"expired":                  {kind: Access, change: func(e *examined, _ Token) error { e.shop.now = e.shop.now.Add(time.Hour); return nil }, want: ErrExpired},
		"expired, refresh":         {kind: Refresh, change: func(e *examined, _ Token) error { e.shop.now = e.shop.now.Add(25 * time.Hour); return nil }, want: ErrExpired},
		"refresh is off":           {kind: Refresh, change: func(e *examined, _ Token) error { e.keyring.cfg.RefreshLifetime = 0; return nil }, want: ErrInvalidToken},
		"revoked by its id":        {kind: Access, change: func(e *examined, x Token) error { return e.revoker.End(context.Background(), Revoked{ID: x.ID}) }, want: ErrRevoked},
		"refresh revoked":          {kind: Refresh, change: func(e *examined, x Token) error { return e.revoker.End(context.Background(), Revoked{ID: x.ID}) }, want: ErrRevoked},
		"what it was for":          {kind: Access, issue: func(t *Token) { t.Credential = Credential{FromOIDC, "jti"} }, change: func(e *examined, _ Token) error { return e.revoker.End(context.Background(), Revoked{ID: "jti"}) }, want: ErrRevoked},
		"the session before it":    {kind: Access, issue: func(t *Token) { t.Via, t.Credential = "via", Credential{FromOIDC, "jti"} }, change: func(e *examined, _ Token) error { return e.revoker.End(context.Background(), Revoked{ID: "via"}) }, want: ErrRevoked},
		"all of its person":        {kind: Access, change: endAlice, want: ErrRevoked},
		"all of its person, later": {kind: Refresh, change: endAlice, want: ErrRevoked},
		"a session of the pages":   {kind: Session, issue: login, want: ErrInvalidToken},
	} {
		e := newExamined(t)
		text := e.issue(t, c.kind, c.issue)
		token, err := e.keyring.Read(text)
		if err != nil {
			t.Fatal(name, err)
		}
		if c.change != nil {
			if err := c.change(e, token); err != nil {
				t.Fatal(name, err)
			}
		}
		got, err := e.keyring.Examine(t.Context(), e.chain, text)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || got.ID != token.ID || got.Kind != c.kind {
			t.Errorf("%s: %v of %+v, want %v", name, err, got, c.want)
		}
		if c.want == authn.ErrUnavailable && errors.Is(err, ErrInvalidToken) {
			t.Errorf("%s: a fault passes for a refusal", name)
		}
	}
}

func endAlice(e *examined, _ Token) error {
	return e.revoker.End(context.Background(), Revoked{Directory: "corp", User: "alice", Before: e.shop.now.Add(time.Second)})
}

// TestExamineForeign: nothing is read of what is not ours.
func TestExamineForeign(t *testing.T) {
	e := newExamined(t)
	for _, text := range []string{"", "a.b.c", e.issue(t, Access, nil) + "x", string(e.token), b64of(`{"alg":"none"}`) + "." + b64of(`{}`) + ".", fmt.Sprint(make([]byte, maxToken))} {
		if got, err := e.keyring.Examine(t.Context(), e.chain, text); !errors.Is(err, ErrInvalidToken) || got.ID != "" {
			t.Errorf("%.40q: %v %+v", text, err, got)
		}
	}
}

// TestExaminePersonal: as a login finds it, and without noting a use.
func TestExaminePersonal(t *testing.T) {
	other, err := apitoken.Parse(apitoken.Personal.New())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*examined) error
		want   error
	}{
		"good":             {func(*examined) error { return nil }, nil},
		"unknown":          {func(e *examined) error { e.shown = other; return nil }, authn.ErrUnknownToken},
		"revoked":          {func(e *examined) error { return e.revoker.End(t.Context(), Revoked{ID: e.held.ID}) }, authn.ErrRevokedToken},
		"its owner's all":  {func(e *examined) error { return endAlice(e, Token{}) }, authn.ErrRevokedToken},
		"its owner's gone": {func(e *examined) error { e.people.id.ID = "u-2"; return nil }, authn.ErrOwnerlessToken},
		"a fault":          {func(e *examined) error { e.people.err = authn.ErrUnavailable; return nil }, authn.ErrUnavailable},
	} {
		e := newExamined(t)
		shown := e.shown
		if err := c.change(e); err != nil {
			t.Fatal(name, err)
		}
		held, owner, err := e.keyring.ExaminePersonal(t.Context(), e.chain, shown)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || e.used != 0 {
			t.Errorf("%s: %v, want %v; %d uses", name, err, c.want, e.used)
		}
		if c.want == nil && (held.ID != shown.ID || owner.Username != "alice" || owner.Ceiling == nil) {
			t.Errorf("%s: %+v of %+v", name, held, owner)
		}
	}
}

// TestStanding: whatever shows who a machine is may be revoked; where that is not known yet
// it is no refusal.
func TestStanding(t *testing.T) {
	blind := NewRevoker(nil, nil)
	blind.blind.Store(true)
	s := newShop(t, func(_ *machine.Machine, c *Config) {
		c.Revoked = []Revocation{{ID: "listed"}, {User: "robots/dropped"}}
		c.Revoker = blind
	})
	of := func(name string) authn.Identity {
		return authn.Identity{Directory: "robots", Username: name, Machine: true}
	}
	for _, c := range []struct {
		of    authn.Identity
		shown Credential
		bad   bool
		known bool
	}{
		{of("ci/app"), Credential{FromOIDC, "jti"}, false, true}, {of("ci/app"), Credential{FromOIDC, "listed"}, true, true}, {of("dropped"), Credential{FromCertificate, "1"}, true, true},
		{of("ci/app"), Credential{FromMachine, "id"}, true, false}, {of("ci/app"), Credential{FromMachine, "listed"}, true, true},
	} {
		err := s.keyring.Standing(c.of, c.shown)
		if (err != nil) != c.bad || err != nil && errors.Is(err, authn.ErrBadToken) != c.known {
			t.Errorf("%s with %+v: %v", c.of.Username, c.shown, err)
		}
	}
}

// TestEndedLasts: a refresh token that is ended just before its end stays ended as long as an
// access token of its last moment may continue an upload.
func TestEndedLasts(t *testing.T) {
	e := newExamined(t)
	e.keyring.cfg.UploadGrace = 6 * time.Hour
	e.revoker.now = func() time.Time { return e.shop.now }
	refresh := e.issue(t, Refresh, nil)
	e.shop.now = e.shop.now.Add(24*time.Hour - time.Minute)
	login, err := e.login(t, "", authn.Secret(refresh))
	if err != nil {
		t.Fatal(err)
	}
	access, _, err := e.keyring.Issue(tokenFor(Access, login, authz.Scope{}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.keyring.EndToken(t.Context(), e.chain, authn.Attempt{Password: authn.Secret(refresh)}); err != nil {
		t.Fatal(err)
	}
	for _, later := range []time.Duration{0, 2 * time.Minute, time.Hour, 5 * time.Hour} {
		e.shop.now = e.shop.now.Add(later)
		if err := e.revoker.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := e.keyring.Verify(access, Access, e.keyring.cfg.UploadGrace); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("after another %s it is %v", later, err)
		}
	}
}
