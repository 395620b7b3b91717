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
