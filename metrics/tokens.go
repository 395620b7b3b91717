package metrics

import "github.com/prometheus/client_golang/prometheus"

// TokenCount is how many long-lived tokens of one kind there are, each in one state.
type TokenCount struct {
	// Kind is machine or personal.
	Kind string
	// Active go on, Expiring end within 14 days, Expired have ended.
	Active, Expiring, Expired int
}

// tokenCounter asks at each scrape: the counts change by time alone.
type tokenCounter struct {
	desc  *prometheus.Desc
	count func() []TokenCount
}

// WatchTokens shows what count returns, at each scrape. It is called once.
func (m *Metrics) WatchTokens(count func() []TokenCount) {
	if m != nil {
		m.registry.MustRegister(&tokenCounter{prometheus.NewDesc("gatehouse_tokens",
			"Long-lived tokens that are known; expiring ones end within 14 days.", []string{"kind", "state"}, nil), count})
	}
}

// Describe is of prometheus.Collector.
func (c *tokenCounter) Describe(to chan<- *prometheus.Desc) { to <- c.desc }

// Collect is of prometheus.Collector.
func (c *tokenCounter) Collect(to chan<- prometheus.Metric) {
	for _, n := range c.count() {
		for _, state := range []struct {
			name string
			n    int
		}{{"active", n.Active}, {"expiring", n.Expiring}, {"expired", n.Expired}} {
			to <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(state.n), n.Kind, state.name)
		}
	}
}
