package upstream

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestAside: a dial fault or three faults in a row put an address aside for 1s, doubling
// to 30s; only a look at it after that, or a request that went there all the same, brings
// it back.
func TestAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s state
		paused := func(want time.Duration, what string) {
			t.Helper()
			until := s.aside()
			if got := time.Until(until); until.IsZero() && want != 0 || !until.IsZero() && got != want {
				t.Fatalf("%s: aside for %s, want %s", what, got, want)
			}
		}
		now := func(o verdict) { s.take(time.Now(), o) }
		for _, o := range []verdict{fault, fault, good, fault, fault, nothing} {
			now(o)
		}
		paused(0, "two faults in a row")
		old := time.Now()
		time.Sleep(time.Second)
		now(fault)
		paused(time.Second, "three in a row, with one between that says nothing")
		s.take(old, good)
		s.take(old, unreachable)
		now(unreachable)
		paused(time.Second, "what began before, and faults while it is aside")
		s.looked(good)
		paused(time.Second, "a look before its time")
		for _, want := range []time.Duration{2, 4, 8, 16, 30, 30} {
			time.Sleep(time.Until(s.aside()))
			s.looked(fault)
			paused(want*time.Second, "a look that failed")
			s.looked(fault)
			paused(want*time.Second, "a second one beside it")
		}
		time.Sleep(time.Minute)
		s.looked(nothing)
		if s.aside().IsZero() {
			t.Error("a look that came to nothing brought it back")
		}
		s.looked(good)
		paused(0, "a good look")
		now(unreachable)
		paused(30*time.Second, "before any request was answered well")
		time.Sleep(time.Minute)
		s.looked(good)
		now(good)
		now(unreachable)
		paused(time.Second, "a dial fault after a good answer")
		time.Sleep(time.Millisecond)
		now(good)
		paused(0, "a request that went there while it was aside")
		s.looked(fault)
		paused(0, "a look that gets a bad answer from a healthy one")
		s.looked(unreachable)
		paused(time.Second, "a look that finds nobody")
	})
}

// TestVerdict: a client that leaves, or whose body breaks, says nothing of the address.
func TestVerdict(t *testing.T) {
	gone, leave := context.WithCancel(t.Context())
	leave()
	cause := errors.New("x")
	for _, c := range []struct {
		ctx    context.Context
		status int
		err    error
		want   verdict
	}{
		{t.Context(), 200, nil, good}, {t.Context(), 404, nil, good}, {t.Context(), 500, nil, fault}, {t.Context(), 503, nil, fault},
		{t.Context(), 0, &Error{ErrUnreachable, 0, false, cause}, unreachable}, {t.Context(), 0, &Error{ErrUnreachable, 0, true, cause}, fault},
		{t.Context(), 0, &Error{ErrSilent, 0, true, cause}, fault}, {t.Context(), 0, &Error{ErrBody, 0, false, cause}, nothing},
		{t.Context(), 0, &Error{context.Canceled, 0, true, cause}, nothing}, {gone, 0, &Error{ErrUnreachable, 0, false, cause}, nothing},
		{gone, 0, &Error{ErrSilent, 0, true, cause}, nothing}, {t.Context(), 0, &Error{ErrAnswer, 401, true, cause}, good},
		{t.Context(), 0, &Error{ErrAnswer, 502, true, cause}, fault},
	} {
		if got := verdictOf(c.ctx, c.status, c.err); got != c.want {
			t.Errorf("%d %v: %d, want %d", c.status, c.err, got, c.want)
		}
	}
}

// TestWhy: the last fault is kept, and nothing else.
func TestWhy(t *testing.T) {
	s := &state{}
	if s.why() == nil {
		t.Error("no reason, and none is said")
	}
	first, second := errors.New("first"), errors.New("second")
	s.blame(fault, first)
	s.blame(good, nil)
	s.blame(nothing, second)
	if s.why() != first {
		t.Errorf("%v", s.why())
	}
	if s.blame(unreachable, second); s.why() != second {
		t.Errorf("%v", s.why())
	}
}
