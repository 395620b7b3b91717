package metrics

import (
	"maps"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
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

// bound are the children that each request counts on.
type bound struct {
	requests    *children[requestLabels, prometheus.Counter]
	validations *children[string, prometheus.Counter] // by result
	pairs       *children[pairLabels, prometheus.Counter]
	upstream    *children[upstreamLabels, prometheus.Counter]

	upstreamDurations *children[string, prometheus.Observer] // by upstream
}

type requestLabels struct {
	route, method string
	code          int
}

type upstreamLabels struct {
	upstream string
	code     int
}

// pairLabels are those of a family with two.
type pairLabels struct {
	family        *prometheus.CounterVec
	first, second string
}

func (m *Metrics) bind() {
	m.bound = bound{
		requests: newChildren(func(l requestLabels) prometheus.Counter {
			return m.requests.WithLabelValues(l.route, l.method, strconv.Itoa(l.code))
		}),
		validations: newChildren(func(result string) prometheus.Counter { return m.tokenValidations.WithLabelValues(result) }),
		pairs:       newChildren(func(l pairLabels) prometheus.Counter { return l.family.WithLabelValues(l.first, l.second) }),
		upstream: newChildren(func(l upstreamLabels) prometheus.Counter {
			return m.upstreamRequests.WithLabelValues(l.upstream, strconv.Itoa(l.code))
		}),
		upstreamDurations: newChildren(func(upstream string) prometheus.Observer {
			m.upstreamRequests.WithLabelValues(upstream, "0") // so that the first request without an answer is seen as one
			return m.upstreamDuration.WithLabelValues(upstream)
		}),
	}
}
