package authn

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// fakeSource is a directory whose people, faults and slowness a test sets. Its
// time limit is 5 s.
type fakeSource struct {
	mu                     sync.Mutex
	people                 map[string]Identity // by login
	passwords              map[string]string   // by username
	fault                  error
	refusal                error // of every bind
	delay                  time.Duration
	down, closed           bool
	canary                 error
	finds, lookups, verify int
	canaries               int
}

const sourceLimit = 5 * time.Second

func newFakeSource() *fakeSource {
	bach := Identity{Directory: "example", Username: "bach", ID: "u-bach", DN: "uid=bach", PasswordStamp: "1", Groups: []Group{{Name: "organists"}}}
	return &fakeSource{
		people:    map[string]Identity{"bach": bach, "bach@example.com": bach},
		passwords: map[string]string{"bach": "fugue"},
	}
}

func (s *fakeSource) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// ask counts, waits as long as the directory is slow, and gives its fault.
func (s *fakeSource) ask(ctx context.Context, counter *int) error {
	s.mu.Lock()
	*counter++
	delay, fault := s.delay, s.fault
	s.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(min(delay, sourceLimit)):
	}
	if delay > sourceLimit {
		return errors.New("no answer in time")
	}
	return fault
}

func (s *fakeSource) Name() string { return "example" }

func (s *fakeSource) Available() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.down
}

// Timeout leaves a slow answer just enough time.
func (s *fakeSource) Timeout() time.Duration { return sourceLimit + time.Millisecond }

func (s *fakeSource) Canary(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.canaries++
	return s.canary
}

func (s *fakeSource) Close() { s.set(func() { s.closed = true }) }

