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

var throttleConfig = ThrottleConfig{Failures: 5, Window: 5 * time.Minute, UsersPerSource: 50}

// people is a directory of made-up people whose password is "right"; it counts
// what reaches it.
type people struct {
	known        map[string]string // login to canonical name
	fault        error
	finds, binds int
}

func (p *people) Name() string { return "example" }

func (p *people) Find(_ context.Context, login string) (Identity, error) {
	p.finds++
	name, ok := p.known[login]
	if !ok {
		return Identity{}, ErrUnknownUser
	}
	return Identity{Directory: "example", Username: name, ID: name}, nil
}

func (p *people) Verify(_ context.Context, id Identity, password Secret) (Identity, error) {
	p.binds++
	switch {
	case p.fault != nil:
		return Identity{}, p.fault
	case password != "right":
		return Identity{}, ErrInvalidCredentials
	}
	return id, nil
}

func (p *people) Lookup(context.Context, Ref) (Identity, error) { return Identity{}, ErrUnknownUser }

// step is one login and the end it must have: "ok", "no", "throttled" or "fault".
type step struct {
	login, password, source, want string
}

func ending(err error) string {
	throttled := new(ThrottledError)
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &throttled):
		return "throttled"
	case errors.Is(err, ErrInvalidCredentials):
		return "no"
	case errors.Is(err, ErrUnavailable):
		return "fault"
	}
	return err.Error()
}

// withChain runs a test in its own time, before made-up people.
func withChain(t *testing.T, cfg ThrottleConfig, test func(*testing.T, *people, *Chain)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &people{known: map[string]string{"bach": "bach", "BACH": "bach", "bach@example.com": "bach", "haydn": "haydn"}}
		test(t, p, NewChain(ChainConfig{Directories: []Directory{p}, Throttle: NewThrottle(cfg)}))
	})
}

func attempt(c *Chain, login, password, source string) error {
	_, err := c.Authenticate(context.Background(), Attempt{Login: login, Password: Secret(password), Source: netip.MustParseAddr(source)})
	return err
}

// wrong makes logins with n different wrong passwords, which must all end as "no".
func wrong(t *testing.T, c *Chain, login, source string, n int) {
	t.Helper()
	for i := range n {
		if got := ending(attempt(c, login, fmt.Sprintf("wrong%d", i), source)); got != "no" {
			t.Fatalf("wrong password %d of %s: %s", i, login, got)
		}
	}
}

func TestThrottlePerson(t *testing.T) {
	const here, near, far = "192.0.2.1", "192.0.2.77", "198.51.100.1"
	for name, test := range map[string]struct {
		login, source string
		failures      int
		then          []step
	}{
		"the limit":           {"bach", here, 5, []step{{"bach", "right", here, "throttled"}, {"bach", "wrong0", here, "throttled"}}},
		"one below":           {"bach", here, 4, []step{{"bach", "right", here, "ok"}}},
		"same network":        {"bach", here, 5, []step{{"bach", "right", near, "throttled"}}},
		"mapped IPv4":         {"bach", here, 5, []step{{"bach", "right", "::ffff:192.0.2.9", "throttled"}}},
		"another network":     {"bach", here, 5, []step{{"bach", "right", far, "ok"}}},
		"same /64":            {"bach", "2001:db8::1", 5, []step{{"bach", "right", "2001:db8::ffff:1", "throttled"}, {"bach", "right", "2001:db8:0:1::1", "ok"}}},
		"another person":      {"bach", here, 5, []step{{"haydn", "right", here, "ok"}}},
		"by alias":            {"bach", here, 5, []step{{"bach@example.com", "right", here, "throttled"}, {"BACH", "right", here, "throttled"}}},
		"unknown alike":       {"kant", here, 5, []step{{"kant", "right", here, "throttled"}, {" KANT ", "x", here, "throttled"}, {"kant", "x", far, "no"}}},
		"same wrong password": {"bach", here, 4, []step{{"bach", "wrong0", here, "no"}, {"bach", "wrong1", here, "no"}, {"bach", "right", here, "ok"}}},
		"a good login clears none (A9)": {"bach", here, 4, []step{{"bach", "right", here, "ok"}, {"bach", "w1", here, "no"}, {"bach", "w2", here, "throttled"},
			{"bach", "wrong0", here, "throttled"}, {"bach", "right", near, "ok"}, {"bach@example.com", "right", here, "ok"}, {"bach", "w2", far, "no"}}},
		"but not of others": {"bach", here, 5, []step{{"haydn", "right", here, "ok"}, {"bach", "right", here, "throttled"}}},
		"empty passwords":   {"bach", here, 4, []step{{"bach", "", here, "no"}, {"bach", "\x00", here, "no"}, {"bach", "right", here, "ok"}}},
	} {
		t.Run(name, func(t *testing.T) {
			withChain(t, throttleConfig, func(t *testing.T, _ *people, c *Chain) {
				wrong(t, c, test.login, test.source, test.failures)
				for i, s := range test.then {
					if got := ending(attempt(c, s.login, s.password, s.source)); got != s.want {
						t.Errorf("step %d, %+v: %s", i, s, got)
					}
				}
			})
		})
	}
}

