package tokens

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"pgregory.net/rapid"

	"gatehouse/authn"
	"gatehouse/authn/machine"
	"gatehouse/authz"
	"gatehouse/tokens/store"
)

// gate is one gateway of several with a clock of its own, the same keys and one store.
type gate struct {
	*Keyring
	revoker *Revoker
	chain   *authn.Chain
	granter *Granter
}

func newGate(t testing.TB, s *store.Store, key authn.SecretFile, now func() time.Time) *gate {
	t.Helper()
	g := &gate{revoker: NewRevoker(nil, now)}
	if s != nil {
		g.revoker = using(t, s, now)
	}
	var err error
	g.Keyring, err = NewKeyring(Config{Issuer: "gatehouse", Service: "gatehouse", Lifetime: 15 * time.Minute, RefreshLifetime: time.Hour,
		KeyFiles: []authn.SecretFile{key}, Now: now, Revoker: g.revoker})
	if err != nil {
		t.Fatal(err)
	}
	g.ask(t, alice())
	return g
}

// ask makes a directory the one that is asked.
func (g *gate) ask(t testing.TB, d authn.Directory) {
	t.Helper()
	g.chain = authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{d}})
	policy, err := authz.New(authz.Config{Directories: []string{"corp"}, Rules: []authz.Rule{{Allow: []string{"pull"}, Repositories: []string{"**"}, To: []string{"directory:corp"}}}})
	if err != nil {
		t.Fatal(err)
	}
	g.granter = NewGranter(GranterConfig{Keyring: g.Keyring, Chain: g.chain, Policy: policy})
}

