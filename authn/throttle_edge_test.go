package authn

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// counter is a throttle whose logins a test begins and ends by hand.
type counter struct {
	*testing.T
	*Throttle
}

// counting runs a test with a counter, in its own time.
func counting(t *testing.T, cfg ThrottleConfig, test func(c counter)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(counter{t, NewThrottle(cfg)}) })
}

func (c counter) begin(name, password, source string) (*try, error) {
	return c.admit(c.Context(), Attempt{Login: name, Password: Secret(password), Source: netip.MustParseAddr(source)}, Identity{Directory: "example", Username: name})
}

// end begins a login that must be admitted and ends it with err.
func (c counter) end(name, password, source string, err error) {
	c.Helper()
	y, held := c.begin(name, password, source)
	if held != nil {
		c.Fatalf("%s with %s: %v", name, password, held)
	}
	y.settle(c.Context(), err)
}

// held checks that a login is throttled, by which limit and for how long.
func (c counter) held(name, password, source, limit string, wait time.Duration) {
	c.Helper()
	throttled := new(ThrottledError)
	if _, err := c.begin(name, password, source); !errors.As(err, &throttled) || throttled.Limit != limit || throttled.RetryAfter != wait {
		c.Errorf("%s with %s: %v; want %s for %s", name, password, err, limit, wait)
	}
}

const here = "192.0.2.1"

// TestThrottleSaysWhen: the wait is until the failure ends that makes one too many,
// and the limit that is told is the one that lasts longer.
func TestThrottleSaysWhen(t *testing.T) {
	counting(t, ThrottleConfig{Failures: 3, Window: 10 * time.Minute, UsersPerSource: 3}, func(c counter) {
		for i, name := range []string{"a", "b", "c"} {
			c.end(name, fmt.Sprint(i), here, ErrInvalidCredentials)
			time.Sleep(time.Minute)
		}
		c.held("d", "x", here, "users_per_source", 7*time.Minute)
	})
	counting(t, ThrottleConfig{Failures: 1, Window: 10 * time.Minute, UsersPerSource: 2}, func(c counter) {
		c.end("a", "x", here, ErrInvalidCredentials)
		time.Sleep(time.Minute)
		c.end("b", "x", here, ErrInvalidCredentials)
		c.held("b", "y", here, "failures", 10*time.Minute)
		c.held("c", "y", here, "users_per_source", 9*time.Minute)
		time.Sleep(9*time.Minute + 59*time.Second + 900*time.Millisecond)
		c.held("b", "y", here, "failures", time.Second) // never less
	})
}

// TestThrottleLapses: what no longer counts makes room, a failure that lapsed may
// count again, and a name that fails again counts from then.
func TestThrottleLapses(t *testing.T) {
	cfg := ThrottleConfig{Failures: 1, Window: 10 * time.Minute, UsersPerSource: 3}
	counting(t, cfg, func(c counter) {
		for _, names := range [][]string{{"a", "b", "c"}, {"d", "e", "f"}, {"a", "b", "c"}} {
			for _, name := range names {
				c.end(name, "same", here, ErrInvalidCredentials)
			}
			c.held("g", "x", here, "users_per_source", cfg.Window)
			c.held("a", "other", here, map[bool]string{true: "failures", false: "users_per_source"}[names[0] == "a"], cfg.Window)
			time.Sleep(cfg.Window)
		}
	})
	counting(t, cfg, func(c counter) {
		c.end("a", "right", here, nil) // and so is not held
		c.end("a", "wrong", here, ErrInvalidCredentials)
		c.end("b", "wrong", here, ErrInvalidCredentials)
		c.end("c", "wrong", here, ErrInvalidCredentials)
		time.Sleep(cfg.Window / 2)
		c.end("a", "right", here, ErrInvalidCredentials)
		c.held("d", "x", here, "users_per_source", cfg.Window/2)
		time.Sleep(cfg.Window / 2)
		first, err := c.begin("d", "x", here) // a counts still, b and c do not
		second, err2 := c.begin("e", "x", here)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		c.held("f", "x", here, "users_per_source", time.Second)
		first.settle(c.Context(), nil)
		second.settle(c.Context(), nil)
	})
}

// TestThrottleBeside: failures that count and passwords that are being checked are
// too many together, for a person as for a network.
func TestThrottleBeside(t *testing.T) {
	counting(t, ThrottleConfig{Failures: 3, Window: time.Minute}, func(c counter) {
		c.end("a", "1", here, ErrInvalidCredentials)
		c.end("a", "2", here, ErrInvalidCredentials)
		y, err := c.begin("a", "3", here)
		if err != nil {
			t.Fatal(err)
		}
		c.held("a", "4", here, "failures", time.Second)
		again, err := c.begin("a", "3", here)
		if err != nil {
			t.Fatalf("the same password beside itself: %v", err)
		}
		known, err := c.begin("a", "2", here)
		if err != nil {
			t.Fatalf("a password that counts already: %v", err)
		}
		for _, y := range []*try{y, again, known} {
			y.settle(c.Context(), ErrUnavailable)
		}
		c.end("a", "4", here, nil)
	})
}

