package tokens

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"gatehouse/authn"
)

// TestRevoked (E17): each form of a revocation ends what it names and nothing
// else, also where the token is in the cache already.
func TestRevoked(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	k := ring(t, func() time.Time { return now }, generate(t))
	text, token, err := k.Issue(sample(t)) // alice of corp
	if err != nil {
		t.Fatal(err)
	}
	nobodys, _, err := k.Issue(Token{Kind: Access})
	if err != nil {
		t.Fatal(err)
	}
	before, at, after := now.Add(-time.Hour), now, now.Add(time.Second)
	for _, c := range []struct {
		name         string
		list         []Revocation
		gone, nobody bool
	}{
		{"none", nil, false, false},
		{"its id", []Revocation{{ID: token.ID}}, true, false},
		{"another id", []Revocation{{ID: "x"}, {ID: token.ID + "x"}}, false, false},
		{"the person", []Revocation{{User: "alice"}}, true, false},
		{"the person in upper case", []Revocation{{User: "CORP/ALICE"}}, true, false},
		{"the person of another directory", []Revocation{{User: "other/alice"}}, false, false},
		{"another person", []Revocation{{User: "bob"}}, false, false},
		{"the person before", []Revocation{{User: "alice", Before: before}}, false, false},
		{"the person at the moment", []Revocation{{User: "alice", Before: at}}, false, false},
		{"the person after", []Revocation{{User: "alice", Before: before}, {User: "alice", Before: after}}, true, false},
		{"everybody before", []Revocation{{Before: before}}, false, false},
		{"everybody after", []Revocation{{Before: after}, {Before: before}}, true, true},
		{"the anonymous caller has no name", []Revocation{{User: "anonymous"}}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var faults []error
			if k.revoked, faults = compileRevocations(c.list); faults != nil { // as a reload does, with a warm cache
				t.Fatal(faults)
			}
			got, err := k.Verify(text, Access, 0)
			if errors.Is(err, ErrRevoked) != c.gone || errors.Is(err, ErrInvalidToken) != c.gone || got.ID != token.ID {
				t.Errorf("alice's: %+v %v", got, err)
			}
			if _, err := k.Verify(nobodys, Access, 0); errors.Is(err, ErrRevoked) != c.nobody {
				t.Errorf("nobody's: %v", err)
			}
		})
	}
}

// TestRevokedRefresh: a refresh token is ended by its own id, which the reply and
// the log name, and with its person.
func TestRevokedRefresh(t *testing.T) {
	g := granter(t, alice(), time.Hour, nil, generate(t))
	reply, err := g.Grant(t.Context(), offlineLogin)
	if err != nil || reply.RefreshID == "" {
		t.Fatalf("%+v %v", reply, err)
	}
	redeem := GrantRequest{RefreshToken: authn.Secret(reply.RefreshToken)}
	for _, c := range []struct {
		r    Revocation
		gone bool
	}{
		{Revocation{ID: reply.Granted.ID}, false}, {Revocation{ID: reply.RefreshID}, true},
		{Revocation{User: "alice"}, true}, {Revocation{Before: time.Now().Add(time.Minute)}, true},
	} {
		g.cfg.Keyring.revoked, _ = compileRevocations([]Revocation{c.r})
		if got, err := g.Grant(t.Context(), redeem); errors.Is(err, ErrRevoked) != c.gone || got.RefreshID != reply.RefreshID {
			t.Errorf("%+v: %+v %v", c.r, got, err)
		}
	}
}

// TestRevokedPerson (row A17): a person who is revoked altogether is let in by no
// password either, here or at the realm, and is told what a wrong password is told.
// An entry with a moment ends tokens and no more.
func TestRevokedPerson(t *testing.T) {
	now := time.Now()
	p := alice()
	g := granter(t, p, time.Hour, nil, generate(t))
	for _, c := range []struct {
		name string
		list []Revocation
		out  bool
	}{
		{"nobody", nil, false},
		{"the person", []Revocation{{User: "alice"}}, true},
		{"in other spellings", []Revocation{{User: "CORP/ Alice"}}, true},
		{"of another directory", []Revocation{{User: "other/alice"}}, false},
		{"another person", []Revocation{{User: "bob"}}, false},
		{"before a moment", []Revocation{{User: "alice", Before: now}}, false},
		{"before a moment to come", []Revocation{{User: "alice", Before: time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -86399))}}, false},
		{"everybody before a moment to come", []Revocation{{Before: now.Add(time.Hour)}}, false},
		{"before a moment, and altogether", []Revocation{{User: "alice", Before: now}, {User: "corp/alice"}}, true},
		{"a token", []Revocation{{ID: "alice"}}, false},
	} {
		g.cfg.Keyring.revoked, _ = compileRevocations(c.list)
		err := g.cfg.Keyring.Admit(p.id)
		if errors.Is(err, authn.ErrInvalidCredentials) != c.out || errors.Is(err, ErrInvalidToken) || err != nil && !c.out {
			t.Errorf("%s: %v", c.name, err)
		}
		if r, granted := g.Grant(t.Context(), offlineLogin); fmt.Sprint(granted) != fmt.Sprint(err) || (r.Token+r.RefreshToken == "") != c.out || r.Identity.Username != "alice" {
			t.Errorf("%s, the realm: %+v %v", c.name, r, granted)
		}
		if err := g.cfg.Keyring.Admit(authn.Identity{}); err != nil {
			t.Errorf("%s, the anonymous caller: %v", c.name, err)
		}
	}
}

// TestRevokedByOtherName (rows A17 and D4): a token may bear another name of its
// person than the directory has for them now; the list counts for both.
func TestRevokedByOtherName(t *testing.T) {
	p, k := alice(), ring(t, nil, generate(t))
	chain := authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{p}})
	token := Token{Kind: Access, Subject: authn.Ref{Directory: "corp", Username: "magdalena", ID: "u-1"}, PasswordStamp: "p1", IssuedAt: time.Now()}
	for _, c := range []struct {
		r    Revocation
		gone bool
	}{{Revocation{User: "bob"}, false}, {Revocation{User: "alice"}, true}, {Revocation{User: "alice", Before: token.IssuedAt}, false}, {Revocation{User: "corp/alice", Before: token.IssuedAt.Add(1)}, true}} {
		k.revoked, _ = compileRevocations([]Revocation{c.r})
		if _, err := k.Identify(t.Context(), chain, token, false); errors.Is(err, ErrRevoked) != c.gone || err != nil && !c.gone {
			t.Errorf("%+v: %v", c.r, err)
		}
	}
}

// TestRevokedFaults: an entry that ends nothing, or more than it says, is refused.
func TestRevokedFaults(t *testing.T) {
	for _, r := range []Revocation{{}, {User: "corp/"}, {ID: "x", User: "alice"}, {ID: "x", Before: time.Now()}, {User: "corp/", Before: time.Now()}} {
		var fault *authn.KeyError
		_, err := NewKeyring(Config{KeyFiles: []authn.SecretFile{generate(t)}, Revoked: []Revocation{{ID: "y"}, r}})
		if !errors.As(err, &fault) || fault.Key != "revoked[1]" {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func BenchmarkRevoked(b *testing.B) {
	list := make([]Revocation, 0, 2000)
	for i := range 1000 {
		list = append(list, Revocation{ID: fmt.Sprint("id", i)}, Revocation{User: fmt.Sprint("user", i)})
	}
	r, _ := compileRevocations(list)
	t := sample(b)
	b.ReportAllocs()
	for b.Loop() {
		if r.revoked(&t) {
			b.Fatal("revoked")
		}
	}
}