func (s *fakeSource) Find(ctx context.Context, login string) (Identity, error) {
	if err := s.ask(ctx, &s.finds); err != nil {
		return Identity{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ok := s.people[login]
	if !ok {
		return id, ErrAbsent
	}
	return id, nil
}

func (s *fakeSource) Verify(ctx context.Context, id Identity, password Secret) (Identity, error) {
	if err := s.ask(ctx, &s.verify); err != nil {
		return Identity{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusal != nil {
		return Identity{}, s.refusal
	}
	if s.passwords[id.Username] != string(password) {
		return Identity{}, ErrInvalidCredentials
	}
	return id, nil
}

func (s *fakeSource) Lookup(ctx context.Context, ref Ref) (Identity, error) {
	if err := s.ask(ctx, &s.lookups); err != nil {
		return Identity{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ok := s.people[ref.Username]
	switch {
	case !ok:
		return Identity{}, ErrAbsent
	case id.ID != ref.ID:
		return Identity{}, ErrUnknownUser
	}
	return id, nil
}

var (
	bachRef     = Ref{Directory: "example", Username: "bach", ID: "u-bach"}
	strictBach  = Ref{Directory: "example", Username: "bach", ID: "u-bach", Strict: true}
	cacheConfig = CacheConfig{FreshFor: 60 * time.Second, StaleFor: 10 * time.Minute, NegativeFor: 15 * time.Second,
		PasswordFor: 30 * time.Second, WrongPasswordFor: 60 * time.Second}
)

// withCache runs a test in a bubble of its own time.
func withCache(t *testing.T, cfg CacheConfig, test func(*testing.T, *fakeSource, *Cache)) {
	t.Helper()
	defer goleak.VerifyNone(t)
	synctest.Test(t, func(t *testing.T) {
		src := newFakeSource()
		c, err := NewCache(src, cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		test(t, src, c)
	})
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

func (s *fakeSource) wantAsked(t *testing.T, what string, counter *int, want int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if *counter != want {
		t.Errorf("%d %s reached the directory, want %d", *counter, what, want)
	}
}

func lookupBach(t *testing.T, c *Cache) {
	t.Helper()
	id, err := c.Lookup(t.Context(), bachRef)
	if err != nil || id.Username != "bach" || len(id.Groups) != 1 {
		t.Fatalf("Lookup: %+v, %v", id, err)
	}
}

// login is Find and Verify, as a Chain does it.
func login(ctx context.Context, c Directory, name, password string) (Identity, error) {
	id, err := c.Find(ctx, name)
	if err != nil {
		return id, err
	}
	return c.Verify(ctx, id, Secret(password))
}

func TestCacheRevocationBound(t *testing.T) {
	for _, every := range []time.Duration{100 * time.Millisecond, 7 * time.Second, 45 * time.Second} {
		for _, delay := range []time.Duration{0, time.Second, sourceLimit} {
			t.Run(fmt.Sprint(every, delay), func(t *testing.T) {
				withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
					src.set(func() { src.delay = delay })
					for began := time.Now(); time.Since(began) < 2*time.Minute; time.Sleep(every) {
						lookupBach(t, c)
					}
					src.set(func() { delete(src.people, "bach") })
					gone := time.Now()
					last := gone
					for time.Since(gone) < 3*time.Minute {
						if _, err := c.Lookup(t.Context(), bachRef); err == nil {
							last = time.Now()
						} else {
							wantErr(t, err, ErrUnknownUser)
						}
						time.Sleep(every)
					}
					if bound := cacheConfig.FreshFor + sourceLimit; last.Sub(gone) > bound {
						t.Errorf("served %s after the person was gone, bound is %s", last.Sub(gone), bound)
					}
				})
			})
		}
	}
}

func TestCacheStaleBound(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		lookupBach(t, c)
		good := time.Now()
		src.set(func() { src.delay = time.Hour })
		time.Sleep(61 * time.Second) // nobody asked, so nobody knows of the fault
		slow := 0
		for time.Since(good) < cacheConfig.StaleFor-10*time.Second {
			before := time.Now()
			lookupBach(t, c)
			if time.Since(before) > 0 {
				slow++
			}
			time.Sleep(300 * time.Millisecond)
		}
		if slow != 1 {
			t.Errorf("%d requests waited for the fault, want the first alone", slow)
		}
		time.Sleep(30 * time.Second)
		_, err := c.Lookup(t.Context(), bachRef)
		wantErr(t, err, ErrUnavailable)
		if errors.Is(err, ErrUnknownUser) {
			t.Error("a fault is taken for an unknown user")
		}
		src.set(func() { src.delay = 0 })
		lookupBach(t, c)
	})
}

func TestCacheStaleOnlyWhereAllowed(t *testing.T) {
	strict := cacheConfig
	strict.StaleFor = 0
	for name, test := range map[string]struct {
		cfg  CacheConfig
		ref  Ref
		want error
	}{
		"allowed":      {cacheConfig, bachRef, nil},
		"0s is never":  {strict, bachRef, ErrUnavailable},
		"strict":       {cacheConfig, strictBach, ErrUnavailable},
		"never looked": {cacheConfig, Ref{Directory: "example", Username: "haydn", ID: "u-haydn"}, ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			withCache(t, test.cfg, func(t *testing.T, src *fakeSource, c *Cache) {
				lookupBach(t, c)
				src.set(func() { src.fault = errors.New("busy") })
				time.Sleep(61 * time.Second)
				_, err := c.Lookup(t.Context(), test.ref)
				wantErr(t, err, test.want)
			})
		})
	}
}

// TestCacheForgetsFaults: whoever is seldom seen is not served stale because of a
// fault that is long over.
func TestCacheForgetsFaults(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		lookupBach(t, c)
		src.set(func() { src.fault = errors.New("busy") })
		time.Sleep(61 * time.Second)
		lookupBach(t, c)
		src.set(func() { src.fault = nil; delete(src.people, "bach") })
		time.Sleep(11 * time.Second)
		_, err := c.Lookup(t.Context(), bachRef)
		wantErr(t, err, ErrUnknownUser)
	})
}

func TestCacheRefreshesEarly(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		src.set(func() { src.delay = time.Second })
		lookupBach(t, c)
		time.Sleep(28 * time.Second)
		lookupBach(t, c)
		synctest.Wait()
		src.wantAsked(t, "lookups", &src.lookups, 1)
		time.Sleep(2 * time.Second)
		before := time.Now()
		lookupBach(t, c)
		if time.Since(before) != 0 {
			t.Error("an early refresh made its request wait")
		}
		time.Sleep(2 * time.Second)
		src.wantAsked(t, "lookups", &src.lookups, 2)
		time.Sleep(25 * time.Second) // past the first freshness, within the second
		before = time.Now()
		lookupBach(t, c)
		if time.Since(before) != 0 {
			t.Error("a refreshed identity was asked for again")
		}
	})
}

func TestCacheSingleFlight(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		src.set(func() { src.delay = time.Second })
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() { lookupBach(t, c) })
		}
		wg.Wait()
		src.wantAsked(t, "lookups", &src.lookups, 1)
	})
}

