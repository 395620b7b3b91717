package proxy

import (
	"context"
	"sync"
)

// queues let one at a time through, for each key. The zero queues are ready.
type queues[K comparable] struct {
	mu   sync.Mutex
	keys map[K]*queue
}

// queue is one key's. Who holds it has put something into its channel.
type queue struct {
	held    chan struct{}
	waiting int // or holding it
}

// acquire waits until it is the caller's turn; leave ends that. It is false where ctx
// ended first.
func (q *queues[K]) acquire(ctx context.Context, key K) (leave func(), ok bool) {
	own := q.join(key)
	if !claim(ctx, own.held) {
		q.leave(key)
		return nil, false
	}
	return func() { <-own.held; q.leave(key) }, true
}

func claim(ctx context.Context, into chan struct{}) bool {
	select {
	case into <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (q *queues[K]) join(key K) *queue {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.keys == nil {
		q.keys = map[K]*queue{}
	}
	own := q.keys[key]
	if own == nil {
		own = &queue{held: make(chan struct{}, 1)}
		q.keys[key] = own
	}
	own.waiting++
	return own
}

func (q *queues[K]) leave(key K) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if own := q.keys[key]; own.waiting > 1 {
		own.waiting--
		return
	}
	delete(q.keys, key)
}
