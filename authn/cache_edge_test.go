package authn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/metrics"
)

// requests reads how often each cache was asked with which result.
func requests(m *metrics.Metrics) map[string]string {
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	got := map[string]string{}
	for line := range strings.Lines(rec.Body.String()) {
		if labels, ok := strings.CutPrefix(line, "gatehouse_cache_requests_total{"); ok {
			labels, value, _ := strings.Cut(strings.TrimSpace(labels), "} ")
			if value != "0" {
				got[strings.NewReplacer(`cache="`, "", `",result="`, " ", `"`, "").Replace(labels)] = value
			}
		}
	}
	return got
}

// TestCacheCounts: each question to the cache is counted once, where it was answered.
func TestCacheCounts(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(t *testing.T, src *fakeSource, c *Cache)
		want map[string]string
	}{
		"a lookup": {lookups(1), map[string]string{"identity miss": "1", "negative miss": "1"}},
		"two":      {lookups(2), map[string]string{"identity miss": "1", "negative miss": "1", "identity hit": "1"}},
		"nobody, twice": {func(t *testing.T, _ *fakeSource, c *Cache) {
			for range 2 {
				c.Find(t.Context(), "kant")
			}
		}, map[string]string{"identity miss": "1", "negative miss": "1", "negative hit": "1"}},
		"passwords": {func(t *testing.T, _ *fakeSource, c *Cache) {
			for _, password := range []string{"fugue", "fugue", "canon", "canon"} {
				login(t.Context(), c, "bach", password)
			}
		}, map[string]string{"identity miss": "1", "negative miss": "1", "identity hit": "3", "password hit": "1", "wrong_password hit": "1",
			"password miss": "2", "wrong_password miss": "2"}},
		"stale after a fault, and then at once": {func(t *testing.T, src *fakeSource, c *Cache) {
			lookups(1)(t, src, c)
			src.set(func() { src.fault = errors.New("busy") })
			time.Sleep(61 * time.Second)
			lookups(3)(t, src, c)
		}, map[string]string{"identity miss": "1", "negative miss": "1", "identity stale": "3"}},
		"a fault, and nobody known": {func(t *testing.T, src *fakeSource, c *Cache) {
			src.set(func() { src.fault = errors.New("busy") })
			c.Lookup(t.Context(), bachRef)
			c.Find(t.Context(), "bach")
		}, map[string]string{"identity miss": "2", "negative miss": "2"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := cacheConfig
			cfg.Metrics = metrics.New(metrics.BuildInfo{})
			withCache(t, cfg, func(t *testing.T, src *fakeSource, c *Cache) {
				test.do(t, src, c)
				if got := requests(cfg.Metrics); fmt.Sprint(got) != fmt.Sprint(test.want) {
					t.Errorf("counted %v, want %v", got, test.want)
				}
			})
		})
	}
}

func lookups(n int) func(*testing.T, *fakeSource, *Cache) {
	return func(t *testing.T, _ *fakeSource, c *Cache) {
		for range n {
			lookupBach(t, c)
		}
	}
}

// TestCacheSharesAreCounted: who waits for a question that runs already.
func TestCacheSharesAreCounted(t *testing.T) {
	cfg := cacheConfig
	cfg.Metrics = metrics.New(metrics.BuildInfo{})
	withCache(t, cfg, func(t *testing.T, src *fakeSource, c *Cache) {
		src.set(func() { src.delay = time.Second })
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { lookupBach(t, c) })
		}
		all.Wait()
		if got := counts(t, cfg.Metrics, "ldap_singleflight_shared_total"); got != "9" {
			t.Errorf("%s of ten shared a question", got)
		}
		time.Sleep(40 * time.Second)
		lookupBach(t, c) // and the refresh in the background is nobody's
		lookupBach(t, c)
		time.Sleep(2 * time.Second)
		if got := counts(t, cfg.Metrics, "ldap_singleflight_shared_total"); got != "9" {
			t.Errorf("%s shared a question after a refresh", got)
		}
	})
}

// TestCacheSparesADirectoryAtFault: whoever is served stale at once makes the
// directory be asked once a second at most, and waits for it again once that has
// been so for long.
func TestCacheSparesADirectoryAtFault(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		lookupBach(t, c)
		src.set(func() { src.fault = errors.New("busy") })
		time.Sleep(61 * time.Second)
		lookupBach(t, c)
		before := src.lookups
		for range 50 {
			lookupBach(t, c)
			synctest.Wait()
			time.Sleep(100 * time.Millisecond)
		}
		if got := src.lookups - before; got < 4 || got > 5 {
			t.Errorf("asked %d times in five seconds", got)
		}
		src.set(func() { src.delay = sourceLimit + time.Second })
		time.Sleep(time.Second)
		began := time.Now()
		for range 90 { // the question that runs began within the memory of the last fault
			lookupBach(t, c)
			time.Sleep(50 * time.Millisecond)
		}
		if took := time.Since(began); took != 4500*time.Millisecond {
			t.Errorf("90 lookups took %s: somebody waited", took)
		}
	})
}

