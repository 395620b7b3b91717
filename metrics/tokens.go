package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

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

// StoreRequest counts a request to the store. Operation is get, list, put, delete, update
// or since; of a count of logins claim, note or last; of a lease lease, of a message tell.
// Result is ok, none (no such record), fault or canceled (the asker has gone).
func (m *Metrics) StoreRequest(operation, result string) {
	if m != nil {
		m.storeRequests.WithLabelValues(operation, result).Inc()
	}
}

// storeState asks at each scrape.
type storeState struct {
	desc *prometheus.Desc
	up   func() (up, there bool)
}

// WatchStore shows whether the store answers, at each scrape, where there is one. It is
// called once.
func (m *Metrics) WatchStore(up func() (up, there bool)) {
	if m != nil {
		m.registry.MustRegister(&storeState{prometheus.NewDesc("gatehouse_store_up", "1 where the store answered last time, 0 where it is at fault.", nil, nil), up})
	}
}

// Describe is of prometheus.Collector.
func (s *storeState) Describe(to chan<- *prometheus.Desc) { to <- s.desc }

// Collect is of prometheus.Collector.
func (s *storeState) Collect(to chan<- prometheus.Metric) {
	up, there := s.up()
	if !there {
		return
	}
	value := 0.0
	if up {
		value = 1
	}
	to <- prometheus.MustNewConstMetric(s.desc, prometheus.GaugeValue, value)
}

// OIDCKeyFetch counts a question to an issuer for its keys.
func (m *Metrics) OIDCKeyFetch(directory string, ok bool) {
	if m != nil {
		m.keyFetches.WithLabelValues(directory, map[bool]string{true: "ok", false: "failed"}[ok]).Inc()
	}
}

// WatchKeys shows how old the keys of issuers are, by directory, as ages tells it at each
// scrape. It is called once.
func (m *Metrics) WatchKeys(ages func() map[string]time.Duration) {
	if m != nil {
		m.registry.MustRegister(&keyAges{prometheus.NewDesc("gatehouse_oidc_keys_age_seconds",
			"How long ago an issuer of ID tokens showed the keys that count.", []string{"directory"}, nil), ages})
	}
}

// keyAges asks at each scrape.
type keyAges struct {
	desc *prometheus.Desc
	ages func() map[string]time.Duration
}

// Describe is of prometheus.Collector.
func (k *keyAges) Describe(to chan<- *prometheus.Desc) { to <- k.desc }

// Collect is of prometheus.Collector.
func (k *keyAges) Collect(to chan<- prometheus.Metric) {
	for directory, age := range k.ages() {
		to <- prometheus.MustNewConstMetric(k.desc, prometheus.GaugeValue, age.Seconds(), directory)
	}
}
