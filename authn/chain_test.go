package authn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestChainOrder: who decides at a login.
func TestChainOrder(t *testing.T) {
	for name, test := range map[string]struct {
		first, second error // what they say of the name; nil: known
		want          string
	}{
		"the first knows them":  {nil, nil, "first"},
		"the second knows them": {ErrUnknownUser, nil, "second"},
		"the first holds them":  {ErrHeld, nil, "no"},
		"nobody":                {ErrUnknownUser, ErrUnknownUser, "no"},
		"the first is at fault": {ErrUnavailable, nil, "fault"},
		"an error of no kind":   {errors.New("?"), nil, "fault"},
		"the second is":         {ErrUnknownUser, ErrUnavailable, "fault"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := NewChain(ChainConfig{Directories: []Directory{said{"first", test.first}, said{"second", test.second}}})
				id, err := c.Authenticate(t.Context(), Attempt{Login: "bach", Password: "fugue"})
				got := id.Directory
				if err != nil {
					got = ending(err)
				}
				if got != test.want {
					t.Errorf("got %s, %v, want %s", got, err, test.want)
				}
			})
		})
	}
}

// said is a directory that says one thing of everybody.
type said struct {
	name string
	err  error
}

func (s said) Name() string { return s.name }
func (s said) Find(context.Context, string) (Identity, error) {
	return Identity{Directory: s.name, Username: "bach", ID: s.name}, s.err
}
func (s said) Verify(_ context.Context, id Identity, _ Secret) (Identity, error) { return id, s.err }
func (s said) Lookup(context.Context, Ref) (Identity, error) {
	return Identity{Directory: s.name, Username: "bach", ID: s.name}, s.err
}

func TestChainLookup(t *testing.T) {
	c := NewChain(ChainConfig{Directories: []Directory{said{"a", nil}, said{"b", errors.New("?")}, said{"c", ErrUnknownUser}}})
	for _, test := range []struct {
		ref  Ref
		want error
	}{
		{Ref{Directory: "a", ID: "a"}, nil},
		{Ref{Directory: "a", ID: "before"}, ErrUnknownUser},
		{Ref{Directory: "b", ID: "b"}, ErrUnavailable},
		{Ref{Directory: "c", ID: "c"}, ErrUnknownUser},
		{Ref{Directory: "gone", ID: "a"}, ErrUnknownUser},
		{Ref{}, ErrUnknownUser},
	} {
		if _, err := c.Lookup(t.Context(), test.ref); !errors.Is(err, test.want) {
			t.Errorf("%+v: %v, want %v", test.ref, err, test.want)
		}
	}
}

func notAdmitted(Identity) error { return fmt.Errorf("%w: not admitted", ErrInvalidCredentials) }

// TestChainEqualWork: whatever the cause of a refusal, the same comparisons are made,
// and the same time passes.
func TestChainEqualWork(t *testing.T) {
	s := newStatic(t,
		StaticUser{Username: "weak", PasswordHash: quickHash(t, "x", 4)},
		StaticUser{Username: "strong", PasswordHash: quickHash(t, "x", 6)},
		StaticUser{Username: "plain", PasswordFile: SecretFile{Secret: "x"}})
	want := map[cost]int{}
	for _, c := range s.costs {
		want[c] = 1
	}
	if len(want) != 3 {
		t.Fatalf("costs: %+v", s.costs)
	}
	for name, a := range map[string]Attempt{
		"unknown":             {Login: "kant", Password: "y"},
		"a weak hash":         {Login: "weak", Password: "y"},
		"a strong hash":       {Login: "strong", Password: "y"},
		"argon2id":            {Login: "plain", Password: "y"},
		"over 72 bytes":       {Login: "strong", Password: Secret(strings.Repeat("y", 73))},
		"of the directory":    {Login: "bach", Password: "y"},
		"a name far too long": {Login: strings.Repeat("n", 1000), Password: "y"},
		// Row A17: a right password of somebody who is not let in.
		"not admitted":                  {Login: "strong", Password: "x", Admit: notAdmitted},
		"not admitted of the directory": {Login: "bach", Password: "right", Admit: notAdmitted},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := &people{known: map[string]string{"bach": "bach"}}
				c := NewChain(ChainConfig{Directories: []Directory{s, dir}})
				s.hasher = NewHasher(passwordsWaiting)
				ctx, work := withWork(t.Context())
				began := time.Now()
				_, err := c.Authenticate(ctx, a)
				wantErr(t, err, ErrInvalidCredentials)
				if !maps.Equal(work.comparisons, want) {
					t.Errorf("work %v, want %v", work.comparisons, want)
				}
				if took := time.Since(began); took != refusalTime {
					t.Errorf("took %s, want %s", took, refusalTime)
				}
			})
		})
	}
}

func TestChainGoodLoginIsNotHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := &people{known: map[string]string{"bach": "bach"}}
		c := NewChain(ChainConfig{Directories: []Directory{dir}, Throttle: NewThrottle(throttleConfig)})
		began := time.Now()
		id, err := c.Authenticate(t.Context(), Attempt{Login: "bach", Password: "right", Source: netip.MustParseAddr("192.0.2.1")})
		if err != nil || id.Username != "bach" || time.Since(began) != 0 {
			t.Errorf("%+v, %v after %s", id, err, time.Since(began))
		}
	})
}

// TestChainEmptyAsksNobody: an empty password would be an anonymous bind.
func TestChainEmptyAsksNobody(t *testing.T) {
	dir := &people{known: map[string]string{"bach": "bach"}}
	c := NewChain(ChainConfig{Directories: []Directory{dir}})
	for _, a := range []Attempt{{Login: "bach"}, {Password: "x"}, {Login: "bach", Password: "\x00"}, {}} {
		_, err := c.Authenticate(t.Context(), a)
		wantErr(t, err, ErrInvalidCredentials)
	}
	if dir.finds+dir.binds != 0 {
		t.Errorf("%d finds, %d binds", dir.finds, dir.binds)
	}
}

func TestChainLogsReasonNotPassword(t *testing.T) {
	var log strings.Builder
	c := NewChain(ChainConfig{
		Directories: []Directory{&people{known: map[string]string{"bach": "bach"}}},
		Logger:      slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	_, err := c.Authenticate(t.Context(), Attempt{Login: "bach", Password: "canary-secret"})
	wantErr(t, err, ErrInvalidCredentials)
	if got := log.String(); !strings.Contains(got, "user=bach") || !strings.Contains(got, "reason=") || strings.Contains(got, "canary") {
		t.Errorf("log: %s", got)
	}
}

// TestChainLoginLimit: search and bind together have the directory's time limit.
func TestChainLoginLimit(t *testing.T) {
	withCache(t, cacheConfig, func(t *testing.T, src *fakeSource, c *Cache) {
		chain := NewChain(ChainConfig{Directories: []Directory{c}})
		src.set(func() { src.delay = 3 * time.Second })
		began := time.Now()
		_, err := chain.Authenticate(t.Context(), Attempt{Login: "bach", Password: "fugue"})
		wantErr(t, err, ErrUnavailable)
		if took := time.Since(began); took != src.Timeout() {
			t.Errorf("took %s, the limit is %s", took, src.Timeout())
		}
		src.set(func() { src.delay = 2 * time.Second })
		c.Expire()
		_, err = chain.Authenticate(t.Context(), Attempt{Login: "bach", Password: "fugue"})
		wantErr(t, err, nil)
	})
}
