package authn

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// at is a directory that needs a while for each password.
type at struct {
	people
	name  string
	takes time.Duration
}

func (d *at) Name() string { return d.name }

func (d *at) Verify(ctx context.Context, id Identity, password Secret) (Identity, error) {
	time.Sleep(d.takes)
	return d.people.Verify(ctx, id, password)
}

// TestRefusalsTakeAsLongAsBinds (A23): where a directory needs longer than usual
// for a password, a name that nobody has is refused no sooner than one that exists,
// and it is so again soon after the directory has become quick.
func TestRefusalsTakeAsLongAsBinds(t *testing.T) {
	for _, test := range []struct {
		takes, want time.Duration
	}{
		{0, 100 * time.Millisecond}, {180 * time.Millisecond, 200 * time.Millisecond}, {420 * time.Millisecond, 450 * time.Millisecond},
	} {
		t.Run(test.takes.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				slow := &at{people: people{known: map[string]string{"bach": "bach"}}, name: "slow", takes: test.takes}
				quick := &at{people: people{known: map[string]string{"haydn": "haydn"}}, name: "quick"}
				c := NewChain(ChainConfig{Directories: []Directory{quick, slow}})
				took := func(login, password string) time.Duration {
					began := time.Now()
					attempt(c, login, password, "192.0.2.1")
					return time.Since(began)
				}
				for range 50 {
					took("haydn", "right") // a quick directory beside it hides nothing
				}
				took("bach", "right")
				for _, login := range []string{"bach", "haydn", "nobody"} {
					if got := took(login, "wrong"); got != test.want {
						t.Errorf("%s: %s, want %s", login, got, test.want)
					}
				}
				if got := took("haydn", "right"); got != 0 {
					t.Errorf("a good login took %s", got)
				}
				slow.takes = 0
				for range refusalSamples {
					took("bach", "right")
				}
				if got := took("nobody", "wrong"); got != refusalTime {
					t.Errorf("with a directory that is quick again: %s", got)
				}
			})
		})
	}
}

// TestRefusalTime (A23): nearly all count, and not the slowest few; no directory
// makes refusals endless; what is later than the others ends at a step.
func TestRefusalTime(t *testing.T) {
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		seen  func(r *RefusalTime)
		taken time.Duration
		want  time.Duration
	}{
		"nothing seen":     {func(*RefusalTime) {}, 0, refusalTime},
		"all quick":        {func(r *RefusalTime) { observed(r, 100, 3*ms) }, 0, refusalTime},
		"a few slow":       {func(r *RefusalTime) { observed(r, 96, 3*ms); observed(r, 4, 900*ms) }, 0, refusalTime},
		"more are slow":    {func(r *RefusalTime) { observed(r, 90, 3*ms); observed(r, 10, 900*ms) }, 0, 900 * ms},
		"endless":          {func(r *RefusalTime) { observed(r, 100, time.Minute) }, 0, refusalMost},
		"later than most":  {func(r *RefusalTime) { observed(r, 100, 180*ms) }, 201 * ms, 250 * ms},
		"older ones go":    {func(r *RefusalTime) { observed(r, 100, 900*ms); observed(r, refusalSamples, 180*ms) }, 0, 200 * ms},
		"late by itself":   {func(*RefusalTime) {}, 5 * time.Second, 5 * time.Second},
		"a step is a step": {func(r *RefusalTime) { observed(r, 1, 150*ms) }, 150 * ms, 150 * ms},
	} {
		r := NewRefusalTime()
		test.seen(r)
		if got := r.of(map[string]Directory{"example": &people{}}, test.taken); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func observed(r *RefusalTime, n int, took time.Duration) {
	for range n {
		r.observe("example", took)
	}
}

// TestRefusalTimeOfMemory (A23): what a cache remembers takes no time, and does
// not make believe that the directory is quick.
func TestRefusalTimeOfMemory(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, cache *Cache) {
		c := NewChain(ChainConfig{Directories: []Directory{cache}})
		if _, err := cache.Find(t.Context(), "bach"); err != nil {
			t.Fatal(err)
		}
		src.set(func() { src.delay = 180 * time.Millisecond })
		attempt(c, "bach", "wrong", "192.0.2.1")
		attempt(c, "bach", "fugue", "192.0.2.1")
		for range 3 * refusalSamples {
			attempt(c, "bach", "wrong", "192.0.2.1")
			attempt(c, "bach", "fugue", "192.0.2.1")
		}
		src.set(func() { src.delay = 0 })
		began := time.Now()
		attempt(c, "nobody", "wrong", "192.0.2.1")
		if took := time.Since(began); took < 180*time.Millisecond {
			t.Errorf("an unknown name took %s", took)
		}
		src.wantAsked(t, "passwords", &src.verify, src.verify)
	})
}

// TestRefusalTimeEndsWithTheCaller (A23): who leaves is not waited for.
func TestRefusalTimeEndsWithTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewChain(ChainConfig{Directories: []Directory{&people{}}})
		observed(c.refusals, 100, time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := c.Authenticate(ctx, Attempt{Login: "nobody", Password: "x"})
		wantErr(t, err, ErrInvalidCredentials)
		if took := time.Since(began); took != 10*time.Millisecond {
			t.Error(fmt.Sprint("took ", took))
		}
	})
}
