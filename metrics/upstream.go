package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// upstreamHealthy shows how the addresses of all upstreams are. It asks for them at each
// scrape, so that what a reload took away is gone.
type upstreamHealthy struct {
	description *prometheus.Desc
	each        atomic.Pointer[func(show func(upstream, address string, healthy bool))]
}

func newUpstreamHealthy() *upstreamHealthy {
	return &upstreamHealthy{description: prometheus.NewDesc("gatehouse_upstream_healthy",
		"Whether an address of the config is healthy (1) or put aside (0).", []string{"upstream", "address"}, nil)}
}

// Describe is prometheus.Collector's.
func (u *upstreamHealthy) Describe(to chan<- *prometheus.Desc) { to <- u.description }

// Collect is prometheus.Collector's.
func (u *upstreamHealthy) Collect(to chan<- prometheus.Metric) {
	each := u.each.Load()
	if each == nil {
		return
	}
	(*each)(func(upstream, address string, healthy bool) {
		value := 0.0
		if healthy {
			value = 1
		}
		to <- prometheus.MustNewConstMetric(u.description, prometheus.GaugeValue, value, upstream, address)
	})
}

// UpstreamsHealthy makes every scrape ask each for all addresses, none of them twice.
func (m *Metrics) UpstreamsHealthy(each func(show func(upstream, address string, healthy bool))) {
	if m != nil {
		m.upstreamHealthy.each.Store(&each)
	}
}

func newUIUpstreamRequests() *prometheus.CounterVec {
	c := counter("ui_upstream_requests_total", "Questions that pages for people asked a registry.", "kind", "result")
	for _, kind := range []string{"catalog", "tags", "manifest", "config", "referrers", "delete"} {
		for _, result := range []string{"ok", "absent", "failed"} {
			c.WithLabelValues(kind, result)
		}
	}
	return c
}

// UIUpstreamRequest counts a question that a page asked a registry. Kind is catalog, tags,
// manifest, config, referrers or delete; result is ok, absent (it does not have it) or failed.
func (m *Metrics) UIUpstreamRequest(kind, result string) {
	if m != nil {
		m.uiUpstreamRequests.WithLabelValues(kind, result).Inc()
	}
}

func newUILogins(registry *prometheus.Registry) *prometheus.CounterVec {
	logins := counter("ui_logins_total", "Logins at the pages for people.", "result")
	for _, result := range []string{"ok", "refused", "throttled", "unavailable"} {
		logins.WithLabelValues(result)
	}
	registry.MustRegister(logins)
	return logins
}

// UILogin counts a login at the pages for people. Result is ok, refused, throttled or
// unavailable.
func (m *Metrics) UILogin(result string) {
	if m != nil {
		m.uiLogins.WithLabelValues(result).Inc()
	}
}
