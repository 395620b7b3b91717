package metrics

import (
	"maps"
	"sync"
	"sync/atomic"
)

// children are the counters and histograms of a family by their labels, each looked up
// in the family once: that hashes and locks. K is what the labels are made of, a small
// closed set.
type children[K comparable, V any] struct {
	find  func(K) V
	known atomic.Pointer[map[K]V]
	mu    sync.Mutex // of who adds
}

func newChildren[K comparable, V any](find func(K) V) *children[K, V] {
	c := &children[K, V]{find: find}
	c.known.Store(&map[K]V{})
	return c
}

func (c *children[K, V]) of(k K) V {
	if child, ok := (*c.known.Load())[k]; ok {
		return child
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	known := maps.Clone(*c.known.Load())
	known[k] = c.find(k)
	c.known.Store(&known)
	return known[k]
}

// all are those that were looked up.
func (c *children[K, V]) all() map[K]V { return *c.known.Load() }
