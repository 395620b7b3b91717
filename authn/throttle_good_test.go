package authn

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestGuessingBesideGoodLogins (A9): behind a shared address a job that logs in
// again and again does not clear the way for guesses, and is itself not held up.
func TestGuessingBesideGoodLogins(t *testing.T) {
	withChain(t, throttleConfig, func(t *testing.T, p *people, c *Chain) {
		checked := 0
		for i := range 200 {
			if err := attempt(c, "bach", "right", "192.0.2.1"); err != nil {
				t.Fatalf("round %d: the good login: %v", i, err)
			}
			for j := range 4 {
				if ending(attempt(c, "bach", fmt.Sprint("guess", i, j), "192.0.2.2")) == "no" {
					checked++
				}
			}
			time.Sleep(time.Second) // which also passes the window once it is full
		}
		if windows := 1 + 200*time.Second/throttleConfig.Window; checked != 5*int(windows) {
			t.Errorf("%d guesses reached the directory, want 5", checked)
		}
	})
}

// TestKnownGoodPassword (A9): the password that was good from a network passes
// there although the failures are used up; it is no longer known where it has been
// refused, after a day, or from elsewhere.
func TestKnownGoodPassword(t *testing.T) {
	const here, far = "192.0.2.1", "198.51.100.1"
	for name, test := range map[string]struct {
		between func(t *testing.T, p *people, c *Chain)
		source  string
		want    string
	}{
		"at once":                 {func(*testing.T, *people, *Chain) {}, here, "ok"},
		"nearly a day later":      {func(*testing.T, *people, *Chain) { time.Sleep(rememberedGood - time.Hour) }, here, "ok"},
		"a day later":             {func(*testing.T, *people, *Chain) { time.Sleep(rememberedGood) }, here, "throttled"},
		"good in another network": {func(*testing.T, *people, *Chain) {}, far, "throttled"},
		"after a fault": {func(t *testing.T, p *people, c *Chain) {
			p.fault = errors.New("away")
			attempt(c, "bach", "right", here)
			p.fault = nil
		}, here, "ok"},
		"refused since, so it stays": {func(t *testing.T, p *people, c *Chain) {
			p.fault = ErrInvalidCredentials
			attempt(c, "bach", "right", here)
			p.fault = nil
		}, here, "throttled"},
		"who left was not refused": {func(t *testing.T, p *people, c *Chain) {
			p.fault = context.Canceled
			ctx, leave := context.WithCancel(t.Context())
			leave()
			c.Authenticate(ctx, Attempt{Login: "bach", Password: "right", Source: netip.MustParseAddr(here)})
			p.fault = nil
		}, here, "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			withChain(t, ThrottleConfig{Failures: 5, Window: 48 * time.Hour}, func(t *testing.T, p *people, c *Chain) {
				if err := attempt(c, "bach", "right", here); err != nil {
					t.Fatal(err)
				}
				for i := range 5 {
					attempt(c, "bach", fmt.Sprint("wrong", i), test.source)
				}
				test.between(t, p, c)
				if got := ending(attempt(c, "bach", "right", test.source)); got != test.want {
					t.Errorf("%s, want %s", got, test.want)
				}
				if got := ending(attempt(c, "bach", "another", test.source)); got != "throttled" {
					t.Errorf("another password: %s", got)
				}
			})
		})
	}
}

// TestKnownGoodIsNoOracle (A9): that the good password passes must not let a
// neighbour try as many as they like; a job stuck with a wrong one is no guessing.
func TestKnownGoodIsNoOracle(t *testing.T) {
	withChain(t, throttleConfig, func(t *testing.T, p *people, c *Chain) {
		if err := attempt(c, "bach", "right", "192.0.2.1"); err != nil {
			t.Fatal(err)
		}
		wrong(t, c, "bach", "192.0.2.1", 5)
		for range guessesMax {
			attempt(c, "bach", "wrong3", "192.0.2.1") // the stuck job
		}
		for i := range guessesMax {
			if err := attempt(c, "bach", "right", "192.0.2.1"); err != nil {
				t.Fatalf("after %d guesses: %v", i, err)
			}
			attempt(c, "bach", fmt.Sprint("guess", i), "192.0.2.1")
		}
		if got := ending(attempt(c, "bach", "right", "192.0.2.1")); got != "throttled" {
			t.Errorf("after %d guesses: %s", guessesMax, got)
		}
		if got := ending(attempt(c, "bach", "right", "198.51.100.1")); got != "ok" {
			t.Errorf("from elsewhere: %s", got)
		}
		time.Sleep(throttleConfig.Window)
		if got := ending(attempt(c, "bach", "right", "192.0.2.1")); got != "ok" {
			t.Errorf("after the window: %s", got)
		}
	})
}

