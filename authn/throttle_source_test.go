package authn

import (
	"context"
	"net/netip"
	"testing"
)

// TestThrottleUnknownSource: row H1. Clients whose address a proxy did not say count
// together, under that proxy and apart from everybody else.
func TestThrottleUnknownSource(t *testing.T) {
	withChain(t, ThrottleConfig{Failures: 2, Window: throttleConfig.Window}, func(t *testing.T, _ *people, c *Chain) {
		try := func(password, source, via string) string {
			a := Attempt{Login: "bach", Password: Secret(password)}
			a.Source, _ = netip.ParseAddr(source)
			a.Via, _ = netip.ParseAddr(via)
			_, err := c.Authenticate(context.Background(), a)
			return ending(err)
		}
		for i, s := range []struct{ password, source, via, want string }{
			{"a", "", "10.0.0.1", "no"},
			{"b", "", "::ffff:10.0.0.1", "no"},
			{"c", "", "10.0.0.1", "throttled"},
			{"c", "10.0.0.1", "", "no"}, // the proxy itself
			{"c", "", "10.0.0.2", "no"}, // its neighbour
			{"c", "", "", "no"},         // nobody's
			{"c", "203.0.113.9", "", "no"},
			{"d", "", "10.0.0.1", "throttled"},
		} {
			if got := try(s.password, s.source, s.via); got != s.want {
				t.Errorf("%d: %s, want %s", i, got, s.want)
			}
		}
	})
}