// TestThrottleAsksNobody: a throttled login reaches no directory, and takes no time.
func TestThrottleAsksNobody(t *testing.T) {
	withChain(t, throttleConfig, func(t *testing.T, p *people, c *Chain) {
		wrong(t, c, "bach", "192.0.2.1", 5)
		wrong(t, c, "kant", "192.0.2.1", 5)
		finds, binds, began := p.finds, p.binds, time.Now()
		for _, login := range []string{"bach", "kant"} {
			if got := ending(attempt(c, login, "right", "192.0.2.1")); got != "throttled" {
				t.Errorf("%s: %s", login, got)
			}
		}
		if p.finds != finds || p.binds != binds || time.Since(began) != 0 {
			t.Errorf("%d finds and %d binds in %s", p.finds-finds, p.binds-binds, time.Since(began))
		}
	})
}

func TestThrottleAges(t *testing.T) {
	withChain(t, throttleConfig, func(t *testing.T, _ *people, c *Chain) {
		for i := range 5 {
			if got := ending(attempt(c, "bach", fmt.Sprint("wrong", i), "192.0.2.1")); got != "no" {
				t.Fatalf("failure %d: %s", i, got)
			}
			time.Sleep(10 * time.Second)
		}
		busy := new(ThrottledError)
		if err := attempt(c, "bach", "right", "192.0.2.1"); !errors.As(err, &busy) || busy.RetryAfter > 5*time.Minute-50*time.Second {
			t.Fatalf("got %v", err)
		}
		time.Sleep(busy.RetryAfter - time.Second)
		if err := attempt(c, "bach", "right", "192.0.2.1"); !errors.As(err, &busy) || busy.RetryAfter < time.Second {
			t.Errorf("a second early: %v", err)
		}
		time.Sleep(busy.RetryAfter)
		if err := attempt(c, "bach", "right", "192.0.2.1"); err != nil {
			t.Errorf("after RetryAfter: %v", err)
		}
	})
}

func TestThrottleFaultsDoNotCount(t *testing.T) {
	withChain(t, throttleConfig, func(t *testing.T, p *people, c *Chain) {
		p.fault = errors.New("connection refused")
		for i := range 20 {
			if got := ending(attempt(c, "bach", fmt.Sprint(i), "192.0.2.1")); got != "fault" {
				t.Fatal(got)
			}
		}
		p.fault = nil
		if err := attempt(c, "bach", "right", "192.0.2.1"); err != nil {
			t.Error(err)
		}
	})
}

func TestThrottleSpraying(t *testing.T) {
	withChain(t, throttleConfig, func(t *testing.T, p *people, c *Chain) {
		if err := attempt(c, "bach", "right", "192.0.2.1"); err != nil {
			t.Fatal(err)
		}
		for i := range 50 {
			if got := ending(attempt(c, fmt.Sprint("user", i), "x", "192.0.2.1")); got != "no" {
				t.Fatalf("name %d: %s", i, got)
			}
		}
		finds := p.finds
		for _, s := range []step{
			{"user50", "x", "192.0.2.9", "throttled"},
			{"haydn", "right", "192.0.2.1", "throttled"}, // never seen from here
			{"bach", "right", "192.0.2.1", "ok"},         // known-good
			{"haydn", "right", "198.51.100.1", "ok"},
		} {
			if got := ending(attempt(c, s.login, s.password, s.source)); got != s.want {
				t.Errorf("%+v: %s", s, got)
			}
		}
		if p.finds != finds+2 {
			t.Errorf("%d logins reached the directory, want 2", p.finds-finds)
		}
		time.Sleep(throttleConfig.Window)
		if err := attempt(c, "haydn", "right", "192.0.2.1"); err != nil {
			t.Errorf("after the window: %v", err)
		}
	})
}

// TestThrottleFlood (G4, H7): random names do not push out the counter of a person under attack.
func TestThrottleFlood(t *testing.T) {
	withChain(t, ThrottleConfig{Failures: 5, Window: time.Hour}, func(t *testing.T, _ *people, c *Chain) {
		wrong(t, c, "bach", "192.0.2.1", 5)
		th := c.throttle
		for i := range throttledUnknown + 1000 {
			a := Attempt{Login: fmt.Sprint("junk", i), Password: "x", Source: netip.MustParseAddr("192.0.2.1")}
			try, err := th.admit(t.Context(), a, Identity{})
			if err != nil {
				t.Fatal(err)
			}
			try.settle(t.Context(), ErrUnknownUser)
		}
		if n := th.unknown.pairs.Len(); n != throttledUnknown {
			t.Errorf("%d unknown names are kept, want %d", n, throttledUnknown)
		}
		if got := len(th.passwords) + len(th.checked) + len(th.everywhere); got != 0 {
			t.Errorf("%d logins are still counted as running", got)
		}
		if got := ending(attempt(c, "bach", "right", "192.0.2.1")); got != "throttled" {
			t.Errorf("after the flood: %s", got)
		}
	})
}

