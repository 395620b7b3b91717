package authn

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// TestThreatsG has a test for each row of the credential threats that this
// package answers, named by the row; the others stand in packages proxy and e2e.
func TestThreatsG(t *testing.T) {
	t.Run("G1 bcrypt and its 72 bytes", func(t *testing.T) {
		long := strings.Repeat("x", 72)
		cut, err := bcrypt.GenerateFromPassword([]byte(long), 4)
		if err != nil {
			t.Fatal(err)
		}
		h, _, err := parseHash(string(cut))
		if err != nil {
			t.Fatal(err)
		}
		q := NewHasher(1)
		for password, want := range map[string]bool{long: true, long + "junk": false, long[:71]: false} {
			if got, err := q.compare(t.Context(), "x", h, Secret(password)); got != want || err != nil {
				t.Errorf("%d bytes: %v, %v", len(password), got, err)
			}
		}
		if text, err := HashPassword(Secret(long + "y")); err != nil || strings.HasPrefix(text, "$2") {
			t.Errorf("a password over 72 bytes becomes %q, %v", text, err)
		}
	})
	t.Run("G2 hashes that cost too much", func(t *testing.T) {
		const rest = "N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
		for cost, good := range map[string]bool{"03": false, "10": true, "14": true, "15": false, "31": false, "99": false} {
			if _, _, err := parseHash("$2a$" + cost + "$" + rest[:53]); (err == nil) != good {
				t.Errorf("cost %s: %v", cost, err)
			}
		}
		for _, bomb := range []string{"m=4194304,t=1,p=1", "m=262144,t=1000,p=1", "m=65536,t=1,p=255", "m=4294967295,t=4294967295,p=1"} {
			if _, _, err := parseHash("$argon2id$v=19$" + bomb + "$c29tZXNhbHRzb21lc2FsdA$c29tZWtleXNvbWVrZXlzb21la2V5c29tZWtleQ"); err == nil {
				t.Errorf("%s was taken", bomb)
			}
		}
	})
	t.Run("G3 refusals look alike and take the same time", func(t *testing.T) {
		withChain(t, ThrottleConfig{}, func(t *testing.T, p *people, c *Chain) {
			for _, login := range []string{"bach", "nobody", strings.Repeat("n", 300), "!"} {
				began := time.Now()
				if _, err := c.Authenticate(t.Context(), Attempt{Login: login, Password: "wrong"}); !errors.Is(err, ErrInvalidCredentials) {
					t.Errorf("%s: %v", login, err)
				}
				if took := time.Since(began); took != refusalTime {
					t.Errorf("%.10s took %s", login, took)
				}
			}
		})
	})
	t.Run("G4 ten thousand random names beside an attack", func(t *testing.T) {
		withChain(t, throttleConfig, func(t *testing.T, _ *people, c *Chain) {
			wrong(t, c, "bach", "192.0.2.1", 5)
			for i := range 10_000 {
				try, err := c.throttle.admit(t.Context(), Attempt{Login: fmt.Sprint("x", i), Password: "x", Source: netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})}, Identity{})
				if err != nil {
					t.Fatal(err)
				}
				try.settle(t.Context(), ErrUnknownUser)
			}
			if got := ending(attempt(c, "bach", "right", "192.0.2.1")); got != "throttled" {
				t.Error(got)
			}
		})
	})
	t.Run("G5 one try on each of many", func(t *testing.T) {
		withChain(t, throttleConfig, func(t *testing.T, _ *people, c *Chain) {
			held := 0
			for i := range 200 {
				if ending(attempt(c, fmt.Sprint("user", i), "Winter2026", fmt.Sprintf("192.0.2.%d", i))) == "throttled" {
					held++
				}
			}
			if held != 150 {
				t.Errorf("%d of 200 were held", held)
			}
		})
	})
	t.Run("G6 nobody is locked out, and the directory is left alone", func(t *testing.T) {
		withChain(t, throttleConfig, func(t *testing.T, p *people, c *Chain) {
			if err := attempt(c, "bach", "right", "198.51.100.1"); err != nil {
				t.Fatal(err)
			}
			wrong(t, c, "bach", "192.0.2.1", 5)
			before := p.binds
			for i := range 100 {
				if got := ending(attempt(c, "bach", fmt.Sprint("guess", i), "192.0.2.1")); got != "throttled" {
					t.Fatalf("guess %d: %s", i, got)
				}
			}
			if p.binds != before {
				t.Errorf("%d guesses reached the directory", p.binds-before)
			}
			if err := attempt(c, "bach", "right", "198.51.100.2"); err != nil {
				t.Errorf("from where they always are: %v", err)
			}
		})
	})
}

// TestH7JunkNames: random names, however many, take a bounded part of the memory.
func TestH7JunkNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := NewThrottle(throttleConfig)
		heap := func() int64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc)
		}
		junk := func(from, to int) {
			for i := from; i < to; i++ {
				a := Attempt{Login: fmt.Sprint("junk", i), Password: "x", Source: netip.AddrFrom4([4]byte{byte(i >> 16), byte(i >> 8), byte(i), 1})}
				if err := th.precheck(t.Context(), a); err != nil {
					continue
				}
				if try, err := th.admit(t.Context(), a, Identity{}); err == nil {
					try.settle(t.Context(), ErrUnknownUser)
				}
			}
		}
		before := heap()
		junk(0, 200_000)
		after := heap()
		if after-before > 20<<20 {
			t.Errorf("grown by %d KiB", (after-before)>>10)
		}
		if n := len(th.passwords) + len(th.everywhere) + th.names.Len() + th.people.pairs.Len(); n != 0 || th.unknown.pairs.Len() != throttledUnknown || th.sources.networks.Len() != throttledSources {
			t.Errorf("%d entries that nobody needs, %d names, %d networks", n, th.unknown.pairs.Len(), th.sources.networks.Len())
		}
		runtime.KeepAlive(th)
	})
}
