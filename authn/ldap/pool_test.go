package ldap

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// twoServers is a pool of servers that nobody listens at, in a bubble of its own time.
func twoServers(t *testing.T, test func(p *pool, first, second *server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d, err := New(Config{Name: "example", Servers: []string{"ldap://127.0.0.1:1", "ldap://127.0.0.1:2"},
			Users: Users{Base: "dc=example,dc=com", Filter: "(uid={login})"}})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		test(d.pool, d.pool.servers[0], d.pool.servers[1])
	})
}

// TestPick: which server is asked, as the first does well or badly.
func TestPick(t *testing.T) {
	for name, test := range map[string]struct {
		change func(p *pool, first, second *server)
		want   int // 0: none
	}{
		"both up":                    {func(p *pool, first, second *server) {}, 1},
		"the first down":             {func(p *pool, first, second *server) { p.markDown(first, errDown) }, 2},
		"both down":                  {func(p *pool, first, second *server) { p.markDown(first, errDown); p.markDown(second, errDown) }, 0},
		"the first just came back":   {func(p *pool, first, second *server) { first.upSince = time.Now() }, 2},
		"the first came back before": {func(p *pool, first, second *server) { first.upSince = time.Now(); time.Sleep(settled) }, 1},
		"both just came back":        {func(p *pool, first, second *server) { first.upSince, second.upSince = time.Now(), time.Now() }, 1},
		"the first is full":          {func(p *pool, first, second *server) { fill(first) }, 2},
		"both are full":              {func(p *pool, first, second *server) { fill(first); fill(second) }, 1},
		"the first is slow":          {func(p *pool, first, second *server) { p.markDown(first, errSlow) }, 2},
		"slow is better than down":   {func(p *pool, first, second *server) { p.markDown(first, errSlow); p.markDown(second, errDown) }, 1},
		"slow, then down": {func(p *pool, first, second *server) {
			p.markDown(first, errSlow)
			p.markDown(first, errDown)
			p.markDown(second, errDown)
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			twoServers(t, func(p *pool, first, second *server) {
				test.change(p, first, second)
				want := map[int]*server{1: first, 2: second}[test.want]
				if got := p.pick(nil); got != want {
					t.Errorf("picked %+v, want %+v", got, want)
				}
				if p.available() != (want != nil) {
					t.Errorf("available: %v", p.available())
				}
			})
		})
	}
}

func fill(s *server) {
	for !s.searches.full() {
		s.searches.running <- struct{}{}
	}
}

// TestPace: a server that answers late for half a minute is spared while another
// is there; a few late answers, or few answers at all, are no reason.
func TestPace(t *testing.T) {
	for name, test := range map[string]struct {
		answers, late int
		took          time.Duration
		alone         bool
		want          bool
	}{
		"quick":                {100, 0, 0, false, false},
		"one in fifty":         {100, 2, 2 * time.Second, false, false},
		"one in ten":           {100, 10, 2 * time.Second, false, true},
		"all":                  {30, 30, 1100 * time.Millisecond, false, true},
		"nearly late":          {30, 30, 900 * time.Millisecond, false, false},
		"too few to say":       {10, 10, 2 * time.Second, false, false},
		"there is no other up": {30, 30, 2 * time.Second, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			twoServers(t, func(p *pool, first, second *server) {
				first.recent.since = time.Now()
				if test.alone {
					p.markDown(second, errDown)
				}
				for i := range test.answers {
					took := time.Duration(0)
					if i < test.late {
						took = test.took
					}
					p.measured(first, "search", time.Now().Add(-took), nil)
				}
				if first.down {
					t.Error("down at once")
				}
				time.Sleep(slowWindow - time.Second)
				time.Sleep(time.Second)
				p.measured(first, "search", time.Now(), nil)
				if got := first.down && errors.Is(first.why, errSlow); got != test.want {
					t.Errorf("spared: %v (%v), want %v", first.down, first.why, test.want)
				}
			})
		})
	}
}

// TestProbeDelay: quick while nobody can log in, 30 s doubling to 5 min while
// somebody else does the work, and slow where the service account is refused.
func TestProbeDelay(t *testing.T) {
	for _, test := range []struct {
		failures         int
		allDown, refused bool
		want             time.Duration
	}{
		{0, false, false, 30 * time.Second}, {1, false, false, time.Minute}, {2, false, false, 2 * time.Minute},
		{3, false, false, 4 * time.Minute}, {4, false, false, 5 * time.Minute}, {99, false, false, 5 * time.Minute},
		{0, true, false, 50 * time.Millisecond}, {1, true, false, time.Second}, {9, true, false, 4 * time.Second},
		{0, true, true, time.Minute}, {9, false, true, time.Minute},
	} {
		if got := probeDelay(test.failures, test.allDown, test.refused); got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
}

// TestTurns: beyond the limit callers wait, beyond the queue they are told at once.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turn := semaphore{make(chan struct{}, 1), make(chan struct{}, 2)}
		if err := turn.acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 2)
		for range 2 {
			go func() { ended <- turn.acquire(t.Context()) }()
		}
		synctest.Wait()
		if err := turn.acquire(t.Context()); !errors.Is(err, errBusy) {
			t.Errorf("with a full queue: %v", err)
		}
		for range 2 {
			turn.release()
			if err := <-ended; err != nil {
				t.Errorf("who waited: %v", err)
			}
		}
		turn.release()
		if got := fmt.Sprint(len(turn.running), len(turn.waiting)); got != "0 0" {
			t.Errorf("left over: %s", got)
		}
	})
}