// issued are one text of each kind that a password brings, by its kind.
func (g *gate) issued(t testing.TB) map[Kind]string {
	t.Helper()
	attempt := authn.Attempt{Login: "alice", Password: "good"}
	reply, err := g.granter.Grant(context.Background(), GrantRequest{Attempt: &attempt, Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	l, err := g.LoginPerson(context.Background(), g.chain, attempt)
	if err != nil {
		t.Fatal(err)
	}
	session, _, err := g.Issue(Token{Kind: Session, Subject: l.Identity.Ref(), PasswordStamp: l.Identity.PasswordStamp, Ends: g.cfg.Now().Add(time.Hour), After: l.After})
	if err != nil {
		t.Fatal(err)
	}
	return map[Kind]string{Access: reply.Token, Refresh: reply.RefreshToken, Session: session}
}

// lives reports whether a text is good, which all ways of asking agree on.
func (g *gate) lives(t testing.TB, kind Kind, text string) bool {
	t.Helper()
	token, err := g.Verify(text, kind, 0)
	if err == nil {
		_, err = g.Identify(context.Background(), g.chain, token, false)
	}
	if err != nil && !errors.Is(err, ErrRevoked) {
		t.Fatalf("%s: %v", kind, err)
	}
	if kind == Refresh {
		_, redeemed := g.granter.Grant(context.Background(), GrantRequest{RefreshToken: authn.Secret(text)})
		if (redeemed == nil) != (err == nil) {
			t.Fatalf("redeemed: %v, verified: %v", redeemed, err)
		}
	}
	return err == nil
}

func (g *gate) check(t testing.TB, what string, texts map[Kind]string, want bool) {
	t.Helper()
	for kind, text := range texts {
		if got := g.lives(t, kind, text); got != want {
			t.Errorf("%s: the %s token lives: %v", what, kind, got)
		}
	}
}

// TestSameMoment: an end takes what was issued before it in the same second, or at the very
// moment, and nothing that is issued after it, however often that happens.
func TestSameMoment(t *testing.T) {
	now := time.Unix(1_800_000_000, 999_000_000)
	clock := func() time.Time { return now }
	for name, s := range map[string]*store.Store{"alone": nil, "a file": fileStore(t), "shared": sharedStore(t, miniredis.RunT(t))} {
		g := newGate(t, s, generate(t), clock)
		texts := g.issued(t)
		for i := range 50 {
			g.check(t, fmt.Sprint(name, ", before end ", i), texts, true)
			if err := g.EndPerson(t.Context(), "corp", "alice", time.Hour); err != nil {
				t.Fatal(err)
			}
			g.check(t, fmt.Sprint(name, ", after end ", i), texts, false)
			texts = g.issued(t)
		}
		renewed, _ := g.Verify(texts[Session], Session, 0)
		now = now.Add(maxSkew + time.Second)
		g.check(t, name+", later", texts, true)
		text, _, err := g.Renew(renewed, now.Add(time.Minute))
		if err != nil || !g.lives(t, Session, text) {
			t.Errorf("%s: renewed: %v", name, err)
		}
		late, err := g.LoginPerson(t.Context(), g.chain, authn.Attempt{Login: "alice", Password: "good"})
		if _, plain, _ := g.Issue(Token{Kind: Session, Subject: late.Identity.Ref(), PasswordStamp: "p1", After: late.After}); err != nil || !plain.After.IsZero() {
			t.Errorf("%s: what its time tells says it once more: %+v, %v", name, plain, err)
		}
	}
}

// TestEndOfNames: an end of a name in all directories, in one, and in another; what the config
// revokes is told by times alone.
func TestEndOfNames(t *testing.T) {
	now := time.Unix(1_800_000_000, 500)
	g := newGate(t, nil, generate(t), func() time.Time { return now })
	end := func(directory string) {
		t.Helper()
		if err := g.EndPerson(t.Context(), directory, "alice", time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	for _, directories := range [][2]string{{"", "corp"}, {"corp", ""}, {"", ""}} {
		end(directories[0])
		between := g.issued(t)
		g.check(t, "between", between, true)
		end("other")
		g.check(t, "another's", between, true)
		end(directories[1])
		g.check(t, fmt.Sprint("after ", directories), between, false)
		g.check(t, "again", g.issued(t), true)
	}
	texts := g.issued(t)
	g.revoked, _ = compileRevocations([]Revocation{{User: "alice", Before: now.Add(time.Second)}})
	g.check(t, "by the config", texts, false)
}

// TestEndMeanwhile: what a login brings that was under way at the end has ended too.
func TestEndMeanwhile(t *testing.T) {
	g := newGate(t, nil, generate(t), nil)
	people := &ending{strictPeople: alice(), end: func() { _ = g.EndPerson(context.Background(), "corp", "alice", time.Hour) }}
	g.ask(t, people)
	texts := g.issued(t)
	people.end = func() {}
	g.check(t, "in the midst", texts, false)
	g.check(t, "after it", g.issued(t), true)
}

// ending is a directory while whose answer everything of a person ends.
type ending struct {
	*strictPeople
	end func()
}

func (e *ending) Verify(ctx context.Context, id authn.Identity, password authn.Secret) (authn.Identity, error) {
	e.end()
	return e.strictPeople.Verify(ctx, id, password)
}

// TestOtherName: what a token knew of the ends of a name tells nothing of another name that
// its person has now.
func TestOtherName(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	g := newGate(t, nil, generate(t), func() time.Time { return now })
	people := alice()
	g.ask(t, people)
	for range 3 {
		if err := g.EndPerson(t.Context(), "corp", "alice", time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	texts := g.issued(t)
	people.id.Username = "alice.b"
	if !g.lives(t, Access, texts[Access]) {
		t.Error("renamed")
	}
	if err := g.EndPerson(t.Context(), "corp", "alice.b", time.Hour); err != nil {
		t.Fatal(err)
	}
	if g.lives(t, Access, texts[Access]) || g.lives(t, Session, texts[Session]) {
		t.Error("it outlives the end of its person's name")
	}
}

// TestAfterForms: the claim is ours alone, and has the form that we write.
func TestAfterForms(t *testing.T) {
	k := ring(t, nil, generate(t))
	token := sample(t)
	token.ID, token.IssuedAt = "x", time.Now().Truncate(time.Second)
	token.Expires, token.After = token.IssuedAt.Add(time.Minute), time.Unix(0, 1_800_000_000_123_456_789)
	text, _, err := k.write(token)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.Verify(text, Access, 0); err != nil || !got.After.Equal(token.After) {
		t.Errorf("%s, %v", got.After, err)
	}
	for _, nobodys := range []Token{{Kind: Access, ID: "x", IssuedAt: token.IssuedAt, Expires: token.Expires, After: token.After},
		{Kind: Access, ID: "x", Subject: token.Subject, IssuedAt: token.IssuedAt, Expires: token.Expires, After: time.Unix(-1, 0)}} {
		text, _, err := k.write(nobodys)
		if _, wrong := k.Verify(text, Access, 0); err != nil || !errors.Is(wrong, ErrInvalidToken) {
			t.Errorf("%+v: %v", nobodys, wrong)
		}
	}
	var one Revoked
	if err := json.Unmarshal(Revoked{User: "a", Before: token.After}.Write().Value, &one); err != nil || !one.Before.Equal(token.After) {
		t.Errorf("the store rounds: %s, %v", one.Before, err)
	}
}

// TestGates: whatever three gateways of one store do, whose clocks are as far apart as is
// allowed: nothing that was issued before an end outlives it anywhere once it is known, and
// what is issued where it is known goes on everywhere.
func TestGates(t *testing.T) {
	key := generate(t)
	rapid.Check(t, func(rt *rapid.T) {
		s, now := sharedStore(t, miniredis.RunT(t)), time.Unix(1_800_000_000, 0)
		var gates []*gate
		for i := range 3 {
			skew := time.Duration(rapid.IntRange(0, int(maxSkew/time.Millisecond)-1000).Draw(rt, fmt.Sprint("skew ", i))) * time.Millisecond
			gates = append(gates, newGate(t, s, key, func() time.Time { return now.Add(skew) }))
		}
		follow := func(g *gate) {
			if err := g.revoker.Follow(t.Context()); err != nil {
				rt.Fatal(err)
			}
		}
		var living, dead []map[Kind]string
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			g := gates[rapid.IntRange(0, 2).Draw(rt, "gate")]
			switch rapid.IntRange(0, 2).Draw(rt, "step") {
			case 0:
				follow(g)
				living = append(living, g.issued(t))
			case 1:
				if err := g.EndPerson(t.Context(), "corp", "alice", time.Hour); err != nil {
					rt.Fatal(err)
				}
				living, dead = nil, append(dead, living...)
			default:
				now = now.Add(time.Duration(rapid.IntRange(0, 1500).Draw(rt, "ms")) * time.Millisecond)
			}
		}
		for i, g := range gates {
			follow(g)
			for _, texts := range living {
				g.check(t, fmt.Sprint("living at ", i), texts, true)
			}
			for _, texts := range dead {
				g.check(t, fmt.Sprint("dead at ", i), texts, false)
			}
		}
		if t.Failed() {
			rt.FailNow()
		}
	})
}

// TestGlance: a login of the pages knows what was ended elsewhere a moment ago; a store at
// fault delays it no longer than a glance, and not even that once it is known to be.
func TestGlance(t *testing.T) {
	server, key := miniredis.RunT(t), generate(t)
	s := sharedStore(t, server)
	here, there := newGate(t, s, key, nil), newGate(t, s, key, nil)
	if err := here.EndPerson(t.Context(), "corp", "alice", time.Hour); err != nil {
		t.Fatal(err)
	}
	l, err := there.LoginPerson(t.Context(), there.chain, authn.Attempt{Login: "alice", Password: "good"})
	if err != nil || !l.After.Equal(here.revoker.Last("corp", "alice")) {
		t.Errorf("%s, %v", l.After, err)
	}
	server.SetError("LOADING")
	if err := here.EndPerson(t.Context(), "corp", "alice", time.Hour); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("with the store at fault: %v", err)
	}
	if _, err := there.LoginPerson(t.Context(), there.chain, authn.Attempt{Login: "alice", Password: "good"}); err != nil || s.Up() {
		t.Errorf("%v", err)
	}
	var nobody *Revoker
	nobody.Glance(t.Context())
	if err := errors.Join(nobody.Follow(t.Context()), nobody.EndPerson(t.Context(), "corp", "alice", time.Hour)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("nobody: %v", err)
	}
}

// TestMachineEnds: an end of a machine's name, which tokens in hand and new ones have too.
func TestMachineEnds(t *testing.T) {
	shop := newShop(t, func(_ *machine.Machine, c *Config) { c.Revoker = NewRevoker(nil, nil) })
	grant := func() string {
		t.Helper()
		reply, err := shop.granter.Grant(t.Context(), GrantRequest{Attempt: &authn.Attempt{Password: shop.token}})
		if err != nil {
			t.Fatal(err)
		}
		return reply.Token
	}
	before := grant()
	if err := shop.keyring.EndPerson(t.Context(), "robots", "ci/app", time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := shop.keyring.Verify(before, Access, 0); !errors.Is(err, ErrRevoked) {
		t.Errorf("before: %v", err)
	}
	if _, err := shop.keyring.Verify(grant(), Access, 0); err != nil {
		t.Errorf("after: %v", err)
	}
}

// TestUnheard: what a gateway that has not heard of an end gives for a refresh token ends with
// it everywhere, however late that was issued; by the config's ends too.
func TestUnheard(t *testing.T) {
	now := time.Unix(1_800_000_000, 500)
	clock := func() time.Time { return now }
	s, key := sharedStore(t, miniredis.RunT(t)), generate(t)
	here, there := newGate(t, s, key, clock), newGate(t, s, key, clock)
	redeemed := func(text string) string {
		t.Helper()
		r, err := there.granter.Grant(t.Context(), GrantRequest{RefreshToken: authn.Secret(text)})
		if err != nil {
			t.Fatal(err)
		}
		return r.Token
	}
	before := here.issued(t)[Refresh]
	if err := here.EndPerson(t.Context(), "corp", "alice", time.Hour); err != nil {
		t.Fatal(err)
	}
	after := here.issued(t)[Refresh]
	now = now.Add(maxSkew + time.Second)
	late := redeemed(before)
	if err := there.revoker.Follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	good := redeemed(after)
	for _, g := range []*gate{here, there} {
		if g.lives(t, Access, late) || !g.lives(t, Access, good) {
			t.Errorf("late: %v, good: %v", g.lives(t, Access, late), g.lives(t, Access, good))
		}
	}
	for _, r := range []Revocation{{User: "alice", Before: now.Truncate(time.Second)}, {Before: now.Truncate(time.Second)}} {
		here.revoked, _ = compileRevocations([]Revocation{r})
		if here.lives(t, Access, good) {
			t.Errorf("%+v", r)
		}
	}
}
