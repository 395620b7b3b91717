package listener

import (
	"context"
	"sync/atomic"
	"time"
)

// Leaving ends connections with the answers on them, once it was begun, so that clients
// go elsewhere by themselves. A server's own Shutdown closes connections that look idle,
// and with them the requests that it is just reading.
type Leaving struct{ begun atomic.Bool }

// Begin makes every answer that begins from now on the last of its connection.
func (l *Leaving) Begin() { l.begun.Store(true) }

// Begun reports whether the answers that begin now are the last; over HTTP/2 the client is
// told then which requests were taken (GOAWAY).
func (l *Leaving) Begun() bool { return l != nil && l.begun.Load() }

// Settle waits until no connection is open, for a second at most: who is about to send
// another request on theirs gets its answer.
func (c *Connections) Settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for c.Open() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
