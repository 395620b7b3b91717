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

func newDecisions(r *prometheus.Registry) (decisions, shadow *prometheus.CounterVec) {
	decisions = counter("decisions_total", "Policy decisions.", "action", "result")
	shadow = counter("shadow_decisions_total", "Decisions that policy_next would change.", "action", "change")
	for _, action := range []string{"pull", "push", "delete", "catalog"} {
		for _, change := range []string{"granted", "refused"} {
			shadow.WithLabelValues(action, change)
		}
	}
	r.MustRegister(decisions, shadow)
	return decisions, shadow
}

// ShadowDecision counts a decision that a policy that is tried would change. Action is pull,
// push, delete or catalog; change is granted or refused.
func (m *Metrics) ShadowDecision(action, change string) {
	if m != nil {
		m.shadowDecisions.WithLabelValues(action, change).Inc()
	}
}
