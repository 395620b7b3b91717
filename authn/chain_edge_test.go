package authn

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// judging is a directory of one person that answers as a test says.
type judging struct {
	find, verify error
	password     string // good, where verify is nil
	limit        time.Duration
	deadline     bool // the last question about a password had one
	asked        int
}

func (j *judging) Name() string { return "corp" }

func (j *judging) Timeout() time.Duration { return j.limit }

func (j *judging) Find(context.Context, string) (Identity, error) {
	j.asked++
	return Identity{Directory: "corp", Username: "bach", ID: "u-bach"}, j.find
}

func (j *judging) Verify(ctx context.Context, id Identity, password Secret) (Identity, error) {
	_, j.deadline = ctx.Deadline()
	if j.verify == nil && string(password) != j.password {
		return Identity{}, ErrInvalidCredentials
	}
	return id, j.verify
}

func (j *judging) Lookup(context.Context, Ref) (Identity, error) {
	return Identity{Directory: "elsewhere", Username: "bach", ID: "u-bach"}, nil
}

// TestChainBounds: names of 256 and passwords of 4,096 bytes are asked about, longer
// ones are not.
func TestChainBounds(t *testing.T) {
	for name, test := range map[string]struct {
		login, password int
		want            string
		asked           int
	}{
		"a name as long as may be":     {256, 1, "ok", 1},
		"one byte more":                {257, 1, "no", 0},
		"a password as long as may be": {1, 4096, "ok", 1},
		"another byte more":            {1, 4097, "no", 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := &judging{password: strings.Repeat("p", test.password)}
			c := NewChain(ChainConfig{Directories: []Directory{d}})
			if got := ending(attempt(c, strings.Repeat("n", test.login), d.password, here)); got != test.want || d.asked != test.asked {
				t.Errorf("%s, asked %d times", got, d.asked)
			}
		})
	}
}

// TestChainSaysOfTheEncoding (D8): only of a refused password that is not UTF-8.
func TestChainSaysOfTheEncoding(t *testing.T) {
	const latin1 = "gr\xfc\xdfe"
	for name, test := range map[string]struct {
		d        *judging
		password string
		want     string
		said     bool
	}{
		"wrong in Latin-1":    {&judging{password: "grüße"}, latin1, "no", true},
		"wrong in UTF-8":      {&judging{password: latin1}, "grüße", "no", false},
		"good in Latin-1":     {&judging{password: latin1}, latin1, "ok", false},
		"a fault":             {&judging{verify: errors.New("away")}, latin1, "fault", false},
		"a fault of the find": {&judging{find: errors.New("away")}, latin1, "fault", false},
	} {
		err := attempt(NewChain(ChainConfig{Directories: []Directory{test.d}}), "bach", test.password, here)
		if got := ending(err); got != test.want || (err != nil && strings.Contains(err.Error(), "not UTF-8")) != test.said {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestChainEmptyTakesNoTime: an empty name or password tells nothing of anybody, so
// that it costs neither time nor a comparison.
func TestChainEmptyTakesNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		static := newStatic(t, StaticUser{Username: "carol", PasswordHash: quickHash(t, "x", 4)})
		c := NewChain(ChainConfig{Directories: []Directory{static}})
		ctx, done := withWork(t.Context())
		began := time.Now()
		for _, a := range []Attempt{{Login: "carol"}, {Password: "x"}, {}} {
			_, err := c.Authenticate(ctx, a)
			wantErr(t, err, ErrInvalidCredentials)
		}
		if took := time.Since(began); took != 0 || len(done.comparisons) != 0 {
			t.Errorf("took %s and %d comparisons", took, len(done.comparisons))
		}
	})
}

// TestChainLogsRefusalsAlone: a good login is no line, and a refused one names who
// was found.
func TestChainLogsRefusalsAlone(t *testing.T) {
	var log strings.Builder
	d := &judging{password: "right"}
	c := NewChain(ChainConfig{Directories: []Directory{d}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Throttle: NewThrottle(ThrottleConfig{Failures: 1, Window: time.Hour})})
	if err := attempt(c, "bach", "right", here); err != nil || log.Len() != 0 {
		t.Errorf("%v; the log says %s", err, log.String())
	}
	for i, want := range []string{"invalid credentials", "failures"} {
		log.Reset()
		attempt(c, "bach", "wrong"+strings.Repeat("!", i), here)
		if got := log.String(); i == 0 && !strings.Contains(got, "directory=corp user=bach") || !strings.Contains(got, want) {
			t.Errorf("the log says %s", got)
		}
	}
}

// TestChainTellsWhoIsHeld: who is throttled after they were found is named beside the error.
func TestChainTellsWhoIsHeld(t *testing.T) {
	th := NewThrottle(ThrottleConfig{Failures: 1, Window: time.Hour})
	c := NewChain(ChainConfig{Directories: []Directory{&judging{password: "right"}}, Throttle: th})
	attempt(c, "bach", "wrong", here)
	id, err := c.Authenticate(t.Context(), Attempt{Login: "bach@example.com", Password: "worse", Source: Attempt{}.Source})
	if ending(err) != "no" || id.Username != "bach" {
		t.Errorf("from nowhere: %+v, %v", id, err)
	}
	id, err = c.Authenticate(t.Context(), Attempt{Login: "another spelling", Password: "worst", Source: Attempt{}.Source})
	if ending(err) != "throttled" || id.Username != "bach" {
		t.Errorf("%+v, %v", id, err)
	}
}

// TestChainWithoutALimit: a directory that has no time limit is not given one.
func TestChainWithoutALimit(t *testing.T) {
	for _, limit := range []time.Duration{0, time.Second} {
		d := &judging{password: "right", limit: limit}
		if err := attempt(NewChain(ChainConfig{Directories: []Directory{d}}), "bach", "right", here); err != nil || d.deadline != (limit > 0) {
			t.Errorf("limit %s: %v, deadline: %v", limit, err, d.deadline)
		}
	}
}

// TestChainsShareRefusalTime (A23): a reload does not forget how long binds take, but
// for a directory that is no longer there.
func TestChainsShareRefusalTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRefusalTime()
		observed(r, 1, 300*time.Millisecond)
		for name, want := range map[string]time.Duration{"example": 300 * time.Millisecond, "other": refusalTime} {
			c := NewChain(ChainConfig{Refusals: r, Directories: []Directory{&at{name: name}}})
			began := time.Now()
			attempt(c, "nobody", "x", here)
			if took := time.Since(began); took != want {
				t.Errorf("%s: took %s, want %s", name, took, want)
			}
		}
	})
}

// TestChainFullHasher: where no comparison can be made to level a refusal, it is no
// refusal but too much at once.
func TestChainFullHasher(t *testing.T) {
	static := newStatic(t, StaticUser{Username: "carol", PasswordHash: quickHash(t, "x", 4)})
	static.hasher.Configure(-1000)
	err := attempt(NewChain(ChainConfig{Directories: []Directory{static}}), "nobody", "x", here)
	throttled := new(ThrottledError)
	if !errors.As(err, &throttled) || throttled.Limit != "passwords_waiting" || errors.Is(err, ErrInvalidCredentials) {
		t.Errorf("%v", err)
	}
}

// TestChainLookupElsewhere: an identity of another directory is another person.
func TestChainLookupElsewhere(t *testing.T) {
	_, err := NewChain(ChainConfig{Directories: []Directory{&judging{}}}).Lookup(t.Context(), Ref{Directory: "corp", Username: "bach", ID: "u-bach"})
	wantErr(t, err, ErrUnknownUser)
}