// TestCacheOtherNames (A22): a token of another of the person's names is answered
// from memory too, and stale where it must be.
func TestCacheOtherNames(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		other := Ref{Directory: "example", Username: "johann", ID: "u-bach"}
		src.set(func() { src.people["johann"] = src.people["bach"] })
		for range 3 {
			id, err := c.Lookup(t.Context(), other)
			if err != nil || id.Username != "bach" {
				t.Fatalf("%+v, %v", id, err)
			}
			lookupBach(t, c)
		}
		src.wantAsked(t, "lookups", &src.lookups, 1)
		src.set(func() { src.fault = errors.New("busy") })
		time.Sleep(61 * time.Second)
		if _, err := c.Lookup(t.Context(), other); err != nil {
			t.Errorf("on a fault: %v", err)
		}
	})
}

// TestCacheGoneAtTheBind: who is gone when the password is checked is gone from
// memory too.
func TestCacheGoneAtTheBind(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		lookupBach(t, c)
		_, err := c.Find(t.Context(), "bach")
		wantErr(t, err, nil)
		src.set(func() { src.refusal = ErrUnknownUser })
		_, err = c.Verify(t.Context(), bach, "fugue")
		wantErr(t, err, ErrUnknownUser)
		if got := c.state().Entries["identity"]; got != 0 {
			t.Errorf("%d people are remembered", got)
		}
	})
}

// TestCacheAsksAgainAfterAnUnusualPassword: with a password other than the usual one
// the person is asked for as they are after it, and with the usual one not.
func TestCacheAsksAgainAfterAnUnusualPassword(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		lookupBach(t, c)
		lookupBach(t, c) // served from memory
		src.set(func() {
			id := src.people["bach"]
			id.Groups, id.PasswordStamp = []Group{{Name: "cantors"}}, "2"
			src.people["bach"] = id
		})
		id, err := c.Verify(t.Context(), bach, "fugue")
		if err != nil || id.PasswordStamp != "2" || id.Groups[0].Name != "cantors" {
			t.Fatalf("%+v, %v", id, err)
		}
		src.wantAsked(t, "lookups", &src.lookups, 2)
		time.Sleep(cacheConfig.PasswordFor)
		if _, err := c.Verify(t.Context(), id, "fugue"); err != nil {
			t.Fatal(err)
		}
		src.wantAsked(t, "lookups", &src.lookups, 2)
		src.wantAsked(t, "binds", &src.verify, 2)
		if got, err := c.Lookup(t.Context(), bachRef); err != nil || got.Groups[0].Name != "cantors" {
			t.Errorf("later: %+v, %v", got, err)
		}
	})
}

// TestMassAbsenceIsLogged: the alarm has the number, and comes once.
func TestMassAbsenceIsLogged(t *testing.T) {
	var log strings.Builder
	cfg := cacheConfig
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	withCache(t, cfg, func(t *testing.T, src *fakeSource, c *Cache) {
		many(src, 8)
		for i := range 8 {
			_, err := c.Lookup(t.Context(), manyRef(i))
			wantErr(t, err, nil)
		}
		src.set(func() { src.people = nil })
		time.Sleep(61 * time.Second)
		for i := range 8 {
			c.Lookup(t.Context(), manyRef(i))
		}
		synctest.Wait()
		if got := log.String(); strings.Count(got, "many known people are gone") != 1 || !strings.Contains(got, "directory=example people=6 within=1m0s") {
			t.Errorf("the log says %s", got)
		}
	})
}

// TestLosses: more than five within a minute are an alarm, and it begins from none.
func TestLosses(t *testing.T) {
	for name, test := range map[string]struct {
		every  time.Duration
		alarms string
	}{
		"at once":             {0, "[0 0 0 0 0 6 0 0 0 0 0 6]"},
		"just within":         {12*time.Second - time.Millisecond, "[0 0 0 0 0 6 0 0 0 0 0 6]"},
		"one every 12 s":      {12 * time.Second, "[0 0 0 0 0 0 0 0 0 0 0 0]"},
		"one every two hours": {2 * time.Hour, "[0 0 0 0 0 0 0 0 0 0 0 0]"},
	} {
		var l losses
		var alarms []int
		now := time.Now()
		for range 12 {
			alarms = append(alarms, l.add(now))
			now = now.Add(test.every)
		}
		if got := fmt.Sprint(alarms); got != test.alarms {
			t.Errorf("%s: %s", name, got)
		}
		if len(l) > massAbsence+1 {
			t.Errorf("%s: %d are kept", name, len(l))
		}
	}
}