func TestCacheCallerLeaves(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		src.set(func() { src.delay = time.Second })
		ctx, leave := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() {
			_, err := c.Lookup(ctx, bachRef)
			first <- err
		}()
		synctest.Wait()
		var wg sync.WaitGroup
		for range 49 {
			wg.Go(func() { lookupBach(t, c) })
		}
		synctest.Wait()
		leave()
		wantErr(t, <-first, context.Canceled)
		wg.Wait()
		src.wantAsked(t, "lookups", &src.lookups, 1)
	})
}

func TestCacheNeverKeepsAFault(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		src.set(func() { src.fault = errors.New("busy") })
		_, err := c.Lookup(t.Context(), bachRef)
		wantErr(t, err, ErrUnavailable)
		_, err = login(t.Context(), c, "bach", "fugue")
		wantErr(t, err, ErrUnavailable)
		src.set(func() { src.fault = nil })
		lookupBach(t, c)
		id, err := c.Find(t.Context(), "bach")
		wantErr(t, err, nil)
		src.set(func() { src.fault = errors.New("busy") })
		_, err = c.Verify(t.Context(), id, "fugue")
		wantErr(t, err, ErrUnavailable)
		src.set(func() { src.fault = nil })
		_, err = c.Verify(t.Context(), id, "fugue")
		wantErr(t, err, nil)
	})
}

func TestCacheNegatives(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		for range 5 {
			_, err := c.Find(t.Context(), "Kant")
			wantErr(t, err, ErrUnknownUser)
			_, err = c.Lookup(t.Context(), Ref{Directory: "example", Username: "kant", ID: "1"})
			wantErr(t, err, ErrUnknownUser)
		}
		src.wantAsked(t, "finds", &src.finds, 1)
		src.wantAsked(t, "lookups", &src.lookups, 1)
		src.set(func() { src.people["kant"] = Identity{Directory: "example", Username: "kant", ID: "1"} })
		time.Sleep(cacheConfig.NegativeFor)
		_, err := c.Find(t.Context(), "kant")
		wantErr(t, err, nil)
	})
}

// TestCacheDenialIsFinal: once the directory said no, no fault brings the person back.
func TestCacheDenialIsFinal(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		lookupBach(t, c)
		src.set(func() { delete(src.people, "bach") })
		time.Sleep(61 * time.Second)
		_, err := c.Lookup(t.Context(), bachRef)
		wantErr(t, err, ErrUnknownUser)
		src.set(func() { src.fault = errors.New("busy") })
		_, err = c.Lookup(t.Context(), bachRef)
		wantErr(t, err, ErrUnknownUser)
		time.Sleep(20 * time.Second)
		_, err = c.Lookup(t.Context(), bachRef)
		wantErr(t, err, ErrUnavailable)
	})
}

func TestCacheLoginIsNeverStale(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		_, err := login(t.Context(), c, "bach", "fugue")
		wantErr(t, err, nil)
		src.set(func() { src.down = true })
		_, err = c.Find(t.Context(), "bach")
		wantErr(t, err, ErrUnavailable)
		_, err = c.Verify(t.Context(), src.people["bach"], "fugue")
		wantErr(t, err, ErrUnavailable)
		_, err = c.Lookup(t.Context(), strictBach)
		wantErr(t, err, ErrUnavailable)
		lookupBach(t, c)
		src.set(func() { src.down, src.fault = false, errors.New("busy") })
		time.Sleep(61 * time.Second)
		_, err = c.Find(t.Context(), "bach")
		wantErr(t, err, ErrUnavailable)
	})
}

func TestCachePasswords(t *testing.T) {
	never := cacheConfig
	never.PasswordFor, never.WrongPasswordFor = 0, 0
	for name, test := range map[string]struct {
		cfg      CacheConfig
		password string
		logins   int
		pause    time.Duration
		want     error
		binds    int
	}{
		"good":               {cacheConfig, "fugue", 5, time.Second, nil, 1},
		"good, expired":      {cacheConfig, "fugue", 3, 31 * time.Second, nil, 3},
		"good, always asked": {never, "fugue", 5, time.Second, nil, 5},
		"wrong":              {cacheConfig, "toccata", 5, time.Second, ErrInvalidCredentials, 1},
		"wrong, expired":     {cacheConfig, "toccata", 3, 61 * time.Second, ErrInvalidCredentials, 3},
		"wrong, always":      {never, "toccata", 5, time.Second, ErrInvalidCredentials, 5},
		"empty":              {cacheConfig, "", 5, time.Second, ErrInvalidCredentials, 0},
		"only NULs":          {cacheConfig, "\x00\x00", 5, time.Second, ErrInvalidCredentials, 0},
	} {
		t.Run(name, func(t *testing.T) {
			withCache(t, test.cfg, func(t *testing.T, src *fakeSource, c *Cache) {
				for range test.logins {
					_, err := login(t.Context(), c, "bach", test.password)
					wantErr(t, err, test.want)
					time.Sleep(test.pause)
				}
				src.wantAsked(t, "binds", &src.verify, test.binds)
			})
		})
	}
}

