package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"gatehouse/authn"
)

// crowd is a directory of anybody whose password is "right". It counts what reaches it,
// and holds each check until hold is closed, where there is one.
type crowd struct {
	checks atomic.Int64
	hold   chan struct{}
	fault  atomic.Bool
}

func (c *crowd) Name() string { return "example" }

func (c *crowd) Find(_ context.Context, login string) (authn.Identity, error) {
	if strings.HasPrefix(strings.ToLower(login), "nobody") {
		return authn.Identity{}, authn.ErrUnknownUser
	}
	return authn.Identity{Directory: "example", Username: strings.ToLower(login), ID: login}, nil
}

func (c *crowd) Verify(_ context.Context, id authn.Identity, password authn.Secret) (authn.Identity, error) {
	c.checks.Add(1)
	if c.hold != nil {
		<-c.hold
	}
	switch {
	case c.fault.Load():
		return authn.Identity{}, authn.ErrUnavailable
	case password != "right":
		return authn.Identity{}, authn.ErrInvalidCredentials
	}
	return id, nil
}

func (c *crowd) Lookup(context.Context, authn.Ref) (authn.Identity, error) {
	return authn.Identity{}, authn.ErrUnknownUser
}

// gate is one of several gateways that share a Redis.
type gate struct {
	throttle *authn.Throttle
	chain    *authn.Chain
	store    *Store
}

// patient is for machines where Redis does not come to its turn within LoginTime.
const patient = 20 * time.Second

var sharedKey = [32]byte{1, 2, 3}

// gates makes three of them before one directory.
func gates(t testing.TB, section Redis, cfg authn.ThrottleConfig, d authn.Directory) []*gate {
	t.Helper()
	var all []*gate
	for range 3 {
		b, err := NewShared(section)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		g := &gate{throttle: authn.NewThrottle(cfg), store: Watched(b, Config{}, nil, nil)}
		g.throttle.Share(g.store.Tally(patient), sharedKey)
		g.chain = authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{d}, Throttle: g.throttle})
		all = append(all, g)
	}
	return all
}

const home = "192.0.2.1"

// login is one, and what it came to: ok, no, fault or the limit that held it.
func (g *gate) login(t testing.TB, name, password, source string) string {
	t.Helper()
	_, err := g.chain.Authenticate(t.Context(), authn.Attempt{Login: name, Password: authn.Secret(password), Source: netip.MustParseAddr(source)})
	return came(err)
}

func came(err error) string {
	held := new(authn.ThrottledError)
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &held):
		return held.Limit
	case errors.Is(err, authn.ErrInvalidCredentials):
		return "no"
	}
	return "fault"
}

// logins are steps "gate name password source want".
func logins(t *testing.T, all []*gate, steps string) {
	t.Helper()
	for i, line := range strings.Split(strings.TrimSpace(steps), "\n") {
		var at int
		var name, password, source, want string
		if _, err := fmt.Sscan(line, &at, &name, &password, &source, &want); err != nil {
			t.Fatal(line, err)
		}
		if got := all[at].login(t, name, password, source); got != want {
			t.Errorf("step %d, %s: %s", i+1, strings.TrimSpace(line), got)
		}
	}
}

var five = authn.ThrottleConfig{Failures: 5, Window: 5 * time.Minute, UsersPerSource: 50, TokensPerSource: 50}