// TestLeftBeforeItWasGood (A9): a password that counted because its caller left
// counts no more once it turns out good.
func TestLeftBeforeItWasGood(t *testing.T) {
	withChain(t, ThrottleConfig{Failures: 2, Window: time.Hour}, func(t *testing.T, p *people, c *Chain) {
		p.fault = context.Canceled
		ctx, leave := context.WithCancel(t.Context())
		leave()
		c.Authenticate(ctx, Attempt{Login: "bach", Password: "right", Source: netip.MustParseAddr("192.0.2.1")})
		p.fault = nil
		if err := attempt(c, "bach", "right", "192.0.2.1"); err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"no", "no", "throttled"} {
			if got := ending(attempt(c, "bach", fmt.Sprint("wrong", i), "192.0.2.1")); got != want {
				t.Errorf("wrong password %d: %s, want %s", i, got, want)
			}
		}
	})
}

// slowly is a directory that takes a while over each password and refuses it.
type slowly struct {
	mu    sync.Mutex
	asked map[string]bool
}

func (s *slowly) Name() string { return "example" }

func (s *slowly) Find(_ context.Context, login string) (Identity, error) {
	return Identity{Directory: "example", Username: login, ID: login}, nil
}

func (s *slowly) Verify(_ context.Context, id Identity, password Secret) (Identity, error) {
	s.mu.Lock()
	s.asked[id.Username] = true
	s.mu.Unlock()
	time.Sleep(200 * time.Millisecond)
	if password == "right" {
		return id, nil
	}
	return Identity{}, ErrInvalidCredentials
}

func (s *slowly) Lookup(context.Context, Ref) (Identity, error) { return Identity{}, ErrUnknownUser }

// TestSprayingSideBySide (A3): one password tried at many names at once reaches no
// more of them than one after the other would.
func TestSprayingSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &slowly{asked: map[string]bool{}}
		c := NewChain(ChainConfig{Directories: []Directory{d}, Throttle: NewThrottle(ThrottleConfig{Failures: 5, Window: 5 * time.Minute, UsersPerSource: 50, InFlight: 16})})
		for round := range 3 {
			var all sync.WaitGroup
			for i := range 1000 {
				all.Go(func() {
					err := attempt(c, fmt.Sprint("user", i), "Spring2026!", fmt.Sprintf("192.0.2.%d", i%200))
					throttled := new(ThrottledError)
					if errors.As(err, &throttled) && throttled.Limit != "users_per_source" {
						t.Errorf("throttled by %s", throttled.Limit)
					}
				})
			}
			all.Wait()
			if len(d.asked) != 50 {
				t.Errorf("round %d: passwords of %d people were checked, want 50", round, len(d.asked))
			}
		}
		if err := attempt(c, "elsewhere", "right", "198.51.100.1"); err != nil {
			t.Errorf("another network: %v", err)
		}
		if got := len(c.throttle.checked); got != 0 {
			t.Errorf("%d networks are still being checked", got)
		}
	})
}

// TestSourceSideBySide (A3): names being checked count together with those that
// failed; who logged in from there before neither counts nor is held up, the same
// name twice is one, and a wait for those running is a second.
func TestSourceSideBySide(t *testing.T) {
	th := NewThrottle(ThrottleConfig{Failures: 5, Window: time.Minute, UsersPerSource: 3})
	at := func(name, source string) (*try, error) {
		return th.admit(t.Context(), Attempt{Login: name, Password: "x", Source: netip.MustParseAddr(source)}, Identity{Directory: "example", Username: name})
	}
	begin := func(name, source string) *try {
		t.Helper()
		y, err := at(name, source)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return y
	}
	for _, name := range []string{"old", "older"} {
		begin(name, "192.0.2.1").settle(t.Context(), nil)
	}
	begin("failed", "192.0.2.1").settle(t.Context(), ErrInvalidCredentials)
	running := []*try{begin("old", "192.0.2.1"), begin("older", "192.0.2.1"), begin("a", "192.0.2.1"), begin("b", "192.0.2.9"), begin("a", "192.0.2.1"), begin("failed", "192.0.2.1")}
	held := new(ThrottledError)
	if _, err := at("c", "192.0.2.1"); !errors.As(err, &held) || held.Limit != "users_per_source" || held.RetryAfter != time.Second {
		t.Errorf("a fourth name: %v", err)
	}
	if err := th.precheck(t.Context(), Attempt{Login: "d", Password: "x", Source: netip.MustParseAddr("192.0.2.1")}); !errors.As(err, &held) {
		t.Errorf("a name without a person: %v", err)
	}
	running = append(running, begin("c", "198.51.100.1"), begin("old", "192.0.2.2"))
	for _, y := range running {
		y.settle(t.Context(), ErrUnavailable)
	}
	begin("c", "192.0.2.1").settle(t.Context(), nil)
}
