package metrics

import "github.com/prometheus/client_golang/prometheus"

// WatchFrozen shows what frozen reports, at each scrape. It is called once.
func (m *Metrics) WatchFrozen(frozen func() bool) {
	if m == nil {
		return
	}
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gatehouse_frozen",
		Help: "Whether pushes and deletes are stopped by a freeze (1) or not (0)."}, func() float64 {
		if frozen() {
			return 1
		}
		return 0
	}))
}
