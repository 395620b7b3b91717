package listener

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// Leaving ends connections with the answers on them, once it was begun, so that clients
// go elsewhere by themselves. A server's own Shutdown closes connections that look idle,
// and with them the requests that it is just reading.
type Leaving struct{ begun atomic.Bool }

// Begin makes every answer that begins from now on the last of its connection.
func (l *Leaving) Begin() { l.begun.Store(true) }

// Writer is w, whose answer is the last of the connection if it begins after Begin; over
// HTTP/2 the client is told which requests were taken (GOAWAY).
func (l *Leaving) Writer(w http.ResponseWriter) http.ResponseWriter { return &lastAnswer{w, l} }

type lastAnswer struct {
	http.ResponseWriter
	leaving *Leaving
}

// WriteHeader adds the field.
func (w *lastAnswer) WriteHeader(status int) {
	if w.leaving.begun.Load() {
		w.Header().Set("Connection", "close")
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *lastAnswer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

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
