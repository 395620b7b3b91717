package authn

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/metrics"
)

// counts reads the value of a directory's counter.
func counts(t *testing.T, m *metrics.Metrics, name string) string {
	t.Helper()
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(rec.Body.String()) {
		if value, ok := strings.CutPrefix(line, "gatehouse_"+name+`{directory="example"} `); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("no %s", name)
	return ""
}

// TestCanary: a known person is believed to be absent only while what must be
// there is; until then their tokens go on as on any other fault, and no longer.
func TestCanary(t *testing.T) {
	cfg := cacheConfig
	cfg.Metrics = metrics.New(metrics.BuildInfo{})
	withCache(t, cfg, func(t *testing.T, src *fakeSource, c *Cache) {
		lookupBach(t, c)
		if _, err := c.Find(t.Context(), "bach"); err != nil {
			t.Fatal(err)
		}
		if s := c.State(); !s.Canary.Asked.IsZero() || s.Entries["identity"] != 1 || s.OldestStale != 0 {
			t.Errorf("before anybody is missed: %+v", s)
		}
		hidden := src.people
		src.set(func() { src.people, src.canary = nil, errors.New("no such object") })
		time.Sleep(61 * time.Second)
		for range 300 {
			lookupBach(t, c)
			time.Sleep(100 * time.Millisecond)
		}
		_, err := c.Find(t.Context(), "bach")
		wantErr(t, err, ErrUnavailable)
		wantErr(t, err, errCanary)
		if errors.Is(err, ErrUnknownUser) {
			t.Errorf("a login is refused as unknown: %v", err)
		}
		if s := c.State(); s.Canary.Shown || time.Since(s.Canary.Asked) > canaryEvery || s.OldestStale == 0 {
			t.Errorf("while nothing is shown: %+v", s)
		}
		if src.canaries == 0 || src.canaries > 5 {
			t.Errorf("the canary was asked %d times in half a minute", src.canaries)
		}
		if got := counts(t, cfg.Metrics, "ldap_canary_failures_total"); got != fmt.Sprint(src.canaries) {
			t.Errorf("%s failures counted of %d", got, src.canaries)
		}
		src.set(func() { src.people, src.canary = hidden, nil })
		lookupBach(t, c)
		time.Sleep(time.Minute)
		lookupBach(t, c)
		src.set(func() { src.people, src.canary = nil, errors.New("no such object") })
		time.Sleep(cfg.StaleFor - time.Second)
		lookupBach(t, c)
		time.Sleep(2 * time.Second)
		_, err = c.Lookup(t.Context(), bachRef)
		wantErr(t, err, ErrUnavailable)
	})
}

// TestCanaryIsNotAsked for names that were never known, for people who are
// there but disabled or re-created, nor again within ten seconds.
func TestCanaryIsNotAsked(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		lookupBach(t, c)
		for i := range 20 {
			_, err := c.Find(t.Context(), fmt.Sprintf("junk%d", i))
			wantErr(t, err, ErrUnknownUser)
		}
		src.set(func() { id := src.people["bach"]; id.ID = "another"; src.people["bach"] = id })
		time.Sleep(61 * time.Second)
		_, err := c.Lookup(t.Context(), bachRef)
		wantErr(t, err, ErrUnknownUser)
		if src.canaries != 0 {
			t.Errorf("asked %d times for nothing", src.canaries)
		}
		many(src, 4)
		for i := range 4 {
			_, err := c.Lookup(t.Context(), manyRef(i))
			wantErr(t, err, nil)
		}
		src.set(func() { src.people = nil })
		time.Sleep(61 * time.Second)
		for i := range 4 {
			_, err := c.Lookup(t.Context(), manyRef(i))
			wantErr(t, err, ErrUnknownUser)
		}
		if src.canaries != 1 {
			t.Errorf("asked %d times for four who left together, want once", src.canaries)
		}
	})
}

// TestCanaryIsAskedAfterwards: that the canary was seen a moment ago says nothing of
// a right that went missing since.
func TestCanaryIsAskedAfterwards(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		many(src, 2)
		for i := range 2 {
			_, err := c.Lookup(t.Context(), manyRef(i))
			wantErr(t, err, nil)
		}
		src.set(func() { delete(src.people, "p0") })
		time.Sleep(61 * time.Second)
		_, err := c.Lookup(t.Context(), manyRef(0))
		wantErr(t, err, ErrUnknownUser)
		src.set(func() { src.people, src.canary = nil, errors.New("no such object") })
		time.Sleep(time.Second)
		id, err := c.Lookup(t.Context(), manyRef(1))
		if err != nil || id.Username != "p1" {
			t.Errorf("got %+v, %v; want the person as before", id, err)
		}
	})
}

