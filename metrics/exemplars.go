package metrics

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// timings are the durations of requests, by route. Each bucket shows the id of the last
// request that fell into it, as an exemplar, to those who ask for OpenMetrics; a request
// costs no allocation for that, as exemplars are made at a scrape.
type timings struct {
	family  *prometheus.HistogramVec
	buckets []float64
	routes  *children[string, *timing]
}

// timing is one route's histogram, with the last request of each bucket.
type timing struct {
	histogram prometheus.Histogram
	buckets   []float64
	last      []lastRequest // one more than buckets
}

// lastRequest is the last in a bucket.
type lastRequest struct {
	mu    sync.Mutex
	id    string // empty: there was none
	value float64
	at    time.Time
}

func newTimings(family *prometheus.HistogramVec, buckets []float64) *timings {
	t := &timings{family: family, buckets: buckets}
	t.routes = newChildren(func(route string) *timing {
		return &timing{family.WithLabelValues(route).(prometheus.Histogram), buckets, make([]lastRequest, len(buckets)+1)}
	})
	return t
}

// observe counts a request.
func (t *timing) observe(id string, seconds float64) {
	t.histogram.Observe(seconds)
	i, _ := slices.BinarySearch(t.buckets, seconds)
	last := &t.last[i]
	last.mu.Lock()
	last.id, last.value, last.at = id, seconds, time.Now()
	last.mu.Unlock()
}

// exemplars are those of all buckets that had a request.
func (t *timing) exemplars() (all []prometheus.Exemplar) {
	for i := range t.last {
		last := &t.last[i]
		last.mu.Lock()
		if last.id != "" {
			all = append(all, prometheus.Exemplar{Value: last.value, Labels: prometheus.Labels{"request_id": last.id}, Timestamp: last.at})
		}
		last.mu.Unlock()
	}
	return all
}

// Describe is prometheus.Collector's.
func (t *timings) Describe(to chan<- *prometheus.Desc) { t.family.Describe(to) }

// Collect is prometheus.Collector's.
func (t *timings) Collect(to chan<- prometheus.Metric) {
	for _, route := range t.routes.all() {
		shown := prometheus.Metric(route.histogram)
		if with, err := prometheus.NewMetricWithExemplars(shown, route.exemplars()...); err == nil {
			shown = with // no error but for having none, or an id that is too long for one
		}
		to <- shown
	}
}