// TestThrottleFamiliarForADay: a network that somebody logged in from is theirs for
// a day, and no longer.
func TestThrottleFamiliarForADay(t *testing.T) {
	counting(t, ThrottleConfig{Window: 48 * time.Hour, UsersPerSource: 1, InFlight: 1}, func(c counter) {
		c.end("a", "right", here, nil)
		c.end("b", "wrong", here, ErrInvalidCredentials)
		time.Sleep(rememberedGood - time.Second)
		c.end("a", "right", here, ErrUnavailable)
		time.Sleep(time.Second)
		c.held("a", "right", here, "users_per_source", 24*time.Hour)
	})
}

// TestThrottleLeaving: who leaves with the good password, or was told to wait, has
// not failed.
func TestThrottleLeaving(t *testing.T) {
	counting(t, ThrottleConfig{Failures: 1, Window: time.Hour}, func(c counter) {
		gone, leave := context.WithCancel(c.Context())
		leave()
		c.end("a", "right", here, nil)
		for _, err := range []error{ErrUnavailable, &ThrottledError{}} {
			y, held := c.begin("a", map[bool]string{true: "right", false: "wrong"}[errors.Is(err, ErrUnavailable)], here)
			if held != nil {
				t.Fatal(held)
			}
			y.settle(gone, err)
		}
		c.end("a", "wrong", here, ErrInvalidCredentials)
		c.held("a", "worse", here, "failures", time.Hour)
	})
}

// TestThrottleOff: a limit that is 0 counts nothing.
func TestThrottleOff(t *testing.T) {
	counting(t, ThrottleConfig{Window: time.Hour}, func(c counter) {
		for i := range 100 {
			c.end(fmt.Sprint("user", i%10), fmt.Sprint(i), here, ErrInvalidCredentials)
		}
		if got := c.people.pairs.Len() + c.unknown.pairs.Len() + c.sources.networks.Len(); got != 0 {
			t.Errorf("%d entries", got)
		}
	})
}

// TestThrottleNetworks: an IPv4 network is a /24 and an IPv6 network a /64, for
// names as for passwords; where the client is known, a proxy is not asked about.
func TestThrottleNetworks(t *testing.T) {
	counting(t, ThrottleConfig{Failures: 1, Window: time.Hour, UsersPerSource: 2}, func(c counter) {
		const hour = time.Hour
		c.end("a", "1", "2001:db8:0:1::1", ErrInvalidCredentials)
		c.held("a", "2", "2001:db8:0:1:ffff:ffff:ffff:ffff", "failures", hour)
		c.held("a", "2", "2001:db8:0:1::2%eth0", "failures", hour)
		c.end("a", "2", "2001:db8:0:2::1", ErrInvalidCredentials)
		c.end("b", "1", "2001:db8:0:1::3", ErrInvalidCredentials)
		c.held("c", "1", "2001:db8:0:1::4", "users_per_source", hour)
		c.end("c", "1", "2001:db8:0:0::4", ErrInvalidCredentials)
		c.end("a", "1", "::ffff:192.0.2.200", ErrInvalidCredentials)
		c.held("a", "2", here, "failures", hour)
		c.end("a", "2", "192.0.3.1", ErrInvalidCredentials)
	})
	one, proxy := netip.MustParseAddr(here), netip.MustParseAddr("10.0.0.1")
	for name, test := range map[string]struct{ a, b Attempt }{
		"the client counts":        {Attempt{Source: one, Via: proxy}, Attempt{Source: one}},
		"a proxy in both writings": {Attempt{Via: proxy}, Attempt{Via: netip.MustParseAddr("::ffff:10.0.0.1")}},
	} {
		if test.a.network() != test.b.network() {
			t.Errorf("%s: %s and %s", name, test.a.network(), test.b.network())
		}
	}
	if (Attempt{Via: proxy}).network() == (Attempt{Source: proxy}).network() {
		t.Error("the clients of a proxy count as the proxy itself")
	}
}

// TestGuessesLapse (A9): guesses that are older than the window no longer hide the
// good password, though its failures are used up again.
func TestGuessesLapse(t *testing.T) {
	cfg := ThrottleConfig{Failures: 1, Window: 10 * time.Minute}
	counting(t, cfg, func(c counter) {
		c.end("a", "right", here, nil)
		c.end("a", "first", here, ErrInvalidCredentials)
		time.Sleep(time.Minute)
		for i := range guessesMax {
			c.held("a", fmt.Sprint("guess", i), here, "failures", 9*time.Minute)
		}
		c.held("a", "right", here, "failures", 9*time.Minute)
		time.Sleep(9 * time.Minute)
		c.end("a", "second", here, ErrInvalidCredentials)
		c.held("a", "right", here, "failures", 10*time.Minute)
		time.Sleep(time.Minute)
		c.end("a", "right", here, nil)
		c.held("a", "one more", here, "failures", 9*time.Minute)
		c.end("a", "right", here, nil)
	})
}

// TestThrottleNamesAreBounded: a network has no more names than the limit, though
// those who logged in from there before go on failing.
func TestThrottleNamesAreBounded(t *testing.T) {
	counting(t, ThrottleConfig{Window: time.Hour, UsersPerSource: 3}, func(c counter) {
		for i := range 20 {
			c.end(fmt.Sprint("user", i), "right", here, nil)
		}
		for i := range 20 {
			c.end(fmt.Sprint("user", i), "wrong", here, ErrInvalidCredentials)
		}
		if got := len(c.sources.lasting(Attempt{Source: netip.MustParseAddr(here)}.network(), time.Hour, time.Now())); got != 3 {
			t.Errorf("%d names, want 3", got)
		}
	})
}
