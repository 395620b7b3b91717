package metrics

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// near reports whether a bound is that of a time, from above and within 10 %.
func near(bound, of time.Duration) bool { return bound >= of && float64(bound) <= 1.1*float64(of) }

// TestLatencies: what half of them and nearly all took at most, of the last five minutes.
func TestLatencies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Latencies
		if got := l.Recent(); got != (Latency{}) {
			t.Errorf("of nothing: %+v", got)
		}
		for range 98 {
			l.Observe(3 * time.Millisecond)
		}
		l.Observe(250 * time.Millisecond)
		l.Observe(2 * time.Second)
		if got := l.Recent(); got.Count != 100 || !near(got.P50, 3*time.Millisecond) || !near(got.P99, 250*time.Millisecond) {
			t.Errorf("%+v", got)
		}
		time.Sleep(2 * time.Minute)
		for range 100 {
			l.Observe(40 * time.Millisecond)
		}
		if got := l.Recent(); got.Count != 200 || !near(got.P50, 40*time.Millisecond) {
			t.Errorf("of two times: %+v", got)
		}
		time.Sleep(4 * time.Minute)
		if got := l.Recent(); got.Count != 100 || !near(got.P50, 40*time.Millisecond) || got.P50 != got.P99 {
			t.Errorf("the first are over: %+v", got)
		}
		time.Sleep(time.Hour)
		l.Observe(0)
		if got := l.Recent(); got.Count != 1 || got.P50 != latencyLeast {
			t.Errorf("after a quiet hour: %+v", got)
		}
	})
}

// TestLatencyBounds: each time is within its bucket, and none is out of all of them.
func TestLatencyBounds(t *testing.T) {
	for took := time.Microsecond; took < 90*time.Second; took = took*21/20 + 1 {
		counts := make([]int, latencyBuckets)
		counts[bucketOf(took)] = 1
		if bound := atMost(counts, 1, 0.5); took > latencyLeast && !near(bound+1, took) || bound < latencyLeast {
			t.Errorf("%s is counted as %s", took, bound)
		}
	}
	for _, took := range []time.Duration{-time.Second, 0, time.Hour, 1<<63 - 1} {
		if b := bucketOf(took); b < 0 || b >= latencyBuckets {
			t.Errorf("%s: %d", took, b)
		}
	}
}

// TestLatenciesAtOnce: none is lost.
func TestLatenciesAtOnce(t *testing.T) {
	var l Latencies
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 500 {
				l.Observe(time.Millisecond)
				l.Recent()
			}
		})
	}
	all.Wait()
	if got := l.Recent().Count; got != 4000 {
		t.Errorf("%d", got)
	}
}
