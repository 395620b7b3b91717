package metrics

import "github.com/prometheus/client_golang/prometheus"

// contentMetrics are those of the cache of manifests and blobs.
type contentMetrics struct {
	bytes, entries                          *prometheus.GaugeVec
	evictions, fills, confirmations, served *prometheus.CounterVec
}

func newContentMetrics() *contentMetrics {
	m := &contentMetrics{
		bytes:         gaugeVec("content_bytes", "What the cache of manifests and blobs holds, in bytes.", "store"),
		entries:       gaugeVec("content_entries", "Manifests and blobs in the cache.", "store"),
		evictions:     counter("content_evictions_total", "Manifests and blobs that left the cache.", "store", "reason"),
		fills:         counter("content_fills_total", "Answers that were read to be kept in the cache.", "result"),
		confirmations: counter("content_confirmations_total", "Questions whether a repository still has what the cache holds.", "result"),
		served:        counter("content_served_bytes_total", "Bytes of manifests and blobs that the cache gave, or a download that others joined.", "from"),
	}
	for store, reasons := range map[string][]string{"memory": {"space", "purge"}, "disk": {"space", "free", "rot", "purge"}} {
		m.bytes.WithLabelValues(store)
		m.entries.WithLabelValues(store)
		for _, reason := range reasons {
			m.evictions.WithLabelValues(store, reason)
		}
	}
	for _, result := range []string{"ok", "mismatch", "cut", "nospace", "unkept", "fault"} {
		m.fills.WithLabelValues(result)
	}
	for _, result := range []string{"yes", "no", "fault"} {
		m.confirmations.WithLabelValues(result)
	}
	for _, from := range []string{"memory", "disk", "flight"} {
		m.served.WithLabelValues(from)
	}
	return m
}

func (m *contentMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.bytes, m.entries, m.evictions, m.fills, m.confirmations, m.served}
}

func gaugeVec(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "gatehouse_" + name, Help: help}, labels)
}

// ContentSize shows what a store of the content cache holds. Store is memory or disk.
func (m *Metrics) ContentSize(store string, entries int, bytes int64) {
	if m != nil {
		m.content.entries.WithLabelValues(store).Set(float64(entries))
		m.content.bytes.WithLabelValues(store).Set(float64(bytes))
	}
}

// ContentEvicted counts n entries that left a store. Reason is space, free (the file
// system has too little left), rot (it is not what it was) or purge.
func (m *Metrics) ContentEvicted(store, reason string, n int) {
	if m != nil && n > 0 {
		m.content.evictions.WithLabelValues(store, reason).Add(float64(n))
	}
}

// ContentFill counts an answer that was asked for to be kept. Result is ok, mismatch (its digest
// is another), cut (its end did not come), nospace, unkept (it is none to keep) or fault (there was none, or the
// folder cannot be written).
func (m *Metrics) ContentFill(result string) {
	if m != nil {
		m.content.fills.WithLabelValues(result).Inc()
	}
}

// ContentConfirmation counts a question whether a repository still has something.
// Result is yes, no or fault.
func (m *Metrics) ContentConfirmation(result string) {
	if m != nil {
		m.content.confirmations.WithLabelValues(result).Inc()
	}
}

// ContentServed counts bytes of bodies. From is memory, disk, or flight for those of a
// download that runs or just ended.
func (m *Metrics) ContentServed(from string, n int64) {
	if m != nil {
		m.content.served.WithLabelValues(from).Add(float64(n))
	}
}