// TestThrottlesAreOne: failures spread over three gateways count as on one, by person,
// network and password, for names that nobody has too.
func TestThrottlesAreOne(t *testing.T) {
	_, section := redisServer(t)
	two := five
	two.UsersPerSource = 2
	for name, c := range map[string]struct {
		cfg   authn.ThrottleConfig
		steps string
	}{
		"six wrong passwords": {five, `
			0 bach a 192.0.2.1 no
			1 bach b 192.0.2.1 no
			2 bach c 192.0.2.1 no
			0 Bach d 192.0.2.77 no
			1 bach e 192.0.2.1 no
			2 bach f 192.0.2.1 failures
			0 bach right 192.0.2.1 failures
			1 bach a 192.0.2.1 failures
			2 bach right 198.51.100.1 ok
			0 haydn right 192.0.2.1 ok`},
		"the same password counts once": {five, `
			0 kant a 192.0.2.1 no
			1 kant a 192.0.2.1 no
			2 kant a 192.0.2.1 no
			0 kant b 192.0.2.1 no
			1 kant c 192.0.2.1 no
			2 kant d 192.0.2.1 no
			0 kant right 192.0.2.1 ok
			1 kant e 192.0.2.1 no
			2 kant f 192.0.2.1 failures
			0 kant right 192.0.2.1 ok
			1 kant right 192.0.2.1 ok
			2 kant right 192.0.2.1 ok`},
		"a name that nobody has": {five, `
			0 nobody a 192.0.2.1 no
			1 nobody b 192.0.2.1 no
			2 nobody c 192.0.2.1 no
			0 nobody d 192.0.2.1 no
			1 NOBODY e 192.0.2.1 no
			2 nobody f 192.0.2.1 failures`},
		"names of a network": {two, `
			2 liszt right 203.0.113.1 ok
			0 n1 a 203.0.113.2 no
			1 n2 a 203.0.113.3 no
			2 n3 right 203.0.113.4 users_per_source
			0 n3 right 198.51.100.4 ok
			0 liszt right 203.0.113.5 ok
			1 liszt right 203.0.113.5 ok`},
		"a password that is good no more": {five, `
			0 holst right 192.0.2.1 ok
			1 holst a 192.0.2.1 no
			1 holst b 192.0.2.1 no
			1 holst c 192.0.2.1 no
			1 holst d 192.0.2.1 no
			1 holst e 192.0.2.1 no
			1 holst f 192.0.2.1 failures
			1 holst right 192.0.2.1 ok
			2 holst right 192.0.2.1 ok`},
	} {
		t.Run(name, func(t *testing.T) {
			section.Prefix = strings.ReplaceAll(name, " ", "-") + ":"
			logins(t, gates(t, section, c.cfg, &crowd{}), c.steps)
		})
	}
}

// TestThrottlesBeside: passwords that are being checked at the same time, by whichever
// gateway, are no more than those that one after the other may be; a fault counts for nothing.
func TestThrottlesBeside(t *testing.T) {
	_, section := redisServer(t)
	d := &crowd{hold: make(chan struct{})}
	all := gates(t, section, five, d)
	results := make(chan string, 12)
	var running sync.WaitGroup
	for i := range 12 {
		running.Go(func() { results <- all[i%3].login(t, "bach", fmt.Sprint(i), home) })
	}
	for range 7 { // who does not wait for the directory
		if got := <-results; got != "failures" {
			t.Errorf("one too many: %s", got)
		}
	}
	d.fault.Store(true)
	close(d.hold)
	running.Wait()
	for range 5 {
		if got := <-results; got != "fault" {
			t.Errorf("one of five: %s", got)
		}
	}
	if d.fault.Store(false); d.checks.Load() != 5 {
		t.Errorf("%d passwords were checked, want 5", d.checks.Load())
	}
	d.hold = nil
	logins(t, all, "0 bach right 192.0.2.1 ok")
}

// TestTokensAreOne: bad tokens of one network count for all gateways, a token once.
func TestTokensAreOne(t *testing.T) {
	_, section := redisServer(t)
	cfg := five
	cfg.TokensPerSource = 3
	all := gates(t, section, cfg, &crowd{})
	show := func(at int, token, source string) string {
		a := authn.Attempt{Password: authn.Secret(token), Source: netip.MustParseAddr(source)}
		err := all[at].chain.Refused(t.Context(), a, authn.ErrUnknownToken)
		if errors.Is(err, authn.ErrBadToken) {
			return "bad"
		}
		return came(err)
	}
	for i, c := range []struct{ at, token, source, want string }{
		{"0", "a", home, "bad"}, {"1", "a", home, "bad"}, {"1", "b", home, "bad"}, {"2", "c", home, "bad"},
		{"2", "d", home, "tokens_per_source"}, {"0", "a", home, "tokens_per_source"}, {"0", "d", "198.51.100.1", "bad"},
	} {
		if got := show(int(c.at[0]-'0'), c.token, c.source); got != c.want {
			t.Errorf("step %d: %s, want %s", i+1, got, c.want)
		}
	}
}

