package proxy

import (
	"context"
	"sync"
	"time"

	"gatehouse/authn"
)

const (
	maxListings = 8               // catalogs that are read at once in all
	turnLimit   = 5 * time.Second // how long a request waits for its turn
)

// turns lets one listing a person be read at a time, and a few in all: each may cost
// many requests to the upstream.
type turns struct {
	all    chan struct{}
	mu     sync.Mutex
	people map[holder]*turn
}

// turn is one person's. Who holds it has put something into its channel.
type turn struct {
	held    chan struct{}
	waiting int // or holding it
}

func newTurns() *turns {
	return &turns{all: make(chan struct{}, maxListings), people: map[holder]*turn{}}
}

// acquire waits for a turn, for a while; done gives it back. Without one it is an
// *authn.ThrottledError.
func (t *turns) acquire(ctx context.Context, h holder) (done func(), err error) {
	limited, cancel := context.WithTimeout(ctx, turnLimit)
	defer cancel()
	own := t.join(h)
	if claim(limited, own.held) {
		if claim(limited, t.all) {
			return func() { <-t.all; <-own.held; t.leave(h) }, nil
		}
		<-own.held
	}
	t.leave(h)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, &authn.ThrottledError{RetryAfter: turnLimit, Limit: "catalogs"}
}

func claim(ctx context.Context, into chan struct{}) bool {
	select {
	case into <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (t *turns) join(h holder) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.people[h]
	if own == nil {
		own = &turn{held: make(chan struct{}, 1)}
		t.people[h] = own
	}
	own.waiting++
	return own
}

func (t *turns) leave(h holder) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if own := t.people[h]; own.waiting > 1 {
		own.waiting--
		return
	}
	delete(t.people, h)
}
