package authn

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// desk is an Issuer that takes one token.
type desk struct {
	Directory
	issuer, token string
	asked         int
	fault         error
}

func (d *desk) Name() string        { return "desk-" + d.issuer }
func (d *desk) Issuer() string      { return d.issuer }
func (d *desk) Audiences() []string { return []string{"for " + d.issuer, "also"} }

func (d *desk) Prove(_ context.Context, token Secret) (Identity, error) {
	d.asked++
	switch {
	case d.fault != nil:
		return Identity{}, d.fault
	case string(token) != d.token:
		return Identity{Proof: &Proof{ID: "shown"}}, ErrMalformedToken
	}
	return Identity{Directory: d.Name(), Username: "app", Machine: true}, nil
}

// TestProven: an ID token is shown to the directory of its issuer alone, and what that
// does not know is never an answer.
func TestProven(t *testing.T) {
	one, two := &desk{issuer: "one", token: "t1"}, &desk{issuer: "two", token: "t2"}
	people := &nobody{}
	c := NewChain(ChainConfig{Directories: []Directory{people, one, two}})
	for _, test := range []struct {
		name, issuer, token string
		want                error
		user                string
	}{
		{"the first's", "one", "t1", nil, "app"},
		{"the second's", "two", "t2", nil, "app"},
		{"with a line's end", "two", " t2\n", nil, "app"},
		{"another's", "one", "t2", ErrMalformedToken, ""},
		{"nobody's", "three", "t1", ErrUnknownToken, ""},
		{"none", "", "t1", ErrMalformedToken, ""},
		{"in other letters", "ONE", "t1", ErrUnknownToken, ""},
	} {
		id, err := c.Proven(t.Context(), test.issuer, Attempt{Login: "x", Password: Secret(test.token)})
		if !errors.Is(err, test.want) || id.Username != test.user {
			t.Errorf("%s: %+v, %v", test.name, id, err)
		}
		if test.want != nil && !errors.Is(err, ErrBadToken) {
			t.Errorf("%s: %v is no bad token", test.name, err)
		}
	}
	if one.asked != 2 || two.asked != 2 {
		t.Errorf("asked %d and %d times", one.asked, two.asked)
	}
	one.fault = errors.New("something else")
	if _, err := c.Proven(t.Context(), "one", Attempt{Password: "t1"}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a fault is %v", err)
	}
	if _, err := c.Find(t.Context(), "app"); !errors.Is(err, ErrUnknownUser) {
		t.Errorf("a machine is found by a name: %v", err)
	}
}

// TestAudience: the first issuer's counts; without one there is none.
func TestAudience(t *testing.T) {
	for want, list := range map[string][]Directory{
		"":        nil,
		"for one": {&desk{issuer: "one"}, &desk{issuer: "two"}},
		"for two": {&nobody{}, &desk{issuer: "two"}},
	} {
		c := NewChain(ChainConfig{Directories: list})
		if got := c.Audience(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		for audience, takes := range map[string]bool{want: want != "", "for two": want != "", "also": want != "", "for three": false, "for": false, "": false} {
			if c.Takes(audience) != takes {
				t.Errorf("of %q: %q is taken: %v", want, audience, !takes)
			}
		}
	}
}

// TestRef: what names somebody later has what they have shown.
func TestRef(t *testing.T) {
	id := Identity{Directory: "d", Username: "u", ID: "i", PasswordStamp: "s", ValidUntil: time.Now()}
	if got := id.Ref(); got != (Ref{Directory: "d", Username: "u", ID: "i", Stamp: "s"}) {
		t.Errorf("%+v", got)
	}
	id.Proof = &Proof{Carried: "{}", ID: "jti"}
	if got := id.Ref(); got.Proof != "{}" || fmt.Sprint(got.Strict) != "false" {
		t.Errorf("%+v", got)
	}
}

// nobody is a directory in which nobody is.
type nobody struct{}

func (*nobody) Name() string { return "people" }

func (*nobody) Find(context.Context, string) (Identity, error) {
	return Identity{}, ErrUnknownUser
}

func (*nobody) Verify(context.Context, Identity, Secret) (Identity, error) {
	return Identity{}, ErrInvalidCredentials
}

func (*nobody) Lookup(context.Context, Ref) (Identity, error) {
	return Identity{}, ErrUnknownUser
}