// TestThrottlesWithoutRedis: the local count goes on, at once where Redis is gone and within
// its own time limit where it is mute; what was counted meanwhile counts on.
func TestThrottlesWithoutRedis(t *testing.T) {
	p, section := redisServer(t)
	all := gates(t, section, five, &crowd{})
	logins(t, all, "0 bach a 192.0.2.1 no\n1 bach b 192.0.2.1 no")
	if err := p.Cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	tally := all[1].store.Tally(LoginTime)
	all[0].throttle.Share(all[0].store.Tally(LoginTime), sharedKey)
	all[2].throttle.Share(all[2].store.Tally(LoginTime), sharedKey)
	if _, err := tally.Claim(t.Context(), []authn.Place{{Set: "s", Member: "m", Most: 1, Lasting: time.Minute}}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("mute: %v", err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("a mute Redis took %s of a login", took)
	}
	logins(t, all, `
		0 bach c 192.0.2.1 no
		0 bach d 192.0.2.1 no
		0 bach e 192.0.2.1 no
		0 bach f 192.0.2.1 no
		0 bach g 192.0.2.1 failures
		2 bach g 192.0.2.1 no`)
	if err := p.Cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.Stop(5 * time.Second)
	if _, err := all[0].store.Get(t.Context(), "t", "k"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("gone: %v", err)
	}
	if err := tally.Note(t.Context(), nil); !errors.Is(err, ErrUnavailable) {
		t.Errorf("gone: %v", err)
	}
	logins(t, all, "0 bach right 192.0.2.1 failures\n1 haydn right 192.0.2.1 ok")
}

// TestTallyLapses: what was counted lapses, a place that nobody ended lapses sooner, and a
// refusal says how long it takes.
func TestTallyLapses(t *testing.T) {
	server := miniredis.RunT(t)
	now := time.Now()
	server.SetTime(now)
	pass := func(d time.Duration) { now = now.Add(d); server.SetTime(now); server.FastForward(d) }
	b, err := NewShared(Redis{URL: "redis://" + server.Addr(), Prefix: "p:"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	tally := Watched(b, Config{}, nil, nil).Tally(patient)
	claim := func(member string, want authn.Full) {
		t.Helper()
		got, err := tally.Claim(t.Context(), []authn.Place{
			{Set: "s", Member: member, Most: 2, Lasting: 30 * time.Second, Window: 5 * time.Minute, Unless: "good", Known: member, Guesses: 3}})
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", member, got, err, want)
		}
	}
	note := func(set, member string, end authn.NoteEnd, lasting time.Duration) {
		t.Helper()
		if err := tally.Note(t.Context(), []authn.Note{{Set: set, Member: member, End: end, Lasting: lasting}}); err != nil {
			t.Error(err)
		}
	}
	taken := authn.Full{Place: -1}
	claim("a", taken)
	note("s", "a", authn.NoteCounts, 5*time.Minute)
	pass(time.Minute)
	claim("b", taken) // and its gateway dies
	claim("b", taken) // which is the same
	claim("c", authn.Full{})
	pass(30 * time.Second)
	claim("c", taken)
	note("s", "c", authn.NoteCounts, 5*time.Minute)
	note("s", "c", authn.NoteCounts, 5*time.Minute)
	claim("d", authn.Full{Wait: 210 * time.Second})
	claim("c", authn.Full{Wait: 210 * time.Second})
	note("good", "right", authn.NoteLast, time.Hour)
	claim("right", taken)
	claim("e", authn.Full{Wait: 210 * time.Second})
	claim("right", taken)
	claim("f", authn.Full{Wait: 210 * time.Second}) // the third that is told so
	claim("right", authn.Full{Wait: 210 * time.Second})
	if member, left, err := tally.Last(t.Context(), "good"); member != "right" || left != time.Hour || err != nil {
		t.Errorf("%s for %s, %v", member, left, err)
	}
	note("good", "right", authn.NoteNotKnown, 0)
	if member, left, err := tally.Last(t.Context(), "good"); member != "-" || left != time.Hour || err != nil {
		t.Errorf("%s for %s, %v", member, left, err)
	}
	pass(210 * time.Second)
	claim("d", taken)
	note("s", "d", authn.NoteLeaves, 0)
	pass(10 * time.Minute)
	if keys := server.Keys(); len(keys) != 1 || keys[0] != "p:{s}:throttle/good" {
		t.Errorf("what lapsed is kept: %q", keys)
	}
}

// TestTallyOfFile: a store of one gateway counts for nobody else.
func TestTallyOfFile(t *testing.T) {
	f, err := OpenFile(t.TempDir() + "/store.db")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if Watched(f, Config{}, nil, nil).Tally(patient) != nil {
		t.Error("a file has a tally")
	}
}

// BenchmarkLogin is what a login costs whose failures a Redis on the same machine counts.
func BenchmarkLogin(b *testing.B) {
	_, section := redisServer(b)
	all := gates(b, section, five, &crowd{})
	for b.Loop() {
		if got := all[0].login(b, "bach", "right", home); got != "ok" {
			b.Fatal(got)
		}
	}
}