// TestCanaryOfTheNameless (D17): an entry that shows no name is a fault only where
// the canary is not shown either.
func TestCanaryOfTheNameless(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		src.set(func() { src.fault = ErrNameless })
		_, err := c.Find(t.Context(), "bach")
		wantErr(t, err, ErrUnknownUser)
		src.set(func() { src.canary = errors.New("no such object") })
		time.Sleep(time.Second)
		_, err = c.Find(t.Context(), "haydn")
		wantErr(t, err, ErrUnavailable)
	})
}

// TestFlights: a question lasts as long as its limit, nobody's question is not begun
// after the end, and the last who leaves ends what runs on after it.
func TestFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		s := flights[string]{lock: &mu, limit: 5 * time.Second, running: map[string]*flight{}}
		ended := make(chan error, 1)
		ask := question{
			ask: func(ctx context.Context) (Identity, error) {
				<-ctx.Done()
				ended <- context.Cause(ctx)
				return Identity{}, context.Cause(ctx)
			},
			keep: func(*flight) func() { return nil },
		}
		join := func(wait bool) (*flight, bool) {
			mu.Lock()
			defer mu.Unlock()
			return s.joinLocked("a", wait, ask)
		}
		f, shared := join(waiting)
		if _, err := s.wait(t.Context(), f); shared || !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "no answer within 5s") || !f.failed() {
			t.Errorf("%v, %v", shared, err)
		}
		<-ended
		f, _ = join(waiting)
		if _, shared := join(waiting); !shared || f.failed() {
			t.Error("two questions with one key")
		}
		mu.Lock()
		s.closeLocked()
		mu.Unlock()
		gone, leave := context.WithCancel(t.Context())
		leave()
		for range 2 {
			select {
			case err := <-ended:
				t.Errorf("ended though somebody waits: %v", err)
			default:
			}
			if _, err := s.wait(gone, f); !errors.Is(err, ErrUnavailable) {
				t.Error(err)
			}
			synctest.Wait()
		}
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended by %v", err)
		}
		if f, shared := join(background); f != nil || shared {
			t.Error("a question of nobody after the end")
		}
		f, _ = join(waiting)
		if _, err := s.wait(t.Context(), f); !strings.Contains(fmt.Sprint(err), "5s") {
			t.Errorf("a question of somebody after the end: %v", err)
		}
		<-ended
		if s.limit = 0; len(s.running) != 0 {
			t.Errorf("%d run", len(s.running))
		}
		ctx, cancel := s.context()
		if _, limited := ctx.Deadline(); limited {
			t.Error("no limit is one")
		}
		cancel()
	})
}

// TestFlightAfter: what keep hands back runs once the lock is free.
func TestFlightAfter(t *testing.T) {
	var mu sync.Mutex
	s := flights[string]{lock: &mu, running: map[string]*flight{}}
	free := make(chan bool, 1)
	mu.Lock()
	f, _ := s.joinLocked("a", waiting, question{
		ask: func(context.Context) (Identity, error) { return bach, nil },
		keep: func(*flight) func() {
			return func() {
				mu.Lock()
				defer mu.Unlock()
				free <- true
			}
		},
	})
	mu.Unlock()
	if id, err := s.wait(t.Context(), f); err != nil || id.Username != "bach" || f.failed() || !<-free {
		t.Errorf("%+v, %v", id, err)
	}
}

// TestCacheTellsPeopleApart: questions about different people side by side are not
// one, neither of tokens, nor of names, nor of passwords.
func TestCacheTellsPeopleApart(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		many(src, 20)
		src.set(func() { src.delay = time.Second })
		var all sync.WaitGroup
		for i := range 20 {
			want := fmt.Sprint("p", i)
			check := func(how string, id Identity, err error) {
				if err != nil || id.Username != want {
					t.Errorf("%s of %s: %+v, %v", how, want, id, err)
				}
			}
			all.Go(func() { id, err := c.Lookup(t.Context(), manyRef(i)); check("lookup", id, err) })
			all.Go(func() {
				id, err := c.Find(t.Context(), want)
				check("find", id, err)
				if _, err = c.Verify(t.Context(), id, Secret("not "+want)); !errors.Is(err, ErrInvalidCredentials) {
					t.Errorf("a wrong password of %s: %v", want, err)
				}
			})
		}
		all.Wait()
	})
}