// TestThrottleSideBySide: logins that run at once cannot try more passwords than
// those that come one by one; many with one password are no attack.
func TestThrottleSideBySide(t *testing.T) {
	th := NewThrottle(throttleConfig)
	bach := Identity{Directory: "example", Username: "bach"}
	at := func(password string) (*try, error) {
		return th.admit(t.Context(), Attempt{Login: "bach", Password: Secret(password), Source: netip.MustParseAddr("192.0.2.1")}, bach)
	}
	var running []*try
	for i := range 40 {
		y, err := at(fmt.Sprint("guess", i/8))
		if err != nil {
			t.Fatalf("login %d: %v", i, err)
		}
		running = append(running, y)
	}
	if _, err := at("a sixth"); ending(err) != "throttled" {
		t.Errorf("a sixth password beside five: %v", err)
	}
	for _, y := range running {
		y.settle(t.Context(), ErrUnavailable)
	}
	if y, err := at("a sixth"); err != nil {
		t.Errorf("after five faults: %v", err)
	} else {
		y.settle(t.Context(), nil)
	}
}

// TestThrottleInFlight (H13): guesses at one person from everywhere at once are
// held, but a cluster with one password is not, and neither is a network that the
// person has just logged in from.
func TestThrottleInFlight(t *testing.T) {
	th := NewThrottle(ThrottleConfig{Failures: 5, Window: time.Minute, InFlight: 3})
	bach := Identity{Directory: "example", Username: "bach"}
	at := func(password, source string) (*try, error) {
		return th.admit(t.Context(), Attempt{Login: "bach", Password: Secret(password), Source: netip.MustParseAddr(source)}, bach)
	}
	y, err := at("right", "203.0.113.1")
	if err != nil {
		t.Fatal(err)
	}
	y.settle(t.Context(), nil)
	var running []*try
	for i := range 300 {
		y, err := at(fmt.Sprint("secret", i%3), fmt.Sprintf("10.%d.%d.1", i/200, i%200))
		if err != nil {
			t.Fatalf("login %d: %v", i, err)
		}
		running = append(running, y)
	}
	busy := new(ThrottledError)
	if _, err := at("a fourth", "192.0.2.1"); !errors.As(err, &busy) || busy.Limit != "logins_per_user" || busy.RetryAfter != time.Second {
		t.Errorf("a fourth password: %v", err)
	}
	good, err := at("right", "203.0.113.9")
	if err != nil {
		t.Errorf("from a known-good network: %v", err)
	}
	other, err := th.admit(t.Context(), Attempt{Login: "kant", Password: "x", Source: netip.MustParseAddr("192.0.2.1")}, Identity{})
	if err != nil {
		t.Errorf("another name: %v", err)
	}
	for _, y := range append(running, good, other) {
		y.settle(t.Context(), ErrUnavailable)
	}
	if len(th.everywhere)+len(th.passwords)+len(th.checked) != 0 {
		t.Errorf("%d people still have logins in flight", len(th.everywhere))
	}
	if _, err := at("a fourth", "192.0.2.1"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestThrottleCallerLeaves: hanging up before the answer does not save a failure.
func TestThrottleCallerLeaves(t *testing.T) {
	withChain(t, throttleConfig, func(t *testing.T, p *people, c *Chain) {
		p.fault = context.Canceled
		ctx, leave := context.WithCancel(t.Context())
		leave()
		for i := range 5 {
			_, err := c.Authenticate(ctx, Attempt{Login: "bach", Password: Secret(fmt.Sprint(i)), Source: netip.MustParseAddr("192.0.2.1")})
			wantErr(t, err, ErrUnavailable)
		}
		if got := ending(attempt(c, "bach", "right", "192.0.2.1")); got != "throttled" {
			t.Error(got)
		}
	})
}

func TestThrottleConfigure(t *testing.T) {
	withChain(t, ThrottleConfig{Failures: 3, Window: time.Minute}, func(t *testing.T, _ *people, c *Chain) {
		wrong(t, c, "bach", "192.0.2.1", 3)
		for _, s := range []struct {
			cfg  ThrottleConfig
			want string
		}{
			{ThrottleConfig{Failures: 3, Window: time.Minute}, "throttled"},
			{ThrottleConfig{Failures: 4, Window: time.Minute}, "no"},
			{ThrottleConfig{Failures: 0, Window: time.Minute}, "no"},
			{ThrottleConfig{Failures: 2, Window: time.Minute}, "throttled"},
		} {
			c.throttle.Configure(s.cfg)
			if got := ending(attempt(c, "bach", "wrong0", "192.0.2.1")); got != s.want {
				t.Errorf("%+v: %s, want %s", s.cfg, got, s.want)
			}
		}
	})
}

// FuzzJoin: two lists of parts never give one key.
func FuzzJoin(f *testing.F) {
	f.Add("a", "bc", "ab", "c")
	f.Add("", "x", "x", "")
	f.Add("\x01a", "", "", "\x01a")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		same := a == c && b == d
		if (join(a, b) == join(c, d)) != same {
			t.Errorf("%q %q and %q %q", a, b, c, d)
		}
		if join(a, b) == join(a+b) {
			t.Errorf("%q %q and %q", a, b, a+b)
		}
	})
}