// TestCanaryAfterExpire: a reload does not make a login of somebody hidden a wrong one.
func TestCanaryAfterExpire(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		_, err := c.Find(t.Context(), "bach")
		wantErr(t, err, nil)
		src.set(func() { src.people, src.canary = nil, errors.New("no such object") })
		c.Expire()
		_, err = c.Find(t.Context(), "bach")
		wantErr(t, err, ErrUnavailable)
		if errors.Is(err, ErrUnknownUser) {
			t.Errorf("refused as unknown: %v", err)
		}
	})
}

// TestCanaryOfAToken: who has a token was known, though a cache that is new does
// not hold them.
func TestCanaryOfAToken(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		src.set(func() { src.people, src.canary = nil, errors.New("no such object") })
		_, err := c.Lookup(t.Context(), bachRef)
		wantErr(t, err, ErrUnavailable)
		if errors.Is(err, ErrUnknownUser) {
			t.Errorf("refused as unknown: %v", err)
		}
		src.set(func() { src.canary = nil })
		time.Sleep(canaryEvery)
		_, err = c.Lookup(t.Context(), bachRef)
		wantErr(t, err, ErrUnknownUser)
	})
}

func many(src *fakeSource, n int) {
	src.set(func() {
		for i := range n {
			name := fmt.Sprintf("p%d", i)
			src.people[name] = Identity{Directory: "example", Username: name, ID: "u-" + name}
		}
	})
}

func manyRef(i int) Ref {
	return Ref{Directory: "example", Username: fmt.Sprintf("p%d", i), ID: fmt.Sprintf("u-p%d", i)}
}

// TestMassAbsence: more than five known people gone within a minute are an alarm,
// as many within an hour are none.
func TestMassAbsence(t *testing.T) {
	for name, test := range map[string]struct {
		people int
		every  time.Duration
		want   string
	}{
		"five":           {5, 0, "0"},
		"six":            {6, 0, "1"},
		"twelve":         {12, time.Second, "2"},
		"twelve in time": {12, 13 * time.Second, "0"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := cacheConfig
			cfg.Metrics = metrics.New(metrics.BuildInfo{})
			withCache(t, cfg, func(t *testing.T, src *fakeSource, c *Cache) {
				many(src, test.people)
				for i := range test.people {
					_, err := c.Lookup(t.Context(), manyRef(i))
					wantErr(t, err, nil)
				}
				src.set(func() { src.people = nil })
				time.Sleep(61 * time.Second)
				for i := range test.people {
					_, err := c.Lookup(t.Context(), manyRef(i))
					wantErr(t, err, ErrUnknownUser)
					time.Sleep(test.every)
				}
				if got := counts(t, cfg.Metrics, "ldap_mass_absence_total"); got != test.want {
					t.Errorf("%s alarms, want %s", got, test.want)
				}
				if got := counts(t, cfg.Metrics, "ldap_absent_after_positive_total"); got != fmt.Sprint(test.people) {
					t.Errorf("%s absent, want %d", got, test.people)
				}
			})
		})
	}
}

// TestCacheAccountEnds: a cache does not outlive the account, whether the
// directory answers or not.
func TestCacheAccountEnds(t *testing.T) {
	for _, down := range []bool{false, true} {
		t.Run(fmt.Sprintf("directory down: %v", down), func(t *testing.T) {
			withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
				end := time.Now().Add(20 * time.Second)
				src.set(func() { id := src.people["bach"]; id.ValidUntil = end; src.people["bach"] = id })
				lookupBach(t, c)
				src.set(func() { delete(src.people, "bach") })
				want := ErrUnknownUser
				if down {
					src.set(func() { src.fault = errors.New("busy") })
					want = ErrUnavailable
				}
				time.Sleep(20*time.Second - time.Millisecond)
				lookupBach(t, c)
				time.Sleep(time.Millisecond)
				_, err := c.Lookup(t.Context(), bachRef)
				wantErr(t, err, want)
			})
		})
	}
}

// TestCacheState: what the metrics show of a cache.
func TestCacheState(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		_, err := login(t.Context(), c, "bach", "fugue")
		wantErr(t, err, nil)
		_, err = login(t.Context(), c, "bach", "toccata")
		wantErr(t, err, ErrInvalidCredentials)
		_, err = c.Find(t.Context(), "kant")
		wantErr(t, err, ErrUnknownUser)
		src.set(func() { src.fault = errors.New("busy") })
		if got := c.state(); got.OldestStale != 0 || fmt.Sprint(got.Entries) != "map[identity:1 negative:1 password:1 wrong_password:1]" {
			t.Errorf("state: %+v", got)
		}
		time.Sleep(70 * time.Second)
		lookupBach(t, c)
		synctest.Wait()
		if got := c.state().OldestStale; got != 70*time.Second {
			t.Errorf("oldest stale %s, want 1m10s", got)
		}
		time.Sleep(11 * time.Second)
		if got := c.state().OldestStale; got != 0 {
			t.Errorf("nobody is served stale any more, and yet: %s", got)
		}
	})
}
