package listener

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// TestSettle: it waits for the last connection to end, but not for long.
func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		edge, _ := NewEdge(Config{})
		limits := DefaultLimits()
		door := &Door{Edge: edge, Limits: &limits, Open: NewConnections()}
		took := func(ctx context.Context) time.Duration {
			start := time.Now()
			door.Open.Settle(ctx)
			return time.Since(start)
		}
		if d := took(t.Context()); d != 0 {
			t.Errorf("without a connection it takes %s", d)
		}
		here, there := net.Pipe()
		defer there.Close()
		c := door.Take(loopback4{here})
		if d := took(t.Context()); d != time.Second {
			t.Errorf("with an idle one it takes %s", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if d := took(ctx); d != 300*time.Millisecond {
			t.Errorf("with less time it takes %s", d)
		}
		time.AfterFunc(100*time.Millisecond, func() { c.Close() })
		if d := took(t.Context()); d < 100*time.Millisecond || d > 110*time.Millisecond {
			t.Errorf("with one that ends it takes %s", d)
		}
	})
}