// TestCacheForgetsByName: a name that means nobody any more takes the person with it.
func TestCacheForgetsByName(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		_, err := c.Find(t.Context(), "bach")
		wantErr(t, err, nil)
		c.Expire()
		src.set(func() { src.people = nil })
		_, err = c.Find(t.Context(), "bach")
		wantErr(t, err, ErrUnknownUser)
		if got := c.state().Entries["identity"]; got != 0 {
			t.Errorf("%d people are remembered", got)
		}
		if got := len(c.losses); got != 1 {
			t.Errorf("%d count as lost", got)
		}
	})
}

// TestCacheStrict: at the realm there is no stale answer, not even moments after a fault.
func TestCacheStrict(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		lookupBach(t, c)
		src.set(func() { src.fault = errors.New("busy") })
		time.Sleep(61 * time.Second)
		lookupBach(t, c)
		_, err := c.Lookup(t.Context(), strictBach)
		wantErr(t, err, ErrUnavailable)
		src.set(func() { src.fault = nil })
		id, err := c.Lookup(t.Context(), strictBach)
		if err != nil || id.Username != "bach" {
			t.Errorf("%+v, %v", id, err)
		}
	})
}

// TestCacheLoginSavesALookup: a login that brings the person while a lookup fails is
// an answer for it, and a fresh one.
func TestCacheLoginSavesALookup(t *testing.T) {
	strict := cacheConfig
	strict.StaleFor = 0
	withCache(t, strict, func(t *testing.T, src *fakeSource, c *Cache) {
		src.set(func() { src.delay = sourceLimit + time.Second }) // and then a fault
		answer := make(chan error, 1)
		go func() {
			_, err := c.Lookup(t.Context(), bachRef)
			answer <- err
		}()
		synctest.Wait()
		src.set(func() { src.delay = 0 })
		_, err := c.Find(t.Context(), "bach")
		wantErr(t, err, nil)
		wantErr(t, <-answer, nil)
	})
}

// TestCacheOfLongNames: nobody is asked about a name that is too long.
func TestCacheOfLongNames(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		long := strings.Repeat("b", maxLogin)
		src.set(func() { src.people[long] = bach })
		_, err := c.Find(t.Context(), long)
		wantErr(t, err, nil)
		_, err = c.Find(t.Context(), long+"b")
		wantErr(t, err, ErrUnknownUser)
		src.wantAsked(t, "finds", &src.finds, 1)
		if got := c.Timeout(); got != src.Timeout() {
			t.Errorf("the time limit is %s", got)
		}
	})
}

// TestCacheIsNotShownAfterItsEnd: a closed cache is gone from the metrics.
func TestCacheIsNotShownAfterItsEnd(t *testing.T) {
	m := metrics.New(metrics.BuildInfo{})
	c, err := NewCache(newFakeSource(), CacheConfig{Metrics: m})
	if err != nil {
		t.Fatal(err)
	}
	shown := func() bool {
		rec := httptest.NewRecorder()
		m.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
		return strings.Contains(rec.Body.String(), `gatehouse_ldap_cache_entries{cache="identity",directory="example"} 0`)
	}
	if !shown() {
		t.Error("not shown")
	}
	if c.Close(); shown() {
		t.Error("shown after its end")
	}
}

// TestAsked: when the directory was asked for what is known of somebody, whoever has looked
// since; of people of the config there is no such time, nor of those who are not known.
func TestAsked(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		static, err := NewStatic(StaticConfig{Name: "local"})
		if err != nil {
			t.Fatal(err)
		}
		chain := NewChain(ChainConfig{Directories: []Directory{static, c}})
		began := time.Now()
		id, err := c.Lookup(t.Context(), bachRef)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		lookupBach(t, c)
		if got := chain.Asked(id); !got.Equal(began) {
			t.Errorf("asked %s, want %s", got, began)
		}
		time.Sleep(60 * time.Second)
		lookupBach(t, c)
		if got := chain.Asked(id); !got.Equal(began.Add(70 * time.Second)) {
			t.Errorf("asked again %s after %s", got.Sub(began), began)
		}
		for _, other := range []Identity{{Directory: "local", Username: "ann"}, {Directory: id.Directory, Username: "kant", ID: "u-kant"}, {}} {
			if got := chain.Asked(other); !got.IsZero() {
				t.Errorf("%+v: %s", other, got)
			}
		}
	})
}
