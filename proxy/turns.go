package proxy

import (
	"context"
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
	people queues[holder]
}

func newTurns() *turns { return &turns{all: make(chan struct{}, maxListings)} }

// acquire waits for a turn, for a while; done gives it back. Without one it is an
// *authn.ThrottledError.
func (t *turns) acquire(ctx context.Context, h holder) (done func(), err error) {
	limited, cancel := context.WithTimeout(ctx, turnLimit)
	defer cancel()
	if leave, ok := t.people.acquire(limited, h); ok {
		if claim(limited, t.all) {
			return func() { <-t.all; leave() }, nil
		}
		leave()
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, &authn.ThrottledError{RetryAfter: turnLimit, Limit: "catalogs"}
}
