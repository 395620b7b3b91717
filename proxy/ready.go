package proxy

import (
	"context"
	"slices"
	"sync"
	"time"

	"gatehouse/proxy/upstream"
)

// readyFor is how long one look at the upstreams serves all who ask.
const readyFor = time.Second

// readiness remembers a look at the upstreams, so that asking often does not become
// load there.
type readiness struct {
	mu   sync.Mutex
	at   time.Time
	list []UpstreamHealth
}

// UpstreamHealth is how an upstream is.
type UpstreamHealth struct {
	// Name is the upstream's.
	Name string
	// Addresses are all of it, in the config's order.
	Addresses []upstream.Health
}

// Err is why the upstream cannot be used; nil: an address is healthy.
func (h *UpstreamHealth) Err() error {
	if slices.ContainsFunc(h.Addresses, func(a upstream.Health) bool { return a.Err == nil }) {
		return nil
	}
	return h.Addresses[0].Err
}

// Ready looks at all addresses, not more than once a second.
func (g *Gateway) Ready(ctx context.Context) []UpstreamHealth {
	g.ready.mu.Lock()
	defer g.ready.mu.Unlock()
	if time.Since(g.ready.at) >= readyFor {
		list := make([]UpstreamHealth, len(g.upstreams))
		// The answer is for others too, so it does not depend on who asked first.
		shared := context.WithoutCancel(ctx)
		g.upstreams.each(func(i int, r *upstream.Registry) { list[i] = UpstreamHealth{r.Name(), r.Look(shared)} })
		g.ready.at, g.ready.list = time.Now(), list
	}
	return g.ready.list
}

// BringBack looks at those addresses whose time aside is over.
func (g *Gateway) BringBack(ctx context.Context) {
	g.upstreams.each(func(_ int, r *upstream.Registry) { r.BringBack(ctx) })
}

// Healthy shows each address as it is known to be; err is nil for a healthy one.
func (g *Gateway) Healthy(show func(upstream, address string, err error)) {
	for _, d := range g.upstreams {
		for _, a := range d.Health() {
			show(d.Name(), a.Address, a.Err)
		}
	}
}

// each calls do for all of them at once, and waits.
func (ds destinations) each(do func(i int, r *upstream.Registry)) {
	var doing sync.WaitGroup
	for i, d := range ds {
		doing.Go(func() { do(i, d.Registry) })
	}
	doing.Wait()
}
