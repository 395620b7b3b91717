package metrics

import (
	"math"
	"sync"
	"time"
)

// Latencies are how long something took in the last five minutes, for people to read. The
// zero value is empty. It is safe for concurrent use.
type Latencies struct {
	mu    sync.Mutex
	slots [latencySlots]latencySlot // a ring, by the number of the slot
}

// latencySlot counts what ended within a latencySpan.
type latencySlot struct {
	number int64 // spans since 1970
	counts [latencyBuckets]uint32
}

const (
	latencySpan    = 30 * time.Second
	latencySlots   = 11 // ten whole ones, and the one of this moment
	latencyBuckets = 161
	latencyLeast   = 100 * time.Microsecond // the bound of the first bucket
	latencySteps   = 8                      // buckets in which the bound doubles
)

// Latency is what Latencies come to. The times are bounds from above: 9 % too high at most.
type Latency struct {
	// Count is how many there were.
	Count int
	// P50 and P99 are what half of them, and 99 % of them, took at most; 0: there was none.
	P50, P99 time.Duration
}

// Observe counts one that took so long and has just ended.
func (l *Latencies) Observe(took time.Duration) {
	number := spanOf(time.Now())
	l.mu.Lock()
	defer l.mu.Unlock()
	slot := &l.slots[number%latencySlots]
	if slot.number != number {
		*slot = latencySlot{number: number}
	}
	slot.counts[bucketOf(took)]++
}

// Recent is what the last five minutes come to.
func (l *Latencies) Recent() (r Latency) {
	first := spanOf(time.Now()) - latencySlots + 1
	var sums [latencyBuckets]int
	l.mu.Lock()
	for i := range l.slots {
		if l.slots[i].number < first {
			continue
		}
		for bucket, n := range l.slots[i].counts {
			sums[bucket] += int(n)
			r.Count += int(n)
		}
	}
	l.mu.Unlock()
	r.P50, r.P99 = atMost(sums[:], r.Count, 0.5), atMost(sums[:], r.Count, 0.99)
	return r
}

func spanOf(t time.Time) int64 { return t.UnixNano() / int64(latencySpan) }

// bucketOf is the first bucket whose bound is not below a time.
func bucketOf(took time.Duration) int {
	if took <= latencyLeast {
		return 0
	}
	bucket := math.Ceil(latencySteps * math.Log2(float64(took)/float64(latencyLeast)))
	return min(int(bucket), latencyBuckets-1)
}

// atMost is the bound of the bucket where that part of all ends.
func atMost(counts []int, all int, part float64) time.Duration {
	left := int(math.Ceil(float64(all) * part))
	for bucket, n := range counts {
		if left -= n; n > 0 && left <= 0 {
			return time.Duration(float64(latencyLeast) * math.Exp2(float64(bucket)/latencySteps))
		}
	}
	return 0
}
