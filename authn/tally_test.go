package authn

import (
	"context"
	"net/netip"
	"testing"
	"time"
)

// oneGood is a Tally that knows one good password, and for how long it does.
type oneGood struct {
	member string
	left   time.Duration
}

func (r *oneGood) Claim(context.Context, []Place) (Full, error) { return Full{Place: -1}, nil }
func (r *oneGood) Note(context.Context, []Note) error           { return nil }
func (r *oneGood) Last(context.Context, string) (string, time.Duration, error) {
	return r.member, r.left, nil
}

// TestLearnTheSame: somebody who logged in at another gateway is let through here with the
// password that was good there, also where wrong ones came first and the answer to the second
// question says a few milliseconds less of the same moment.
func TestLearnTheSame(t *testing.T) {
	th := NewThrottle(ThrottleConfig{Failures: 2, Window: time.Hour})
	others := &oneGood{left: rememberedGood - time.Minute}
	th.Share(others, [32]byte{1})
	id := Identity{Directory: "d", Username: "holst", ID: "1"}
	attempt := func(password string) Attempt {
		return Attempt{Login: "holst", Password: Secret(password), Source: netip.MustParseAddr("192.0.2.1")}
	}
	others.member = th.common(attempt("right"), id).password
	try := func(password string, comes error) error {
		y, err := th.admit(t.Context(), attempt(password), id)
		if err == nil {
			y.settle(t.Context(), comes)
		}
		return err
	}
	for _, wrong := range []string{"a", "b"} {
		if err := try(wrong, ErrInvalidCredentials); err != nil {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	if err := try("c", ErrInvalidCredentials); !held(err) {
		t.Errorf("one too many: %v", err)
	}
	others.left -= 50 * time.Millisecond
	if err := try("right", nil); err != nil {
		t.Errorf("the good one: %v", err)
	}
	if err := try("d", ErrInvalidCredentials); !held(err) {
		t.Errorf("a wrong one after it: %v", err)
	}
	// What is known here for much longer than the others know anything is not undone by them.
	th.good.Add(th.tryOf(attempt("right"), id).pair, goodLogin{at: time.Now()})
	others.left = rememberedGood - time.Hour
	if err := try("right", nil); !held(err) {
		t.Errorf("one that was disproved here since: %v", err)
	}
}

// tryOf is the login of a person.
func (t *Throttle) tryOf(a Attempt, id Identity) *try {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tryLocked(a, t.seal.digest("person", id.Directory, id.Username), true)
}