func TestCacheOneBindForManyWrong(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		src.set(func() { src.delay = 50 * time.Millisecond })
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				_, err := login(t.Context(), c, "bach", "toccata")
				wantErr(t, err, ErrInvalidCredentials)
			})
		}
		wg.Wait()
		src.wantAsked(t, "binds", &src.verify, 1)
		_, err := login(t.Context(), c, "bach", "fugue")
		wantErr(t, err, nil)
		_, err = login(t.Context(), c, "bach", "fuguE")
		wantErr(t, err, ErrInvalidCredentials)
	})
}

// TestCacheChangedPassword: the old password ends with password_for, and a new one
// brings the new stamp with it although the identity was still fresh.
func TestCacheChangedPassword(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		_, err := login(t.Context(), c, "bach", "fugue")
		wantErr(t, err, nil)
		_, err = login(t.Context(), c, "bach", "canon")
		wantErr(t, err, ErrInvalidCredentials)
		src.set(func() {
			id := src.people["bach"]
			id.PasswordStamp = "2"
			src.people["bach"], src.passwords["bach"] = id, "canon"
		})
		time.Sleep(time.Second)
		_, err = login(t.Context(), c, "bach", "canon2")
		wantErr(t, err, ErrInvalidCredentials)
		src.set(func() { src.passwords["bach"] = "canon2" })
		time.Sleep(cacheConfig.WrongPasswordFor)
		src.set(func() { id := src.people["bach"]; id.PasswordStamp = "1"; src.people["bach"] = id })
		_, err = c.Find(t.Context(), "bach")
		wantErr(t, err, nil)
		src.set(func() { id := src.people["bach"]; id.PasswordStamp = "3"; src.people["bach"] = id })
		id, err := login(t.Context(), c, "bach", "canon2")
		if err != nil || id.PasswordStamp != "3" {
			t.Errorf("got stamp %q, %v, want the new one", id.PasswordStamp, err)
		}
		_, err = login(t.Context(), c, "bach", "fugue")
		wantErr(t, err, ErrInvalidCredentials)
	})
}

// TestCacheRemembersOnlyWrongPasswords: a lock is lifted, and then the password is good.
func TestCacheRemembersOnlyWrongPasswords(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		src.set(func() { src.refusal = fmt.Errorf("%w: locked: %w", ErrInvalidCredentials, ErrNotPassword) })
		_, err := login(t.Context(), c, "bach", "fugue")
		wantErr(t, err, ErrInvalidCredentials)
		src.set(func() {
			id := src.people["bach"]
			id.NoLogin = "locked"
			src.people["bach"], src.refusal = id, ErrInvalidCredentials
		})
		time.Sleep(61 * time.Second)
		_, err = login(t.Context(), c, "bach", "fugue")
		wantErr(t, err, ErrInvalidCredentials)
		src.set(func() { id := src.people["bach"]; id.NoLogin = ""; src.people["bach"], src.refusal = id, nil })
		_, err = login(t.Context(), c, "bach", "fugue")
		wantErr(t, err, nil)
	})
}

// TestCacheLockedMeanwhile: a server that still takes the password lets nobody in
// whose entry by now says that they may not log in.
func TestCacheLockedMeanwhile(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		_, err := login(t.Context(), c, "bach", "fugue")
		wantErr(t, err, nil)
		src.set(func() {
			id := src.people["bach"]
			id.NoLogin = "the password has expired"
			src.people["bach"], src.passwords["bach"] = id, "canon"
		})
		for range 2 {
			_, err = login(t.Context(), c, "bach", "canon")
			wantErr(t, err, ErrInvalidCredentials)
			wantErr(t, err, ErrNotPassword)
		}
		src.set(func() { id := src.people["bach"]; id.NoLogin = ""; src.people["bach"] = id })
		_, err = login(t.Context(), c, "bach", "canon")
		wantErr(t, err, nil)
	})
}

