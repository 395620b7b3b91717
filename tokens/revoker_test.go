package tokens

import (
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"gatehouse/authn"
	"gatehouse/authn/apitoken"
	"gatehouse/authn/machine"
	"gatehouse/tokens/store"
)

func fileStore(t testing.TB) *store.Store {
	t.Helper()
	f, err := store.OpenFile(filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return store.Watched(f, store.Config{}, nil, nil)
}

func sharedStore(t testing.TB, server *miniredis.Miniredis) *store.Store {
	t.Helper()
	b, err := store.NewShared(store.Redis{URL: "redis://" + server.Addr(), Prefix: "p:"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return store.Watched(b, store.Config{FreshFor: 15 * time.Second, StaleFor: 5 * time.Minute}, nil, nil)
}

func using(t testing.TB, s *store.Store, now func() time.Time) *Revoker {
	t.Helper()
	r := NewRevoker(nil, now)
	if err := r.Use(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRevokerShared: what is ended by one counts at once there, at others after their
// next look, and at those that start later; what has ended by itself is forgotten.
func TestRevokerShared(t *testing.T) {
	now := time.Unix(1_800_000_000, 500)
	clock := func() time.Time { return now }
	s := sharedStore(t, miniredis.RunT(t))
	here, there := using(t, s, clock), using(t, s, clock)
	if err := errors.Join(here.End(t.Context(), Revoked{ID: "one", Ends: now.Add(time.Minute)}), here.End(t.Context(), Revoked{ID: "never"}),
		here.EndPerson(t.Context(), "corp", "alice", time.Hour)); err != nil {
		t.Fatal(err)
	}
	ended := func(r *Revoker, id string) bool { return r.list().revoked(&Token{ID: id, IssuedAt: now}) }
	alices := func(r *Revoker, at time.Time) bool { return r.Ended("corp", "alice", at, time.Time{}) }
	if !ended(here, "one") || ended(there, "one") {
		t.Errorf("here %v, there %v before a look", ended(here, "one"), ended(there, "one"))
	}
	for range 2 { // the second finds nothing new
		if err := there.Follow(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	late := using(t, s, clock)
	for name, r := range map[string]*Revoker{"here": here, "there": there, "late": late} {
		if !ended(r, "one") || !ended(r, "never") || ended(r, "other") || ended(r, "") || !alices(r, now.Truncate(time.Second)) || !alices(r, now.Add(maxSkew-time.Second)) || alices(r, now.Add(maxSkew)) {
			t.Errorf("%s: not what was ended", name)
		}
		if r.Ended("other", "alice", now.Add(-time.Hour), time.Time{}) || r.Ended("corp", "bob", now.Add(-time.Hour), time.Time{}) {
			t.Errorf("%s: another person's ended too", name)
		}
	}
	now = now.Add(2 * time.Minute)
	if err := there.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ended(there, "one") || !ended(there, "never") || !alices(there, now.Add(-time.Hour)) {
		t.Error("the wrong ones were forgotten")
	}
	if list, err := s.Since(t.Context(), revokedLog, ""); len(list) != 2 || err != nil {
		t.Errorf("the store has %d entries, %v", len(list), err)
	}
	if err := here.Reread(t.Context()); err != nil || !ended(here, "never") {
		t.Errorf("read again: %v", err)
	}
}

// TestRevokerFault: with the store at fault nothing new is ended and what was stays; one
// that starts then takes nothing that may be revoked, until the store answers.
func TestRevokerFault(t *testing.T) {
	server := miniredis.RunT(t)
	s := sharedStore(t, server)
	r := using(t, s, nil)
	if err := r.End(t.Context(), Revoked{ID: "old"}); err != nil {
		t.Fatal(err)
	}
	server.SetError("LOADING")
	if err := r.End(t.Context(), Revoked{ID: "new"}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	if !r.list().ids["old"] || r.list().ids["new"] {
		t.Error("not what was before")
	}
	blind := NewRevoker(nil, nil)
	if err := blind.Use(t.Context(), s); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	shop := newShop(t, func(_ *machine.Machine, c *Config) { c.Revoker, c.RefreshLifetime = blind, time.Hour })
	shop.now = shop.now.Add(-time.Minute)
	old, _, err := shop.keyring.Issue(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	machines := sample(t)
	machines.Credential = Credential{FromMachine, "0123456789"}
	ofMachine, _, _ := shop.keyring.Issue(machines)
	refresh := sample(t)
	refresh.Kind, refresh.PasswordStamp = Refresh, "1"
	longer, _, _ := shop.keyring.Issue(refresh)
	shop.now = shop.now.Add(2 * time.Minute)
	young, _, _ := shop.keyring.Issue(sample(t))
	check := func(when string, wantOld, wantOther error) {
		for _, c := range []struct {
			name, text string
			kind       Kind
			want       error
		}{{"young", young, Access, nil}, {"old", old, Access, wantOld}, {"a machine's", ofMachine, Access, wantOther}, {"refresh", longer, Refresh, wantOther}} {
			if _, err := shop.keyring.Verify(c.text, c.kind, 0); !errors.Is(err, c.want) {
				t.Errorf("%s, %s: %v, want %v", when, c.name, err, c.want)
			}
		}
		if _, err := shop.login(t, "", shop.token); !errors.Is(err, wantOther) {
			t.Errorf("%s, a machine's login: %v, want %v", when, err, wantOther)
		}
	}
	check("blind", ErrInvalidToken, store.ErrUnavailable)
	server.SetError("")
	if err := blind.Follow(t.Context()); err != nil || !blind.list().ids["old"] {
		t.Errorf("%v", err)
	}
	check("seeing", nil, nil)
}

// TestRevokerAlone: without a store it counts until the end, which the log says as an error.
func TestRevokerAlone(t *testing.T) {
	var log strings.Builder
	r := NewRevoker(slog.New(slog.NewTextHandler(&log, nil)), nil)
	if err := r.End(t.Context(), Revoked{ID: "x"}); err != nil || !r.list().ids["x"] {
		t.Errorf("%v", err)
	}
	if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "for want of a store") || !strings.Contains(log.String(), "credential_id=x") {
		t.Errorf("the log: %s", log.String())
	}
	if err := errors.Join(r.Follow(t.Context()), r.Reread(t.Context()), r.Sweep(t.Context())); err != nil {
		t.Error(err)
	}
	var nobody *Revoker
	if nobody.list().revoked(&Token{ID: "x"}) || nobody.sees(time.Time{}) != nil {
		t.Error("nobody ends something")
	}
	nobody.Heard(Revoked{ID: "x"})
}

// TestEndToken: who holds a machine's or a refresh token ends it and what was issued for
// it; whatever else is shown ends nothing, and too much of it is throttled.
func TestEndToken(t *testing.T) {
	shop := newShop(t, func(m *machine.Machine, c *Config) {
		c.RefreshLifetime, c.Revoker, m.Networks = time.Hour, NewRevoker(nil, nil), []string{"10.0.0.0/8"}
		if err := c.Revoker.Use(t.Context(), fileStore(t)); err != nil {
			t.Fatal(err)
		}
	})
	end := func(text string) (Login, error) {
		return shop.keyring.EndToken(t.Context(), shop.chain, authn.Attempt{Password: authn.Secret(text), Source: netip.MustParseAddr("192.0.2.1")})
	}
	for _, bad := range []string{"", "secret", "x.y.z", string(wrongSum(shop.token)), string(apitoken.Machine.New()), "eyJhbGciOiJSUzI1NiJ9.e30.AAAA"} {
		if _, err := end(bad); !errors.Is(err, authn.ErrBadToken) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	attempt := authn.Attempt{Login: "alice", Password: "good"}
	offline, err := shop.granter.Grant(t.Context(), GrantRequest{Attempt: &attempt, Offline: true})
	if err != nil || offline.RefreshToken == "" {
		t.Fatalf("%+v, %v", offline, err)
	}
	redeemed, err := shop.granter.Grant(t.Context(), GrantRequest{RefreshToken: authn.Secret(offline.RefreshToken)})
	if err != nil {
		t.Fatal(err)
	}
	if l, err := end(offline.RefreshToken); err != nil || l.Shown != (Credential{FromRefresh, offline.RefreshID}) || l.Identity.Username != "alice" {
		t.Errorf("%+v, %v", l, err)
	}
	if _, err := end(offline.RefreshToken); !errors.Is(err, authn.ErrRevokedToken) {
		t.Errorf("once more: %v", err)
	}
	if _, err := shop.granter.Grant(t.Context(), GrantRequest{RefreshToken: authn.Secret(offline.RefreshToken)}); !errors.Is(err, authn.ErrRevokedToken) {
		t.Errorf("redeemed after its end: %v", err)
	}
	if _, err := shop.keyring.Verify(redeemed.Token, Access, 0); !errors.Is(err, ErrRevoked) {
		t.Errorf("what it was redeemed for: %v", err)
	}
	if _, err := shop.keyring.Verify(offline.Token, Access, 0); !errors.Is(err, ErrRevoked) {
		t.Errorf("what was issued beside it by the same password: %v", err)
	}
	if again, err := shop.granter.Grant(t.Context(), GrantRequest{Attempt: &attempt}); err != nil || again.Granted.Via != "" {
		t.Errorf("the password itself: %+v, %v", again, err)
	} else if _, err := shop.keyring.Verify(again.Token, Access, 0); err != nil {
		t.Errorf("what it was good for later: %v", err)
	}
	if l, err := end(string(shop.token)); err != nil || l.Identity.Username != "ci/app" || l.Shown.Kind != FromMachine {
		t.Errorf("a machine's, from another network: %+v, %v", l, err)
	}
	ended, _ := apitoken.Parse(shop.token)
	if err := shop.keyring.AdmitToken(authn.Identity{}, ended.ID); !errors.Is(err, authn.ErrRevokedToken) {
		t.Errorf("a machine's after its end: %v", err)
	}
}