func TestCacheExpire(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		_, err := login(t.Context(), c, "bach", "fugue")
		wantErr(t, err, nil)
		_, err = c.Find(t.Context(), "kant")
		wantErr(t, err, ErrUnknownUser)
		c.Expire()
		_, err = c.Find(t.Context(), "kant")
		wantErr(t, err, ErrUnknownUser)
		_, err = login(t.Context(), c, "bach", "fugue")
		wantErr(t, err, nil)
		src.wantAsked(t, "finds", &src.finds, 4)
		src.wantAsked(t, "binds", &src.verify, 2)
		c.Expire()
		src.set(func() { src.fault = errors.New("busy") })
		lookupBach(t, c) // stale
	})
}

// TestCacheInherit: who the cache of an earlier config knew is asked for again,
// and is good as stale only until their last good lookup is too old.
func TestCacheInherit(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		lookupBach(t, c)
		next, err := NewCache(src, cacheConfig)
		wantErr(t, err, nil)
		next.Inherit(c)
		lookupBach(t, next)
		src.wantAsked(t, "lookups", &src.lookups, 2)
		src.set(func() { src.fault = errors.New("busy") })
		last, err := NewCache(src, cacheConfig)
		wantErr(t, err, nil)
		last.Inherit(next)
		lookupBach(t, last) // stale
		time.Sleep(cacheConfig.StaleFor)
		_, err = last.Lookup(t.Context(), bachRef)
		wantErr(t, err, ErrUnavailable)
		next.Close()
		last.Close()
	})
}

// TestCacheExpireDuringLookup: an answer that was on its way before a reload is not
// taken for one from after it.
func TestCacheExpireDuringLookup(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		src.set(func() { src.delay = time.Second })
		go c.Lookup(t.Context(), bachRef)
		synctest.Wait()
		c.Expire()
		time.Sleep(2 * time.Second)
		lookupBach(t, c)
		src.wantAsked(t, "lookups", &src.lookups, 2)
	})
}

func TestCacheClose(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		lookupBach(t, c)
		time.Sleep(40 * time.Second)
		src.set(func() { src.delay = 3 * time.Second })
		lookupBach(t, c) // starts a refresh
		running := make(chan error, 1)
		go func() {
			_, err := c.Find(t.Context(), "bach")
			running <- err
		}()
		synctest.Wait()
		before := time.Now()
		c.Close()
		synctest.Wait()
		if c.mu.Lock(); len(c.flights.running) != 1 || time.Since(before) != 0 {
			t.Errorf("%d questions run after Close, want the one that somebody waits for", len(c.flights.running))
		}
		c.mu.Unlock()
		wantErr(t, <-running, nil)
		if !src.closed {
			t.Error("the source was not closed")
		}
	})
}

// TestCacheMovedName: a mail address that goes to another person is noticed although
// its old owner is asked for all the time.
func TestCacheMovedName(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		_, err := c.Find(t.Context(), "BACH@example.com")
		wantErr(t, err, ErrUnknownUser) // the fake is exact; ours to fold is only the key
		time.Sleep(20 * time.Second)
		_, err = c.Find(t.Context(), "bach@example.com")
		wantErr(t, err, nil)
		src.set(func() {
			src.people["bach@example.com"] = Identity{Directory: "example", Username: "cpe", ID: "u-cpe"}
		})
		for range 12 {
			time.Sleep(5 * time.Second)
			lookupBach(t, c)
		}
		id, err := c.Find(t.Context(), "bach@example.com")
		if err != nil || id.Username != "cpe" {
			t.Errorf("got %q, %v, want cpe", id.Username, err)
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		lookupBach(t, c)
		for i := range cachedNegatives + 1000 {
			_, err := c.Find(t.Context(), fmt.Sprintf("junk%d", i))
			wantErr(t, err, ErrUnknownUser)
		}
		if n := c.memory.negatives.Len(); n != cachedNegatives {
			t.Errorf("%d negatives, want %d", n, cachedNegatives)
		}
		lookupBach(t, c)
		src.wantAsked(t, "lookups", &src.lookups, 1)
	})
}

func TestNewCacheChecks(t *testing.T) {
	_, err := NewCache(newFakeSource(), CacheConfig{FreshFor: -1, StaleFor: -1})
	var key *KeyError
	if !errors.As(err, &key) || key.Key != "fresh_for" {
		t.Errorf("got %v, want a KeyError of fresh_for", err)
	}
}

func BenchmarkCacheLookup(b *testing.B) {
	c, err := NewCache(newFakeSource(), cacheConfig)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Lookup(b.Context(), bachRef); err != nil {
			b.Fatal(err)
		}
	}
}
